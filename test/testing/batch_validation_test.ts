import assert from "node:assert/strict";
import { resolveCodec } from "../../src/codec/registry.ts";
import { type TopicConfig, VirtualRuntime } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";
import { batchOf, concat, NOW, section, type TestBatch } from "./batches.ts";
import { produceBody, stage } from "./wire.ts";
import { Produce } from "../../src/protocol/messages/mod.ts";

interface Rule {
  /** What the batch is like. */
  readonly name: string;
  readonly batch?: TestBatch;
  readonly bytes?: Uint8Array;
  readonly config?: TopicConfig;
  readonly version?: number;
  /** What the broker answers. */
  readonly errorCode: number;
}

const HOUR = 3_600_000;

const RULES: readonly Rule[] = [
  { name: "a good batch", errorCode: 0 },
  { name: "two batches", bytes: concat([batchOf(), batchOf()]), errorCode: 87 },
  { name: "no bytes", bytes: new Uint8Array(0), errorCode: 87 },
  { name: "garbage behind the batch", bytes: concat([batchOf(), Uint8Array.of(1, 2, 3, 4, 5)]), errorCode: 0 },
  { name: "a wrong checksum", batch: { crcError: 1 }, errorCode: 2 },
  { name: "magic 0", batch: { magic: 0 }, errorCode: 87 },
  { name: "magic 1", batch: { magic: 1 }, errorCode: 87 },
  { name: "magic 3", batch: { magic: 3 }, errorCode: 2 },
  { name: "a base offset other than 0", batch: { baseOffset: 1n }, errorCode: 87 },
  { name: "a leader epoch of its own", batch: { leaderEpoch: 77 }, errorCode: 0 },
  { name: "a truncated batch", bytes: batchOf().subarray(0, 65), errorCode: 87 },
  { name: "a header only", bytes: batchOf().subarray(0, 61), errorCode: 87 },
  { name: "a batch length of 2^30", batch: { lengthError: 2 ** 30 }, errorCode: 87 },
  { name: "a batch length of one too few", batch: { lengthError: -1 }, errorCode: 2 },
  { name: "a batch length of -1", bytes: withLength(-1), errorCode: 2 },
  { name: "a batch length of 20", bytes: withLength(20), errorCode: 2 },
  { name: "a count above the last offset delta", batch: { count: 2 }, errorCode: 87 },
  { name: "a last offset delta above the count", batch: { lastOffsetDelta: 5 }, errorCode: 87 },
  { name: "fewer records than the count", batch: { count: 2, lastOffsetDelta: 1 }, errorCode: 87 },
  { name: "more records than the count", batch: { records: [{}, {}], count: 1, lastOffsetDelta: 0 }, errorCode: 87 },
  { name: "a count of 0", batch: { records: [] }, errorCode: 87 },
  { name: "a count of -1", batch: { count: -1, lastOffsetDelta: -2 }, errorCode: 87 },
  { name: "the control bit", batch: { attributes: 0x20 }, errorCode: 87 },
  { name: "the timestamp type bit", batch: { attributes: 0x08 }, errorCode: 0 },
  { name: "the delete horizon bit", batch: { attributes: 0x40 }, errorCode: 0 },
  { name: "an unknown attribute bit", batch: { attributes: -0x8000 }, errorCode: 0 },
  { name: "codec id 5", batch: { attributes: 5 }, errorCode: -1 },
  { name: "offset deltas out of order", batch: { records: [{ offsetDelta: 1 }, { offsetDelta: 0 }] }, errorCode: 0 },
  { name: "attributes in a record", batch: { records: [{ attributes: 9 }] }, errorCode: 0 },
  { name: "a record length of one too many", batch: { records: [{ value: "v", lengthError: 1 }] }, errorCode: 87 },
  { name: "a record length of one too few", batch: { records: [{ value: "v", lengthError: -1 }] }, errorCode: 87 },
  {
    name: "a record length that reaches into the next record",
    batch: { records: [{ lengthError: 1 }, {}] },
    errorCode: 87,
  },
  { name: "a negative record length", batch: { records: [{ lengthError: -20 }] }, errorCode: 87 },
  { name: "a header without a name", batch: { records: [{ headers: [[null, "v"]] }] }, errorCode: 87 },
  { name: "a header with an empty name", batch: { records: [{ headers: [["", "v"]] }] }, errorCode: 0 },
  { name: "a header without a value", batch: { records: [{ headers: [["h", null]] }] }, errorCode: 0 },
  { name: "a negative header count", bytes: withHeaderCount(-1), errorCode: 87 },
  { name: "more headers than bytes", bytes: withHeaderCount(50), errorCode: 87 },
  { name: "negative timestamps", batch: { baseTimestamp: -5n, records: [{ timestampDelta: -395 }] }, errorCode: 0 },
  {
    name: "a timestamp 3590 s ahead",
    batch: { records: [{ timestampDelta: HOUR - 10_000 }] },
    errorCode: 0,
  },
  { name: "a timestamp over an hour ahead", batch: { records: [{ timestampDelta: HOUR + 1 }] }, errorCode: 32 },
  { name: "the last timestamp that there is", batch: { baseTimestamp: 2n ** 63n - 1n }, errorCode: 32 },
  { name: "a delta of more than 53 bits", batch: { records: [{ timestampDelta: 2n ** 60n }] }, errorCode: 32 },
  {
    name: "a timestamp ahead where the broker sets them",
    batch: { records: [{ timestampDelta: 9 * HOUR }] },
    config: { "message.timestamp.type": "LogAppendTime" },
    errorCode: 0,
  },
  {
    name: "a timestamp before the limit",
    batch: { records: [{ timestampDelta: -1001 }] },
    config: { "message.timestamp.before.max.ms": 1000 },
    errorCode: 32,
  },
  {
    name: "a timestamp far ahead where that is allowed",
    batch: { records: [{ timestampDelta: 2n ** 40n }] },
    config: { "message.timestamp.after.max.ms": "9223372036854775807" },
    errorCode: 0,
  },
  {
    name: "no key on a compacted topic",
    batch: { records: [{}] },
    config: { "cleanup.policy": "compact" },
    errorCode: 87,
  },
  {
    name: "an empty key on a compacted topic",
    batch: { records: [{ key: "" }] },
    config: { "cleanup.policy": "compact,delete" },
    errorCode: 0,
  },
  { name: "exactly max.message.bytes", bytes: sized(1000), config: { "max.message.bytes": 1000 }, errorCode: 0 },
  { name: "a byte over max.message.bytes", bytes: sized(1001), config: { "max.message.bytes": 1000 }, errorCode: 10 },
  { name: "a byte over segment.bytes", bytes: sized(1001), config: { "segment.bytes": 1000 }, errorCode: 18 },
  { name: "zstd in version 6", batch: { attributes: 4 }, version: 6, errorCode: 76 },
  { name: "a producer id without a sequence", batch: { producerId: 5n, epoch: 0 }, errorCode: 87 },
  {
    name: "the transactional bit without an id",
    batch: { attributes: 0x10, producerId: 5n, epoch: 0, sequence: 0 },
    errorCode: 53,
  },
];

