/** Avro, written and read by walking the schema. */

import assert from "node:assert/strict";
import { ConfigError, SerializationError } from "../../src/errors.ts";
import { fromJson } from "../../src/registry/avro/encoder.ts";
import { parseAvro } from "../../src/registry/avro/schema.ts";
import { avro, avroFormat, type AvroFormatOptions } from "../../src/registry/mod.ts";
import golden from "../golden/avro.json" with { type: "json" };
import { test } from "../harness.ts";

const hexOf = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const bytesOf = (hex: string): Uint8Array =>
  Uint8Array.from(hex.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16));

function read(schema: unknown, bytes: Uint8Array, options?: AvroFormatOptions): unknown {
  const format = avroFormat(options);
  return format.decoder({ schemaType: "AVRO", schema: JSON.stringify(schema), resolved: [] })(bytes);
}

function refused(schema: string | object, value: unknown): string {
  try {
    avro(schema).encode(value);
  } catch (error) {
    assert.ok(error instanceof SerializationError, String(error));
    return error.message;
  }
  throw new Error("It was written, wanted an error");
}

test("avro: every kind of value equals the bytes of Java, and is read back", () => {
  for (const { case: name, hex, json, schema } of golden.vectors) {
    const value = schema === "long" ? BigInt(json) : fromJson(parseAvro(schema), JSON.parse(json));
    const { encode } = avro(schema);
    assert.equal(hexOf(encode(value)), hex, name);
    assert.equal(
      hexOf(encode(read(schema, bytesOf(hex)))),
      name.includes("two kinds") ? "0400026100026200" : hex,
      name,
    );
  }
});

test("avro: a union takes the first branch that fits, or the one that is named", () => {
  const pet = (name: string) => ({
    type: "record",
    name,
    namespace: "com",
    fields: [{ name: "name", type: "string" }],
  });
  const { encode } = avro(["null", "int", "long", "double", pet("Cat"), pet("Dog")]);
  const first = (value: unknown): number => encode(value)[0]! >> 1;
  assert.deepEqual(
    [null, undefined, 5, 2 ** 40, 5n, 2n ** 40n, 0.5, { name: "x" }, { "com.Dog": { name: "x" } }].map(first),
    [
      ...[0, 0, 1, 2, 1, 2, 3, 4, 5],
    ],
  );
});

test("avro: what is left out gets its default, of whatever kind", () => {
  const schema = {
    type: "record",
    name: "All",
    fields: [
      { name: "i", type: "int", default: 7 },
      { name: "l", type: "long", default: 8 },
      { name: "b", type: "bytes", default: "\u00ff" },
      { name: "n", type: ["null", "string"], default: null },
      { name: "u", type: ["null", "string"], default: "late" },
      { name: "a", type: { type: "array", items: "int" }, default: [] },
      { name: "r", type: { type: "record", name: "R", fields: [{ name: "x", type: "int", default: 1 }] }, default: {} },
    ],
  };
  const bytes = avro(schema).encode({});
  assert.equal(hexOf(bytes), "0e1002ff0002086c6174650002");
  assert.deepEqual(read(schema, bytes), {
    ...{ i: 7, l: 8n, b: Uint8Array.of(255), n: null, u: "late", a: [], r: { x: 1 } },
  });
});

