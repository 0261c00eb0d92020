import assert from "node:assert/strict";
import { crc32c } from "../../src/codec/crc32c.ts";
import { xxhash32 } from "../../src/codec/xxhash32.ts";
import checksums from "../golden/checksums.json" with { type: "json" };
import { test } from "../harness.ts";
import { fromHex, noise, random } from "./corpus.ts";

test("crc32c: the check vector and those of RFC 3720 come out", () => {
  const ascending = Uint8Array.from({ length: 32 }, (_, i) => i);
  const readCommand = fromHex(
    "01c00000000000000000000000000000140000000000040000000014000000182800000000000000" + "0200000000000000",
  );
  assert.equal(crc32c(new TextEncoder().encode("123456789")), 0xe3069283);
  assert.equal(crc32c(new Uint8Array(0)), 0);
  assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  assert.equal(crc32c(ascending), 0x46dd794e);
  assert.equal(crc32c(ascending.toReversed()), 0x113fdb5c);
  assert.equal(crc32c(readCommand), 0xd9963a56);
});

test("crc32c and xxhash32: the checksums of the Java classes come out", () => {
  assert.ok(checksums.vectors.length > 40);
  for (const { in: hex, crc32c: crc, xxh32 } of checksums.vectors) {
    assert.equal(crc32c(fromHex(hex)), crc, `crc32c of ${hex}`);
    assert.equal(xxhash32(fromHex(hex)), xxh32, `xxhash32 of ${hex}`);
  }
});

test("crc32c: every range at every alignment equals the bitwise definition", () => {
  const bytes = noise(6000, 1);
  for (let length = 0; length < 100; length++) {
    const start = length % 7;
    assert.equal(crc32c(bytes, start, start + length), bitwise(bytes.subarray(start, start + length)), `${length}`);
  }
  const next = random(2);
  for (let round = 0; round < 200; round++) {
    const start = next() % 1000;
    const end = start + next() % 5000;
    const view = bytes.subarray(next() % 5);
    assert.equal(crc32c(view, start, end), bitwise(view.subarray(start, end)), `from ${start} to ${end}`);
  }
});

test("xxhash32: a range equals the hash of a copy of it", () => {
  const bytes = noise(200, 3);
  for (let start = 0; start < 20; start++) {
    assert.equal(xxhash32(bytes, start, 150), xxhash32(bytes.slice(start, 150)));
  }
});

function bitwise(bytes: Uint8Array): number {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}
