import assert from "node:assert/strict";
import { type Headers, type ProducerRecord, RecordMetadata } from "../../mod.ts";
import { Metadata, Produce } from "../../src/protocol/messages/mod.ts";
import { RecordingProducer, type StoredRecord } from "../../src/testing/mod.ts";
import { stage } from "../stage.ts";
import { test } from "../harness.ts";

const utf8 = new TextEncoder();
const EMPTY = new Uint8Array(0);

const shape = ({ key, value, headers }: StoredRecord): unknown => ({ key, value, headers });

test("record: null and empty key, value and header value stay apart on the broker", async () => {
  const { cluster, producer, run } = stage();
  const p = producer();
  const cases: { key: string | null; value: string | null; header: string | null }[] = [];
  for (const key of [null, ""]) {
    for (const value of [null, ""]) for (const header of [null, ""]) cases.push({ key, value, header });
  }
  await run(
    p.sendBatch(
      cases.map(({ key, value, header }) => ({ topic: "orders", partition: 0, key, value, headers: { h: header } })),
    ).all(),
  );
  const bytes = (text: string | null): Uint8Array | null => text === null ? null : EMPTY;
  const records = await cluster.records("orders", 0);
  assert.deepEqual(
    records.map(shape),
    cases.map(({ key, value, header }) => ({ key: bytes(key), value: bytes(value), headers: [["h", bytes(header)]] })),
  );
  await run(p.close());
});

test("record: an empty key is hashed like any other, null and absent keys go the keyless way", async () => {
  const { cluster, producer, run } = stage({ topics: { wide: 7 } });
  const p = producer();
  for (let i = 0; i < 20; i++) {
    assert.equal((await run(p.send({ topic: "wide", key: "", value: "v" }))).partition, 275_646_681 % 7);
    assert.equal((await run(p.send({ topic: "wide", key: EMPTY, value: "v" }))).partition, 275_646_681 % 7);
  }
  const keyless = new Set<number>();
  for (let i = 0; i < 40; i++) {
    const value = "v".repeat(16_384);
    keyless.add((await run(p.send({ topic: "wide", key: i % 2 === 0 ? null : undefined, value }))).partition);
  }
  assert.ok(keyless.size > 3);
  assert.ok((await cluster.records("wide")).some(({ key }) => key === null));
  await run(p.close());
});

test("record: headers keep their order and repeats, names of any script, values of any byte", async () => {
  const { cluster, producer, run } = stage();
  const p = producer();
  const headers: Headers = [["z", "1"], ["a", "2"], ["z", null], ["ключ", "€"], ["", "no name at all"], ["z", ""], [
    "bytes",
    Uint8Array.of(0, 255),
  ]];
  await run(p.send({ topic: "orders", partition: 0, value: "v", headers }));
  await run(p.send({ topic: "orders", partition: 0, value: "v", headers: { b: "1", a: "2" } }));
  const [first, second] = await cluster.records("orders", 0);
  assert.deepEqual(first!.headers, [
    ["z", utf8.encode("1")],
    ["a", utf8.encode("2")],
    ["z", null],
    ["ключ", utf8.encode("€")],
    ["", utf8.encode("no name at all")],
    ["z", EMPTY],
    ["bytes", Uint8Array.of(0, 255)],
  ]);
  assert.deepEqual(second!.headers.map(([name]) => name), ["b", "a"]);
  await run(p.close());
});

test("record: a header that is undefined is left out, as JSON does, with both producers", async () => {
  const { cluster, producer, run } = stage();
  const p = producer();
  const recording = new RecordingProducer();
  const lists: Headers[] = [
    { a: undefined, b: "1", c: undefined, d: null },
    [["a", undefined], ["b", "1"], ["d", null]],
    { a: undefined },
  ];
  for (const headers of lists) {
    await run(p.send({ topic: "orders", partition: 0, value: "v", headers }));
    await recording.send({ topic: "orders", value: "v", headers });
  }
  const both = [["b", utf8.encode("1")], ["d", null]];
  assert.deepEqual((await cluster.records("orders", 0)).map(({ headers }) => headers), [both, both, []]);
  const recorded = [["b", "1"], ["d", null]];
  assert.deepEqual(recording.records().map(({ headers }) => headers), [recorded, recorded, []]);
  await run(p.close());
});

