/**
 * Brings each request to the broker that can answer it: any, the controller, a certain one, leaders, coordinators.
 *
 * @module
 */

import { Backoff } from "../cluster/backoff.ts";
import { Cluster } from "../cluster/cluster.ts";
import type { Connection } from "../cluster/connection.ts";
import { BrokerError, ConnectionError, KafkaError, ProtocolError } from "../errors.ts";
import { brokerError } from "../protocol/error_codes.ts";
import { LEADER_NOT_AVAILABLE, UNKNOWN_TOPIC_OR_PARTITION } from "../protocol/error_code_names.ts";
import { FindCoordinator } from "../protocol/messages/find_coordinator.ts";
import { Metadata } from "../protocol/messages/metadata.ts";
import type { AnyApi, RequestInputOf, ResponseOf } from "../protocol/schema.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Call, CallHost } from "./call.ts";
import type { ResolvedAdminOptions } from "./options.ts";

/** Who is asked: any broker, the controller, or the broker of an id. */
export type Target = "any" | "controller" | number;

/** The topic as a broker describes it. */
export type TopicMetadata = ResponseOf<typeof Metadata>["topics"][number];

/** The brokers that coordinate groups, as FindCoordinator tells them. */
export interface FoundCoordinator {
  readonly nodeId: number;
  readonly host: string;
  readonly port: number;
}

/** Answers carry the descriptions of everything that there is. */
const MAX_RESPONSE_SIZE = 100 << 20;
/** From this version on FindCoordinator asks for many keys at once (KIP-699). */
const VERSION_WITH_KEYS = 4;
const GROUP = 0;
const MAX_PORT = 65_535;

/** Sends requests on behalf of calls. */
export class Dispatcher implements CallHost {
  readonly runtime: Runtime;
  readonly backoff: Backoff;
  readonly closing: AbortSignal;
  readonly defaultApiTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly #cluster: Cluster;
  /** Who was the controller when that was last asked. */
  #controllerId: number | undefined;

  /** Takes the signal that ends every call. */
  constructor(runtime: Runtime, options: ResolvedAdminOptions, closing: AbortSignal) {
    this.runtime = runtime;
    this.closing = closing;
    this.defaultApiTimeoutMs = options.defaultApiTimeoutMs;
    this.requestTimeoutMs = options.requestTimeoutMs;
    this.backoff = new Backoff(options.retryBackoffMs, options.retryBackoffMaxMs, () => runtime.random());
    // Topics are asked about when somebody asks; what is kept up to date is who the brokers are.
    this.#cluster = new Cluster(runtime, {
      ...options,
      metadataMaxIdleMs: options.metadataMaxAgeMs,
      allowAutoTopicCreation: false,
      maxResponseSize: MAX_RESPONSE_SIZE,
    }, { onMetadata: () => {}, wantsMetadata: () => false, usesTopic: () => false });
  }

  get trouble(): KafkaError | undefined {
    return this.#cluster.trouble;
  }

  forget(): void {
    this.#controllerId = undefined;
    // Who was asked may be somebody else by now, or never was who the metadata said; it knows nothing of it then.
    void this.#cluster.requestUpdate();
    for (const { nodeId } of this.#cluster.health()) this.#cluster.brokerDenies(nodeId);
  }

  /** Closes every connection. */
  close(): void {
    this.#cluster.close();
  }

  /** A ready connection to whom it may concern. */
  async connection(target: Target): Promise<Connection> {
    if (target === "any") return await this.#cluster.anyConnection();
    const nodeId = target === "controller" ? this.#controllerId ??= await this.#findController() : target;
    if (this.#cluster.broker(nodeId) === undefined) {
      const error = await this.#cluster.requestUpdate();
      if (error !== undefined) throw error;
    }
    const broker = this.#cluster.broker(nodeId);
    if (broker !== undefined) return await broker.connect();
    // It leads, coordinates or controls, as another broker says; the metadata will know it soon, or somebody else.
    throw new BrokerError(`The metadata lists no broker ${nodeId}.`, { code: "BROKER_NOT_AVAILABLE", retriable: true });
  }

  /**
   * Asks in the highest version that both ends speak.
   *
   * @param body the request, or what makes it for a version
   * @param cap the highest version that will do
   * @throws {UnsupportedVersionError} when the broker doesn't offer the API
   */
  async ask<A extends AnyApi>(
    call: Call,
    target: Target,
    api: A,
    body: RequestInputOf<A> | ((version: number) => RequestInputOf<A>),
    cap?: number,
  ): Promise<ResponseOf<A>> {
    const connection = await this.connection(target);
    const version = connection.version(api, cap);
    const request = typeof body === "function" ? body(version) : body;
    return await connection.request(api, version, request, call.requestTimeoutMs);
  }

  /** What a broker knows: of the topics, of all (null), or, for an empty list, of the brokers only. */
  async metadata(call: Call, topics: readonly string[] | null): Promise<ResponseOf<typeof Metadata>> {
    const answer = await this.ask(call, "any", Metadata, {
      topics: topics === null ? null : topics.map((name) => ({ name })),
      allowAutoTopicCreation: false,
    });
    if (answer.errorCode !== 0) throw brokerError(answer.errorCode, { api: "Metadata" });
    return answer;
  }

  /**
   * Asks the leaders of partitions, each once for all that it leads.
   *
   * @param ask asks one leader; an error of it holds for all of its items
   */
  async byLeader<I extends { readonly topic: string; readonly partition: number }, T>(
    call: Call,
    items: readonly I[],
    ask: (nodeId: number, items: readonly I[]) => Promise<ReadonlyMap<I, T | KafkaError>>,
  ): Promise<Map<I, T | KafkaError>> {
    const answers = new Map<I, T | KafkaError>();
    const { topics } = await this.metadata(call, [...new Set(items.map(({ topic }) => topic))]);
    const byName = new Map(topics.map((topic) => [topic.name, topic]));
    const byLeader = new Map<number, I[]>();
    for (const item of items) {
      const leader = leaderOf(byName.get(item.topic), item);
      if (leader instanceof KafkaError) answers.set(item, leader);
      else pushTo(byLeader, leader, item);
    }
    await Promise.all([...byLeader].map(([nodeId, led]) => settle(answers, led, ask(nodeId, led))));
    return answers;
  }

  /**
   * Asks the coordinators of groups, each once for all that it coordinates.
   *
   * @param ask asks one coordinator; an error of it holds for all of its items
   */
  async byCoordinator<I extends { readonly groupId: string }, T>(
    call: Call,
    items: readonly I[],
    ask: (coordinator: FoundCoordinator, items: readonly I[]) => Promise<ReadonlyMap<I, T | KafkaError>>,
  ): Promise<Map<I, T | KafkaError>> {
    const answers = new Map<I, T | KafkaError>();
    const found = await this.#findCoordinators(call, [...new Set(items.map(({ groupId }) => groupId))]);
    const byNode = new Map<number, { readonly coordinator: FoundCoordinator; readonly items: I[] }>();
    for (const item of items) {
      const coordinator = found.get(item.groupId) ?? new ProtocolError("FindCoordinator left out a group.");
      if (coordinator instanceof KafkaError) answers.set(item, coordinator);
      else {
        const entry = byNode.get(coordinator.nodeId) ?? { coordinator, items: [] };
        entry.items.push(item);
        byNode.set(coordinator.nodeId, entry);
      }
    }
    await Promise.all(
      [...byNode.values()].map(({ coordinator, items: led }) => settle(answers, led, ask(coordinator, led))),
    );
    return answers;
  }

  async #findController(): Promise<number> {
    const connection = await this.#cluster.anyConnection();
    const body = { topics: [], allowAutoTopicCreation: false };
    const version = connection.version(Metadata);
    const answer = await connection.request(Metadata, version, body, this.requestTimeoutMs);
    if (answer.controllerId >= 0) return answer.controllerId;
    throw new ConnectionError("The cluster has no controller at the moment.", { code: "BROKER_NOT_AVAILABLE" });
  }

  async #findCoordinators(
    call: Call,
    groupIds: readonly string[],
  ): Promise<ReadonlyMap<string, FoundCoordinator | KafkaError>> {
    const connection = await this.connection("any");
    const version = connection.version(FindCoordinator);
    const timeoutMs = call.requestTimeoutMs;
    if (version >= VERSION_WITH_KEYS) {
      const body = { keyType: GROUP, coordinatorKeys: groupIds };
      const { coordinators } = await connection.request(FindCoordinator, version, body as never, timeoutMs);
      return new Map(coordinators.map((each) => [each.key, coordinatorOf(each)]));
    }
    const answers = await Promise.all(
      groupIds.map((key) =>
        connection.request(FindCoordinator, version, { key, keyType: GROUP } as never, timeoutMs)
          .then((each) => [key, coordinatorOf(each)] as const)
      ),
    );
    return new Map(answers);
  }
}

