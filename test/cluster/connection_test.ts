import assert from "node:assert/strict";
import type { Connection, ConnectionOptions } from "../../src/cluster/connection.ts";
import { openConnection } from "../../src/cluster/handshake.ts";
import { encodeResponseFrame } from "../../src/protocol/api.ts";
import { ApiVersions, InitProducerId, Metadata, Produce } from "../../src/protocol/messages/mod.ts";
import type { RequestInputOf, ResponseOf } from "../../src/protocol/schema.ts";
import { test } from "../harness.ts";
import { batchOf, concat } from "../testing/batches.ts";
import { type KafkaFailure, type Stage, stage, takeAtOnce } from "../stage.ts";

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

function produceBody(acks = -1): RequestInputOf<typeof Produce> {
  return {
    acks,
    timeoutMs: 1_000,
    topicData: [{ name: "orders", partitionData: [{ index: 0, records: batchOf() }] }],
  };
}

function errorOf(promise: Promise<unknown>): Promise<KafkaFailure> {
  return promise.then(() => {
    throw new Error("It was not rejected, wanted an error");
  }, (error) => error);
}

test("handshake: the versions of a broker are learnt and chosen from, and a cap is kept", async () => {
  const s = stage({ apiVersions: { Metadata: [0, 7] } });
  const connection = await open(s);
  assert.equal(connection.version(Metadata), 7);
  assert.equal(connection.version(Produce), 13);
  assert.equal(connection.version(Produce, 12), 12);
  assert.equal((await s.run(metadata(connection))).topics[0]!.partitions.length, 3);
  connection.close();
});

test("handshake: a broker that knows only an older ApiVersions is asked again on the same connection", async () => {
  for (const max of [3, 2, 1, 0]) {
    const s = stage({ apiVersions: { ApiVersions: [0, max] } });
    const connection = await open(s);
    assert.equal(s.cluster.network.dials, 1);
    const served = s.cluster.requestsOf(ApiVersions).map(({ version }) => version);
    assert.deepEqual(served, [max], `at most ${max}`);
    assert.equal(connection.version(Metadata), 13);
    connection.close();
  }
});

test("handshake: a software name that is disliked is left away, on the same connection", async () => {
  const s = stage();
  s.cluster.control(ApiVersions, (_, { version }) => version > 0 ? { error: 42 } : undefined);
  const connection = await open(s);
  assert.deepEqual(s.cluster.requestsOf(ApiVersions).map(({ version }) => version), [4, 0]);
  assert.equal(s.cluster.network.dials, 1);
  assert.equal(connection.version(Metadata), 13);
  connection.close();
});

test("handshake: a server that hangs up instead of answering is asked in older versions on new connections", async () => {
  for (const how of [{ close: true }, { drop: "after" }] as const) {
    const s = stage();
    s.cluster.control(ApiVersions, (_, { version }) => version > 0 ? how : undefined);
    const connection = await open(s);
    const asked = s.cluster.requestsOf(ApiVersions).map(({ version, connectionId }) => [version, connectionId]);
    assert.deepEqual(asked, [[4, 1], [3, 2], [0, 3]]);
    await s.runtime.settle();
    assert.equal(s.cluster.network.openConnections, 1, "the other sockets are not leaked");
    assert.ok((await s.run(metadata(connection))).brokers.length > 0);
    connection.close();
  }
});

test("handshake: a downgrade that never ends is ended", async () => {
  const s = stage();
  const body = encodeResponseFrame(ApiVersions, 0, 1, {
    errorCode: 35,
    apiKeys: [{ apiKey: 18, minVersion: 0, maxVersion: 4 }],
  });
  let asked = 0;
  s.cluster.network.listen("loop.test:1", (socket) => ({
    onData: () => {
      const bytes = concat(body);
      new DataView(bytes.buffer).setInt32(4, ++asked);
      socket.write(bytes);
    },
    onClose: () => {},
  }));
  const error = await errorOf(open(s, {}, { host: "loop.test", port: 1 }));
  assert.equal(error.code, "UNSUPPORTED_VERSION");
  assert.ok(asked <= 2, `${asked} requests`);
  await s.runtime.settle();
  assert.equal(s.cluster.network.openConnections, 0);
});

