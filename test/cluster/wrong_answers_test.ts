/** Answers that can't be right, or are wrong: they cost nothing, and what they taught is unlearnt from right ones. */

import assert from "node:assert/strict";
import type { Producer } from "../../src/producer/producer.ts";
import {
  type AnyApi,
  ApiVersions,
  InitProducerId,
  Metadata,
  Produce,
  type ResponseInputOf,
} from "../../src/testing/broker/apis.ts";
import { test } from "../harness.ts";
import { type Stage, stage } from "../stage.ts";
import { states, watch } from "../producer/wire.ts";

type MetadataBody = ResponseInputOf<typeof Metadata>;
type ProduceBody = ResponseInputOf<typeof Produce>;

const INT32 = 2_147_483_647;
const MIB = 1_048_576;

/** Changes the next answer. */
function spoil<A extends AnyApi>(s: Stage, api: A, change: (body: ResponseInputOf<A>) => object, times = 1): void {
  s.cluster.control(api, { transform: (body) => ({ ...body as object, ...change(body) }) as never }, { times });
}

/** Changes what is said of partition 0. */
function spoilPartition(s: Stage, change: object, times = 1): void {
  spoil(s, Produce, ({ responses }: ProduceBody) => ({
    responses: responses.map((topic) => ({
      ...topic,
      partitionResponses: topic.partitionResponses.map((partition) => ({ ...partition, ...change })),
    })),
  }), times);
}

function spoilTopic(s: Stage, change: object, times = 1): void {
  spoil(s, Metadata, ({ topics }: MetadataBody) => ({
    topics: topics.map((topic) => ({
      ...topic,
      partitions: topic.partitions.map((partition) => ({ ...partition, ...change })),
    })),
  }), times);
}

async function delivers(s: Stage, producer: Producer, limitMs: number, key = "k"): Promise<void> {
  const sent = watch(s, producer.send({ topic: "orders", key, value: "v" }));
  await s.runtime.advance(limitMs);
  assert.match(states([sent])[0]!, /^(acked|duplicate) \d/, sent.error?.message ?? "still pending");
}

test("wrong answers: a partition that can't be is refused, and another broker is asked", async () => {
  const s = stage({ brokers: 2, topics: { orders: 3 } });
  spoil(s, Metadata, ({ topics }) => ({
    topics: topics.map((topic) => ({
      ...topic,
      partitions: topic.partitions.map((each, at) => ({ ...each, partitionIndex: at === 0 ? 999_999 : at })),
    })),
  }));
  const errors: string[] = [];
  const producer = s.producer({ hooks: { onResponse: ({ error }) => error && errors.push(error.message) } });
  await delivers(s, producer, 1_000);
  assert.equal((await s.run(producer.partitionsFor("orders"))).length, 3);
  assert.equal(new Set(errors).size, 1);
  assert.match(
    errors[0]!,
    /The answer of broker-\d\.test:9092 can't be right\. Decoding Metadata v\d+ response, field topics\.partitions\.partitionIndex: Reading "999999": wanted each of 0 to 2 once, as there are 3 partitions\./,
  );
  await s.run(producer.close());
});

test("wrong answers: of two hundred thousand brokers none is made, and the right answer counts", async () => {
  const s = stage({ brokers: 2 });
  const brokers = Array.from({ length: 200_000 }, (_, nodeId) => ({ nodeId, host: "h", port: 9092, rack: null }));
  const mend = s.cluster.control(Metadata, { transform: (body) => ({ ...body, brokers }) });
  const producer = s.producer();
  const sent = watch(s, producer.send({ topic: "orders", value: "v" }));
  await s.runtime.advance(200);
  assert.ok(s.cluster.requestsOf(Metadata).length > 1);
  assert.ok(producer.metrics().brokers.length <= 2, `${producer.metrics().brokers.length} brokers`);
  mend();
  await s.runtime.advance(2_000);
  assert.deepEqual(states([sent]), ["acked 0"]);
  await s.run(producer.close());
});

test("wrong answers: behind hundreds of brokers that aren't there the bootstrap servers are asked third", async () => {
  const s = stage({ brokers: 2, topics: { orders: 1 } });
  const brokers = Array.from({ length: 250 }, (_, nodeId) => {
    s.cluster.network.blackHole(`10.0.0.${nodeId}:9092`);
    return { nodeId, host: `10.0.0.${nodeId}`, port: 9092, rack: null };
  });
  s.cluster.control(Metadata, { transform: (body) => ({ ...body, brokers }), closeAfter: true }, { times: 1 });
  const producer = s.producer();
  await delivers(s, producer, 5_000);
  assert.equal(producer.metrics().brokers.filter(({ host }) => !host.startsWith("10.")).length, 2);
  assert.ok(s.cluster.network.dials < 20, `${s.cluster.network.dials} dials`);
  await s.run(producer.close());
});

