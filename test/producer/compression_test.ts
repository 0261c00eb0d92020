import assert from "node:assert/strict";
import { type Codec, type CompressionType, Producer } from "../../mod.ts";
import { COMPRESSION_IDS } from "../../src/codec/codec.ts";
import { resolveCodec } from "../../src/codec/registry.ts";
import { Produce } from "../../src/protocol/messages/mod.ts";
import { readBatchHeader } from "../../src/protocol/record_batch_reader.ts";
import { EmbeddedCluster } from "../../src/testing/mod.ts";
import { ofAnotherRealm } from "../another_realm.ts";
import { stage } from "../stage.ts";
import { test } from "../harness.ts";
import { watch } from "./wire.ts";

const text = (bytes: Uint8Array | null): string => new TextDecoder().decode(bytes!);
const TYPES = Object.keys(COMPRESSION_IDS) as CompressionType[];

function headersOf(cluster: EmbeddedCluster, topic: string): ReturnType<typeof readBatchHeader>[] {
  return [...cluster.topic(topic)!.partitions].flatMap(({ log }) =>
    log.batches.map(({ bytes }) => readBatchHeader(bytes))
  );
}

for (const compression of TYPES) {
  test(`compression: ${compression} is applied to whole batches, marked as such and read back complete`, async () => {
    const cluster = new EmbeddedCluster({ topics: { orders: 3 } });
    const p = new Producer({ brokers: cluster.bootstrap, connect: cluster.sockets, compression, lingerMs: 2 });
    try {
      const values = Array.from({ length: 300 }, (_, i) => JSON.stringify({ id: i, name: "the same again and again" }));
      const sent = await p.sendBatch(
        values.map((value, i) => ({
          topic: "orders",
          partition: i % 3,
          key: `k${i}`,
          value,
          headers: { h: String(i) },
        })),
      ).all();
      const records = await cluster.records("orders");
      assert.equal(records.length, 300);
      for (const [i, { partition, offset }] of sent.entries()) {
        const record = records.find((one) => one.partition === partition && one.offset === offset)!;
        assert.deepEqual([text(record.key), text(record.value)], [`k${i}`, values[i]]);
        assert.deepEqual(record.headers.map(([name, value]) => [name, text(value)]), [["h", String(i)]]);
      }
      const headers = headersOf(cluster, "orders");
      assert.ok(headers.length < 30, `${headers.length} batches of 300 records`);
      assert.deepEqual([...new Set(headers.map(({ attributes }) => attributes))], [COMPRESSION_IDS[compression]]);
      const rate = p.metrics()["compression-rate-avg"];
      if (compression === "none") assert.equal(rate, 1);
      else assert.ok(rate < 0.7, String(rate));
    } finally {
      await p.close();
      await cluster.close();
    }
  });
}

/** A codec under the name of gzip that does as a test wants; its bytes are only marked. */
function ownCodec(compress: Codec["compress"]): Codec {
  return { name: "gzip", id: 1, compress, decompress: (input) => input.slice(1) };
}

test("compression: topics have codecs of their own", async () => {
  const { cluster, producer, run } = stage({ topics: { a: 1, b: 1, c: 1 } });
  const p = producer({ compression: { topics: { a: "lz4", b: "none" }, default: "snappy" } });
  await run(p.sendBatch(["a", "b", "c"].map((topic) => ({ topic, value: "v".repeat(100) }))).all());
  assert.deepEqual(["a", "b", "c"].map((topic) => headersOf(cluster, topic)[0]!.codecId), [3, 0, 2]);
  await run(p.close());
});

test("compression: a codec that fails rejects the batch with CompressionError, and nothing is sent raw", async () => {
  const { cluster, producer, run, failure } = stage();
  for (const later of [false, true]) {
    let broken = true;
    const codec = ownCodec((input) => {
      const marked = new Uint8Array([0xcc, ...input]);
      if (!broken) return later ? Promise.resolve(marked) : marked;
      if (later) return Promise.reject(new RangeError("out of tables"));
      throw new RangeError("out of tables");
    });
    const embedded = producer({ compression: "gzip", codecs: { gzip: codec }, lingerMs: 5 });
    const sends = Array.from({ length: 3 }, () => embedded.send({ topic: "orders", partition: 0, value: "v" }));
    const settled = Promise.allSettled(sends);
    for (const send of sends) {
      const error = await failure(send);
      assert.deepEqual([error.name, error.code, error.persisted, error.retriable], [
        "CompressionError",
        "COMPRESSION",
        "no",
        false,
      ]);
      assert.equal((error.cause as Error).message, "out of tables");
    }
    await run(settled);
    assert.equal(cluster.requestsOf(Produce).length, 0);
    assert.equal(embedded.metrics()["buffer-available-bytes"], embedded.metrics()["buffer-total-bytes"]);
    broken = false;
    void embedded.send({ topic: "orders", partition: 0, value: "v" }, { onDelivery: () => {} });
    await run(embedded.flush());
    const [request] = cluster.requestsOf(Produce);
    const records = request!.body.topicData[0]!.partitionData[0]!.records!;
    const header = readBatchHeader(records);
    assert.deepEqual([header.codecId, records[61], header.baseSequence], [1, 0xcc, 0]);
    cluster.clearRequests();
    await run(embedded.close());
  }
});