test("record: what can't be sent rejects that send only, at once, and nothing else is lost", async () => {
  const { cluster, producer, run, failure } = stage();
  const p = producer<unknown, unknown>();
  await run(p.connect());
  await run(p.partitionsFor("orders"));
  const bad: [record: unknown, code: string][] = [
    [{ topic: "orders", value: undefined }, "SERIALIZATION"],
    [{ topic: "orders" }, "SERIALIZATION"],
    [{ topic: "orders", value: 5 }, "SERIALIZATION"],
    [{ topic: "orders", key: 5, value: "v" }, "SERIALIZATION"],
    [{ topic: "orders", value: "v", headers: [[undefined, "x"]] }, "SERIALIZATION"],
    [{ topic: "orders", value: "v", headers: { h: 5 } }, "SERIALIZATION"],
    [{ topic: "", value: "v" }, "INVALID_TOPIC_EXCEPTION"],
    [{ value: "v" }, "INVALID_TOPIC_EXCEPTION"],
    [{ topic: "€".repeat(10_923), value: "v" }, "INVALID_TOPIC_EXCEPTION"],
    [{ topic: "orders", value: "v", partition: -1 }, "INVALID_PARTITION"],
    [{ topic: "orders", value: "v", partition: 0.5 }, "INVALID_PARTITION"],
    [{ topic: "orders", value: "v", partition: 3 }, "INVALID_PARTITION"],
    [{ topic: "orders", value: "v", timestamp: -1 }, "INVALID_TIMESTAMP"],
    [{ topic: "orders", value: "v", timestamp: new Date(0) }, "INVALID_TIMESTAMP"],
    [undefined, "UNEXPECTED"],
    [null, "UNEXPECTED"],
    ["a record", "INVALID_TOPIC_EXCEPTION"],
  ];
  const good: Promise<unknown>[] = [];
  const outcomes = bad.map(([record, code], i) => {
    good.push(p.send({ topic: "orders", partition: i % 3, value: String(i) }));
    const promise = p.send(record as ProducerRecord<unknown, unknown>);
    promise.catch(() => {});
    return { promise, code };
  });
  for (const { promise, code } of outcomes) {
    const error = await failure(promise);
    assert.deepEqual([error.code, error.persisted, error.retriable, error.fatal], [code, "no", false, false], code);
  }
  await run(Promise.all(good));
  const values = (await cluster.records("orders")).map(({ value }) => new TextDecoder().decode(value!));
  assert.deepEqual(values.map(Number).sort((a, b) => a - b), bad.map((_, i) => i));
  assert.equal(p.metrics().errors, bad.length);
  assert.equal(p.metrics()["buffer-available-bytes"], p.metrics()["buffer-total-bytes"]);
  await run(p.close());
});

test("record: a partition out of range names the range after one fresh look", async () => {
  const { cluster, producer, run, failure } = stage();
  const p = producer();
  await run(p.partitionsFor("orders"));
  cluster.clearRequests();
  const error = await failure(p.send({ topic: "orders", partition: 3, value: "v" }));
  assert.match(error.message, /partitions 0 to 2, not 3/);
  assert.deepEqual([error.code, error.topic, error.partition], ["INVALID_PARTITION", "orders", 3]);
  assert.equal(cluster.requestsOf(Metadata).length, 1);
  cluster.addPartitions("orders", 5);
  const { partition } = await run(p.send({ topic: "orders", partition: 4, value: "v" }));
  assert.equal(partition, 4);
  assert.equal((await cluster.records("orders", 4)).length, 1);
  await run(p.close());
});

test("record: each keeps its own timestamp, 0 and earlier ones included, and the batch tells the latest", async () => {
  const { cluster, producer, run, runtime } = stage();
  const p = producer({ lingerMs: 5 });
  const given = [1_000, 900, 2_000, 0, 1_767_225_600_000, undefined];
  const sentAt = runtime.wallNow();
  const all = await run(
    p.sendBatch(
      given.map((timestamp) => ({ topic: "orders", partition: 0, value: "v", timestamp })),
    ).all(),
  );
  const wanted = given.map((timestamp) => timestamp ?? sentAt);
  assert.deepEqual(all.map(({ timestamp }) => timestamp), wanted);
  const records = await cluster.records("orders", 0);
  assert.deepEqual(records.map(({ timestamp }) => Number(timestamp)), wanted);
  const [batch] = cluster.partition("orders", 0).log.batches;
  const view = new DataView(batch!.bytes.buffer, batch!.bytes.byteOffset);
  assert.equal(view.getBigInt64(27), 1_000n); // base
  assert.equal(view.getBigInt64(35), 1_767_225_600_000n); // latest
  assert.equal(cluster.requestsOf(Produce).length, 1);
  await run(p.close());
});

