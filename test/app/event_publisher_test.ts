import assert from "node:assert/strict";
import { type KafkaError, TimeoutError } from "../../mod.ts";
import { createEventPublisher, type EventEnvelope, type EventRecord } from "../../src/app/mod.ts";
import { decodeCloudEvent } from "../../src/headers/mod.ts";
import { RecordingProducer, VirtualRuntime } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";
import { stage } from "../stage.ts";

interface OrderEvents {
  OrderPlaced: { id: string; total: number };
  OrderShipped: { id: string };
}

const TOPIC = "int.order-update.event";
const placed = { id: "o-1", total: 5 };
const text = (bytes: string | Uint8Array | null): string => new TextDecoder().decode(bytes as Uint8Array);

test("publisher: an event is an envelope as JSON under the id of its entity, with id, type and correlation in headers", async () => {
  const runtime = new VirtualRuntime({ wallStartMs: Date.UTC(2026, 0, 2) });
  const producer = new RecordingProducer<string, string>({ runtime });
  const events = createEventPublisher<OrderEvents>(producer, { topic: TOPIC, newId: () => "e-1" }, runtime);
  const { offset } = await events.publish("OrderPlaced", placed, { correlationId: "r-1", headers: { tenant: "x" } });
  assert.equal(offset, 0n);
  const [record] = producer.records(TOPIC);
  assert.deepEqual([record!.key, JSON.parse(record!.value!)], ["o-1", {
    ...{ eventId: "e-1", eventType: "OrderPlaced", eventTime: "2026-01-02T00:00:00.000Z", correlationId: "r-1" },
    data: placed,
  }]);
  assert.deepEqual(record!.headers.map(([name, value]) => [name, text(value)]), [
    ["content-type", "application/json"],
    ["event-id", "e-1"],
    ["event-type", "OrderPlaced"],
    ["correlation-id", "r-1"],
    ["tenant", "x"],
  ]);
  const [one, two] = [events.record("OrderShipped", { id: "o-1" }), events.record("OrderShipped", { id: "o-1" })];
  assert.deepEqual([one.topic, one.key, one.headers.length], [TOPIC, "o-1", 3]);
  assert.equal(one.value, two.value, "ids are of the option");
});

