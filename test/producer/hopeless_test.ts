import assert from "node:assert/strict";
import { Producer } from "../../mod.ts";
import { ConfigError } from "../../src/errors.ts";
import { dial } from "../../src/runtime/dial.ts";
import type { SocketFactory } from "../../src/runtime/runtime.ts";
import { systemRuntime } from "../../src/runtime/select.ts";
import { type Stage, stage } from "../stage.ts";
import { test } from "../harness.ts";

/** Forbids connections to the given addresses, as a runtime without the permission does; the others go through. */
function forbid({ cluster, runtime }: Stage, isForbidden: (host: string) => boolean): void {
  const { sockets } = cluster;
  runtime.sockets = {
    ...sockets,
    connect: (options, events) => {
      if (!isForbidden(options.host)) return sockets.connect(options, events);
      return Promise.reject(new ConfigError("connect", `Start Deno with --allow-net for ${options.host}.`));
    },
  };
}

test("hopeless: what no attempt can mend fails sends, connect() and partitionsFor() at once, also those that come later", async () => {
  const s = stage();
  forbid(s, () => true);
  const lines: string[] = [];
  const p = s.producer({ logger: { warn: (event) => void lines.push(event) } });
  const sent = s.failure(p.send({ topic: "orders", value: "v" }));
  for (const promise of [sent]) assert.equal((await promise).name, "ConfigError");
  assert.match((await sent).message, /--allow-net/);
  assert.equal(s.runtime.now(), 0);
  for (
    const call of [() => p.connect(), () => p.partitionsFor("orders"), () => p.send({ topic: "orders", value: "v" })]
  ) {
    const startMs = s.runtime.now();
    const error = await s.failure(call());
    assert.deepEqual([error.name, error.option, error.retriable], ["ConfigError", "connect", false]);
    assert.ok(s.runtime.now() - startMs <= 1_000, `after ${s.runtime.now() - startMs} ms`);
  }
  assert.equal(lines.filter((event) => event === "connect_failed").length, 1);
  await s.run(p.close());
  assert.equal(s.runtime.pendingTimers, 0);
});

test("hopeless: while another server may still answer, one that must not be dialled ends nothing", async () => {
  const s = stage();
  forbid(s, (host) => host === "forbidden.test");
  const p = s.producer({ brokers: ["forbidden.test:1", s.cluster.bootstrap] });
  assert.equal((await s.run(p.send({ topic: "orders", value: "v" }))).delivery, "acked");
  await s.run(p.close());
  const q = s.producer({ brokers: ["forbidden.test:1", "down.test:2"], maxBlockMs: 5_000 });
  const error = await s.failure(q.send({ topic: "orders", value: "v" }));
  assert.deepEqual([error.name, s.runtime.now() >= 5_000], ["TimeoutError", true]);
  assert.match(error.message, /--allow-net for forbidden\.test/);
  await s.run(q.close());
});

test("hopeless: records whose leader must not be dialled fail at once, those of other leaders are delivered", async () => {
  const s = stage({ brokers: 2 });
  forbid(s, (host) => host === "broker-2.test");
  const p = s.producer({ brokers: "broker-1.test:9092" });
  const results = await s.run(
    Promise.allSettled([0, 1, 2].map((partition) => p.send({ topic: "orders", partition, value: "v" }))),
  );
  const outcomes = results.map((result) => result.status === "fulfilled" ? "acked" : result.reason.name);
  assert.ok(outcomes.includes("acked") && outcomes.includes("ConfigError"), outcomes.join());
  assert.ok(s.runtime.now() <= 1_000, `${s.runtime.now()} ms`);
  await s.run(p.connect());
  await s.run(p.close());
});

test("hopeless: a runtime that denies a connection is a ConfigError that names what to start it with", async () => {
  const denied: [cause: Error, advice: RegExp][] = [
    [
      Object.assign(new Error('Requires net access to "b:1"'), { name: "NotCapable" }),
      /^Start Deno with --allow-net.*"b:1"/,
    ],
    [Object.assign(new Error("restricted"), { code: "ERR_ACCESS_DENIED" }), /^Start Node with --allow-net/],
    [
      new AggregateError([1, 2].map(() => Object.assign(new Error("no"), { code: "ERR_ACCESS_DENIED" })), ""),
      /^Start Node with --allow-net/,
    ],
  ];
  const factory = { name: "fake", can: {} } as SocketFactory;
  for (const [cause, advice] of denied) {
    const error = await dial(factory, { host: "b", port: 1 }, () => Promise.reject(cause)).catch((error) => error);
    assert.deepEqual([error.name, error.retriable], ["ConfigError", false]);
    assert.match(error.message, advice);
  }
  const mixed = new AggregateError([denied[1]![0], Object.assign(new Error("no"), { code: "ECONNREFUSED" })], "");
  const error = await dial(factory, { host: "b", port: 1 }, () => Promise.reject(mixed)).catch((error) => error);
  assert.equal(error.name, "ConnectionError");
});

test("hopeless: a Node that hands out no modules is refused when the producer is made", () => {
  const { process } = globalThis as { process?: { getBuiltinModule?: unknown; versions?: { node?: string } } };
  const isNode = process?.versions?.node !== undefined && !("Deno" in globalThis) && !("Bun" in globalThis) &&
    globalThis.navigator?.userAgent !== "Cloudflare-Workers";
  // The others open sockets of their own.
  if (!isNode) return void systemRuntime();
  const saved = process.getBuiltinModule;
  process.getBuiltinModule = undefined;
  try {
    assert.throws(() => new Producer({ brokers: "localhost:9092" }), {
      name: "ConfigError",
      option: "connect",
      message: /^Use Node 20\.16 or newer/,
    });
  } finally {
    process.getBuiltinModule = saved;
  }
});