for (const { name, batch, bytes, config, version, errorCode } of RULES) {
  test(`batch validation: ${name} is answered with ${errorCode}`, async () => {
    const { cluster, connect } = stage({ topics: { orders: { config: config ?? {} } } });
    const wire = await connect();
    const produced = await wire.produce(bytes ?? batchOf(batch), { version: version ?? 11 });
    assert.equal(produced?.errorCode, errorCode);
    assert.equal(cluster.endOffset("orders", 0) > 0n, errorCode === 0);
    assert.equal(produced.baseOffset, errorCode === 0 ? 0n : -1n);
  });
}

for (const name of ["gzip", "snappy", "lz4"] as const) {
  test(`batch validation: what ${name} holds is looked at`, async () => {
    const codec = resolveCodec(name, { codecs: "portable" });
    const { cluster, connect } = stage({ codecs: { [name]: codec } });
    const wire = await connect();
    const compress = async (payload: Uint8Array): Promise<Uint8Array> => await codec.compress(payload);
    const records = Array.from({ length: 50 }, (_, i) => ({ key: `k${i}`, value: "a value that comes again" }));
    const good = await compress(section(records));
    const offer = async (payload: Uint8Array, batch: TestBatch = {}): Promise<number | undefined> =>
      (await wire.produce(batchOf({ records, attributes: codec.id, payload, ...batch })))?.errorCode;
    assert.equal(await offer(good), 0);
    assert.equal(await offer(good.subarray(0, good.length - 9)), -1);
    assert.equal(await offer(good, { count: 49, lastOffsetDelta: 48 }), 87);
    assert.equal(
      await offer(await compress(section([{ offsetDelta: 1 }, { offsetDelta: 0 }])), { records: [{}, {}] }),
      -1,
    );
    const stored = await cluster.records("orders", 0);
    assert.deepEqual(stored.map(({ key }) => new TextDecoder().decode(key!)), records.map(({ key }) => key));
  });
}

test("batch validation: record errors name every bad record and the message at most three", async () => {
  const { connect } = stage({ topics: { orders: { config: { "cleanup.policy": "compact" } } } });
  const wire = await connect();
  const records = [{ key: "k" }, ...Array.from({ length: 15 }, () => ({}))];
  const answer = await wire.produce(batchOf({ records }));
  assert.deepEqual(answer?.recordErrors.map(({ batchIndex }) => batchIndex), records.slice(1).map((_, i) => i + 1));
  assert.match(answer.errorMessage ?? "", /due to 15 record errors in total/);
  assert.equal(answer.errorMessage?.match(/batchIndex=/g)?.length, 3);
  const old = await wire.produce(batchOf({ records }), { version: 7 });
  assert.deepEqual([old?.errorCode, old?.recordErrors, old?.errorMessage], [87, [], null]);
});

