/**
 * The codecs and the checksum of record batches: `@sluice/kafka/codecs`.
 *
 * @example
 * ```ts
 * import { loadCodec, resolveCodec } from "@sluice/kafka/codecs";
 *
 * const codec = resolveCodec("lz4");
 * await loadCodec(codec);
 * const compressed = await codec.compress(new Uint8Array(10_000));
 * console.assert(compressed.length < 100);
 * ```
 *
 * @module
 */

export { type Codec, COMPRESSION_IDS, type CompressionId, type CompressionType } from "./codec.ts";
export { crc32c } from "./crc32c.ts";
export { javaScriptKernels, type Kernels, kernels } from "./kernels.ts";
export { type CodecOptions, type CodecSource, loadCodec, resolveCodec } from "./registry.ts";
export { gzip, type LevelOptions, lz4, snappy, zstd } from "./values.ts";
export { zstdFromModule } from "./zstd_module.ts";
