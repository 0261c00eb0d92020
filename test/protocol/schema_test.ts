import assert from "node:assert/strict";
import { ProtocolError } from "../../src/errors.ts";
import { EndTxn, Metadata, Produce } from "../../src/protocol/messages/mod.ts";
import { Reader } from "../../src/protocol/reader.ts";
import { defineApi, type RequestInputOf, type RequestOf } from "../../src/protocol/schema.ts";
import { Writer } from "../../src/protocol/writer.ts";
import { test } from "../harness.ts";
import { bytesOf, fromHex, toHex } from "./golden.ts";

const declaration = {
  key: 1000,
  name: "Example",
  versions: [0, 3],
  flexible: 2,
  request: {
    port: "int16",
    crc: "int32",
    weight: { type: "int64", default: 0x3fe0000000000000n },
    cursor: { struct: { topic: "string", index: { type: "int32", default: -1 } }, nullable: 0, default: null },
    old: { type: "string", until: 1 },
    note: { type: "string", since: 1, nullable: 2, default: "none", ignorable: true },
    blob: { type: "bytes", since: 2, tag: 3 },
    first: { type: "int32", since: 2, tag: 1, default: 7 },
    ids: { type: "uuid[]", since: 3, nullable: 3, default: null },
  },
  response: {},
} as const;
const Example = defineApi(declaration);

type Input = RequestInputOf<typeof Example>;

function encoded(version: number, body: Input): string {
  const writer = new Writer();
  Example.encodeRequest(writer, version, body);
  return toHex(bytesOf(writer));
}

function decoded(version: number, hex: string): RequestOf<typeof Example> {
  return Example.decodeRequest(new Reader(fromHex(hex)), version);
}

const BASE = { port: 9092, crc: 0xe3069283 | 0 } as const;
const BASE_HEX = "2384e3069283";
const WEIGHT = "3fe0000000000000";

test("protocol: a declared message is written in each version's own layout and read back whole", () => {
  assert.equal(encoded(0, { ...BASE, old: "x" }), `${BASE_HEX}${WEIGHT}ff000178`);
  assert.equal(
    encoded(1, { ...BASE, old: "x", cursor: { topic: "t" }, note: "n" }),
    `${BASE_HEX}${WEIGHT}01000174ffffffff00017800016e`,
  );
  assert.equal(encoded(2, { ...BASE, note: null }), `${BASE_HEX}${WEIGHT}ff0000`);
  assert.equal(
    encoded(2, { ...BASE, cursor: { topic: "t", index: 5 } }),
    `${BASE_HEX}${WEIGHT}01027400000005` + "00" + "056e6f6e65" + "00",
  );
  const full: Input = {
    ...BASE,
    weight: 0x3ff0000000000000n,
    note: "n",
    blob: fromHex("0102"),
    first: 9,
    ids: ["f".repeat(32)],
  };
  const hex = encoded(3, full);
  assert.equal(
    hex,
    `${BASE_HEX}3ff0000000000000ff026e02${"ff".repeat(16)}02` + "010400000009" + "0303030102",
  );
  assert.deepEqual(decoded(3, hex), {
    ...BASE,
    weight: 0x3ff0000000000000n,
    cursor: null,
    old: "",
    note: "n",
    blob: fromHex("0102"),
    first: 9,
    ids: ["f".repeat(32)],
  });
  assert.deepEqual(decoded(0, `${BASE_HEX}${WEIGHT}ff000178`), {
    ...BASE,
    weight: 0x3fe0000000000000n,
    cursor: null,
    old: "x",
    note: "none",
    blob: new Uint8Array(0),
    first: 7,
    ids: null,
  });
});

test("protocol: only ApiVersions answers in another version than it was asked in, whatever an answer begins with", () => {
  // Two bytes of 35, which is UNSUPPORTED_VERSION.
  const throttleTimeMs = 35 << 16;
  const writer = new Writer();
  EndTxn.encodeResponse(writer, 3, { throttleTimeMs, errorCode: 0 });
  assert.equal(EndTxn.decodeResponse(new Reader(bytesOf(writer)), 3).throttleTimeMs, throttleTimeMs);
});