test("compression: the bytes that an own codec gives may be of another realm, at once or later, on either way", async () => {
  const { cluster, producer, run } = stage({ codecs: { gzip: ownCodec((input) => input) } });
  for (const later of [false, true]) {
    const given = (bytes: Uint8Array): Uint8Array | Promise<Uint8Array> => {
      const foreign = ofAnotherRealm(bytes);
      return later ? Promise.resolve(foreign) : foreign;
    };
    const codec: Codec = {
      ...ownCodec((input) => given(new Uint8Array([0xcc, ...input]))),
      decompress: (input) => given(input.slice(1)),
    };
    for (const options of [{ compression: codec }, { compression: "gzip", codecs: { gzip: codec } }] as const) {
      const p = producer(options);
      await run(p.send({ topic: "orders", partition: 0, value: "v" }));
      const records = cluster.requestsOf(Produce).at(-1)!.body.topicData[0]!.partitionData[0]!.records!;
      assert.deepEqual([readBatchHeader(records).codecId, records[61]], [1, 0xcc]);
      await run(p.close());
    }
    const whole = resolveCodec("gzip", { custom: { gzip: codec } });
    const original = await whole.decompress(await whole.compress(Uint8Array.of(1, 2, 3)), 3);
    assert.deepEqual([...original], [1, 2, 3]);
    assert.ok(original instanceof Uint8Array);
  }
});

test("compression: records of a partition stay in order though an earlier batch takes longer to compress", async () => {
  const { cluster, producer, run, runtime } = stage({ codecs: { gzip: ownCodec((input) => input) } });
  let calls = 0;
  const codec = ownCodec((input) => {
    const marked = new Uint8Array([0xcc, ...input]);
    const delayMs = [50, 1, 20, 0][calls++ % 4]!;
    return delayMs === 0 ? marked : new Promise((resolve) => void runtime.setTimer(() => resolve(marked), delayMs));
  });
  const p = producer({ compression: "gzip", codecs: { gzip: codec }, batchSize: 300 });
  const values = Array.from({ length: 60 }, (_, i) => `${i}`.padEnd(50));
  const sent = await run(Promise.all(values.map((value) => p.send({ topic: "orders", partition: 0, value }))));
  assert.deepEqual(sent.map(({ offset }) => Number(offset)), values.map((_, i) => i));
  assert.deepEqual((await cluster.records("orders", 0)).map(({ value }) => text(value)), values);
  await run(p.close());
});

test("compression: zstd is not sent to a broker too old for it, and nothing else in its place", async () => {
  const { cluster, producer, failure, run } = stage({ apiVersions: { Produce: [0, 6] } });
  const zstd: Codec = { name: "zstd", id: 4, compress: (input) => input.slice(), decompress: (input) => input.slice() };
  const p = producer({ compression: "zstd", codecs: { zstd } });
  assert.equal((await failure(p.send({ topic: "orders", value: "v" }))).code, "UNSUPPORTED_COMPRESSION_TYPE");
  assert.equal(cluster.requestsOf(Produce).length, 0);
  await run(p.close());
});

test("compression: topics have levels of their own, and the higher one gives fewer bytes", async () => {
  const cluster = new EmbeddedCluster({ topics: { quick: 1, small: 1, plain: 1 } });
  const p = new Producer({
    brokers: cluster.bootstrap,
    connect: cluster.sockets,
    lingerMs: 5,
    compression: { topics: { quick: { codec: "gzip", level: 1 }, small: { codec: "gzip", level: 9 } } },
  });
  try {
    let state = 7;
    const word = (): string => ((state = (state * 48_271) % 2_147_483_647) % 5_000).toString(36);
    const value = Array.from({ length: 3_000 }, word).join(" ");
    const sent = ["quick", "small", "plain"].map((topic) => ({ topic, value }));
    await p.sendBatch(sent).all();
    const [quick, small, plain] = sent.map(({ topic }) => cluster.partition(topic, 0).log.batches[0]!.bytes.length);
    assert.ok(small! < quick! && quick! < plain!, `${small}, ${quick}, ${plain} bytes`);
    for (const { topic } of sent) assert.equal(text((await cluster.records(topic))[0]!.value), value);
  } finally {
    await p.close();
    await cluster.close();
  }
});

test("compression: a batch that ends while a codec works on it gives its memory back once", async () => {
  const s = stage({ network: { latencyMs: 5 }, topics: { orders: 1 } });
  let answer = (): void => {};
  const zstd: Codec = {
    name: "zstd",
    id: 4,
    compress: (input) => new Promise((resolve) => answer = () => resolve(input.slice())),
    decompress: (input) => input,
  };
  const p = s.producer({
    deliveryTimeoutMs: 2_000,
    requestTimeoutMs: 1_000,
    compression: "zstd",
    codecs: { zstd },
  });
  await s.run(p.refreshMetadata("orders"));
  const controller = new AbortController();
  const taken = watch(s, p.send({ topic: "orders", value: "a".repeat(1_000) }, { signal: controller.signal }));
  const kept = watch(s, p.send({ topic: "orders", value: "b" }));
  await s.runtime.advance(100);
  controller.abort();
  await s.runtime.advance(3_000);
  assert.deepEqual([taken.error?.code, kept.error?.code], ["ABORTED", "DELIVERY_TIMEOUT"]);
  answer();
  await s.runtime.advance(100);
  const metrics = p.metrics();
  assert.equal(metrics["buffer-available-bytes"], metrics["buffer-total-bytes"]);
  await s.run(p.close());
});
