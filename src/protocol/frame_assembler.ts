/**
 * Cuts a stream of chunks into frames: a 4-byte length, then that many bytes.
 *
 * @module
 */

import { ProtocolError } from "../errors.ts";

const LENGTH_BYTES = 4;
const FIRST_ALLOCATION = 64 * 1024;
/** A response is at least a correlation id. */
const LEAST_RESPONSE = 4;

/** Collects chunks and hands out whole frames, without their length prefix, in buffers of their own. */
export class FrameAssembler {
  readonly #maxFrameSize: number;
  readonly #minFrameSize: number;
  readonly #onFrame: (frame: Uint8Array) => void;
  readonly #prefix = new Uint8Array(LENGTH_BYTES);
  #prefixFilled = 0;
  #frame: Uint8Array | undefined;
  #frameSize = 0;
  #frameFilled = 0;

  /** Takes the bounds of a frame's size in bytes and the function that each frame goes to. */
  constructor(maxFrameSize: number, onFrame: (frame: Uint8Array) => void, minFrameSize: number = LEAST_RESPONSE) {
    this.#maxFrameSize = maxFrameSize;
    this.#minFrameSize = minFrameSize;
    this.#onFrame = onFrame;
  }

  /**
   * Takes a borrowed chunk; what is needed of it is copied.
   *
   * @throws {ProtocolError} when a length is negative or above the cap
   */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#prefixFilled < LENGTH_BYTES) {
        while (this.#prefixFilled < LENGTH_BYTES && at < chunk.length) {
          this.#prefix[this.#prefixFilled++] = chunk[at++]!;
        }
        if (this.#prefixFilled < LENGTH_BYTES) return;
        this.#frameSize = this.#checkedSize();
        this.#frameFilled = 0;
      }
      const missing = this.#frameSize - this.#frameFilled;
      const take = Math.min(missing, chunk.length - at);
      if (this.#frame === undefined && take === this.#frameSize) {
        this.#prefixFilled = 0;
        // Not `slice`: a Buffer's is a view.
        this.#onFrame(new Uint8Array(chunk.subarray(at, at + take)));
      } else {
        this.#append(chunk.subarray(at, at + take));
      }
      at += take;
    }
  }

  #append(bytes: Uint8Array): void {
    const needed = this.#frameFilled + bytes.length;
    // The buffer follows the bytes that have come, not the length that was claimed: 4 hostile bytes cost nothing.
    if (this.#frame === undefined) {
      this.#frame = new Uint8Array(Math.min(this.#frameSize, Math.max(FIRST_ALLOCATION, needed)));
    } else if (needed > this.#frame.length) {
      const grown = new Uint8Array(Math.min(this.#frameSize, Math.max(needed, this.#frame.length * 2)));
      grown.set(this.#frame.subarray(0, this.#frameFilled));
      this.#frame = grown;
    }
    this.#frame.set(bytes, this.#frameFilled);
    this.#frameFilled = needed;
    if (needed < this.#frameSize) return;
    const frame = this.#frame;
    this.#frame = undefined;
    this.#prefixFilled = 0;
    this.#onFrame(frame);
  }

  #checkedSize(): number {
    const [a, b, c, d] = this.#prefix as unknown as [number, number, number, number];
    const size = (a << 24) | (b << 16) | (c << 8) | d;
    if (size >= this.#minFrameSize && size <= this.#maxFrameSize) return size;
    const wanted = `wanted ${this.#minFrameSize} to ${this.#maxFrameSize}`;
    throw new ProtocolError(
      `The other end sent a frame length of ${size} bytes, ${wanted}.${hint(this.#prefix)}`,
      isTlsAlert(this.#prefix) ? { code: TLS_ALERT } : {},
    );
  }
}

/** Code of the error for a frame that is a TLS alert: how a TLS port answers to plain text. */
export const TLS_ALERT = "TLS_ALERT";

function isTlsAlert(prefix: Uint8Array): boolean {
  return prefix[0] === 0x15 && prefix[1] === 0x03;
}

/** What the first bytes look like when the other end isn't a Kafka broker that speaks plain text. */
function hint(prefix: Uint8Array): string {
  if (isTlsAlert(prefix)) return " It looks like a TLS alert: does this port want TLS?";
  const text = String.fromCharCode(...prefix);
  const other = ["HTTP", "SSH"].find((name) => text.startsWith(name));
  return other === undefined ? "" : ` It looks like ${other}: is this the port of a Kafka broker?`;
}
