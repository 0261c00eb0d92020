import assert from "node:assert/strict";
import * as api from "../../mod.ts";
import { isFatal, isRetriable, KafkaError } from "../../mod.ts";
import { InitProducerId, Metadata, Produce } from "../../src/protocol/messages/mod.ts";
import { brokerError } from "../../src/protocol/error_codes.ts";
import { stage } from "../stage.ts";
import { test } from "../harness.ts";

test("errors: every class is a KafkaError with a name, a code and a classification of its own", () => {
  const retriable = ["DeliveryTimeoutError", "TimeoutError", "BufferFullError", "ConnectionError"];
  const fatal = ["ProducerFencedError"];
  const requiresAbort = ["TransactionTimedOutError"];
  const classes = Object.entries(api).filter(([name]) => name.endsWith("Error") && name !== "KafkaError");
  assert.ok(classes.length >= 17, `${classes.length} classes`);
  for (const [name, value] of classes) {
    const Class = value as new (...args: string[]) => KafkaError;
    const error = name === "ConfigError" ? new Class("option", "What to do.") : new Class("What to do.");
    assert.ok(error instanceof KafkaError && error instanceof Error, name);
    assert.deepEqual(
      [error.name, error.message, error.persisted, error.requiresAbort],
      [name, "What to do.", "no", requiresAbort.includes(name)],
    );
    assert.match(error.code, /^[A-Z_]+$/, name);
    assert.equal(isRetriable(error), retriable.includes(name), name);
    assert.equal(isFatal(error), fatal.includes(name), name);
    assert.deepEqual([error.retriable, error.fatal], [isRetriable(error), isFatal(error)], name);
  }
  for (const other of [new Error("x"), { retriable: true, fatal: true }, null, undefined, "x"]) {
    assert.deepEqual([isRetriable(other), isFatal(other)], [false, false]);
  }
});

test("errors: a broker's are classified by number: unknown topics can come, credentials and bad records can't", () => {
  const of = (code: number): [string, boolean] => [brokerError(code).name, brokerError(code).retriable];
  assert.deepEqual([3, 5, 6, 19, 100].map(of), new Array(5).fill(["BrokerError", true]));
  assert.deepEqual([29, 31, 53].map(of), new Array(3).fill(["AuthorizationError", false]));
  assert.deepEqual([58].map(of), [["AuthenticationError", false]]);
  assert.deepEqual([17, 87, 44].map(of), new Array(3).fill(["BrokerError", false]));
  assert.deepEqual(of(90), ["ProducerFencedError", false]);
  assert.equal(brokerError(90).fatal, true);
});

test("errors: what a caller gets says all that he must decide by, for each way to fail", async () => {
  const seen = new Map<string, unknown[]>();
  const note = ({ code, retriable, fatal, persisted }: KafkaError): void =>
    void seen.set(code, [retriable, fatal, persisted]);
  const { cluster, producer, run } = stage({ autoCreateTopics: false });
  const fail = async (options: object, record: object, before: () => void = () => {}): Promise<void> => {
    const p = producer({ maxBlockMs: 500, deliveryTimeoutMs: 1_000, ...options });
    await run(p.partitionsFor("orders"));
    before();
    await run(p.send({ topic: "orders", partition: 0, value: "v", ...record }).then(() => {}, note));
    await run(p.close());
    cluster.control(Produce, () => undefined);
  };
  await fail({}, { topic: "nowhere" });
  await fail({}, { value: 5 });
  await fail({ maxRequestSize: 20_000 }, { value: "v".repeat(30_000) });
  await fail({}, {}, () => cluster.control(Produce, { error: 87 }, { times: 2 }));
  await fail({ retries: 1 }, {}, () => cluster.control(Produce, { error: 19 }, { times: 2 }));
  await fail(
    { retries: 1, requestTimeoutMs: 100 },
    {},
    () => cluster.control(Produce, { silence: true }, { times: 2 }),
  );
  await fail({ requestTimeoutMs: 5_000 }, {}, () => cluster.control(Produce, { silence: true }, { times: 1 }));
  const grant = cluster.control(InitProducerId, { error: 31 });
  await fail({}, {});
  grant();
  await fail({}, { topic: "secret" }, () => cluster.control(Metadata, { error: 29, apply: true }));
  assert.deepEqual(Object.fromEntries(seen), {
    UNKNOWN_TOPIC_OR_PARTITION: [true, false, "no"],
    SERIALIZATION: [false, false, "no"],
    RECORD_TOO_LARGE: [false, false, "no"],
    INVALID_RECORD: [false, false, "no"],
    NOT_ENOUGH_REPLICAS: [true, false, "no"],
    REQUEST_TIMED_OUT: [true, false, "possibly"],
    DELIVERY_TIMEOUT: [true, false, "possibly"],
    CLUSTER_AUTHORIZATION_FAILED: [false, false, "no"],
    TOPIC_AUTHORIZATION_FAILED: [false, false, "no"],
  });
});

