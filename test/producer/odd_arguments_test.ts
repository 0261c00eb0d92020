/** Every public method with every kind of argument that it can't use: the caller is told so, and nobody else notices. */

import assert from "node:assert/strict";
import {
  BatchDelivery,
  ConfigError,
  Kafka,
  type KafkaError,
  Producer,
  type ProducerOptions,
  type ProducerRecord,
  RetryPolicy,
  validateConfig,
} from "../../mod.ts";
import { RecordingProducer, VirtualRuntime } from "../../src/testing/mod.ts";
import { stage } from "../stage.ts";
import { test } from "../harness.ts";
import { assertSpeaks, oddSignals, oddValues, outcomeOf, unreadable } from "./odd_values.ts";
import { unhandledIn } from "./unhandled.ts";

type Any = (...args: unknown[]) => unknown;

const GOOD = { topic: "orders", value: "good" };

/** Gives each method each odd value in each place; the outcomes by what was called. */
function callsOn(target: object): [what: string, mayThrow: boolean, call: () => unknown][] {
  const calls: [string, boolean, () => unknown][] = [];
  const add = (method: string, mayThrow: boolean, argsFor: (odd: unknown) => unknown[]): void => {
    for (const [kind, odd] of Object.entries(oddValues())) {
      const args = argsFor(odd);
      calls.push([`${method}(${kind})`, mayThrow, () => (target as Record<string, Any>)[method]!(...args)]);
    }
  };
  for (const method of ["connect", "flush", "partitionsFor", "refreshMetadata", "send", "sendBatch"]) {
    add(method, false, (odd) => [odd]);
  }
  add("close", false, (odd) => [odd]);
  for (const method of ["connect", "flush"]) add(method, false, (odd) => [{ signal: odd }]);
  for (const method of ["flush", "close"]) {
    // 0 is a time limit.
    add(method, false, (odd) => [{ timeoutMs: odd === 0 ? -5 : odd }]);
  }
  for (const method of ["send", "sendBatch"]) {
    const given = method === "send" ? GOOD : [GOOD];
    add(method, false, (odd) => [given, odd]);
    for (const name of ["signal", "onDelivery", "onSuccess", "onError", "acks", "odd"]) {
      add(method, false, (odd) => [given, { [name]: odd }]);
    }
  }
  for (const name of ["topic", "key", "value", "headers", "partition", "timestamp"]) {
    add("send", false, (odd) => [{ ...GOOD, [name]: odd }]);
  }
  add("send", false, (odd) => [{ ...GOOD, headers: { h: odd } }]);
  add("send", false, (odd) => [{ ...GOOD, headers: [odd] }]);
  add("sendBatch", false, (odd) => [[GOOD, odd, GOOD]]);
  add("produce", true, (odd) => [odd]);
  add("produce", true, (odd) => [GOOD, odd]);
  add("writable", true, (odd) => [odd]);
  return calls;
}

