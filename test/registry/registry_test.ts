/** A schema registry: what it is asked, what it answers, and what becomes of values by it. */

import assert from "node:assert/strict";
import { Producer } from "../../mod.ts";
import { ConfigError, KafkaError } from "../../src/errors.ts";
import { Reader } from "../../src/reader/mod.ts";
import {
  avro,
  avroFormat,
  createSchemaRegistry,
  jsonSchema,
  jsonSchemaFormat,
  type SchemaRegistryOptions,
} from "../../src/registry/mod.ts";
import { EmbeddedCluster } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";
import { FakeRegistry, guidOf, json, textual } from "./fake.ts";

const ORDER = {
  type: "record",
  name: "Order",
  namespace: "shop",
  fields: [{ name: "id", type: "string" }, { name: "cents", type: "long", default: 0 }],
};

interface Order {
  readonly id: string;
  readonly cents?: bigint | number;
}

const order = avro<Order>(ORDER);
const hexOf = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const fake = new FakeRegistry();

function stage(options: Partial<SchemaRegistryOptions> = {}, registry = new FakeRegistry()) {
  const { fetch } = registry;
  return { fake: registry, registry: createSchemaRegistry({ url: "http://registry:8081", fetch, ...options }) };
}

async function failure(promise: Promise<unknown>): Promise<KafkaError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof KafkaError, String(error));
    return error;
  }
  throw new Error("It was not rejected, wanted an error");
}

test("registry: a record is written with the id of its schema, and read back from the cluster", async (t) => {
  const cluster = new EmbeddedCluster({ topics: { orders: 1 } });
  const common = { brokers: cluster.bootstrap, connect: cluster.sockets };
  const { fake, registry } = stage();
  const valueSerializer = await registry.serializer({ topic: "orders", codec: order });
  const producer = new Producer({ ...common, valueSerializer });
  t.after(() => producer.close());
  await producer.sendBatch([{ topic: "orders", value: { id: "a", cents: 5n } }, { topic: "orders", value: null }])
    .all();
  await producer.send({ topic: "orders", value: { id: "b" } });
  assert.equal(fake.asked.length, 1);
  const reader = new Reader(common);
  t.after(() => reader.close());
  reader.assign([{ topic: "orders", partition: 0 }]);
  const deserialize = registry.deserializer({ formats: [avroFormat()] });
  const seen: unknown[] = [];
  for await (const { headers, value } of reader) {
    if (seen.length === 0) assert.equal(hexOf(value!), "000000000102610a");
    if (seen.push(await deserialize(value, { headers })) === 3) break;
  }
  assert.deepEqual(seen, [{ id: "a", cents: 5n }, null, { id: "b", cents: 0n }]);
  assert.deepEqual(fake.asked.map(({ method, url }) => `${method} ${url}`), [
    "POST http://registry:8081/subjects/orders-value/versions",
    "GET http://registry:8081/schemas/ids/1",
  ]);
});

test("registry: format 1 leaves the payload alone, and tells the schema in a header", async () => {
  const { registry } = stage();
  const serialize = await registry.serializer({ topic: "orders", codec: order, format: "v1", part: "key" });
  assert.deepEqual(Object.keys(serialize.headers), ["__key_schema_id"]);
  assert.equal(hexOf(serialize.headers.__key_schema_id!), `01${guidOf(1).replaceAll("-", "")}`);
  const bytes = serialize({ id: "a" }, { topic: "orders", part: "key" });
  assert.equal(hexOf(bytes), "026100");
  const deserialize = registry.deserializer({ formats: [avroFormat()] });
  const headers = Object.entries(serialize.headers);
  assert.deepEqual(await deserialize(bytes, { part: "key", headers }), { id: "a", cents: 0n });
  const old = stage({}, new FakeRegistry({ hasGuids: false }));
  const error = await failure(old.registry.serializer({ topic: "orders", codec: order, format: "v1" }));
  assert.match(error.message, /^Use the format "v0": the registry tells no GUID, /);
});

