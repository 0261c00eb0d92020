/** KafkaJS's instrumentation events, and its logger. */
import assert from "node:assert/strict";
import { type InstrumentationEvent, KafkaJSNonRetriableError, logLevel } from "../../../src/compat/kafkajs/mod.ts";
import { Produce } from "../../../src/testing/mod.ts";
import { test } from "../../harness.ts";
import { unhandledIn } from "../../producer/unhandled.ts";
import { stage } from "./stage.ts";

// deno-lint-ignore no-explicit-any
type Event = InstrumentationEvent<any>;

test("compat kafkajs events: connect and disconnect are told each time, until the listener is taken away", async () => {
  const { kafka, run } = stage();
  const producer = kafka().producer();
  const seen: string[] = [];
  const remove = producer.on(producer.events.CONNECT, ({ type, timestamp, id }) => {
    assert.equal(typeof timestamp, "number");
    assert.equal(typeof id, "number");
    seen.push(type);
  });
  producer.on(producer.events.DISCONNECT, ({ type }) => void seen.push(type));
  await run(producer.connect());
  await run(producer.disconnect());
  remove();
  await run(producer.connect());
  await run(producer.disconnect());
  assert.deepEqual(seen, ["producer.connect", "producer.disconnect", "producer.disconnect"]);
  assert.throws(() => producer.on("CONNECT" as never, () => {}), (error: Error) => {
    assert.ok(error instanceof KafkaJSNonRetriableError);
    assert.match(error.message, /^Event name should be one of producer\.events\.CONNECT, /);
    return true;
  });
});

test("compat kafkajs events: each request is told with what KafkaJS tells of it", async () => {
  const { kafka, run } = stage();
  const producer = kafka({ clientId: "shop" }).producer();
  const requests: Event[] = [];
  const sizes: Event[] = [];
  producer.on(producer.events.REQUEST, (event) => void requests.push(event));
  producer.on(producer.events.REQUEST_QUEUE_SIZE, (event) => void sizes.push(event));
  await run(producer.connect());
  await run(producer.send({ topic: "orders", messages: [{ value: "a" }] }));
  await run(producer.send({ topic: "orders", acks: 0, messages: [{ value: "a" }] }));
  await run(producer.disconnect());
  const names = new Set(requests.map(({ payload }) => payload.apiName));
  for (const name of ["ApiVersions", "Metadata", "Produce"]) assert.ok(names.has(name), name);
  assert.equal(requests.filter(({ payload }) => payload.apiName === "Produce").length, 2);
  for (const { type, payload } of requests) {
    assert.equal(type, "producer.network.request");
    const { broker, clientId, apiName: _, ...numbers } = payload;
    assert.deepEqual([broker, clientId], ["broker-1.test:9092", "shop"]);
    assert.deepEqual(Object.keys(numbers).sort(), [
      "apiKey",
      "apiVersion",
      "correlationId",
      "createdAt",
      "duration",
      "pendingDuration",
      "sentAt",
      "size",
    ]);
    for (const value of Object.values(numbers)) {
      assert.ok(Number.isInteger(value) && (value as number) >= 0, `${value}`);
    }
  }
  assert.ok(sizes.length >= requests.length);
  for (const { payload } of sizes) {
    assert.deepEqual(Object.keys(payload).sort(), ["broker", "clientId", "queueSize"]);
    assert.ok(payload.queueSize >= 1);
  }
});

test("compat kafkajs events: a request that is not answered in time is told as such", async () => {
  const { kafka, run, failure, cluster } = stage();
  const producer = kafka({ requestTimeout: 500, retry: { retries: 1 } }).producer();
  const late: Event[] = [];
  producer.on(producer.events.REQUEST_TIMEOUT, (event) => void late.push(event));
  await run(producer.connect());
  const free = cluster.control(Produce, { answerDelayMs: 5_000 });
  const error = await failure(producer.send({ topic: "orders", messages: [{ value: "a" }] }), 600_000);
  assert.equal(error.name, "KafkaJSNumberOfRetriesExceeded");
  free();
  await run(producer.disconnect());
  assert.ok(late.length >= 1);
  assert.equal(late[0]!.type, "producer.network.request_timeout");
  const { apiName, apiKey, size, duration } = late[0]!.payload;
  assert.deepEqual([apiName, apiKey, size, duration], ["Produce", 0, undefined, undefined]);
});

