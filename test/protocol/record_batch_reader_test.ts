import assert from "node:assert/strict";
import { ProtocolError } from "../../src/errors.ts";
import * as layout from "../../src/protocol/record_batch_layout.ts";
import {
  type BatchReaderOptions,
  readBatchHeader,
  readRecordBatches,
  type RecordBatch,
  splitRecordBatches,
} from "../../src/protocol/record_batch_reader.ts";
import { RecordCursor } from "../../src/protocol/record_cursor.ts";
import golden from "../golden/record-batches.json" with { type: "json" };
import { test } from "../harness.ts";
import { concatenated, fromHex, toHex } from "./golden.ts";

interface GoldenBatch {
  readonly name: string;
  readonly codec: string;
  readonly timestampType: string;
  readonly isTransactional: boolean;
  readonly isControl: boolean;
  readonly header: { readonly [name: string]: string | number };
  readonly records: readonly {
    readonly offset: string;
    readonly timestamp: string;
    readonly key: string | null;
    readonly value: string | null;
    readonly headers?: readonly (readonly [string, string | null])[];
  }[];
  readonly hex: string;
}

// One entry is only a remark.
const BATCHES = (golden as unknown as { batches: GoldenBatch[] }).batches.filter(({ header }) => header !== undefined);
const CODECS = ["none", "gzip", "snappy", "lz4", "zstd"];

