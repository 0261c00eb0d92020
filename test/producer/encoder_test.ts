import assert from "node:assert/strict";
import { copyOf } from "../../src/producer/admission/waiting_send.ts";
import { checkRecordNumbers, checkTopicName, RecordEncoder } from "../../src/producer/record/record_encoder.ts";
import { stringSerializer } from "../../src/producer/record/serializer.ts";
import { seededRandom } from "../../src/testing/mod.ts";
import { dice } from "../stage.ts";
import { assertBytes } from "../bytes.ts";
import { test } from "../harness.ts";

const utf8 = new TextEncoder();
const LIMITS = { bufferMemory: 33_554_432, maxRequestSize: 104_857_600 };

function newEncoder(limits = LIMITS): RecordEncoder {
  return new RecordEncoder(undefined, undefined, limits);
}

function encoded(fields: { key?: unknown; value?: unknown }): { key: Uint8Array | null; value: Uint8Array | null } {
  const encoder = newEncoder();
  encoder.encode("t", fields.key, fields.value ?? null, undefined);
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
    const shown = JSON.stringify(text.slice(0, 30));
    assertBytes(encoded({ value: text }).value!, wanted, shown);
    if (text.isWellFormed()) assertBytes(encoded({ key: text }).key!, wanted, shown);
    else assert.throws(() => encoded({ key: text }), { name: "SerializationError", message: /key.*lone surrogate/ });
  }
});

