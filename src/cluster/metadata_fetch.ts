/**
 * Asking a server for metadata; on a cold start together with the handshake, so that one round trip is enough.
 *
 * @module
 */

import { BrokerError, type KafkaError, ProtocolError } from "../errors.ts";
import { sharedVersion } from "../protocol/api.ts";
import { brokerError } from "../protocol/error_codes.ts";
import { Metadata } from "../protocol/messages/metadata.ts";
import type { AnyApi, ResponseOf } from "../protocol/schema.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { formatAddress } from "./address.ts";
import type { Broker } from "./broker.ts";
import type { Connection, ConnectionOptions } from "./connection.ts";
import type { Pipelined } from "./handshake.ts";
import type { Negotiations } from "./negotiation.ts";
import { Pace } from "./pace.ts";
import { saslPortError } from "./port_probe.ts";
import { sleep } from "./sleep.ts";

/** A request that a client is going to need, and that may as well travel with the handshake. */
export interface PipelinedRequest {
  readonly api: AnyApi;
  /** Writes it in a guessed version. What becomes of it is the asker's business. */
  ask(connection: Connection, version: number): void;
  /** It will not be asked: the attempt to connect failed. May also come after `ask`. */
  lost(): void;
}

/** How a broker has answered. */
export interface Answer {
  readonly broker: Broker;
  readonly response: ResponseOf<typeof Metadata>;
  /** Its leader epochs can be relied upon; before Metadata 9 a broker may tell stale ones. */
  readonly hasEpochs: boolean;
}

/** How metadata is asked for. */
export interface MetadataFetchOptions extends ConnectionOptions {
  readonly requestTimeoutMs: number;
  readonly allowAutoTopicCreation: boolean;
}

const METADATA_WITH_EPOCHS = 9;

/** Requests in a second; those for a topic that nobody has asked for yet never wait, but count. */
const REQUESTS_PER_SECOND = 4;

/** What is tried before a broker has told its versions: these are good from Kafka 2.8 on, and Metadata has topic ids. */
const GUESSED_VERSIONS: Readonly<Record<string, number>> = { Metadata: 10, InitProducerId: 4 };

/** Asks servers for the metadata of the topics in use. */
export class MetadataFetch {
  readonly #runtime: Runtime;
  readonly #options: MetadataFetchOptions;
  readonly #names: () => readonly string[];
  readonly #closing: AbortSignal;
  readonly #negotiations: Negotiations;
  readonly #pace: Pace;
  /** Topics that were asked for. */
  readonly #asked: Set<string> = new Set();
  /** What was asked together with the handshake. */
  readonly #pipelined: WeakMap<Connection, Promise<Answer>> = new WeakMap();
  /** There has been an answer: the start is over. */
  #heard = false;
  /** A server has hung up on requests in guessed versions. */
  #refusedPipelining = false;

  /** Takes what is known of the servers, the names of the topics, and the signal that ends all waiting. */
  constructor(
    runtime: Runtime,
    options: MetadataFetchOptions,
    negotiations: Negotiations,
    names: () => readonly string[],
    closing: AbortSignal,
  ) {
    this.#runtime = runtime;
    this.#options = options;
    this.#negotiations = negotiations;
    this.#names = names;
    this.#closing = closing;
    this.#pace = new Pace(REQUESTS_PER_SECOND);
  }

