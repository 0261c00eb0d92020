/**
 * KafkaJS's compression: numbers for the codecs, and a table into which its users put those that it lacks.
 *
 * @module
 */

import { resolveCodec } from "../../codec/registry.ts";
import type { Codec, CompressionId, CompressionType } from "../../codec/codec.ts";
import { builtinModule } from "../../runtime/builtin.ts";
import { show } from "../../show.ts";
import { KafkaJSNonRetriableError } from "./errors.ts";

/** The codecs, by their numbers. */
export const CompressionTypes = {
  /** Nothing is compressed. */
  None: 0,
  /** gzip. */
  GZIP: 1,
  /** Snappy. */
  Snappy: 2,
  /** LZ4. */
  LZ4: 3,
  /** Zstandard. */
  ZSTD: 4,
} as const;
/** The number of a codec. */
export type CompressionTypes = typeof CompressionTypes[keyof typeof CompressionTypes];

/** A codec as KafkaJS's users bring one: what is compressed is the `buffer` of the argument. */
interface KafkaJSCodec {
  compress(encoder: { readonly buffer: Uint8Array }): Uint8Array | Promise<Uint8Array>;
  decompress(buffer: Uint8Array): Uint8Array | Promise<Uint8Array>;
}

const NAMES: readonly CompressionType[] = ["none", "gzip", "snappy", "lz4", "zstd"];
const MAX_DECOMPRESSED_BYTES = 104_857_600;

function builtIn(name: CompressionType): () => KafkaJSCodec {
  return () => {
    const codec = resolveCodec(name);
    return {
      compress: async ({ buffer }) => nodeBytes(await codec.compress(buffer)),
      decompress: async (buffer) => nodeBytes(await codec.decompress(buffer, MAX_DECOMPRESSED_BYTES)),
    };
  };
}

const BUILT_IN: readonly (() => KafkaJSCodec)[] = NAMES.slice(1).map(builtIn);

/**
 * The codecs. All of them are there; one that is put in place of another, as KafkaJS's users do for Snappy, LZ4 and
 * Zstandard, is used from then on.
 */
// deno-lint-ignore no-explicit-any
export const CompressionCodecs: Record<1 | 2 | 3 | 4, () => any> = {
  [CompressionTypes.GZIP]: BUILT_IN[0]!,
  [CompressionTypes.Snappy]: BUILT_IN[1]!,
  [CompressionTypes.LZ4]: BUILT_IN[2]!,
  [CompressionTypes.ZSTD]: BUILT_IN[3]!,
};

/** @throws {KafkaJSNonRetriableError} for what is the number of no codec */
export function checkCompression(type: CompressionTypes): void {
  if (typeof type === "number" && NAMES[type] !== undefined) return;
  throw new KafkaJSNonRetriableError(`Set "compression" to one of CompressionTypes: ${show(type)} is none.`);
}

/** What a producer of ours needs to compress by a number: the codec's name, or the one that the user has brought. */
export function compressionOf(type: CompressionTypes): CompressionType | Codec {
  const name = NAMES[type]!;
  if (type === 0 || CompressionCodecs[type] === BUILT_IN[type - 1]) return name;
  return codecOf(name, type, CompressionCodecs[type]);
}

/** A codec that the user has brought. */
function codecOf(name: CompressionType, id: CompressionId, make: () => KafkaJSCodec): Codec {
  if (typeof make !== "function") {
    throw new KafkaJSNonRetriableError(
      `Put a function that makes a codec into CompressionCodecs: ${show(make)} is none.`,
    );
  }
  const codec = make();
  return {
    name,
    id,
    compress: (input) => codec.compress({ buffer: nodeBytes(input) }),
    decompress: (input) => codec.decompress(nodeBytes(input)),
  };
}

interface WithBuffer {
  readonly Buffer: { from(buffer: ArrayBufferLike, offset: number, length: number): Uint8Array };
}

/** The same bytes as a Buffer, where there is such a thing. */
export function nodeBytes(bytes: Uint8Array): Uint8Array {
  const { buffer, byteOffset, byteLength } = bytes;
  return builtinModule<WithBuffer>("node:buffer")?.Buffer.from(buffer, byteOffset, byteLength) ?? bytes;
}
