/**
 * The request for a producer id (InitProducerId): pipelined behind a handshake if one is due, else of one broker after
 * the other.
 *
 * @module
 */

import { formatAddress } from "../../cluster/address.ts";
import { Backoff } from "../../cluster/backoff.ts";
import type { Cluster } from "../../cluster/cluster.ts";
import type { Connection } from "../../cluster/connection.ts";
import type { PipelinedRequest } from "../../cluster/metadata_fetch.ts";
import { sleep } from "../../cluster/sleep.ts";
import { ConfigError, KafkaError, ProtocolError, TimeoutError, UnsupportedVersionError } from "../../errors.ts";
import { brokerError } from "../../protocol/error_codes.ts";
import { InitProducerId } from "../../protocol/messages/init_producer_id.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { setDeadline } from "../../runtime/truce.ts";
import type { HeldIdentity } from "./identity.ts";

/** How long one broker may take to give an id before the next one is asked. */
const PATIENCE_MS = 5_000;
/** How long a request that goes with a handshake is the only one of its kind. */
const PIPELINED_ALONE_MS = 1_000;
/** The transaction timeout means nothing without a transactional id; Java sends the largest value. */
const NO_TRANSACTION_TIMEOUT_MS = 2_147_483_647;

/** What a request for an id needs to know of the options. */
export interface IdRequestOptions {
  readonly requestTimeoutMs: number;
  readonly retryBackoffMs: number;
  readonly retryBackoffMaxMs: number;
}

/** Asks for an identity, and gives it to the one who holds it. */
export class IdRequest {
  /** Why the last request for an id failed. */
  lastError: KafkaError | undefined;

  readonly #runtime: Runtime;
  readonly #cluster: Cluster;
  readonly #options: IdRequestOptions;
  readonly #held: HeldIdentity;
  readonly #closing = new AbortController();
  #attempt: Promise<KafkaError | undefined> | undefined;
  /** Requests that were written with a handshake and whose outcome has not been looked at. */
  #pipelined: PipelinedAnswer[] = [];
  #pipelinedAtMs = -Infinity;
  /** A broker is being asked on a connection that is established. */
  #asking = false;

  /** Asks nothing yet. */
  constructor(runtime: Runtime, cluster: Cluster, options: IdRequestOptions, held: HeldIdentity) {
    this.#runtime = runtime;
    this.#cluster = cluster;
    this.#options = options;
    this.#held = held;
  }

