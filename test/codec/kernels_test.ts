import assert from "node:assert/strict";
import { assertBytes } from "../bytes.ts";
import { gunzipSync } from "fflate";
import * as lz4js from "lz4js";
import * as snappyjs from "snappyjs";
import { bytesOf } from "../../src/codec/base64.ts";
import { crc32c } from "../../src/codec/crc32c.ts";
import { CRC_MODULE } from "../../src/codec/crc_module.ts";
import { crc32cByBits, crc32cByTables } from "../../src/codec/crc_tables.ts";
import { startChecksum, wasmCrc32c } from "../../src/codec/crc_wasm.ts";
import { chooseKernels, javaScriptKernels, kernels } from "../../src/codec/kernels.ts";
import { resolveCodec } from "../../src/codec/registry.ts";
import { startWasm, wasmKernels } from "../../src/codec/wasm.ts";
import { WASM_MODULE } from "../../src/codec/wasm_module.ts";
import { runtimeName, test } from "../harness.ts";
import { firstDifference, json, KINDS, noise, random } from "./corpus.ts";
import { KERNELS } from "./sources.ts";

test("kernels: this runtime compiles the WebAssembly module and takes it for checksums, lz4 and snappy", () => {
  assert.notEqual(wasmKernels(), undefined);
  assert.notEqual(wasmCrc32c(), undefined);
  assert.equal(kernels.name, "webassembly");
  // They find different matches, so the bytes tell who compressed.
  const input = json(20_000);
  for (const [name, compress] of [["lz4", "lz4Compress"], ["snappy", "snappyCompress"]] as const) {
    assert.notDeepEqual(kernels[compress](input), javaScriptKernels[compress](input));
    for (const codecs of ["auto", "portable"] as const) {
      assertBytes(
        resolveCodec(name, { codecs }).compress(input) as Uint8Array,
        kernels[compress](input),
        `${name} ${codecs}`,
      );
    }
  }
});

test("kernels: the checksum by WebAssembly equals the tables' for every short length at every alignment", () => {
  const bytes = noise(400, 11);
  for (let start = 0; start < 16; start++) {
    for (let length = 0; length <= 300; length++) {
      const expected = crc32cByTables(bytes, start, start + length);
      assert.equal(wasmCrc32c()!(bytes, start, start + length), expected, `${length} from ${start}`);
      assert.equal(crc32c(bytes, start, start + length), expected, `${length} from ${start}, either way`);
      assert.equal(crc32cByBits(bytes, start, start + length), expected, `${length} from ${start}, bit by bit`);
    }
  }
});

test("kernels: the checksum by WebAssembly equals the tables' wherever lanes and chunks end, and spares its input", () => {
  const bytes = noise(5_000_000, 12);
  const copy = bytes.slice();
  const lengths = [65_535, 65_536, 65_537, 65_540, 66_000, 131_071, 131_072, 131_073, 4_194_305, 5_000_000 - 3];
  for (let length = 1700; length < 2050; length++) lengths.push(length);
  const next = random(13);
  for (let round = 0; round < 200; round++) lengths.push(next() % 70_000);
  for (const length of lengths) {
    const start = length % 4;
    const view = bytes.subarray(length % 3);
    const end = Math.min(start + length, view.length);
    assert.equal(wasmCrc32c()!(view, start, end), crc32cByTables(view, start, end), `${length} from ${start}`);
  }
  assert.equal(firstDifference(bytes, copy), -1);
});

test("kernels: whatever is compressed after whatever else, independent decoders give it back", () => {
  const next = random(14);
  for (let round = 0; round < 250; round++) {
    const input = patchwork(next, round % 10 === 0 ? 65_534 + next() % 5 : next() % 3 ** (1 + next() % 11));
    for (const { name, lz4Compress, snappyCompress } of KERNELS) {
      const where = `round ${round}, ${input.length} bytes by ${name}`;
      const frame = lz4Compress(input);
      const read = input.length === 0 ? input : lz4js.decompress(frame, input.length);
      assert.equal(firstDifference(read, input), -1, `lz4, ${where}`);
      assert.equal(firstDifference(snappyjs.uncompress(snappyCompress(input)), input), -1, `snappy, ${where}`);
    }
    const member = resolveCodec("gzip").compress(input) as Uint8Array;
    assert.equal(firstDifference(gunzipSync(member), input), -1, `gzip, round ${round}, ${input.length} bytes`);
  }
});