test("publisher: ids are random UUIDs unless the caller names one, and numbers may be keys", () => {
  const events = createEventPublisher<{ Counted: { n: number } }>(new RecordingProducer<string, string>(), {
    topic: "t",
    key: ({ n }, type) => type === "Counted" ? BigInt(n) : "never",
  });
  const ids = [1, 2].map((n) => (JSON.parse(events.record("Counted", { n }).value) as EventEnvelope).eventId);
  assert.match(ids[0]!, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.notEqual(ids[0], ids[1]);
  const own = events.record("Counted", { n: 7 }, { eventId: "mine", eventTime: new Date(0) });
  assert.equal(own.key, "7");
  assert.match(own.value, /"eventId":"mine".*"eventTime":"1970-01-01T00:00:00.000Z"/);
});

test("publisher: as CloudEvents the data is the value and everything else stands in headers", async () => {
  const producer = new RecordingProducer<string, string>();
  const options = { topic: TOPIC, format: "cloudevents", source: "/shop" } as const;
  const events = createEventPublisher<OrderEvents>(producer, options);
  await events.publish("OrderPlaced", placed, { eventId: "e-1", eventTime: new Date(0), correlationId: "r-1" });
  const [record] = producer.records();
  const event = decodeCloudEvent({ headers: record!.headers, value: record!.value });
  assert.deepEqual({ ...event }, {
    ...{ specversion: "1.0", id: "e-1", source: "/shop", type: "OrderPlaced", time: "1970-01-01T00:00:00.000Z" },
    ...{ partitionkey: "o-1", correlationid: "r-1", datacontenttype: "application/json", data: placed },
  });
  assert.equal(record!.key, "o-1");
});

test("publisher: publish rejects with the error of the application, and both outcomes are logged with the event", async () => {
  const lines: unknown[] = [];
  const write = (level: string) => (event: string, fields: Readonly<Record<string, unknown>>): void => {
    const { eventType, partition, offset, error } = fields;
    lines.push([level, event, eventType, partition, offset, (error as Error | undefined)?.name]);
  };
  class OrderError extends Error {}
  const producer = new RecordingProducer<string, string>();
  const events = createEventPublisher<OrderEvents>(producer, {
    topic: TOPIC,
    mapError: (error, { eventType }) => new OrderError(`${eventType}: ${(error as Error).message}`),
    logger: { info: write("info"), error: write("error") },
  });
  await events.publish("OrderPlaced", placed);
  producer.failNext(new TimeoutError("Nobody answers."));
  const error = await events.publish("OrderPlaced", placed).catch((error) => error);
  assert.ok(error instanceof OrderError);
  assert.equal(error.message, "OrderPlaced: Nobody answers.");
  assert.deepEqual(lines, [
    ["info", "event_published", "OrderPlaced", 0, "0", undefined],
    ["error", "event_not_published", "OrderPlaced", undefined, undefined, "TimeoutError"],
  ]);
});

test("publisher: publishSafe never rejects, and hands what it can not deliver to the outbox as a whole record", async () => {
  const outbox: [EventRecord, unknown][] = [];
  const producer = new RecordingProducer<string, string>();
  const events = createEventPublisher<OrderEvents>(producer, {
    topic: TOPIC,
    onFailure: async (record, error) => void await Promise.resolve(outbox.push([record, error])),
  });
  const fine = await events.publishSafe("OrderPlaced", placed);
  assert.ok(fine.ok && fine.metadata.topic === TOPIC);
  producer.failNext(new TimeoutError("Nobody answers.", { persisted: "possibly" }));
  const failed = await events.publishSafe("OrderPlaced", placed, { eventId: "e-2" });
  assert.ok(!failed.ok && failed.kept && failed.eventId === "e-2" && (failed.error as KafkaError).code === "TIMEOUT");
  const [[record]] = outbox as [[EventRecord, unknown]];
  await producer.send(record);
  assert.match(producer.records().at(-1)!.value!, /"eventId":"e-2"/);
});

test("publisher: publishSafe survives an outbox that fails, a closed producer, data that can not be sent and no outbox", async () => {
  const lines: string[] = [];
  const producer = new RecordingProducer<string, string>();
  const options = { topic: TOPIC, logger: { error: (event: string) => void lines.push(event) } };
  const fail = (): never => {
    throw new RangeError("disk full");
  };
  const events = createEventPublisher<OrderEvents>(producer, { ...options, onFailure: fail });
  const outcomes: unknown[] = [];
  const note = (outcome: { ok: boolean; kept?: boolean; error?: unknown }): void => {
    outcomes.push([outcome.ok, outcome.kept, (outcome.error as KafkaError).code]);
  };
  producer.failNext(new TimeoutError("Nobody answers."));
  note(await events.publishSafe("OrderPlaced", placed) as never);
  note(await events.publishSafe("OrderPlaced", {} as never) as never);
  note(await events.publishSafe("OrderPlaced", { id: "o", total: 1n } as never) as never);
  note(await events.publishSafe("OrderPlaced", placed, { eventid: "x" } as never) as never);
  await producer.close();
  note(await createEventPublisher<OrderEvents>(producer, options).publishSafe("OrderPlaced", placed) as never);
  assert.deepEqual(outcomes, [
    [false, false, "TIMEOUT"],
    [false, false, "SERIALIZATION"],
    [false, false, "SERIALIZATION"],
    [false, false, "CONFIG"],
    [false, false, "PRODUCER_CLOSED"],
  ]);
  assert.deepEqual(lines, [
    ...["event_not_published", "outbox_failed", "event_not_published", "event_not_published", "event_not_published"],
    "event_not_published",
  ]);
});

test("publisher: events of one entity stay in order in one partition of a real topic", async () => {
  const s = stage({ topics: { orders: 6 } });
  const producer = s.producer<string, string>();
  const events = createEventPublisher<OrderEvents>(producer, { topic: "orders" }, s.runtime);
  const sends = Array.from({ length: 20 }, (_, total) => events.publish("OrderPlaced", { id: "o-1", total }));
  const partitions = new Set((await s.run(Promise.all(sends))).map(({ partition }) => partition));
  assert.equal(partitions.size, 1);
  const records = await s.cluster.records("orders");
  const totals = records.map(({ value }) => JSON.parse(text(value)).data.total);
  assert.deepEqual(totals, Array.from({ length: 20 }, (_, total) => total));
  await s.run(producer.close());
});

test("publisher: options that are missing, unknown or wrong are refused by name", () => {
  const producer = new RecordingProducer<string, string>();
  for (
    const [options, option] of [
      [{}, "topic"],
      [{ topic: "" }, "topic"],
      [{ topic: "t", format: "avro" }, "format"],
      [{ topic: "t", format: "cloudevents" }, "source"],
      [{ topic: "t", source: 5 }, "source"],
      [{ topic: "t", key: "id" }, "key"],
      [{ topic: "t", onFailure: {} }, "onFailure"],
      [{ topic: "t", logger: "pino" }, "logger"],
      [{ topic: "t", outbox: () => {} }, "outbox"],
    ] as const
  ) {
    assert.throws(() => createEventPublisher(producer, options as never), { name: "ConfigError", option });
  }
  const events = createEventPublisher<OrderEvents>(producer, { topic: "t" });
  for (
    const [given, option] of [
      [{ eventId: "" }, "eventId"],
      [{ eventTime: "now" }, "eventTime"],
      [{ correlationId: 5 }, "correlationId"],
      [{ headers: 5 }, "headers"],
    ] as const
  ) {
    assert.throws(() => events.record("OrderPlaced", placed, given as never), { name: "ConfigError", option });
  }
  assert.throws(() => events.record("" as never, placed as never), { name: "ConfigError", option: "eventType" });
});