test("compat kafkajs events: what a listener throws or rejects with is logged, and nothing else happens", async () => {
  const { kafka, run, logged } = stage();
  const producer = kafka().producer();
  producer.on(producer.events.CONNECT, () => {
    throw new Error("thrown");
  });
  producer.on(producer.events.CONNECT, () => Promise.reject(new Error("rejected")) as never);
  await run(producer.connect());
  await run(producer.disconnect());
  const messages = logged.map(({ namespace, label, log }) => [namespace, label, log.message]);
  assert.deepEqual(messages, [
    ["Producer", "ERROR", "Failed to execute listener: thrown"],
    ["Producer", "ERROR", "Failed to execute listener: rejected"],
  ]);
});

test("compat kafkajs logger: levels, namespaces and entries are those of KafkaJS", () => {
  const { kafka, logged, runtime } = stage();
  const client = kafka({ logLevel: logLevel.WARN });
  const logger = client.logger();
  logger.info("not this");
  logger.warn("this", { orders: 3 });
  const loud = logger.namespace("Loud", logLevel.DEBUG);
  loud.debug("and this");
  logger.setLogLevel(logLevel.ERROR);
  logger.warn("not this");
  loud.debug("still this");
  client.producer().logger().error("from the producer");
  const timestamp = new Date(runtime.wallNow()).toISOString();
  assert.deepEqual(logged, [
    { namespace: "", level: 2, label: "WARN", log: { timestamp, logger: "kafkajs", message: "this", orders: 3 } },
    { namespace: "Loud", level: 5, label: "DEBUG", log: { timestamp, logger: "kafkajs", message: "and this" } },
    { namespace: "Loud", level: 5, label: "DEBUG", log: { timestamp, logger: "kafkajs", message: "still this" } },
    {
      namespace: "Producer",
      level: 1,
      label: "ERROR",
      log: { timestamp, logger: "kafkajs", message: "from the producer" },
    },
  ]);
});

test("compat kafkajs logger: what the producer has to say goes to logCreator, warnings at their level", async () => {
  const { kafka, failure, logged } = stage();
  const client = kafka({ brokers: ["nobody.test:9092"], retry: { retries: 0 } });
  await failure(client.producer().connect());
  const warned = logged.filter(({ label }) => label === "WARN");
  assert.ok(warned.some(({ log }) => /nobody\.test/.test(JSON.stringify(log))), JSON.stringify(logged));
  assert.ok(logged.every(({ level }) => level <= logLevel.WARN));
});

test("compat kafkajs events: hooks of one's own are called as those of a producer, whatever they throw or reject with", async (t) => {
  const unhandled = unhandledIn(t);
  const { kafka, run, logged } = stage();
  class Watch {
    readonly #seen: string[] = [];
    get seen(): readonly string[] {
      return this.#seen;
    }
    onRequest({ api }: { readonly api: string }): void {
      this.#seen.push(`asked ${api}`);
      throw new Error("thrown");
    }
    onResponse({ api }: { readonly api: string }): Promise<never> {
      this.#seen.push(`answered ${api}`);
      return Promise.reject(new Error("rejected"));
    }
    onConnect(): void {
      this.#seen.push("connected");
    }
  }
  const watch = new Watch();
  const producer = kafka({ sluice: { hooks: watch as never } }).producer();
  const told: unknown[] = [];
  producer.on(producer.events.REQUEST, ({ payload }) => void told.push(payload.apiName));
  await run(producer.connect());
  await run(producer.send({ topic: "orders", messages: [{ value: "a" }] }));
  await run(producer.disconnect());
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
  for (const seen of ["connected", "asked Produce", "answered Produce"]) assert.ok(watch.seen.includes(seen), seen);
  assert.ok(told.includes("Produce"));
  assert.deepEqual(unhandled, []);
  const messages = logged.map(({ log }) => log.message).filter((message) => message.startsWith("hook_threw"));
  assert.deepEqual(messages, ["hook_threw: thrown", "hook_threw: rejected"]);
});
