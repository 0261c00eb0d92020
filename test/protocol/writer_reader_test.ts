import assert from "node:assert/strict";
import { ProtocolError } from "../../src/errors.ts";
import { Reader } from "../../src/protocol/reader.ts";
import {
  sizeOfUvarint,
  sizeOfVarint,
  sizeOfVarlong,
  writeUvarint,
  writeVarint,
  writeVarlong,
} from "../../src/protocol/varint.ts";
import { VarintCursor } from "../../src/protocol/varint_cursor.ts";
import { Writer } from "../../src/protocol/writer.ts";
import varints from "../golden/varints.json" with { type: "json" };
import { test } from "../harness.ts";
import { bytesOf, fromHex, toHex } from "./golden.ts";

interface VarintVector {
  readonly value: string;
  readonly varint?: string;
  readonly varlong?: string;
  readonly unsignedVarint?: string;
}

const VARINTS = varints.vectors as unknown as readonly VarintVector[];

function written(write: (writer: Writer) => void): string {
  const writer = new Writer();
  write(writer);
  return toHex(bytesOf(writer));
}

function plain(write: (buffer: Uint8Array, offset: number) => number): string {
  const buffer = new Uint8Array(12);
  return toHex(buffer.subarray(1, write(buffer, 1)));
}

/** The same by arithmetic on bigints. */
function varlong(value: bigint): string {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  return toHex(Uint8Array.from([...bytes, Number(rest)]));
}

test("protocol: varints, varlongs and unsigned varints equal the bytes of the Java class, both ways", () => {
  for (const { value, varint, varlong, unsignedVarint } of VARINTS) {
    const number = Number(value);
    const bigint = BigInt(value);
    if (varint !== undefined) {
      assert.equal(plain((buffer, offset) => writeVarint(buffer, offset, number)), varint, value);
      assert.equal(sizeOfVarint(number), varint.length / 2, value);
      assert.equal(new VarintCursor(fromHex(varint)).varint(), number);
    }
    if (unsignedVarint !== undefined) {
      assert.equal(written((writer) => writer.uvarint(number >>> 0)), unsignedVarint, value);
      assert.equal(plain((buffer, offset) => writeUvarint(buffer, offset, number)), unsignedVarint, value);
      assert.equal(sizeOfUvarint(number >>> 0), unsignedVarint.length / 2, value);
      assert.equal(new Reader(fromHex(unsignedVarint)).uvarint(), number >>> 0);
    }
    if (varlong !== undefined) {
      assert.equal(BigInt(new VarintCursor(fromHex(varlong)).varlong()), bigint);
      if (!Number.isSafeInteger(number)) continue;
      assert.equal(plain((buffer, offset) => writeVarlong(buffer, offset, number)), varlong, value);
      assert.equal(sizeOfVarlong(number), varlong.length / 2, value);
    }
  }
});

test("protocol: varlongs of numbers equal those of bigints at every power of two and at the safe limits", () => {
  const values = [0, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER];
  for (let bit = 0; bit < 53; bit++) {
    for (const near of [-1, 0, 1]) values.push(2 ** bit + near, -(2 ** bit) + near);
  }
  for (const value of values.filter(Number.isSafeInteger)) {
    const hex = plain((buffer, offset) => writeVarlong(buffer, offset, value));
    assert.equal(hex, varlong(BigInt(value)), String(value));
    assert.equal(sizeOfVarlong(value), hex.length / 2, String(value));
    assert.equal(BigInt(new VarintCursor(fromHex(hex)).varlong()), BigInt(value));
  }
});

test("protocol: a varint that is too long or too large is a ProtocolError, or a problem of the cursor that reads it", () => {
  assert.throws(() => new Reader(fromHex("ffffffff1f")).uvarint(), ProtocolError);
  assert.throws(() => new Reader(fromHex("8080808080")).uvarint(), ProtocolError);
  for (const hex of ["808080808000", "ffffffff1f", "8080"]) {
    const cursor = new VarintCursor(fromHex(hex));
    assert.equal(cursor.varint(), -1);
    assert.match(cursor.problem!, /more than 32 bits|Truncated/, hex);
  }
  for (const hex of ["ffffffffffffffffff03", "8080808080808080808000", "80808080808080808080", "80"]) {
    const cursor = new VarintCursor(fromHex(hex));
    assert.equal(cursor.varlong(), -1);
    assert.match(cursor.problem!, /more than 64 bits|Truncated/, hex);
  }
});

test("protocol: a value that its type can't carry is a ProtocolError", () => {
  const refused: readonly ((writer: Writer) => void)[] = [
    (writer) => writer.int8(128),
    (writer) => writer.int8(-129),
    (writer) => writer.int16(32768),
    (writer) => writer.int32(2 ** 31),
    (writer) => writer.int32(1.5),
    (writer) => writer.int32(NaN),
    (writer) => writer.int32("7" as unknown as number),
    (writer) => writer.int32(undefined as unknown as number),
    (writer) => writer.uvarint(2 ** 32),
    (writer) => writer.uvarint(-1),
    (writer) => writer.int64(2n ** 63n),
    (writer) => writer.int64(7 as unknown as bigint),
    (writer) => writer.int64(-(2n ** 63n) - 1n),
    (writer) => writer.bool(1 as unknown as boolean),
    (writer) => writer.uuid("00"),
    (writer) => writer.uuid("0000000000000000-000000000000000"),
    (writer) => writer.string(null as unknown as string),
    (writer) => writer.string("é".repeat(16_384)),
    (writer) => writer.bytes("abc" as unknown as Uint8Array),
    (writer) => writer.bytes(["abc"] as unknown as Uint8Array[]),
  ];
  for (const write of refused) assert.throws(() => write(new Writer()), ProtocolError, String(write));
  assert.throws(() => new Writer().string("é".repeat(16_384)), /Writing a string of 32768 bytes .* at most 32767/);
});

