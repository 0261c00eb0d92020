import assert from "node:assert/strict";
import { assertBytes } from "../bytes.ts";
import { crc32c } from "../../src/codec/crc32c.ts";
import { copyOf } from "../../src/producer/admission/waiting_send.ts";
import { RecordEncoder } from "../../src/producer/record/record_encoder.ts";
import {
  maxSizeOfRecord,
  type ProducerStamp,
  type RecordBytes,
  sealBatch,
  sizeOfRecordBody,
  writeBatchHeader,
  writeRecord,
} from "../../src/protocol/record_batch.ts";
import { BATCH_OVERHEAD } from "../../src/protocol/record_batch_layout.ts";
import { decodeRecords, readBatchHeader, verifyCrc } from "../../src/protocol/record_batch_reader.ts";
import { sizeOfVarint } from "../../src/protocol/varint.ts";
import { seededRandom } from "../../src/testing/mod.ts";
import golden from "../golden/record-batches.json" with { type: "json" };
import { test } from "../harness.ts";
import { fromHex, toHex } from "./golden.ts";

interface GoldenBatch {
  readonly name: string;
  readonly codec: string;
  readonly timestampType: string;
  readonly isControl: boolean;
  readonly header: {
    readonly attributes: number;
    readonly producerId: string;
    readonly producerEpoch: number;
    readonly baseSequence: number;
  };
  readonly records: readonly {
    readonly timestamp: string;
    readonly key: string | null;
    readonly value: string | null;
    readonly headers?: readonly (readonly [string, string | null])[];
  }[];
  readonly hex: string;
}

interface TestRecord extends RecordBytes {
  readonly timestamp: number;
}

const UNSTAMPED: ProducerStamp = { producerId: -1n, producerEpoch: -1, baseSequence: -1 };

/** Writes a batch as the producer does: records as they come, header and stamp at the end. */
function writeBatch(records: readonly TestRecord[], stamp: ProducerStamp = UNSTAMPED, attributes = 0): Uint8Array {
  const base = records[0]!.timestamp;
  const room = records.reduce((sum, record) => sum + maxSizeOfRecord(record), BATCH_OVERHEAD);
  const buffer = new Uint8Array(room).fill(0xaa); // pooled buffers are not zeroed
  let at = BATCH_OVERHEAD;
  for (const [index, record] of records.entries()) {
    const delta = record.timestamp - base;
    const size = sizeOfRecordBody(record, index, delta);
    const wantedEnd = at + sizeOfVarint(size) + size;
    assert.equal(writeRecord(buffer, at, wantedEnd - 1, record, index, delta), -wantedEnd, "a byte too few");
    assert.equal(buffer[at], 0xaa, "nothing is written behind the limit");
    const end = writeRecord(buffer, at, wantedEnd, record, index, delta);
    assert.equal(end - at, sizeOfVarint(size) + size, "the size was foretold");
    assert.ok(end - at <= maxSizeOfRecord(record));
    at = end;
  }
  const bytes = buffer.subarray(0, at);
  const maxTimestamp = Math.max(...records.map(({ timestamp }) => timestamp));
  writeBatchHeader(bytes, attributes, records.length, base, maxTimestamp);
  sealBatch(bytes, stamp, crc32c);
  return bytes;
}

const encoder = new RecordEncoder(undefined, undefined, { bufferMemory: 1e9, maxRequestSize: 1e9 });
const text = new TextDecoder();

function record(
  timestamp: number,
  key: Uint8Array | null,
  value: Uint8Array | null,
  headers: readonly (readonly [Uint8Array, Uint8Array | null])[] = [],
): TestRecord {
  encoder.encode("t", key, value, headers.map(([name, content]) => [text.decode(name), content] as const));
  return { timestamp, ...copyOf(encoder) };
}

const maybe = (hex: string | null): Uint8Array | null => hex === null ? null : fromHex(hex);
const utf8 = new TextEncoder();

// What a producer can write: not compressed, its own timestamps, no control batch.
const BATCHES = (golden as unknown as { batches: GoldenBatch[] }).batches.filter((batch) =>
  batch.header !== undefined && batch.codec === "none" && batch.timestampType === "CreateTime" && !batch.isControl
);

test("record batch writer: there are golden batches of every kind to compare with", () => {
  const names = BATCHES.map(({ name }) => name);
  for (const part of ["none/one", "none/mixed", "none/bigvarints", "none/manyheaders", "none/hundred"]) {
    assert.ok(names.includes(part), part);
  }
  assert.ok(BATCHES.some(({ header }) => header.baseSequence > 2_147_000_000), "sequences that wrap");
  assert.ok(BATCHES.some(({ header }) => header.producerId !== "-1"), "idempotent ones");
});

