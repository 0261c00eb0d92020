import assert from "node:assert/strict";
import { encodeResponseFrame } from "../../src/protocol/api.ts";
import { Metadata } from "../../src/protocol/messages/metadata.ts";
import { Produce } from "../../src/protocol/messages/produce.ts";
import type { KafkaError } from "../../src/errors.ts";
import type { ProducerOptions } from "../../src/producer/options/options.ts";
import { seededRandom } from "../../src/testing/doubles/random.ts";
import { dice, type Stage, stage } from "../stage.ts";
import { test } from "../harness.ts";
import { assertLeavesNothing, sendApart, sentBatches, states, valuesIn, warmUp, watch } from "./wire.ts";

const UNKNOWN_TOPIC = 3;
const NOT_LEADER = 6;
const REQUEST_TIMED_OUT = 7;
const POLICY_VIOLATION = 44;

test("delivery: nothing settles before the broker has answered", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const producer = s.producer();
  await warmUp(s, producer);
  s.cluster.control(Produce, { answerDelayMs: 5_000 }, { times: 1 });
  let calls = 0;
  const sent = watch(
    s,
    producer.send({ topic: "orders", partition: 0, value: "v" }, { onDelivery: () => calls++ }),
  );
  await s.runtime.advance(5_019);
  assert.deepEqual([sent.state, calls], ["pending", 0]);
  await s.runtime.advance(1);
  assert.deepEqual([sent.state, calls], ["resolved", 1]);
  await assertLeavesNothing(s, producer);
});

test("delivery: a refused batch reaches every record of it, callbacks once each", async () => {
  const s = stage();
  const producer = s.producer({ lingerMs: 10 });
  await warmUp(s, producer);
  s.cluster.control(Produce, { error: POLICY_VIOLATION }, { times: 1 });
  const calls: string[] = [];
  const sent = ["a", "b", "c"].map((value) =>
    watch(
      s,
      producer.send({ topic: "orders", partition: 0, value }, {
        onDelivery: (error, metadata) => calls.push(`${value} ${error?.code} ${metadata}`),
        onSuccess: () => calls.push(`${value} success`),
        onError: (error) => calls.push(`${value} ${error.code}`),
      }),
    )
  );
  await s.run(producer.flush());
  assert.deepEqual(states(sent), ["POLICY_VIOLATION", "POLICY_VIOLATION", "POLICY_VIOLATION"]);
  assert.deepEqual(
    calls,
    ["a", "b", "c"].flatMap((value) => [`${value} POLICY_VIOLATION null`, `${value} POLICY_VIOLATION`]),
  );
  assert.equal(sent[0]!.error!.persisted, "no");
  await assertLeavesNothing(s, producer);
});

test("delivery: records that somebody asks about have their offsets between those that nobody does", async () => {
  const s = stage();
  const producer = s.producer({ lingerMs: 10 });
  await warmUp(s, producer);
  const offsets: Promise<bigint>[] = [];
  for (const asked of [false, true, true, false, false, false, true, false, true]) {
    const record = { topic: "orders", partition: 0, value: "v" };
    if (asked) offsets.push(producer.send(record).then(({ offset }) => offset));
    else producer.produce(record);
  }
  await s.run(producer.flush());
  const [first] = await Promise.all(offsets);
  assert.deepEqual((await Promise.all(offsets)).map((offset) => offset - first!), [0n, 1n, 5n, 7n]);
  assert.equal(sentBatches(s.cluster).at(-1)!.count, 9);
  await assertLeavesNothing(s, producer);
});

