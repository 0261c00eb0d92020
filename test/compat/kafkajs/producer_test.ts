/** KafkaJS's producer: calls, answers, order, options. */
import assert from "node:assert/strict";
import {
  CompressionCodecs,
  CompressionTypes,
  Kafka,
  KafkaJSError,
  KafkaJSNonRetriableError,
  type Message,
  Partitioners,
} from "../../../src/compat/kafkajs/mod.ts";
import { ApiVersions, InitProducerId, Metadata, Produce } from "../../../src/testing/mod.ts";
import { test } from "../../harness.ts";
import { stage } from "./stage.ts";

test("compat kafkajs: send resolves with an entry for each partition, in the shape of KafkaJS", async () => {
  const { kafka, run, values } = stage();
  const producer = kafka().producer();
  await run(producer.connect());
  const messages = [{ value: "a", partition: 2 }, { value: "b", partition: 0 }, { value: "c", partition: 2 }];
  const first = await run(producer.send({ topic: "orders", messages }));
  const entry = { topicName: "orders", errorCode: 0, baseOffset: "0", logAppendTime: "-1", logStartOffset: "0" };
  assert.deepEqual(first, [{ ...entry, partition: 2 }, { ...entry, partition: 0 }]);
  const second = await run(producer.send({ topic: "orders", messages }));
  assert.deepEqual(second.map(({ baseOffset }) => baseOffset), ["2", "1"]);
  assert.deepEqual(await values("orders"), [["b", "b"], [], ["a", "c", "a", "c"]]);
  await run(producer.disconnect());
});

test("compat kafkajs: an entry tells where the log starts, and the time of the broker where the topic has it", async () => {
  const { kafka, run, cluster, runtime } = stage({
    topics: { old: 1, timed: { partitions: 1, config: { "message.timestamp.type": "LogAppendTime" } } },
  });
  const producer = kafka().producer();
  await run(producer.connect());
  for (const value of ["a", "b", "c"]) await run(producer.send({ topic: "old", messages: [{ value }] }));
  cluster.deleteRecords("old", 0, 2n);
  const [entry] = await run(producer.send({ topic: "old", messages: [{ value: "d" }] }));
  assert.deepEqual([entry!.baseOffset, entry!.logStartOffset], ["3", "2"]);
  const [timed] = await run(producer.send({ topic: "timed", messages: [{ value: "d", timestamp: "1000" }] }));
  const appended = Number(timed!.logAppendTime);
  assert.ok(appended > 1_000 && appended <= runtime.wallNow(), `logAppendTime is ${timed!.logAppendTime}`);
  await run(producer.disconnect());
});

test("compat kafkajs: headers in a Map or in Headers are written, not left out", async () => {
  const { cluster, kafka, run } = stage();
  const producer = kafka().producer();
  await run(producer.connect());
  for (
    const headers of [
      new Map<string, string | string[]>([["a", ["1", "2"]], ["b", "3"]]),
      new Headers({ a: "1", b: "3" }),
    ]
  ) {
    await run(producer.send({ topic: "orders", messages: [{ value: "v", partition: 0, headers: headers as never }] }));
  }
  const [map, ofFetch] = (await cluster.records("orders")).map(({ headers }) =>
    headers.map(([name, value]) => `${name}=${new TextDecoder().decode(value!)}`)
  );
  assert.deepEqual(map, ["a=1", "a=2", "b=3"]);
  assert.deepEqual(ofFetch, ["a=1", "b=3"]);
  await run(producer.disconnect());
});

test("compat kafkajs: keys, values, headers and timestamps arrive as they were passed", async () => {
  const { kafka, run, cluster } = stage({ topics: { orders: 1 } });
  const producer = kafka().producer();
  await run(producer.connect());
  const bytes = new Uint8Array([0, 255, 1]);
  const messages: Message[] = [
    { key: "k", value: "v", headers: { one: "1", many: ["2", bytes], none: undefined }, timestamp: "1522615200000" },
    { key: bytes, value: bytes },
    { value: null, key: null },
    { value: "", key: "" },
  ];
  await run(producer.sendBatch({ topicMessages: [{ topic: "orders", messages }] }));
  const [full, raw, tombstone, empty] = await cluster.records("orders");
  const encode = (text: string) => new TextEncoder().encode(text);
  assert.equal(full!.timestamp, 1522615200000n);
  assert.deepEqual(full!.headers, [["one", encode("1")], ["many", encode("2")], ["many", bytes]]);
  assert.deepEqual([raw!.key, raw!.value], [bytes, bytes]);
  assert.deepEqual([tombstone!.key, tombstone!.value], [null, null]);
  assert.deepEqual([empty!.key, empty!.value], [new Uint8Array(), new Uint8Array()]);
  await run(producer.disconnect());
});