for (const kind of ["Producer", "RecordingProducer"] as const) {
  test(`odd arguments: no method of ${kind} throws or rejects with anything that doesn't say what to do`, async (t) => {
    const unhandled = unhandledIn(t);
    const s = stage();
    const p = kind === "Producer"
      ? s.producer<unknown, unknown>({ maxBlockMs: 50 })
      : new RecordingProducer<unknown, unknown>({ runtime: s.runtime });
    await s.run(p.send(GOOD));
    const outcomes = callsOn(p).map(([what, mayThrow, call]) => outcomeOf(what, mayThrow, call));
    await s.run(Promise.all(outcomes));
    assert.ok(outcomes.length > 500, `${outcomes.length} calls`);
    // None of the calls has closed it, and those after them are served as those before.
    const { offset } = await s.run(p.send(GOOD));
    assert.ok(offset > 0n);
    assert.equal(p.metrics().records_pending, 0);
    await s.run(p.close());
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
    assert.deepEqual(unhandled, []);
  });

  test(`odd arguments: wrong options of ${kind} are ConfigErrors that name the option and what is wanted`, async () => {
    const s = stage();
    const p = (kind === "Producer" ? s.producer() : new RecordingProducer({ runtime: s.runtime })) as Producer;
    const refused = async (call: Promise<unknown>, option: string, message: RegExp): Promise<void> => {
      const error = await s.failure(Promise.resolve(call));
      assertSpeaks(error, option);
      assert.deepEqual([error.name, error.code, error.option], ["ConfigError", "CONFIG", option], error.message);
      assert.match(error.message, message);
    };
    const odd = (value: unknown): never => value as never;
    const controller = new AbortController();
    for (const method of ["connect", "flush"] as const) {
      await refused(
        p[method](odd({ signal: controller })),
        "signal",
        /"AbortController" is not. Pass the controller's own/,
      );
      await refused(p[method](odd({ signal: null })), "signal", /an AbortSignal: null is not/);
      await refused(p[method](odd({ signal: { abort() {} } })), "signal", /is not\.$/);
      await refused(p[method](odd(controller.signal)), "options", /with options to/);
      await refused(p[method](odd(controller)), "options", /with options to/);
      await refused(p[method](odd({ sginal: controller.signal })), "sginal", /no such option\. Wanted .*signal\.$/);
    }
    for (const timeoutMs of [-1, 1.5, NaN, -Infinity, "5", null, true, {}, [], 5n, Symbol("5"), 2 ** 31]) {
      await refused(
        p.flush(odd({ timeoutMs })),
        "timeoutMs",
        /whole number of ms from 0 to 2147483647, or to Infinity/,
      );
      await refused(p.close(odd({ timeoutMs })), "timeoutMs", /whole number of ms/);
    }
    for (const nothing of [null, 5, "5", [], () => {}]) {
      await refused(p.flush(odd(nothing)), "options", /to flush/);
      await refused(p.close(odd(nothing)), "options", /to close/);
      await refused(p.connect(odd(nothing)), "options", /to connect/);
    }
    await refused(p.send(GOOD, odd({ onDelivery: "print" })), "onDelivery", /to a function: "print" is not/);
    await refused(p.send(GOOD, odd({ acks: 0 })), "acks", /set it when the producer is made/);
    await refused(p.send(GOOD, odd({ onDelivered() {} })), "onDelivered", /Wanted onDelivery/);
    await refused(p.send(GOOD, odd(() => {})), "options", /as \{ onDelivery \}/);
    assert.throws(() => p.produce(GOOD, odd({ onDelivery() {} })), { name: "ConfigError", option: "onDelivery" });
    await s.run(p.flush({ timeoutMs: Infinity }));
    await s.run(p.flush({ timeoutMs: undefined, signal: undefined }));
    await s.run(p.close({ timeoutMs: 0 }).catch(() => {}));
  });

  test(`odd arguments: the callbacks of a call of ${kind} are read once, and the right ones hear of the wrong`, async () => {
    const s = stage();
    const p = (kind === "Producer" ? s.producer() : new RecordingProducer({ runtime: s.runtime })) as Producer;
    let reads = 0;
    let told = 0;
    const options = {
      get onDelivery(): () => void {
        if (++reads > 1) throw new Error("read twice");
        return () => void (told += 1);
      },
    };
    const results = await s.run(Promise.resolve(p.sendBatch([GOOD, GOOD, GOOD], options)));
    assert.deepEqual(results.map(({ status }) => status), ["fulfilled", "fulfilled", "fulfilled"]);
    assert.deepEqual([reads, told], [1, 3]);
    await s.run(p.send(GOOD, Object.create(options, {})).catch(() => {}));
    const heard: string[] = [];
    const mixed = { onDelivery: 5, onError: ({ code }: KafkaError) => void heard.push(code) };
    await s.failure(p.send(GOOD, mixed as never));
    assert.deepEqual(heard, ["CONFIG"]);
    // What the caller changes later is not seen.
    const later = { onDelivery: () => void (told += 10) };
    const sent = p.send(GOOD, later);
    later.onDelivery = () => void (told += 100);
    await s.run(sent);
    assert.equal(told, 13);
    await s.run(p.close());
  });

  test(`odd arguments: a record of ${kind} that can't be read is refused alone, in the middle of a batch too`, async () => {
    const s = stage();
    const p = (kind === "Producer" ? s.producer() : new RecordingProducer({ runtime: s.runtime })) as Producer;
    for (const [what, record] of Object.entries(unreadable())) {
      const results = await s.run(Promise.resolve(p.sendBatch([GOOD, record as ProducerRecord, GOOD])));
      assert.deepEqual(results.map(({ status }) => status), ["fulfilled", "rejected", "fulfilled"], what);
      assertSpeaks(results[1]!.status === "rejected" && results[1]!.reason, what);
    }
    function* broken(): Generator<ProducerRecord> {
      yield GOOD;
      throw new Error("the file has ended");
    }
    const delivered = p.metrics().records_sent;
    const batch = p.sendBatch(broken());
    await assert.rejects(s.run(Promise.resolve(batch)), { name: "ConfigError", message: /the file has ended\.?$/ });
    await assert.rejects(batch.all(), { name: "ConfigError", option: "records" });
    assert.deepEqual(batch.promises, []);
    assert.equal(p.metrics().records_sent, delivered, "nothing of it was sent");
    await s.run(p.close());
  });

  test(`odd arguments: the shapes of other clients get an answer of ${kind} that names ours`, async () => {
    const s = stage();
    const p = (kind === "Producer" ? s.producer() : new RecordingProducer({ runtime: s.runtime })) as Producer;
    const message = { key: "k", value: "v" };
    const shapes: [call: () => PromiseLike<unknown>, answer: RegExp][] = [
      [() => p.send({ topic: "orders", messages: [message] } as never), /record of its own.*sendBatch.*KafkaJS/],
      [
        () => p.sendBatch({ topicMessages: [{ topic: "orders", messages: [message] }] } as never),
        /one list to sendBatch/,
      ],
      [() => p.sendBatch({ topic: "orders", messages: [message] } as never), /record of its own.*sendBatch/],
      [() => p.send([GOOD] as never), /list of records to sendBatch/],
      [() => p.send("orders" as never, "value" as never), /Pass/],
      [() => p.send("orders" as never), /as one object, \{ topic, key, value \}/],
      [() => p.sendBatch("orders" as never), /as a list: "orders" is not/],
      [() => p.sendBatch(GOOD as never), /as a list: an object is not/],
      [() => p.send(undefined as never), /Pass a record such as .*: undefined is not/],
      [() => p.disconnect(), /Call close\(\) in place of disconnect/],
    ];
    for (const [call, answer] of shapes) {
      const error = await s.failure(Promise.resolve(call()));
      assertSpeaks(error, String(answer));
      assert.match(error.message, answer);
    }
    assert.equal(
      (await s.run(p.send({ ...GOOD, messages: "a field of the caller's own" } as never))).partition >= 0,
      true,
    );
    await s.run(p.close());
  });
}

