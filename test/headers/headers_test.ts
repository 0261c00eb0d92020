import assert from "node:assert/strict";
import {
  type CloudEvent,
  deadLetterHeaders,
  decodeCloudEvent,
  encodeCloudEvent,
  type HeaderPair,
  outboxRecord,
  readDeadLetter,
  readRequest,
  replyHeaders,
  requestHeaders,
} from "../../src/headers/mod.ts";
import golden from "../golden/app_headers.json" with { type: "json" };
import { ofAnotherRealm } from "../another_realm.ts";
import { test } from "../harness.ts";
import { fromHex } from "../protocol/golden.ts";

type Pairs = (readonly [string, string])[];

const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const inHex = (headers: readonly HeaderPair[]): Pairs => headers.map(([name, value]) => [name, hex(value!)]);
const wanted = (headers: readonly (readonly string[])[]): Pairs => headers.map(([name, value]) => [name!, value!]);
const read = (headers: readonly (readonly string[])[]): HeaderPair[] =>
  headers.map(([name, value]) => [name!, fromHex(value!)]);
const text = (bytes: Uint8Array | null): string => new TextDecoder().decode(bytes!);

const JAVA = {
  name: "java.lang.IllegalStateException",
  message: "no such table: ümlaut",
  stack: "java.lang.IllegalStateException: no such table: ümlaut\n\tat a.B.c(B.java:7)\n",
};
const ORIGIN = { topic: "orders", partition: 3, offset: 9007199254740993n };

const EVENT: CloudEvent = {
  ...{ id: "1-ü", source: "/shop", type: "order.placed", subject: "o-1", time: "2026-01-02T03:04:05.678Z" },
  ...{ dataschema: "https://example.com/order.json", datacontenttype: "application/json" },
  ...{ partitionkey: "o-1", tries: 3, test: true, data: { total: 5 } },
};

test("dead letters: headers of Connect are those that its reporter writes", () => {
  const where = { connector: "sink", taskId: 4, stage: "VALUE_CONVERTER", className: "java.lang.Integer" };
  const headers = deadLetterHeaders("connect", { ...ORIGIN, ...where, error: JAVA });
  assert.deepEqual(inHex(headers), wanted(golden.connect.headers));
});

test("dead letters: headers of the share groups of Kafka 4.4 are those that its broker writes", () => {
  const headers = deadLetterHeaders("kafka", { ...ORIGIN, group: "shippers", deliveryCount: 5, error: JAVA });
  assert.deepEqual(inHex(headers), wanted(golden.kafka.headers));
});

test("dead letters: headers of Spring are those that its recoverer writes, numbers as bytes", () => {
  const error = {
    name: "org.springframework.kafka.listener.ListenerExecutionFailedException",
    message: `Listener failed; ${JAVA.message}`,
    stack:
      "org.springframework.kafka.listener.ListenerExecutionFailedException: Listener failed\n\tat a.B.c(B.java:7)\n" +
      "Caused by: java.lang.IllegalStateException: no such table: ümlaut\n\t... 1 more\n",
    cause: JAVA,
  };
  const headers = deadLetterHeaders("spring", { ...ORIGIN, timestamp: 1700000000123, group: "shippers", error });
  assert.deepEqual(inHex(headers), wanted(golden.spring.headers));
});

test("dead letters: what each dialect has written is read again, and a letter that died twice tells of the last time", () => {
  const connect = read(golden.connect.headers);
  assert.deepEqual(readDeadLetter(connect), {
    ...{ dialect: "connect", ...ORIGIN, errorName: JAVA.name, errorMessage: JAVA.message, stack: JAVA.stack },
  });
  const kafka = readDeadLetter([...connect, ...read(golden.kafka.headers)])!;
  assert.deepEqual(kafka, {
    ...{ dialect: "kafka", ...ORIGIN, group: "shippers", deliveryCount: 5, errorMessage: JAVA.message },
  });
  const spring = readDeadLetter(read(golden.spring.headers))!;
  assert.deepEqual([spring.dialect, spring.topic, spring.partition, spring.offset, spring.timestamp, spring.group], [
    ...["spring", "orders", 3, 9007199254740993n, 1700000000123, "shippers"],
  ]);
  const again = readDeadLetter([...connect, ...deadLetterHeaders("connect", { topic: "retries", partition: 0 })]);
  assert.deepEqual([again!.topic, again!.partition], ["retries", 0]);
  assert.equal(readDeadLetter([["own", null]]), undefined);
  assert.equal(readDeadLetter(undefined), undefined);
  const broken = readDeadLetter({ "__connect.errors.topic": "t", "__connect.errors.offset": "9".repeat(40) })!;
  assert.deepEqual([broken.topic, broken.offset], ["t", undefined]);
  assert.equal(readDeadLetter([["kafka_dlt-original-topic", null], ["kafka_dlt-original-offset", null]]), undefined);
});