test("delivery: each record has its own offset, and callbacks run before promises resolve", async () => {
  const s = stage();
  const producer = s.producer({ lingerMs: 10 });
  await warmUp(s, producer);
  const order: string[] = [];
  const results = await s.run(
    Promise.all(["a", "b", "c"].map((value) =>
      producer.send({ topic: "orders", partition: 0, value }, {
        onSuccess: ({ offset }) => {
          order.push(`callback ${offset}`);
          throw new Error("a callback's own trouble");
        },
      }).then((metadata) => {
        order.push(`promise ${metadata.offset}`);
        return metadata;
      })
    )),
  );
  assert.deepEqual(results.map(({ offset }) => offset), [1n, 2n, 3n]);
  assert.deepEqual(order, ["callback 1", "callback 2", "callback 3", "promise 1", "promise 2", "promise 3"]);
  assert.equal(sentBatches(s.cluster).length, 1);
  await assertLeavesNothing(s, producer);
});

/** Sends one record to a producer that was brought into some trouble; it must fail at 300 ms, no sooner or later. */
async function failsAt300(
  trouble: (s: Stage) => void | Promise<void>,
  expected: { persisted: string; code?: string },
  options: Partial<ProducerOptions> = {},
  fill?: (producer: ReturnType<Stage["producer"]>) => void,
): Promise<{ s: Stage; error: KafkaError; producer: ReturnType<Stage["producer"]> }> {
  const s = stage({
    brokers: 2,
    topics: { orders: { partitions: 3, replicationFactor: 1 } },
    network: { latencyMs: 5 },
  });
  const producer = s.producer({ deliveryTimeoutMs: 300, ...options });
  await warmUp(s, producer, [0, 1, 2]);
  await trouble(s);
  fill?.(producer);
  const atMs = s.runtime.now();
  let calls = 0;
  const sent = watch(s, producer.send({ topic: "orders", partition: 0, value: "v" }, { onDelivery: () => calls++ }));
  await s.runtime.advance(299);
  assert.equal(sent.state, "pending", `${sent.error?.message}`);
  await s.runtime.advance(1);
  assert.equal(sent.atMs, atMs + 300);
  assert.equal(sent.error?.code, expected.code ?? "DELIVERY_TIMEOUT");
  assert.equal(sent.error?.persisted, expected.persisted, sent.error?.message);
  assert.match(sent.error!.message, /deliveryTimeoutMs/);
  // Whatever is answered later changes nothing.
  await s.runtime.advance(40_000);
  assert.equal(calls, 1);
  await assertLeavesNothing(s, producer);
  return { s, error: sent.error as KafkaError, producer };
}

test("delivery: the deadline holds while a broker is silent", async () => {
  await failsAt300((s) => void s.cluster.control(Produce, { silence: true }, { times: 1 }), { persisted: "possibly" });
});

test("delivery: the deadline holds while an answer is late, which is then ignored", async () => {
  const { s } = await failsAt300(
    (s) => void s.cluster.control(Produce, { answerDelayMs: 1_000 }, { times: 1 }),
    { persisted: "possibly" },
  );
  assert.deepEqual(await valuesIn(s.cluster, "orders", 0), ["warm", "v"]);
});

test("delivery: the deadline holds while attempts are refused, and cuts the last backoff short", async () => {
  const { s, error } = await failsAt300(
    (s) => void s.cluster.control(Produce, { error: UNKNOWN_TOPIC }),
    { persisted: "no" },
    { retryBackoffMs: 100, retryBackoffMaxMs: 10_000 },
  );
  assert.equal((error.cause as KafkaError).code, "UNKNOWN_TOPIC_OR_PARTITION");
  assert.equal(sentBatches(s.cluster).length, 2);
});

test("delivery: once an attempt may have been written, no later refusal makes it certain that it wasn't", async () => {
  let attempt = 0;
  await failsAt300(
    (s) => void s.cluster.control(Produce, () => ({ error: attempt++ === 0 ? REQUEST_TIMED_OUT : UNKNOWN_TOPIC })),
    { persisted: "possibly" },
  );
});

test("delivery: the deadline holds while a batch lingers", async () => {
  const { s } = await failsAt300(() => {}, { persisted: "no" }, { lingerMs: 10_000 });
  assert.deepEqual(await valuesIn(s.cluster, "orders", 0), ["warm"]);
});

