/**
 * Where I/O belongs to requests, as in Workers: what may be made before there is one, and what is said in the wrong one.
 * On the other runtimes there are no requests, and all of it just works.
 */

import assert from "node:assert/strict";
import { Producer, type ProducerOptions, TransactionalProducer } from "../../mod.ts";
import type { KafkaError } from "../../src/errors.ts";
import { EmbeddedCluster } from "../../src/testing/mod.ts";
import { inOwnRequest, runtimeName, test } from "../harness.ts";

const brokers = "broker:9092";
const snapshot: ProducerOptions["snapshot"] = {
  format: 1,
  takenAtMs: Date.UTC(2026, 0),
  bootstrap: [brokers],
  brokers: [{ nodeId: 0, host: "broker", port: 9092, versions: { 0: [9, 12], 3: [9, 12], 18: [3, 4] } }],
  topics: [{ name: "orders", topicId: "0".repeat(32), partitions: [[0, 0]] }],
};

/** Made while modules are loaded, when workerd allows neither timers nor chance nor connections. */
const early = new Map<string, Partial<ProducerOptions>>([
  ["brokers alone", {}],
  ["a snapshot", { snapshot }],
  ["gzip", { compression: "gzip" }],
  ["SCRAM", { sasl: { mechanism: "SCRAM-SHA-256", username: "u", password: "p" } }],
  [
    "OAUTHBEARER",
    { sasl: { mechanism: "OAUTHBEARER", token: () => ({ token: "t", lifetimeMs: 3_600_000 }) } } as never,
  ],
  ["AWS_MSK_IAM", {
    sasl: { mechanism: "AWS_MSK_IAM", region: "eu-west-1", credentials: { accessKeyId: "a", secretAccessKey: "s" } },
  } as never],
  ["options that are remarked upon", { acks: 1, deliveryTimeoutMs: 10, logger: { warn() {} } }],
  ["a random partitioner", { partitioner: "random" }],
]);
const made = new Map<string, Producer | unknown>();
for (const [name, options] of early) {
  try {
    made.set(name, new Producer({ brokers, ...options, tls: options.sasl !== undefined }));
  } catch (error) {
    made.set(name, error);
  }
}

/** What calls of a producer come to: undefined, or their errors. */
function callAll(producer: Producer): Promise<(KafkaError | undefined)[]> {
  const calls: Promise<unknown>[] = [
    producer.send({ topic: "orders", value: "early" }),
    producer.connect(),
    producer.flush(),
    producer.partitionsFor("orders"),
  ];
  return Promise.all(calls.map((call) => call.then(() => undefined, (error: KafkaError) => error)));
}

/** On workerd there is no request yet; elsewhere there are none at all. */
const calledEarly = runtimeName === "workerd" ? callAll(new Producer({ brokers })) : undefined;

test("requests: a producer may be made while modules are loaded, whatever its options", () => {
  for (const [name, producer] of made) assert.ok(producer instanceof Producer, `with ${name}: ${producer}`);
});

test("requests: one that was made while modules are loaded delivers in a handler, out of a snapshot too", async () => {
  const cluster = new EmbeddedCluster({ topics: { orders: 1 } });
  const first = new Producer({ brokers: cluster.bootstrap, connect: cluster.sockets });
  await first.send({ topic: "orders", value: "1" });
  const options = { brokers: cluster.bootstrap, connect: cluster.sockets, snapshot: first.snapshot() };
  await first.close();
  const producer = new Producer(options);
  const { offset } = await producer.send({ topic: "orders", value: "2" });
  assert.equal(offset, 1n);
  await producer.close();
});

test("requests: a call before there is a request says to call in a handler", async () => {
  const cluster = new EmbeddedCluster({ topics: { orders: 1 } });
  const producer = new Producer({ brokers: cluster.bootstrap, connect: cluster.sockets });
  assert.deepEqual(await callAll(producer), new Array(4).fill(undefined));
  await producer.close();
  for (const error of await calledEarly ?? []) {
    assert.equal(error?.code, "WRONG_REQUEST");
    assert.match(error!.message, /^Call the producer in a handler: /);
    assert.doesNotMatch(error!.message, /Disallowed/);
  }
});