  /** Connects to a server if need be, and asks it. */
  async ask(broker: Broker): Promise<Answer> {
    const connection = await broker.connect();
    const pipelined = this.#pipelined.get(connection);
    this.#pipelined.delete(connection);
    if (pipelined === undefined) return await this.#request(broker, connection, connection.version(Metadata));
    try {
      return await pipelined;
    } catch (error) {
      // Only a server that has hung up may have done so for the guess; one whose answer can't be right has read it.
      const hungUp = connection.error !== undefined && !(connection.error instanceof ProtocolError);
      if (!hungUp || this.#closing.aborted) throw error;
      this.#refusedPipelining = true;
      return await this.ask(broker);
    }
  }

  /** What to write together with the handshake of a broker; undefined if nothing. */
  pipelined(
    broker: Broker,
    wantsMetadata: boolean,
    askMore: () => PipelinedRequest | undefined,
  ): Pipelined | undefined {
    if (this.#refusedPipelining || this.#negotiations.of(broker.address).refusesPipelining) return undefined;
    const guesses: [AnyApi, number][] = [];
    const writes: ((connection: Connection) => void)[] = [];
    const version = wantsMetadata && !this.#heard ? this.#guess(broker, Metadata) : undefined;
    if (version !== undefined) {
      guesses.push([Metadata, version]);
      writes.push((connection) => {
        // Without a turn now it is asked for after the handshake. A server that never gets so far takes no turn.
        if (!this.#isUrgent() && !this.#pace.isFree(this.#runtime.now())) return;
        const answer = this.#request(broker, connection, version);
        answer.catch(() => {});
        this.#pipelined.set(connection, answer);
      });
    }
    const extra = askMore();
    const extraVersion = extra === undefined ? undefined : this.#guess(broker, extra.api);
    if (extra !== undefined && extraVersion !== undefined) {
      guesses.push([extra.api, extraVersion]);
      writes.push((connection) => extra.ask(connection, extraVersion));
    } else extra?.lost();
    if (guesses.length === 0) return undefined;
    return {
      guesses,
      write: (connection) => writes.forEach((write) => write(connection)),
      lost() {
        return extra?.lost();
      },
      refuted: () => this.#refusedPipelining = true,
    };
  }

  async #request(broker: Broker, connection: Connection, version: number): Promise<Answer> {
    const { allowAutoTopicCreation, requestTimeoutMs } = this.#options;
    const nowMs = this.#runtime.now();
    const turnMs = this.#pace.take(nowMs, this.#isUrgent());
    // What goes with the handshake is written in the same turn.
    if (turnMs > nowMs) {
      await sleep(this.#runtime, turnMs - nowMs, this.#closing);
      try {
        // Idle meanwhile, it may have been closed.
        connection = await broker.connect();
        version = connection.version(Metadata);
      } catch (error) {
        this.#pace.giveBack(turnMs);
        throw error;
      }
    }
    const names = this.#names();
    for (const name of names) this.#asked.add(name);
    const topics = names.map((name) => ({ name }));
    const body = { topics, allowAutoTopicCreation };
    const isGuess = connection.versions.size === 0;
    let response: ResponseOf<typeof Metadata>;
    try {
      response = await connection.request(Metadata, version, body, requestTimeoutMs);
    } catch (error) {
      throw await this.#explained(connection, isGuess, error as KafkaError);
    }
    const server = formatAddress(broker.address);
    if (response.errorCode !== 0) throw brokerError(response.errorCode, { api: "Metadata", broker: server });
    if (response.brokers.length === 0) {
      throw new BrokerError(`The broker at ${server} names no brokers; it may be starting.`, {
        code: "BROKER_NOT_AVAILABLE",
        retriable: true,
        broker: server,
      });
    }
    this.#heard = true;
    return { broker, response, hasEpochs: version >= METADATA_WITH_EPOCHS };
  }

  /** A start that ends in hang-ups may lack credentials. Resolves with the reason. */
  async #explained(connection: Connection, isGuess: boolean, error: KafkaError): Promise<KafkaError> {
    const mayWantSasl = !isGuess && connection.endedByPeer && !this.#heard && this.#options.sasl === undefined;
    if (!mayWantSasl || this.#closing.aborted) return error;
    return await saslPortError(this.#runtime, connection.address, this.#options, error, this.#closing) ?? error;
  }

  /** True while somebody waits for a topic that nobody has been asked for yet. */
  #isUrgent(): boolean {
    return this.#names().some((name) => !this.#asked.has(name));
  }

  /** The version to try before the broker has told which it speaks; undefined if that is hopeless. */
  #guess(broker: Broker, api: AnyApi): number | undefined {
    const known = this.#negotiations.of(broker.address).offers;
    if (known === undefined) return GUESSED_VERSIONS[api.name];
    return sharedVersion(api, known.get(api.key));
  }
}