test("delivery: the deadline holds while there is no leader", async () => {
  await failsAt300(async (s) => {
    s.cluster.stopBroker(s.cluster.partition("orders", 0).leaderId);
    await s.runtime.advance(50);
  }, { persisted: "no" });
});

test("delivery: the deadline holds while metadata names a leader that nobody knows", async () => {
  await failsAt300(async (s) => {
    const { leaderId } = s.cluster.partition("orders", 0);
    s.cluster.control(Produce, { error: NOT_LEADER });
    s.cluster.control(Metadata, (request) => ({
      respond: {
        brokers: s.cluster.brokers.filter(({ id }) => id !== leaderId).map(({ id }) => (
          { nodeId: id, host: `broker-${id}.test`, port: 9092 }
        )),
        topics: request.topics!.map(({ name }) => ({
          errorCode: 0,
          name: name!,
          topicId: s.cluster.topic(name!)!.id,
          partitions: [{
            errorCode: 0,
            partitionIndex: 0,
            leaderId: 77,
            leaderEpoch: 9,
            replicaNodes: [],
            isrNodes: [],
            offlineReplicas: [],
          }],
        })),
      } as never,
    }));
    await s.runtime.advance(50);
  }, { persisted: "no" });
});

test("delivery: the deadline holds while the leader can't be reached", async () => {
  await failsAt300(async (s) => {
    const { leaderId } = s.cluster.partition("orders", 0);
    s.cluster.network.blackHole(`broker-${leaderId}.test:9092`);
    s.cluster.network.reset(`broker-${leaderId}.test:9092`);
    await s.runtime.advance(50);
  }, { persisted: "no" });
});

test("delivery: the deadline holds while the buffer is full", async () => {
  await failsAt300(
    (s) => void s.cluster.control(Produce, { silence: true }),
    { persisted: "no" },
    { bufferMemory: 1_000, deliveryTimeoutMs: 300 },
    (producer) => {
      // A second deadline that is later: what holds the memory must not be what ends the wait.
      producer.send({ topic: "orders", partition: 1, value: "x".repeat(850) }).catch(() => {});
    },
  );
});

test("delivery: the deadline holds while a topic is unknown", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const producer = s.producer({ deliveryTimeoutMs: 300 });
  const sent = watch(s, producer.send({ topic: "nowhere", value: "v" }));
  await s.runtime.advance(299);
  assert.equal(sent.state, "pending");
  await s.runtime.advance(1);
  assert.equal(sent.error?.code, "UNKNOWN_TOPIC_OR_PARTITION");
  assert.match(sent.error!.message, /deliveryTimeoutMs/);
  await assertLeavesNothing(s, producer);
});

test("delivery: the deadline counts from the call, not from when there was memory", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const producer = s.producer({ deliveryTimeoutMs: 1_000, bufferMemory: 1_000, lingerMs: 5_000 });
  await warmUp(s, producer);
  s.cluster.control(Produce, { answerDelayMs: 500 }, { times: 1 });
  s.cluster.control(Produce, { silence: true });
  const first = watch(s, producer.send({ topic: "orders", partition: 0, value: "x".repeat(850) }));
  const atMs = s.runtime.now();
  const second = watch(s, producer.send({ topic: "orders", partition: 1, value: "y".repeat(300) }));
  await s.runtime.advance(900);
  assert.equal(second.state, "pending");
  await s.runtime.advance(100);
  assert.equal(second.atMs, atMs + 1_000);
  assert.notEqual(first.state, "pending");
  await assertLeavesNothing(s, producer);
});

