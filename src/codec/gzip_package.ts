/**
 * gzip by the package `fflate`, where the runtime has no `zlib` and in portable mode.
 *
 * @module
 */

import { CompressionError } from "../errors.ts";
import type { Codec, Compressor } from "./codec.ts";
import { crc32ByTables } from "./crc_tables.ts";
import { DEFAULT_LEVEL } from "./gzip.ts";

type Fflate = typeof import("./fflate.ts");

/** How much is handed to fflate at a time. It expands that, a thousandfold at most, before the limit is checked. */
const INPUT_SLICE = 4096;

let fflate: Fflate | undefined;

/** gzip by `fflate`, which is imported at the first use. */
export const portableGzip: Compressor = {
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
};

/** Back from gzip by `fflate`. */
export const portableGunzip: Codec["decompress"] = (input, maxSize) => {
  return fflate
    ? gunzip(fflate, input, maxSize)
    : import("./fflate.ts").then((module) => gunzip(fflate = module, input, maxSize));
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
