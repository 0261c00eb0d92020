import assert from "node:assert/strict";
import type { Logger, LogLevel } from "../../mod.ts";
import { BrokerError, ConnectionError } from "../../src/errors.ts";
import { Produce } from "../../src/protocol/messages/mod.ts";
import { adaptLogger, jsonSafe, lineOf, PacedLogger } from "../../src/producer/observe/logger.ts";
import { stage } from "../stage.ts";
import { test } from "../harness.ts";
import { warmUp } from "./wire.ts";

type Call = readonly [method: string, ...args: unknown[]];

/** A logger with pino's shape: object first, levels that are off do nothing, methods that are replaced with the level. */
function fakePino(level = "info") {
  const calls: Call[] = [];
  const order = ["trace", "debug", "info", "warn", "error", "fatal"];
  const pino = {
    level,
    levels: { values: {} },
    bindings: () => ({}),
    child: () => pino,
    isLevelEnabled: (name: string) => order.indexOf(name) >= order.indexOf(pino.level),
  } as Record<string, unknown> & { level: string };
  for (const name of order) {
    pino[name] = function (this: unknown, ...args: unknown[]): void {
      assert.equal(this, pino, "it is called as a method");
      if (order.indexOf(name) >= order.indexOf(pino.level)) calls.push([name, ...args]);
    };
  }
  return { logger: pino as unknown as Logger, calls, pino };
}

/** A logger with winston's shape: text first; with the levels of syslog a warning has another name. */
function fakeWinston(levels = ["error", "warn", "info", "debug"]) {
  const calls: Call[] = [];
  const winston: Record<string, unknown> = { transports: [], configure: () => {}, child: () => winston };
  winston["isLevelEnabled"] = (name: string) => levels.includes(name) && name !== "debug";
  for (const name of levels) {
    winston[name] = (...args: unknown[]): unknown => {
      calls.push([name, ...args]);
      return winston;
    };
  }
  return { logger: winston as Logger, calls };
}

/** Lets a batch be sent again and fail, and tells nothing of it but to the logger. */
async function failOnce(logger: Logger | "console"): Promise<void> {
  const s = stage();
  const p = s.producer({ logger, retries: 1 });
  await warmUp(s, p);
  s.cluster.control(Produce, { error: 19 }, { times: 2 });
  await s.failure(p.send({ topic: "orders", partition: 0, value: "v" }));
  await s.run(p.close());
}

test("logger: pino gets the fields first and the event as its message, at levels that are on", async () => {
  const { logger, calls } = fakePino();
  await failOnce(logger);
  const [level, fields, text, ...rest] = calls.find(([, , text]) => text === "batch_failed")!;
  assert.deepEqual([level, text, rest], ["warn", "batch_failed", []]);
  const { topic, partition, records, error } = fields as Readonly<Record<string, unknown>>;
  assert.deepEqual([topic, partition, records], ["orders", 0, 1]);
  const { name, message, code, errorCode } = error as Readonly<Record<string, unknown>>;
  assert.deepEqual([name, code, errorCode], ["BrokerError", "NOT_ENOUGH_REPLICAS", 19]);
  assert.match(message as string, /NOT_ENOUGH_REPLICAS/);
  assert.ok(calls.every(([level]) => level !== "debug"), "debug is off");
});

test("logger: a level that is switched on later is served from then on", () => {
  const { logger, calls, pino } = fakePino("error");
  const adapted = adaptLogger(logger);
  adapted.debug!("request", { bytes: 1 });
  pino.level = "debug";
  adapted.debug!("request", { bytes: 2 });
  assert.deepEqual(calls, [["debug", { bytes: 2 }, "request"]]);
});

test("logger: bunyan gets the fields first as well", () => {
  const calls: unknown[][] = [];
  const bunyan = {
    fields: {},
    child: () => {},
    addSerializers: () => {},
    warn: (...args: unknown[]) => calls.push(args),
  };
  adaptLogger(bunyan as unknown as Logger).warn!("waiting", { topic: "t" });
  assert.deepEqual(calls, [[{ topic: "t" }, "waiting"]]);
});