test("record encoder: 5,000 random texts through the same scratch buffers are those of TextEncoder", () => {
  const roll = dice(seededRandom(11));
  const encoder = newEncoder();
  const unit = [() => roll(0x80), () => roll(0x800), () => roll(0x1_0000), () => 0xd800 + roll(0x800)];
  const randomText = (): string => {
    const units = Array.from({ length: roll(roll(20) === 0 ? 6_000 : 60) }, () => unit[roll(roll(4) + 1)]!());
    return String.fromCharCode(...units);
  };
  for (let round = 0; round < 5_000; round++) {
    const [key, value] = [randomText(), randomText()];
    if (!key.isWellFormed()) assert.throws(() => encoder.encode("t", key, value, undefined), /lone surrogate/);
    encoder.encode("t", key.toWellFormed(), value, undefined);
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
  const encoder = newEncoder();
  const value = Uint8Array.of(1, 2, 3);
  const header = Uint8Array.of(9);
  encoder.encode("t", "first", value, { h: header });
  const copy = copyOf(encoder);
  const headers = copy.headers!.slice();
  value.fill(0);
  header.fill(0);
  encoder.encode("t", "other", "other", { other: "x" });
  assert.deepEqual(copy.key!.subarray(0, copy.keyLength), utf8.encode("first"));
  assert.deepEqual(copy.value!.subarray(0, copy.valueLength), Uint8Array.of(1, 2, 3));
  assert.deepEqual(copy.headers, headers);
});

test("record encoder: headers keep order and repeats, as object, pairs, Map and generator", () => {
  const bytesOf = (headers: unknown): Uint8Array | undefined => {
    const encoder = newEncoder();
    encoder.encode("t", null, null, headers as never);
    return encoder.headers?.slice(0, encoder.headersLength);
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
  class Empty {
    declare readonly trace?: string;
  }
  const nones = [undefined, {}, [], new Map(), { h: undefined }, Object.create(null), new Empty()];
  for (const none of nones) assert.equal(bytesOf(none), undefined);
});

test("record encoder: a header without a name or with a value of another kind is refused", () => {
  const refuse = (headers: unknown, message?: RegExp): void => {
    const encoder = newEncoder();
    assert.throws(() => encoder.encode("t", null, "v", headers as never), {
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
  refuse(null, /they are null\.$/);
  // Objects in which there is nothing to read: what they stand for would be lost without a word.
  refuse(Promise.resolve({ h: "v" }), /they are a promise\.$/);
  refuse(new Date(0), /they are an object of class "Date"\.$/);
  for (const bytes of [new ArrayBuffer(1), new DataView(new ArrayBuffer(1))]) refuse(bytes, /an object of class/);
  for (const value of [5, true, {}, ["v"]]) refuse({ h: value }, /"h"/);
  refuse({ h: ["v", "w"] }, /Repeat its name/);
});

test("record encoder: headers of every count and size are written as their parts one by one would be", () => {
  const roll = dice(seededRandom(5));
  const encoder = newEncoder();
  const letters = ["x", "é", "€", "𝄞"];
  const text = (): string => letters[roll(4)]!.repeat(roll(roll(8) === 0 ? 3_000 : 30));
  const varint = (value: number): number[] => {
    const bytes = [];
    let rest = value >= 0 ? value * 2 : -value * 2 - 1;
    for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
    return [...bytes, rest];
  };
  const sized = (bytes: Uint8Array): number[] => [...varint(bytes.length), ...bytes];
  // 9,000 take a count of three bytes, and more room than is kept.
  for (const count of [0, 1, 2, 8, 63, 64, 65, 300, 0, 9_000, 3]) {
    const headers = Array.from({ length: count }, () => {
      const value = [null, text(), utf8.encode(text())][roll(3)]!;
      return [text(), value] as const;
    });
    encoder.encode("t", "key", "value", headers);
    const found = encoder.headers?.subarray(0, encoder.headersLength) ?? Uint8Array.of(0);
    let at = 0;
    const expect = (bytes: Iterable<number>): void => {
      for (const byte of bytes) if (found[at++] !== byte) assert.fail(`Byte ${at - 1} of ${count} headers is wrong`);
    };
    expect(varint(count));
    for (const [name, value] of headers) {
      expect(sized(utf8.encode(name)));
      expect(value === null ? [1] : sized(typeof value === "string" ? utf8.encode(value) : value));
    }
    assert.equal(at, found.length);
  }
});

test("record encoder: what serializers return is text like any other: no lone surrogate in a key, U+FFFD in a value", () => {
  const text = "a\ud800b";
  for (const serializer of [stringSerializer(), (value: string): string => value]) {
    const encoder = new RecordEncoder(serializer as never, serializer as never, LIMITS);
    encoder.encode("t", "k", text, undefined);
    assertBytes(encoder.value!.subarray(0, encoder.valueLength), utf8.encode("a\ufffdb"), "value");
    assert.throws(() => encoder.encode("t", text, "v", undefined), /key.*lone surrogate/);
  }
});

test("record encoder: a lone surrogate is refused in a header's name and becomes U+FFFD in its value", () => {
  for (const name of ["\ud800", "a\udfffb", "x".repeat(40) + "\ud800"]) {
    for (const headers of [{ [name]: "v" }, [[name, "v"]]]) {
      assert.throws(() => newEncoder().encode("t", null, "v", headers as never), {
        name: "SerializationError",
        message: /header name.*lone surrogate/,
      });
    }
  }
  const encoder = newEncoder();
  encoder.encode("t", null, "\ud800", { h: "\ud800" });
  assert.deepEqual(encoder.headers!.slice(0, encoder.headersLength), Uint8Array.of(2, 2, 0x68, 6, 0xef, 0xbf, 0xbd));
  assert.deepEqual(encoder.value!.slice(0, encoder.valueLength), Uint8Array.of(0xef, 0xbf, 0xbd));
});

test("record encoder: what is too large is refused before room is made for it, whichever part it is", () => {
  const prototype = TextEncoder.prototype as unknown as Record<string, (text: string) => unknown>;
  const { encode, encodeInto } = prototype;
  let encoded = 0;
  const counting = (inner: (text: string) => unknown) =>
    function (this: TextEncoder, ...args: [string]): unknown {
      encoded += args[0].length;
      return inner.apply(this, args);
    };
  const large = "x".repeat(1_000_001);
  const bytes = new Uint8Array(1_000_001);
  const attempts: [unknown, unknown, unknown][] = [
    [large, "v", undefined],
    [bytes, "v", undefined],
    [null, large, undefined],
    [null, bytes, undefined],
    [null, "v", { h: large }],
    [null, "v", { h: bytes }],
    [null, "v", { [large]: "v" }],
    [null, "v", endless()],
    [large.slice(0, 500_000), large.slice(0, 500_002), undefined],
    [bytes.slice(0, 400_000), "v", { h: bytes.slice(0, 600_001) }],
  ];
  function* endless(): Generator<[string, string]> {
    for (;;) yield ["h", "v"];
  }
  const serializers = [undefined, (value: never) => value] as const;
  for (const serializer of serializers) {
    const limits = { bufferMemory: 2_000_000, maxRequestSize: 1_000_000 };
    const encoder = new RecordEncoder(serializer, serializer, limits);
    try {
      prototype.encode = counting(encode!);
      prototype.encodeInto = counting(encodeInto!);
      for (const [index, [key, value, headers]] of attempts.entries()) {
        if (serializer !== undefined && headers !== undefined) continue;
        encoded = 0;
        assert.throws(() => encoder.encode("t", key, value, headers as never), {
          name: "RecordTooLargeError",
          message: /maxRequestSize.*at least \d+ bytes.*1000000/,
        });
        encoder.release();
        assert.ok(encoded <= 600_000, `${index}: ${encoded} characters were encoded`);
      }
    } finally {
      Object.assign(prototype, { encode, encodeInto });
    }
  }
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
  checkRecordNumbers("t", 0, 0);
  checkRecordNumbers("t", undefined, Number.MAX_SAFE_INTEGER);
  for (const bad of [-1, 1.5, NaN, Infinity, "1", null]) {
    assert.throws(() => checkRecordNumbers("t", bad, undefined), { code: "INVALID_PARTITION" });
    assert.throws(() => checkRecordNumbers("t", undefined, bad), { code: "INVALID_TIMESTAMP" });
  }
  assert.throws(() => checkRecordNumbers("t", undefined, 2 ** 53), { code: "INVALID_TIMESTAMP" });
});

test("record encoder: one long key, value or header doesn't take its room for good", () => {
  const long = "x".repeat(5_000_000);
  const bytes = new Uint8Array(5_000_000);
  for (const [key, value, headers] of [[long, "v"], [null, long], [bytes, "v"], [null, "v", { h: long }]] as const) {
    for (const copies of [false, true]) {
      const encoder = new RecordEncoder(undefined, undefined, LIMITS, copies, copies);
      encoder.encode("orders", key, value, headers as never);
      encoder.release();
      encoder.encode("orders", "key", "value", { h: "header" });
      const kept = [encoder.key!, encoder.value!, encoder.headers!].map(({ length }) => length);
      assert.ok(Math.max(...kept) <= 4_194_304, `${kept} bytes are kept`);
    }
  }
  const encoder = newEncoder();
  assert.throws(() => encoder.encode("orders", "\ud800".repeat(2_000_000), "v", undefined), /lone surrogate/);
  encoder.encode("orders", "key", "value", undefined);
  assert.ok(encoder.key!.length <= 4_194_304, `${encoder.key!.length} bytes are kept`);
});

test("record encoder: one long text doesn't take its room for good", () => {
  const encoder = newEncoder();
  encoder.encode("orders", null, "x".repeat(5_000_000), undefined);
  assert.equal(encoder.valueLength, 5_000_000);
  encoder.encode("orders", null, "short", undefined);
  assert.ok(encoder.value!.length <= 4_194_304, `${encoder.value!.length} bytes are kept`);
  assert.equal(new TextDecoder().decode(encoder.value!.subarray(0, encoder.valueLength)), "short");
});
