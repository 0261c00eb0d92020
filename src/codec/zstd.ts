/**
 * Zstandard by `zlib`, where the runtime has it there. What comes in its place is in `zstd_package.ts`.
 *
 * @module
 */

import { CompressionError } from "../errors.ts";
import type { Codec, Compressor } from "./codec.ts";
import type { CodecExtras } from "./extras.ts";
import { joined } from "./scratch.ts";
import { atOnce, outputLimit, type Zlib } from "./zlib.ts";
import { zstdFrames } from "./zstd_frame.ts";

/** Where no level is asked for. */
export const DEFAULT_LEVEL = 3;

/** Smaller inputs hold up everything else for less than 2 ms at level 3, and cost a fifth more on a thread. */
const THREAD_FROM = 262_144;
/** Levels above 9 take ten times as long and more. */
const THREAD_FROM_HIGH_LEVEL = 4096;

/** Zstandard by `zlib`, or undefined where that has none: Node before 22.15. */
export function zlibZstd(zlib: Zlib, extras: CodecExtras): Compressor | undefined {
  const { zstdCompressSync } = zlib;
  const levelParameter = zlib.constants.ZSTD_c_compressionLevel;
  if (!zstdCompressSync || levelParameter === undefined) return undefined;
  const { singleFrame = (output) => output } = extras;
  const onThread = extras.zstdThreads?.(zlib);
  return {
    name: "zstd",
    id: 4,
    compress(input, level = DEFAULT_LEVEL) {
      const threadFrom = level > 9 ? THREAD_FROM_HIGH_LEVEL : THREAD_FROM;
      if (onThread && input.length >= threadFrom) {
        return onThread(input, level).then((output) => singleFrame(output, input.length));
      }
      // Unless the size is pledged, Deno takes tables and a window for endless input: 2 s for 16 KB at level 22.
      const options = { params: { [levelParameter]: level }, pledgedSrcSize: input.length };
      return singleFrame(atOnce(zstdCompressSync, input, options), input.length);
    },
  };
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