test("registry: subjects are named by topic, by record, by both, or by hand", async () => {
  const { fake, registry } = stage();
  const topic = "orders";
  await registry.serializer({ topic, codec: order, part: "key" });
  await registry.serializer({ codec: order, strategy: "recordName" });
  await registry.serializer({ topic, codec: order, strategy: "topicRecordName" });
  await registry.serializer({ codec: order, subject: "a/b c" });
  assert.deepEqual(fake.asked.map(({ url }) => url.slice("http://registry:8081/subjects/".length)), [
    ...["orders-key/versions", "shop.Order/versions", "orders-shop.Order/versions", "a%2Fb%20c/versions"],
  ]);
  assert.match(
    (await failure(registry.serializer({ codec: order }))).message,
    /^Name the topic for the strategy "topicName"/,
  );
  const nameless = registry.serializer({ codec: avro("string"), strategy: "recordName" });
  assert.match(
    (await failure(nameless)).message,
    /^Use "topicName", or name the "subject" itself: the schema has no name/,
  );
});

test("registry: a serializer refuses another topic than the one of its subject", async () => {
  const { registry } = stage();
  const serialize = await registry.serializer({ topic: "orders", codec: order });
  assert.throws(
    () => serialize({ id: "a" }, { topic: "others", part: "value" }),
    /^SerializationError: Make another serializer for the values of topic "others": this one is for the values of "orders"/,
  );
  const free = await registry.serializer({ codec: order, strategy: "recordName" });
  assert.equal(hexOf(free({ id: "a" }, { topic: "others", part: "value" })), "0000000001026100");
});

test("registry: each schema is asked for once, and a subject by one request at a time", async () => {
  const { fake, registry } = stage();
  const other = avro({ type: "record", name: "shop.Other", fields: [] });
  await Promise.all(
    [order, order, other, order, other].map((codec) =>
      registry.serializer({ subject: "orders-value", codec: codec as typeof order })
    ),
  );
  assert.deepEqual([fake.asked.length, fake.most], [2, 1]);
  await Promise.all(["a", "b", "c"].map((subject) => registry.serializer({ subject, codec: order })));
  assert.ok(fake.most > 1);
  const before = fake.asked.length;
  await Promise.all([1, 1, 2].map((id) => registry.schemaById(id)));
  assert.equal(fake.asked.length, before + 2);
});

test("registry: what has failed is asked again, and does not hold up what comes behind it", async () => {
  const { fake, registry } = stage({ retries: 0 });
  fake.override = () => json(500, { error_code: 50001, message: "Error in the backend data store" });
  const [one, two] = await Promise.all([1, 2].map((n) => {
    return failure(registry.register("s", avro({ type: "fixed", name: `F${n}`, size: n })));
  }));
  assert.deepEqual([one!.errorCode, two!.errorCode, one!.retriable], [50001, 50001, true]);
  fake.override = () => undefined;
  assert.equal((await registry.register("s", avro({ type: "fixed", name: "F1", size: 1 }))).id, 1);
});

test("registry: each status is told as what it means, the first and the last of its kind too", async () => {
  const { fake, registry } = stage({ retries: 0 });
  const elsewhere = /answered with status \d+: set "url" to where the registry is itself\.$/;
  const table: [statuses: number[], name: string, retriable: boolean, message: RegExp][] = [
    // A browser shows a redirection as 0.
    [[0, 199, 300, 301, 399], "KafkaError", false, elsewhere],
    [[400, 404, 407, 409, 428, 430, 499], "KafkaError", false, /answered with \d+: Because\.$/],
    [[401], "AuthenticationError", false, /answered with 401: Because\.$/],
    [[403], "AuthorizationError", false, /answered with 403: Because\.$/],
    [[408, 429, 500, 503, 599], "KafkaError", true, /answered with \d+: Because\.$/],
  ];
  for (const [statuses, name, retriable, message] of table) {
    for (const status of statuses) {
      fake.override = () => json(status, { message: "Because" });
      const error = await failure(registry.register("s", order));
      assert.deepEqual([error.name, error.errorCode, error.retriable], [name, status, retriable], String(status));
      assert.match(error.message, message);
    }
  }
  for (const status of [200, 299]) {
    fake.override = () => json(status, { id: 7 });
    assert.equal((await registry.register(`s-${status}`, order)).id, 7);
    fake.override = () => textual(status, "");
    assert.match((await failure(registry.register(`t-${status}`, order))).message, /something that is no JSON\.$/);
  }
});