test("avro: a value that does not fit is refused, with the place and what is wanted there", () => {
  const line = { type: "record", name: "Line", fields: [{ name: "price", type: "int" }] };
  const order = {
    type: "record",
    name: "Order",
    fields: [{ name: "id", type: "string" }, { name: "lines", type: { type: "array", items: line } }],
  };
  assert.equal(
    refused(order, { id: "a", lines: [{ price: 1 }, { price: "2" }] }),
    'Set "lines[1].price" to a whole number of 32 bits: "2" is not.',
  );
  assert.equal(refused(order, { lines: [] }), 'Set "id" to text: undefined is not.');
  assert.equal(refused(order, null), 'Set the value to a record "Order": null is not.');
  assert.equal(refused("int", 2 ** 31), "Set the value to a whole number of 32 bits: 2147483648 is not.");
  assert.match(refused("long", 2 ** 53), /^Set the value to a bigint of 64 bits, or a whole number that JavaScript /);
  assert.match(refused("long", 2n ** 63n), /: 9223372036854775808n is not\.$/);
  for (
    const [type, least, most] of [["int", -(2n ** 31n), 2n ** 31n - 1n], [
      "long",
      -(2n ** 63n),
      2n ** 63n - 1n,
    ]] as const
  ) {
    for (const value of [least, most]) assert.equal(BigInt(read(type, avro(type).encode(value)) as number), value);
    for (const value of [least - 1n, most + 1n]) {
      assert.match(refused(type, value), /^Set the value to a .*n is not\.$/);
    }
  }
  assert.equal(refused(["null", "int"], "x"), 'Set the value to one of "null", "int": "x" is not.');
  assert.equal(
    refused({ type: "map", values: "int" }, { a: "x" }),
    'Set "["a"]" to a whole number of 32 bits: "x" is not.',
  );
  assert.match(
    refused({ type: "enum", name: "E", symbols: ["A"] }, "B"),
    /^Set the value to one of "A": "B" is not\.$/,
  );
  assert.match(refused({ type: "fixed", name: "F", size: 2 }, Uint8Array.of(1)), /^Set the value to 2 bytes: /);
  const node: { next?: unknown } = {};
  node.next = node;
  const list = { type: "record", name: "Node", fields: [{ name: "next", type: ["null", "Node"] }] };
  assert.equal(refused(list, node), "Pass a value that is not nested so deep.");
});

test("avro: values of other classes are written as what they hold", () => {
  class Order {
    readonly #id: string;
    constructor(id: string) {
      this.#id = id;
    }
    get id(): string {
      return this.#id;
    }
  }
  const { encode } = avro({ type: "record", name: "Order", fields: [{ name: "id", type: "string" }] });
  assert.equal(hexOf(encode(new Order("a"))), "0261");
  const map = avro({ type: "map", values: "int" });
  assert.equal(hexOf(map.encode(new Map([["a", 1]]))), hexOf(map.encode({ a: 1 })));
  const source = new Uint8Array([9, 1, 2, 9]);
  const written = avro("bytes").encode(source.subarray(1, 3));
  source.fill(0);
  assert.equal(hexOf(written), "040102");
});

test("avro: values are read in another schema by the rules of resolution", () => {
  const written = {
    type: "record",
    name: "shop.Order",
    fields: [
      { name: "old", type: "int" },
      { name: "gone", type: { type: "array", items: "string" } },
      { name: "kind", type: { type: "enum", name: "Kind", symbols: ["NEW", "ODD"] } },
      { name: "note", type: "string" },
      { name: "size", type: "float" },
    ],
  };
  const wanted = {
    type: "record",
    name: "Bestellung",
    aliases: ["shop.Order"],
    fields: [
      { name: "added", type: ["null", "long"], default: null },
      { name: "amount", aliases: ["old"], type: "long" },
      { name: "kind", type: { type: "enum", name: "Kind", symbols: ["NEW", "OTHER"], default: "OTHER" } },
      { name: "note", type: ["null", "string"] },
      { name: "size", type: "double" },
      { name: "count", type: "long", default: 3 },
    ],
  };
  const bytes = avro(written).encode({ old: 5, gone: ["x"], kind: "ODD", note: "n", size: 0.5 });
  assert.deepEqual(read(written, bytes, { schema: wanted }), {
    ...{ added: null, amount: 5n, kind: "OTHER", note: "n", size: 0.5, count: 3n },
  });
  assert.deepEqual((read(written, bytes, { schema: wanted, longs: "number" }) as { amount: unknown }).amount, 5);
  const lacking = { ...wanted, fields: [{ name: "must", type: "int" }] };
  assert.throws(
    () => read(written, bytes, { schema: lacking }),
    /^SerializationError: Give field "must" of "Bestellung" a /,
  );
  assert.equal(read("bytes", bytesOf("08efbbbf61"), { schema: "string" }), "\ufeffa", "a byte order mark is text");
  assert.throws(
    () => read("string", bytesOf("0261"), { schema: "int" }),
    /Reading "string" as "int" is not possible\.$/,
  );
});

test("avro: longs that no number holds are an error as numbers, and exact as bigints", () => {
  const bytes = avro("long").encode(2n ** 53n + 1n);
  assert.equal(read("long", bytes), 9007199254740993n);
  assert.throws(
    () => read("long", bytes, { longs: "number" }),
    /^SerializationError: Read longs as bigints: 9007199254740993 /,
  );
});