  get #isHeld(): boolean {
    return this.#held.current !== undefined;
  }

  /**
   * Asks for an id, one broker after the other until one gives it; calls share the attempt.
   *
   * @returns undefined, or the error that makes further attempts useless
   */
  ensure(): Promise<KafkaError | undefined> {
    if (this.#isHeld) return Promise.resolve(undefined);
    this.#attempt ??= this.#ensure().finally(() => {
      this.#attempt = undefined;
      this.#asking = false;
    });
    return this.#attempt;
  }

  /** What to write together with the handshake of the next broker, so that {@link ensure} finds the answer there. */
  pipelined(): PipelinedRequest | undefined {
    const nowMs = this.#runtime.now();
    // One at a time; but a server that hangs must not keep the next one from being asked.
    if (this.#isHeld || this.#asking || nowMs < this.#pipelinedAtMs + PIPELINED_ALONE_MS) return undefined;
    this.#pipelinedAtMs = nowMs;
    const pipelined = new PipelinedAnswer();
    this.#pipelined = [...this.#pipelined.filter(({ hasEnded }) => !hasEnded), pipelined];
    return {
      api: InitProducerId,
      ask: (connection, version) => {
        pipelined.connection = connection;
        // Not less patient than the handshake: the one must not be the end of the other.
        this.#ask(connection, version, this.#options.requestTimeoutMs).then(
          () => pipelined.end(undefined),
          pipelined.end,
        );
      },
      lost: () => pipelined.end(undefined),
    };
  }

  /** Ends the attempts. */
  close(): void {
    this.#closing.abort();
  }

  async #ensure(): Promise<KafkaError | undefined> {
    const { retryBackoffMs, retryBackoffMaxMs, requestTimeoutMs } = this.#options;
    const backoff = new Backoff(retryBackoffMs, retryBackoffMaxMs, () => this.#runtime.random());
    const { signal } = this.#closing;
    for (let attempt = 1; !signal.aborted; attempt++) {
      try {
        const patienceMs = Math.min(requestTimeoutMs, PATIENCE_MS);
        await this.#awaitPipelined(patienceMs);
        if (!this.#isHeld) {
          const connection = await this.#cluster.anyConnection();
          // That one may have been asked together with the handshake.
          await this.#awaitPipelined(patienceMs);
          this.#asking = true;
          if (!this.#isHeld) await this.#ask(connection, versionAt(connection), patienceMs);
        }
        this.lastError = undefined;
        return undefined;
      } catch (error) {
        this.#asking = false;
        this.lastError = error instanceof KafkaError ? error : undefined;
        if (!(error instanceof KafkaError)) throw error;
        // Rubbish from one server says nothing of the others; nor does one that must not be dialled.
        const isOwn = error instanceof ProtocolError || (error instanceof ConfigError && !this.#cluster.isHopeless);
        if (!error.retriable && !isOwn) return error;
        await sleep(this.#runtime, backoff.delayMs(attempt), signal);
      }
    }
    return this.lastError;
  }

  /** Waits for what went with a handshake. Throws a broker's refusal; whatever else went wrong is asked again. */
  async #awaitPipelined(patienceMs: number): Promise<void> {
    const waiting = new Set(this.#pipelined.splice(0));
    if (waiting.size === 0 || this.#isHeld) return;
    let refusal: KafkaError | undefined;
    let isLate = false;
    let giveUp!: () => void;
    const timeout = new Promise<void>((resolve) => giveUp = resolve);
    const timer = setDeadline(this.#runtime, () => {
      isLate = true;
      giveUp();
    }, patienceMs);
    while (waiting.size > 0 && !this.#isHeld && !isLate) {
      await Promise.race([timeout, ...[...waiting].map(({ ended }) => ended)]);
      for (const each of waiting) {
        if (each.hasEnded) waiting.delete(each);
        if (each.error instanceof KafkaError && each.error.errorCode !== undefined) refusal = each.error;
      }
    }
    timer.cancel();
    // A broker that doesn't answer this leaves unread what comes after it, too.
    if (isLate) { for (const { connection } of waiting) connection?.destroy(silentError(connection)); }
    if (refusal !== undefined && !this.#isHeld) throw refusal;
  }

  async #ask(connection: Connection, version: number, timeoutMs: number): Promise<void> {
    const answer = await connection.request(InitProducerId, version, {
      transactionalId: null,
      transactionTimeoutMs: NO_TRANSACTION_TIMEOUT_MS,
    }, timeoutMs);
    if (answer.errorCode !== 0) {
      throw brokerError(answer.errorCode, { api: "InitProducerId", broker: formatAddress(connection.address) });
    }
    this.#held.give({ producerId: answer.producerId, producerEpoch: answer.producerEpoch });
  }
}

/** The version to ask in. Throws, with the way out, where there is no such request: idempotence needs it. */
function versionAt(connection: Connection): number {
  try {
    return connection.version(InitProducerId);
  } catch (cause) {
    const broker = formatAddress(connection.address);
    const message =
      `Set "idempotent" to false, or use a broker that gives producer ids: ${broker} has no InitProducerId ` +
      "that this client speaks.";
    throw new UnsupportedVersionError(message, { broker, cause });
  }
}

/** What becomes of a request for an id that goes with a handshake. */
class PipelinedAnswer {
  connection: Connection | undefined;
  error: unknown;
  hasEnded = false;
  readonly ended: Promise<void>;
  end!: (error: unknown) => void;

  constructor() {
    this.ended = new Promise((resolve) => {
      this.end = (error) => {
        if (this.hasEnded) return;
        this.error = error;
        this.hasEnded = true;
        resolve();
      };
    });
  }
}

function silentError({ address }: Connection): TimeoutError {
  const broker = formatAddress(address);
  const message = `The broker at ${broker} didn't answer InitProducerId in time.`;
  return new TimeoutError(message, { code: "REQUEST_TIMED_OUT", broker });
}