test("registry: a schema must be there when it is not to be registered", async () => {
  const { fake, registry } = stage();
  const missing = await failure(registry.serializer({ topic: "orders", codec: order, register: false }));
  assert.deepEqual([missing.code, missing.errorCode, missing.retriable], ["SCHEMA_REGISTRY", 40401, false]);
  assert.equal(
    missing.message,
    "Looking up a schema of subject \"orders-value\" was answered with 40401: Subject 'orders-value' not found.",
  );
  await registry.register("orders-value", order, { normalize: true });
  assert.match(fake.asked.at(-1)!.url, /\/subjects\/orders-value\/versions\?normalize=true$/);
  const found = await registry.serializer({ topic: "orders", codec: order, register: false });
  assert.deepEqual(found.schema, { id: 1, guid: guidOf(1), version: 1 });
  assert.deepEqual((await registry.version("orders-value")).schema, JSON.stringify(ORDER));
  const conflict = await failure(registry.register("orders-value", { schemaType: "AVRO", schema: '"incompatible"' }));
  assert.deepEqual([conflict.errorCode, conflict.retriable], [409, false]);
});

test("registry: who asks is told by Basic or Bearer, and stands in no error", async () => {
  const secret = "hunter2-and-more";
  const basic = stage({ basic: { username: "key", password: secret } });
  await basic.registry.register("s", order);
  assert.equal(basic.fake.asked[0]!.headers.authorization, `Basic ${btoa(`key:${secret}`)}`);
  let asked = 0;
  const bearer = stage({ bearer: () => Promise.resolve(`${secret}-${++asked}`), retries: 0 });
  await bearer.registry.register("s", order);
  assert.equal(bearer.fake.asked[0]!.headers.authorization, `Bearer ${secret}-1`);
  const { fake, registry } = stage({ bearer: secret, headers: { "x-tenant": "tenant-secret" }, retries: 0 });
  const answers = [
    json(401, { error_code: 40101, message: `Not you, ${secret}` }),
    json(403, { error_code: 40301, message: `No, tenant-secret` }),
    new TypeError(`fetch failed with Authorization: Bearer ${secret}`),
    textual(302, secret),
  ];
  const names: string[] = [];
  for (const answer of answers) {
    fake.override = () => answer;
    const error = await failure(registry.register("s", order));
    names.push(`${error.name} ${error.errorCode}`);
    const text = `${error.stack} ${JSON.stringify(error)} ${String(error.cause)}`;
    assert.ok(!text.includes("secret") && !text.includes("hunter2"), text);
  }
  assert.deepEqual(names, [
    "AuthenticationError 40101",
    "AuthorizationError 40301",
    "ConnectionError undefined",
    "KafkaError 302",
  ]);
});

test("registry: a request ends with its time, also where nobody heeds the signal", async () => {
  const hung = () => new Promise<never>(() => {});
  for (const options of [{ fetch: hung }, { bearer: hung }]) {
    const { registry } = stage({ ...options, requestTimeoutMs: 20, retries: 0 });
    const error = await failure(registry.register("s", order));
    assert.equal(error.message, 'Registering a schema for subject "s" took longer than requestTimeoutMs (20 ms).');
  }
  const bearer = (): string => {
    throw new TypeError("hunter2");
  };
  const error = await failure(stage({ bearer, retries: 0 }).registry.register("s", order));
  assert.deepEqual([error.name, error.code], ["AuthenticationError", "TOKEN_UNAVAILABLE"]);
  assert.ok(!`${error.stack}`.includes("hunter2"));
});

test("registry: the next address is asked when one can not be reached", async () => {
  const { fake, registry } = stage({ url: ["http://one:1", "http://two:2/base/"] });
  fake.override = ({ url }) => url.startsWith("http://one") ? new TypeError("refused") : json(200, { id: 9 });
  assert.equal((await registry.register("s", order)).id, 9);
  assert.equal(fake.asked.at(-1)!.url, "http://two:2/base/subjects/s/versions");
});

test("registry: answers that can not be right are errors, however long they are", async () => {
  const { fake, registry } = stage({ retries: 0 });
  const endless = {
    status: 200,
    text: () => Promise.resolve(""),
    body: {
      getReader: () => ({
        read: () => Promise.resolve({ done: false, value: new Uint8Array(1 << 20) }),
        cancel: () => Promise.reject(new Error("not even that")),
      }),
    },
  };
  const cases = [
    [endless, /answered with more than 16777216 bytes\.$/],
    [textual(200, "<html>"), /answered with something that is no JSON\.$/],
    [json(200, []), /no JSON\.$/],
    [json(200, { id: -1 }), /answered with -1 for "id"\.$/],
    [json(200, { id: 2 ** 31 }), /answered with 2147483648 for "id"\.$/],
    [json(200, { id: "1" }), /answered with "1" for "id"\.$/],
    [textual(404, "nothing here"), /answered with 404\.$/],
  ] as const;
  for (const [answer, message] of cases) {
    fake.override = () => answer;
    assert.match((await failure(registry.register("s", order))).message, message);
  }
  fake.override = () => json(200, { schema: 5 });
  assert.match((await failure(registry.schemaById(1))).message, /answered with 5 for "schema"\.$/);
  fake.override = () => json(200, { schema: "{}", schemaType: "XML" });
  assert.match((await failure(registry.schemaById(1))).message, /answered with "XML" for "schemaType"\.$/);
});