test("logger: winston gets the event first and the fields as its meta", async () => {
  const { logger, calls } = fakeWinston();
  await failOnce(logger);
  const [level, text, fields] = calls.find(([, text]) => text === "batch_failed")!;
  assert.deepEqual([level, text], ["warn", "batch_failed"]);
  const { topic, error } = fields as { readonly topic: string; readonly error: { readonly code: string } };
  assert.deepEqual([topic, error.code], ["orders", "NOT_ENOUGH_REPLICAS"]);
});

test("logger: a logger of syslog's levels gets warnings under their name there", () => {
  const { logger, calls } = fakeWinston(["emerg", "error", "warning", "info"]);
  const adapted = adaptLogger(logger);
  adapted.warn!("waiting", { topic: "t" });
  assert.equal(adapted.debug, undefined);
  assert.deepEqual(calls, [["warning", "waiting", { topic: "t" }]]);
});

test("logger: console as an object, and a function that has the levels as methods, get the event first", () => {
  const calls: unknown[] = [];
  const callable = Object.assign(() => {}, { warn: (...args: unknown[]) => void calls.push(args) });
  const s = stage();
  s.producer({ logger: callable as unknown as Logger, acks: 1 });
  const { console } = globalThis;
  const saved = console.warn;
  console.warn = (...args: unknown[]) => void calls.push(args);
  try {
    s.producer({ logger: console, acks: 1 });
  } finally {
    console.warn = saved;
  }
  assert.deepEqual(calls, [1, 2].map(() => ["idempotence_off", { reason: "acks 1" }]));
});

