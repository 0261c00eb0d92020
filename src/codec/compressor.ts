/**
 * From the name of a compression type to what compresses on this runtime, or an error that says why nothing does.
 *
 * @module
 */

// Before all others, here and on the way here: bundlers keep this order, and 9 kB that can't be compressed, in the middle
// of what can, would make a Worker 120 bytes bigger.
import { wasmKernels } from "./wasm.ts";
import { EXTRAS } from "#codec-extras";
import { ConfigError } from "../errors.ts";
import { type Codec, COMPRESSION_IDS, type CompressionId, type CompressionType, type Compressor } from "./codec.ts";
import type { CodecExtras } from "./extras.ts";
import { failureOf, guarded, quote } from "./guard.ts";
import { fastGzip, zlibGzip } from "./gzip.ts";
import { lz4Compress } from "./lz4.ts";
import { snappyCompress } from "./snappy.ts";
import { nodeZlib } from "./zlib.ts";
import { zlibZstd } from "./zstd.ts";

/** Where codecs come from: the runtime's own first, or WebAssembly and JavaScript only. */
export type CodecSource = "auto" | "portable";

/** How a codec is chosen. */
export interface CodecOptions {
  /** `"auto"`: the fastest that the runtime has. `"portable"`: no built-in of the runtime. @default "auto" */
  readonly codecs?: CodecSource;
  /** gzip: 1 to 9, zstd: -7 to 22. The others have none. @default zstd 3; gzip one of its own, as fast as 1 and as small */
  readonly level?: number | undefined;
  /** Own implementations, which come before all others. */
  readonly custom?: Readonly<Partial<Record<CompressionType, Codec>>> | undefined;
}

const LEVELS: Readonly<Partial<Record<CompressionType, readonly [min: number, max: number]>>> = {
  gzip: [1, 9],
  zstd: [-7, 22],
};

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
  const { codecs = "auto", level, custom } = options;
  if (!Object.hasOwn(COMPRESSION_IDS, name)) {
    throw new ConfigError("compression", `Choose another compression than ${quote(name)}, ${oneOf(COMPRESSION_IDS)}`);
  }
  if (codecs !== "auto" && codecs !== "portable") {
    throw new ConfigError("codecs", `Change codecs from ${quote(codecs)}, wanted "auto" or "portable"`);
  }
  const own = ownCodec(name, custom);
  if (own !== undefined) return new GuardedCompressor(checkCustom(name, own), level);
  checkLevel(name, level);
  return new GuardedCompressor(builtIn(name, codecs, level, extras), level);
}

/** The user's own codec for a compression type, if there is one. */
export function ownCodec(name: CompressionType, custom: CodecOptions["custom"]): Codec | undefined {
  return custom !== undefined && Object.hasOwn(custom, name) ? custom[name] : undefined;
}

/** Loads what a codec would otherwise load when it is first used. @throws CompressionError when that fails */
export async function loadCodec(codec: Pick<Codec, "load">): Promise<void> {
  await codec.load?.();
}

function builtIn(
  name: CompressionType,
  codecs: CodecSource,
  level: number | undefined,
  extras: CodecExtras,
): Compressor {
  const zlib = codecs === "auto" ? nodeZlib() : undefined;
  const threaded = (codec: Compressor | undefined): Compressor | undefined =>
    codec && (extras.zlibThreads?.(zlib!, codec) ?? codec);
  switch (name) {
    case "none":
      return { name, id: 0, compress: (input) => input };
    case "snappy": {
      const kernel = wasmKernels?.compressSnappyFragment ?? extras.snappyFragment;
      if (kernel) return { name, id: 2, compress: (input) => snappyCompress(input, kernel) };
      break;
    }
    case "lz4": {
      const kernel = wasmKernels?.compressLz4Block ?? extras.lz4Block;
      if (kernel) return { name, id: 3, compress: (input) => lz4Compress(input, kernel) };
      break;
    }
    case "gzip": {
      const other = threaded(zlib && zlibGzip(zlib)) ?? extras.gzip;
      // Asked for a level, it is the other's modules that must be loaded early.
      if (wasmKernels && level === undefined) return fastGzip(wasmKernels, other, zlib);
      if (other) return other;
      break;
    }
    case "zstd": {
      const zstd = threaded(zlib && zlibZstd(zlib)) ?? extras.zstd;
      if (zstd) return zstd;
    }
  }
  throw missing(name, level);
}

/** On workerd there are ways to have it after all. */
function missing(name: CompressionType, level: number | undefined): ConfigError {
  const what = level === undefined ? `"${name}"` : `"${name}" with a level`;
  const from = name === "zstd" ? "zstdFromModule" : "resolveCodec";
  const wanted = name === "zstd" || name === "gzip" ? "flag nodejs_compat" : "date 2025-06-01 or later";
  return new ConfigError(
    "compression",
    `Choose another compression than ${what}, or pass the codec of ${from} in "codecs": there is none here, ` +
      `wanted (on workerd) the compatibility ${wanted}`,
  );
}

/** Reports what goes wrong in a compressor as a `CompressionError`, and passes it the level that was configured. */
class GuardedCompressor implements Compressor {
  readonly name: CompressionType;
  readonly id: CompressionId;
  readonly #compressor: Compressor;
  readonly #level: number | undefined;

  constructor(compressor: Compressor, level: number | undefined) {
    this.name = compressor.name;
    this.id = compressor.id;
    this.#compressor = compressor;
    this.#level = level;
  }

  async load(): Promise<void> {
    try {
      await this.#compressor.load?.();
    } catch (error) {
      throw failureOf(`Loading ${this.name}`, error);
    }
  }

  compress(input: Uint8Array, level: number | undefined = this.#level): Uint8Array | Promise<Uint8Array> {
    return guarded(`Compressing ${input.length} bytes with ${this.name}`, () => {
      return this.#compressor.compress(input, level);
    });
  }
}

function checkLevel(name: CompressionType, level: number | undefined): void {
  if (level === undefined) return;
  const range = LEVELS[name];
  if (range === undefined) {
    throw new ConfigError("compression", `Remove the level ${quote(level)}: ${name} has none, wanted no level`);
  }
  const [min, max] = range;
  if (!Number.isInteger(level) || level < min || level > max) {
    const wanted = `wanted a whole number from ${min} to ${max}`;
    throw new ConfigError("compression", `Change the level of ${name} from ${quote(level)}, ${wanted}`);
  }
}

function checkCustom(name: CompressionType, codec: Codec): Codec {
  if (codec?.name !== name || codec.id !== COMPRESSION_IDS[name]) {
    const wanted = `wanted name "${name}" and id ${COMPRESSION_IDS[name]}`;
    throw new ConfigError(
      "codecs",
      `Change the name ${quote(codec?.name)} or the id ${quote(codec?.id)} of the own codec for ${name}, ${wanted}`,
    );
  }
  if (typeof codec.compress !== "function" || typeof codec.decompress !== "function") {
    throw new ConfigError(
      "codecs",
      `Complete the own codec for ${name}, wanted the functions compress and decompress`,
    );
  }
  return codec;
}

function oneOf(names: object): string {
  return `wanted one of ${Object.keys(names).map((name) => `"${name}"`).join(", ")}`;
}