test("dead letters: whatever was thrown is written, long texts are cut, and the stack can be left out", () => {
  const message = (error: unknown): string => {
    const headers = deadLetterHeaders("connect", { topic: "t", error });
    return text(headers.find(([name]) => name.endsWith("exception.message"))![1]);
  };
  assert.equal(message("plain"), "plain");
  assert.equal(message(5), "5");
  assert.equal(message(null), "null");
  assert.equal(message({}), "an object");
  const hostile = {
    get message(): string {
      throw new RangeError("no");
    },
    get cause(): unknown {
      throw new RangeError("no");
    },
  };
  assert.equal(message(hostile), "an object");
  assert.equal(deadLetterHeaders("spring", { topic: "t", error: hostile }).length, 3);
  assert.equal(message(new RangeError("x".repeat(20_000))).length, 10_000);
  const names = deadLetterHeaders("connect", { topic: "t", error: new RangeError("x"), stack: false }).map(([name]) =>
    name
  );
  assert.ok(!names.some((name) => name.includes("stacktrace")));
  assert.deepEqual(deadLetterHeaders("kafka", { topic: "t" }).length, 1);
});

test("dead letters: fields that are wrong or unknown are refused by name", () => {
  const wrong: Record<string, unknown>[] = [
    {},
    { topic: "" },
    { topic: "t", partition: -1 },
    { topic: "t", partition: 1.5 },
    { topic: "t", offset: 1.5 },
    { topic: "t", offset: 2n ** 63n },
    { topic: "t", timestamp: "now" },
    { topic: "t", timestampType: "create" },
    { topic: "t", group: 5 },
    { topic: "t", partitions: 1 },
    { topic: "t", stack: 1 },
  ];
  for (const letter of wrong) {
    const option = Object.keys(letter).at(-1) ?? "topic";
    assert.throws(() => deadLetterHeaders("spring", letter as never), { name: "ConfigError", option });
  }
  assert.throws(() => deadLetterHeaders("Spring" as never, { topic: "t" }), { name: "ConfigError", option: "dialect" });
  assert.throws(() => deadLetterHeaders("spring", null as never), { name: "ConfigError" });
  assert.throws(() => readDeadLetter(5 as never), { name: "ConfigError", option: "headers" });
});

test("dead letters: a number at its bound is taken, one beyond is not", () => {
  const bounds: Record<string, [least: number | bigint, most: number | bigint]> = {
    partition: [0, 2_147_483_647],
    deliveryCount: [0, 2_147_483_647],
    taskId: [0, 2_147_483_647],
    offset: [-(2n ** 63n), 2n ** 63n - 1n],
    timestamp: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  };
  for (const [option, [least, most]] of Object.entries(bounds)) {
    const one = typeof least === "bigint" ? 1n : 1;
    const letter = (value: unknown) => () => deadLetterHeaders("spring", { topic: "t", [option]: value });
    for (const value of [least, most]) assert.doesNotThrow(letter(value), `${option} ${value}`);
    for (const value of [(least as number) - (one as number), (most as number) + (one as number)]) {
      assert.throws(letter(value), { name: "ConfigError", option }, `${option} ${value}`);
    }
  }
});