test("errors: message, cause and fields survive a spread, JSON and comparisons, and as JSON a clone", () => {
  const inner = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
  const cause = new api.ConnectionError("Connecting failed.", { broker: "a:1", cause: inner });
  const error = new api.DeliveryTimeoutError("Gave up.", {
    topic: "orders",
    partition: 3,
    persisted: "possibly",
    cause,
  });
  const spread = { ...error };
  assert.deepEqual([spread.name, spread.message, spread.cause, spread.topic], [
    ...["DeliveryTimeoutError", "Gave up.", cause, "orders"],
  ]);
  const plain = {
    name: "DeliveryTimeoutError",
    message: "Gave up.",
    code: "DELIVERY_TIMEOUT",
    retriable: true,
    fatal: false,
    requiresAbort: false,
    persisted: "possibly",
    topic: "orders",
    partition: 3,
    cause: {
      name: "ConnectionError",
      message: "Connecting failed.",
      code: "NETWORK_EXCEPTION",
      cause: { name: "Error", message: "connect ECONNREFUSED", code: "ECONNREFUSED" },
    },
  };
  assert.deepEqual(error.toJSON(), plain);
  assert.deepEqual(JSON.parse(JSON.stringify({ error })), { error: plain });
  assert.deepEqual(structuredClone(error.toJSON()), plain);
  assert.equal(structuredClone(error).message, "Gave up.");
  const other = new api.DeliveryTimeoutError("Gave up.", {
    topic: "orders",
    partition: 4,
    persisted: "possibly",
    cause,
  });
  assert.notDeepEqual(other, error);
  assert.deepEqual(JSON.parse(JSON.stringify(new api.ConfigError("tls", "Change it."))).option, "tls");
});

test("errors: any cause has a JSON form, also one that leads back into itself or can't be read", () => {
  const loop = new KafkaError("It goes round.", {});
  Object.assign(loop, { cause: loop });
  const evil = new Proxy({}, {
    get() {
      throw new Error("trap");
    },
  });
  const table: [cause: unknown, json: unknown][] = [
    ["text", "text"],
    [5, 5],
    [false, false],
    [null, null],
    [NaN, "NaN"],
    [5n, "5n"],
    [Symbol("s"), "Symbol(s)"],
    [() => {}, "a function"],
    [evil, { message: "an object" }],
    [[1], { message: "a list" }],
    [{ message: 5 }, { message: "an object" }],
    [new Error("x", { cause: "y" }), { name: "Error", message: "x", cause: "y" }],
  ];
  for (const [cause, json] of table) {
    assert.deepEqual(JSON.parse(JSON.stringify(new KafkaError("Failed.", { cause }))).cause, json);
  }
  assert.ok(JSON.stringify(loop).length < 3_000);
});

test("errors: a message is one line of bounded length, whatever was put into it", () => {
  assert.equal(
    new KafkaError("a\u001b[2J\nb\u202ec\u0085\u200b\u{e0041}\ud800d").message,
    "a\\u001b[2J b\\u202ec\\u0085\\u200b\\udb40\\udc41\\ud800d",
  );
  assert.equal(new KafkaError("grüße 你好 🎉").message, "grüße 你好 🎉");
  assert.equal(new KafkaError("x".repeat(1_000_000)).message.length, 10_000);
});
