/**
 * Codecs as values, each with no more than it needs: a bundle has those that are imported and no others.
 *
 * @module
 */

import type { Codec, CompressionType, Compressor } from "./codec.ts";
import { checkLevel, type CodecSource, GuardedCompressor, missing } from "./guarded_compressor.ts";
import { gzipCompressor, zlibGunzip } from "./gzip.ts";
import { portableGunzip, portableGzip } from "./gzip_package.ts";
import { lz4Compressor, lz4Decompress } from "./lz4.ts";
import { compressLz4Block } from "./lz4_block.ts";
import { snappyCompressor, snappyDecompress } from "./snappy.ts";
import { compressSnappyFragment } from "./snappy_fragment.ts";
import { wasmKernels } from "./wasm.ts";
import { WholeCodec } from "./whole_codec.ts";
import { nodeZlib } from "./zlib.ts";
import { zlibThreads } from "./zlib_threads.ts";
import { zlibUnzstd, zstdCompressor } from "./zstd.ts";
import { compilesWasm, portableZstd } from "./zstd_package.ts";

/** How {@link gzip} and {@link zstd} compress. */
export interface LevelOptions {
  /** gzip: 1 to 9, zstd: −7 to 22. @default zstd 3; gzip one of its own, as fast as 1 and as small */
  readonly level?: number | undefined;
  /** `"auto"`: the runtime's own first. `"portable"`: WebAssembly and JavaScript only. @default "auto" */
  readonly codecs?: CodecSource | undefined;
}

/**
 * LZ4, for the option `compression` of a producer.
 *
 * @example
 * ```ts
 * import { Producer } from "@sluice/kafka/core";
 * import { lz4 } from "@sluice/kafka/codecs";
 *
 * const producer = new Producer({ brokers: "localhost:9092", compression: lz4() });
 * await producer.close();
 * ```
 */
export function lz4(): Codec {
  return whole("lz4", lz4Compressor(wasmKernels()?.compressLz4Block ?? compressLz4Block), lz4Decompress);
}

/** Snappy, for the option `compression` of a producer. */
export function snappy(): Codec {
  return whole(
    "snappy",
    snappyCompressor(wasmKernels()?.compressSnappyFragment ?? compressSnappyFragment),
    snappyDecompress,
  );
}

/** gzip, for the option `compression` of a producer. @throws ConfigError for a level that it doesn't have */
export function gzip({ level, codecs }: LevelOptions = {}): Codec {
  const zlib = codecs === "portable" ? undefined : nodeZlib();
  const compressor = gzipCompressor(level, wasmKernels(), zlib, zlibThreads, portableGzip);
  return whole("gzip", compressor, zlib ? zlibGunzip(zlib) : portableGunzip, level);
}

/**
 * Zstandard, for the option `compression` of a producer.
 *
 * @throws ConfigError for a level that it doesn't have, and on workerd without `nodejs_compat`, where `zstdFromModule`
 * helps
 */
export function zstd({ level, codecs }: LevelOptions = {}): Codec {
  const zlib = codecs === "portable" ? undefined : nodeZlib();
  const compressor = zstdCompressor(zlib, zlibThreads) ?? (compilesWasm() ? portableZstd : undefined);
  return whole("zstd", compressor, (zlib && zlibUnzstd(zlib)) ?? portableZstd.decompress, level);
}

function whole(
  name: CompressionType,
  compressor: Compressor | undefined,
  decompress: Codec["decompress"],
  level?: number,
): Codec {
  checkLevel(name, level);
  if (compressor === undefined) throw missing(name, level);
  return new WholeCodec(new GuardedCompressor(compressor, level), decompress);
}