for (const { name, header, records, hex } of BATCHES) {
  test(`record batch writer: the golden batch ${name} comes out byte for byte`, () => {
    const { producerId, producerEpoch, baseSequence, attributes } = header;
    const stamp = { producerId: BigInt(producerId), producerEpoch, baseSequence };
    const bytes = writeBatch(
      records.map(({ timestamp, key, value, headers = [] }) =>
        record(
          Number(timestamp),
          maybe(key),
          maybe(value),
          headers.map(([header, content]) => [utf8.encode(header), maybe(content)] as const),
        )
      ),
      stamp,
      attributes,
    );
    assert.equal(toHex(bytes), hex);
  });
}

test("record batch writer: sealing again with another stamp changes the stamp and the checksum only", () => {
  const bytes = writeBatch([record(5, utf8.encode("k"), utf8.encode("v"))], UNSTAMPED);
  const before = bytes.slice();
  sealBatch(bytes, { producerId: 2n ** 62n, producerEpoch: 32_767, baseSequence: 2_147_483_647 }, crc32c);
  const header = readBatchHeader(bytes);
  verifyCrc(header, bytes, crc32c);
  assert.deepEqual([header.producerId, header.producerEpoch, header.baseSequence], [2n ** 62n, 32_767, 2_147_483_647]);
  for (let at = 0; at < bytes.length; at++) {
    const inCrc = at >= 17 && at < 21;
    const inStamp = at >= 43 && at < 57;
    if (!inCrc && !inStamp) assert.equal(bytes[at], before[at], `byte ${at}`);
  }
  sealBatch(bytes, UNSTAMPED, crc32c);
  assertBytes(bytes, before);
});

test("record batch writer: what stands in the buffer before and after doesn't matter", () => {
  const one = record(1_000, utf8.encode("key"), utf8.encode("value"), [[utf8.encode("h"), null]]);
  const longer = new Uint8Array(100).fill(0x77);
  longer.set(one.value!);
  const key = new Uint8Array(100).fill(0x77);
  key.set(one.key!);
  assert.deepEqual(writeBatch([{ ...one, value: longer, key }]), writeBatch([one]));
  const big = new Uint8Array(200).fill(1);
  const wide = new Uint8Array(300);
  wide.set(big);
  assert.deepEqual(
    writeBatch([{ ...record(0, null, wide), valueLength: 200 }]),
    writeBatch([record(0, null, big)]),
  );
});

test("record batch writer: 300 random batches are read back as they were written", () => {
  const random = seededRandom(21);
  const roll = (limit: number): number => Math.floor(random() * limit);
  const sizes = [0, 1, 31, 32, 33, 63, 64, 127, 128, 8_191, 8_192, 70_000];
  const bytes = (): Uint8Array | null => {
    if (roll(6) === 0) return null;
    const length = roll(10) === 0 ? sizes[roll(sizes.length)]! : roll(50);
    return Uint8Array.from({ length }, () => roll(256));
  };
  const times = [0, 1, 2 ** 30 - 1, 2 ** 30, 2 ** 31, 2 ** 32 + 5, 2 ** 40, 1_700_000_000_000, Number.MAX_SAFE_INTEGER];
  for (let round = 0; round < 300; round++) {
    const content = Array.from({ length: 1 + roll(roll(10) === 0 ? 200 : 8) }, () => ({
      timestamp: roll(3) === 0 ? times[roll(times.length)]! : 1_700_000_000_000 + roll(2_000) - 1_000,
      key: bytes(),
      value: bytes(),
      headers: Array.from({ length: roll(4) }, () => [utf8.encode(`h${roll(3)}`), bytes()] as const),
    }));
    const stamp = { producerId: BigInt(roll(1_000)), producerEpoch: roll(32_768), baseSequence: roll(2 ** 31) };
    const batch = writeBatch(
      content.map(({ timestamp, key, value, headers }) => record(timestamp, key, value, headers)),
      stamp,
    );
    const header = readBatchHeader(batch);
    verifyCrc(header, batch, crc32c);
    assert.deepEqual(
      [header.baseOffset, header.batchLength, header.partitionLeaderEpoch, header.magic, header.attributes],
      [0n, batch.length - 12, -1, 2, 0],
    );
    assert.deepEqual(
      [header.producerId, header.producerEpoch, header.baseSequence],
      [stamp.producerId, stamp.producerEpoch, stamp.baseSequence],
    );
    assert.deepEqual([header.recordsCount, header.lastOffsetDelta], [content.length, content.length - 1]);
    assert.equal(header.maxTimestamp, BigInt(Math.max(...content.map(({ timestamp }) => timestamp))));
    const records = decodeRecords(header, batch.subarray(BATCH_OVERHEAD));
    for (const [index, { timestamp, key, value, headers }] of content.entries()) {
      const found = records[index]!;
      assert.equal(found.timestamp, BigInt(timestamp));
      assert.equal(found.offset, BigInt(index));
      assert.deepEqual(found.key, key);
      assert.deepEqual(found.value, value);
      assert.deepEqual(found.headers, headers.map(([name, content]) => [new TextDecoder().decode(name), content]));
    }
  }
});