test("handshake: any other error ends the connection", async () => {
  const s = stage();
  s.cluster.control(ApiVersions, { error: 58 });
  const error = await errorOf(open(s));
  assert.equal(error.code, "SASL_AUTHENTICATION_FAILED");
  await s.runtime.settle();
  assert.equal(s.cluster.network.openConnections, 0);
  assert.equal(s.cluster.network.dials, 1);
});

test("handshake: dialling, hanging up and asking again share one deadline", async () => {
  const s = stage();
  s.cluster.control(ApiVersions, (_, { version }) => version > 0 ? { delayMs: 6_000, close: true } : { silence: true });
  const error = await errorOf(open(s));
  assert.equal(s.runtime.now(), 10_000);
  assert.deepEqual([error.name, error.code], ["TimeoutError", "CONNECT_TIMED_OUT"]);
  // The broker, too, has a timer until then.
  await s.runtime.advance(2_000);
  assert.equal(s.cluster.network.openConnections, 0);
  assert.equal(s.runtime.pendingTimers, 0);
});

test("handshake: a signal that is aborted gives up in every phase", async () => {
  for (const afterMs of [0, 5, 15, 25]) {
    const s = stage();
    s.cluster.network.configure({ latencyMs: 10 });
    const controller = new AbortController();
    const attempt = errorOf(openConnection(s.runtime, ADDRESS, OPTIONS, controller.signal));
    await s.runtime.advance(afterMs);
    controller.abort();
    assert.match((await s.run(attempt)).message, /given up/);
    await s.runtime.advance(100);
    assert.equal(s.cluster.network.openConnections, 0);
    assert.equal(s.runtime.pendingTimers, 0);
  }
});

test("connection: no common version is an UnsupportedVersionError with both ranges, and nothing is written", async () => {
  const s = stage({ apiVersions: { Produce: [0, 2], InitProducerId: null } });
  const connection = await open(s);
  assert.throws(() => connection.version(Produce), {
    name: "UnsupportedVersionError",
    code: "UNSUPPORTED_VERSION",
    message: /Produce.*0 to 2.*3 to 13/,
  });
  assert.throws(() => connection.version(InitProducerId), {
    name: "UnsupportedVersionError",
    message: /InitProducerId/,
  });
  await s.runtime.settle();
  assert.deepEqual(s.cluster.requests.map(({ api }) => api.name), ["ApiVersions"]);
  connection.close();
});

test("connection: brokers that share no version fail the send with a clear error, not by a hang", async () => {
  for (const extra of [{}, { maxRequestSize: 150 }]) {
    const { producer, run, failure, cluster, runtime } = stage({ apiVersions: { Produce: [0, 2] } });
    const p = producer(extra);
    const error = await failure(p.send({ topic: "orders", value: "v".repeat(50) }));
    assert.deepEqual([error.name, error.persisted], ["UnsupportedVersionError", "no"]);
    assert.match(error.message, /Produce/);
    assert.ok(runtime.now() < 1_000);
    assert.equal(cluster.requestsOf(Produce).length, 0);
    await run(p.close());
  }
});

test("connection: answers go to their requests, many at a time, however the bytes are cut", async () => {
  for (const chunking of ["whole", "random", "bytes"] as const) {
    const s = stage({ topics: { orders: 3 } });
    const connection = await open(s);
    s.cluster.network.configure({ chunking, latencyMs: 3 });
    const answers = Promise.all(Array.from({ length: 50 }, (_, i) => {
      const body = { topics: [{ name: `topic-${i}` }], allowAutoTopicCreation: false };
      return connection.request(Metadata, 12, body, 30_000);
    }));
    assert.equal(connection.inFlight, 50);
    const names = (await s.run(answers)).map(({ topics }) => topics[0]!.name);
    assert.deepEqual(names, Array.from({ length: 50 }, (_, i) => `topic-${i}`));
    assert.equal(connection.inFlight, 0);
    connection.close();
  }
});

