/**
 * Zstandard by `zlib`, where the runtime has it there. What comes in its place is in `zstd_package.ts`.
 *
 * @module
 */

import { CompressionError } from "../errors.ts";
import type { Codec, Compressor } from "./codec.ts";
import { joined } from "./scratch.ts";
import { atOnce, outputLimit, type Zlib } from "./zlib.ts";
import { zstdFrames } from "./zstd_frame.ts";

/** Where no level is asked for. */
export const DEFAULT_LEVEL = 3;

/** Zstandard by `zlib`, at once; undefined where that has none: Node before 22.15. */
export function zlibZstd(zlib: Zlib): Compressor | undefined {
  const { zstdCompressSync } = zlib;
  const levelParameter = zlib.constants.ZSTD_c_compressionLevel;
  if (!zstdCompressSync || levelParameter === undefined) return undefined;
  return {
    name: "zstd",
    id: 4,
    // Unless the size is pledged, Deno takes tables and a window for endless input: 2 s for 16 KB at level 22.
    compress: (input, level = DEFAULT_LEVEL) =>
      atOnce(zstdCompressSync, input, { params: { [levelParameter]: level }, pledgedSrcSize: input.length }),
  };
}

/** Zstandard by `zlib`, by its threads where there are any; undefined where `zlib` is missing or has none. */
export function zstdCompressor(
  zlib: Zlib | undefined,
  threads: ((zlib: Zlib, compressor: Compressor) => Compressor) | undefined,
): Compressor | undefined {
  const atOnce = zlib && zlibZstd(zlib);
  return atOnce && (threads?.(zlib!, atOnce) ?? atOnce);
}

/** Back from Zstandard by `zlib`, or undefined where that has none. */
export function zlibUnzstd(zlib: Zlib): Codec["decompress"] | undefined {
  const { zstdDecompressSync } = zlib;
  if (!zstdDecompressSync) return undefined;
  return (input, maxSize) => {
    return eachFrame(input, maxSize, (frame, limit) => {
      return atOnce(zstdDecompressSync, frame, { maxOutputLength: outputLimit(limit) });
    });
  };
}

/** Decompresses frame by frame, each into no more than it can hold and `maxSize` leaves over. */
export function eachFrame(
  input: Uint8Array,
  maxSize: number,
  decompress: (frame: Uint8Array, limit: number) => Uint8Array,
): Uint8Array {
  const frames = zstdFrames(input);
  if (frames.length === 0) throw new CompressionError("Decompressing zstd failed, there is no frame");
  const outputs: Uint8Array[] = [];
  let size = 0;
  for (const { start, end, sizeBound, declared } of frames) {
    const left = maxSize - size;
    if (declared && sizeBound > left) throw overLimit(maxSize);
    const output = decompress(input.subarray(start, end), Math.min(sizeBound, left));
    if (output.length > left) throw overLimit(maxSize);
    size += output.length;
    outputs.push(output);
  }
  return joined(outputs);
}

function overLimit(maxSize: number): CompressionError {
  return new CompressionError(`Decompressing zstd gives more than ${maxSize} bytes, the limit`);
}
