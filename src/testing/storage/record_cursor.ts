/**
 * Walks the records of a batch without making an object for any of them.
 *
 * @module
 */

/** A position in the records section of a batch. */
export class RecordCursor {
  /** Whether the bytes stopped being records; there is no next one then. */
  invalid = false;
  /** The present record's offset, counted from the batch's first. */
  offsetDelta = 0;
  /** Whether the present record has a key, empty or not. */
  hasKey = false;
  readonly #bytes: Uint8Array;
  readonly #ignoresLength: boolean;
  #at = 0;
  #timestampDelta = 0;
  #hugeTimestampDelta: bigint | undefined;

  /**
   * Stands before the first record of a section that is not compressed. When it was, Kafka doesn't look whether a
   * record is as long as it says.
   */
  constructor(records: Uint8Array, wasCompressed = false) {
    this.#bytes = records;
    this.#ignoresLength = wasCompressed;
  }

  /** Whether every byte has been walked over. */
  get atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** The present record's timestamp, counted from the batch's base, in ms. */
  get timestampDelta(): bigint {
    return this.#hugeTimestampDelta ?? BigInt(this.#timestampDelta);
  }

  /** The same as a number when it is a safe integer. */
  get safeTimestampDelta(): number | undefined {
    return this.#hugeTimestampDelta === undefined ? this.#timestampDelta : undefined;
  }

  /** Goes to the next record. False at the end, and when what follows is no record. */
  next(): boolean {
    if (this.invalid || this.atEnd) return false;
    const length = this.#varint();
    const end = this.#at + length;
    if (this.invalid || length < 0) return this.#fail();
    if (end > this.#bytes.length && !this.#ignoresLength) return this.#fail();
    this.#at++; // attributes: nobody has given them a meaning, and the broker doesn't look
    this.#varlong();
    this.offsetDelta = this.#varint();
    this.hasKey = this.#skipField();
    this.#skipField();
    const headers = this.#varint();
    if (headers < 0 || headers > this.#bytes.length - this.#at) return this.#fail();
    for (let i = 0; i < headers && !this.invalid; i++) {
      if (!this.#skipField()) return this.#fail();
      this.#skipField();
    }
    return (this.#at === end || this.#ignoresLength) && !this.invalid || this.#fail();
  }

  #fail(): false {
    this.invalid = true;
    return false;
  }

  /** Skips bytes behind their length. False when they are null. */
  #skipField(): boolean {
    const length = this.#varint();
    if (length < 0) return false;
    this.#at += length;
    if (this.#at > this.#bytes.length) this.#fail();
    return true;
  }

  #varint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) break;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return (value >>> 1) ^ -(value & 1);
    }
    this.#fail();
    return -1;
  }

  /** A timestamp delta is a small number in every batch that is meant well, and anything in the others. */
  #varlong(): void {
    this.#hugeTimestampDelta = undefined;
    let value = 0;
    let scale = 1;
    const start = this.#at;
    for (let i = 0; i < 7; i++) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) return void this.#fail();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        this.#timestampDelta = value % 2 === 0 ? value / 2 : -(value + 1) / 2;
        return;
      }
      scale *= 128;
    }
    this.#at = start;
    let huge = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) break;
      huge |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) {
        this.#hugeTimestampDelta = BigInt.asIntN(64, (huge >> 1n) ^ -(huge & 1n));
        return;
      }
    }
    this.#fail();
  }
}