/** Adds to the list of a key. */
export function pushTo<K, T>(lists: Map<K, T[]>, key: K, item: T): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [item]);
  else list.push(item);
}

/** Takes in what was answered; an error of the whole request is that of each item. */
async function settle<I, T>(
  answers: Map<I, T | KafkaError>,
  items: readonly I[],
  asked: Promise<ReadonlyMap<I, T | KafkaError>>,
): Promise<void> {
  try {
    for (const [item, answer] of await asked) answers.set(item, answer);
  } catch (error) {
    if (!(error instanceof KafkaError)) throw error;
    for (const item of items) answers.set(item, error);
  }
}

function leaderOf(
  topic: TopicMetadata | undefined,
  { partition, topic: name }: { readonly topic: string; readonly partition: number },
): number | KafkaError {
  const context = { topic: name, partition };
  if (topic === undefined) return new ProtocolError("Metadata left out a topic.", context);
  if (topic.errorCode !== 0) return brokerError(topic.errorCode, { topic: name });
  const found = topic.partitions.find(({ partitionIndex }) => partitionIndex === partition);
  if (found === undefined) {
    return brokerError(UNKNOWN_TOPIC_OR_PARTITION, { ...context, detail: `the topic has ${topic.partitions.length}` });
  }
  return found.leaderId >= 0 ? found.leaderId : brokerError(found.errorCode || LEADER_NOT_AVAILABLE, context);
}

function coordinatorOf(
  { errorCode, errorMessage, host, nodeId, port }: FoundCoordinator & {
    readonly errorCode: number;
    readonly errorMessage: string | null;
  },
): FoundCoordinator | KafkaError {
  if (errorCode !== 0) return brokerError(errorCode, { api: "FindCoordinator", detail: errorMessage });
  if (nodeId < 0 || host === "" || port < 1 || port > MAX_PORT) {
    return new ConnectionError("FindCoordinator named no broker.", { code: "COORDINATOR_NOT_AVAILABLE" });
  }
  return { nodeId, host, port };
}
