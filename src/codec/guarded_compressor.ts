/**
 * Codecs as values, whoever made them: checked when the producer is made, guarded when they are used.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { type Codec, COMPRESSION_IDS, type CompressionId, type CompressionType, type Compressor } from "./codec.ts";
import { show } from "../show.ts";
import { failureOf, guarded } from "./guard.ts";

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

/**
 * From a name to what compresses. The full client knows every name; the core knows "none" and what is passed as a value.
 *
 * @throws ConfigError when there is no such codec
 */
export type CompressorByName = (name: CompressionType, options: CodecOptions) => Compressor;

/** The names of the core: "none", and those of own codecs. @throws ConfigError for every other one */
export const valuesOnly: CompressorByName = (name, options) => {
  const known = ownCompressor(name, options);
  if (known !== undefined) return known;
  throw new ConfigError(
    "compression",
    `Pass the codec of "${name}" as a value, because this is the core, which knows no codec by its name: ` +
      `import { ${name} } from "@sluice/kafka/codecs" and set "compression" to ${name}().`,
  );
};

/**
 * What every resolver does first: checks the name and where codecs come from, and takes "none" and own codecs.
 *
 * @throws ConfigError for what can't be meant
 */
export function ownCompressor(name: CompressionType, options: CodecOptions): Compressor | undefined {
  const { codecs = "auto", level } = options;
  if (!Object.hasOwn(COMPRESSION_IDS, name)) {
    throw new ConfigError("compression", `Choose another compression than ${show(name)}, ${oneOf(COMPRESSION_IDS)}.`);
  }
  if (codecs !== "auto" && codecs !== "portable") {
    throw new ConfigError("codecs", `Change codecs from ${show(codecs)}, wanted "auto" or "portable".`);
  }
  const own = ownCodec(name, options.custom);
  if (own !== undefined) return new GuardedCompressor(checkCodec(name, own), level);
  checkLevel(name, level);
  return name === "none" ? { name, id: 0, compress: (input) => input } : undefined;
}

/** The user's own codec for a compression type, if there is one. */
export function ownCodec(name: CompressionType, custom: CodecOptions["custom"]): Codec | undefined {
  return custom !== undefined && Object.hasOwn(custom, name) ? custom[name] : undefined;
}

/** A codec that was passed as the value of "compression". @throws ConfigError when it is none */
export function compressorOf(codec: Codec): Compressor {
  const { name } = codec;
  if (!Object.hasOwn(COMPRESSION_IDS, name)) {
    throw new ConfigError("compression", `Change the name ${show(name)} of the codec, ${oneOf(COMPRESSION_IDS)}.`);
  }
  return new GuardedCompressor(checkCodec(name, codec, "compression"), undefined);
}

/** The error for a codec that this runtime lacks. On workerd there are ways to have it after all. */
export function missing(name: CompressionType, level: number | undefined): ConfigError {
  const what = level === undefined ? `"${name}"` : `"${name}" with a level`;
  const from = name === "zstd" ? "zstdFromModule" : "resolveCodec";
  const wanted = name === "zstd" || name === "gzip" ? "flag nodejs_compat" : "date 2025-06-01 or later";
  return new ConfigError(
    "compression",
    `Choose another compression than ${what}, or pass the codec of ${from} in "codecs": there is none here, ` +
      `wanted (on workerd) the compatibility ${wanted}.`,
  );
}

/** Loads what a codec would otherwise load when it is first used. @throws CompressionError when that fails */
export async function loadCodec(codec: Pick<Codec, "load">): Promise<void> {
  await codec.load?.();
}

/** Reports what goes wrong in a compressor as a `CompressionError`, and passes it the level that was configured. */
export class GuardedCompressor implements Compressor {
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

const LEVELS: Readonly<Partial<Record<CompressionType, readonly [min: number, max: number]>>> = {
  gzip: [1, 9],
  zstd: [-7, 22],
};

/** Refuses a level that a codec doesn't heed. */
export function checkLevel(name: CompressionType, level: number | undefined): void {
  if (level === undefined) return;
  const range = LEVELS[name];
  if (range === undefined) {
    throw new ConfigError("compression", `Remove the level ${show(level)}: ${name} has none, wanted no level.`);
  }
  const [min, max] = range;
  if (!Number.isInteger(level) || level < min || level > max) {
    const wanted = `wanted a whole number from ${min} to ${max}`;
    throw new ConfigError("compression", `Change the level of ${name} from ${show(level)}, ${wanted}.`);
  }
}

function checkCodec(name: CompressionType, codec: Codec, option = "codecs"): Codec {
  if (codec?.name !== name || codec.id !== COMPRESSION_IDS[name]) {
    const wanted = `wanted name "${name}" and id ${COMPRESSION_IDS[name]}`;
    throw new ConfigError(
      option,
      `Change the name ${show(codec?.name)} or the id ${show(codec?.id)} of the own codec for ${name}, ${wanted}.`,
    );
  }
  if (typeof codec.compress !== "function" || typeof codec.decompress !== "function") {
    throw new ConfigError(option, `Complete the own codec for ${name}, wanted the functions compress and decompress.`);
  }
  return codec;
}

function oneOf(names: object): string {
  return `wanted one of ${Object.keys(names).map((name) => `"${name}"`).join(", ")}`;
}
