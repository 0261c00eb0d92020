/**
 * Buffers of batches, used over and over: allocating and zeroing them costs more than filling them.
 *
 * @module
 */

const SMALLEST = 256;
const LARGEST = 2 ** 20;

/** Pools of buffers, one for each power of two; bounded by bytes. */
export class BufferPool {
  readonly #pools: Uint8Array[][] = [];
  readonly #maxBytes: number;
  #bytes = 0;

  /** Keeps unused buffers up to this many bytes. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** A buffer of at least that size. Its content is arbitrary. */
  take(bytes: number): Uint8Array {
    // The power of two that is at least as large.
    const size = bytes <= SMALLEST ? SMALLEST : 2 ** (32 - Math.clz32(bytes - 1));
    const buffer = this.#pools[exponentOf(size)]?.pop();
    if (buffer === undefined) return new Uint8Array(size);
    this.#bytes -= size;
    return buffer;
  }

  /** Gives a buffer back. Nobody may read it any more: no socket, no request that may be sent again. */
  give(buffer: Uint8Array): void {
    const size = buffer.length;
    if (size > LARGEST || this.#bytes + size > this.#maxBytes) return;
    (this.#pools[exponentOf(size)] ??= []).push(buffer);
    this.#bytes += size;
  }
}

function exponentOf(size: number): number {
  return 31 - Math.clz32(size);
}