test("batch validation: a header that can't be fails the innocent partitions of its request too", async () => {
  const { cluster, connect } = stage();
  const wire = await connect();
  const answer = await wire.ask(
    Produce,
    11,
    produceBody([["orders", 0, batchOf()], ["orders", 1, batchOf({ magic: 3 })]]),
  );
  const partitions = answer!.responses.flatMap((topic) => topic.partitionResponses);
  assert.deepEqual(partitions.map(({ errorCode }) => errorCode), [2, 2]);
  assert.ok(partitions.every(({ errorMessage }) => errorMessage !== null));
  assert.equal(cluster.endOffset("orders", 0), 0n);
});

test("batch validation: a refused batch leaves its sequence free", async () => {
  const { connect } = stage();
  const wire = await connect();
  const batch = { producerId: 5n, epoch: 0, sequence: 0 };
  assert.equal((await wire.produce(batchOf({ ...batch, crcError: 1 })))?.errorCode, 2);
  assert.equal((await wire.produce(batchOf({ ...batch, records: [{ timestampDelta: 2 * HOUR }] })))?.errorCode, 32);
  assert.equal((await wire.produce(batchOf(batch)))?.errorCode, 0);
  assert.equal((await wire.produce(batchOf({ ...batch, sequence: 1 })))?.errorCode, 0);
});

test("batch validation: a wrong latest timestamp is corrected in the log", async () => {
  const { cluster, connect } = stage();
  const wire = await connect();
  await wire.produce(batchOf({ records: [{ timestampDelta: 5 }, { timestampDelta: 3 }], maxTimestamp: 0n }));
  assert.equal(cluster.partition("orders", 0).log.batches[0]?.maxTimestampMs, NOW + 5n);
  const [first] = await cluster.records("orders", 0); // fails unless the checksum was made anew
  assert.equal(first?.timestamp, NOW + 5n);
});

test("batch validation: the virtual date is what timestamps are compared with", async () => {
  assert.equal(BigInt(new VirtualRuntime().wallNow()), NOW);
  const { connect, runtime } = stage();
  const wire = await connect();
  const batch = batchOf({ records: [{ timestampDelta: HOUR + 1 }] });
  assert.equal((await wire.produce(batch))?.errorCode, 32);
  await runtime.advance(1);
  assert.equal((await wire.produce(batch))?.errorCode, 0);
});

function withLength(length: number): Uint8Array {
  const bytes = batchOf();
  new DataView(bytes.buffer).setInt32(8, length);
  return bytes;
}

/** One record whose header count is this, and that has no headers. */
function withHeaderCount(count: number): Uint8Array {
  const zigzag = count < 0 ? -2 * count - 1 : 2 * count;
  return batchOf({ payload: Uint8Array.of(12, 0, 0, 0, 1, 1, zigzag) });
}

/** A batch of so many bytes. */
function sized(bytes: number): Uint8Array {
  const fill = (size: number): Uint8Array => batchOf({ records: [{ key: "k", value: "v".repeat(size) }] });
  return fill(bytes - fill(900).length + 900);
}

test("embedded broker: release 3.9 takes timestamps of any time to come", async () => {
  const ahead = batchOf({ records: [{ timestampDelta: 99 * HOUR }] });
  assert.equal((await (await stage({ release: "3.9" }).connect()).produce(ahead))?.errorCode, 0);
  assert.equal((await (await stage().connect()).produce(ahead))?.errorCode, 32);
});

test("embedded broker: a record's length is looked at only where nothing is compressed", async () => {
  const { cluster, connect, runtime } = stage();
  const wire = await connect();
  const wrong = section([{ lengthError: 1 }, {}]);
  assert.equal((await wire.produce(batchOf({ records: [{}, {}], payload: wrong })))?.errorCode, 87);
  const codec = resolveCodec("gzip");
  const payload = await runtime.outside(Promise.resolve(codec.compress(wrong)));
  assert.equal((await wire.produce(batchOf({ records: [{}, {}], payload, attributes: 1 })))?.errorCode, 0);
  assert.equal(cluster.endOffset("orders", 0), 2n);
});

test("embedded broker: a producer id without a sequence is told where the log starts", async () => {
  const { connect } = stage();
  const refused = await (await connect()).produce(batchOf({ producerId: 5n, epoch: 0, sequence: -1 }));
  assert.deepEqual([refused?.errorCode, refused?.logStartOffset], [87, 0n]);
});