test("protocol: known tags are found among unknown ones", () => {
  const hex = `${BASE_HEX}${WEIGHT}ff00` + "05" + "000101" + "010400000008" + "0200" + "03020255" + "e80703aabbcc";
  const body = decoded(2, hex);
  assert.equal(body.first, 8);
  assert.deepEqual(body.blob, fromHex("55"));
});

test("protocol: a value that a version can't carry is a ProtocolError that names the field, unless it is ignorable", () => {
  assert.throws(() => encoded(2, { ...BASE, old: "x" }), /Encoding Example v2 request, field old: Version 2 can't/);
  assert.throws(() => encoded(2, { ...BASE, old: "x" }), /wanted v0 to 1\./);
  assert.throws(() => encoded(1, { ...BASE, old: "x", first: 8 }), /field first: .* wanted v2 or later\./);
  assert.throws(() => encoded(1, { ...BASE, old: "x", blob: fromHex("00") }), /field blob/);
  assert.throws(() => encoded(2, { ...BASE, ids: [] }), ProtocolError);
  assert.equal(encoded(0, { ...BASE, old: "x", note: "lost" }), encoded(0, { ...BASE, old: "x" }));
  assert.equal(encoded(1, { ...BASE, old: "x", first: 7, ids: null }), encoded(1, { ...BASE, old: "x" }));
});

test("protocol: null where a version has none, a missing value and a wrong type are ProtocolErrors", () => {
  assert.throws(() => encoded(1, { ...BASE, old: "x", note: null }), /field note: Writing "null": wanted a string/);
  assert.throws(() => encoded(1, { ...BASE }), /field old: Leaving it out: v1 needs a value/);
  assert.throws(() => encoded(3, { ...BASE, cursor: {} as never }), /field cursor\.topic/);
  assert.throws(() => encoded(3, { ...BASE, ids: "abc" as never }), /field ids: .*wanted an array/);
  assert.throws(() => encoded(3, null as never), ProtocolError);
  assert.throws(() => encoded(3, { ...BASE, first: "9" as never }), /field first: Writing "9": wanted an int32/);
});

test("protocol: a struct that may be null is there whatever its marker says, unless that is negative", () => {
  const written = encoded(1, { ...BASE, old: "x", cursor: { topic: "t" } });
  const marker = (BASE_HEX + WEIGHT).length;
  assert.equal(written.slice(marker, marker + 2), "01");
  for (const [byte, wanted] of [["00", "t"], ["01", "t"], ["7f", "t"]] as const) {
    assert.equal(decoded(1, written.slice(0, marker) + byte + written.slice(marker + 2)).cursor?.topic, wanted);
  }
  const empty = encoded(1, { ...BASE, old: "x", cursor: null });
  for (const byte of ["ff", "80"]) {
    assert.equal(decoded(1, empty.slice(0, marker) + byte + empty.slice(marker + 2)).cursor, null);
  }
});

test("protocol: a version that isn't declared is a ProtocolError in both directions", () => {
  for (const version of [-1, 4, 1.5, NaN]) {
    assert.throws(() => encoded(version, BASE), /wanted a version from 0 to 3/);
    assert.throws(() => decoded(version, ""), /wanted a version from 0 to 3/);
  }
});

test("protocol: an error in a nested field is named by its whole path", () => {
  const body = {
    acks: -1,
    timeoutMs: 1,
    topicData: [{ name: "t", partitionData: [{ index: 2 ** 40, records: null }] }],
  };
  assert.throws(
    () => Produce.encodeRequest(new Writer(), 9, body),
    /Encoding Produce v9 request, field topicData\.partitionData\.index: Writing "1099511627776": wanted an int32/,
  );
  assert.throws(
    () => EndTxn.decodeResponse(new Reader(fromHex("0000000000")), 0),
    /Decoding EndTxn v0 response, field errorCode: Truncated input: a field needs 2 bytes, 1 left/,
  );
});

test("protocol: objects decoded in different versions have their fields in one order", () => {
  const old = new Writer();
  Metadata.encodeRequest(old, 1, { topics: null });
  const latest = new Writer();
  Metadata.encodeRequest(latest, 13, { topics: null });
  const a = Metadata.decodeRequest(new Reader(bytesOf(old)), 1);
  const b = Metadata.decodeRequest(new Reader(bytesOf(latest)), 13);
  assert.deepEqual(Object.keys(a), Object.keys(b));
  assert.equal(a.topics, null);
});
