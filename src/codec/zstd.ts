/**
 * Zstandard: `zlib` where the runtime has it there, the package `@bokuweb/zstd-wasm` elsewhere and in portable
 * mode.
 *
 * @module
 */

import { CompressionError } from "../errors.ts";
import type { Codec } from "./codec.ts";
import { atOnce, onThread, outputLimit, type Zlib } from "./zlib.ts";
import { zstdFrames } from "./zstd_frame.ts";

type ZstdPackage = typeof import("./zstd_package.ts");

const DEFAULT_LEVEL = 3;

/** Smaller inputs do not repay the way to a thread and back (measured: 64 KB take 0.3 ms at level 3, the way 0.2 ms). */
const THREAD_FROM = 131_072;
/** Levels above 9 take ten times as long and more. */
const THREAD_FROM_HIGH_LEVEL = 4096;

/** The instance of the package never recovers from a failed allocation, and its memory ends at 2 GB. */
const MAX_WASM_SIZE = 256 << 20;

/** Zstandard by `zlib`, or undefined where that has none: Node before 22.15. */
export function zlibZstd(zlib: Zlib): Codec | undefined {
  const { zstdCompress, zstdCompressSync, zstdDecompressSync } = zlib;
  const levelParameter = zlib.constants.ZSTD_c_compressionLevel;
  if (!zstdCompress || !zstdCompressSync || !zstdDecompressSync || levelParameter === undefined) return undefined;
  return {
    name: "zstd",
    id: 4,
    compress(input, level = DEFAULT_LEVEL) {
      // Unless the size is pledged, Deno takes tables and a window for endless input: 2 s for 16 KB at level 22.
      const options = { params: { [levelParameter]: level }, pledgedSrcSize: input.length };
      const threadFrom = level > 9 ? THREAD_FROM_HIGH_LEVEL : THREAD_FROM;
      if (input.length < threadFrom) return oneFrame(atOnce(zstdCompressSync, input, options), input.length);
      return onThread(zstdCompress, input, options).then((output) => oneFrame(output, input.length));
    },
    decompress(input, maxSize) {
      return eachFrame(input, maxSize, (frame, limit) => {
        return atOnce(zstdDecompressSync, frame, { maxOutputLength: outputLimit(limit) });
      });
    },
  };
}

/** zstd in the memory of a WebAssembly module. */
export interface ZstdInstance {
  /** One frame. */
  compress(input: Uint8Array, level: number): Uint8Array;
  /** The content of one frame, which fails when that is more than `limit`. */
  decompress(frame: Uint8Array, limit: number): Uint8Array;
}

let instance: ZstdInstance | undefined;
let starting: Promise<ZstdInstance> | undefined;

/** Zstandard by `@bokuweb/zstd-wasm`, which is imported at the first use. */
export const portableZstd: Codec = instanceCodec(() => instance ?? startPackage());

/** The codec of an instance that is there or comes later. */
export function instanceCodec(start: () => ZstdInstance | Promise<ZstdInstance>): Codec {
  const use = (run: (zstd: ZstdInstance) => Uint8Array): Uint8Array | Promise<Uint8Array> => {
    const zstd = start();
    return zstd instanceof Promise ? zstd.then(run) : run(zstd);
  };
  return {
    name: "zstd",
    id: 4,
    async load() {
      await start();
    },
    compress(input, level = DEFAULT_LEVEL) {
      checkSize("Compressing", input);
      return use((zstd) => zstd.compress(input, level));
    },
    decompress(input, maxSize) {
      checkSize("Decompressing", input);
      const limit = Math.min(maxSize, MAX_WASM_SIZE);
      return use((zstd) => eachFrame(input, limit, (frame, room) => zstd.decompress(frame, room)));
    },
  };
}

function checkSize(action: string, input: Uint8Array): void {
  if (input.length <= MAX_WASM_SIZE) return;
  throw new CompressionError(`${action} ${input.length} bytes with zstd failed, wanted at most ${MAX_WASM_SIZE}`);
}

function startPackage(): Promise<ZstdInstance> {
  return starting ??= importPackage().catch((error) => {
    starting = undefined;
    throw error;
  });
}

async function importPackage(): Promise<ZstdInstance> {
  const zstd: ZstdPackage = await import("./zstd_package.ts");
  await zstd.init();
  const compressor = zstd.createCCtx();
  const decompressor = zstd.createDCtx();
  const noDictionary = new Uint8Array(0);
  return instance = {
    compress: (input, level) => zstd.compressUsingDict(compressor, input, noDictionary, level),
    decompress: (frame, limit) => {
      return zstd.decompressUsingDict(decompressor, frame, noDictionary, { defaultHeapSize: limit });
    },
  };
}

/** Deno appends an empty frame to outputs of 16 KB and more, which not every consumer takes for nothing. */
function oneFrame(output: Uint8Array, inputSize: number): Uint8Array {
  const [frame] = zstdFrames(output);
  if (frame?.sizeBound !== inputSize || frame.start !== 0) {
    throw new CompressionError(`Compressing ${inputSize} bytes with zstd failed, the runtime wrote no single frame`);
  }
  return frame.end === output.length ? output : output.subarray(0, frame.end);
}

/** Decompresses frame by frame, each into no more than it can hold and `maxSize` leaves over. */
function eachFrame(
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
  if (outputs.length === 1) return outputs[0]!;
  const output = new Uint8Array(size);
  let at = 0;
  for (const part of outputs) {
    output.set(part, at);
    at += part.length;
  }
  return output;
}

function overLimit(maxSize: number): CompressionError {
  return new CompressionError(`Decompressing zstd gives more than ${maxSize} bytes, the limit`);
}
