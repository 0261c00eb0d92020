import assert from "node:assert/strict";
import { InitProducerId, Metadata, Produce } from "../../src/protocol/messages/mod.ts";
import { type KafkaFailure, type Stage, stage } from "../stage.ts";
import { test } from "../harness.ts";
import { assertLeavesNothing, warmUp } from "./wire.ts";

interface Line {
  readonly atMs: number;
  readonly level: string;
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A logger of the levels that somebody reads, with the time of each line. */
function journal({ runtime }: Stage) {
  const lines: Line[] = [];
  const write = (level: string) => (event: string, fields: Line["fields"]): void => {
    lines.push({ atMs: runtime.now(), level, event, fields });
  };
  return {
    lines,
    logger: { info: write("info"), warn: write("warn"), error: write("error") },
    of: (event: string) => lines.filter((line) => line.event === event),
  };
}

/** What a promise that is left alone for now is rejected with. */
function reasonOf(promise: Promise<unknown>): Promise<KafkaFailure> {
  return promise.then(() => assert.fail("It was not rejected, wanted an error"), (error) => error);
}

/** Brokers whose advertised addresses lead nowhere, behind one server that answers. */
function misadvertise(
  { cluster }: Stage,
  names = ["kafka-1.internal", "kafka-2.internal", "kafka-3.internal"],
): string {
  const [first] = cluster.brokers;
  cluster.network.listen("bootstrap.test:9092", (socket) => first!.accept(socket, "memory"));
  for (const [index, broker] of cluster.brokers.entries()) {
    broker.setEndpoint("memory", { host: names[index]!, port: 9092 });
  }
  return "bootstrap.test:9092";
}

/** Makes a partition leaderless in the metadata, with the error that brokers tell of it then, until what it returns is called. */
function takeLeader(s: Stage, errorCode: number): () => void {
  return s.cluster.control(Metadata, {
    respond: {
      brokers: [{ nodeId: 1, host: "broker-1.test", port: 9092 }],
      topics: [{
        name: "orders",
        topicId: s.cluster.topic("orders")!.id,
        errorCode: 0,
        partitions: [{ partitionIndex: 0, errorCode, leaderId: -1, leaderEpoch: 9, replicaNodes: [2], isrNodes: [] }],
      }],
    },
  });
}

test("watch: a wrong port is a warning at once, another after five seconds, and the reason of the error", async () => {
  const s = stage();
  const { logger, of, lines } = journal(s);
  const failures: unknown[] = [];
  const p = s.producer({ brokers: "localhost:1", logger, hooks: { onConnectFailed: (event) => failures.push(event) } });
  const error = await s.failure(p.send({ topic: "orders", value: "v" }));
  const [failed, ...more] = of("connect_failed");
  assert.deepEqual([failed!.atMs, failed!.level, failed!.fields.broker, failed!.fields.failures], [
    0,
    "warn",
    "localhost:1",
    1,
  ]);
  assert.match(failed!.fields.advice as string, /Start a broker there, or correct host and port in "brokers"/);
  assert.deepEqual(more, [], "once, and then counted");
  assert.equal(failures.length, 1);
  const waiting = of("waiting");
  assert.deepEqual(waiting.map(({ atMs }) => atMs), [5_000, 15_000, 35_000], "less and less often");
  assert.ok(waiting.every(({ level }) => level === "warn"));
  const { cause, reason, records, waitedMs } = waiting[0]!.fields;
  assert.deepEqual([cause, records, waitedMs], ["metadata", 1, 5_000]);
  assert.match(reason as string, /No broker can be reached\. Tried localhost:1: .*refused.* was dialled \d+ times/);
  assert.match(error.message, /maxBlockMs.*localhost:1.*refused.*dialled \d+ times.*Start a broker there/);
  assert.equal(lines.filter(({ level }) => level === "warn").length, 5, "with that of the record's failure");
  await s.run(p.close());
  assert.equal(s.runtime.pendingTimers, 0);
});

test("watch: connect() tells when no advertised broker can be reached, who advertises it, and which setting to change", async () => {
  const s = stage({ brokers: 2 });
  const { logger, of } = journal(s);
  const brokers = misadvertise(s);
  const p = s.producer({ brokers, logger });
  const error = await s.failure(p.connect());
  assert.equal(s.runtime.now(), 0);
  assert.deepEqual([error.name, error.code], ["ConnectionError", "BROKERS_UNREACHABLE"]);
  for (
    const part of ["kafka-1.internal:9092", "kafka-2.internal:9092", "bootstrap.test:9092", "advertised.listeners"]
  ) {
    assert.ok(error.message.includes(part), `${part} is not in: ${error.message}`);
  }
  const told = of("connect_failed").map(({ fields }) => [fields.broker, fields.nodeId, fields.advertisedBy]);
  assert.deepEqual(told.sort(), [
    ["kafka-1.internal:9092", 1, "bootstrap.test:9092"],
    ["kafka-2.internal:9092", 2, "bootstrap.test:9092"],
  ]);
  const late = await s.failure(p.send({ topic: "orders", partition: 0, value: "v" }));
  assert.equal(late.code, "DELIVERY_TIMEOUT");
  assert.match(
    late.message,
    /attempts to connect have failed.*The broker at bootstrap\.test:9092 advertises .* node \d/,
  );
  assert.match((late.cause as Error).message, /advertised\.listeners/);
  const waiting = of("waiting");
  assert.deepEqual([waiting[0]!.fields.cause, waiting[0]!.fields.topic, waiting[0]!.fields.partition], [
    "unreachable",
    "orders",
    0,
  ]);
  assert.equal(of("connect_failed").length, 2, "two minutes later still once for each");
  await assertLeavesNothing(s, p);
});

test("watch: one advertised broker that can be reached is enough for connect(), and acks 0 asks for one as well", async () => {
  const s = stage({ brokers: 2 });
  const brokers = misadvertise(s, ["broker-1.test", "nowhere.internal"]);
  const p = s.producer({ brokers });
  await s.run(p.connect());
  await s.run(p.close());
  const t = stage({ brokers: 2 });
  const q = t.producer({ brokers: misadvertise(t), acks: 0 });
  assert.match((await t.failure(q.connect())).message, /advertised\.listeners/);
  await t.run(q.close());
});

test("watch: advertised brokers that hang don't let connect() succeed either", async () => {
  const s = stage({ brokers: 2 });
  const brokers = misadvertise(s);
  for (const id of [1, 2]) s.cluster.network.blackHole(`kafka-${id}.internal:9092`);
  const { logger, of } = journal(s);
  const p = s.producer({ brokers, logger });
  const sent = reasonOf(p.send({ topic: "orders", partition: 0, value: "v" }));
  const error = await s.failure(p.connect());
  assert.ok(s.runtime.now() >= 10_000 && s.runtime.now() <= 12_000, `${s.runtime.now()} ms`);
  assert.match(error.message, /connectTimeoutMs.*advertised\.listeners/);
  assert.match(
    of("waiting")[0]!.fields.reason as string,
    /Connecting to "kafka-\d\.internal:9092" has taken 5000 ms so far/,
  );
  await s.failure(p.close({ timeoutMs: 1 }));
  await sent;
});

test("watch: another cause of the same broker is told, and after a connection the first one again", async () => {
  const s = stage();
  const { logger, of } = journal(s);
  const p = s.producer({ logger, deliveryTimeoutMs: 600_000 });
  await warmUp(s, p);
  s.cluster.stopBroker(1);
  const sent = p.send({ topic: "orders", partition: 0, value: "v" });
  await s.runtime.advance(20_000);
  assert.equal(of("connect_failed").length, 1);
  assert.match(of("connect_failed")[0]!.fields.advice as string, /Look whether the broker is up/);
  s.cluster.network.blackHole("broker-1.test:9092");
  await s.runtime.advance(30_000);
  assert.equal(of("connect_failed").length, 2);
  assert.ok((of("connect_failed")[1]!.fields.failures as number) > 10, "what was not told was counted");
  s.cluster.startBroker(1);
  s.cluster.network.heal("broker-1.test:9092");
  await s.run(sent);
  s.cluster.stopBroker(1);
  const later = p.send({ topic: "orders", partition: 0, value: "v" });
  await s.runtime.advance(5_000);
  assert.equal(of("connect_failed").length, 3);
  s.cluster.startBroker(1);
  await s.run(later);
  await assertLeavesNothing(s, p);
});

test("watch: a missing topic is told once, also to who only asks for its partitions, and one that comes in time isn't", async () => {
  const s = stage();
  const { logger, of } = journal(s);
  const p = s.producer({ logger });
  const sent = reasonOf(p.send({ topic: "nope", value: "v" }));
  const asked = reasonOf(p.partitionsFor("missing"));
  const soon = p.send({ topic: "soon", value: "v" });
  await s.runtime.advance(300);
  s.cluster.createTopic("soon", { partitions: 1 });
  await s.run(soon);
  const errors = await s.run(Promise.all([sent, asked]));
  assert.deepEqual(of("topic_missing").map(({ fields }) => fields.topic), ["nope", "missing"]);
  const [{ atMs, level, fields }] = of("topic_missing") as [Line];
  assert.ok(atMs >= 2_000 && atMs <= 3_000 && level === "warn");
  assert.match(fields.advice as string, /Create the topic, correct its name, or set "allowAutoTopicCreation"/);
  assert.deepEqual(of("waiting").map(({ atMs, fields }) => [atMs, fields.cause]).slice(0, 2), [
    [5_000, "topic_missing"],
    [15_000, "topic_missing"],
  ]);
  for (const error of errors) {
    assert.deepEqual([error.name, error.code, error.errorCode], ["TimeoutError", "UNKNOWN_TOPIC_OR_PARTITION", 3]);
    assert.match(error.message, /\(\d+ times\).*Create the topic/);
  }
  await assertLeavesNothing(s, p);
});

test("watch: a partition without a leader is named with the broker's own code, in the warning and in the error", async () => {
  for (const [errorCode, name] of [[5, "LEADER_NOT_AVAILABLE"], [72, "LISTENER_NOT_FOUND"]] as const) {
    const s = stage();
    const { logger, of } = journal(s);
    const p = s.producer({ logger });
    takeLeader(s, errorCode);
    const error = await s.failure(p.send({ topic: "orders", partition: 0, value: "v" }));
    assert.equal(error.code, "DELIVERY_TIMEOUT");
    assert.match(error.message, new RegExp(`no leader.*${name} \\(${errorCode}\\)`));
    assert.equal((error.cause as { code?: string }).code, name);
    assert.equal(of("waiting")[0]!.fields.cause, "no_leader");
    assert.match(of("waiting")[0]!.fields.reason as string, new RegExp(name));
    await s.run(p.close());
  }
});

test("watch: a record for a partition that has had no leader for long asks at once whether it has one by now", async () => {
  const s = stage();
  const p = s.producer();
  const giveBack = takeLeader(s, 5);
  await s.failure(p.send({ topic: "orders", partition: 0, value: "lost" }));
  await s.run(new Promise<void>((resolve) => s.runtime.setTimer(resolve, 10_000)));
  const before = s.cluster.requestsOf(Metadata).length;
  await s.run(new Promise<void>((resolve) => s.runtime.setTimer(resolve, 10_000)));
  assert.equal(s.cluster.requestsOf(Metadata).length, before, "nobody waits, so nobody asks");
  giveBack();
  const startMs = s.runtime.now();
  await s.run(p.send({ topic: "orders", partition: 0, value: "kept" }));
  assert.ok(s.runtime.now() - startMs < 1_000);
  await s.run(p.close());
});

test("watch: a leader that the metadata doesn't list is no leader that can be dialled", async () => {
  const s = stage();
  s.cluster.control(Metadata, {
    respond: {
      brokers: [{ nodeId: 1, host: "broker-1.test", port: 9092 }],
      topics: [{
        name: "orders",
        topicId: s.cluster.topic("orders")!.id,
        errorCode: 0,
        partitions: [{
          partitionIndex: 0,
          errorCode: 0,
          leaderId: 7,
          leaderEpoch: 9,
          replicaNodes: [7],
          isrNodes: [7],
        }],
      }],
    },
  });
  const p = s.producer();
  const error = await s.failure(p.send({ topic: "orders", partition: 0, value: "v" }));
  assert.match(error.message, /no leader.*broker 7.*metadata/);
  await s.run(p.close());
});

test("watch: what a broker refuses again and again, and how long it keeps silent is told", async () => {
  const s = stage();
  const { logger, of } = journal(s);
  const p = s.producer({ logger });
  await warmUp(s, p);
  const waiting = async (action: { readonly error: number } | { readonly silence: true }): Promise<Line["fields"]> => {
    const before = of("waiting").length;
    s.cluster.control(Produce, action);
    const sent = p.send({ topic: "orders", partition: 0, value: "v" });
    await s.runtime.advance(5_000);
    s.cluster.controls.clear();
    for (const broker of s.cluster.brokers) broker.disconnectAll();
    await s.run(sent);
    return of("waiting").at(before)!.fields;
  };
  const refused = await waiting({ error: 19 });
  assert.equal(refused.cause, "refused");
  assert.match(refused.reason as string, /\d+ attempts have failed.*NOT_ENOUGH_REPLICAS/);
  assert.match(refused.advice as string, /min\.insync\.replicas/);
  const silent = await waiting({ silence: true });
  assert.equal(silent.cause, "no_answer");
  assert.match(silent.reason as string, /broker-1\.test:9092 has not answered for 5000 ms/);
  await assertLeavesNothing(s, p);
});

test("watch: a quota that is used up is the reason that a flush, a close and a record give", async () => {
  const s = stage();
  const p = s.producer({ deliveryTimeoutMs: 40_000 });
  await warmUp(s, p);
  s.cluster.control(Produce, {
    respond: {
      responses: [{
        name: "orders",
        topicId: s.cluster.topic("orders")!.id,
        partitionResponses: [{ index: 0, errorCode: 0, baseOffset: 1n }],
      }],
      throttleTimeMs: 25_000,
    },
  }, { times: 1 });
  await s.run(p.send({ topic: "orders", partition: 0, value: "v" }));
  const sent = reasonOf(p.send({ topic: "orders", partition: 0, value: "v" }));
  const late = await s.failure(p.flush({ timeoutMs: 1_000 }));
  assert.equal(late.name, "TimeoutError");
  assert.match(
    late.message,
    /1000 ms \(timeoutMs\)\. 1 record is still on the way\..*25000 ms \(throttle_time_ms of its answer to Produce\)/,
  );
  assert.match(
    (await s.failure(p.close({ timeoutMs: 1_000 }))).message,
    /Closing took longer than 1000 ms.*1 record is still.*throttle_time_ms/,
  );
  assert.equal((await sent).code, "PRODUCER_CLOSED");
});

test("watch: a producer id that doesn't come is the reason that connect(), the warning and the record give", async () => {
  const s = stage();
  const { logger, of } = journal(s);
  const p = s.producer({ logger });
  s.cluster.control(InitProducerId, { error: 14 });
  const sent = reasonOf(p.send({ topic: "orders", partition: 0, value: "v" }));
  const connected = await s.failure(p.connect());
  assert.match(
    connected.message,
    /no producer id yet.*broker-1\.test:9092 answered COORDINATOR_LOAD_IN_PROGRESS \(14\)/,
  );
  assert.equal((connected.cause as { code?: string }).code, "COORDINATOR_LOAD_IN_PROGRESS");
  assert.match((await s.run(sent)).message, /no producer id yet.*COORDINATOR_LOAD_IN_PROGRESS/);
  assert.equal(of("waiting")[0]!.fields.cause, "producer_id");
  await assertLeavesNothing(s, p);
});

test("watch: why a producer id didn't come once isn't why the next one doesn't come", async () => {
  const s = stage();
  const p = s.producer({ requestTimeoutMs: 4_000, deliveryTimeoutMs: 5_000 });
  s.cluster.control(InitProducerId, { respond: { errorCode: 0, producerId: 7n, producerEpoch: 32_767 } }, { times: 1 });
  s.cluster.control(InitProducerId, { error: 14 }, { times: 1 });
  await s.run(p.send({ topic: "orders", partition: 0, value: "v" }));
  // The epoch is the last one, and a record that is refused costs one.
  s.cluster.control(Produce, { error: 44 }, { times: 1 });
  s.cluster.control(InitProducerId, { silence: true });
  assert.equal((await s.failure(p.send({ topic: "orders", partition: 0, value: "refused" }))).errorCode, 44);
  const sent = reasonOf(p.send({ topic: "orders", partition: 0, value: "w" }));
  await s.runtime.advance(1_000);
  const { message } = await s.failure(p.close({ timeoutMs: 1_000 }));
  assert.match(message, /no producer id yet: no broker has answered InitProducerId/);
  assert.doesNotMatch(message, /COORDINATOR_LOAD_IN_PROGRESS/);
  assert.equal((await sent).code, "PRODUCER_CLOSED");
});

test("watch: a broker without InitProducerId fails a record at once with the option to change", async () => {
  const s = stage({ apiVersions: { InitProducerId: null } });
  const p = s.producer();
  const error = await s.failure(p.send({ topic: "orders", value: "v" }));
  assert.equal(error.name, "UnsupportedVersionError");
  assert.match(error.message, /Set "idempotent" to false.*broker-1\.test:9092/);
  assert.match((await s.failure(p.connect())).message, /Set "idempotent" to false/);
  await s.run(p.close());
  const q = s.producer({ idempotent: false });
  assert.equal((await s.run(q.send({ topic: "orders", value: "v" }))).delivery, "acked");
  await s.run(q.close());
});

test("watch: who waits for memory is told why none comes free", async () => {
  const s = stage();
  const { logger, of } = journal(s);
  const p = s.producer({ logger, bufferMemory: 1_000 });
  await warmUp(s, p);
  s.cluster.control(Produce, { silence: true });
  const sends = Array.from(
    { length: 20 },
    () => reasonOf(p.send({ topic: "orders", partition: 0, value: "v".repeat(90) })),
  );
  await s.runtime.advance(1_000);
  const late = await s.failure(p.flush({ timeoutMs: 2_000 }));
  assert.match(
    late.message,
    /20 records are still on the way\. \d+ records: All 1000 bytes.*has not answered for 3000 ms/,
  );
  const error = await s.run(sends.at(-1)!);
  assert.equal(error.name, "BufferFullError");
  assert.match(error.message, /bufferMemory.*broker-1\.test:9092 has not answered/);
  assert.deepEqual(new Set(of("waiting").map(({ fields }) => fields.cause)), new Set(["memory", "no_answer"]));
  await s.failure(p.close({ timeoutMs: 1 }));
  await Promise.all(sends);
});

test("watch: a partition that isn't there is the reason while it is looked for", async () => {
  const s = stage();
  const { logger, of } = journal(s);
  const p = s.producer({ logger });
  await warmUp(s, p);
  s.cluster.control(Metadata, { silence: true });
  const error = await s.failure(p.send({ topic: "orders", partition: 99, value: "v" }));
  assert.match(error.message, /maxBlockMs.*Topic "orders" has partitions 0 to 2, not 99/);
  assert.equal(of("waiting")[0]!.fields.cause, "partition_missing");
  await s.run(p.close());
});

test("watch: what lingers by choice, and what is delivered in time, is no reason to warn", async () => {
  const s = stage({ network: { latencyMs: 100 } });
  const { logger, lines } = journal(s);
  const p = s.producer({ logger, lingerMs: 20_000 });
  const lingering = p.send({ topic: "orders", partition: 0, value: "v" });
  await s.run(lingering);
  assert.ok(s.runtime.now() >= 20_000);
  for (let i = 0; i < 200; i++) {
    p.produce({ topic: "orders", partition: i % 3, value: "v" });
    await s.runtime.advance(100);
  }
  await s.run(p.flush());
  assert.deepEqual(lines.filter(({ level }) => level !== "info"), []);
  await s.run(p.close());
  assert.equal(s.runtime.pendingTimers, 0);
});

test("watch: an outage of three hours with a thousand topics is told in a few hundred lines, which count the rest", {
  timeoutMs: 120_000,
}, async () => {
  const topics = Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`topic-${i}`, 1]));
  const s = stage({ topics });
  const { logger, lines, of } = journal(s);
  const p = s.producer({ logger });
  const names = Object.keys(topics);
  const sendAll = (): void => {
    for (const topic of names) p.produce({ topic, value: "v" });
    for (let i = 0; i < 100; i++) p.produce({ topic: `missing-${i}`, value: "v" });
  };
  sendAll();
  await s.runtime.advance(10_000);
  s.cluster.stopBroker(1);
  for (let round = 0; round < 6; round++) {
    sendAll();
    await s.runtime.advance(1_800_000);
  }
  assert.ok(lines.length >= 20 && lines.length <= 500, `${lines.length} lines`);
  assert.ok(of("waiting").length >= 5, "it goes on telling");
  await s.run(p.close());
  const rest = of("lines_suppressed").filter(({ fields }) => fields.of !== "topic_missing");
  const failed = [...of("batch_failed"), ...of("record_failed"), ...rest];
  const counted = failed.reduce((sum, { event, fields }) => {
    return sum + (event === "lines_suppressed" ? 0 : 1) + Number(fields.suppressed ?? 0);
  }, 0);
  assert.equal(counted, 6 * 1_100 + 100, "none is forgotten");
});

test("watch: nothing is watched where nobody would hear of it, and nothing is left of it when all is delivered", async () => {
  const s = stage();
  const silent = s.producer();
  await warmUp(s, silent);
  const { logger } = journal(s);
  const p = s.producer({ logger });
  await warmUp(s, p);
  s.cluster.control(Produce, { answerDelayMs: 8_000 }, { times: 1 });
  await s.run(p.send({ topic: "orders", partition: 0, value: "v" }));
  await s.run(silent.close());
  await assertLeavesNothing(s, p);
});