test("connection: a wrong correlation id, a foreign frame, a bad length and a bad body each end it for all", async () => {
  const frame = (...bytes: number[]): Uint8Array => Uint8Array.of(0, 0, 0, bytes.length, ...bytes);
  const whole = concat(encodeResponseFrame(Metadata, 13, 2, { brokers: [], topics: [] })).subarray(4);
  const table: [bytes: Uint8Array, message: RegExp][] = [
    [frame(0, 0, 0, 99, 0, 0), /correlation id 99, 2 is awaited/],
    [frame(0xff, 0xff, 0xff, 0xff), /correlation id -1/],
    [frame(1, 2, 3), /3 bytes, wanted 4/],
    [Uint8Array.of(0xff, 0xff, 0xff, 0xff), /-1 bytes/],
    [Uint8Array.of(0, 0x0f, 0x42, 0x41), /1000001 bytes, wanted 4 to 1000000/],
    [Uint8Array.of(0x15, 3, 3, 0), /TLS/],
    [frame(0, 0, 0, 2, 0, 0, 0, 0, 0, 0xff), /broker-1\.test:9092/], // cut short
    [frame(...whole, 7), /broker-1\.test:9092/], // over-long
  ];
  for (const [bytes, message] of table) {
    const s = stage();
    const connection = await open(s);
    s.cluster.control(Metadata, { bytes }, { times: 1 });
    let closes = 0;
    connection.onClose = () => closes++;
    const errors = [errorOf(metadata(connection)), errorOf(metadata(connection))];
    for (const error of await s.run(Promise.all(errors))) {
      assert.deepEqual([error.name, error.retriable, error.persisted], ["ConnectionError", true, "possibly"]);
      assert.equal((error.cause as Error).name, "ProtocolError");
      assert.match(error.message, message);
    }
    assert.equal(closes, 1);
    assert.equal(connection.error!.name, "ProtocolError");
    assert.equal((await errorOf(metadata(connection))).persisted, "no");
    await s.runtime.settle();
    assert.equal(s.cluster.network.openConnections, 0);
    assert.equal(s.runtime.pendingTimers, 0);
  }
});

test("connection: an answer that nobody awaits ends it", async () => {
  const s = stage();
  let server: { write(bytes: Uint8Array): unknown } | undefined;
  s.cluster.network.listen("chatty.test:1", (socket) => {
    server = socket;
    return s.cluster.broker(1).accept(socket, "memory");
  });
  const connection = await open(s, {}, { host: "chatty.test", port: 1 });
  server!.write(Uint8Array.of(0, 0, 0, 6, 0, 0, 0, 2, 0, 0));
  await s.runtime.settle();
  assert.match(connection.error!.message, /no answer is awaited/);
});

test("connection: a timeout ends it for all, and an answer that comes late goes to nobody", async () => {
  const s = stage();
  const connection = await open(s);
  s.cluster.control(Metadata, { delayMs: 5_000 }, { times: 1 });
  const late = errorOf(metadata(connection, 1_000));
  await s.runtime.advance(500);
  const innocent = errorOf(metadata(connection, 60_000));
  const first = await s.run(late);
  assert.equal(s.runtime.now(), 1_000);
  assert.deepEqual([first.name, first.code, first.retriable], ["TimeoutError", "REQUEST_TIMED_OUT", true]);
  assert.match(first.message, /Metadata.*requestTimeoutMs/);
  assert.deepEqual([(await s.run(innocent)).name, s.runtime.now()], ["TimeoutError", 1_000]);
  await s.runtime.advance(10_000);
  assert.equal(s.cluster.network.openConnections, 0);
  const next = await open(s);
  assert.ok((await s.run(metadata(next))).brokers.length > 0);
  next.close();
});

