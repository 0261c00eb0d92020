/**
 * What was fetched and not yet handed out, all partitions of a fetcher together.
 *
 * @module
 */

import type { Chunk, Cursor } from "./cursor.ts";

/** Counts the bytes of the chunks that cursors hold, up to `maxBufferedBytes`. */
export class FetchBuffer {
  readonly #maxBytes: number;
  #bytes = 0;

  /** Makes an empty one. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** True while nothing more is to be fetched. */
  get isFull(): boolean {
    return this.#bytes >= this.#maxBytes;
  }

  /** Keeps what an answer has brought. */
  add(cursor: Cursor, chunk: Chunk): void {
    cursor.chunks.push(chunk);
    cursor.bufferedBytes += chunk.bytes.length;
    this.#bytes += chunk.bytes.length;
    // It was paused while it was asked for.
    if (cursor.paused) this.letGo(cursor);
  }

  /**
   * What a paused cursor holds may stay for long, and a part of an answer keeps all of it in memory: what is less than
   * half of its answer is copied. So no more than twice of what is counted is kept, and each byte is copied once at most.
   */
  letGo({ chunks }: Cursor): void {
    for (const chunk of chunks) {
      if (chunk.bytes.length * 2 < chunk.bytes.buffer.byteLength) chunk.bytes = new Uint8Array(chunk.bytes);
    }
  }

  /** The first chunk of a cursor has been handed out. False if there was none. */
  taken(cursor: Cursor): boolean {
    const chunk = cursor.chunks.shift();
    if (chunk === undefined) return false;
    cursor.bufferedBytes -= chunk.bytes.length;
    this.#bytes -= chunk.bytes.length;
    return true;
  }

  /** Forgets what a cursor holds. */
  drop(cursor: Cursor): void {
    this.#bytes -= cursor.bufferedBytes;
    cursor.dropBuffer();
  }

  /** Once it is full with paused partitions alone, these are dropped: they don't keep the others from being read. */
  makeRoom(cursors: Iterable<Cursor>): void {
    if (!this.isFull) return;
    const full = [...cursors].filter(({ bufferedBytes }) => bufferedBytes > 0);
    if (full.some(({ paused }) => !paused)) return;
    for (const cursor of full) if (!cursor.inHand) this.drop(cursor);
  }
}
