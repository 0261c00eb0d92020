import assert from "node:assert/strict";
import type { Logger, ProducerHooks } from "../../mod.ts";
import { Produce } from "../../src/protocol/messages/mod.ts";
import { guardedHooks, HOOK_NAMES } from "../../src/producer/observe/hooks.ts";
import { builtinModule } from "../../src/runtime/builtin.ts";
import { stage } from "../stage.ts";
import { test } from "../harness.ts";
import { assertLeavesNothing, warmUp } from "./wire.ts";

type Fields = Readonly<Record<string, unknown>>;

/** Hooks that take notes. */
function notes(): { hooks: ProducerHooks; seen: { hook: string; event: Fields }[]; of(hook: string): Fields[] } {
  const seen: { hook: string; event: Fields }[] = [];
  const hooks = Object.fromEntries(
    HOOK_NAMES.map((hook) => [hook, (event: Fields): void => void seen.push({ hook, event })]),
  );
  return { hooks, seen, of: (name) => seen.filter(({ hook }) => hook === name).map(({ event }) => event) };
}

/** A logger of every level that takes notes. */
function journal(): { logger: Logger; lines: { level: string; event: string; fields: Fields }[] } {
  const lines: { level: string; event: string; fields: Fields }[] = [];
  const write = (level: string) => (event: string, fields: Fields): void => void lines.push({ level, event, fields });
  return { logger: { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") }, lines };
}

test("hooks: connections, requests and answers are told with what belongs together", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const { hooks, seen, of } = notes();
  const p = s.producer({ hooks, clientId: "c" });
  await s.run(p.send({ topic: "orders", partition: 0, value: "v" }));
  const broker = "broker-1.test:9092";
  assert.deepEqual(of("onConnect"), [{ broker }]);
  const requests = of("onRequest");
  assert.deepEqual(requests.map(({ api }) => api), ["ApiVersions", "Metadata", "InitProducerId", "Produce"]);
  const produce = requests.at(-1)!;
  assert.deepEqual(
    [produce.broker, typeof produce.version, typeof produce.correlationId, (produce.bytes as number) > 70],
    [broker, "number", "number", true],
  );
  assert.deepEqual(
    of("onResponse").at(-1),
    { broker, api: "Produce", version: produce.version, correlationId: produce.correlationId, latencyMs: 20 },
  );
  assert.ok(seen.findIndex(({ hook }) => hook === "onConnect") < seen.length - 2);
  await s.run(p.close());
  const [end] = of("onDisconnect") as { broker: string; error: { message: string } }[];
  assert.equal(end!.broker, broker);
  assert.match(end!.error.message, /closed by the client/);
  assert.equal(of("onDisconnect").length, 1);
});

test("hooks: a request without an answer is told with the reason, one with acks 0 has no response", async () => {
  const s = stage();
  const { hooks, of } = notes();
  const p = s.producer({ hooks });
  await warmUp(s, p);
  s.cluster.control(Produce, { drop: "before" }, { times: 1 });
  await s.run(p.send({ topic: "orders", partition: 0, value: "v" }));
  const [lost] = of("onResponse").filter(({ error }) => error !== undefined) as { error: { code: string } }[];
  assert.equal(lost!.error.code, "NETWORK_EXCEPTION");
  assert.equal(of("onConnect").length, 2);
  assert.equal(of("onDisconnect").length, 1);
  const q = s.producer({ hooks, acks: 0 });
  const answers = (): number => of("onResponse").filter(({ api }) => api === "Produce").length;
  const before = answers();
  await s.run(q.send({ topic: "orders", partition: 0, value: "v" }));
  await s.run(q.close());
  assert.equal(answers(), before);
  await assertLeavesNothing(s, p);
});

test("hooks: a server that never gets through the handshake is no connection", async () => {
  const s = stage();
  s.cluster.stopBroker(1);
  const { hooks, of } = notes();
  const p = s.producer({ hooks });
  await s.failure(p.connect());
  await s.run(p.close());
  assert.deepEqual([of("onConnect"), of("onDisconnect")], [[], []]);
});

test("hooks: retries are told with attempt, delay and error, throttling with its time", async () => {
  const s = stage();
  const { hooks, of } = notes();
  const p = s.producer({ hooks });
  await warmUp(s, p);
  s.cluster.control(Produce, { error: 19 }, { times: 2 });
  await s.run(Promise.all([1, 2].map(() => p.send({ topic: "orders", partition: 0, value: "v" }))));
  const retries = of("onRetry") as { delayMs: number; error: { code: string } }[];
  assert.deepEqual(
    retries.map(({ delayMs, error, ...rest }) => ({ ...rest, code: error.code, early: delayMs < 130 })),
    [1, 2].map((attempts) => ({
      ...{ topic: "orders", partition: 0, records: 2, attempts },
      ...{ code: "NOT_ENOUGH_REPLICAS", early: attempts === 1 },
    })),
  );
  s.cluster.control(Produce, {
    respond: {
      responses: [{
        name: "orders",
        topicId: s.cluster.topic("orders")!.id,
        partitionResponses: [{ index: 0, errorCode: 0, baseOffset: 9n }],
      }],
      throttleTimeMs: 300,
    },
  }, { times: 1 });
  await s.run(p.send({ topic: "orders", partition: 0, value: "v" }));
  assert.deepEqual(of("onThrottle"), [{ broker: "broker-1.test:9092", api: "Produce", throttleMs: 300 }]);
  await s.run(p.close());
});

test("hooks: a gap in the log is told as suspected data loss and as one raised epoch", async () => {
  const s = stage();
  const { hooks, of } = notes();
  const p = s.producer({ hooks });
  await warmUp(s, p);
  s.cluster.control(Produce, { error: 45 }, { times: 1 });
  await s.run(p.send({ topic: "orders", partition: 0, value: "v" }));
  const [loss] = of("onDataLossSuspected") as { error: { code: string } }[];
  assert.partialDeepStrictEqual?.(loss, { topic: "orders", partition: 0 });
  assert.equal(loss!.error.code, "OUT_OF_ORDER_SEQUENCE_NUMBER");
  const bumps = of("onEpochBump");
  assert.deepEqual(bumps.map(({ producerEpoch }) => producerEpoch), [1]);
  assert.equal(typeof bumps[0]!.producerId, "bigint");
  await s.run(p.close());
});

test("hooks: what they throw or reject with is logged once each, and delivery goes on", async () => {
  const s = stage();
  const { logger, lines } = journal();
  const called = new Map<string, number>();
  const hooks = Object.fromEntries(HOOK_NAMES.map((hook, i) => [hook, (): unknown => {
    called.set(hook, (called.get(hook) ?? 0) + 1);
    if (i % 2 === 0) throw new Error("boom");
    return Promise.reject(new Error("boom later"));
  }]));
  const p = s.producer({ hooks: hooks as ProducerHooks, logger });
  await warmUp(s, p);
  for (let i = 0; i < 10; i++) {
    if (i === 2) s.cluster.control(Produce, { error: 45 }, { times: 1 });
    if (i === 5) s.cluster.control(Produce, { drop: "after" }, { times: 1 });
    await s.run(p.send({ topic: "orders", partition: 0, value: "v" }));
  }
  assert.equal((await s.cluster.records("orders", 0)).length, 11);
  await assertLeavesNothing(s, p);
  await s.runtime.settle();
  assert.ok(called.get("onRequest")! > 10);
  const complaints = lines.filter(({ event }) => event === "hook_threw").map(({ fields }) => fields.hook);
  assert.deepEqual(complaints.sort(), [...called.keys()].sort(), "one line for each");
  assert.ok(called.has("onRetry") && called.has("onEpochBump") && called.has("onDisconnect"));
});

test("hooks: they run after the work that they tell of, in order, and may call the producer", async () => {
  const s = stage();
  const order: string[] = [];
  let busy = false;
  const p = s.producer({
    hooks: {
      onRequest: ({ api }) => {
        assert.equal(busy, false);
        order.push(api);
        if (api === "Produce" && order.length < 20) p.produce({ topic: "orders", partition: 0, value: "from a hook" });
      },
      onRetry: () => void p.close(),
    },
  });
  await s.run(p.send({ topic: "orders", partition: 0, value: "v" }));
  busy = true;
  p.produce({ topic: "orders", partition: 0, value: "v" });
  busy = false;
  await s.runtime.advance(10);
  s.cluster.control(Produce, { error: 19 }, { times: 1 });
  p.produce({ topic: "orders", partition: 0, value: "last" });
  await s.runtime.advance(5_000);
  assert.deepEqual(order.slice(0, 3), ["ApiVersions", "Metadata", "InitProducerId"]);
  assert.ok((await s.cluster.records("orders", 0)).length > 10);
  await assertLeavesNothing(s, p);
});

test("hooks: an event is handed over at once and told afterwards, in order, also those that a hook causes", async () => {
  const told: string[] = [];
  const hooks: ProducerHooks = guardedHooks(
    {
      onConnect: ({ broker }) => {
        told.push(broker);
        if (broker === "a") hooks.onThrottle?.({ broker: "c", api: "Produce", throttleMs: 1 });
      },
      onThrottle: ({ broker }) => void told.push(broker),
    },
    {},
    "c",
  );
  hooks.onConnect?.({ broker: "a" });
  hooks.onConnect?.({ broker: "b" });
  assert.deepEqual(told, []);
  for (let i = 0; i < 5; i++) await Promise.resolve();
  assert.deepEqual(told, ["a", "b", "c"]);
  assert.equal(hooks.onRequest, undefined, "nobody listens: the event isn't even made");
});

test("hooks: a class may bring them, and anything else than known functions is refused", async () => {
  const s = stage();
  class Counter implements ProducerHooks {
    static requests = 0;
    readonly #step = 1;
    onRequest(): void {
      Counter.requests += this.#step;
    }
  }
  const p = s.producer({ hooks: new Counter() });
  await s.run(p.send({ topic: "orders", value: "v" }));
  assert.equal(Counter.requests, 4);
  await s.run(p.close());
  for (const hooks of [5, null, { onRetries: () => {} }, { onRetry: true }, []]) {
    if (Array.isArray(hooks)) continue;
    assert.throws(() => s.producer({ hooks: hooks as ProducerHooks }), { name: "ConfigError", option: /^hooks/ });
  }
});

test("log: events carry topic, partition and offset, at levels that fit", async () => {
  const s = stage();
  const { logger, lines } = journal();
  const p = s.producer({ logger, retries: 1 });
  await warmUp(s, p);
  const since = lines.length;
  await s.run(Promise.all([1, 2, 3].map(() => p.send({ topic: "orders", partition: 0, value: "v" }))));
  s.cluster.control(Produce, { error: 19 }, { times: 2 });
  await s.failure(p.send({ topic: "orders", partition: 0, value: "v" }));
  await s.run(p.close());
  const told = lines.slice(since).filter(({ event }) => event !== "request" && event !== "response");
  assert.deepEqual(
    told.map(({ level, event, fields: { topic, partition, offset, records } }) =>
      [level, event, topic, partition, offset, records].filter((field) => field !== undefined)
    ),
    [
      ["debug", "batch_delivered", "orders", 0, "1", 3],
      ["info", "batch_retried", "orders", 0, 1],
      ["warn", "batch_failed", "orders", 0, 1],
      ["info", "disconnected"],
    ],
  );
  const failed = told.find(({ event }) => event === "batch_failed")!.fields;
  assert.equal(failed.persisted, "no");
  assert.deepEqual(lines.slice(0, since).filter(({ level }) => level === "info").map(({ event }) => event), [
    "connected",
  ]);
  assert.ok(lines.some(({ level, event }) => level === "debug" && event === "request"));
});

test("log: without a logger nothing is written anywhere, and levels that a logger lacks are left out", async () => {
  const s = stage();
  const console = globalThis.console as unknown as Record<string, unknown>;
  const methods = ["log", "info", "warn", "error", "debug", "trace"];
  const saved = methods.map((name) => console[name]);
  let written = 0;
  for (const name of methods) console[name] = () => void written++;
  try {
    for (const logger of [undefined, {}, { warn: () => {} }]) {
      const p = s.producer({ acks: 1, retries: 0, ...(logger === undefined ? {} : { logger }) });
      await s.run(p.send({ topic: "orders", value: "v" }, {
        onSuccess: () => {
          throw new Error("boom");
        },
      }));
      await s.run(p.close());
    }
  } finally {
    for (const [i, name] of methods.entries()) console[name] = saved[i];
  }
  assert.equal(written, 0);
});

test("log: a logger that throws or rejects at every line breaks nothing, whatever goes wrong", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  let lines = 0;
  const boom = (): void => {
    lines++;
    if (lines % 2 === 0) throw new Error("no disk");
    return Promise.reject(new Error("no disk later")) as unknown as void;
  };
  const p = s.producer({ logger: { debug: boom, info: boom, warn: boom, error: boom }, requestTimeoutMs: 1_000 });
  await warmUp(s, p);
  for (const action of [{ error: 45 }, { error: 6 }, { drop: "after" }, { silence: true }, { error: 44 }] as const) {
    s.cluster.control(Produce, action, { times: 1 });
    const sent = p.send({ topic: "orders", partition: 0, value: JSON.stringify(action) }, { onDelivery: boom });
    await s.run(sent.catch(() => {}));
  }
  assert.equal((await s.cluster.records("orders", 0)).length, 5);
  assert.ok(lines > 30, `${lines} lines`);
  await assertLeavesNothing(s, p);
});

