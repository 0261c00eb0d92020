import assert from "node:assert/strict";
import { type CodecSource, resolveCodec } from "../../src/codec/registry.ts";
import { zstdFrames } from "../../src/codec/zstd_frame.ts";
import { CompressionError } from "../../src/errors.ts";
import { test } from "../harness.ts";
import { firstDifference, json, KINDS, noise, SIZES } from "./corpus.ts";
import { canResolve, SOURCES } from "./sources.ts";

const sources = SOURCES.filter((codecs) => canResolve("zstd", codecs));

test("zstd: the runtime's zstd and the WebAssembly one read each other's frames", async () => {
  for (const from of sources) {
    for (const to of sources) {
      for (const size of SIZES) {
        for (const [kind, make] of Object.entries(KINDS)) {
          const input = make(size);
          const frame = await resolveCodec("zstd", { codecs: from }).compress(input);
          const output = await resolveCodec("zstd", { codecs: to }).decompress(frame, size);
          assert.equal(firstDifference(output, input), -1, `${kind} ${size} from ${from} to ${to}`);
        }
      }
    }
  }
});

test("zstd: one frame is written, which says how much it holds", async () => {
  for (const codecs of sources) {
    for (const level of [-7, 3, 22]) {
      for (const size of [0, 1, 1000, 70_000, 200_000]) {
        const frame = await resolveCodec("zstd", { codecs, level }).compress(json(size));
        const [only, ...others] = zstdFrames(frame);
        assert.deepEqual(others, []);
        assert.deepEqual(only, { start: 0, end: frame.length, sizeBound: size, declared: true }, `${codecs} ${level}`);
      }
    }
  }
});

test("zstd: batches at once and one after the other, of several levels, each get their own frame", async () => {
  for (const codecs of sources) {
    for (let round = 0; round < 3; round++) {
      await Promise.all([3, 3, 1, 3, 19, -5, 3].map(async (level, i) => {
        const make = i % 2 === 0 ? json : (size: number) => noise(size, i);
        const input = make(70_000 + 250_001 * ((i + round) % 4));
        const codec = resolveCodec("zstd", { codecs, level });
        const frame = await codec.compress(input);
        const output = await codec.decompress(frame, input.length);
        assert.equal(firstDifference(output, input), -1, `${codecs} ${level} ${input.length}`);
      }));
    }
  }
});

test("zstd: frames one after the other and skippable ones between them are read", async () => {
  const input = json(150_000);
  const skippable = [0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
  for (const codecs of sources) {
    const codec = resolveCodec("zstd", { codecs });
    const first = await codec.compress(input.subarray(0, 140_000));
    const second = await codec.compress(input.subarray(140_000));
    const joined = Uint8Array.from([...skippable, ...first, ...skippable, ...second, ...skippable]);
    assert.equal(firstDifference(await codec.decompress(joined, 150_000), input), -1, codecs);
    await refused(codecs, joined, 149_999);
    await refused(codecs, joined.subarray(0, joined.length - 1), 150_000);
    await refused(codecs, joined.subarray(0, 11 + first.length + 3), 150_000);
  }
});

test("zstd: frames of raw and repeated bytes without a content size are read within the limit", async () => {
  // Window of 1 KB, two raw bytes, 1000 times "a".
  const frame = Uint8Array.of(...[0x28, 0xb5, 0x2f, 0xfd, 0, 0], ...[16, 0, 0, 104, 105], ...[0x43, 0x1f, 0, 97]);
  for (const codecs of sources) {
    const text = new TextDecoder().decode(await resolveCodec("zstd", { codecs }).decompress(frame, 2000));
    assert.equal(text, "hi" + "a".repeat(1000), codecs);
    await refused(codecs, frame, 1001);
  }
});

test("zstd: cut frames, foreign bytes and nothing at all are refused", async () => {
  for (const codecs of sources) {
    const whole = await resolveCodec("zstd", { codecs }).compress(json(5000));
    for (const at of [0, 1, 3, 4, 5, 6, 8, 100, whole.length - 1]) await refused(codecs, whole.slice(0, at), 5000);
    for (let at = 1; at < whole.length; at++) assert.throws(() => zstdFrames(whole.subarray(0, at)), /cut short/);
    await refused(codecs, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), 5000);
    await refused(codecs, Uint8Array.from([...whole, 0]), 5000);
  }
});

test("zstd: a content size that the blocks can't hold is refused whatever the limit", async () => {
  const frame = Uint8Array.of(...[0x28, 0xb5, 0x2f, 0xfd, 0xe0], ...[0, 0, 0, 0, 1, 0, 0, 0], ...[17, 0, 0, 104, 105]);
  assert.throws(() => zstdFrames(frame), /can hold 2 bytes says that it holds 4294967296/);
  for (const codecs of sources) await refused(codecs, frame, 2 ** 40);
});

test("zstd: a bomb is refused when it is over the limit, and the codec goes on working", async () => {
  const bomb = await resolveCodec("zstd").compress(new Uint8Array(64 << 20));
  assert.ok(bomb.length < 20_000);
  const undeclared = Uint8Array.of(
    ...[0x28, 0xb5, 0x2f, 0xfd, 0, 0x58],
    ...Array.from({ length: 1000 }, () => [0x02, 0, 0x10, 0]).flat(),
    ...[0x03, 0, 0x10, 0],
  );
  for (const codecs of sources) {
    assert.match((await refused(codecs, bomb, 1_000_000)).message, /gives more than 1000000 bytes/);
    // It must be the decompressor that gives up, not the check of what it has made.
    assert.notEqual((await refused(codecs, undeclared, 1_000_000)).cause, undefined);
    const codec = resolveCodec("zstd", { codecs });
    assert.equal(firstDifference(await codec.decompress(await codec.compress(json(9000)), 9000), json(9000)), -1);
  }
});

async function refused(codecs: CodecSource, input: Uint8Array, maxSize: number): Promise<CompressionError> {
  try {
    await resolveCodec("zstd", { codecs }).decompress(input, maxSize);
  } catch (error) {
    assert.ok(error instanceof CompressionError, String(error));
    return error;
  }
  assert.fail(`${input.length} bytes were not refused by ${codecs}`);
}