test("protocol: strings of every length and alphabet are written with their length in UTF-8 bytes and read back", () => {
  const texts = ["", "a", "é✓𝄞", "\uFEFFbom", "x".repeat(63), "x".repeat(64), "x".repeat(65), "y".repeat(126)];
  texts.push("x".repeat(62) + "é", "z".repeat(127), "z".repeat(32_767), "é".repeat(16_383));
  for (const text of texts) {
    const length = new TextEncoder().encode(text).length;
    const writer = new Writer();
    writer.string(text);
    writer.string(text, true);
    writer.nullableString(null);
    writer.nullableString(null, true);
    const bytes = bytesOf(writer);
    assert.equal(new DataView(bytes.buffer, bytes.byteOffset).getInt16(0), length);
    const reader = new Reader(bytes);
    assert.equal(reader.string(), text);
    assert.equal(reader.string(true), text);
    assert.equal(reader.nullableString(), null);
    assert.equal(reader.nullableString(true), null);
    reader.expectEnd();
  }
});

test("protocol: a string that is not UTF-8 is read with replacement characters", () => {
  assert.equal(new Reader(fromHex("000361ff62")).string(), "a\uFFFDb");
});

/** More than a writer has room for at first. */
const GROUPS = 1_200;

test("protocol: numbers survive the way to bytes and back, wherever the buffer grows", () => {
  for (let shift = 0; shift < 40; shift++) {
    const writer = new Writer();
    writer.raw(new Uint8Array(shift));
    for (let group = 0; group < GROUPS; group++) {
      writer.int8(-128);
      writer.int16(-32768);
      writer.int32(-2147483648);
      writer.int64(-9223372036854775808n);
      writer.uvarint(4294967295);
      writer.bool(true);
      writer.uuid(group % 2 === 0 ? "00112233445566778899AABBCCDDEEFF" : "f".repeat(32));
    }
    writer.raw([fromHex("0102"), new Uint8Array(1500).fill(9), fromHex("03")]);
    assert.equal(writer.byteLength, shift + 37 * GROUPS + 1503);
    const bytes = bytesOf(writer);
    assert.equal(bytes.length, writer.byteLength);
    const reader = new Reader(bytes);
    reader.raw(shift);
    for (let group = 0; group < GROUPS; group++) {
      assert.equal(reader.int8(), -128);
      assert.equal(reader.int16(), -32768);
      assert.equal(reader.int32(), -2147483648);
      assert.equal(reader.int64(), -9223372036854775808n);
      assert.equal(reader.uvarint(), 4294967295);
      assert.equal(reader.bool(), true);
      assert.equal(reader.uuid(), group % 2 === 0 ? "00112233445566778899aabbccddeeff" : "f".repeat(32));
    }
    assert.equal(toHex(reader.raw(3)), "010209");
    assert.equal(toHex(reader.raw(1500).subarray(1499)), "03");
    reader.expectEnd();
  }
});

test("protocol: 64-bit integers around the ends of their halves are read as they were written", () => {
  const numbers = [0n, -1n, 1n, -2n, 2n ** 32n - 1n, -(2n ** 32n), 2n ** 32n, -(2n ** 32n) - 1n, 2n ** 63n - 1n];
  const writer = new Writer();
  for (const number of numbers) writer.int64(number);
  const reader = new Reader(bytesOf(writer));
  assert.deepEqual(numbers.map(() => reader.int64()), numbers);
});

test("protocol: a message that was written keeps its bytes while others are written behind it", () => {
  const messages = Array.from({ length: 3_000 }, (_, index) => {
    const writer = new Writer();
    writer.int32(index);
    if (index % 7 === 0) writer.raw(new Uint8Array(index).fill(index));
    writer.int32(~index);
    return writer.finish().parts;
  });
  for (const [index, parts] of messages.entries()) {
    const [first, last] = [parts[0]!, parts.at(-1)!];
    assert.equal(new DataView(first.buffer, first.byteOffset).getInt32(0), index);
    assert.equal(new DataView(last.buffer, last.byteOffset + last.length - 4).getInt32(0), ~index);
  }
});

test("protocol: any byte but 0 is true", () => {
  assert.deepEqual(["00", "01", "02", "ff"].map((hex) => new Reader(fromHex(hex)).bool()), [false, true, true, true]);
});

test("protocol: a reader of a part of an array reads no byte outside of it", () => {
  const bytes = fromHex("aabb0102ccdd");
  const reader = new Reader(bytes, 2, 4);
  assert.equal(reader.int16(), 0x0102);
  assert.throws(() => reader.int8(), ProtocolError);
  assert.throws(() => new Reader(bytes.subarray(2, 4)).int32(), ProtocolError);
});
