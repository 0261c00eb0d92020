import assert from "node:assert/strict";
import { assertBytes } from "../bytes.ts";
import type { CompressionType } from "../../src/codec/codec.ts";
import { resolveCompressor } from "../../src/codec/compressor.ts";
import { EXTRAS } from "../../src/codec/extras.ts";
import { EXTRAS as WORKERD_EXTRAS } from "../../src/codec/extras_workerd.ts";
import type { CodecOptions } from "../../src/codec/guarded_compressor.ts";
import { resolveCodec } from "../../src/codec/registry.ts";
import { wasmKernels } from "../../src/codec/wasm.ts";
import { ConfigError } from "../../src/errors.ts";
import { SOCKETS as WORKERD_SOCKETS } from "../../src/runtime/sockets_workerd.ts";
import { test } from "../harness.ts";
import { firstDifference, json } from "./corpus.ts";
import { canResolve } from "./sources.ts";

const NAMES: readonly CompressionType[] = ["none", "gzip", "snappy", "lz4", "zstd"];

test("compressors: what a producer compresses is what the codec of the same name compresses", async () => {
  const input = json(50_000);
  for (const codecs of ["auto", "portable"] as const) {
    for (const name of NAMES.filter((each) => canResolve(each, codecs))) {
      const codec = resolveCodec(name, { codecs });
      const bytes = await resolveCompressor(name, { codecs }, EXTRAS).compress(input);
      assertBytes(bytes, await codec.compress(input), `${name} ${codecs}`);
    }
  }
});

test("compressors: a bundle for workerd has all that needs neither zlib nor a package", async () => {
  const input = json(70_000);
  for (const name of NAMES) {
    if (name === "zstd") continue;
    const options: CodecOptions = { codecs: "portable" };
    const bytes = await resolveCompressor(name, options, WORKERD_EXTRAS).compress(input);
    const back = await resolveCodec(name, options).decompress(bytes, input.length);
    assert.equal(firstDifference(back, input), -1, name);
  }
  assert.deepEqual(Object.keys(WORKERD_SOCKETS), ["workerd"]);
  assert.notEqual(wasmKernels(), undefined);
});

test("compressors: what a bundle for workerd leaves out is a ConfigError that says how to have it", async () => {
  const missing: [CompressionType, CodecOptions, RegExp][] = [
    ["gzip", { level: 9 }, /"gzip" with a level, or pass the codec of resolveCodec in "codecs".* nodejs_compat\.$/],
    ["zstd", {}, /"zstd", or pass the codec of zstdFromModule in "codecs".* nodejs_compat\.$/],
    ["zstd", { level: 3 }, /"zstd" with a level, or pass the codec of zstdFromModule/],
  ];
  for (const [name, options, message] of missing) {
    assert.throws(() => resolveCompressor(name, { ...options, codecs: "portable" }, WORKERD_EXTRAS), (error) => {
      assert.ok(error instanceof ConfigError, String(error));
      assert.equal(error.option, "compression");
      assert.match(error.message, message);
      return true;
    });
  }
  const custom = { gzip: resolveCodec("gzip", { codecs: "portable" }) };
  const input = json(20_000);
  const [large, bytes] = await Promise.all([1, 9].map((level) => {
    return resolveCompressor("gzip", { level, custom }, WORKERD_EXTRAS).compress(input);
  }));
  assert.ok(bytes!.length < large!.length, `${bytes!.length} and ${large!.length}`);
  assert.equal(firstDifference(await custom.gzip.decompress(bytes!, input.length), input), -1);
});