test("delivery: one request, three partitions: what is accepted stays, what failed or is missing goes again", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const producer = s.producer();
  await warmUp(s, producer, [0, 1, 2]);
  const { id } = s.cluster.topic("orders")!;
  s.cluster.control(Produce, {
    respond: {
      responses: [
        {
          name: "orders",
          topicId: id,
          partitionResponses: [
            { index: 0, errorCode: 0, baseOffset: 77n },
            { index: 1, errorCode: NOT_LEADER, baseOffset: -1n },
            // Never asked for, and asked for and answered twice: neither may do any harm.
            { index: 9, errorCode: 0, baseOffset: 5n },
            { index: 0, errorCode: POLICY_VIOLATION, baseOffset: -1n },
          ],
        },
        { name: "invented", topicId: "f".repeat(32), partitionResponses: [{ index: 0, errorCode: 0, baseOffset: 1n }] },
      ],
    },
  }, { times: 1 });
  const sent = [0, 1, 2].map((partition) =>
    watch(s, producer.send({ topic: "orders", partition, value: `to ${partition}` }))
  );
  await s.run(producer.flush());
  assert.deepEqual(states(sent), ["acked 77", "acked 1", "acked 1"]);
  const batches = sentBatches(s.cluster);
  const requests = (partition: number): number => batches.filter((batch) => batch.partition === partition).length;
  assert.deepEqual([requests(0), requests(1), requests(2)], [1, 2, 2]);
  for (const partition of [1, 2]) {
    const [first, second] = batches.filter((batch) => batch.partition === partition);
    assert.deepEqual(second!.bytes, first!.bytes);
  }
  await assertLeavesNothing(s, producer);
});

test("delivery: garbage in place of an answer ends the connection, and the batch goes again as it was", async () => {
  const frame = (length: number, ...bytes: number[]): Uint8Array => {
    const out = new Uint8Array(4 + bytes.length);
    new DataView(out.buffer).setInt32(0, length);
    out.set(bytes, 4);
    return out;
  };
  const garbage: Record<string, Uint8Array> = {
    "a length of 2^31 - 1": frame(0x7fffffff, 1, 2, 3),
    "a negative length": frame(-5, 0, 0, 0, 0),
    "three bytes": frame(3, 1, 2, 3),
    "another correlation id": frame(8, 0x77, 0, 0, 0, 0, 0, 0, 0),
    "text": new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n"),
    "nothing": frame(0),
  };
  for (const [what, bytes] of Object.entries(garbage)) {
    const s = stage({ network: { latencyMs: 5 } });
    const producer = s.producer();
    await warmUp(s, producer);
    s.cluster.control(Produce, { bytes, apply: true }, { times: 1 });
    const sent = await sendApart(s, producer, ["one"]);
    await s.runtime.advance(1_000);
    assert.deepEqual(states(sent), ["duplicate 1"], what);
    const [first, second, ...more] = sentBatches(s.cluster);
    assert.deepEqual(more, [], what);
    assert.deepEqual(second!.bytes, first!.bytes, what);
    assert.notEqual(second!.connectionId, first!.connectionId, what);
    await assertLeavesNothing(s, producer);
  }
});

test("delivery: a truncated or over-long answer ends the connection, and the batch goes again as it was", async () => {
  for (const change of [-1, -7, 3]) {
    const s = stage({ network: { latencyMs: 5 } });
    const producer = s.producer();
    await warmUp(s, producer);
    s.cluster.control(Produce, (_request, { correlationId, version }) => {
      const body = new Uint8Array(64);
      void version;
      const whole = new Uint8Array(4 + 4 + body.length + change);
      const view = new DataView(whole.buffer);
      view.setInt32(0, whole.length - 4);
      view.setInt32(4, correlationId);
      whole[9] = 0x40;
      return { bytes: whole, apply: true };
    }, { times: 1 });
    const sent = await sendApart(s, producer, ["one"]);
    await s.runtime.advance(1_000);
    assert.deepEqual(states(sent), ["duplicate 1"]);
    assert.equal(sentBatches(s.cluster).length, 2);
    await assertLeavesNothing(s, producer);
  }
});