test("registry: schemas that refer to each other for ever come to an end", async () => {
  const { fake, registry } = stage();
  let version = 0;
  fake.override = () => {
    version += 1;
    return json(200, { id: 1, schema: '"int"', references: [{ name: "n", subject: "s", version }] });
  };
  assert.match(
    (await failure(registry.schemaById(1))).message,
    /^Reading a schema that refers to more than 100 others\.$/,
  );
});

test("registry: a schema may refer to a hundred others, one after the other", async () => {
  const { fake, registry } = stage();
  let version = 0;
  fake.override = () => {
    version += 1;
    const references = version > 100 ? [] : [{ name: `n${version}`, subject: "s", version }];
    return json(200, { id: 2_147_483_647, schema: '"int"', references });
  };
  assert.equal((await registry.schemaById(2_147_483_647)).resolved.length, 100);
});

test("registry: a schema with references is read with what it refers to", async () => {
  const { registry } = stage();
  const money = { type: "record", name: "Money", fields: [{ name: "cents", type: "int" }] };
  const { id } = await registry.register("money", avro(money));
  assert.equal(id, 1);
  const price = { type: "record", name: "Price", fields: [{ name: "money", type: "Money" }] };
  const reference = { name: "Money", subject: "money", version: 1 };
  const codec = avro(price, { references: [{ ...reference, schema: money }] });
  const serialize = await registry.serializer({ codec, subject: "price" });
  const deserialize = registry.deserializer({ formats: [avroFormat()] });
  assert.deepEqual(await deserialize(serialize({ money: { cents: 3 } })), { money: { cents: 3 } });
});

test("registry: values that were written without one, or by another kind of schema, are told as such", async () => {
  const { registry } = stage();
  const deserialize = registry.deserializer({ formats: [avroFormat()] });
  assert.match(
    (await failure(deserialize(Uint8Array.of(1, 2)))).message,
    /: it has 2 bytes, wanted 0 and a schema's id\.$/,
  );
  assert.match((await failure(deserialize(Uint8Array.of(123, 34, 97, 34, 125)))).message, /: its first byte is 123, /);
  const headers = [["__value_schema_id", Uint8Array.of(7)]] as const;
  assert.match(
    (await failure(deserialize(Uint8Array.of(1), { headers }))).message,
    /its first byte is 7, wanted 1 and /,
  );
  const serialize = await registry.serializer({ codec: jsonSchema({ type: "object" }), subject: "json" });
  const error = await failure(deserialize(serialize({ a: 1 })));
  assert.match(error.message, /^Pass a format for JSON to deserializer\(\)/);
});

test("registry: JSON is checked by the validator that is passed in, both ways", async () => {
  const { registry } = stage();
  const validator = (schema: { readonly required: readonly string[] }) => ({
    validate: (value: unknown) => {
      const missing = schema.required.find((name) => !Object.hasOwn(value as object, name));
      const errors = [{ instanceLocation: "#", error: `Instance does not have required property "${missing}".` }];
      return missing === undefined ? { valid: true } : { valid: false, errors };
    },
  });
  const codec = jsonSchema<object>({ title: "Thing", required: ["id"] }, { validator });
  assert.equal(codec.recordName, "Thing");
  const serialize = await registry.serializer({ codec, strategy: "recordName" });
  const bytes = serialize({ id: 1, when: new Date(0), gone: undefined });
  const deserialize = registry.deserializer({ formats: [jsonSchemaFormat({ validator })] });
  assert.deepEqual(await deserialize(bytes), { id: 1, when: "1970-01-01T00:00:00.000Z" });
  assert.throws(
    () => serialize({ id: undefined }),
    /^SerializationError: Pass a value that fits the JSON schema: #: Instance /,
  );
  await assert.rejects(deserialize(Uint8Array.of(0, 0, 0, 0, 1, 0x7b, 0x7d)), { name: "SerializationError" });
  await assert.rejects(deserialize(Uint8Array.of(0, 0, 0, 0, 1, 0x7b)), { name: "SerializationError" });
});

