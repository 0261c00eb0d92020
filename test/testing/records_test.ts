/** What tests of users look at: records as text and JSON, and waiting for them. */
import assert from "node:assert/strict";
import { ConfigError, Producer, SerializationError, TimeoutError } from "../../mod.ts";
import {
  EmbeddedCluster,
  readTopic,
  RecordingProducer,
  type RecordText,
  VirtualRuntime,
} from "../../src/testing/mod.ts";
import { test } from "../harness.ts";

function virtual(topics: Record<string, number> = { orders: 2 }) {
  const runtime = new VirtualRuntime({ seed: 1 });
  const cluster = new EmbeddedCluster({ topics, runtime });
  runtime.sockets = cluster.sockets;
  const producer = new Producer({ brokers: cluster.bootstrap, allowAutoTopicCreation: true }, runtime);
  return { runtime, cluster, producer };
}

test("testing records: text, JSON and key as text, of what a cluster, a reading and a recording producer show", async () => {
  const cluster = new EmbeddedCluster({ topics: { orders: 1 } });
  const { bootstrap: brokers, sockets } = cluster;
  const producer = new Producer({ brokers, connect: sockets });
  const recording = new RecordingProducer();
  const sent = [
    { topic: "orders", key: "ö-1", value: '{"total":3}' },
    { topic: "orders", key: null, value: null },
    { topic: "orders", key: new Uint8Array([107]), value: new TextEncoder().encode("ü") },
  ];
  await producer.sendBatch(sent).all();
  await recording.sendBatch(sent).all();
  await producer.close();
  const read: RecordText[] = [];
  for await (const record of readTopic({ brokers, topic: "orders", sockets })) read.push(record);
  for (const records of [await cluster.records("orders"), read, recording.records("orders")]) {
    assert.deepEqual(records.map((record) => record.text()), ['{"total":3}', null, "ü"]);
    assert.deepEqual(records.map((record) => record.keyText()), ["ö-1", null, "k"]);
    const total: number | undefined = records[0]!.json<{ total: number }>()?.total;
    assert.deepEqual([total, records[1]!.json()], [3, null]);
    assert.throws(() => records[2]!.json(), (error: Error) => {
      assert.ok(error instanceof SerializationError);
      assert.match(error.message, /"ü" in topic "orders" is not/);
      return true;
    });
    // They are no fields.
    assert.deepEqual(Object.keys(records[0]!).filter((name) => ["text", "json", "keyText"].includes(name)), []);
  }
});

test("testing records: a recording producer with a serializer of the caller gives back what it was given", async () => {
  const producer = new RecordingProducer<string, { total: number }>();
  await producer.send({ topic: "orders", value: { total: 3 } });
  const [record] = producer.records();
  assert.deepEqual([record!.json(), record!.text()], [{ total: 3 }, '{"total":3}']);
});

test("testing records: a byte order mark is seen in text, and no part of JSON", async () => {
  const producer = new RecordingProducer();
  await producer.send({ topic: "orders", key: "\ufeffk", value: new TextEncoder().encode('\ufeff{"total":3}') });
  const [record] = producer.records();
  assert.deepEqual([record!.keyText(), record!.text(), record!.json()], [
    "\ufeffk",
    '\ufeff{"total":3}',
    { total: 3 },
  ]);
});

test("testing records: records() waits until there are so many, in a topic that is created meanwhile too", async () => {
  const { runtime, cluster, producer } = virtual({});
  const wanted = cluster.records("later", { count: 3 });
  runtime.setTimer(() => void producer.sendBatch(["a", "b"].map((value) => ({ topic: "later", value }))), 1_000);
  runtime.setTimer(() => void producer.send({ topic: "later", value: "c" }), 2_000);
  const records = await runtime.runUntil(wanted);
  assert.deepEqual(records.map((record) => record.text()), ["a", "b", "c"]);
  assert.ok(runtime.now() >= 2_000);
  // What is there is there at once, and more than wanted is no less.
  assert.equal((await cluster.records("later", { count: 2 })).length, 3);
  assert.equal((await cluster.records("later", { count: 0 })).length, 3);
  await runtime.runUntil(producer.close());
});

test("testing records: records() of one partition, with and without waiting", async () => {
  const { runtime, cluster, producer } = virtual();
  const wanted = cluster.records("orders", { partition: 1, count: 1, timeoutMs: 1_000 });
  await runtime.runUntil(producer.send({ topic: "orders", partition: 0, value: "a" }));
  await runtime.runUntil(producer.send({ topic: "orders", partition: 1, value: "b" }));
  assert.deepEqual((await runtime.runUntil(wanted)).map((record) => record.text()), ["b"]);
  assert.deepEqual((await cluster.records("orders", { partition: 0 })).map((record) => record.text()), ["a"]);
  assert.deepEqual((await cluster.records("orders", 1)).map((record) => record.text()), ["b"]);
  await runtime.runUntil(producer.close());
});

test("testing records: when time is up records() says how many there are", async () => {
  const { runtime, cluster, producer } = virtual();
  await runtime.runUntil(producer.send({ topic: "orders", value: "a" }));
  const cases = [
    [
      cluster.records("orders", { count: 2, timeoutMs: 50 }),
      'Waited 50 ms (timeoutMs) for 2 records in topic "orders": there is 1.',
    ],
    [
      cluster.records("nothing", { count: 1 }),
      'Waited 4000 ms (timeoutMs) for 1 record in topic "nothing": there are 0.',
    ],
  ] as const;
  for (const [waiting, message] of cases) {
    const error = await runtime.runUntil(waiting.then(() => undefined, (reason: Error) => reason));
    assert.ok(error instanceof TimeoutError, `${error}`);
    assert.ok(error.message.startsWith(message), error.message);
    assert.ok(runtime.now() < 5_000, `it took until ${runtime.now()}`);
  }
  await runtime.runUntil(producer.close());
});

test("testing records: options of records() are checked", async () => {
  const { cluster } = virtual();
  for (
    const options of [{ counts: 1 }, { count: -1 }, { count: 1.5 }, { partition: "a" }, { timeoutMs: NaN }, [], "a"]
  ) {
    await assert.rejects(cluster.records("orders", options as never), ConfigError);
  }
  await assert.rejects(cluster.records("orders", { partition: 7 }), ConfigError);
  await assert.rejects(cluster.records("missing"), ConfigError);
});
