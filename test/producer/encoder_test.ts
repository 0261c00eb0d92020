import assert from "node:assert/strict";
import { checkRecordNumbers, checkTopicName, RecordEncoder } from "../../src/producer/record_encoder.ts";
import { seededRandom } from "../../src/testing/mod.ts";
import { dice } from "../cluster/stage.ts";
import { test } from "../harness.ts";

const utf8 = new TextEncoder();

function encoded(fields: { key?: unknown; value?: unknown }): { key: Uint8Array | null; value: Uint8Array | null } {
  const encoder = new RecordEncoder(undefined, undefined);
  encoder.encode({ topic: "t", value: null, ...fields });
  return {
    key: encoder.key?.subarray(0, encoder.keyLength) ?? null,
    value: encoder.value?.subarray(0, encoder.valueLength) ?? null,
  };
}

const SAMPLES = [
  "",
  "a",
  "é",
  "€",
  "𝄞",
  "\u0000",
  "\u007f\u0080\u07ff\u0800\uffff",
  "\ud800",
  "\udc00",
  "a\ud800b",
  "\udc00\ud800",
  "x".repeat(24),
  "x".repeat(25),
  "x".repeat(23) + "é",
  "x".repeat(24) + "é",
  "x".repeat(23) + "\ud800",
  "x".repeat(24) + "\ud83d\ude00",
  "\ud83d\ude00".repeat(12),
  "\ud83d\ude00".repeat(13),
  "\ufeffbyte order mark",
  "x".repeat(1_365),
  "x".repeat(1_366),
  "€".repeat(1_365),
  "€".repeat(1_366),
  "x".repeat(100_000),
  "€".repeat(100_000),
  "𝄞".repeat(50_000),
  "\ud800".repeat(5_000),
];

test("record encoder: text of every kind and length is the UTF-8 of TextEncoder, as key and as value", () => {
  for (const text of SAMPLES) {
    const wanted = utf8.encode(text);
    const { key, value } = encoded({ key: text, value: text });
    assert.deepEqual(key, wanted, JSON.stringify(text.slice(0, 30)));
    assert.deepEqual(value, wanted, JSON.stringify(text.slice(0, 30)));
  }
});

test("record encoder: 5,000 random texts through the same scratch buffers are those of TextEncoder", () => {
  const roll = dice(seededRandom(11));
  const encoder = new RecordEncoder(undefined, undefined);
  const unit = [() => roll(0x80), () => roll(0x800), () => roll(0x1_0000), () => 0xd800 + roll(0x800)];
  const randomText = (): string => {
    const units = Array.from({ length: roll(roll(20) === 0 ? 6_000 : 60) }, () => unit[roll(roll(4) + 1)]!());
    return String.fromCharCode(...units);
  };
  for (let round = 0; round < 5_000; round++) {
    const [key, value] = [randomText(), randomText()];
    encoder.encode({ topic: "t", key, value });
    assert.deepEqual(encoder.key!.subarray(0, encoder.keyLength), utf8.encode(key));
    assert.deepEqual(encoder.value!.subarray(0, encoder.valueLength), utf8.encode(value));
  }
});

test("record encoder: null, absent and empty are told apart", () => {
  assert.deepEqual(encoded({}), { key: null, value: null });
  assert.deepEqual(encoded({ key: null, value: null }), { key: null, value: null });
  assert.deepEqual(encoded({ key: undefined, value: "" }), { key: null, value: new Uint8Array(0) });
  assert.deepEqual(encoded({ key: "", value: new Uint8Array(0) }), {
    key: new Uint8Array(0),
    value: new Uint8Array(0),
  });
});

test("record encoder: a copy outlives the next record, and the caller's own changes", () => {
  const encoder = new RecordEncoder(undefined, undefined);
  const value = Uint8Array.of(1, 2, 3);
  const header = Uint8Array.of(9);
  encoder.encode({ topic: "t", key: "first", value, headers: { h: header } });
  const copy = encoder.copy();
  const headers = copy.headers!.slice();
  value.fill(0);
  header.fill(0);
  encoder.encode({ topic: "t", key: "other", value: "other", headers: { other: "x" } });
  assert.deepEqual(copy.key!.subarray(0, copy.keyLength), utf8.encode("first"));
  assert.deepEqual(copy.value!.subarray(0, copy.valueLength), Uint8Array.of(1, 2, 3));
  assert.deepEqual(copy.headers, headers);
});

