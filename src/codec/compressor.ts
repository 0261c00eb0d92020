/**
 * From the name of a compression type to what compresses on this runtime, or an error that says why nothing does.
 *
 * @module
 */

import { EXTRAS } from "#codec-extras";
import type { CompressionType, Compressor } from "./codec.ts";
import type { CodecExtras } from "./extras.ts";
import {
  type CodecOptions,
  type CodecSource,
  GuardedCompressor,
  missing,
  ownCompressor,
} from "./guarded_compressor.ts";
import { gzipCompressor } from "./gzip.ts";
import { lz4Compressor } from "./lz4.ts";
import { snappyCompressor } from "./snappy.ts";
import { wasmKernels } from "./wasm.ts";
import { nodeZlib } from "./zlib.ts";
import { zstdCompressor } from "./zstd.ts";

/**
 * Finds the compressor for a compression type. Every failure of it becomes a `CompressionError`.
 *
 * @throws ConfigError as `resolveCodec` does
 */
export function resolveCompressor(
  name: CompressionType,
  options: CodecOptions = {},
  extras: CodecExtras = EXTRAS,
): Compressor {
  const { codecs = "auto", level } = options;
  const own = ownCompressor(name, options);
  if (own !== undefined) return own;
  const found = builtIn(name, codecs, level, extras);
  if (found === undefined) throw missing(name, level);
  return new GuardedCompressor(found, level);
}

function builtIn(
  name: CompressionType,
  codecs: CodecSource,
  level: number | undefined,
  extras: CodecExtras,
): Compressor | undefined {
  const zlib = codecs === "auto" ? nodeZlib() : undefined;
  switch (name) {
    case "snappy":
      return snappyCompressor(wasmKernels()?.compressSnappyFragment ?? extras.snappyFragment);
    case "lz4":
      return lz4Compressor(wasmKernels()?.compressLz4Block ?? extras.lz4Block);
    case "gzip":
      return gzipCompressor(level, wasmKernels(), zlib, extras.zlibThreads, extras.gzip);
    case "zstd":
      return zstdCompressor(zlib, extras.zlibThreads) ?? extras.zstd;
  }
}