test("logger: the word console writes a line for each event that somebody wants to know, and none for requests", async () => {
  const console = globalThis.console as unknown as Record<string, unknown>;
  const levels: readonly LogLevel[] = ["debug", "info", "warn", "error"];
  const saved = levels.map((level) => console[level]);
  const lines: [string, ...unknown[]][] = [];
  for (const level of levels) console[level] = (...args: unknown[]) => void lines.push([level, ...args]);
  try {
    await failOnce("console");
  } finally {
    for (const [index, level] of levels.entries()) console[level] = saved[index];
  }
  assert.ok(lines.every(([level, ...args]) => level !== "debug" && args.length === 1 && typeof args[0] === "string"));
  const [, failed] = lines.find(([level]) => level === "warn")!;
  assert.match(
    failed as string,
    /^sluice batch_failed: Topic "orders" partition 0: .*NOT_ENOUGH_REPLICAS.*\. \[topic="orders" partition=0 records=1/,
  );
  assert.ok(lines.some(([, line]) => /^sluice connected/.test(line as string)));
});

test("logger: fields are safe for JSON, whatever they hold", () => {
  const loop: Record<string, unknown> = { name: "loop" };
  loop["self"] = loop;
  const evil = Object.defineProperty({}, "broken", {
    enumerable: true,
    get: () => {
      throw new Error("boom");
    },
  });
  const fields = jsonSafe({
    offset: 51_764n,
    retries: Infinity,
    nothing: undefined,
    none: null,
    list: [1n, undefined, Symbol("s")],
    when: new Date(0),
    bytes: new Uint8Array(300),
    call: () => 1,
    loop,
    evil,
  });
  const json = JSON.parse(JSON.stringify(fields));
  assert.deepEqual([json.offset, json.retries, json.none, json.when, json.bytes], [
    "51764",
    "Infinity",
    null,
    "1970-01-01T00:00:00.000Z",
    "300 bytes",
  ]);
  assert.deepEqual([json.list[0], "nothing" in json, json.evil], ["1", false, { broken: "unreadable" }]);
});

test("logger: an error has name, message, code and its causes in JSON, and a fault of the caller's own its stack", () => {
  const refused = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED", port: 9092 });
  const error = new ConnectionError("Connecting failed.", { broker: "b:1", cause: refused });
  const plain = JSON.parse(JSON.stringify(jsonSafe({ error }))).error;
  assert.deepEqual([plain.name, plain.message, plain.code, plain.broker, plain.retriable], [
    "ConnectionError",
    "Connecting failed.",
    "NETWORK_EXCEPTION",
    "b:1",
    true,
  ]);
  assert.deepEqual(plain.cause, {
    name: "Error",
    message: "connect ECONNREFUSED",
    code: "ECONNREFUSED",
    port: 9092,
  });
  assert.equal("stack" in plain, false);
  const own = jsonSafe({ error: new TypeError("x is not a function") }).error as Readonly<Record<string, unknown>>;
  assert.match(own.stack as string, /TypeError/);
  const many = jsonSafe({ error: new AggregateError([refused, "text"], "all") }).error as { errors: unknown[] };
  assert.deepEqual([(many.errors[0] as { code: string }).code, many.errors[1]], ["ECONNREFUSED", "text"]);
  const circular = new BrokerError("Round and round.");
  Object.defineProperty(circular, "cause", { value: circular });
  assert.ok(JSON.stringify(jsonSafe({ error: circular })).includes("Round and round."));
  assert.deepEqual(jsonSafe({ error: "just text" }), { error: "just text" });
});

test("logger: a line for people has nothing in it that a terminal would obey", () => {
  const line = lineOf("waiting", {
    reason: "No \u001b[2Jbroker",
    advice: "Wait\u202e a bit",
    topic: "a\nb",
    records: 3,
  });
  // deno-lint-ignore no-control-regex
  assert.doesNotMatch(line, /[\u0000-\u001f\u202e]/);
  assert.match(line, /^sluice waiting: No .*broker\. Wait.* a bit\. \[topic=.* records=3\]$/);
});

test("logger: of one event ten warnings are written in a row, then one a minute, and what is left out is counted", () => {
  const lines: [string, unknown][] = [];
  let nowMs = 0;
  const logger = new PacedLogger(
    { warn: (event, { suppressed }) => void lines.push([event, suppressed]) },
    () => nowMs,
  );
  for (let i = 0; i < 100; i++) logger.warn!("a", {});
  logger.warn!("b", {});
  assert.deepEqual(lines, [...Array.from({ length: 10 }, () => ["a", undefined]), ["b", undefined]]);
  nowMs = 59_999;
  logger.warn!("a", {});
  nowMs = 60_000;
  logger.warn!("a", {});
  assert.deepEqual(lines.at(-1), ["a", 91]);
  nowMs = 600_000;
  for (let i = 0; i < 20; i++) logger.warn!("a", {});
  assert.equal(
    lines.filter(([event]) => event === "a").length,
    10 + 1 + 9,
    "time that passed isn't saved up beyond ten",
  );
  logger.settle();
  assert.deepEqual(lines.at(-1), ["lines_suppressed", 11]);
  logger.settle();
  assert.equal(lines.filter(([event]) => event === "lines_suppressed").length, 1);
  assert.equal(logger.debug, undefined);
});

test("logger: no event has a field of a name that pino or winston use themselves", async () => {
  const { logger, calls } = fakePino("debug");
  await failOnce(logger);
  const s = stage();
  const p = s.producer({ logger, brokers: "nowhere.test:1", maxBlockMs: 30_000 });
  await s.failure(p.send({ topic: "orders", value: "v" }));
  await s.run(p.close());
  const reserved = ["level", "time", "timestamp", "pid", "hostname", "msg", "message", "stack", "err"];
  for (const [, fields, event] of calls) {
    for (const name of Object.keys(fields as object)) assert.ok(!reserved.includes(name), `${event}.${name}`);
  }
  assert.ok(calls.length > 10);
});