test("record encoder: headers keep order and repeats, as object, pairs, Map and generator", () => {
  const bytesOf = (headers: unknown): Uint8Array | undefined => {
    const encoder = new RecordEncoder(undefined, undefined);
    encoder.encode({ topic: "t", value: null, headers: headers as never });
    return encoder.headers;
  };
  const pairs = [["b", "1"], ["a", "2"], ["b", null], ["a", Uint8Array.of()], ["b", ""]] as const;
  function* generated(): Generator<readonly [string, string | Uint8Array | null]> {
    yield* pairs;
  }
  // count 5, then each: length, name, length or -1, value, all zig-zag
  const wanted = Uint8Array.of(
    ...[10, 2, 0x62, 2, 0x31, 2, 0x61, 2, 0x32, 2, 0x62, 1, 2, 0x61, 0, 2, 0x62, 0],
  );
  assert.deepEqual(bytesOf(pairs), wanted);
  assert.deepEqual(bytesOf(generated()), wanted);
  assert.deepEqual(bytesOf(new Map([["b", "1"]])), bytesOf({ b: "1" }));
  assert.deepEqual(bytesOf({ é: "€" }), Uint8Array.of(2, 4, 0xc3, 0xa9, 6, 0xe2, 0x82, 0xac));
  for (const none of [undefined, {}, [], new Map()]) assert.equal(bytesOf(none), undefined);
});

test("record encoder: a header without a name or with a value of another kind is refused", () => {
  const refuse = (headers: unknown, message?: RegExp): void => {
    const encoder = new RecordEncoder(undefined, undefined);
    assert.throws(() => encoder.encode({ topic: "t", value: "v", headers: headers as never }), {
      name: "SerializationError",
      topic: "t",
      ...(message === undefined ? {} : { message }),
    });
  };
  for (const name of [undefined, null, 5, {}]) refuse([[name, "v"]], /Give each header a name/);
  refuse([["h"]], /pair of name and value/);
  refuse(["hv"], /pair of name and value/);
  refuse([["h", "v", "w"]], /pair of name and value/);
  refuse("h=v", /are a string/);
  refuse(5);
  refuse(null);
  for (const value of [5, true, {}, ["v"]]) refuse({ h: value }, /"h"/);
  refuse({ h: ["v", "w"] }, /Repeat its name/);
});

test("record encoder: a topic's name is measured in bytes of UTF-8", () => {
  checkTopicName("a".repeat(32_767));
  checkTopicName("€".repeat(10_922));
  for (const name of ["a".repeat(32_768), "€".repeat(10_923), "𝄞".repeat(8_192)]) {
    assert.throws(() => checkTopicName(name), { name: "ProtocolError", message: /32767/ });
  }
  for (const name of ["", undefined, null, 5, {}]) {
    assert.throws(() => checkTopicName(name), { name: "ProtocolError", code: "INVALID_TOPIC_EXCEPTION" });
  }
});

test("record encoder: partition and timestamp are whole numbers from 0", () => {
  const record = { topic: "t", value: null };
  checkRecordNumbers({ ...record, partition: 0, timestamp: 0 });
  checkRecordNumbers({ ...record, timestamp: Number.MAX_SAFE_INTEGER });
  for (const bad of [-1, 1.5, NaN, Infinity, "1", null]) {
    assert.throws(() => checkRecordNumbers({ ...record, partition: bad as never }), { code: "INVALID_PARTITION" });
    assert.throws(() => checkRecordNumbers({ ...record, timestamp: bad as never }), { code: "INVALID_TIMESTAMP" });
  }
  assert.throws(() => checkRecordNumbers({ ...record, timestamp: 2 ** 53 }), { code: "INVALID_TIMESTAMP" });
});

test("record encoder: one long text doesn't take its room for good", () => {
  const encoder = new RecordEncoder(undefined, undefined);
  encoder.encode({ topic: "orders", value: "x".repeat(5_000_000) });
  assert.equal(encoder.valueLength, 5_000_000);
  encoder.encode({ topic: "orders", value: "short" });
  assert.ok(encoder.value!.length <= 4_194_304, `${encoder.value!.length} bytes are kept`);
  assert.equal(new TextDecoder().decode(encoder.value!.subarray(0, encoder.valueLength)), "short");
});
