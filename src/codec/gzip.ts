/**
 * gzip: a fast Deflate of our own unless a level is asked for; then `zlib` where the runtime has it, the package
 * `fflate` elsewhere and in portable mode.
 *
 * @module
 */

import { CompressionError } from "../errors.ts";
import type { Codec } from "./codec.ts";
import { crc32ByTables } from "./crc_tables.ts";
import { scratch } from "./scratch.ts";
import type { WasmKernels } from "./wasm.ts";
import { atOnce, onThread, outputLimit, type Zlib } from "./zlib.ts";

type Fflate = typeof import("./fflate.ts");

/**
 * Where there is no WebAssembly. zlib's own 6 takes three to eight times the CPU for 10 to 25 % less (JSON records);
 * level 1 is hardly faster than this on Node, and a quarter bigger on Deno and Bun.
 */
const DEFAULT_LEVEL = 2;

/** Smaller inputs take less time here than the way to a thread and back (measured: 0.2 ms for 16 KB). */
const THREAD_FROM = 32_768;

/** How much is handed to fflate at a time. It expands that, a thousandfold at most, before the limit is checked. */
const INPUT_SLICE = 4096;

/** Larger inputs would hold up everything else for more than 2 ms, so that the way to a thread is worth it. */
const MAX_FAST_SIZE = 524_288;

/** Deflate holds no more in a stored block. */
const BLOCK_SIZE = 65_535;
/** Deflate, no flags, no time stamp, fastest algorithm, unknown system. */
const MEMBER_HEADER = Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255);

/**
 * gzip about as small as zlib's level 1 in half the time and less, by WebAssembly; `other` decompresses, and compresses
 * when there is a level, or when it has threads and the input is large.
 */
export function fastGzip(wasm: WasmKernels, other: Codec, zlib: Zlib | undefined): Codec {
  const crc32 = zlib?.crc32 ?? crc32ByTables;
  const maxSize = zlib === undefined ? Infinity : MAX_FAST_SIZE;
  return {
    name: "gzip",
    id: 1,
    compress(input, level) {
      return level === undefined && input.length <= maxSize
        ? deflate(wasm, crc32, input)
        : other.compress(input, level);
    },
    decompress: other.decompress,
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

/** gzip by `zlib`. */
export function zlibGzip(zlib: Zlib): Codec {
  return {
    name: "gzip",
    id: 1,
    compress(input, level = DEFAULT_LEVEL) {
      return input.length < THREAD_FROM
        ? atOnce(zlib.gzipSync, input, { level })
        : onThread(zlib.gzip, input, { level });
    },
    decompress(input, maxSize) {
      return atOnce(zlib.gunzipSync, input, { maxOutputLength: outputLimit(maxSize) });
    },
  };
}

let fflate: Fflate | undefined;

/** gzip by `fflate`, which is imported at the first use. */
export const portableGzip: Codec = {
  name: "gzip",
  id: 1,
  async load() {
    fflate ??= await import("./fflate.ts");
  },
  compress(input, level = DEFAULT_LEVEL) {
    return fflate
      ? gzip(fflate, input, level)
      : import("./fflate.ts").then((module) => gzip(fflate = module, input, level));
  },
  decompress(input, maxSize) {
    return fflate
      ? gunzip(fflate, input, maxSize)
      : import("./fflate.ts").then((module) => gunzip(fflate = module, input, maxSize));
  },
};

function gzip(fflate: Fflate, input: Uint8Array, level: number): Uint8Array {
  // Without mtime the bytes would change from second to second.
  return fflate.gzipSync(input, { level: level as 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9, mtime: 0 });
}

/** fflate's one-shot function allocates what the trailer claims, reads the first member only and checks nothing. */
function gunzip(fflate: Fflate, input: Uint8Array, maxSize: number): Uint8Array {
  const chunks: Uint8Array[] = [];
  let size = 0;
  let memberSize = 0;
  let memberCrc = 0;
  const stream = new fflate.Gunzip((chunk) => {
    size += chunk.length;
    memberSize += chunk.length;
    if (size > maxSize) throw new CompressionError(`Decompressing gzip gives more than ${maxSize} bytes, the limit`);
    memberCrc = crc32ByTables(chunk, memberCrc);
    chunks.push(chunk);
  });
  const checkTrailer = (end: number) => {
    if (end < 18 || readWord(input, end - 8) !== memberCrc || readWord(input, end - 4) !== memberSize >>> 0) {
      throw new CompressionError("Decompressing gzip failed, the trailer does not match");
    }
    memberSize = 0;
    memberCrc = 0;
  };
  stream.onmember = checkTrailer;
  let at = 0;
  do {
    stream.push(input.subarray(at, at + INPUT_SLICE), at + INPUT_SLICE >= input.length);
    at += INPUT_SLICE;
  } while (at < input.length);
  checkTrailer(input.length);

  const output = new Uint8Array(size);
  let out = 0;
  for (const chunk of chunks) {
    output.set(chunk, out);
    out += chunk.length;
  }
  return output;
}

function readWord(input: Uint8Array, at: number): number {
  return (input[at]! | (input[at + 1]! << 8) | (input[at + 2]! << 16) | (input[at + 3]! << 24)) >>> 0;
}

function writeWord(output: Uint8Array, at: number, value: number): void {
  output[at] = value;
  output[at + 1] = value >>> 8;
  output[at + 2] = value >>> 16;
  output[at + 3] = value >>> 24;
}
