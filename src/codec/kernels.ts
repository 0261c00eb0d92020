/**
 * The functions that work on every byte, as sets: in JavaScript, and the fastest that the runtime has.
 *
 * @module
 */

import { crc32c } from "./crc32c.ts";
import { crc32cByTables } from "./crc_tables.ts";
import { lz4Compress, lz4Decompress } from "./lz4.ts";
import { compressLz4Block } from "./lz4_block.ts";
import { snappyCompress, snappyDecompress } from "./snappy.ts";
import { compressSnappyFragment } from "./snappy_fragment.ts";
import { type WasmKernels, wasmKernels } from "./wasm.ts";

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
  crc32c: crc32cByTables,
  lz4Compress: (input) => lz4Compress(input, compressLz4Block),
  lz4Decompress,
  snappyCompress: (input) => snappyCompress(input, compressSnappyFragment),
  snappyDecompress,
};

/** The fastest that this runtime has: WebAssembly for what the producer does, or {@link javaScriptKernels}. */
export const kernels: Kernels = chooseKernels(wasmKernels());

/** The kernels with those of a module in their places, if there is one. */
export function chooseKernels(wasm: WasmKernels | undefined): Kernels {
  if (wasm === undefined) return javaScriptKernels;
  return {
    name: "webassembly",
    crc32c,
    lz4Compress: (input) => lz4Compress(input, wasm.compressLz4Block),
    lz4Decompress,
    snappyCompress: (input) => snappyCompress(input, wasm.compressSnappyFragment),
    snappyDecompress,
  };
}