/** Bit by bit, so that it shares nothing with the one under `src`. */
function crc32c(bytes: Uint8Array): number {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

const OPTIONS: BatchReaderOptions = {
  crc32c,
  async decompress(codecId, bytes) {
    assert.equal(codecId, 1);
    const stream = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  },
};

async function batchesOf(bytes: Uint8Array, options: BatchReaderOptions = OPTIONS): Promise<RecordBatch[]> {
  const batches: RecordBatch[] = [];
  for await (const batch of readRecordBatches(bytes, options)) batches.push(batch);
  return batches;
}

function hexOrNull(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : toHex(bytes);
}

/** The uncompressed batch that has nulls, repeated headers and negative deltas. */
function mixedBatch(): Uint8Array {
  return fromHex(BATCHES.find(({ name }) => name === "none/mixed")!.hex);
}

/** Puts the right CRC into a batch that was changed on purpose. */
function resealed(batch: Uint8Array): Uint8Array {
  new DataView(batch.buffer).setUint32(layout.CRC, crc32c(batch.subarray(layout.ATTRIBUTES)));
  return batch;
}

test("protocol: record batches of the Java class are read record by record", async () => {
  let count = 0;
  for (const wanted of BATCHES) {
    if (wanted.codec !== "none" && wanted.codec !== "gzip") continue;
    const [batch, ...others] = await batchesOf(fromHex(wanted.hex));
    assert.ok(batch !== undefined && others.length === 0, wanted.name);
    const { header, records } = batch;
    assert.equal(header.isControl, wanted.isControl, wanted.name);
    assert.equal(header.isTransactional, wanted.isTransactional, wanted.name);
    assert.equal(header.isLogAppendTime, wanted.timestampType === "LogAppendTime", wanted.name);
    assert.deepEqual(
      records.map(({ offset, timestamp, key, value, headers }) => ({
        offset: String(offset),
        timestamp: String(timestamp),
        key: hexOrNull(key),
        value: hexOrNull(value),
        headers: headers.map(([name, headerValue]) => [name, hexOrNull(headerValue)]),
      })),
      wanted.records.map(({ offset, timestamp, key, value, headers }) => (
        { offset, timestamp, key, value, headers: headers ?? [] }
      )),
      wanted.name,
    );
    count++;
  }
  assert.ok(count >= 14, `only ${count} batches`);
});

test("protocol: headers of record batches of every codec are read as the Java class reads them", () => {
  for (const wanted of BATCHES) {
    const bytes = fromHex(wanted.hex);
    const header = readBatchHeader(bytes);
    for (const [name, value] of Object.entries(wanted.header)) {
      const read = header[name as keyof typeof header];
      assert.equal(typeof read === "bigint" ? String(read) : read, value, `${wanted.name} ${name}`);
    }
    assert.equal(CODECS[header.codecId], wanted.codec, wanted.name);
    assert.equal(header.crc, crc32c(bytes.subarray(layout.ATTRIBUTES)), wanted.name);
  }
});

test("protocol: several record batches in a row are read, a cut-off last one is left out", async () => {
  const batch = mixedBatch();
  const three = concatenated([batch, batch, batch]);
  assert.equal((await batchesOf(three)).length, 3);
  for (const cut of [1, 100, batch.length - 1]) {
    assert.equal((await batchesOf(three.subarray(0, three.length - cut))).length, 2, `${cut} bytes less`);
  }
  assert.equal([...splitRecordBatches(three)].length, 3);
  assert.deepEqual(await batchesOf(new Uint8Array(0)), []);
});

test("protocol: a flipped bit anywhere after a batch's CRC is a ProtocolError", async () => {
  for (let at = layout.CRC; at < mixedBatch().length; at += 3) {
    const batch = mixedBatch();
    batch[at]! ^= 0x10;
    await assert.rejects(batchesOf(batch), ProtocolError, `byte ${at}`);
  }
});

test("protocol: a record batch of another magic or an impossible length is a ProtocolError", async () => {
  for (const magic of [0, 1, 3]) {
    const batch = mixedBatch();
    batch[layout.MAGIC] = magic;
    await assert.rejects(batchesOf(batch), /magic/);
  }
  for (const length of [-1, 0, 48]) {
    const batch = mixedBatch();
    new DataView(batch.buffer).setInt32(layout.BATCH_LENGTH, length);
    await assert.rejects(batchesOf(batch), /Reading a batch of/);
  }
});

test("protocol: a record count that the batch can't hold is a ProtocolError", async () => {
  for (const count of [0x7fffffff, -1, 6, 8, 0]) {
    const batch = mixedBatch();
    new DataView(batch.buffer).setInt32(layout.RECORDS_COUNT, count);
    await assert.rejects(batchesOf(resealed(batch)), ProtocolError, String(count));
  }
});

test("protocol: records whose lengths lie are ProtocolErrors, never records of other bytes", async () => {
  const original = (await batchesOf(mixedBatch()))[0]!.records;
  let refused = 0;
  for (let at = layout.RECORDS; at < mixedBatch().length; at++) {
    const batch = mixedBatch();
    batch[at] = 0xff;
    try {
      const [read] = await batchesOf(resealed(batch));
      assert.equal(read!.records.length, original.length);
    } catch (error) {
      assert.ok(error instanceof ProtocolError, String(error));
      refused++;
    }
  }
  assert.ok(refused > 20, `only ${refused} refused`);
});

test("protocol: a record that is longer or shorter than its fields is a ProtocolError", async () => {
  for (const change of [-2, 2]) {
    const batch = mixedBatch();
    batch[layout.RECORDS]! += change;
    await assert.rejects(batchesOf(resealed(batch)), /Reading a record of \d+ bytes: its fields take 10/);
  }
});

test("protocol: a compressed record batch without a codec is a ProtocolError", async () => {
  const gzip = BATCHES.find(({ codec }) => codec === "gzip")!;
  await assert.rejects(batchesOf(fromHex(gzip.hex), { crc32c }), /codec "1": wanted an uncompressed one/);
});

test("record cursor: a record that says it is longer than what is left ends the walk, with the problem", () => {
  for (const strictness of ["client", "broker"] as const) {
    // The length of the first record is 60 bytes, that of a negative one −1.
    for (const first of ["78", "01"]) {
      const cursor = new RecordCursor(fromHex(`${first}00000000010000`), strictness);
      assert.equal(cursor.next(), false);
      assert.match(String(cursor.problem), /bytes/);
      assert.equal(cursor.next(), false);
    }
  }
});
