/**
 * Zstandard in the memory of a WebAssembly module: that of the package `@bokuweb/zstd-wasm`, where the runtime's `zlib`
 * has none and in portable mode, or one that is given.
 *
 * @module
 */

import { CompressionError } from "../errors.ts";
import type { Codec } from "./codec.ts";
import { DEFAULT_LEVEL, eachFrame } from "./zstd.ts";

type ZstdPackage = typeof import("./zstd_wasm.ts");

/** The instance of the package never recovers from a failed allocation, and its memory ends at 2 GB. */
const MAX_WASM_SIZE = 256 << 20;

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
  const zstd: ZstdPackage = await import("./zstd_wasm.ts");
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
