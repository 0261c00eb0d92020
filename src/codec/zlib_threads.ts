/**
 * Compressing on the threads of `zlib`, zstd with contexts that serve one batch after the other.
 *
 * The functions of `zlib` make a context for each call, and on a thread its fresh pages cost as much as compressing
 * 128 KiB with zstd (measured: 4.8 against 2.7 µs of CPU per KiB). A stream keeps its context, and ends a frame with
 * each write when told so.
 *
 * @module
 */

import { builtinThreads } from "../runtime/builtin.ts";
import type { Compressor } from "./codec.ts";
import { DEFAULT_LEVEL as GZIP_LEVEL } from "./gzip.ts";
import { joined } from "./scratch.ts";
import { plain, type Zlib, type ZlibFunction, type ZlibOptions, type ZlibStream } from "./zlib.ts";
import { DEFAULT_LEVEL as ZSTD_LEVEL } from "./zstd.ts";
import { singleFrame } from "./zstd_frame.ts";

/** Smaller inputs take less time here than the way to a thread and back (measured: 0.2 ms for 16 KB). */
const GZIP_FROM = 32_768;
/** Smaller inputs hold up everything else for less than 2 ms at level 3, and cost a fifth more on a thread. */
const ZSTD_FROM = 262_144;
/** Levels above 9 take ten times as long and more. */
const ZSTD_FROM_HIGH_LEVEL = 4096;
/** They also need so much memory that it isn't kept, and so much time that a new context costs nothing. */
const MAX_KEPT_LEVEL = 9;
/** As many batches are compressed at once as `libuv` has threads; the next ones wait. 1.5 MB each at level 3. */
const MAX_CONTEXTS = 4;
/** What comes out is seldom more. */
const CHUNK_SIZE = 131_072;
/** Above what a batch compresses to, so that a stream never waits for its reader. */
const HIGH_WATER_MARK = 1 << 30;

/** The same compressor of `zlib`, gzip or zstd, but what is large goes to a thread. */
export function zlibThreads(zlib: Zlib, atOnce: Compressor): Compressor {
  const { name, id } = atOnce;
  if (name === "gzip") {
    return {
      name,
      id,
      compress: (input, level = GZIP_LEVEL) =>
        input.length < GZIP_FROM ? atOnce.compress(input, level) : onThread(zlib.gzip, input, { level }),
    };
  }
  const zstd = zstdOnThread(zlib);
  return {
    name,
    id,
    compress(input, level = ZSTD_LEVEL) {
      const isLarge = input.length >= (level > MAX_KEPT_LEVEL ? ZSTD_FROM_HIGH_LEVEL : ZSTD_FROM);
      if (zstd && isLarge) return zstd(input, level).then((output) => singleFrame(output, input.length));
      // Deno appends an empty frame to what is large.
      return singleFrame(atOnce.compress(input, level) as Uint8Array, input.length);
    },
  };
}

type OnThread = (input: Uint8Array, level: number) => Promise<Uint8Array>;

/** The way to the threads, or undefined where `zlib` has no zstd or works without threads. */
function zstdOnThread(zlib: Zlib): OnThread | undefined {
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

/** Runs a function of `zlib` on a thread. */
export function onThread(run: ZlibFunction, input: Uint8Array, options: ZlibOptions): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    run(input, options, (error, output) => error ? reject(error) : resolve(plain(output)));
  });
}
