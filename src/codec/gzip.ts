/**
 * gzip: a fast Deflate of our own unless a level is asked for; then `zlib` where the runtime has it. What comes in its
 * place is in `gzip_package.ts`.
 *
 * @module
 */

import type { Codec, Compressor } from "./codec.ts";
import { crc32ByTables } from "./crc_tables.ts";
import { scratch } from "./scratch.ts";
import type { WasmKernels } from "./wasm.ts";
import { atOnce, outputLimit, type Zlib } from "./zlib.ts";

/**
 * Where there is no WebAssembly. zlib's own 6 takes three to eight times the CPU for 10 to 25 % less (JSON records);
 * level 1 is hardly faster than this on Node, and a quarter bigger on Deno and Bun.
 */
export const DEFAULT_LEVEL = 2;

/** Larger inputs would hold up everything else for more than 2 ms, so that the way to a thread is worth it. */
const MAX_FAST_SIZE = 524_288;

/** Deflate holds no more in a stored block. */
const BLOCK_SIZE = 65_535;
/** Deflate, no flags, no time stamp, fastest algorithm, unknown system. */
const MEMBER_HEADER = Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255);

/**
 * gzip about as small as zlib's level 1 in half the time and less, by WebAssembly; `other`, if there is one, when there
 * is a level, or when it has threads and the input is large.
 */
export function fastGzip(wasm: WasmKernels, other: Compressor | undefined, zlib: Zlib | undefined): Compressor {
  const crc32 = zlib?.crc32 ?? crc32ByTables;
  const maxSize = zlib === undefined ? Infinity : MAX_FAST_SIZE;
  return {
    name: "gzip",
    id: 1,
    compress(input, level) {
      return other === undefined || (level === undefined && input.length <= maxSize)
        ? deflate(wasm, crc32, input)
        : other.compress(input, level);
    },
  };
}

function deflate(wasm: WasmKernels, crc32: (bytes: Uint8Array) => number, input: Uint8Array): Uint8Array {
  const blocks = Math.max(1, Math.ceil(input.length / BLOCK_SIZE));
  const output = scratch(MEMBER_HEADER.length + input.length + 5 * blocks + 8);
  output.set(MEMBER_HEADER);
  let at = MEMBER_HEADER.length;
  for (let block = 0; block < blocks; block++) {
    const start = block * BLOCK_SIZE;
    const end = Math.min(start + BLOCK_SIZE, input.length);
    const last = block === blocks - 1;
    let size = wasm.compressDeflateBlock(input, start, end, output, at, last);
    if (size === 0) {
      size = end - start;
      output[at] = last ? 1 : 0;
      output[at + 1] = size;
      output[at + 2] = size >>> 8;
      output[at + 3] = ~size;
      output[at + 4] = ~size >>> 8;
      output.set(input.subarray(start, end), at + 5);
      size += 5;
    }
    at += size;
  }
  writeWord(output, at, crc32(input));
  writeWord(output, at + 4, input.length);
  return output.slice(0, at + 8);
}

/**
 * gzip: our own without a level, `zlib` with one, by its threads where there are any, and `other` where `zlib` is missing.
 * Undefined where none of them is there.
 */
export function gzipCompressor(
  level: number | undefined,
  wasm: WasmKernels | undefined,
  zlib: Zlib | undefined,
  threads: ((zlib: Zlib, compressor: Compressor) => Compressor) | undefined,
  other: Compressor | undefined,
): Compressor | undefined {
  const leveled = zlib === undefined ? other : threads?.(zlib, zlibGzip(zlib)) ?? zlibGzip(zlib);
  // Asked for a level, it is the other's modules that must be loaded early.
  return wasm !== undefined && level === undefined ? fastGzip(wasm, leveled, zlib) : leveled;
}

/** gzip by `zlib`, at once. */
export function zlibGzip(zlib: Zlib): Compressor {
  return {
    name: "gzip",
    id: 1,
    compress: (input, level = DEFAULT_LEVEL) => atOnce(zlib.gzipSync, input, { level }),
  };
}

/** Back from gzip by `zlib`. */
export function zlibGunzip(zlib: Zlib): Codec["decompress"] {
  return (input, maxSize) => atOnce(zlib.gunzipSync, input, { maxOutputLength: outputLimit(maxSize) });
}

function writeWord(output: Uint8Array, at: number, value: number): void {
  output[at] = value;
  output[at + 1] = value >>> 8;
  output[at + 2] = value >>> 16;
  output[at + 3] = value >>> 24;
}