test("delivery: after a request timeout the connection is closed and its late answer belongs to nobody", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const producer = s.producer({ requestTimeoutMs: 200 });
  await warmUp(s, producer, [0, 1]);
  s.cluster.control(Produce, { answerDelayMs: 300 }, { times: 1 });
  const atMs = s.runtime.now();
  const [a] = await sendApart(s, producer, ["a"], 0);
  const [b] = await sendApart(s, producer, ["b"], 1);
  const before = s.cluster.network.dials;
  await s.runtime.advance(199);
  assert.equal(s.cluster.network.dials, before);
  await s.run(producer.flush());
  assert.ok(s.cluster.network.dials > before);
  assert.equal(a!.state, "resolved");
  assert.equal(b!.state, "resolved");
  assert.deepEqual([a!.value!.partition, a!.value!.offset, b!.value!.partition, b!.value!.offset], [0, 1n, 1, 1n]);
  // The broker reads on what the old connection had brought; both go again by the new one.
  const { connectionId: oldConnection } = sentBatches(s.cluster)[0]!;
  const again = sentBatches(s.cluster).filter((batch) => batch.atMs > atMs && batch.connectionId !== oldConnection);
  assert.deepEqual(again.map(({ partition }) => partition).sort(), [0, 1]);
  assert.deepEqual(await valuesIn(s.cluster, "orders"), ["warm", "a", "warm", "b"]);
  await assertLeavesNothing(s, producer);
});

test("delivery: a record keeps its own timestamp, also through retries; the broker's counts where it has one", async () => {
  const s = stage({
    topics: { orders: 3, stamped: { partitions: 1, config: { "message.timestamp.type": "LogAppendTime" } } },
    network: { latencyMs: 5 },
  });
  const producer = s.producer({ lingerMs: 5 });
  await warmUp(s, producer);
  s.cluster.control(Produce, { error: NOT_LEADER }, { times: 2 });
  const wall = s.runtime.wallNow();
  const stamps = [1_000, 900, 2_000, 0, undefined];
  const results = await s.run(
    Promise.all(stamps.map((timestamp) => producer.send({ topic: "orders", partition: 0, value: "v", timestamp }))),
  );
  const wanted = [1_000, 900, 2_000, 0, wall];
  assert.ok(s.runtime.wallNow() > wall + 200);
  assert.deepEqual(results.map(({ timestamp }) => timestamp), wanted);
  const stored = (await s.cluster.records("orders", 0)).slice(1);
  assert.deepEqual(stored.map(({ timestamp }) => Number(timestamp)), wanted);
  const [stamped] = await s.run(Promise.all([producer.send({ topic: "stamped", value: "v", timestamp: 5 })]));
  const [inLog] = await s.cluster.records("stamped");
  assert.equal(stamped.timestamp, Number(inLog!.timestamp));
  assert.ok(stamped.timestamp > wall);
  await assertLeavesNothing(s, producer);
});

test("delivery: lz4 and snappy batches arrive as they were sent, and a retry sends the same compressed bytes", async () => {
  for (const compression of ["lz4", "snappy"] as const) {
    const s = stage({ network: { latencyMs: 5 } });
    const producer = s.producer({ compression, lingerMs: 5 });
    await warmUp(s, producer);
    s.cluster.control(Produce, { drop: "after" }, { times: 1 });
    const values = Array.from({ length: 100 }, (_, i) => `the same words over and over, number ${i}`);
    const results = await s.run(
      Promise.all(values.map((value) => producer.send({ topic: "orders", partition: 0, value, timestamp: 5 }))),
    );
    assert.deepEqual(results.map(({ offset }) => offset), values.map((_, i) => BigInt(i + 1)));
    assert.deepEqual(await valuesIn(s.cluster, "orders", 0), ["warm", ...values]);
    const [first, second] = sentBatches(s.cluster);
    assert.deepEqual(second!.bytes, first!.bytes);
    assert.ok(first!.bytes.length < 2_000);
    await assertLeavesNothing(s, producer);
  }
});