test("odd arguments: a signal of another realm or of a polyfill takes records back as the platform's does", async () => {
  const s = stage();
  for (const p of [s.producer({ lingerMs: 1_000 }), new RecordingProducer({ runtime: s.runtime, delayMs: 1_000 })]) {
    const controller = new AbortController();
    const { signal } = controller;
    const polyfill = {
      get aborted(): boolean {
        return signal.aborted;
      },
      reason: "polyfilled",
      addEventListener: signal.addEventListener.bind(signal),
      removeEventListener: signal.removeEventListener.bind(signal),
    };
    const sent = p.send(GOOD, { signal: polyfill as unknown as AbortSignal });
    const failed = s.failure(sent);
    controller.abort();
    const { code, cause } = await failed;
    assert.deepEqual([code, cause], ["ABORTED", "polyfilled"]);
    await s.run(p.close());
  }
});

test("odd arguments: a constructor with options that can't be read throws a ConfigError", () => {
  const constructors: Record<string, Any> = {
    validateConfig: validateConfig as Any,
    Producer: (options) => new Producer(options as never, new VirtualRuntime()),
    RecordingProducer: (options) => new RecordingProducer(options as never),
    RetryPolicy: (options) => new RetryPolicy(options as never),
  };
  for (const [name, construct] of Object.entries(constructors)) {
    for (const [kind, odd] of Object.entries(oddValues())) {
      assert.throws(() => construct(odd), (error) => {
        assertSpeaks(error, `${name}(${kind})`);
        return error instanceof ConfigError;
      }, `${name}(${kind})`);
    }
  }
});

