/**
 * What a codec is to the producer: a name, the number that goes into a batch's attributes, and two functions.
 *
 * @module
 */

/** The compression types of Kafka, as users write them. */
export type CompressionType = "none" | "gzip" | "snappy" | "lz4" | "zstd";

/** The numbers of the compression types in the attributes of a record batch. */
export type CompressionId = 0 | 1 | 2 | 3 | 4;

/** The number of each compression type, in the order of the numbers. */
export const COMPRESSION_IDS: Readonly<Record<CompressionType, CompressionId>> = {
  none: 0,
  gzip: 1,
  snappy: 2,
  lz4: 3,
  zstd: 4,
};

/**
 * Compresses and decompresses the records section of a batch.
 *
 * An own implementation is passed as `custom` to `resolveCodec`. Its output must be what every Kafka consumer reads
 * under that number: a gzip member, a Snappy block, an LZ4 frame of independent blocks, a Zstandard frame.
 */
export interface Codec {
  /** The compression type that it writes. */
  readonly name: CompressionType;
  /** Its number in the attributes of a record batch. */
  readonly id: CompressionId;
  /** Called once before use by whoever wants a module that loads lazily to be there early. */
  load?(): Promise<void>;
  /**
   * Returns the compressed bytes; a promise where the runtime compresses off the thread or a module loads lazily.
   * The input must not change until the result is there.
   */
  compress(input: Uint8Array, level?: number): Uint8Array | Promise<Uint8Array>;
  /** Returns the original bytes. Fails when there would be more than `maxSize` of them, before holding so many. */
  decompress(input: Uint8Array, maxSize: number): Uint8Array | Promise<Uint8Array>;
}

/** The half of a codec that a producer needs. */
export type Compressor = Omit<Codec, "decompress">;