test("avro: bytes that are no such value are an error, whatever they say of their size", () => {
  const nulls = { type: "array", items: "null" };
  const cases: readonly (readonly [unknown, string, RegExp])[] = [
    ["string", "", /^Reading 1 bytes: 0 are left\.$/],
    ["string", "06", /^Reading a length of 3: 0 bytes are left\.$/],
    ["bytes", "03", /^Reading a length of -2: /],
    ["string", "02ff", /no UTF-8\.$/],
    ["int", "80808080808001", /wanted an int of 32 bits\.$/],
    ["long", "ffffffffffffffffffffff", /^Reading a number of more than ten bytes/],
    ["boolean", "02", /^Reading 2: wanted 0 or 1\.$/],
    ["int", "0200", /^Decoding a value: 1 bytes are left behind it\.$/],
    [["null", "int"], "08", /^Reading branch 4 of a union of 2\.$/],
    [{ type: "enum", name: "E", symbols: ["A"] }, "02", /^Reading a symbol that enum "E" hasn't\.$/],
    [
      { type: "array", items: "int" },
      "feffffff0f",
      /^Reading a block of 2147483647 elements: there are bytes for 0\.$/,
    ],
    [nulls, "feffffff0f00", /^Reading a block of 2147483647 elements: /],
    [nulls, "80897a".repeat(3) + "00", /^Reading a list without bytes: it is too long\.$/],
  ];
  for (const [schema, hex, message] of cases) {
    assert.throws(() => read(schema, bytesOf(hex)), (error: Error) => {
      assert.ok(error instanceof SerializationError, `${hex}: ${error}`);
      assert.match(error.message, message, hex);
      return true;
    });
  }
});

test("avro: keys of maps are data, whatever they are called", () => {
  const schema = { type: "map", values: "string" };
  const bytes = avro(schema).encode(new Map([["__proto__", "x"], ["constructor", "y"]]));
  const value = read(schema, bytes) as object;
  assert.deepEqual(Object.entries(value), [["__proto__", "x"], ["constructor", "y"]]);
  assert.equal(Object.getPrototypeOf(value), Object.prototype);
});

test("avro: what is no schema is refused with the reason", () => {
  const cases: readonly (readonly [string | object, RegExp])[] = [
    ["{", /^Pass an Avro schema as JSON\. /],
    ["nothing", /nothing is called "nothing"\.$/],
    [{ type: "record", name: "A" }, /record "A" has no list of fields\.$/],
    [{ type: "record", name: "A", fields: [{ name: "x", type: "B" }] }, /nothing is called "B"\.$/],
    [{ type: "record", name: "1", fields: [] }, /a type is called "1"\.$/],
    [["int", "int"], /a union has "int" twice\.$/],
    [["null", ["int"]], /a union stands directly in a union\.$/],
    [{ type: "enum", name: "E", symbols: [] }, /enum "E" needs symbols/],
    [{ type: "fixed", name: "F", size: -1 }, /fixed "F" has the size -1/],
    [
      { type: "record", name: "A", fields: [{ name: "x", type: "int" }, { name: "x", type: "int" }] },
      /the field "x" twice/,
    ],
  ];
  for (const [schema, message] of cases) {
    assert.throws(() => avro(schema), (error: Error) => error instanceof ConfigError && message.test(error.message));
  }
});

test("avro: schemas may refer to others, which are parsed first", () => {
  const money = { type: "record", name: "com.Money", fields: [{ name: "cents", type: "int" }] };
  const price = { type: "record", name: "com.Price", fields: [{ name: "money", type: "com.Money" }] };
  const reference = { name: "com.Money", subject: "money", version: 1 };
  const codec = avro(price, { references: [{ ...reference, schema: money }] });
  assert.deepEqual(codec.references, [reference]);
  assert.equal(codec.recordName, "com.Price");
  assert.equal(hexOf(codec.encode({ money: { cents: 1 } })), "02");
});

test("avro: a lone surrogate, which UTF-8 can't carry, is U+FFFD in size and in bytes, as TextEncoder has it", () => {
  const text = "a\ud800b\udc00";
  const wanted = new TextEncoder().encode(text);
  assert.equal(wanted.length, 8);
  assert.deepEqual(avro("string").encode(text), Uint8Array.of(2 * wanted.length, ...wanted));
  assert.equal(read("string", avro("string").encode(text)), "a\ufffdb\ufffd");
  const map = { type: "map", values: "string" };
  assert.deepEqual(read(map, avro(map).encode({ [text]: text })), { "a\ufffdb\ufffd": "a\ufffdb\ufffd" });
});
