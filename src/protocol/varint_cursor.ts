/**
 * Variable-length integers from a buffer, one after the other.
 *
 * What is wrong with the bytes is kept and not thrown: a broker looks at batches of which nothing is known yet, and
 * says of them what Kafka says.
 *
 * @module
 */

/** A place in a buffer. */
export class VarintCursor {
  /** What is wrong with the bytes, from then on nothing is read; undefined as long as all is well. */
  problem: string | undefined;
  /** The buffer. */
  readonly bytes: Uint8Array;
  /** The offset of the next byte. */
  at = 0;
  readonly #isStrict: boolean;

  /** Stands at the front. Bits that a number has no place for are a problem, or dropped as Kafka's classes do. */
  constructor(bytes: Uint8Array, isStrict = true) {
    this.bytes = bytes;
    this.#isStrict = isStrict;
  }

  /** Whether every byte has been walked over. */
  get atEnd(): boolean {
    return this.at >= this.bytes.length;
  }

  /** How many bytes are left. */
  get remaining(): number {
    return Math.max(0, this.bytes.length - this.at);
  }

  /** Reads a signed 32-bit integer of one to five bytes, zig-zag coded; -1 if there is none. */
  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) return this.fail(TRUNCATED);
      value |= (byte & 0x7f) << shift;
      if (byte >= 0x80) continue;
      if (shift === 28 && byte > 0x0f && this.#isStrict) break;
      return (value >>> 1) ^ -(value & 1);
    }
    return this.fail("Reading a varint of more than 32 bits: wanted at most 5 bytes.");
  }

  /** Reads a signed 64-bit integer of one to ten bytes, zig-zag coded: a number up to seven bytes, which most are. */
  varlong(): number | bigint {
    let value = 0;
    let scale = 1;
    const start = this.at;
    for (let i = 0; i < 7; i++) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) return this.fail(TRUNCATED);
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
      scale *= 128;
    }
    this.at = start;
    return this.#hugeVarlong();
  }

  #hugeVarlong(): number | bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) return this.fail(TRUNCATED);
      value |= BigInt(byte & 0x7f) << shift;
      if (byte >= 0x80) continue;
      if (shift === 63n && byte > 1 && this.#isStrict) break;
      return BigInt.asIntN(64, (value >> 1n) ^ -(value & 1n));
    }
    return this.fail("Reading a varlong of more than 64 bits: wanted at most 10 bytes.");
  }

  /** Notes what is wrong, unless something was before. */
  protected fail(problem: string): -1 {
    this.problem ??= problem;
    return -1;
  }
}

const TRUNCATED = "Truncated input: the bytes end within a record.";
