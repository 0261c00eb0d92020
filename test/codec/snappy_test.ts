import assert from "node:assert/strict";
import { assertBytes } from "../bytes.ts";
import * as snappyjs from "snappyjs";
import { kernels } from "../../src/codec/kernels.ts";
import { snappyDecompress } from "../../src/codec/snappy.ts";
import { CompressionError } from "../../src/errors.ts";
import { test } from "../harness.ts";
import { firstDifference, json, KINDS, noise, random, SIZES } from "./corpus.ts";
import { KERNELS } from "./sources.ts";

const { snappyCompress } = kernels;

test("snappy: an independent decoder reads every block back, and we read its blocks", () => {
  for (const { name, snappyCompress } of KERNELS) {
    for (const size of SIZES) {
      for (const [kind, make] of Object.entries(KINDS)) {
        const input = make(size);
        const block = snappyCompress(input);
        const where = `${kind} ${size} by ${name}`;
        assert.ok(block.length <= 32 + size + size / 6, `${where} grew to ${block.length}`);
        assert.equal(firstDifference(snappyjs.uncompress(block), input), -1, `${where}, read by snappyjs`);
        assert.equal(firstDifference(snappyDecompress(block, size), input), -1, where);
        if (name !== "javascript") continue;
        assert.equal(firstDifference(snappyDecompress(snappyjs.compress(input), size), input), -1, `${where} back`);
      }
    }
  }
});

test("snappy: noise hardly grows, zeros shrink twentyfold, JSON to less than half", () => {
  for (const { snappyCompress } of KERNELS) {
    assert.ok(snappyCompress(noise(100_000, 4)).length < 100_020);
    assert.ok(snappyCompress(new Uint8Array(65_536)).length < 65_536 / 20);
    assert.ok(snappyCompress(json(16_384)).length < 8192);
  }
});

test("snappy: results stay as they are when the next batch is compressed", () => {
  for (const { snappyCompress } of KERNELS) {
    const first = snappyCompress(json(5000));
    const copy = first.slice();
    snappyCompress(noise(5000, 5));
    assertBytes(first, copy);
  }
});

test("snappy: chunks in xerial framing are read, cut ones are refused", () => {
  const input = json(80_000);
  const parts = [input.subarray(0, 32_768), input.subarray(32_768, 65_536), input.subarray(65_536)];
  const framed = xerial(parts.map((part) => snappyCompress(part)));
  assert.equal(firstDifference(snappyDecompress(framed, 80_000), input), -1);
  assert.throws(() => snappyDecompress(framed, 79_999), /more than 79999 bytes/);
  assert.throws(() => snappyDecompress(framed.subarray(0, framed.length - 1), 80_000), CompressionError);
  assert.throws(() => snappyDecompress(framed.subarray(0, 18), 80_000), CompressionError);
  assert.equal(snappyDecompress(xerial([]), 0).length, 0);
});

test("snappy: blocks that are cut short at any byte are refused", () => {
  const whole = snappyCompress(json(300));
  for (let length = 0; length < whole.length; length++) {
    assert.throws(() => snappyDecompress(whole.subarray(0, length), 300), CompressionError, `cut at ${length}`);
  }
});

test("snappy: flipped bytes give an error or other bytes, never more than the limit", () => {
  const whole = snappyCompress(json(3000));
  const next = random(6);
  for (let round = 0; round < 3000; round++) {
    const bad = whole.slice();
    bad[next() % bad.length]! ^= 1 + next() % 255;
    try {
      assert.ok(snappyDecompress(bad, 4000).length <= 4000);
    } catch (error) {
      assert.ok(error instanceof CompressionError, String(error));
    }
  }
});

test("snappy: a declared length that the bytes can't hold is refused whatever the limit", () => {
  assert.throws(() => snappyDecompress(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x0f, 0, 1), 2 ** 33), /cannot hold/);
  assert.throws(() => snappyDecompress(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0x0f), 2 ** 40), CompressionError);
  assert.throws(() => snappyDecompress(xerial([Uint8Array.of(0xff, 0xff, 0x3f, 0, 1)]), 2 ** 33), /cannot hold/);
  const bomb = snappyCompress(new Uint8Array(1_000_000));
  assert.throws(() => snappyDecompress(bomb, 10_000), /more than 10000 bytes/);
});

test("snappy: copies from before the start, and elements that run over the end, are refused", () => {
  const refused = (...bytes: number[]) =>
    assert.throws(() => snappyDecompress(Uint8Array.from(bytes), 99), CompressionError);
  assert.deepEqual([...snappyDecompress(Uint8Array.of(5, 0, 97, 1, 1), 5)], [97, 97, 97, 97, 97]);
  refused(5, 0, 97, 1, 0); // offset 0
  refused(5, 0, 97, 1, 2); // two bytes back, where there is one
  refused(4, 0, 97, 1, 1); // a byte more than declared
  refused(1, 4, 97, 98); // the same by literals
  refused(6, 0, 97, 1, 1); // a byte less
  const first = Uint8Array.of(1, 0, 97);
  assert.throws(() => snappyDecompress(xerial([first, Uint8Array.of(4, 1, 1)]), 99), /before the start/);
});

test("snappy: long literals and far copies, which we never write, are read", () => {
  const literal = noise(70_000, 8);
  const size = [0xf0, 0xa2, 0x04]; // 70,000
  const block = Uint8Array.from([...size, 62 << 2, 0x6f, 0x11, 0x01, ...literal]);
  assert.equal(firstDifference(snappyDecompress(block, 70_000), literal), -1);
  const copied = Uint8Array.from([0xf4, 0xa2, 0x04, 62 << 2, 0x6f, 0x11, 0x01, ...literal, 0x0f, 0x70, 0x11, 0x01, 0]);
  assert.deepEqual([...snappyDecompress(copied, 70_004).subarray(70_000)], [...literal.subarray(0, 4)]);
});

function xerial(blocks: Uint8Array[]): Uint8Array {
  const bytes = [0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1];
  for (const block of blocks) {
    bytes.push(block.length >>> 24, block.length >>> 16 & 255, block.length >>> 8 & 255, block.length & 255, ...block);
  }
  return Uint8Array.from(bytes);
}
