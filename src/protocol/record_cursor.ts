/**
 * The one place where records of a batch are read: walks over them without making an object for any.
 *
 * @module
 */

import { VarintCursor } from "./varint_cursor.ts";

/**
 * How strictly records are read. A `"client"` takes only what a broker may send. A `"broker"` is as forgiving as Kafka's
 * classes: every negative length is null, and in what was compressed a record needn't be as long as it says.
 */
export type Strictness = "client" | "broker" | "broker, decompressed";

/** A position in the records section of a batch. */
export class RecordCursor extends VarintCursor {
  /** The present record's offset, counted from the batch's first. */
  offsetDelta = 0;
  /** Length of the present record's key, negative for null. */
  keyLength = -1;
  /** Length of the present record's value, negative for null. */
  valueLength = -1;
  /** How many headers the present record has. */
  headerCount = 0;
  readonly #isClient: boolean;
  readonly #ignoresLength: boolean;
  #timestampDelta: number | bigint = 0;
  #keyEnd = 0;
  #valueEnd = 0;
  #headersAt = 0;

  /** Stands before the first record of a section that is not, or no longer, compressed. */
  constructor(records: Uint8Array, strictness: Strictness) {
    super(records, strictness === "client");
    this.#isClient = strictness === "client";
    this.#ignoresLength = strictness === "broker, decompressed";
  }

  /** The present record's timestamp, counted from the batch's base, in ms. */
  get timestampDelta(): bigint {
    return BigInt(this.#timestampDelta);
  }

  /** The same as a number when it is one of at most 48 bits. */
  get safeTimestampDelta(): number | undefined {
    return typeof this.#timestampDelta === "number" ? this.#timestampDelta : undefined;
  }

  /** The present record's key, a view. */
  get key(): Uint8Array | null {
    return this.keyLength < 0 ? null : this.bytes.subarray(this.#keyEnd - this.keyLength, this.#keyEnd);
  }

  /** The present record's value, a view. */
  get value(): Uint8Array | null {
    return this.valueLength < 0 ? null : this.bytes.subarray(this.#valueEnd - this.valueLength, this.#valueEnd);
  }

  /** The present record's headers as they stand there, with their number in front; a view. */
  get headerSection(): Uint8Array {
    return this.bytes.subarray(this.#headersAt, this.at);
  }

  /** Goes to the next record. False at the end, and when what follows is no record: then there is a `problem`. */
  next(): boolean {
    if (this.problem !== undefined || this.atEnd) return false;
    const length = this.varint();
    const start = this.at;
    if (length < 0 || (length > this.remaining && !this.#ignoresLength)) {
      this.fail(`Reading a record of "${length}" bytes: wanted at most the ${this.remaining} left.`);
      return false;
    }
    this.at++; // attributes: nobody has given them a meaning, and the broker doesn't look
    this.#timestampDelta = this.varlong();
    this.offsetDelta = this.varint();
    this.keyLength = this.#skipField();
    this.#keyEnd = this.at;
    this.valueLength = this.#skipField();
    this.#valueEnd = this.at;
    this.#skipHeaders();
    if (this.at !== start + length && !this.#ignoresLength) {
      this.fail(`Reading a record of ${length} bytes: its fields take ${this.at - start}.`);
    }
    return this.problem === undefined;
  }

  #skipHeaders(): void {
    this.#headersAt = this.at;
    const count = this.headerCount = this.varint();
    if (count < 0 || (this.#isClient ? 2 * count : count) > this.remaining) {
      this.fail(`Reading "${count}" headers from ${this.remaining} bytes: wanted 2 bytes for each.`);
    }
    for (let i = 0; i < count && this.problem === undefined; i++) {
      if (this.#skipField() < 0) this.fail("Reading null: wanted a header's name.");
      this.#skipField();
    }
  }

  /** Skips bytes behind their length; returns the length, which is negative for null. */
  #skipField(): number {
    const length = this.varint();
    if (length < -1 && this.#isClient) {
      return this.fail(`Reading a field of "${length}" bytes: wanted -1 (null) or more.`);
    }
    if (length > this.remaining) {
      return this.fail(`Truncated input: a field needs ${length} bytes, ${this.remaining} left.`);
    }
    if (length > 0) this.at += length;
    return length;
  }
}
