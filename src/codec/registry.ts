/**
 * From the name of a compression type to a codec that works on this runtime, or an error that says why not.
 *
 * @module
 */

import type { Codec, CompressionType } from "./codec.ts";
import { resolveCompressor } from "./compressor.ts";
import { EXTRAS } from "./extras.ts";
import { type CodecOptions, ownCodec } from "./guarded_compressor.ts";
import { zlibGunzip } from "./gzip.ts";
import { portableGunzip } from "./gzip_package.ts";
import { lz4Decompress } from "./lz4.ts";
import { snappyDecompress } from "./snappy.ts";
import { nodeZlib } from "./zlib.ts";
import { WholeCodec } from "./whole_codec.ts";
import { zlibUnzstd } from "./zstd.ts";
import { portableZstd } from "./zstd_package.ts";

export { type CodecOptions, type CodecSource, loadCodec } from "./guarded_compressor.ts";

/**
 * Finds the codec for a compression type. Every failure of the codec becomes a `CompressionError`.
 *
 * @throws ConfigError when there is no such type, when it can't be had on this runtime, or when the level is not one
 * that the codec heeds. Nothing else is ever used in its place.
 *
 * @example
 * ```ts
 * import { resolveCodec } from "@sluice/kafka/codecs";
 *
 * const codec = resolveCodec("gzip", { level: 9 });
 * const compressed = await codec.compress(new TextEncoder().encode("to be or not to be"));
 * const text = new TextDecoder().decode(await codec.decompress(compressed, 1024));
 * console.assert(text === "to be or not to be");
 * ```
 */
export function resolveCodec(name: CompressionType, options: CodecOptions = {}): Codec {
  const compressor = resolveCompressor(name, options, EXTRAS);
  const own = ownCodec(name, options.custom);
  if (own !== undefined) return new WholeCodec(compressor, (input, maxSize) => own.decompress(input, maxSize));
  return new WholeCodec(compressor, decompressor(name, options.codecs));
}

function decompressor(name: CompressionType, codecs: CodecOptions["codecs"] = "auto"): Codec["decompress"] {
  const zlib = codecs === "auto" ? nodeZlib() : undefined;
  switch (name) {
    case "none":
      return (input) => input;
    case "snappy":
      return snappyDecompress;
    case "lz4":
      return lz4Decompress;
    case "gzip":
      return zlib ? zlibGunzip(zlib) : portableGunzip;
    case "zstd":
      return (zlib && zlibUnzstd(zlib)) ?? portableZstd.decompress;
  }
}
