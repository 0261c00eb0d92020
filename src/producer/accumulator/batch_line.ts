/**
 * Batches in the order in which they came, each of which can be taken out in no time.
 *
 * @module
 */

/** What can stand in a line: who is before it, and who after; undefined while it stands in none. */
export interface Linked {
  before: Linked | undefined;
  after: Linked | undefined;
}

/**
 * A line of batches. Not a `Set`: its tables are replaced again and again, and an old one that the collector has moved
 * out of the young generation keeps all batches alive that it has ever named, with what they name.
 */
export class BatchLine<B extends Linked> implements Linked {
  size = 0;
  before: Linked = this;
  after: Linked = this;

  /** Puts a batch at the end. */
  add(batch: B): void {
    this.size += 1;
    batch.before = this.before;
    batch.after = this;
    this.before = this.before.after = batch;
  }

  /** Takes out a batch that is in it. */
  delete(batch: B): void {
    this.size -= 1;
    batch.before!.after = batch.after;
    batch.after!.before = batch.before;
    batch.before = batch.after = undefined;
  }

  /** All, the oldest first. None may be taken out meanwhile. */
  *[Symbol.iterator](): Generator<B, void, undefined> {
    for (let link = this.after; link !== this; link = link.after!) yield link as B;
  }
}
