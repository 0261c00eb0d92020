/**
 * What is learnt of the largest request that a broker takes.
 *
 * A broker says nothing of a request above its `socket.request.max.bytes`: it reads the length and ends the connection
 * (Kafka 4.1.1, Azure Event Hubs), as it does when it is stopped. So one end proves nothing, a second one without an
 * answer to a request of that size is believed, and an answer to one refutes it.
 *
 * @module
 */

/** Ends of connections after which the size of the request is held to be the reason. */
const BELIEVED_AFTER = 2;
/** No broker refuses so little; whatever ended the connection, it was not the size. */
const HARMLESS_BYTES = 1_024;
/** How long what was learnt is heeded; twice as long each time that it proves true. */
const HEEDED_MS = 60_000;
const HEEDED_AT_MOST_MS = 3_600_000;

/** The limit of one broker, as far as it is known. */
export class RequestLimit {
  /** The smallest request at which a connection has ended. */
  #cutBytes = Infinity;
  #cuts = 0;
  /** The largest request below that which was answered since. */
  #passedBytes = 0;
  #lastCutMs = -Infinity;
  #heededMs = HEEDED_MS;

  /** How often connections have ended at requests of {@link cutBytes} or more. */
  get cuts(): number {
    return this.#cuts;
  }

  /** Whether requests that are smaller have been answered meanwhile: the broker is well, but for the large ones. */
  get isProven(): boolean {
    return this.#cuts >= BELIEVED_AFTER && this.#passedBytes > 0;
  }

  /** The connection has ended while a request of `bytes` was the first without an answer. True if that is news. */
  onCut(bytes: number, nowMs: number): boolean {
    if (bytes <= HARMLESS_BYTES) return false;
    const before = this.cutBytes(nowMs);
    this.#cuts += 1;
    this.#cutBytes = Math.min(this.#cutBytes, bytes);
    if (this.#passedBytes >= this.#cutBytes) this.#passedBytes = 0;
    this.#lastCutMs = nowMs;
    return this.cutBytes(nowMs) < before;
  }

  /** A request of `bytes` was answered. */
  onAnswer(bytes: number): void {
    if (this.#cuts === 0) return;
    if (bytes < this.#cutBytes) this.#passedBytes = Math.max(this.#passedBytes, bytes);
    else this.#reset(HEEDED_MS);
  }

  /** Bytes from which on requests are not answered; Infinity while nothing is known. */
  cutBytes(nowMs: number): number {
    this.#forgetAt(nowMs);
    return this.#cuts < BELIEVED_AFTER ? Infinity : this.#cutBytes;
  }

  /** How large to make a request of several batches, in bytes; Infinity while nothing is known. */
  bytes(nowMs: number): number {
    return Math.max(this.cutBytes(nowMs) / 2, this.#passedBytes);
  }

  #forgetAt(nowMs: number): void {
    if (this.#cuts === 0 || nowMs - this.#lastCutMs < this.#heededMs) return;
    this.#reset(this.#cuts < BELIEVED_AFTER ? this.#heededMs : Math.min(2 * this.#heededMs, HEEDED_AT_MOST_MS));
  }

  #reset(heededMs: number): void {
    this.#cutBytes = Infinity;
    this.#cuts = 0;
    this.#passedBytes = 0;
    this.#heededMs = heededMs;
  }
}