test("delivery: a frame of exactly maxRequestSize passes, one byte less refuses it before anything is written", async () => {
  const sizeOf = async (maxRequestSize?: number): Promise<{ size: number; code: string | undefined }> => {
    const s = stage();
    const producer = s.producer({ ...(maxRequestSize === undefined ? {} : { maxRequestSize }) });
    await warmUp(s, producer);
    const sent = watch(s, producer.send({ topic: "orders", partition: 0, value: "é".repeat(2_000), timestamp: 5 }));
    await s.run(producer.flush());
    const size = s.cluster.requestsOf(Produce)[0]?.frame.length ?? 0;
    if (sent.error !== undefined) assert.match(sent.error.message, /maxRequestSize/);
    // The producer is none the worse for it.
    await s.run(producer.send({ topic: "orders", partition: 0, value: "small" }));
    await assertLeavesNothing(s, producer);
    return { size: sent.error === undefined ? size : 0, code: sent.error?.code };
  };
  const { size } = await sizeOf();
  assert.ok(size > 4_000);
  assert.deepEqual(await sizeOf(size), { size, code: undefined });
  assert.deepEqual(await sizeOf(size - 1), { size: 0, code: "RECORD_TOO_LARGE" });
});

test("delivery: batches and requests stay within maxRequestSize, however much is waiting", async () => {
  const s = stage({ brokers: 1, topics: { orders: 12 }, network: { latencyMs: 5 } });
  const producer = s.producer({ maxRequestSize: 5_000, clientId: "a client with a name" });
  await warmUp(s, producer);
  const results = await s.run(
    Promise.allSettled(
      Array.from(
        { length: 3_000 },
        (_, i) => producer.send({ topic: "orders", partition: i % 12, value: "x".repeat(50) }),
      ),
    ),
  );
  assert.equal(results.filter(({ status }) => status === "rejected").length, 0);
  assert.ok(s.cluster.requestsOf(Produce).every(({ frame }) => frame.length <= 5_000));
  await assertLeavesNothing(s, producer);
});

test("delivery: a batch that no request can hold doesn't stop its neighbours", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const producer = s.producer({ maxRequestSize: 1_000 });
  await warmUp(s, producer, [0, 1, 2]);
  // Small enough as a record, too large with the frame around it.
  const sizes = [920, 920, 300];
  const sent = sizes.map((size, partition) =>
    watch(s, producer.send({ topic: "orders", partition, value: "x".repeat(size) }))
  );
  await s.runtime.advance(1_000);
  assert.deepEqual(states(sent), ["RECORD_TOO_LARGE", "RECORD_TOO_LARGE", "acked 1"]);
  await assertLeavesNothing(s, producer);
});

test("delivery: the leader is looked up once between two attempts, and the second goes to the new one", async () => {
  const s = stage({
    brokers: 2,
    release: "3.9",
    apiVersions: { Produce: [3, 9] },
    topics: { orders: { partitions: 1, replicationFactor: 2 } },
    network: { latencyMs: 5 },
  });
  const producer = s.producer();
  await warmUp(s, producer);
  const [from, to] = s.cluster.partition("orders", 0).leaderId === 1 ? [1, 2] : [2, 1];
  s.cluster.moveLeader("orders", 0, to);
  s.cluster.clearRequests();
  const metadata = await s.run(producer.send({ topic: "orders", partition: 0, value: "v" }));
  assert.equal(metadata.offset, 1n);
  const seen = s.cluster.requests.filter(({ api }) => api.key === Produce.key || api.key === Metadata.key);
  assert.deepEqual(seen.map(({ api, brokerId }) => api.name === "Produce" ? brokerId : api.name), [
    from,
    "Metadata",
    to,
  ]);
  assert.ok(seen[2]!.atMs - seen[0]!.atMs < 90, "a new leader is a reason not to back off");
  await assertLeavesNothing(s, producer);
});