test("odd arguments: every option of a constructor with every odd value is taken or a ConfigError", () => {
  const names: (keyof ProducerOptions)[] = [
    ...["brokers", "clientId", "acks", "idempotent", "compression", "codecs", "lingerMs", "partitioner", "retries"],
    ...["keySerializer", "valueSerializer", "interceptors", "tls", "connect", "logger", "hooks", "snapshot"],
    ...["waitForOutcome", "gapless", "onDataLoss", "allowAutoTopicCreation", "bufferMemory"],
  ] as (keyof ProducerOptions)[];
  const nested: Record<string, readonly string[]> = {
    tls: ["ca", "cert", "key", "passphrase", "serverName", "verify"],
    compression: ["codec", "level", "topics", "default"],
    codecs: ["gzip", "lz4"],
    hooks: ["onRetry"],
    logger: ["warn"],
    connect: ["connect"],
  };
  const attempt = (what: string, options: object): void => {
    try {
      new Producer({ brokers: "localhost:9092", ...options } as never, new VirtualRuntime());
    } catch (error) {
      assertSpeaks(error, what);
      assert.ok(error instanceof ConfigError, what);
    }
  };
  for (const [kind, odd] of Object.entries(oddValues())) {
    for (const name of names) {
      attempt(`${name}: ${kind}`, { [name]: odd });
      attempt(`${name}: [${kind}]`, { [name]: [odd] });
      for (const inner of nested[name] ?? []) attempt(`${name}.${inner}: ${kind}`, { [name]: { [inner]: odd } });
    }
    for (const name of ["partitions", "partitioner", "respond", "delayMs", "autoComplete", "runtime"]) {
      try {
        new RecordingProducer({ [name]: odd });
      } catch (error) {
        assertSpeaks(error, `${name}: ${kind}`);
      }
    }
    for (const name of ["retries", "backoffMs", "backoffMaxMs", "timeoutMs", "allowDuplicates"]) {
      if (odd === 0 && name !== "timeoutMs" || odd === true && name === "allowDuplicates") continue;
      assert.throws(() => new RetryPolicy({ [name]: odd }), { name: "ConfigError", option: name }, `${name}: ${kind}`);
    }
  }
});

test("odd arguments: RetryPolicy refuses what it can't call, wait for or listen to, as a ConfigError", async () => {
  const policy = new RetryPolicy({ retries: 1, backoffMs: 1 });
  for (const [kind, odd] of Object.entries(oddValues())) {
    if (typeof odd !== "function") {
      const error = await outcomeOf(`run(${kind})`, false, () => policy.run(odd as never));
      assert.ok(error instanceof ConfigError, kind);
    }
    const error = await outcomeOf(`run(…, ${kind})`, false, () => policy.run(() => 1, odd as never));
    assert.ok(error instanceof ConfigError, kind);
    assert.equal(policy.isRetriable(odd), false);
  }
  for (const [kind, odd] of Object.entries(oddSignals())) {
    const error = await outcomeOf(`signal: ${kind}`, false, () => policy.run(() => 1, { signal: odd as never }));
    assert.ok(error instanceof ConfigError, kind);
    assert.throws(() => policy.start(odd as never), { name: "ConfigError" }, kind);
  }
});

test("odd arguments: interceptors that aren't objects with functions are refused when the producer is made", () => {
  const make = (interceptors: unknown): Producer =>
    new Producer({ brokers: "localhost:9092", interceptors } as never, new VirtualRuntime());
  const bad: [interceptors: unknown, message: RegExp][] = [
    [[{ onSend: "print" }], /"interceptors\[0\]".*its onSend, "print", is not a function/],
    [[{}, { onAcknowledgement: 5 }], /"interceptors\[1\]".*onAcknowledgement, 5,/],
    [[{ close: {} }], /close, an object,/],
    [[{ onSend: null }], /onSend, null,/],
    [[() => {}], /a function is not/],
    [[null], /null is not/],
    [new Array(1), /undefined is not/],
    [new Set([{}]), /a list of objects: an object of class "Set" is not/],
    [{ onSend() {} }, /a list of objects: an object is not/],
  ];
  for (const [interceptors, message] of bad) {
    assert.throws(() => make(interceptors), { name: "ConfigError", option: "interceptors", message });
  }
  class Tracing {
    onSend(record: ProducerRecord): ProducerRecord {
      return record;
    }
  }
  make([new Tracing(), {}, { close: async () => {} }]);
});

test("odd arguments: a failed batch delivery is no unhandled rejection until somebody looks at it", async (t) => {
  const unhandled = unhandledIn(t);
  const s = stage();
  const delivery = s.producer().sendBatch(null as never);
  assert.ok(delivery instanceof BatchDelivery);
  new RecordingProducer().sendBatch(null as never);
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
  assert.deepEqual(unhandled, []);
});

test("odd arguments: who looks for KafkaJS's class is told of ours", () => {
  assert.throws(() => new Kafka({ clientId: "app", brokers: ["localhost:9092"] }), {
    name: "ConfigError",
    message: /new Producer\(\{ brokers/,
  });
});
