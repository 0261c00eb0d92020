/**
 * What compressing takes on other runtimes than workerd. In bundles for workerd `extras_workerd.ts` takes the place of
 * this module (`imports` of `package.json`).
 *
 * @module
 */

import type { Compressor } from "./codec.ts";
import { portableGzip } from "./gzip_package.ts";
import { compressLz4Block } from "./lz4_block.ts";
import { compressSnappyFragment } from "./snappy_fragment.ts";
import type { BlockCompressor } from "./wasm.ts";
import { singleFrame } from "./zstd_frame.ts";
import type { Zlib } from "./zlib.ts";
import { portableZstd } from "./zstd_package.ts";
import { type ZstdOnThread, zstdThreads } from "./zstd_threads.ts";

/** What a compressor is made of where the first choice isn't there; undefined where there is no other. */
export interface CodecExtras {
  /** gzip with any level, in place of `zlib`. */
  readonly gzip?: Compressor | undefined;
  /** Zstandard, in place of `zlib`. */
  readonly zstd?: Compressor | undefined;
  /** One LZ4 block, in place of the WebAssembly kernel. */
  readonly lz4Block?: BlockCompressor;
  /** The elements of a stretch of a Snappy block, in place of the WebAssembly kernel. */
  readonly snappyFragment?: BlockCompressor;
  /** Takes what doesn't belong there from the output of a runtime's zstd. */
  readonly singleFrame?: (output: Uint8Array, inputSize: number) => Uint8Array;
  /** The way to the threads of a runtime's `zlib`, if it has any. */
  readonly zstdThreads?: (zlib: Zlib) => ZstdOnThread | undefined;
}

/** Packages, JavaScript kernels, and what zstd takes on Node and Deno. */
export const EXTRAS: CodecExtras = {
  gzip: portableGzip,
  get zstd() {
    return compilesWasm() ? portableZstd : undefined;
  },
  lz4Block: compressLz4Block,
  snappyFragment: compressSnappyFragment,
  singleFrame,
  zstdThreads,
};

/** workerd compiles WebAssembly only while a module is being evaluated, which the first batch is too late for. */
function compilesWasm(): boolean {
  if (globalThis.navigator?.userAgent === "Cloudflare-Workers") return false;
  try {
    return new WebAssembly.Module(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)) instanceof WebAssembly.Module;
  } catch {
    return false;
  }
}
