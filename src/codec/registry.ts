/**
 * From the name of a compression type to a codec that works on this runtime, or an error that says why not.
 *
 * @module
 */

import { CompressionError } from "../errors.ts";
import type { Codec, CompressionId, CompressionType, Compressor } from "./codec.ts";
import { type CodecOptions, loadCodec, ownCodec, resolveCompressor } from "./compressor.ts";
import { EXTRAS } from "./extras.ts";
import { guarded } from "./guard.ts";
import { zlibGunzip } from "./gzip.ts";
import { portableGunzip } from "./gzip_package.ts";
import { lz4Decompress } from "./lz4.ts";
import { snappyDecompress } from "./snappy.ts";
import { nodeZlib } from "./zlib.ts";
import { zlibUnzstd } from "./zstd.ts";
import { portableZstd } from "./zstd_package.ts";

export { type CodecOptions, type CodecSource, loadCodec } from "./compressor.ts";

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

/** A compressor, which is guarded already, and the way back. */
class WholeCodec implements Codec {
  readonly name: CompressionType;
  readonly id: CompressionId;
  readonly #compressor: Compressor;
  readonly #decompress: Codec["decompress"];

  constructor(compressor: Compressor, decompress: Codec["decompress"]) {
    this.name = compressor.name;
    this.id = compressor.id;
    this.#compressor = compressor;
    this.#decompress = decompress;
  }

  load(): Promise<void> {
    return loadCodec(this.#compressor);
  }

  compress(input: Uint8Array, level?: number): Uint8Array | Promise<Uint8Array> {
    return this.#compressor.compress(input, level);
  }

  decompress(input: Uint8Array, maxSize: number): Uint8Array | Promise<Uint8Array> {
    const action = `Decompressing ${input.length} bytes of ${this.name}`;
    const within = (output: Uint8Array): Uint8Array => {
      if (output.length <= maxSize) return output;
      throw new CompressionError(`${action} gave more than the limit of ${maxSize} bytes`);
    };
    const output = guarded(action, () => this.#decompress(input, maxSize));
    return output instanceof Promise ? output.then(within) : within(output);
  }
}
