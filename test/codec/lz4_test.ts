import assert from "node:assert/strict";
import { assertBytes } from "../bytes.ts";
import * as lz4js from "lz4js";
import { kernels } from "../../src/codec/kernels.ts";
import { lz4Decompress } from "../../src/codec/lz4.ts";
import { xxhash32 } from "../../src/codec/xxhash32.ts";
import { CompressionError } from "../../src/errors.ts";
import { test } from "../harness.ts";
import { firstDifference, json, KINDS, noise, random, SIZES } from "./corpus.ts";
import { KERNELS } from "./sources.ts";

const HEADER_SIZE = 7;
const { lz4Compress } = kernels;

test("lz4: an independent decoder reads every frame back with the exact size", () => {
  for (const { name, lz4Compress } of KERNELS) {
    for (const size of SIZES) {
      for (const [kind, make] of Object.entries(KINDS)) {
        const input = make(size);
        const frame = lz4Compress(input);
        const blocks = Math.ceil(size / 65_536);
        const where = `${kind} ${size} by ${name}`;
        assert.ok(frame.length <= size + HEADER_SIZE + 4 * blocks + 4, `${where} grew to ${frame.length}`);
        // lz4js fails on a frame without blocks when it is told the size.
        const output = size === 0 ? new Uint8Array(0) : lz4js.decompress(frame, size);
        assert.equal(firstDifference(output, input), -1, `${where}, read by lz4js`);
        assert.equal(firstDifference(lz4Decompress(frame, size), input), -1, where);
      }
    }
  }
});

test("lz4: the header is the one that Java writes, and a frame of nothing is header and end mark", () => {
  for (const { lz4Compress } of KERNELS) {
    assert.deepEqual([...lz4Compress(new Uint8Array(0))], [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82, 0, 0, 0, 0]);
  }
});

test("lz4: every block keeps the format's rules for its end and is independent of the others", () => {
  for (const { name, lz4Compress } of KERNELS) {
    for (const size of SIZES) {
      for (const [kind, make] of Object.entries(KINDS)) {
        for (const block of compressedBlocks(lz4Compress(make(size)))) {
          const { lastMatchStart, lastLiterals, total, reachesBack } = inspectBlock(block);
          const where = `a block of ${kind} ${size} by ${name}`;
          assert.ok(total <= 65_536, where);
          assert.ok(!reachesBack, `${where} needs what is before it`);
          if (lastMatchStart === undefined) continue;
          assert.ok(lastLiterals >= 5, `${where} ends with ${lastLiterals} literals`);
          assert.ok(lastMatchStart <= total - 12, `${where} of ${total} has a match at ${lastMatchStart}`);
        }
      }
    }
  }
});

test("lz4: noise is stored, zeros shrink two hundredfold, JSON to less than half", () => {
  for (const { lz4Compress } of KERNELS) {
    assert.equal(lz4Compress(noise(100_000, 4)).length, 100_000 + HEADER_SIZE + 8 + 4);
    assert.ok(lz4Compress(new Uint8Array(65_536)).length < 300);
    assert.ok(lz4Compress(json(16_384)).length < 8192);
  }
});

test("lz4: results stay as they are when the next batch is compressed", () => {
  for (const { lz4Compress } of KERNELS) {
    const first = lz4Compress(json(5000));
    const copy = first.slice();
    lz4Compress(noise(5000, 5));
    assertBytes(first, copy);
  }
});

test("lz4: a frame of linked blocks, as lz4js writes it, is read", () => {
  for (const size of [1000, 70_000, 200_000]) {
    const input = json(size);
    assert.equal(firstDifference(lz4Decompress(lz4js.compress(input), size), input), -1);
  }
  // "abcd" in one block, and a match that reaches back into it in the next.
  const linked = frame(0x40, 0x40, [[0x40, 97, 98, 99, 100], [0x08, 4, 0, 0x50, 1, 2, 3, 4, 5]]);
  assert.equal(new TextDecoder().decode(lz4Decompress(linked, 100)).slice(0, 16), "abcdabcdabcdabcd");
  const independent = frame(0x60, 0x40, [[0x40, 97, 98, 99, 100], [0x08, 4, 0, 0x50, 1, 2, 3, 4, 5]]);
  assert.throws(() => lz4Decompress(independent, 100), CompressionError);
});

test("lz4: frames that are cut short at any byte are refused", () => {
  const whole = lz4Compress(json(300));
  for (let length = 0; length < whole.length; length++) {
    assert.throws(() => lz4Decompress(whole.subarray(0, length), 300), CompressionError, `cut at ${length}`);
  }
});