test("wrong answers: record errors beyond the batch are refused, and the batch goes again", async () => {
  const errorsOf = (...indexes: number[]): object => ({
    errorCode: 87,
    recordErrors: indexes.map((batchIndex) => ({ batchIndex, batchIndexErrorMessage: "bad" })),
  });
  for (const change of [errorsOf(...Array(5_000).keys()), errorsOf(1), errorsOf(0, 0)]) {
    const s = stage({ topics: { orders: 1 } });
    const producer = s.producer();
    await delivers(s, producer, 1_000);
    spoilPartition(s, change);
    await delivers(s, producer, 1_000);
    assert.equal((await s.cluster.records("orders", 0)).length, 2);
    await s.run(producer.close());
  }
});

test("wrong answers: a throttle of 24 days is heeded for a minute, ends with its connection, and is named", async () => {
  const s = stage({ topics: { orders: 1 }, network: { latencyMs: 5 } });
  const throttles: number[] = [];
  const producer = s.producer({
    deliveryTimeoutMs: 30_500,
    requestTimeoutMs: 30_000,
    lingerMs: 0,
    hooks: { onThrottle: ({ throttleMs }) => throttles.push(throttleMs) },
  });
  await delivers(s, producer, 100);
  spoil(s, Produce, () => ({ throttleTimeMs: INT32 }));
  await delivers(s, producer, 100);
  assert.deepEqual(throttles, [60_000]);
  assert.ok(Number(producer.metrics()["produce-throttle-time-avg"]) <= 60_000);
  const late = watch(s, producer.send({ topic: "orders", value: "late" }));
  await s.runtime.advance(31_000);
  assert.equal(late.error?.code, "DELIVERY_TIMEOUT");
  assert.match(
    late.error!.message,
    /broker-1\.test:9092 wants to be sent nothing for 60000 ms \(throttle_time_ms of its/,
  );
  const waiting = watch(s, producer.send({ topic: "orders", value: "waits" }));
  await s.runtime.advance(1_000);
  assert.equal(waiting.state, "pending");
  s.cluster.broker(1).disconnectAll();
  await s.runtime.advance(1_000);
  assert.equal(waiting.state, "resolved");
  await s.run(producer.close());
});

test("wrong answers: a throttle doesn't keep requests in flight alive for days", async () => {
  const s = stage({ topics: { orders: 2 }, network: { latencyMs: 5 } });
  const producer = s.producer({ requestTimeoutMs: 1_000, deliveryTimeoutMs: 600_000, lingerMs: 0 });
  await s.run(Promise.all([0, 1].map((partition) => producer.send({ topic: "orders", partition, value: "warm" }))));
  const errors: string[] = [];
  s.cluster.control(
    Produce,
    ({ topicData }) =>
      topicData[0]!.partitionData[0]!.index === 1
        ? { silence: true }
        : { transform: (body) => ({ ...body, throttleTimeMs: INT32 }) },
    { times: 2 },
  );
  const first = watch(s, producer.send({ topic: "orders", partition: 0, value: "first" }));
  await s.runtime.advance(2);
  const second = watch(
    s,
    producer.send({ topic: "orders", partition: 1, value: "second" }, {
      onError: ({ message }) => errors.push(message),
    }),
  );
  await s.runtime.advance(61_100);
  assert.deepEqual(states([first, second]), ["acked 1", "acked 1"], errors.join());
  await s.run(producer.close());
});

test("wrong answers: an id without an epoch is refused, and asked for again", async () => {
  for (const change of [{ producerEpoch: -1 }, { producerEpoch: -32_768 }, { producerId: -1n }, { producerId: -9n }]) {
    const s = stage({ brokers: 2, topics: { orders: 1 } });
    spoil(s, InitProducerId, () => change);
    const producer = s.producer();
    await delivers(s, producer, 1_000);
    assert.ok(s.cluster.requestsOf(InitProducerId).length >= 2);
    await delivers(s, producer, 100);
    await s.run(producer.close());
  }
});

const NO_LEADERS: readonly (readonly [what: string, change: object])[] = [
  ["no leader", { leaderId: -1 }],
  ["a leader on no list", { leaderId: 77 }],
  ["the wrong leader", { leaderId: 2 }],
];

for (const [what, change] of NO_LEADERS) {
  test(`wrong answers: the highest leader epoch with ${what} is unlearnt from right answers`, async () => {
    const s = stage({ brokers: 2, topics: { orders: { partitions: 1, replicationFactor: 2 } } });
    s.cluster.moveLeader("orders", 0, 1);
    const producer = s.producer();
    spoilTopic(s, { ...change, leaderEpoch: INT32 });
    await delivers(s, producer, 10_000);
    // And it is known where the leader is after it has moved.
    spoilTopic(s, { leaderEpoch: INT32 });
    await s.run(producer.refreshMetadata());
    s.cluster.moveLeader("orders", 0, 2);
    await delivers(s, producer, 10_000);
    await s.run(producer.close());
  });
}

test("wrong answers: a partition that there isn't takes no keys any more once right answers don't know it", async () => {
  const s = stage({ brokers: 2, topics: { orders: 1 } });
  const producer = s.producer({ deliveryTimeoutMs: 20_000, requestTimeoutMs: 5_000 });
  await delivers(s, producer, 1_000);
  spoil(s, Metadata, ({ topics }) => ({
    topics: topics.map((topic) => ({
      ...topic,
      partitions: Array.from({ length: 2 }, (_, partitionIndex) => ({ ...topic.partitions[0]!, partitionIndex })),
    })),
  }));
  await s.run(producer.refreshMetadata());
  const keys = ["a", "b", "c", "d", "e", "f"];
  const lost = keys.map((key) => watch(s, producer.send({ topic: "orders", key, value: "v" })));
  await s.runtime.advance(21_000);
  assert.ok(states(lost).includes("DELIVERY_TIMEOUT"));
  for (const key of keys) await delivers(s, producer, 100, key);
  await s.run(producer.close());
});

test("wrong answers: a broker that was said to be where another one is, is found again", async () => {
  const s = stage({ brokers: 2, topics: { orders: 2 } });
  const [first, second] = [1, 2].map((id) => s.cluster.broker(id).endpoint("memory"));
  spoil(s, Metadata, ({ brokers }) => ({
    brokers: brokers.map((broker) => ({ ...broker, ...(broker.nodeId === 2 ? first : second) })),
  }));
  const producer = s.producer();
  const sent = [0, 1].map((partition) => watch(s, producer.send({ topic: "orders", partition, value: "v" })));
  await s.runtime.advance(3_000);
  assert.deepEqual(states(sent), ["acked 0", "acked 0"]);
  await s.run(producer.close());
});

const TABLES: readonly (readonly [what: string, change: (key: number) => object | undefined])[] = [
  ["without Produce", (apiKey) => apiKey === Produce.key ? undefined : {}],
  ["with another Produce", (apiKey) => apiKey === Produce.key ? { minVersion: 0, maxVersion: 0 } : {}],
  ["without Metadata", (apiKey) => apiKey === Metadata.key ? undefined : {}],
  ["without InitProducerId", (apiKey) => apiKey === InitProducerId.key ? undefined : {}],
];

for (const [what, change] of TABLES) {
  test(`wrong answers: a table of versions ${what} is believed no longer than its connection lives`, async () => {
    const s = stage({ topics: { orders: 1 } });
    spoil(s, ApiVersions, ({ apiKeys }) => ({
      apiKeys: apiKeys.flatMap((each) => {
        const changed = change(each.apiKey);
        return changed === undefined ? [] : [{ ...each, ...changed }];
      }),
    }));
    const producer = s.producer({ maxBlockMs: 5_000, deliveryTimeoutMs: 5_000, requestTimeoutMs: 1_000 });
    const first = watch(s, producer.send({ topic: "orders", value: "first" }));
    await s.runtime.advance(6_000);
    assert.notEqual(first.state, "pending");
    await delivers(s, producer, 1_000);
    assert.ok(s.cluster.network.dials <= 3, `${s.cluster.network.dials} dials`);
    await s.run(producer.close());
  });
}

test("wrong answers: what an answer to Produce says of other brokers' addresses moves nobody", async () => {
  const s = stage({ brokers: 2, topics: { orders: 2 } });
  const hosts: string[] = [];
  const producer = s.producer({
    lingerMs: 0,
    hooks: { onRetry: () => hosts.push(...producer.metrics().brokers.map(({ host }) => host)) },
  });
  const send = (partition: number): Promise<unknown> => producer.send({ topic: "orders", partition, value: "v" });
  await s.run(Promise.all([send(0), send(1)]));
  s.cluster.control(Produce, ({ topicData }) => ({
    respond: {
      responses: topicData.map(({ name, topicId }) => ({
        ...{ name, topicId },
        partitionResponses: [{ index: 0, errorCode: 6, baseOffset: -1n }],
      })),
      nodeEndpoints: [1, 2].map((nodeId) => ({ nodeId, host: "nowhere.test", port: 1, rack: null })),
    },
  }), { times: 1 });
  await s.run(send(0));
  assert.deepEqual(hosts.sort(), ["broker-1.test", "broker-2.test"]);
  await s.run(producer.close());
});

test("wrong answers: one that is wrong each time ends a connection each time, at a measured pace", async () => {
  const s = stage({ brokers: 2, topics: { orders: 1 } });
  spoil(s, Metadata, () => ({ brokers: [{ nodeId: -5, host: "h", port: 1, rack: null }] }), 10 * MIB);
  const producer = s.producer({ maxBlockMs: 20_000 });
  const sent = watch(s, producer.send({ topic: "orders", value: "v" }));
  await s.runtime.advance(10_000);
  assert.ok(s.cluster.network.dials < 200, `${s.cluster.network.dials} dials in ten seconds`);
  assert.ok(s.cluster.requestsOf(Metadata).length < 50, `${s.cluster.requestsOf(Metadata).length} requests`);
  await s.runtime.advance(10_000);
  assert.match(sent.error!.message, /field brokers\.nodeId: Reading "-5": wanted 0 to 2147483647/);
  await s.run(producer.close());
});
