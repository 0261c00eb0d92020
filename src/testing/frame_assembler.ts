/**
 * Puts the chunks of a connection together to frames.
 *
 * @module
 */

import { ProtocolError } from "../errors.ts";

/** A frame is reserved in full up to here; a longer one grows with what comes. */
const RESERVED_AT_ONCE = 1_048_576;

/** Collects the bytes of one connection. A frame is a copy: chunks are borrowed. */
export class FrameAssembler {
  readonly #maxBytes: number;
  readonly #minBytes: number;
  #prefix = 0;
  #prefixBytes = 0;
  #frame: Uint8Array | undefined;
  #length = 0;
  #filled = 0;

  /** Refuses frames outside of these lengths. */
  constructor(maxBytes: number, minBytes = 0) {
    this.#maxBytes = maxBytes;
    this.#minBytes = minBytes;
  }

  /** Takes a chunk and hands over every frame that it completes, without its length. */
  push(chunk: Uint8Array, onFrame: (frame: Uint8Array) => void): void {
    for (let at = 0; at < chunk.length;) {
      if (this.#frame === undefined) {
        this.#prefix = (this.#prefix << 8) | chunk[at++]!;
        if (++this.#prefixBytes === 4) this.#start();
      } else {
        const taken = Math.min(chunk.length - at, this.#length - this.#filled);
        this.#reserve(this.#filled + taken).set(chunk.subarray(at, at + taken), this.#filled);
        this.#filled += taken;
        at += taken;
      }
      if (this.#frame !== undefined && this.#filled === this.#length) {
        const frame = this.#frame;
        this.#frame = undefined;
        onFrame(frame);
      }
    }
  }

  #start(): void {
    if (this.#prefix < this.#minBytes || this.#prefix > this.#maxBytes) {
      throw new ProtocolError(
        `Reading a frame of "${this.#prefix}" bytes: wanted ${this.#minBytes} to ${this.#maxBytes}.`,
      );
    }
    this.#length = this.#prefix;
    this.#frame = new Uint8Array(Math.min(this.#length, RESERVED_AT_ONCE));
    this.#prefix = this.#prefixBytes = this.#filled = 0;
  }

  #reserve(size: number): Uint8Array {
    const frame = this.#frame!;
    if (size <= frame.length) return frame;
    const larger = new Uint8Array(Math.min(this.#length, Math.max(size, 2 * frame.length)));
    larger.set(frame.subarray(0, this.#filled));
    return this.#frame = larger;
  }
}
