/**
 * The admin client: what there is in a cluster, and changes of it.
 *
 * @module
 */

import { readOptions } from "../call_options.ts";
import { detached } from "../runtime/detached.ts";
import { Outstanding } from "../runtime/outstanding.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { selectRuntime, systemRuntime } from "../runtime/select.ts";
import { checkFlag } from "./arguments.ts";
import { Call, CALL_OPTIONS, type CallOptions } from "./call.ts";
import { Dispatcher } from "./dispatcher.ts";
import { type AdminOptions, resolveAdminOptions } from "./options.ts";
import { type AdminResult, AdminResults } from "./results.ts";
import {
  type ChangeOptions,
  type CreatedTopic,
  createPartitions,
  createTopics,
  deleteTopics,
  describeTopics,
  listTopics,
  type ListTopicsOptions,
  type NewPartitions,
  type NewTopic,
  readChangeOptions,
  type TopicDescription,
  type TopicListing,
} from "./topics.ts";

/**
 * Looks at a cluster and changes it: topics, configs, offsets, groups.
 *
 * Calls that name several things answer for each of them (see {@link AdminResults}); calls go on through elections, lost
 * connections and throttles until `timeoutMs`, or `defaultApiTimeoutMs` of the client, is over. Connections are opened
 * when they are needed. Made by {@link createAdmin}.
 */
export class Admin {
  readonly #dispatcher: Dispatcher;
  readonly #closing = new AbortController();
  readonly #outstanding: Outstanding;

  /** @internal See {@link createAdmin}. */
  constructor(options: AdminOptions, runtime?: Runtime) {
    const resolved = resolveAdminOptions(options);
    const given = runtime ?? (resolved.connect === undefined ? selectRuntime() : systemRuntime(resolved.connect));
    this.#outstanding = new Outstanding(given);
    this.#dispatcher = new Dispatcher(detached(given), resolved, this.#closing.signal);
  }

  /** Lists the topics that the principal may describe, by name; Kafka's own with `includeInternal` only. */
  listTopics(options: ListTopicsOptions = {}): Promise<TopicListing[]> {
    return this.#call("listTopics", async (name) => {
      const { includeInternal, ...rest } = readOptions(name, options, ["includeInternal", ...CALL_OPTIONS]);
      const isWanted = checkFlag("includeInternal", includeInternal, false);
      return await listTopics(this.#dispatcher, new Call(this.#dispatcher, name, rest), isWanted);
    });
  }

  /**
   * Describes topics: partitions, leaders, replicas. A topic that isn't there is UNKNOWN_TOPIC_OR_PARTITION (after three
   * attempts: one that was just created isn't known to all brokers yet).
   */
  describeTopics(topics: Iterable<string>, options: CallOptions = {}): AdminResults<TopicDescription> {
    return this.#each("describeTopics", (name) => {
      const call = new Call(this.#dispatcher, name, readOptions(name, options, CALL_OPTIONS));
      return describeTopics(this.#dispatcher, call, topics);
    });
  }

  /**
   * Creates topics, or, with `validateOnly`, says whether that could be done (KIP-4). One that is there already is
   * TOPIC_ALREADY_EXISTS.
   */
  createTopics(topics: Iterable<NewTopic>, options: ChangeOptions = {}): AdminResults<CreatedTopic> {
    return this.#each("createTopics", (name) => {
      const { validateOnly, ...rest } = readChangeOptions(name, options);
      return createTopics(this.#dispatcher, new Call(this.#dispatcher, name, rest), topics, validateOnly);
    });
  }

  /** Gives topics more partitions (KIP-195); `partitions` is how many there are to be in all. Keys move to other ones. */
  createPartitions(
    topics: Iterable<NewPartitions>,
    options: ChangeOptions = {},
  ): AdminResults<{ readonly topic: string; readonly partitions: number }> {
    return this.#each("createPartitions", (name) => {
      const { validateOnly, ...rest } = readChangeOptions(name, options);
      return createPartitions(this.#dispatcher, new Call(this.#dispatcher, name, rest), topics, validateOnly);
    });
  }

  /** Deletes topics with all that is in them. */
  deleteTopics(topics: Iterable<string>, options: CallOptions = {}): AdminResults<{ readonly topic: string }> {
    return this.#each("deleteTopics", (name) => {
      const call = new Call(this.#dispatcher, name, readOptions(name, options, CALL_OPTIONS));
      return deleteTopics(this.#dispatcher, call, topics);
    });
  }

  /** Ends calls and closes every connection: what was asked may happen all the same. Idempotent. */
  close(): Promise<void> {
    if (!this.#closing.signal.aborted) {
      this.#closing.abort();
      this.#dispatcher.close();
      this.#outstanding.close();
    }
    return Promise.resolve();
  }

  /** Closes, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Nothing that a call begins with throws: it rejects. */
  #call<T>(name: string, begin: (name: string) => Promise<T>): Promise<T> {
    return this.#outstanding.during((async () => await begin(name))());
  }

  #each<T>(name: string, begin: (name: string) => Promise<AdminResult<T>[]>): AdminResults<T> {
    return new AdminResults(this.#call(name, begin));
  }
}

/**
 * Makes an admin client; no connection is opened yet.
 *
 * @throws {ConfigError} for an option that is unknown or wrong
 *
 * @example
 * ```ts
 * import { createAdmin } from "@sluice/kafka/admin";
 * import { EmbeddedCluster } from "@sluice/kafka/testing";
 *
 * const cluster = new EmbeddedCluster();
 * await using admin = createAdmin({ brokers: cluster.bootstrap, connect: cluster.sockets });
 * await admin.createTopics([{ topic: "orders", partitions: 3 }]).all();
 * const topics = await admin.listTopics();
 * console.assert(topics[0]?.topic === "orders" && topics[0].partitions === 3);
 * ```
 */
export function createAdmin(options: AdminOptions): Admin {
  return new Admin(options);
}