test("requests: headers are those of Spring, and a reply carries the id back", () => {
  const correlationId = fromHex("000102030405060708090a0b0c0d0eff");
  const headers = requestHeaders({ correlationId, replyTopic: "replies" });
  assert.deepEqual(inHex(headers), wanted(golden.request.headers));
  const placed = requestHeaders({ correlationId, replyTopic: "replies", replyPartition: 258 });
  assert.deepEqual(placed[1], ["kafka_replyPartition", Uint8Array.of(0, 0, 1, 2)]);
  const request = readRequest(placed)!;
  assert.deepEqual(request, { correlationId, replyTopic: "replies", replyPartition: 258 });
  assert.deepEqual(replyHeaders(request), [["kafka_correlationId", correlationId]]);
  assert.deepEqual(readRequest(replyHeaders(request)), { correlationId });
});

test("requests: the id may be text in a header of another name, and what carries none is no request", () => {
  const options = { correlationHeader: "correlation-id" };
  const headers = requestHeaders({ correlationId: "abc-123", replyTopic: "responses" }, options);
  assert.deepEqual(headers.map(([name]) => name), ["kafka_replyTopic", "correlation-id"]);
  assert.equal(text(readRequest(headers, options)!.correlationId), "abc-123");
  assert.equal(readRequest(headers), undefined);
  assert.equal(readRequest([["kafka_correlationId", null]]), undefined);
  const odd = { kafka_correlationId: "x", kafka_replyPartition: Uint8Array.of(1), kafka_replyTopic: "" };
  assert.deepEqual(Object.keys(readRequest(odd)!), ["correlationId"]);
  for (
    const [request, option] of [
      [{ correlationId: "", replyTopic: "r" }, "correlationId"],
      [{ correlationId: "x" }, "replyTopic"],
      [{ correlationId: "x", replyTopic: "r", replyPartition: -1 }, "replyPartition"],
      [{ correlationId: "x", replyTopic: "r", topic: "t" }, "topic"],
    ] as const
  ) {
    assert.throws(() => requestHeaders(request as never), { name: "ConfigError", option });
  }
  assert.throws(() => readRequest(headers, { header: "x" } as never), { name: "ConfigError", option: "header" });
});

test("outbox: topic, key and headers of a row are those of the event router of Debezium", () => {
  const row = { id: 7n, aggregatetype: "order", aggregateid: 42, type: "OrderPlaced", payload: { total: 5 } };
  const { topic, key, value, headers } = outboxRecord(row);
  assert.deepEqual([topic, key, value], ["outbox.event.order", "42", '{"total":5}']);
  assert.deepEqual(inHex(headers), [["id", "37"]]);
  const own = outboxRecord(row, { topic: "shop.${routedByValue}", typeHeader: "eventType" });
  assert.equal(own.topic, "shop.order");
  assert.equal(text(own.headers[1]![1]), "OrderPlaced");
  assert.equal(outboxRecord({ ...row, payload: null }).value, null);
  assert.equal(outboxRecord({ ...row, aggregatetype: "$&" }).topic, "outbox.event.$&");
  for (
    const [part, option] of [
      [{ id: "" }, "id"],
      [{ aggregatetype: undefined }, "aggregatetype"],
      [{ aggregateid: null }, "aggregateid"],
      [{ payload: undefined }, "payload"],
    ] as const
  ) {
    assert.throws(() => outboxRecord({ ...row, ...part } as never), { name: "ConfigError", option });
  }
  assert.throws(() => outboxRecord({ ...row, payload: { n: 1n } }), { name: "SerializationError" });
});

test("CloudEvents: binary mode writes the headers and the value that the SDK of CloudEvents writes", () => {
  const { key, value, headers } = encodeCloudEvent(EVENT);
  // The SDK has its extensions in no order.
  const sorted = (pairs: Pairs): Pairs => [...pairs.slice(0, 8), ...pairs.slice(8).sort()];
  assert.deepEqual(sorted(inHex(headers)), sorted(wanted(golden.binary.headers)));
  assert.equal(hex(value!), golden.binary.value);
  assert.equal(key, "o-1");
  const small = encodeCloudEvent({ id: "2", source: "/shop", type: "order.gone" });
  assert.deepEqual(inHex(small.headers), wanted(golden.small.headers));
  assert.deepEqual([small.key, small.value], [null, null]);
});