test("compat kafkajs: sendBatch puts what it is told of a topic together, and nothing is no error", async () => {
  const { kafka, run, values } = stage({ topics: { a: 1, b: 1 } });
  const producer = kafka().producer();
  await run(producer.connect());
  const results = await run(producer.sendBatch({
    topicMessages: [
      { topic: "a", messages: [{ value: "1" }] },
      { topic: "b", messages: [{ value: "2" }] },
      { topic: "a", messages: [{ value: "3" }] },
    ],
  }));
  assert.deepEqual(results.map(({ topicName }) => topicName), ["a", "b"]);
  assert.deepEqual([await values("a"), await values("b")], [[["1", "3"]], [["2"]]]);
  assert.deepEqual(await run(producer.sendBatch({})), []);
  assert.deepEqual(await run(producer.sendBatch({ topicMessages: [] })), []);
  assert.deepEqual(await run(producer.send({ topic: "a", messages: [] })), []);
  await run(producer.disconnect());
});

test("compat kafkajs: with acks 0 nothing comes back and the records are there", async () => {
  const { kafka, run, values } = stage({ topics: { orders: 1 } });
  const producer = kafka().producer();
  await run(producer.connect());
  assert.deepEqual(await run(producer.send({ topic: "orders", acks: 0, messages: [{ value: "a" }] })), []);
  await run(producer.disconnect());
  assert.deepEqual(await values("orders"), [["a"]]);
});

test("compat kafkajs: each pair of acks and compression has its producer, and each is made once", async () => {
  const { kafka, run, cluster } = stage({ topics: { orders: 1 } });
  // Threads work while virtual time stands still, and it doesn't.
  const producer = kafka({ sluice: { codecs: "portable" } }).producer();
  await run(producer.connect());
  const { GZIP, Snappy, LZ4, None } = CompressionTypes;
  for (const round of [1, 2]) {
    for (const compression of [None, GZIP, Snappy, LZ4]) {
      const messages = [{ value: `${round} `.repeat(100) }];
      await run(producer.send({ topic: "orders", compression, messages }));
      await run(producer.send({ topic: "orders", compression, acks: 1, messages }));
    }
  }
  const requests = cluster.requestsOf(Produce);
  assert.equal(requests.length, 16);
  assert.equal(requests.filter(({ body }) => body.acks === 1).length, 8);
  assert.equal((await cluster.records("orders")).length, 16);
  // One connection each: the first of all producers was there already.
  assert.equal(cluster.requestsOf(ApiVersions).length, 8);
  await run(producer.disconnect());
});

test("compat kafkajs: a codec that the user has put into CompressionCodecs is used, with the bytes in buffer", async () => {
  const { kafka, run, cluster } = stage({ topics: { orders: 1 } });
  const builtIn = CompressionCodecs[CompressionTypes.LZ4];
  const sizes: number[] = [];
  CompressionCodecs[CompressionTypes.LZ4] = () => ({
    compress: (encoder: { buffer: Uint8Array }) => {
      sizes.push(encoder.buffer.length);
      return builtIn().compress(encoder);
    },
    decompress: (buffer: Uint8Array) => builtIn().decompress(buffer),
  });
  try {
    const producer = kafka().producer();
    await run(producer.connect());
    await run(
      producer.send({ topic: "orders", compression: CompressionTypes.LZ4, messages: [{ value: "a".repeat(1000) }] }),
    );
    await run(producer.disconnect());
  } finally {
    CompressionCodecs[CompressionTypes.LZ4] = builtIn;
  }
  assert.equal(sizes.length, 1);
  assert.equal((await cluster.records("orders"))[0]!.value!.length, 1000);
});

