/**
 * The memory that records may take until they have an outcome, and the line of those who wait for it.
 *
 * @module
 */

/** Somebody who waits for memory. */
export interface MemoryWaiter {
  /** How many bytes are wanted. */
  readonly bytesWanted: number;
  /** Nobody waits behind it any more (timed out, closed): it is passed over. */
  readonly gone: boolean;
  /** The bytes have been reserved. */
  onMemory(): void;
}

/** Counts bytes; hands what comes free to whoever has waited longest. */
export class BufferMemory {
  /** All there is, in bytes. */
  readonly totalBytes: number;
  /** What is left, in bytes. Below 0 for a moment when a batch's header didn't fit any more. */
  availableBytes: number;
  #line: MemoryWaiter[] = [];
  #head = 0;
  #serving = false;

  /** Starts with everything free. */
  constructor(totalBytes: number) {
    this.totalBytes = totalBytes;
    this.availableBytes = totalBytes;
  }

  /** True while somebody waits. Whoever comes then goes to the end of the line, even if there were room. */
  get contended(): boolean {
    while (this.#head < this.#line.length && this.#line[this.#head]!.gone) this.#shift();
    return this.#head < this.#line.length;
  }

  /** True if so much can be had at once. */
  has(bytes: number): boolean {
    return bytes <= this.availableBytes && !this.contended;
  }

  /** Takes bytes. The caller has asked {@link has} before. */
  reserve(bytes: number): void {
    this.availableBytes -= bytes;
  }

  /** Gives bytes back and serves those in line who can be served now. */
  release(bytes: number): void {
    this.availableBytes += bytes;
    this.serve();
  }

  /** Goes to the end of the line. */
  wait(waiter: MemoryWaiter): void {
    this.#line.push(waiter);
  }

  /** Serves the line in order; stops at the first for whom there isn't enough, so that nobody is overtaken. */
  serve(): void {
    if (this.#serving) return;
    this.#serving = true;
    while (this.contended) {
      const waiter = this.#line[this.#head]!;
      if (waiter.bytesWanted > this.availableBytes) break;
      this.#shift();
      this.availableBytes -= waiter.bytesWanted;
      waiter.onMemory();
    }
    this.#serving = false;
  }

  #shift(): void {
    this.#head += 1;
    if (this.#head < 1_024 || this.#head * 2 < this.#line.length) return;
    this.#line = this.#line.slice(this.#head);
    this.#head = 0;
  }
}