test("connection: when it is lost, what has left is possibly done and what has not left is not", async () => {
  const s = stage();
  const connection = await open(s);
  s.cluster.network.configure({ latencyMs: 10 });
  const request = (): Promise<KafkaFailure> => errorOf(connection.request(Produce, 12, produceBody(), 30_000));
  const left = request();
  await s.runtime.advance(15);
  s.cluster.network.blackHole("broker-1.test:9092");
  const waits = request();
  const [first, second] = await s.run(Promise.all([left, waits]));
  assert.deepEqual([first!.persisted, second!.persisted], ["possibly", "no"]);
  assert.equal((await errorOf(connection.request(Produce, 12, produceBody(), 30_000))).persisted, "no");
  assert.equal((await errorOf(connection.send(Produce, 12, produceBody(0), 30_000))).persisted, "no");
});

test("connection: close() is orderly and idempotent, and fails what is in flight", async () => {
  const s = stage();
  const connection = await open(s);
  s.cluster.control(Metadata, { silence: true });
  let closes = 0;
  connection.onClose = () => closes++;
  const pending = errorOf(metadata(connection));
  connection.close();
  connection.close();
  assert.match((await s.run(pending)).message, /closed by the client/);
  await s.runtime.settle();
  assert.deepEqual([closes, s.cluster.network.openConnections, s.runtime.pendingTimers], [1, 0, 0]);
});

test("connection: an acks 0 request takes no slot, and answers after it find their requests", async () => {
  const s = stage();
  const connection = await open(s);
  const sends = Array.from({ length: 10 }, () => connection.send(Produce, 12, produceBody(0), 30_000));
  assert.equal(connection.inFlight, 0);
  assert.ok((await s.run(metadata(connection))).brokers.length > 0);
  await s.run(Promise.all(sends));
  assert.equal(s.cluster.endOffset("orders", 0), 10n);
  connection.close();
});

test("connection: an acks 0 request is over in the turn in which the system has taken it, else in a later one", async () => {
  const s = stage();
  const [slow, quick] = [await open(s), await (takeAtOnce(s), open(s))];
  const order: string[] = [];
  s.runtime.defer(() => order.push("turn"));
  void slow.send(Produce, 12, produceBody(0), 30_000).then((flushed) => order.push(`slow ${flushed}`));
  void quick.send(Produce, 12, produceBody(0), 30_000).then((flushed) => order.push(`quick ${flushed}`));
  await s.runtime.settle();
  assert.deepEqual(order, ["quick true", "turn", "slow true"]);
  slow.close();
  quick.close();
});

test("connection: an idle one is closed, and a busy one is not, however slow the answer", async () => {
  const s = stage();
  const idle = await open(s, { connectionMaxIdleMs: 1_000 });
  const busy = await open(s, { connectionMaxIdleMs: 1_000 });
  s.cluster.control(Metadata, { delayMs: 5_000 }, { times: 1 });
  const answer = metadata(busy);
  await s.runtime.advance(999);
  assert.equal(idle.error, undefined);
  await s.runtime.advance(1);
  assert.match(idle.error!.message, /closed by the client/);
  await s.run(answer);
  assert.equal(s.runtime.now(), 5_000);
  await s.runtime.advance(999);
  assert.equal(busy.error, undefined);
  await s.runtime.advance(1);
  assert.match(busy.error!.message, /closed by the client/);
  assert.equal(s.runtime.pendingTimers, 0);
});

test("connection: one that was closed for idleness, by us or by the broker, is replaced without failing a send", async () => {
  const { cluster, producer, run, runtime } = stage({ brokers: 2 });
  const p = producer({ connectionMaxIdleMs: 2_000, retries: 0, idempotent: false });
  for (let i = 0; i < 5; i++) {
    const { offset } = await run(p.send({ topic: "orders", partition: 0, value: "v" }));
    assert.equal(offset, BigInt(i));
    await runtime.advance(5_000);
    assert.equal(cluster.network.openConnections, 0, "both sides are closed");
  }
  const patient = producer({ retries: 0, idempotent: false });
  for (let i = 5; i < 10; i++) {
    const { offset } = await run(patient.send({ topic: "orders", partition: 0, value: "v" }));
    assert.equal(offset, BigInt(i));
    for (const broker of cluster.brokers) broker.disconnectAll();
    await runtime.advance(5_000);
  }
  await run(p.close());
  await run(patient.close());
});