test("compat kafkajs: sends that wait for metadata are not overtaken by later ones to the same topic", async () => {
  const { kafka, run, values, cluster } = stage({ topics: { orders: 1 } });
  const producer = kafka().producer();
  await run(producer.connect());
  cluster.control(Metadata, { delayMs: 300 });
  const sent: Promise<unknown>[] = [];
  for (let i = 0; i < 20; i++) {
    sent.push(producer.send({ topic: "orders", messages: [{ value: `${i}` }] }));
    if (i % 5 === 4) await run(new Promise<void>((resolve) => void cluster.clock.setTimer(() => resolve(), 90)));
  }
  await run(Promise.all(sent));
  assert.deepEqual(await values("orders"), [Array.from({ length: 20 }, (_, i) => `${i}`)]);
  await run(producer.disconnect());
});

test("compat kafkajs: a batch that waits for one of its topics is not overtaken in the other", async () => {
  const { kafka, run, values, cluster } = stage({ topics: { orders: 1, slow: 1 } });
  const producer = kafka().producer();
  await run(producer.connect());
  await run(producer.send({ topic: "orders", messages: [{ value: "a" }] }));
  cluster.control(Metadata, { delayMs: 300 });
  const topicMessages = ["slow", "orders"].map((topic) => ({ topic, messages: [{ value: "b" }] }));
  const sent = [producer.sendBatch({ topicMessages }), producer.send({ topic: "orders", messages: [{ value: "c" }] })];
  await run(Promise.all(sent));
  assert.deepEqual(await values("orders"), [["a", "b", "c"]]);
  await run(producer.disconnect());
});

test("compat kafkajs: a topic that is missing is created, unless that is switched off", async () => {
  const { kafka, run, failure, values } = stage({ topics: {} });
  const producer = kafka().producer();
  await run(producer.connect());
  await run(producer.send({ topic: "new", messages: [{ value: "a" }] }));
  assert.deepEqual(await values("new"), [["a"]]);
  await run(producer.disconnect());
  const strict = kafka().producer({ allowAutoTopicCreation: false });
  await run(strict.connect());
  const error = await failure(strict.send({ topic: "missing", messages: [{ value: "a" }] }));
  assert.deepEqual([error.name, error.type, error.code], [
    "KafkaJSNumberOfRetriesExceeded",
    "UNKNOWN_TOPIC_OR_PARTITION",
    3,
  ]);
  await run(strict.disconnect());
});

test("compat kafkajs: before connect and after disconnect a send is refused, and connecting again helps", async () => {
  const { kafka, run, failure, values } = stage({ topics: { orders: 1 } });
  const producer = kafka().producer();
  const record = { topic: "orders", messages: [{ value: "a" }] };
  const before = await failure(producer.send(record));
  assert.ok(before instanceof KafkaJSError && !(before instanceof KafkaJSNonRetriableError));
  assert.equal(before.message, "The producer is disconnected");
  await run(producer.disconnect());
  await run(producer.connect());
  await run(producer.connect());
  const delivered = producer.send(record);
  const gone = producer.disconnect();
  const meanwhile = await failure(producer.send(record));
  assert.match(meanwhile.message, /^The producer is disconnecting/);
  assert.equal((await run(delivered))[0]!.baseOffset, "0");
  await run(gone);
  await run(producer.disconnect());
  assert.equal((await failure(producer.send(record))).message, "The producer is disconnected");
  await run(producer.connect());
  await run(producer.send(record));
  await run(producer.disconnect());
  assert.deepEqual(await values("orders"), [["a", "a"]]);
});

test("compat kafkajs: an idempotent producer has an id after connect, and wants all acks", async () => {
  const { kafka, run, failure, cluster } = stage();
  const plain = kafka().producer();
  await run(plain.connect());
  assert.equal(cluster.requestsOf(InitProducerId).length, 0);
  assert.equal(plain.isIdempotent(), false);
  const producer = kafka().producer({ idempotent: true });
  await run(producer.connect());
  await run(producer.connect());
  assert.equal(cluster.requestsOf(InitProducerId).length, 1);
  assert.equal(producer.isIdempotent(), true);
  const error = await failure(producer.send({ topic: "orders", acks: 1, messages: [{ value: "a" }] }));
  assert.ok(error instanceof KafkaJSNonRetriableError);
  assert.throws(() => kafka().producer({ idempotent: true, retry: { retries: 0 } }), KafkaJSNonRetriableError);
  await run(Promise.all([plain.disconnect(), producer.disconnect()]));
});