test("registry: what is no value, no bytes and no options is told in words, and so is what a fetch failed of", async () => {
  const { fake, registry } = stage();
  const serialize = await registry.serializer({ topic: "orders", codec: jsonSchema({ type: "object" }) });
  const circle: { self?: unknown } = {};
  circle.self = circle;
  for (const value of [{ n: 1n }, circle]) {
    assert.throws(() => serialize(value), { code: "SERIALIZATION", message: /^Pass something that has a JSON form: / });
  }
  const deserialize = registry.deserializer({ formats: [jsonSchemaFormat()] });
  for (const bytes of [undefined, "text", 5] as never[]) {
    assert.equal((await failure(deserialize(bytes))).code, "SERIALIZATION");
  }
  const bytes = serialize({ a: 1 });
  for (const context of [null, undefined, {}, { headers: null }] as never[]) {
    assert.deepEqual(await deserialize(bytes, context), { a: 1 });
  }
  const schema = { schemaType: "JSON", schema: "true" } as const;
  assert.equal((await registry.register("s", schema, null as never)).id, 2);
  assert.equal((await failure(registry.register("s", schema, { normalize: "yes" as never }))).code, "CONFIG");
  fake.override = () => new TypeError("fetch failed", { cause: new Error("connect ECONNREFUSED 192.0.2.1:8081") });
  const { registry: alone } = stage({ retries: 0 }, fake);
  const { message } = await failure(alone.schemaById(77));
  assert.match(message, /found no registry\. fetch failed: connect ECONNREFUSED 192\.0\.2\.1:8081\.$/);
});

test("registry: its address may be a URL, alone or one of several", async () => {
  const there = "http://registry:8081";
  for (const url of [new URL(there), new URL(`${there}/`), [new URL(there), "http://other:8081"]]) {
    const own = new FakeRegistry();
    await createSchemaRegistry({ url, fetch: own.fetch }).register("s", order);
    assert.equal(own.asked[0]!.url.slice(0, there.length + 1), `${there}/`);
  }
});