test("kernels: gzip without a level takes the module, and is as small as level 1", async () => {
  for (const codecs of ["auto", "portable"] as const) {
    for (const size of [1000, 16_384, 200_000]) {
      const member = resolveCodec("gzip", { codecs }).compress(json(size));
      assert.ok(member instanceof Uint8Array, "no thread, no module that must be loaded");
      const levelOne = await resolveCodec("gzip", { codecs, level: 1 }).compress(json(size));
      assert.notDeepEqual(member, levelOne);
      assert.ok(member.length < 1.05 * levelOne.length, `${size} ${codecs}: ${member.length} for ${levelOne.length}`);
    }
    const noisy = noise(200_000, 16);
    assert.equal((resolveCodec("gzip", { codecs }).compress(noisy) as Uint8Array).length, 200_000 + 18 + 4 * 5);
  }
});

test("kernels: codes of gzip keep to their longest size whatever the counts", () => {
  for (const first of [0, 100, 230]) {
    // Counts that grow like Fibonacci's numbers make the deepest tree.
    const bytes: number[] = [];
    for (let symbol = 0, count = 1, next = 1; symbol < 21; symbol++, [count, next] = [next, count + next]) {
      for (let i = 0; i < count; i++) bytes.push(first + symbol);
    }
    const order = random(17);
    const input = Uint8Array.from(
      bytes.map((byte) => [order(), byte] as const).sort(([a], [b]) => a - b),
      ([, b]) => b,
    );
    const member = resolveCodec("gzip").compress(input) as Uint8Array;
    assert.ok(member.length < input.length / 2);
    assert.equal(firstDifference(gunzipSync(member), input), -1);
  }
});

test("kernels: batches of more than 4 MB go through the module's memory in pieces", async () => {
  for (const kind of ["mixed", "noise", "json"] as const) {
    const input = KINDS[kind](4_300_001);
    const frame = kernels.lz4Compress(input);
    assert.equal(firstDifference(kernels.lz4Decompress(frame, input.length), input), -1, `lz4 of ${kind}`);
    const block = kernels.snappyCompress(input);
    assert.equal(firstDifference(kernels.snappyDecompress(block, input.length), input), -1, `snappy of ${kind}`);
    for (const codecs of ["auto", "portable"] as const) {
      const member = await resolveCodec("gzip", { codecs }).compress(input);
      assert.equal(firstDifference(gunzipSync(member), input), -1, `gzip of ${kind} ${codecs}`);
    }
  }
});

test("kernels: what lies in the module's memory from before changes nothing", () => {
  const inputs = [json(3000), noise(70_000, 15), json(65_536), new Uint8Array(9000), json(20), KINDS.bits(40_000)];
  const run = () => inputs.flatMap((input) => [kernels.lz4Compress(input), kernels.snappyCompress(input)]);
  const first = run();
  inputs.forEach((input) => crc32c(input));
  inputs.toReversed().forEach((input) => kernels.lz4Compress(input));
  run().forEach((output, index) => assertBytes(output, first[index]!, `Output ${index}`));
});

test("kernels: without WebAssembly, or where it may not be compiled, JavaScript does the work", (t) => {
  const bytes = bytesOf(WASM_MODULE);
  assert.equal(startWasm(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)), undefined); // a module, but not this one
  assert.equal(startWasm(bytes.slice(0, -1)), undefined);
  assert.equal(startWasm(new Uint8Array(0)), undefined);
  assert.equal(startChecksum(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)), undefined);
  // workerd compiles while modules are evaluated only.
  assert.equal(startWasm(bytes) === undefined, runtimeName === "workerd");
  const checksum = bytesOf(CRC_MODULE);
  assert.equal(startChecksum(checksum) === undefined, runtimeName === "workerd");
  const globals = globalThis as { WebAssembly?: unknown };
  const before = globals.WebAssembly;
  t.after(() => void (globals.WebAssembly = before));
  globals.WebAssembly = undefined;
  assert.equal(startWasm(bytes), undefined);
  assert.equal(startChecksum(checksum), undefined);
  assert.equal(chooseKernels(undefined), javaScriptKernels);
});

/** Noise, runs, text and copies of what came before, in pieces of all lengths. */
function patchwork(next: () => number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size;) {
    const length = Math.min(size - at, 1 + next() % 2 ** (next() % 12));
    const piece = bytes.subarray(at, at + length);
    const kind = next() % 4;
    if (kind === 0) piece.set(noise(length, next()));
    else if (kind === 1) piece.fill(next());
    else if (kind === 2) piece.set(json(length));
    else for (let i = 0, from = at - 1 - next() % (at + 1); i < length; i++) piece[i] = bytes[Math.max(0, from) + i]!;
    at += length;
  }
  return bytes;
}
