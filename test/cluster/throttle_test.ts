import assert from "node:assert/strict";
import type { Connection, ConnectionOptions } from "../../src/cluster/connection.ts";
import { openConnection } from "../../src/cluster/handshake.ts";
import { InitProducerId, Metadata } from "../../src/protocol/messages/mod.ts";
import type { ResponseOf } from "../../src/protocol/schema.ts";
import { test } from "../harness.ts";
import { type KafkaFailure, type Stage, stage } from "../stage.ts";

const OPTIONS: ConnectionOptions = {
  clientId: "test",
  connectTimeoutMs: 10_000,
  connectionMaxIdleMs: 540_000,
  maxResponseSize: 1_000_000,
};

const ADDRESS = { host: "broker-1.test", port: 9092 };

function open(
  { runtime, run }: Stage,
  options: Partial<ConnectionOptions> = {},
  address: { host: string; port: number } = ADDRESS,
): Promise<Connection> {
  return run(openConnection(runtime, address, { ...OPTIONS, ...options }, new AbortController().signal));
}

function metadata(connection: Connection, timeoutMs = 30_000): Promise<ResponseOf<typeof Metadata>> {
  const body = { topics: [{ name: "orders" }], allowAutoTopicCreation: false };
  return connection.request(Metadata, connection.version(Metadata), body, timeoutMs);
}

function errorOf(promise: Promise<unknown>): Promise<KafkaFailure> {
  return promise.then(() => {
    throw new Error("It was not rejected, wanted an error");
  }, (error) => error);
}

test("connection: throttling holds later requests back, in order, and the timeouts with them", async () => {
  const s = stage();
  const connection = await open(s);
  s.cluster.control(Metadata, {
    respond: { throttleTimeMs: 5_000, brokers: [], topics: [] },
  }, { times: 1 });
  const order: string[] = [];
  const ask = (name: string, timeoutMs: number): Promise<unknown> => {
    const body = { topics: [{ name }], allowAutoTopicCreation: false };
    return connection.request(Metadata, 12, body, timeoutMs).then(({ topics }) => order.push(topics[0]!.name!));
  };
  await s.run(metadata(connection));
  s.cluster.clearRequests();
  const held = [ask("a", 1_000), ask("b", 1_000)];
  await s.runtime.advance(2_500.3);
  held.push(ask("c", 1_000));
  await s.runtime.advance(2_000);
  assert.equal(s.cluster.requests.length, 0);
  s.runtime.setTimer(() => held.push(ask("d", 1_000)), connection.throttledUntilMs - s.runtime.now());
  await s.runtime.advance(600);
  await s.run(Promise.all(held));
  assert.deepEqual(order, ["a", "b", "c", "d"]);
  assert.ok(s.cluster.requests.every(({ atMs }) => atMs >= 5_000));
  connection.close();
});

test("connection: whatever a throttle holds back leaves in the order of the calls, also when it is prolonged", async () => {
  const s = stage();
  const connection = await open(s);
  s.cluster.network.configure({ latencyMs: 5 });
  s.cluster.control(Metadata, { respond: { throttleTimeMs: 1_000, brokers: [], topics: [] } }, { times: 1 });
  s.cluster.control(InitProducerId, {
    delayMs: 100,
    respond: { throttleTimeMs: 3_000, errorCode: 0, producerId: 7n, producerEpoch: 0 },
  });
  const first = metadata(connection);
  const slow = connection.request(InitProducerId, 4, { transactionalId: null, transactionTimeoutMs: 1 }, 9_000);
  await s.run(first);
  s.cluster.clearRequests();
  const startMs = s.runtime.now();
  const asked: string[] = [];
  const held: Promise<unknown>[] = [];
  // At a time each, and at the very end of the throttle too.
  for (let i = 0; i < 30; i++) {
    asked.push(`topic-${i}`);
    const body = { topics: [{ name: `topic-${i}` }], allowAutoTopicCreation: false };
    held.push(connection.request(Metadata, 12, body, 60_000));
    await s.runtime.advance(i === 20 ? connection.throttledUntilMs - s.runtime.now() : 7);
  }
  await s.run(Promise.all([...held, slow]));
  const names = s.cluster.requestsOf(Metadata).map(({ body }) => body.topics![0]!.name);
  assert.deepEqual(names, asked);
  assert.ok(s.cluster.requestsOf(Metadata).every(({ atMs }) => atMs >= startMs + 3_000));
  connection.close();
  assert.equal(s.runtime.pendingTimers, 0);
});

test("connection: a request at the very end of a throttle doesn't overtake those that it holds back", async () => {
  const s = stage();
  const connection = await open(s);
  s.cluster.control(Metadata, { respond: { throttleTimeMs: 1_000, brokers: [], topics: [] } }, { times: 1 });
  await s.run(metadata(connection));
  s.cluster.clearRequests();
  const ask = (name: string): Promise<unknown> =>
    connection.request(Metadata, 12, { topics: [{ name }], allowAutoTopicCreation: false }, 30_000);
  // Set before the first is held back, so that it comes before the end of the holding.
  const last = new Promise((resolve) => s.runtime.setTimer(() => resolve(ask("c")), 1_000));
  await s.run(Promise.all([ask("a"), ask("b"), last]));
  assert.deepEqual(s.cluster.requestsOf(Metadata).map(({ body }) => body.topics![0]!.name), ["a", "b", "c"]);
  connection.close();
});

test("connection: what a throttle holds back fails with the connection, and was not sent", async () => {
  const s = stage();
  const connection = await open(s);
  s.cluster.control(Metadata, { respond: { throttleTimeMs: 5_000, brokers: [], topics: [] } }, { times: 1 });
  await s.run(metadata(connection));
  const held = [errorOf(metadata(connection)), errorOf(metadata(connection))];
  await s.runtime.advance(1_000);
  s.cluster.broker(1).disconnectAll();
  for (const error of await s.run(Promise.all(held))) {
    assert.deepEqual([error.name, error.persisted, error.retriable], ["ConnectionError", "no", true]);
  }
  assert.equal(s.runtime.now(), 1_000);
  assert.equal(s.runtime.pendingTimers, 0);
});

test("connection: below the version from which clients throttle, the broker has done the waiting", async () => {
  const s = stage({ apiVersions: { Metadata: [0, 5] } });
  const connection = await open(s);
  s.cluster.control(Metadata, { respond: { throttleTimeMs: 5_000, brokers: [], topics: [] } }, { times: 1 });
  await s.run(metadata(connection));
  await s.run(metadata(connection));
  assert.equal(s.runtime.now(), 0);
  connection.close();
});