test("CloudEvents: structured mode writes the event as JSON, as the SDK of CloudEvents does", () => {
  const { value, headers } = encodeCloudEvent(EVENT, { mode: "structured" });
  assert.deepEqual(JSON.parse(text(value)), JSON.parse(text(fromHex(golden.structured.value))));
  assert.equal(text(headers[0]![1]), "application/cloudevents+json; charset=UTF-8");
  const bytes = encodeCloudEvent({ ...EVENT, datacontenttype: "image/png", data: Uint8Array.of(1, 2) }, {
    mode: "structured",
  });
  assert.equal(JSON.parse(text(bytes.value)).data_base64, "AQI=");
  const json = encodeCloudEvent({ ...EVENT, data: '{"total":5}' }, { mode: "structured" });
  assert.deepEqual(JSON.parse(text(json.value)).data, { total: 5 });
  const broken = { ...EVENT, data: "{" };
  assert.throws(() => encodeCloudEvent(broken, { mode: "structured" }), { name: "SerializationError" });
});

test("CloudEvents: what the SDK of CloudEvents has written is read, in both modes", () => {
  const { partitionkey, tries, test: flag, ...fixed } = EVENT;
  const binary = decodeCloudEvent({ headers: read(golden.binary.headers), value: fromHex(golden.binary.value) });
  assert.deepEqual({ ...binary }, { ...fixed, specversion: "1.0", partitionkey, tries: "3", test: "true" });
  const structured = decodeCloudEvent({
    headers: read(golden.structured.headers),
    value: fromHex(golden.structured.value),
  });
  assert.deepEqual({ ...structured }, { ...fixed, specversion: "1.0", partitionkey, tries, test: flag });
  const small = decodeCloudEvent({ headers: read(golden.small.headers), value: null });
  assert.deepEqual({ ...small }, { specversion: "1.0", id: "2", source: "/shop", type: "order.gone" });
});

test("CloudEvents: text, bytes and JSON come back as they were, with their content type", () => {
  const data: [unknown, string | undefined][] = [
    ["plain", "text/plain"],
    [Uint8Array.of(0, 255), "application/octet-stream"],
    [[1, { a: null }], undefined],
    [false, "application/problem+json"],
  ];
  for (const [value, datacontenttype] of data) {
    for (const mode of ["binary", "structured"] as const) {
      const event = { id: "1", source: "s", type: "t", datacontenttype, data: value };
      assert.deepEqual(decodeCloudEvent(encodeCloudEvent(event, { mode })).data, value, mode);
    }
  }
});

test("CloudEvents: attributes that are missing, wrong or have no legal name are refused by name", () => {
  const wrong: [Record<string, unknown>, string][] = [
    [{ id: "" }, "id"],
    [{ source: undefined }, "source"],
    [{ type: 5 }, "type"],
    [{ specversion: "0.3" }, "specversion"],
    [{ time: "yesterday" }, "time"],
    [{ time: new Date(NaN) }, "time"],
    [{ subject: "" }, "subject"],
    [{ traceParent: "x" }, "event"],
    [{ tries: 1.5 }, "tries"],
    [{ tries: 2 ** 31 }, "tries"],
    [{ tries: -(2 ** 31) - 1 }, "tries"],
    [{ nested: {} }, "nested"],
  ];
  for (const [part, option] of wrong) {
    assert.throws(() => encodeCloudEvent({ ...EVENT, ...part }), { name: "ConfigError", option }, option);
  }
  assert.throws(() => encodeCloudEvent(EVENT, { mode: "Binary" as never }), { name: "ConfigError", option: "mode" });
  assert.throws(() => encodeCloudEvent({ ...EVENT, data: () => {} }), { name: "SerializationError" });
  assert.throws(() => encodeCloudEvent({ ...EVENT, data: { n: 1n } }), { name: "SerializationError" });
  assert.equal(text(encodeCloudEvent({ ...EVENT, seen: new Date(0) }).headers.at(-1)![1]), "1970-01-01T00:00:00.000Z");
});

test("CloudEvents: a value that comes as text is read as its bytes are", () => {
  for (const mode of ["binary", "structured"] as const) {
    const { headers, value } = encodeCloudEvent(EVENT, { mode });
    assert.deepEqual(decodeCloudEvent({ headers, value: text(value) }), decodeCloudEvent({ headers, value }));
  }
  for (const value of [5, undefined, [1]]) {
    const { headers } = encodeCloudEvent(EVENT);
    assert.throws(() => decodeCloudEvent({ headers, value: value as never }), { option: "value" });
  }
});