test("hooks: a batch is told with its records, its bytes as sent, its time and its error, in the order of the sends", async () => {
  const s = stage({ network: { latencyMs: 10 } });
  const { hooks, of } = notes();
  const p = s.producer({ hooks: { onBatch: hooks.onBatch!.bind(hooks) }, compression: "gzip", retries: 0 });
  await warmUp(s, p);
  const before = p.metrics().bytes_sent;
  const value = "v".repeat(1_000);
  await s.run(Promise.all([1, 2].map(() => p.send({ topic: "orders", partition: 1, value }))));
  s.cluster.control(Produce, { error: 29 }, { times: 1 });
  await s.failure(p.send({ topic: "orders", partition: 2, value }));
  await s.run(p.close());
  const events = of("onBatch").filter(({ partition }) => partition !== 0);
  const bytes = p.metrics().bytes_sent - before;
  assert.ok(bytes < 300, "compressed");
  assert.deepEqual(events[0], { topic: "orders", partition: 1, records: 2, failed: 0, bytes, latencyMs: 20 });
  const { error, ...rest } = events[1] as { error: { code: string }; bytes: number };
  assert.equal(error.code, "TOPIC_AUTHORIZATION_FAILED");
  assert.ok(rest.bytes > 1_000);
  assert.deepEqual({ ...rest, bytes: 0 }, {
    ...{ topic: "orders", partition: 2, records: 1, failed: 1, bytes: 0, latencyMs: 20 },
  });
  assert.equal(events.length, 2);
});