test("compat kafkajs: what cannot be sent is refused in words, and a later send works", async () => {
  const { kafka, run, failure } = stage();
  const producer = kafka().producer();
  await run(producer.connect());
  const refused: [unknown, RegExp][] = [
    [undefined, /^Pass \{ topic, messages \}/],
    [{ topic: null, messages: [] }, /^Invalid topic$/],
    [{ topic: "orders", messages: null }, /^Invalid messages array \[null\] for topic "orders"$/],
    [
      { topic: "orders", messages: [{ foo: "bar" }] },
      /^Invalid message without value for topic "orders": \{"foo":"bar"\}$/,
    ],
    [{ topic: "orders", messages: [undefined] }, /^Invalid message without value/],
    [{ topic: "orders", messages: [{ value: "a" }], acks: 2 }, /"acks"/],
    [{ topic: "orders", messages: [{ value: "a" }], timeout: "soon" }, /"timeout"/],
    [{ topic: "orders", messages: [{ value: "a" }], compression: 9 }, /CompressionTypes: 9 is none/],
    [{ topic: "orders", messages: [{ value: "a", timestamp: "yesterday" }] }, /"yesterday" is not/],
    [{ topic: "orders", messages: [{ value: { a: 1 } }] }, /value/],
    [{ topic: "orders", messages: [{ value: "a", partition: 99 }] }, /99/],
  ];
  for (const [record, message] of refused) {
    const error = await failure(producer.send(record as never));
    assert.ok(error instanceof KafkaJSError, `${error}`);
    assert.match(error.message, message);
  }
  assert.equal((await run(producer.send({ topic: "orders", messages: [{ value: "a" }] }))).length, 1);
  await run(producer.disconnect());
});

test("compat kafkajs: a partitioner of the user sees the message, and its error is his", async () => {
  const { kafka, run, failure, values } = stage();
  const seen: unknown[] = [];
  const own = new Error("not this one");
  const producer = kafka().producer({
    createPartitioner: () => ({ topic, partitionMetadata, message }) => {
      seen.push([topic, partitionMetadata.map(({ partitionId, leader }) => [partitionId, leader]), message.headers]);
      if (message.value === "bad") throw own;
      return partitionMetadata.length - 1;
    },
  });
  await run(producer.connect());
  const headers = { tenant: "7" };
  // Its own word counts, whatever the message says.
  await run(producer.send({ topic: "orders", messages: [{ value: "a", partition: 0, headers }] }));
  assert.deepEqual(seen, [["orders", [[0, 1], [1, 1], [2, 1]], headers]]);
  assert.equal(await failure(producer.send({ topic: "orders", messages: [{ value: "bad" }] })), own);
  assert.deepEqual(await values("orders"), [[], [], ["a"]]);
  await run(producer.disconnect());
});

test("compat kafkajs: without keys messages go in turn, with keys where the hash leads, for each partitioner", async () => {
  const { kafka, run, cluster } = stage({ topics: { orders: 4 } });
  for (const createPartitioner of [undefined, Partitioners.LegacyPartitioner, Partitioners.JavaCompatiblePartitioner]) {
    const producer = kafka().producer({ createPartitioner });
    await run(producer.connect());
    const messages = Array.from({ length: 40 }, () => ({ value: "a" }));
    const results = await run(producer.send({ topic: "orders", messages }));
    assert.equal(results.length, 4);
    const keyed = await run(
      producer.send({ topic: "orders", messages: messages.map((each) => ({ ...each, key: "k" })) }),
    );
    assert.equal(keyed.length, 1);
    await run(producer.disconnect());
  }
  for (let partition = 0; partition < 4; partition++) {
    const records = await cluster.records("orders", partition);
    assert.equal(records.filter(({ key }) => key === null).length, 30);
  }
});

