/**
 * From the name of a compression type to a codec that works on this runtime, or an error that says why not.
 *
 * @module
 */

import { CompressionError, ConfigError } from "../errors.ts";
import { type Codec, COMPRESSION_IDS, type CompressionId, type CompressionType } from "./codec.ts";
import { fastGzip, portableGzip, zlibGzip } from "./gzip.ts";
import { kernels } from "./kernels.ts";
import { wasmKernels } from "./wasm.ts";
import { nodeZlib } from "./zlib.ts";
import { portableZstd, zlibZstd } from "./zstd.ts";

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
  const { codecs = "auto", level, custom } = options;
  if (!Object.hasOwn(COMPRESSION_IDS, name)) {
    throw new ConfigError("compression", `Choose another compression than ${quote(name)}, ${oneOf(COMPRESSION_IDS)}`);
  }
  if (codecs !== "auto" && codecs !== "portable") {
    throw new ConfigError("codecs", `Change codecs from ${quote(codecs)}, wanted "auto" or "portable"`);
  }
  const own = custom !== undefined && Object.hasOwn(custom, name) ? custom[name] : undefined;
  if (own !== undefined) return new GuardedCodec(checkCustom(name, own), level);
  checkLevel(name, level);
  return new GuardedCodec(builtIn(name, codecs, level), level);
}

/** Loads what a codec would otherwise load when it is first used. @throws CompressionError when that fails */
export async function loadCodec(codec: Codec): Promise<void> {
  await codec.load?.();
}

function builtIn(name: CompressionType, codecs: CodecSource, level: number | undefined): Codec {
  switch (name) {
    case "none":
      return { name, id: 0, compress: (input) => input, decompress: (input) => input };
    case "snappy":
      return { name, id: 2, compress: kernels.snappyCompress, decompress: kernels.snappyDecompress };
    case "lz4":
      return { name, id: 3, compress: kernels.lz4Compress, decompress: kernels.lz4Decompress };
    case "gzip": {
      const zlib = codecs === "auto" ? nodeZlib() : undefined;
      const other = zlib ? zlibGzip(zlib) : portableGzip;
      // Asked for a level, it is the other's modules that must be loaded early.
      return wasmKernels && level === undefined ? fastGzip(wasmKernels, other, zlib) : other;
    }
    case "zstd": {
      const zlib = codecs === "auto" ? nodeZlib() : undefined;
      const zstd = zlib && zlibZstd(zlib);
      if (zstd) return zstd;
      if (compilesWasm()) return portableZstd;
      throw new ConfigError(
        "compression",
        'Choose another compression than "zstd", or pass the codec of zstdFromModule: this runtime compiles no WebAssembly ' +
          'while it runs, and its own zstd was not found or not allowed, wanted codecs "auto" and, on workerd, the ' +
          "compatibility flag nodejs_compat",
      );
    }
  }
}

/** Reports what goes wrong in a codec as a `CompressionError`, and passes it the level that was configured. */
class GuardedCodec implements Codec {
  readonly name: CompressionType;
  readonly id: CompressionId;
  readonly #codec: Codec;
  readonly #level: number | undefined;

  constructor(codec: Codec, level: number | undefined) {
    this.name = codec.name;
    this.id = codec.id;
    this.#codec = codec;
    this.#level = level;
  }

  async load(): Promise<void> {
    try {
      await this.#codec.load?.();
    } catch (error) {
      throw this.#failure(`Loading ${this.name}`, error);
    }
  }

  compress(input: Uint8Array, level: number | undefined = this.#level): Uint8Array | Promise<Uint8Array> {
    return this.#guard(`Compressing ${input.length} bytes with ${this.name}`, Infinity, () => {
      return this.#codec.compress(input, level);
    });
  }

  decompress(input: Uint8Array, maxSize: number): Uint8Array | Promise<Uint8Array> {
    return this.#guard(`Decompressing ${input.length} bytes of ${this.name}`, maxSize, () => {
      return this.#codec.decompress(input, maxSize);
    });
  }

  #guard(
    action: string,
    maxSize: number,
    run: () => Uint8Array | Promise<Uint8Array>,
  ): Uint8Array | Promise<Uint8Array> {
    const check = (output: Uint8Array): Uint8Array => {
      if (!(output instanceof Uint8Array)) {
        throw new CompressionError(`${action} gave ${quote(output)}, wanted a Uint8Array`);
      }
      if (output.length > maxSize) {
        throw new CompressionError(`${action} gave more than the limit of ${maxSize} bytes`);
      }
      return output;
    };
    try {
      const result = run();
      if (typeof (result as Promise<Uint8Array> | undefined)?.then !== "function") return check(result as Uint8Array);
      return (result as Promise<Uint8Array>).then(check).catch((error) => {
        throw this.#failure(action, error);
      });
    } catch (error) {
      throw this.#failure(action, error);
    }
  }

  #failure(action: string, error: unknown): CompressionError {
    if (error instanceof CompressionError) return error;
    return new CompressionError(`${action} failed: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
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
  if (codec.name !== name || codec.id !== COMPRESSION_IDS[name]) {
    const wanted = `wanted name "${name}" and id ${COMPRESSION_IDS[name]}`;
    throw new ConfigError(
      "codecs",
      `Change the name ${quote(codec.name)} or the id ${quote(codec.id)} of the own codec for ${name}, ${wanted}`,
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

/** workerd compiles WebAssembly only while a module is being evaluated, which the first batch is too late for. */
function compilesWasm(): boolean {
  if (globalThis.navigator?.userAgent === "Cloudflare-Workers") return false;
  try {
    return new WebAssembly.Module(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)) instanceof WebAssembly.Module;
  } catch {
    return false;
  }
}

function oneOf(names: object): string {
  return `wanted one of ${Object.keys(names).map((name) => `"${name}"`).join(", ")}`;
}

function quote(value: unknown): string {
  return typeof value === "string" ? `"${value}"` : String(value);
}