test("lz4: flipped bytes give an error or other bytes, never more than the limit", () => {
  const input = json(3000);
  const whole = lz4Compress(input);
  const next = random(6);
  for (let round = 0; round < 3000; round++) {
    const bad = whole.slice();
    bad[next() % bad.length]! ^= 1 + next() % 255;
    try {
      assert.ok(lz4Decompress(bad, 4000).length <= 4000);
    } catch (error) {
      assert.ok(error instanceof CompressionError, String(error));
    }
  }
});

test("lz4: a bomb is refused before it is unpacked", () => {
  // 60 blocks of 4 MB each in 16 KB a block.
  const block = [0x1f, 0, 1, 0, ...new Array(16_440).fill(255), 0, 0x50, 0, 0, 0, 0, 0];
  const bomb = frame(0x60, 0x70, new Array(60).fill(block));
  assert.throws(() => lz4Decompress(bomb, 5_000_000), /more than 5000000 bytes/);
});

test("lz4: a block that holds more than the header allows is refused", () => {
  // One literal, 70,000 and some times repeated, then five more.
  const block = [0x1f, 0, 1, 0, ...new Array(275).fill(255), 0, 0x50, 0, 0, 0, 0, 0];
  assert.ok(lz4Decompress(frame(0x60, 0x50, [block]), 100_000).length > 65_536);
  assert.throws(() => lz4Decompress(frame(0x60, 0x40, [block]), 100_000), /wanted at most 65536/);
  const stored = [...header(0x60, 0x40), 1, 0, 1, 0x80, ...new Uint8Array(65_537), 0, 0, 0, 0];
  assert.throws(() => lz4Decompress(Uint8Array.from(stored), 100_000), /out of bounds/);
});

test("lz4: checksums and content sizes that don't match are refused", () => {
  const content = [1, 2, 3, 4, 5, 6];
  const hash = word(xxhash32(Uint8Array.from(content)));
  const wrong = [hash[0]! ^ 1, ...hash.slice(1)];
  const stored = (flags: number, extra: number[], blockEnd: number[], end: number[]) =>
    Uint8Array.from([...header(flags, 0x40, extra), 6, 0, 0, 0x80, ...content, ...blockEnd, 0, 0, 0, 0, ...end]);
  const read = (bytes: Uint8Array) => [...lz4Decompress(bytes, 6)];
  assert.deepEqual(read(stored(0x64, [], [], hash)), content);
  assert.throws(() => read(stored(0x64, [], [], wrong)), /content checksum/);
  assert.deepEqual(read(stored(0x70, [], hash, [])), content);
  assert.throws(() => read(stored(0x70, [], wrong, [])), /block checksum/);
  assert.deepEqual(read(stored(0x68, [6, 0, 0, 0, 0, 0, 0, 0], [], [])), content);
  assert.throws(() => read(stored(0x68, [7, 0, 0, 0, 0, 0, 0, 0], [], [])), /content size/);
  assert.throws(() => read(stored(0x68, [6, 0, 0, 0, 1, 0, 0, 0], [], [])), /content size/);
  assert.throws(() => read(stored(0x61, [1, 0, 0, 0], [], [])), /dictionary/);
});

function header(flags: number, descriptor: number, extra: number[] = []): number[] {
  const bytes = [flags, descriptor, ...extra];
  return [0x04, 0x22, 0x4d, 0x18, ...bytes, xxhash32(Uint8Array.from(bytes)) >>> 8 & 255];
}

function frame(flags: number, descriptor: number, blocks: number[][]): Uint8Array {
  const parts = [header(flags, descriptor), ...blocks.flatMap((block) => [word(block.length), block]), word(0)];
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function word(value: number): number[] {
  return [value & 255, value >>> 8 & 255, value >>> 16 & 255, value >>> 24];
}

function compressedBlocks(bytes: Uint8Array): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const blocks = [];
  for (let at = HEADER_SIZE;;) {
    const size = view.getUint32(at, true);
    at += 4;
    if (size === 0) return blocks;
    const length = size & 0x7fff_ffff;
    if (size < 0x8000_0000) blocks.push(bytes.subarray(at, at + length));
    at += length;
  }
}

/** A second reading of the block format, which looks at structure only. */
function inspectBlock(
  block: Uint8Array,
): { lastMatchStart: number | undefined; lastLiterals: number; total: number; reachesBack: boolean } {
  let at = 0;
  let total = 0;
  let lastMatchStart: number | undefined;
  let reachesBack = false;
  const length = (nibble: number) => {
    if (nibble < 15) return nibble;
    let sum = 15;
    while (block[at] === 255) sum += block[at++]!;
    return sum + block[at++]!;
  };
  for (;;) {
    const token = block[at++]!;
    const literals = length(token >>> 4);
    at += literals;
    total += literals;
    if (at >= block.length) return { lastMatchStart, lastLiterals: literals, total, reachesBack };
    lastMatchStart = total;
    const offset = block[at++]! | block[at++]! << 8;
    if (offset === 0 || offset > total) reachesBack = true;
    total += length(token & 15) + 4;
  }
}