test("compat kafkajs: brokers may be a function, which is asked at each connect", async () => {
  const { kafka, run, failure, cluster } = stage();
  let asked = 0;
  const brokers = () => {
    asked += 1;
    return Promise.resolve(cluster.bootstrap.split(","));
  };
  const producer = kafka({ brokers }).producer();
  await run(producer.connect());
  await run(producer.disconnect());
  await run(producer.connect());
  await run(producer.disconnect());
  assert.equal(asked, 2);
  const cases: [unknown, RegExp, string][] = [
    [
      () => Promise.reject(new Error("no list")),
      /^Failed to connect: "config.brokers" threw: no list$/,
      "KafkaJSConnectionError",
    ],
    [undefined, /^Failed to connect: brokers should not be null$/, "KafkaJSNonRetriableError"],
    [[], /^Failed to connect: brokers array is empty$/, "KafkaJSNonRetriableError"],
    [["a:1", 7], /^Failed to connect: broker at index 1 is invalid "number"$/, "KafkaJSNonRetriableError"],
    ["a:1", /brokers should be a list/, "KafkaJSNonRetriableError"],
  ];
  for (const [wrong, message, name] of cases) {
    const error = await failure(kafka({ brokers: wrong as never }).producer().connect());
    assert.match(error.message, message);
    assert.equal(error.name, name);
  }
});

test("compat kafkajs: unknown options are told in the log, and wrong ones are refused by name", () => {
  const { kafka, logged } = stage();
  const client = kafka({ colour: "red" } as never);
  client.producer({ linger: 5 } as never);
  assert.deepEqual(logged.map(({ log }) => log.message), [
    'Remove the option "colour": new Kafka() has no such option.',
    'Remove the option "linger": producer() has no such option.',
  ]);
  const wrong: [object, object, RegExp][] = [
    [{ requestTimeout: "1s" }, {}, /"requestTimeout"/],
    [{ connectionTimeout: 0 }, {}, /"connectionTimeout"/],
    [{ retry: { retries: -1 } }, {}, /"retries"/],
    [{}, { metadataMaxAge: NaN }, /"metadataMaxAge"/],
    [{}, { createPartitioner: "sticky" }, /"createPartitioner"/],
    [{ ssl: { pfx: "x" } }, {}, /"pfx"/],
    [{ ssl: { key: ["a", "b"] } }, {}, /list of 2/],
    [{ sasl: { username: "a" } }, {}, /"mechanism"/],
  ];
  for (const [config, options, message] of wrong) {
    assert.throws(() => kafka(config as never).producer(options as never), (error: Error) => {
      assert.ok(error instanceof KafkaJSNonRetriableError, `${error}`);
      assert.match(error.message, message);
      return true;
    });
  }
  assert.throws(() => new Kafka(undefined as never), KafkaJSNonRetriableError);
  // What is null is not set.
  kafka({ sasl: null, ssl: null, retry: null } as never).producer({ maxInFlightRequests: null });
});

test("compat kafkajs: consumer and admin come from the KafkaJS that was passed, and say so when none was", () => {
  const { kafka } = stage();
  for (const call of ["consumer", "admin"] as const) {
    assert.throws(() => kafka()[call]({ groupId: "g" } as never), (error: Error) => {
      assert.ok(error instanceof KafkaJSNonRetriableError);
      assert.match(error.message, new RegExp(`^Pass KafkaJS itself for ${call}\\(\\), as new Kafka`));
      return true;
    });
  }
  const made: unknown[] = [];
  class Theirs {
    constructor(config: { brokers: string[] }) {
      made.push(config);
    }
    consumer(config: { groupId: string }): string {
      return `consumer of ${config.groupId}`;
    }
    admin(): string {
      return "admin";
    }
  }
  const config = { brokers: ["a:1"], clientId: "me", logLevel: 0 as const, sluice: { lingerMs: 1 } };
  const client = new Kafka({ ...config, kafkajs: { Kafka: Theirs } });
  const found: string = client.consumer({ groupId: "g" });
  assert.deepEqual([found, client.admin()], ["consumer of g", "admin"]);
  assert.deepEqual(made, [{ brokers: ["a:1"], clientId: "me", logLevel: 0 }]);
  assert.equal(new Kafka({ ...config, kafkajs: { default: { Kafka: Theirs } } as never }).admin(), "admin");
  assert.throws(() => new Kafka({ ...config, kafkajs: {} as never }), /class Kafka/);
});