test("delivery: a broker that names the new leader saves the look-up before the next attempt", async () => {
  const s = stage({
    brokers: 2,
    topics: { orders: { partitions: 2, replicationFactor: 2 } },
    network: { latencyMs: 5 },
  });
  const producer = s.producer();
  await warmUp(s, producer, [0, 1]);
  const [from, to] = s.cluster.partition("orders", 0).leaderId === 1 ? [1, 2] : [2, 1];
  s.cluster.moveLeader("orders", 0, to);
  s.cluster.control(Metadata, { silence: true });
  const metadata = await s.run(producer.send({ topic: "orders", partition: 0, value: "v" }), 1_000);
  assert.equal(metadata.offset, 1n);
  const [first, second, ...more] = sentBatches(s.cluster);
  assert.deepEqual([first!.brokerId, second!.brokerId, more], [from, to, []]);
  assert.ok(second!.atMs - first!.atMs < 50, "without backoff");
  await s.run(producer.close());
});

test("delivery: a topic without partitions is waited for; a forbidden one fails at once; nobody asks twice", async () => {
  const s = stage({ topics: { forbidden: 1 }, autoCreateTopics: false, network: { latencyMs: 5 } });
  const producer = s.producer();
  await s.run(producer.connect());
  s.cluster.clearRequests();
  s.cluster.control(
    Metadata,
    (request) => request.topics!.some(({ name }) => name === "forbidden") ? { error: 29, apply: true } : undefined,
  );
  const forbidden = await s.failure(producer.send({ topic: "forbidden", value: "v" }));
  assert.equal(forbidden.code, "TOPIC_AUTHORIZATION_FAILED");
  assert.equal(s.cluster.requestsOf(Metadata).length, 1);
  await assertLeavesNothing(s, producer);

  const t = stage({ topics: {}, autoCreateTopics: false, network: { latencyMs: 5 } });
  const patient = t.producer();
  await t.run(patient.connect());
  t.cluster.clearRequests();
  const sent = Array.from(
    { length: 100 },
    (_, i) => watch(t, patient.send({ topic: "late", key: `k ${i}`, value: `${i}` })),
  );
  await t.runtime.advance(10);
  assert.equal(t.cluster.requestsOf(Metadata).length, 1, "a hundred sends share a request");
  await t.runtime.advance(2_000);
  assert.deepEqual(new Set(states(sent)), new Set(["pending"]));
  t.cluster.createTopic("late", { partitions: 3 });
  await t.runtime.advance(2_000);
  assert.ok(sent.every(({ state }) => state === "resolved"));
  assert.deepEqual(new Set(sent.map(({ value }) => value!.partition)), new Set([0, 1, 2]));
  await assertLeavesNothing(t, patient);
});

test("delivery: a partition whose leader moved doesn't wait for the requests that the old one leaves unanswered", async () => {
  const s = stage({
    brokers: 2,
    topics: { orders: { partitions: 8, replicationFactor: 2 } },
    network: { latencyMs: 5 },
  });
  const producer = s.producer({ requestTimeoutMs: 20_000 });
  await warmUp(s, producer, [0, 1, 2, 3, 4, 5, 6, 7]);
  const mine = [0, 1, 2, 3, 4, 5, 6, 7].filter((partition) => s.cluster.partition("orders", partition).leaderId === 1);
  const moving = mine.pop()!;
  s.cluster.control(Produce, { silence: true }, { brokerId: 1 });
  for (let i = 0; i < 5; i++) await sendApart(s, producer, ["stuck"], mine[i % mine.length]);
  assert.equal(producer.metrics()["requests-in-flight"], 5);
  const [sent] = await sendApart(s, producer, ["moves"], moving);
  s.cluster.moveLeader("orders", moving, 2);
  void producer.refreshMetadata().catch(() => {});
  s.cluster.network.reset("broker-2.test:9092");
  await s.runtime.advance(5_000);
  assert.deepEqual(states([sent!]), ["acked 1"]);
  await s.run(producer.close());
});

