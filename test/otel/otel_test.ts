import assert from "node:assert/strict";
import {
  type Context,
  context,
  type ContextManager,
  propagation,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api";
import { CompositePropagator, W3CBaggagePropagator, W3CTraceContextPropagator } from "@opentelemetry/core";
import { AggregationTemporality, MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";
import {
  json,
  type KafkaError,
  Producer,
  type ProducerRecord,
  type TopicHandle,
  TransactionalProducer,
} from "../../mod.ts";
import { instrument, type OtelOptions } from "../../src/otel/mod.ts";
import { Produce } from "../../src/protocol/messages/produce.ts";
import { RecordingProducer } from "../../src/testing/mod.ts";
import { test, type TestContext } from "../harness.ts";
import { ofAnotherRealm } from "../another_realm.ts";
import { unhandledIn } from "../producer/unhandled.ts";
import { stage, turn } from "../stage.ts";

/** The context of a turn: what is called within `with` sees it, and nothing later. */
class TurnContext implements ContextManager {
  #active: Context = ROOT_CONTEXT;
  active(): Context {
    return this.#active;
  }
  with<A extends unknown[], F extends (...args: A) => ReturnType<F>>(
    next: Context,
    run: F,
    self?: ThisParameterType<F>,
    ...args: A
  ): ReturnType<F> {
    const before = this.#active;
    this.#active = next;
    try {
      return run.apply(self, args);
    } finally {
      this.#active = before;
    }
  }
  bind<T>(_: Context, target: T): T {
    return target;
  }
  enable(): this {
    return this;
  }
  disable(): this {
    return this;
  }
}

class Collector extends MetricReader {
  protected override onForceFlush(): Promise<void> {
    return Promise.resolve();
  }
  protected override onShutdown(): Promise<void> {
    return Promise.resolve();
  }
}

interface Point {
  readonly name: string;
  readonly unit: string;
  readonly value: unknown;
  readonly attributes: Readonly<Record<string, unknown>>;
}

/** The real SDK, with what it has been told. */
function sdk(t: TestContext): {
  options: OtelOptions;
  spans(): ReturnType<InMemorySpanExporter["getFinishedSpans"]>;
  points(): Promise<Point[]>;
  tracerProvider: BasicTracerProvider;
} {
  const exporter = new InMemorySpanExporter();
  const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  const reader = new Collector({ aggregationTemporalitySelector: () => AggregationTemporality.CUMULATIVE });
  const meterProvider = new MeterProvider({ readers: [reader] });
  context.setGlobalContextManager(new TurnContext());
  propagation.setGlobalPropagator(
    new CompositePropagator({ propagators: [new W3CTraceContextPropagator(), new W3CBaggagePropagator()] }),
  );
  t.after(async () => {
    context.disable();
    propagation.disable();
    await Promise.all([tracerProvider.shutdown(), meterProvider.shutdown()]);
    // The exporter answers by a timer.
    await turn();
  });
  return {
    options: { tracerProvider, meterProvider, clientId: "shop" },
    tracerProvider,
    spans: () => exporter.getFinishedSpans(),
    async points() {
      const { resourceMetrics } = await reader.collect();
      const all = resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics);
      return all.flatMap(({ descriptor: { name, unit }, dataPoints }) =>
        dataPoints.map(({ value, attributes }) => ({ name, unit, value, attributes }))
      );
    },
  };
}

const text = (bytes: Uint8Array | null): string => new TextDecoder().decode(bytes!);
const SENT = { "messaging.system": "kafka", "messaging.operation.name": "send" };
const SERVER = { "server.address": "broker-1.test", "server.port": 9092 };

test("otel: a send is a span of kind PRODUCER with the attributes of the conventions, a child of the active one", async (t) => {
  const { options, spans, tracerProvider } = sdk(t);
  const s = stage({ topics: { orders: 1 } });
  const producer = instrument(s.producer(), options, s.runtime);
  const parent = tracerProvider.getTracer("app").startSpan("checkout");
  const sent = context.with(trace.setSpan(ROOT_CONTEXT, parent), () => {
    return producer.send({ topic: "orders", key: "o-1", value: null, headers: { own: "1" } });
  });
  const { offset } = await s.run(sent);
  assert.equal(offset, 0n);
  const [span] = spans();
  assert.deepEqual([span!.name, span!.kind, span!.parentSpanContext?.spanId], [
    ...["send orders", SpanKind.PRODUCER, parent.spanContext().spanId],
  ]);
  const { "messaging.kafka.cluster.id": clusterId, ...attributes } = span!.attributes;
  assert.equal(typeof clusterId, "string");
  assert.deepEqual(attributes, {
    ...SENT,
    ...SERVER,
    "messaging.operation.type": "send",
    "messaging.client.id": "shop",
    "messaging.destination.name": "orders",
    "messaging.destination.partition.id": "0",
    "messaging.kafka.message.key": "o-1",
    "messaging.kafka.message.tombstone": true,
    "messaging.kafka.offset": 0,
  });
  const [record] = await s.cluster.records("orders");
  const { traceId, spanId } = span!.spanContext();
  assert.deepEqual(record!.headers.map(([name, value]) => [name, text(value)]), [
    ["own", "1"],
    ["traceparent", `00-${traceId}-${spanId}-01`],
  ]);
  await s.run(producer.close());
});

test("otel: a traceparent that the caller has set is not touched, and the span links to it", async (t) => {
  const { options, spans } = sdk(t);
  const s = stage({ topics: { orders: 1 } });
  const producer = instrument(s.producer(), options, s.runtime);
  const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const baggage = propagation.setBaggage(ROOT_CONTEXT, propagation.createBaggage({ tenant: { value: "x" } }));
  const sends = context.with(baggage, () => [
    ...[traceparent, new TextEncoder().encode(traceparent)].map((value) =>
      producer.send({ topic: "orders", value: "v", headers: [["TraceParent", value]] })
    ),
    producer.sendBatch([{ topic: "orders", value: "v", headers: { traceparent } }]).all(),
  ]);
  await s.run(Promise.all(sends));
  for (const record of await s.cluster.records("orders")) {
    const names = record.headers.map(([name]) => name.toLowerCase());
    assert.deepEqual(names, ["traceparent"]);
    assert.equal(text(record.headers[0]![1]), traceparent);
  }
  assert.deepEqual(spans().map(({ links }) => links.map(({ context: { spanId } }) => spanId)), [
    ...[["b7ad6b7169203331"], ["b7ad6b7169203331"], ["b7ad6b7169203331"]],
  ]);
  assert.ok(spans().every((span) => span.parentSpanContext === undefined));
  await s.run(producer.close());
});

test("otel: the context of the application goes along, baggage too, and headers of its names that are there stay", async (t) => {
  const { options } = sdk(t);
  const s = stage({ topics: { orders: 1 } });
  const producer = instrument(s.producer(), options, s.runtime);
  const active = propagation.setBaggage(ROOT_CONTEXT, propagation.createBaggage({ tenant: { value: "x" } }));
  const sends = context.with(active, () => [
    producer.send({ topic: "orders", value: "a" }),
    producer.send({ topic: "orders", value: "b", headers: { baggage: "mine=1" } }),
  ]);
  await s.run(Promise.all(sends));
  const baggage = (await s.cluster.records("orders")).map(({ headers }) =>
    headers.filter(([name]) => name === "baggage")
  );
  assert.deepEqual(baggage.map((pairs) => pairs.map(([, value]) => text(value))), [["tenant=x"], ["mine=1"]]);
  await s.run(producer.close());
});

test("otel: a failure has its type, an exception and the status, by the name of the broker or of the class", async (t) => {
  const { options, spans, points } = sdk(t);
  const s = stage({ topics: { orders: 1 } });
  const producer = instrument(s.producer({ retries: 0 }), options, s.runtime);
  await s.run(producer.send({ topic: "orders", value: "v" }));
  s.cluster.control(Produce, { error: 29 }, { times: 1 });
  await s.failure(producer.send({ topic: "orders", value: "v" }));
  await s.failure(producer.send({ topic: "orders", partition: 7, value: "v" }));
  await s.failure(producer.send({ topic: "orders", value: undefined as never }));
  const [, denied, misplaced] = spans();
  assert.equal(denied!.attributes["error.type"], "TOPIC_AUTHORIZATION_FAILED");
  assert.equal(denied!.attributes["server.address"], "broker-1.test");
  assert.equal(denied!.status.code, SpanStatusCode.ERROR);
  assert.equal(denied!.events[0]!.name, "exception");
  assert.equal(misplaced!.attributes["error.type"], "KafkaError");
  assert.equal(spans()[3]!.attributes["error.type"], "SerializationError");
  const sent = (await points()).filter(({ name }) => name === "messaging.client.sent.messages");
  assert.deepEqual(sent.map(({ value, attributes }) => [value, attributes["error.type"]]), [
    [1, undefined],
    [1, "TOPIC_AUTHORIZATION_FAILED"],
  ], "what has never left is not counted as sent");
  await s.run(producer.close());
});

test("otel: the duration is a histogram in seconds with the buckets of the conventions, the count is one of messages", async (t) => {
  const { options, points } = sdk(t);
  const s = stage({ topics: { orders: 1 }, network: { latencyMs: 10 } });
  const producer = instrument(s.producer(), options, s.runtime);
  await s.run(producer.connect());
  await s.run(producer.partitionsFor("orders"));
  await s.run(producer.send({ topic: "orders", value: "a" }));
  await s.run(producer.sendBatch([{ topic: "orders", value: "b" }, { topic: "orders", value: "c" }]).all());
  const found = await points();
  const duration = found.find(({ name }) => name === "messaging.client.operation.duration")!;
  const { buckets, count, sum } = duration.value as { buckets: { boundaries: number[] }; count: number; sum: number };
  assert.deepEqual(buckets.boundaries, [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]);
  assert.deepEqual([duration.unit, count, Math.round(sum * 1_000)], ["s", 3, 60]);
  const attributes = {
    ...SENT,
    ...SERVER,
    "messaging.destination.name": "orders",
    "messaging.destination.partition.id": "0",
  };
  assert.deepEqual(duration.attributes, { ...attributes, "messaging.operation.type": "send" });
  const sent = found.find(({ name }) => name === "messaging.client.sent.messages")!;
  assert.deepEqual([sent.unit, sent.value, sent.attributes], ["{message}", 3, attributes]);
  await s.run(producer.close());
});

test("otel: a batch call is one span of kind CLIENT, whose context the records carry", async (t) => {
  const { options, spans } = sdk(t);
  const s = stage({ topics: { orders: 1, audit: 1 } });
  const producer = instrument(s.producer(), options, s.runtime);
  const records = function* (): Generator<ProducerRecord> {
    for (const value of ["a", "b"]) yield { topic: "orders", value };
  };
  await s.run(producer.sendBatch(records()).all());
  const [span] = spans();
  assert.deepEqual([span!.name, span!.kind, span!.attributes["messaging.batch.message_count"], span!.links.length], [
    ...["send orders", SpanKind.CLIENT, 2, 0],
  ]);
  for (const { headers } of await s.cluster.records("orders")) {
    assert.equal(text(headers[0]![1]).split("-")[2], span!.spanContext().spanId);
  }
  const results = await s.run(
    Promise.resolve(
      producer.sendBatch([{ topic: "orders", value: "c" }, { topic: "audit", partition: 3, value: "d" }]),
    ),
  );
  assert.deepEqual(results.map(({ status }) => status), ["fulfilled", "rejected"]);
  const mixed = spans()[1]!;
  assert.deepEqual([mixed.name, mixed.status.code, mixed.attributes["error.type"]], [
    "send",
    SpanStatusCode.ERROR,
    "KafkaError",
  ]);
  assert.equal((await s.run(Promise.resolve(producer.sendBatch([])))).length, 0);
  assert.equal(spans().length, 3);
  assert.equal(
    await s.run(Promise.resolve(producer.sendBatch(5 as never)).catch((error: KafkaError) => error.code)),
    "CONFIG",
  );
  await s.run(producer.close());
});

test("otel: with createSpans each record of a batch has a span of its own, to which the call links", async (t) => {
  const { options, spans } = sdk(t);
  const s = stage({ topics: { orders: 1 } });
  const producer = instrument(s.producer(), { ...options, createSpans: true, keys: false }, s.runtime);
  await s.run(producer.sendBatch(["a", "b"].map((value) => ({ topic: "orders", key: "k", value }))).all());
  const [first, second, send] = spans();
  assert.deepEqual(
    [first, second].map((span) => [span!.name, span!.kind, span!.attributes["messaging.operation.type"]]),
    [
      ["create orders", SpanKind.PRODUCER, "create"],
      ["create orders", SpanKind.PRODUCER, "create"],
    ],
  );
  assert.equal(first!.attributes["messaging.kafka.message.key"], undefined);
  assert.deepEqual(
    send!.links.map(({ context: { spanId } }) => spanId),
    [first, second].map((span) => span!.spanContext().spanId),
  );
  const carried = (await s.cluster.records("orders")).map(({ headers }) => text(headers[0]![1]).split("-")[2]);
  assert.deepEqual(carried, [first, second].map((span) => span!.spanContext().spanId));
  await s.run(producer.close());
});

test("otel: produce, streams and transactions are told as well, and callbacks and results are those of the producer", async (t) => {
  const { options, spans } = sdk(t);
  const s = stage({ topics: { orders: 1 } });
  const producer = instrument(s.producer(), options, s.runtime);
  const heard: unknown[] = [];
  const note = (error: KafkaError | null): void => void heard.push(error?.code ?? null);
  assert.equal(producer.produce({ topic: "orders", value: "a" }, note), true);
  void producer.send({ topic: "orders", value: undefined as never }, { onDelivery: note });
  const writer = producer.writable("orders").getWriter();
  void writer.write("b");
  await s.run(writer.close());
  await s.run(producer.flush());
  assert.deepEqual(heard.sort(), ["SERIALIZATION", null].sort());
  assert.deepEqual([producer.isIdempotent(), producer.metrics().records_sent], [true, 2]);
  await s.run(producer.close());
  assert.equal(spans().length, 3);

  const own = new TransactionalProducer({ brokers: s.cluster.bootstrap, transactionalId: "t" }, s.runtime);
  const transactional = instrument(own, options, s.runtime);
  assert.ok(transactional instanceof TransactionalProducer);
  await s.run(transactional.transaction(async (tx) => {
    await tx.send({ topic: "orders", value: "c" });
  }));
  const tx = await s.run(transactional.begin());
  void tx.send({ topic: "orders", value: "d" });
  await s.run(tx.commit());
  await s.run(transactional.close());
  assert.equal(spans().length, 5);
});

test("otel: a producer that is full keeps its record, with headers that can be read once too", (t) => {
  const { options, spans } = sdk(t);
  const recording = new RecordingProducer();
  const producer = instrument(recording, options);
  producer.full = true;
  const headers = [["own", "1"]][Symbol.iterator]() as Iterable<[string, string]>;
  assert.equal(producer.produce({ topic: "orders", value: "a", headers }), false);
  assert.equal(spans().length, 0);
  producer.full = false;
  assert.equal(recording.full, false);
  assert.equal(producer.produce({ topic: "orders", value: "a", headers }), true);
  assert.deepEqual(recording.pending[0]!.headers.map(([name]) => name), ["own"]);
});

test("otel: whatever is sent goes the way that it goes without, and a tracer that throws stops nothing", async (t) => {
  const { options } = sdk(t);
  const s = stage({ topics: { orders: 1 } });
  const producer = instrument(s.producer(), options, s.runtime);
  class Order {
    readonly #id = "o-1";
    get topic(): string {
      return "orders";
    }
    get value(): string {
      return this.#id;
    }
  }
  await s.run(producer.send(new Order()));
  await s.run(producer.sendBatch([new Order()]).all());
  const bad = [undefined, 5, { topic: 5, value: "v" }, { topic: "orders", value: "v", headers: [5] }];
  const plainly = s.producer();
  await s.run(plainly.send({ topic: "orders", value: "v" }));
  for (const record of bad as unknown as ProducerRecord[]) {
    const code = await s.run(producer.send(record).then(() => "sent", (error: KafkaError) => error.code));
    const plain = await s.run(plainly.send(record).then(() => "sent", (error: KafkaError) => error.code));
    assert.deepEqual([code, code === "sent"], [plain, false], JSON.stringify(record));
    await s.run(producer.sendBatch([record]).all().then(() => assert.fail(), () => {}));
  }
  await s.run(producer.close());

  const fail = (): never => {
    throw new RangeError("broken");
  };
  const broken = { getTracer: () => ({ startSpan: fail, startActiveSpan: fail }) };
  const other = instrument(s.producer(), { ...options, tracerProvider: broken }, s.runtime);
  await s.run(other.send({ topic: "orders", value: "v" }));
  await s.run(other.sendBatch([{ topic: "orders", value: "v" }]).all());
  await s.run(other.close());
  assert.equal((await s.cluster.records("orders")).length, 5);
});

test("otel: without an SDK nothing is put into headers, and everything is delivered", async () => {
  const s = stage({ topics: { orders: 1 } });
  const producer = instrument(s.producer(), undefined, s.runtime);
  await s.run(producer.send({ topic: "orders", value: "v" }));
  await s.run(producer.close());
  assert.deepEqual((await s.cluster.records("orders"))[0]!.headers, []);
});

test("otel: options that are unknown or wrong are refused by name", () => {
  const producer = new RecordingProducer();
  for (
    const [options, option] of [
      [{ clientId: "" }, "clientId"],
      [{ tracerProvider: {} }, "tracerProvider"],
      [{ meterProvider: 5 }, "meterProvider"],
      [{ createSpans: 1 }, "createSpans"],
      [{ tracer: {} }, "tracer"],
    ] as const
  ) {
    assert.throws(() => instrument(producer, options as never), { name: "ConfigError", option });
  }
  assert.throws(() => instrument({} as never), { name: "ConfigError", option: "producer" });
});

test("otel: a list of records that breaks off in the middle is refused as it is without", async (t) => {
  const { options } = sdk(t);
  const s = stage({ topics: { orders: 1 } });
  const plainly = s.producer();
  const producer = instrument(s.producer(), options, s.runtime);
  function* brokenOff(reason: unknown): Generator<ProducerRecord> {
    yield { topic: "orders", value: "a" };
    throw reason;
  }
  for (const reason of [new RangeError("row 2 can't be read"), undefined]) {
    const plain = await s.failure(Promise.resolve(plainly.sendBatch(brokenOff(reason))));
    const error = await s.failure(Promise.resolve(producer.sendBatch(brokenOff(reason))));
    assert.deepEqual([error.name, error.cause], [plain.name, plain.cause]);
    await s.failure(producer.sendBatch(brokenOff(reason)).all());
  }
  for (const odd of [undefined, 5, "text", { topic: "orders", messages: [] }]) {
    const plain = await s.failure(Promise.resolve(plainly.sendBatch(odd as never)));
    const error = await s.failure(Promise.resolve(producer.sendBatch(odd as never)));
    assert.equal(error.message, plain.message);
  }
  assert.deepEqual(await s.cluster.records("orders"), []);
  await s.run(plainly.close());
  await s.run(producer.close());
});

test("otel: a send of a transaction that nobody awaits rejects nothing that the runtime reports", async (t) => {
  const { options, spans } = sdk(t);
  const unhandled = unhandledIn(t);
  const s = stage({ topics: { orders: 1 } });
  const own = new TransactionalProducer({ brokers: s.cluster.bootstrap, transactionalId: "t" }, s.runtime);
  const producer = instrument(own, options, s.runtime);
  const error = await s.failure(producer.transaction((tx) => {
    void tx.send({ topic: "orders", value: undefined as never });
    void tx.topic("orders", { value: json<unknown>() }).send({ value: 1n });
  }));
  assert.equal(error.code, "SERIALIZATION");
  const tx = await s.run(producer.begin());
  const sent = tx.send({ topic: "orders", value: undefined as never });
  assert.equal((await s.failure(sent)).code, "SERIALIZATION");
  await s.run(tx.abort());
  void tx.send({ topic: "orders", value: "too late" });
  await s.run(producer.close());
  for (let turns = 0; turns < 5; turns++) await turn();
  assert.deepEqual(unhandled, []);
  assert.ok(spans().every(({ name }) => name === "send orders"));
});

test("otel: what is sent by the handle of a topic is told as well", async (t) => {
  const { options, spans } = sdk(t);
  const s = stage({ topics: { orders: 1 } });
  const producer = instrument(s.producer(), options, s.runtime);
  const orders = producer.topic("orders", { value: json<{ readonly cents: number }>() });
  await s.run(orders.send({ key: "o-1", value: { cents: 5 } }));
  await s.run(Promise.resolve(orders.sendBatch([{ value: { cents: 6 } }])));
  assert.equal(orders.produce({ value: { cents: 7 } }), true);
  await s.run(producer.flush());
  assert.deepEqual(spans().map(({ name, kind }) => [name, kind]), [
    ["send orders", SpanKind.PRODUCER],
    ["send orders", SpanKind.CLIENT],
    ["send orders", SpanKind.PRODUCER],
  ]);
  const stored = await s.cluster.records("orders");
  assert.deepEqual(stored.map(({ value }) => text(value)), ['{"cents":5}', '{"cents":6}', '{"cents":7}']);
  assert.ok(stored.every(({ headers }) => headers[0]?.[0] === "traceparent"));
  assert.throws(() => producer.topic(""), { name: "ConfigError", option: "topic" });
  const serializing = instrument(s.producer({ valueSerializer: json() }), options, s.runtime);
  assert.throws(() => serializing.topic("orders", { value: json() }), { name: "ConfigError", option: "value" });
  await s.run(producer.close());
  await s.run(serializing.close());
});

test("otel: a key and a traceparent that are bytes of another realm are read as others are", async (t) => {
  const { options, spans } = sdk(t);
  const s = stage({ topics: { orders: 1 } });
  const producer = instrument(s.producer(), options, s.runtime);
  const bytes = (content: string): Uint8Array => ofAnotherRealm(new TextEncoder().encode(content));
  const traceparent = bytes("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  await s.run(producer.send({ topic: "orders", key: bytes("o-1"), value: "v", headers: { traceparent } }));
  await s.run(producer.close());
  assert.equal(spans()[0]!.attributes["messaging.kafka.message.key"], "o-1");
  assert.deepEqual(spans()[0]!.links.map((link) => link.context.spanId), ["b7ad6b7169203331"]);
});

test("otel: a topic that a producer's own class makes keeps its name and serializers", async (t) => {
  const { options, spans } = sdk(t);
  const s = stage({ topics: { "prod.orders": 1 } });
  class Shop extends Producer {
    override topic(name: string): never {
      return super.topic(`prod.${name}`, { value: json<unknown>() }) as never;
    }
  }
  const producer = instrument(new Shop({ brokers: s.cluster.bootstrap }, s.runtime), options, s.runtime);
  await s.run((producer.topic("orders") as TopicHandle<string, unknown>).send({ value: { cents: 5 } }));
  // What sends by another producer does so as it would without.
  const inner = s.producer();
  const outer = {
    send: (record: ProducerRecord) => inner.send({ ...record, topic: `prod.${record.topic}` }),
    topic: (name: string) => inner.topic(`prod.${name}`),
  };
  await s.run(instrument(outer, options, s.runtime).topic("orders").send({ value: "a" }));
  // Twice around: told twice.
  const twice = instrument(instrument(inner, options, s.runtime), options, s.runtime);
  await s.run(twice.topic("prod.orders").send({ value: "b" }));
  const stored = await s.cluster.records("prod.orders");
  assert.deepEqual(stored.map(({ value }) => text(value)), ['{"cents":5}', "a", "b"]);
  assert.deepEqual(spans().map(({ name }) => name), ["send prod.orders", "send prod.orders", "send prod.orders"]);
  await s.run(inner.close());
  await s.run(producer.close());
});