test("hooks: a batch of which the broker refuses one record is told once, with all records and that one as failed", async () => {
  const s = stage({ topics: { compacted: { partitions: 1, config: { "cleanup.policy": "compact" } } } });
  const { hooks, of } = notes();
  const p = s.producer({ hooks });
  // The broker refuses what has no key.
  const sends = ["k", null, "k"].map((key) => p.send({ topic: "compacted", key, value: "v" }));
  await s.run(Promise.allSettled(sends));
  await s.run(p.close());
  const [event] = of("onBatch") as { error: { code: string } }[];
  assert.equal(event!.error.code, "INVALID_RECORD");
  assert.deepEqual({ ...event, error: 0, bytes: 0, latencyMs: 0 }, {
    ...{ topic: "compacted", partition: 0, records: 3, failed: 1, bytes: 0, latencyMs: 0, error: 0 },
  });
});

interface Channels {
  subscribe(name: string, listener: (message: unknown) => void): void;
  unsubscribe(name: string, listener: (message: unknown) => void): void;
}

test("hooks: each event is published on its diagnostics channel while that has a subscriber, and not made otherwise", async () => {
  const channels = builtinModule<Channels>("node:diagnostics_channel");
  const s = stage();
  const p = s.producer({ clientId: "billing" });
  await s.run(p.send({ topic: "orders", partition: 0, value: "unseen" }));
  const messages: Fields[] = [];
  const listener = (message: unknown): void => void messages.push(message as Fields);
  channels?.subscribe("sluice:onBatch", listener);
  await s.run(p.send({ topic: "orders", partition: 0, value: "seen" }));
  await s.runtime.advance(1);
  channels?.unsubscribe("sluice:onBatch", listener);
  await s.run(p.send({ topic: "orders", partition: 0, value: "unseen" }));
  await s.runtime.advance(1);
  // workerd has channels only with Node's modules switched on.
  assert.deepEqual(
    messages.map(({ clientId, topic, records }) => [clientId, topic, records]),
    channels === undefined ? [] : [["billing", "orders", 1]],
  );
  await s.run(p.close());
});
