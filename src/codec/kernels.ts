/**
 * The functions that work on every byte, in one table, so that faster ones can take their places.
 *
 * @module
 */

import { crc32c } from "./crc32c.ts";
import { lz4Compress, lz4Decompress } from "./lz4.ts";
import { snappyCompress, snappyDecompress } from "./snappy.ts";

/** A set of implementations of the hot functions. All sets give the same checksums and decompress the same data. */
export interface Kernels {
  /** For reports. */
  readonly name: string;
  /** The CRC-32C of a range, unsigned. */
  crc32c(bytes: Uint8Array, start?: number, end?: number): number;
  /** One LZ4 frame. */
  lz4Compress(input: Uint8Array): Uint8Array;
  /** The content of the first LZ4 frame. */
  lz4Decompress(input: Uint8Array, maxSize: number): Uint8Array;
  /** One raw Snappy block. */
  snappyCompress(input: Uint8Array): Uint8Array;
  /** The content of a raw Snappy block or of xerial framing. */
  snappyDecompress(input: Uint8Array, maxSize: number): Uint8Array;
}

/** Portable JavaScript; it runs everywhere. */
export const javaScriptKernels: Kernels = {
  name: "javascript",
  crc32c,
  lz4Compress,
  lz4Decompress,
  snappyCompress,
  snappyDecompress,
};