test("requests: a producer that was used in another request says that it belongs to that one", async () => {
  const cluster = new EmbeddedCluster({ topics: { orders: 1 } });
  const producer = new Producer({ brokers: cluster.bootstrap, connect: cluster.sockets });
  await inOwnRequest(async () => void await producer.send({ topic: "orders", value: "1" }));
  const calls: [string, () => Promise<unknown>][] = [
    ["send", () => producer.send({ topic: "orders", value: "2" })],
    ["sendBatch", () => producer.sendBatch([{ topic: "orders", value: "3" }]).all()],
    ["connect", () => producer.connect()],
    ["flush", () => producer.flush()],
    ["partitionsFor", () => producer.partitionsFor("orders")],
    ["refreshMetadata", () => producer.refreshMetadata()],
    ["ready", () => producer.ready()],
    ["close", () => producer.close()],
  ];
  for (const [name, call] of calls) {
    const error: KafkaError | undefined = await call().then(() => undefined, (error) => error);
    if (runtimeName !== "workerd") {
      assert.equal(error, undefined, name);
      continue;
    }
    assert.equal(error?.code, "WRONG_REQUEST", name);
    assert.match(error!.message, /belongs to one request/);
    assert.match(error!.message, /use a Durable Object/);
    assert.equal(error!.persisted, "no");
    assert.equal(error!.retriable, false);
  }
});

test("requests: another request that comes while the first is busy does it no harm", async () => {
  const cluster = new EmbeddedCluster({ topics: { orders: 1 } });
  const producer = new Producer({ brokers: cluster.bootstrap, connect: cluster.sockets });
  const values = ["1", "2", "3"];
  const sent = values.map((value) => producer.send({ topic: "orders", value }));
  await inOwnRequest(async () => void await producer.send({ topic: "orders", value: "4" }).catch(() => {}));
  assert.deepEqual((await Promise.all(sent)).map(({ offset }) => offset), [0n, 1n, 2n]);
  assert.equal((await producer.send({ topic: "orders", value: "5" })).offset, runtimeName === "workerd" ? 3n : 4n);
  await producer.close();
});

test("requests: a producer that is made and closed in each request delivers in all of them", async () => {
  const cluster = new EmbeddedCluster({ topics: { orders: 1 } });
  const offsets: bigint[] = [];
  for (let request = 0; request < 3; request++) {
    await inOwnRequest(async () => {
      const producer = new Producer({ brokers: cluster.bootstrap, connect: cluster.sockets });
      offsets.push((await producer.send({ topic: "orders", value: `${request}` })).offset);
      await producer.close();
    });
  }
  assert.deepEqual(offsets, [0n, 1n, 2n]);
});

test("requests: another request that comes while a transaction is open is told whose it is, and does it no harm", async () => {
  const cluster = new EmbeddedCluster({ topics: { orders: 1 } });
  const options = { brokers: cluster.bootstrap, connect: cluster.sockets, transactionalId: "orders-1" };
  const producer = new TransactionalProducer(options);
  const tx = await producer.begin();
  await tx.send({ topic: "orders", value: "1" });
  const calls: [string, () => Promise<unknown>][] = [
    ["init", () => producer.init()],
    ["begin", () => producer.begin()],
    ["transaction", () => producer.transaction(() => {})],
    ["sendOffsets", () => tx.sendOffsets({ topic: "orders", partition: 0, offset: 1n }, "g")],
    ["commit", () => tx.commit()],
    ["abort", () => tx.abort()],
    ["close", () => producer.close()],
  ];
  await inOwnRequest(async () => {
    // Elsewhere there are no requests.
    for (const [name, call] of runtimeName === "workerd" ? calls : []) {
      const error: KafkaError | undefined = await call().then(() => undefined, (error) => error);
      assert.equal(error?.code, "WRONG_REQUEST", name);
    }
  });
  assert.equal(tx.state, "in transaction");
  await tx.commit();
  await producer.close();
  assert.equal(cluster.transactions.describe("orders-1")!.state, "CompleteCommit");
});
