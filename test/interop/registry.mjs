/**
 * What a real registry answers, by Confluent's API. Every subject is of this run alone, so that a registry may be asked
 * twice.
 */

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { root } from "../../scripts/lib/tools.mjs";

const order = {
  type: "record",
  name: "Order",
  namespace: "com.example",
  fields: [{ name: "id", type: "string" }, { name: "cents", type: "long", default: 0 }],
};

/** Tests by name; `url` is the registry's. */
export async function registryTests(url) {
  const fromPackage = (name) =>
    import(pathToFileURL(createRequire(join(root, "test/recipes/package.json")).resolve(name)).href);
  const { avro, avroFormat, avsc, createSchemaRegistry, jsonSchema, jsonSchemaFormat, protobuf, protobufFormat } =
    await import(pathToFileURL(join(root, "dist/esm/schema-registry.js")).href);
  const { create, fromBinary, toBinary } = await fromPackage("@bufbuild/protobuf");
  const { DurationSchema } = await fromPackage("@bufbuild/protobuf/wkt");
  const { Validator } = await fromPackage("@cfworker/json-schema");
  const { default: avscLibrary } = await fromPackage("avsc");
  const registry = createSchemaRegistry({ url });
  /** Another one, which knows nothing that this one was told. */
  const stranger = createSchemaRegistry({ url });
  const run = Date.now().toString(36);
  const topicOf = (name) => `${name}-${run}`;
  const validator = (schema) => new Validator(schema);
  const reader = stranger.deserializer({
    formats: [
      avroFormat({ longs: "number" }),
      protobufFormat({ messages: [DurationSchema], fromBinary }),
      jsonSchemaFormat({ validator }),
    ],
  });
  /** Registers, writes, and lets the stranger read, who has to fetch the schema by its id. */
  const throughRegistry = async (topic, codec, value) => {
    const serializer = await registry.serializer({ topic, codec });
    const bytes = serializer(value, { topic, part: "value" });
    assert.equal(bytes[0], 0);
    const id = new DataView(bytes.buffer, bytes.byteOffset).getInt32(1);
    assert.equal(id, serializer.schema.id);
    assert.equal((await stranger.schemaById(id)).schemaType, codec.schemaType);
    const latest = await stranger.version(`${topic}-value`);
    assert.deepEqual([latest.id, latest.version, latest.schemaType], [id, 1, codec.schemaType]);
    assert.equal((await stranger.lookup(`${topic}-value`, codec)).id, id);
    assert.equal((await stranger.register(`${topic}-value`, codec)).id, id);
    return await reader(bytes, { part: "value" });
  };
  const setLevel = async (subject, compatibility) => {
    const headers = { "content-type": "application/vnd.schemaregistry.v1+json" };
    const body = JSON.stringify({ compatibility });
    const answer = await fetch(`${url}/config/${encodeURIComponent(subject)}`, { method: "PUT", headers, body });
    assert.equal(answer.status, 200, await answer.text());
  };
  const refused = (errorCode, pattern) => (error) => {
    assert.deepEqual(
      [error.code, error.errorCode, error.retriable],
      ["SCHEMA_REGISTRY", errorCode, false],
      error.message,
    );
    assert.match(error.message, pattern);
    return true;
  };
  /** The second schema must not come into the subject; nor does it disturb the first one. */
  const conflict = async (name, first, second) => {
    const subject = `${topicOf(name)}-value`;
    const { id } = await registry.register(subject, first);
    await setLevel(subject, "BACKWARD");
    await assert.rejects(registry.register(subject, second), refused(409, /^Registering a schema for subject "/));
    assert.equal((await stranger.version(subject)).id, id);
  };
  const proto = (fields) => `syntax = "proto3"; package google.protobuf; message Duration { ${fields} }`;
  const duration = protobuf({
    message: DurationSchema,
    toBinary,
    schema: proto("int64 seconds = 1; int32 nanos = 2;"),
  });
  const person = (properties) => ({ title: "Person", type: "object", required: ["name"], properties });

  return {
    "Avro: registered, fetched by its id, written and read": async () => {
      const value = { id: "o-1", cents: 2 ** 40 };
      assert.deepEqual(await throughRegistry(topicOf("avro"), avro(order), value), value);
    },
    "Avro: what avsc writes is read": async () => {
      const codec = avsc(avscLibrary.Type.forSchema(order));
      assert.deepEqual(await throughRegistry(topicOf("avsc"), codec, { id: "o-2", cents: 7 }), { id: "o-2", cents: 7 });
    },
    "Avro: a schema that refers to another subject is read with it": async () => {
      const subject = `${topicOf("customer")}-value`;
      const customer = {
        type: "record",
        name: "Customer",
        namespace: "com.example",
        fields: [{ name: "n", type: "int" }],
      };
      await registry.register(subject, { schemaType: "AVRO", schema: JSON.stringify(customer) });
      const visit = { type: "record", name: "Visit", fields: [{ name: "of", type: "com.example.Customer" }] };
      const references = [{ name: "com.example.Customer", subject, version: 1 }];
      const { id } = await registry.register(`${topicOf("visit")}-value`, {
        schemaType: "AVRO",
        schema: JSON.stringify(visit),
        references,
      });
      const bytes = Uint8Array.of(0, ...new Uint8Array(new Uint32Array([id]).buffer).reverse(), 6);
      const read = await reader(bytes);
      assert.equal(read.of.n, 3);
    },
    "Avro: a field without a default is a conflict": () =>
      conflict("avro-conflict", avro(order), avro({ ...order, fields: [...order.fields, { name: "n", type: "int" }] })),
    "Protobuf: registered, fetched by its id, written and read": async () => {
      const { nanos, seconds } = await throughRegistry(
        topicOf("protobuf"),
        duration,
        create(DurationSchema, { seconds: 5n, nanos: 3 }),
      );
      assert.deepEqual([seconds, nanos], [5n, 3]);
    },
    "Protobuf: a field of another type is a conflict": () =>
      conflict("protobuf-conflict", duration, { ...duration, schema: proto("string seconds = 1; int32 nanos = 2;") }),
    "JSON Schema: registered, fetched by its id, written and read": async () => {
      const codec = jsonSchema(person({ name: { type: "string" } }), { validator });
      assert.deepEqual(await throughRegistry(topicOf("json"), codec, { name: "Ada" }), { name: "Ada" });
    },
    "JSON Schema: a property of another type is a conflict": () =>
      conflict(
        "json-conflict",
        jsonSchema(person({ name: { type: "string" } })),
        jsonSchema(person({ name: { type: "integer" } })),
      ),
    "a subject, a version and an id that aren't there are told apart": async () => {
      const subject = `${topicOf("nowhere")}-value`;
      await assert.rejects(registry.lookup(subject, avro(order)), refused(40401, /^Looking up a schema of subject "/));
      await assert.rejects(registry.version(subject), refused(40401, /^Asking for version latest of subject "/));
      await registry.register(subject, avro(order));
      await assert.rejects(registry.version(subject, 9), refused(40402, /version 9/));
      await assert.rejects(
        registry.schemaById(2_000_000_000),
        refused(40403, /^Asking for the schema of id 2000000000/),
      );
      const another = avro({ ...order, name: "Another" });
      await assert.rejects(registry.lookup(subject, another), refused(40403, /^Looking up a schema of subject "/));
    },
    "a serializer that must not register finds nothing where nothing is": async () => {
      const options = { topic: topicOf("unregistered"), codec: avro(order), register: false };
      await assert.rejects(registry.serializer(options), refused(40401, /^Looking up a schema of subject "/));
    },
    "what is no schema is refused": async () => {
      const schema = { schemaType: "AVRO", schema: '{"type":"recor' };
      await assert.rejects(
        registry.register(`${topicOf("none")}-value`, schema),
        refused(42201, /^Registering a schema/),
      );
    },
    "a subject with every kind of character is one subject": async () => {
      const subject = `${topicOf("a/b c?d#é%")}-value`;
      const { id } = await registry.register(subject, avro(order));
      assert.equal((await stranger.version(subject)).id, id);
    },
  };
}