test("registry: options are checked when it is made, and no address is shown that may hold a password", () => {
  const { fetch } = fake;
  const refused = (options: unknown, message: RegExp) => {
    assert.throws(() => createSchemaRegistry(options as SchemaRegistryOptions), (error: Error) => {
      assert.ok(error instanceof ConfigError, String(error));
      assert.match(error.message, message);
      assert.ok(!error.message.includes("hunter2"));
      return true;
    });
  };
  refused(undefined, /^Pass an object with at least "url"/);
  for (const url of [undefined, null, "", [], 5, {}, { href: 5 }, [null]]) {
    refused({ url }, /^Set "url" to where the registry is/);
  }
  refused({ url: "hunter2@x" }, /^Set "url" to an address with http:\/\/ or https:\/\/: it is none\.$/);
  refused({ url: ["http://x", "ftp://x"] }, /entry 2 is none\.$/);
  refused({ url: "http://user:hunter2@x" }, /^Pass name and password as "basic"/);
  refused({ url: "http://x/?token=hunter2" }, /^Leave out what is behind \? and #/);
  refused(
    { url: "http://x", basic: { username: "a:b", password: "hunter2" } },
    /^Set "basic" to \{ username, password \}/,
  );
  refused({ url: "http://x", basic: { username: "a", password: "p" }, bearer: "hunter2" }, /^Pass either "basic" or /);
  refused({ url: "http://x", auth: "hunter2" }, /^Remove the option "auth": createSchemaRegistry has no such option/);
  refused({ url: "http://x", fetch: "fetch" }, /^Set "fetch" to a function: "fetch" is not\.$/);
  refused({ url: "http://x", fetch, bearer: 5 }, /^Set "bearer" to a token, or to a function that gives one\.$/);
  refused({ url: "http://x", fetch, bearer: "" }, /^Set "bearer" to a token/);
  for (const headers of [5, null, { a: 5 }]) {
    refused({ url: "http://x", fetch, headers }, /^Set "headers" to an object of texts/);
  }
  for (const [option, least, most] of [["retries", 0, 100], ["requestTimeoutMs", 1, 2_147_483_647]] as const) {
    for (const value of [least, most]) createSchemaRegistry({ url: "http://x", fetch, [option]: value });
    for (const value of [least - 1, most + 1, least + 0.5, `${least}`]) {
      refused(
        { url: "http://x", fetch, [option]: value },
        new RegExp(`^Set "${option}" to a whole number .*${least} to ${most}`),
      );
    }
  }
});

test("registry: without a fetch of its own the platform's is called, whichever that is by then", async (t) => {
  const { fake } = stage();
  const registry = createSchemaRegistry({ url: "http://registry:8081" });
  const { fetch } = globalThis;
  t.after(() => void (globalThis.fetch = fetch));
  globalThis.fetch = fake.fetch as unknown as typeof fetch;
  assert.equal((await registry.register("s", order)).id, 1);
});

test("registry: a schema from a file may begin with a byte order mark, which isn't registered; bytes are refused in words", async () => {
  const { fake, registry } = stage();
  for (const schemaType of ["AVRO", "JSON", "PROTOBUF"] as const) {
    await registry.register(schemaType, { schemaType, schema: "\ufefftrue" });
    assert.equal((fake.asked.at(-1)!.body as { schema: string }).schema, "true");
  }
  const decode = jsonSchemaFormat().decoder({ schemaType: "JSON", schema: "\ufefftrue", resolved: [] });
  assert.equal(decode(new TextEncoder().encode("5")), 5);
  for (const make of [avro, jsonSchema]) {
    const codec = make(`\ufeff${JSON.stringify(make === avro ? ORDER : { title: "Order" })}`);
    assert.deepEqual([codec.schema[0], codec.recordName?.replace("shop.", "")], ["{", "Order"]);
    const bytes = new TextEncoder().encode("{}");
    assert.throws(() => make(bytes), {
      ...{ name: "ConfigError", option: "schema" },
      message: "Pass a schema as text or as an object: these are bytes. Decode them: new TextDecoder().decode(bytes).",
    });
  }
  assert.deepEqual([...avro("\ufeffstring").encode("a")], [2, 97]);
  for (const schema of [undefined, null, 5, "5", "null", () => {}]) {
    assert.throws(() => jsonSchema(schema as never), {
      name: "ConfigError",
      message: /^Pass a JSON schema: this is none/,
    });
  }
});

test("registry: JSON keeps a lone surrogate, as an escape", () => {
  const bytes = jsonSchema({ type: "string" }).encode("a\ud800");
  assert.equal(new TextDecoder().decode(bytes), '"a\\ud800"');
  const decode = jsonSchemaFormat().decoder({ schemaType: "JSON", schema: '{"type":"string"}', resolved: [] });
  assert.equal(decode(bytes), "a\ud800");
});

test("registry: a key with a lone surrogate is refused, as two keys would become one; JSON has an escape for it", async () => {
  const { registry } = stage();
  const fields = [{ name: "id", type: "string" }, { name: "tags", type: { type: "map", values: "string" } }];
  const record = avro({ type: "record", name: "Key", fields });
  const bad = "a\ud800";
  const cases = [
    [avro("string"), "é", bad],
    [record, { id: "é", tags: new Map([["k", "v"]]) }, { id: bad, tags: {} }],
    [record, { id: "k", tags: { k: "v" } }, { id: "k", tags: new Map([[bad, "v"]]) }],
  ] as const;
  for (const [codec, good, wrong] of cases) {
    const key = await registry.serializer<unknown>({ topic: "t", part: "key", codec });
    assert.ok(key(good, { topic: "t", part: "key" }).length > 5);
    assert.throws(() => key(wrong), { name: "SerializationError", message: /^Pass a key of well-formed text/ });
    const value = await registry.serializer<unknown>({ topic: "t", codec });
    assert.match(new TextDecoder().decode(value(wrong)), /\ufffd/, "as text in values is sent anywhere else");
  }
  const circle: Record<string, unknown> = { id: "k", tags: {} };
  circle["self"] = circle;
  assert.ok((await registry.serializer<unknown>({ topic: "t", part: "key", codec: record }))(circle).length > 5);
  const json = await registry.serializer({ topic: "t", part: "key", codec: jsonSchema<string>({ type: "string" }) });
  assert.match(new TextDecoder().decode(json(bad)), /\\ud800/);
});
