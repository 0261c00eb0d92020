/**
 * Which leaders have appended what a cursor has read.
 *
 * @module
 */

/** Batches one behind the other that a leader has appended. */
export interface EpochSpan {
  /** The offset of the first of them. */
  readonly from: bigint;
  /** The epoch of the leader; −1 if unknown. */
  readonly epoch: number;
}

/** Spans that are kept: what is committed was read not long ago, and elections are few. */
const MOST_SPANS = 16;

/**
 * The epoch in which each record was appended, by which a later leader can be asked whether it has that record as well
 * (KIP-320).
 */
export class EpochsRead {
  readonly #spans: EpochSpan[] = [];

  /** The epoch of what was read last; −1 if unknown. */
  get last(): number {
    return this.#spans.at(-1)?.epoch ?? -1;
  }

  /** What has followed; what was said before of offsets from there on counts no more. */
  add({ from, epoch }: EpochSpan): void {
    while (this.#spans.length > 0 && this.#spans.at(-1)!.from >= from) this.#spans.pop();
    if (this.last === epoch) return;
    this.#spans.push({ from, epoch });
    if (this.#spans.length > MOST_SPANS) this.#spans.shift();
  }

  /** The epoch of the record before an offset up to which was read; −1 if unknown. */
  before(offset: bigint): number {
    return this.#spans.findLast(({ from }) => from < offset)?.epoch ?? -1;
  }

  /** Nothing was read of the place that is gone to. */
  clear(): void {
    this.#spans.length = 0;
  }
}
