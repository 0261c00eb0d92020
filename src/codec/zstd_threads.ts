/**
 * Zstandard on the threads of `zlib`, with contexts that serve one batch after the other.
 *
 * The functions of `zlib` make a context for each call, and on a thread its fresh pages cost as much as compressing
 * 128 KiB (measured: 4.8 against 2.7 µs of CPU per KiB). A stream keeps its context, and ends a frame with each write
 * when told so.
 *
 * @module
 */

import { builtinThreads } from "../runtime/builtin.ts";
import { joined } from "./scratch.ts";
import { onThread, plain, type Zlib, type ZlibStream } from "./zlib.ts";

/** As many batches are compressed at once as `libuv` has threads; the next ones wait. 1.5 MB each at level 3. */
const MAX_CONTEXTS = 4;
/** Levels above it need so much memory that it isn't kept, and so much time that a new context costs nothing. */
const MAX_KEPT_LEVEL = 9;
/** What comes out is seldom more. */
const CHUNK_SIZE = 131_072;
/** Above what a batch compresses to, so that a stream never waits for its reader. */
const HIGH_WATER_MARK = 1 << 30;

/** Compresses to a single frame, on a thread. */
export type ZstdOnThread = (input: Uint8Array, level: number) => Promise<Uint8Array>;

/** The way to the threads, or undefined where `zlib` has no zstd or works without threads. */
export function zstdThreads(zlib: Zlib): ZstdOnThread | undefined {
  const { createZstdCompress, zstdCompress } = zlib;
  const { ZSTD_c_compressionLevel: levelParameter, ZSTD_e_end: endOfFrame } = zlib.constants;
  if (!createZstdCompress || !zstdCompress || levelParameter === undefined || !builtinThreads()) return undefined;
  const idle: { readonly stream: ZlibStream; readonly level: number }[] = [];
  const waiting: (() => void)[] = [];
  let busy = 0;

  return async (input, level) => {
    const params = { [levelParameter]: level };
    if (level > MAX_KEPT_LEVEL) return await onThread(zstdCompress, input, { params, pledgedSrcSize: input.length });
    // Whoever ends hands its place on, so that none that comes now is before those that wait.
    if (busy === MAX_CONTEXTS) await new Promise<void>((go) => waiting.push(go));
    else busy++;
    try {
      let kept = idle.pop();
      if (kept?.level !== level) {
        kept?.stream.destroy();
        const options = { params, flush: endOfFrame, chunkSize: CHUNK_SIZE, readableHighWaterMark: HIGH_WATER_MARK };
        kept = { stream: createZstdCompress(options), level };
      }
      const output = await written(kept.stream, input);
      idle.push(kept); // but not one that failed
      return output;
    } finally {
      const next = waiting.shift();
      if (next) next();
      else busy--;
    }
  };
}

/** What comes out of a stream for one write. */
function written(stream: ZlibStream, input: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    stream.on("error", reject);
    stream.write(input, (error) => {
      stream.removeListener("error", reject);
      if (error) return reject(error);
      // One read gives everything, or on Node 26 and Bun one chunk.
      const chunks: Uint8Array[] = [];
      for (let chunk; (chunk = stream.read()) !== null;) chunks.push(chunk);
      resolve(plain(joined(chunks)));
    });
  });
}