test("connection: a broker that is down is dialled with growing pauses, not in a loop", async () => {
  const { cluster, producer, run, runtime } = stage({ brokers: 2, topics: { orders: { replicationFactor: 1 } } });
  const p = producer({ reconnectBackoffMs: 100, reconnectBackoffMaxMs: 1_000 });
  await run(p.send({ topic: "orders", partition: 0, value: "v" }));
  const leader = cluster.partition("orders", 0).leaderId;
  cluster.network.configure({ latencyMs: 1 });
  // It leads on, at an address where nobody listens.
  const { host, port } = cluster.broker(leader).endpoint("memory");
  cluster.broker(leader).setEndpoint("memory", { host: "nobody.test", port: 1 });
  cluster.broker(leader).disconnectAll();
  const waiting = p.send({ topic: "orders", partition: 0, value: "w" });
  await runtime.advance(1_000);
  const before = cluster.network.dials;
  await runtime.advance(60_000);
  const dials = cluster.network.dials - before;
  assert.ok(dials >= 30 && dials <= 90, `${dials} dials in a minute`);
  cluster.broker(leader).setEndpoint("memory", { host, port });
  assert.equal((await run(waiting)).offset, 1n);
  await run(p.close());
});

test("connection: a broker that takes connections and drops them at once isn't dialled in a loop either", async () => {
  const { cluster, producer, run, runtime } = stage();
  const p = producer({ deliveryTimeoutMs: 300_000 });
  await run(p.send({ topic: "orders", partition: 0, value: "v" }));
  cluster.control(ApiVersions, { close: true });
  cluster.broker(1).disconnectAll();
  const waiting = p.send({ topic: "orders", partition: 0, value: "w" });
  await runtime.advance(1_000);
  const before = cluster.network.dials;
  await runtime.advance(60_000);
  const dials = cluster.network.dials - before;
  assert.ok(dials <= 4 * 90, `${dials} dials in a minute`);
  cluster.controls.clear();
  assert.equal((await run(waiting)).offset, 1n);
  await run(p.close());
});

test("connection: garbage in place of an answer closes it, and the records go out again on another", async () => {
  const { cluster, producer, run } = stage({ brokers: 3 });
  const rubbish = Uint8Array.of(0, 0, 0, 8, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4);
  const p = producer();
  await run(p.connect());
  cluster.control(Produce, { bytes: rubbish, apply: true }, { times: 2 });
  const sent = await run(Promise.all(
    Array.from({ length: 30 }, (_, i) => p.send({ topic: "orders", partition: i % 3, value: String(i) })),
  ));
  assert.equal(sent.length, 30);
  const values = (await cluster.records("orders")).map(({ value }) => Number(new TextDecoder().decode(value!)));
  assert.deepEqual(values.sort((a, b) => a - b), Array.from({ length: 30 }, (_, i) => i));
  await run(p.close());
});

test("connection: at most maxInFlight produce requests are unanswered on one, and more wait", async () => {
  for (const maxInFlight of [1, 2, 5]) {
    const { cluster, producer, run, runtime } = stage();
    let [now, most] = [0, 0];
    cluster.network.configure({ latencyMs: 10 });
    const p = producer({ maxInFlight, batchSize: 1 });
    await run(p.send({ topic: "orders", partition: 0, value: "v" }));
    const all = Promise.all(Array.from({ length: 40 }, () => {
      now = p.metrics()["requests-in-flight"];
      most = Math.max(most, now);
      return p.send({ topic: "orders", partition: 0, value: "v" });
    }));
    const watch = (): void => {
      most = Math.max(most, p.metrics()["requests-in-flight"]);
      runtime.setTimer(watch, 1);
    };
    watch();
    await run(all);
    assert.equal(most, maxInFlight);
    await run(p.close());
  }
});