test("record: a timestamp far in the future or with a delta beyond 32 bits is carried exactly", async () => {
  const { cluster, producer, run } = stage({
    topics: { orders: { config: { "message.timestamp.after.max.ms": "9223372036854775807" } } },
  });
  const p = producer({ lingerMs: 5 });
  const given = [Number.MAX_SAFE_INTEGER, 0, 2 ** 40, 2 ** 31, 2 ** 30 - 1, 2 ** 30, 4_102_444_800_000, 1];
  const all = await run(p.sendBatch(given.map((timestamp) => ({ topic: "orders", value: "v", timestamp }))).all());
  assert.deepEqual(all.map(({ timestamp }) => timestamp), given);
  assert.deepEqual((await cluster.records("orders")).map(({ timestamp }) => Number(timestamp)), given);
  await run(p.close());
});

test("record: without a timestamp it gets the time of the call, also when it waited for metadata", async () => {
  const { cluster, producer, run, runtime } = stage();
  cluster.control(Metadata, { delayMs: 700 }, { times: 2 });
  const p = producer();
  const calledAt = runtime.wallNow();
  const { timestamp } = await run(p.send({ topic: "orders", value: "v" }));
  assert.equal(timestamp, calledAt);
  assert.ok(runtime.wallNow() >= calledAt + 700);
  assert.equal(Number((await cluster.records("orders"))[0]!.timestamp), calledAt);
  await run(p.close());
});

test("record: the broker's time is told on a topic that has it", async () => {
  const { producer, run, runtime } = stage({
    topics: { orders: { config: { "message.timestamp.type": "LogAppendTime" } } },
  });
  const p = producer();
  const { timestamp } = await run(p.send({ topic: "orders", value: "v", timestamp: 5 }));
  assert.equal(timestamp, runtime.wallNow());
  await run(p.close());
});

test("record: bytes that the caller changes after the call are sent as they were, waiting or not", async () => {
  const { cluster, producer, run } = stage();
  const p = producer({ lingerMs: 20 });
  const sends: Promise<unknown>[] = [];
  const send = (): void => {
    const [key, value, header] = [Uint8Array.of(1, 1, 1), new Uint8Array(50).fill(2), Uint8Array.of(3, 3)];
    const headers: [string, Uint8Array][] = [["h", header]];
    const record = { topic: "orders", partition: 0, key, value, headers };
    sends.push(p.send(record));
    for (const bytes of [key, value, header]) bytes.fill(0xff);
    headers.push(["late", header]);
    Object.assign(record, { topic: "other", partition: 2, key: null });
  };
  send(); // waits for metadata
  await run(p.partitionsFor("orders"));
  send(); // goes into a batch at once
  await run(Promise.all(sends));
  const records = await cluster.records("orders", 0);
  assert.equal(records.length, 2);
  for (const record of records) {
    assert.deepEqual(shape(record), {
      key: Uint8Array.of(1, 1, 1),
      value: new Uint8Array(50).fill(2),
      headers: [["h", Uint8Array.of(3, 3)]],
    });
  }
  await run(p.close());
});

test("record: a retry carries the same timestamps and the same bytes", async () => {
  const { cluster, producer, run } = stage();
  const p = producer({ retryBackoffMs: 1_000 });
  cluster.control(Produce, { drop: "before" }, { times: 2 });
  const { timestamp } = await run(p.send({ topic: "orders", partition: 0, key: "k", value: "v", headers: { h: "x" } }));
  const sent = cluster.requestsOf(Produce).map(({ body }) => body.topicData[0]!.partitionData[0]!.records!);
  assert.equal(sent.length, 3);
  assert.deepEqual(sent[1], sent[0]);
  assert.deepEqual(sent[2], sent[0]);
  assert.equal(Number((await cluster.records("orders", 0))[0]!.timestamp), timestamp);
  await run(p.close());
});