test("delivery: an answer that a broker is fatal about fails all that waits, also what waits for memory", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const producer = s.producer({ bufferMemory: 1_000 });
  await warmUp(s, producer);
  s.cluster.control(Produce, { error: 31 }, { times: 1 });
  const sent = await sendApart(s, producer, ["x".repeat(850), "y".repeat(300), "z".repeat(300)]);
  await s.runtime.advance(50);
  assert.deepEqual(states(sent), Array.from({ length: 3 }, () => "CLUSTER_AUTHORIZATION_FAILED"));
  const error = await s.failure(producer.send({ topic: "orders", value: "v" }));
  assert.deepEqual([error.code, error.fatal], ["CLUSTER_AUTHORIZATION_FAILED", true]);
  await assertLeavesNothing(s, producer);
});

test("delivery: a hundred rounds of success, failure and timeout leave the memory whole", async () => {
  const s = stage({ brokers: 2, network: { latencyMs: 5 } });
  const producer = s.producer({ deliveryTimeoutMs: 400, requestTimeoutMs: 150, bufferMemory: 5_000, maxBlockMs: 100 });
  await warmUp(s, producer);
  const roll = dice(seededRandom(5));
  s.cluster.control(Produce, () => {
    const actions = [undefined, undefined, { error: POLICY_VIOLATION }, { error: NOT_LEADER }, { silence: true }, {
      answerDelayMs: 200,
    }, { drop: "after" as const }];
    return actions[roll(actions.length)];
  });
  let settled = 0;
  let sent = 0;
  for (let round = 0; round < 100; round++) {
    for (let i = roll(8); i > 0; i--) {
      sent++;
      producer.send({
        topic: "orders",
        partition: roll(3),
        key: "k",
        value: "x".repeat(roll(800)),
        headers: { h: "v" },
      }, {
        onDelivery: () => settled++,
      });
    }
    await s.runtime.advance(roll(100));
  }
  await s.run(producer.flush());
  assert.equal(settled, sent);
  await s.runtime.advance(1_000);
  const { "buffer-available-bytes": available, "buffer-total-bytes": total } = producer.metrics();
  assert.equal(available, total);
  await assertLeavesNothing(s, producer);
});

test("delivery: an answer that belongs to another request is believed by nobody", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const producer = s.producer();
  await warmUp(s, producer);
  s.cluster.control(Produce, (_request, { correlationId, version }) => {
    const partitionResponses = [{ index: 0, errorCode: 0, baseOffset: 999n }];
    const responses = [{ name: "orders", topicId: s.cluster.topic("orders")!.id, partitionResponses }];
    const parts = encodeResponseFrame(Produce, version, correlationId + 1, { responses });
    const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    return { bytes };
  }, { times: 1 });
  const sent = await sendApart(s, producer, ["one"]);
  await s.run(producer.flush());
  assert.deepEqual(states(sent), ["acked 1"]);
  assert.equal(new Set(sentBatches(s.cluster).map(({ connectionId }) => connectionId)).size, 2);
  await assertLeavesNothing(s, producer);
});

test("delivery: after a fatal error each record is told its own fate", async () => {
  const s = stage({ topics: { orders: 1, other: 1 } });
  const producer = s.producer();
  await s.run(producer.send({ topic: "orders", value: "warm" }));
  s.cluster.control(Produce, { drop: "before" }, { times: 1 });
  const waiting = producer.send({ topic: "nowhere", value: "never left" });
  waiting.catch(() => {});
  const first = producer.send({ topic: "orders", value: "in doubt" });
  await s.runtime.advance(50);
  s.cluster.control(Produce, { error: 31 });
  const fates = async (promise: Promise<unknown>): Promise<unknown[]> => {
    const { code, fatal, persisted, topic, partition } = await s.failure(promise);
    return [code, fatal, persisted, topic, partition];
  };
  const name = "CLUSTER_AUTHORIZATION_FAILED";
  assert.deepEqual(await fates(first), [name, true, "possibly", "orders", 0]);
  assert.deepEqual(await fates(waiting), [name, true, "no", undefined, undefined]);
  assert.deepEqual(await fates(producer.send({ topic: "other", value: "x" })), [
    name,
    true,
    "no",
    undefined,
    undefined,
  ]);
  await s.run(producer.close());
});