test("CloudEvents: a whole number of 32 bits is an attribute, the least and the most too", () => {
  for (const tries of [-(2 ** 31), -1, 0, 2 ** 31 - 1]) {
    assert.equal(
      text(encodeCloudEvent({ ...EVENT, tries }).headers.find(([name]) => name === "ce_tries")![1]),
      `${tries}`,
    );
  }
});

test("CloudEvents: a strict reader refuses what a lenient one takes, and neither takes what has no id", () => {
  const headers = { ce_specversion: "1.0", ce_id: "1", ce_source: "s", ce_type: "t" };
  const lenient = (more: object, value: Uint8Array | null = null): Record<string, unknown> => {
    const record = { headers: Array.isArray(more) ? more : { ...headers, ...more }, value };
    assert.throws(() => decodeCloudEvent(record), { name: "SerializationError" });
    return decodeCloudEvent(record, { strict: false });
  };
  assert.equal(lenient({ ce_specversion: "1.1" })["specversion"], "1.1");
  assert.equal(lenient({ ce_time: "noon" })["time"], "noon");
  assert.equal(lenient({ ce_Odd_name: "x" })["Odd_name"], "x");
  assert.equal(lenient({ ce_subject: null })["subject"], undefined);
  assert.equal(lenient([...Object.entries(headers), ["ce_id", "2"]])["id"], "2");
  assert.equal(lenient({ ce_subject: Uint8Array.of(255) })["subject"], "\ufffd");
  const bytes = Uint8Array.of(123);
  assert.deepEqual(lenient({ "content-type": "application/json" }, bytes)["data"], bytes);
  assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
  assert.equal(Object.hasOwn(lenient({ ["ce___proto__"]: "x" }), "__proto__"), true);
  const structured = { "content-type": "application/cloudevents+json" };
  const json = (event: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(event));
  for (
    const record of [
      { headers: {}, value: null },
      { headers: { ...headers, ce_id: "" }, value: null },
      { headers: structured, value: null },
      { headers: structured, value: json([]) },
      { headers: structured, value: json({ specversion: "1.0", id: "1", source: "s" }) },
      { headers: structured, value: json({ specversion: "1.0", id: "1", source: "s", type: "t", data_base64: "%" }) },
      {
        headers: structured,
        value: json({ specversion: "1.0", id: "1", source: "s", type: "t", data: 1, data_base64: "" }),
      },
      { headers: { "content-type": "application/cloudevents-batch+json" }, value: json([]) },
    ]
  ) {
    assert.throws(() => decodeCloudEvent(record, { strict: false }), {
      name: "SerializationError",
      code: "SERIALIZATION",
    });
  }
  assert.throws(() => decodeCloudEvent({ value: json({}) }, { lenient: true } as never), { name: "ConfigError" });
  assert.throws(() => decodeCloudEvent({ value: 5 as never }), { name: "ConfigError", option: "value" });
});

test("headers: bytes of another realm are bytes, wherever bytes are taken", () => {
  const bytes = ofAnotherRealm(Uint8Array.of(0xff, 1));
  const row = { id: 1, aggregatetype: "order", aggregateid: 1, payload: bytes };
  assert.equal(outboxRecord(row).value, bytes);
  const event = { id: "1", source: "/s", type: "t", data: bytes, extra: bytes };
  const binary = encodeCloudEvent(event);
  assert.equal(binary.value, bytes);
  assert.deepEqual(binary.headers.map(([name]) => name).includes("content-type"), false);
  const structured = encodeCloudEvent(event, { mode: "structured" });
  assert.equal(JSON.parse(text(structured.value)).data_base64, "/wE=");
  const decoded = decodeCloudEvent({ headers: binary.headers, value: binary.value });
  assert.deepEqual([decoded.data, decoded.extra], [bytes, "/wE="]);
  const headers = requestHeaders({ correlationId: bytes, replyTopic: "r" });
  assert.deepEqual([...readRequest(headers)!.correlationId], [0xff, 1]);
});