test("record: metadata has its fields in JSON, in a clone, after a spread and in comparisons", async () => {
  const { cluster, producer, run } = stage();
  const p = producer();
  const first = { index: 0, errorCode: 0, baseOffset: 9_007_199_254_740_993n };
  cluster.control(Produce, ({ topicData: [topic] }) => ({
    respond: { responses: [{ topicId: topic!.topicId, name: topic!.name, partitionResponses: [first] }] },
  }));
  const [one, two] = await run(
    p.sendBatch([
      { topic: "orders", partition: 0, value: "v", timestamp: 5 },
      { topic: "orders", partition: 0, value: "v", timestamp: 6 },
    ]).all(),
  );
  assert.equal(one!.offset, 9_007_199_254_740_993n);
  const fields = { topic: "orders", partition: 0, offset: 9_007_199_254_740_994n, timestamp: 6, delivery: "acked" };
  assert.deepEqual({ ...two }, fields);
  assert.deepEqual({ ...structuredClone(two) }, fields);
  assert.notDeepEqual(one, two);
  assert.notDeepEqual(two, new RecordMetadata("orders", 0, 9_007_199_254_740_994n, 7, "acked"));
  assert.deepEqual(two, new RecordMetadata("orders", 0, 9_007_199_254_740_994n, 6, "acked"));
  assert.equal(
    JSON.stringify(two),
    '{"topic":"orders","partition":0,"offset":"9007199254740994","timestamp":6,"delivery":"acked"}',
  );
  await run(p.close());
});

test("record: what a producer tells of itself and of its cluster is plain data", async () => {
  const { producer, run } = stage();
  const p = producer();
  await run(p.send({ topic: "orders", value: "v" }));
  const partitions = await run(p.partitionsFor("orders"));
  for (const told of [p.metrics(), p.snapshot(), p.metrics().brokers, partitions]) {
    assert.deepEqual(JSON.parse(JSON.stringify(told)), told);
    assert.deepEqual(structuredClone(told), told);
  }
  assert.ok(partitions.length > 0 && p.metrics().brokers.length > 0 && p.snapshot().topics.length > 0);
  const results = await run(Promise.resolve(p.sendBatch([{ topic: "orders", value: "a" }, { topic: "", value: "b" }])));
  assert.deepEqual(results.map(({ status }) => status), ["fulfilled", "rejected"]);
  assert.match(JSON.stringify(results), /"offset":"\d+".*"code":"INVALID_TOPIC_EXCEPTION"/);
  await run(p.close());
});

test("record: one that lingers behind a full batch leaves when its own linger ends", async () => {
  const { producer, run, runtime } = stage();
  const p = producer({ lingerMs: 20, batchSize: 1_000 });
  await run(p.send({ topic: "orders", partition: 0, value: "first" }));
  const startMs = runtime.now();
  const full = p.send({ topic: "orders", partition: 0, value: "v".repeat(900) });
  const late = p.send({ topic: "orders", partition: 0, value: "w".repeat(200) });
  await run(full);
  assert.equal(runtime.now(), startMs);
  await run(late);
  assert.equal(runtime.now(), startMs + 20);
  await run(p.close());
});

test("record: an object that the caller uses again is taken as it was at each call", async () => {
  const { cluster, producer, run } = stage();
  const p = producer();
  const record = { topic: "orders", partition: 0, value: "0", timestamp: 0 };
  const sends: Promise<unknown>[] = [];
  for (let i = 0; i < 6; i++) {
    Object.assign(record, { partition: i % 3, value: String(i), timestamp: i });
    sends.push(p.send(record));
  }
  await run(Promise.all(sends));
  const stored = (await cluster.records("orders")).map(({ partition, value, timestamp }) => [
    partition,
    new TextDecoder().decode(value!),
    Number(timestamp),
  ]);
  assert.deepEqual(stored, [[0, "0", 0], [0, "3", 3], [1, "1", 1], [1, "4", 4], [2, "2", 2], [2, "5", 5]]);
  await run(p.close());
});
