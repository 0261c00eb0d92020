/**
 * What compressing takes on other runtimes than workerd. In bundles for workerd `extras_workerd.ts` takes the place of
 * this module (`imports` of `src/package.json`).
 *
 * @module
 */

import type { Compressor } from "./codec.ts";
import { portableGzip } from "./gzip_package.ts";
import { compressLz4Block } from "./lz4_block.ts";
import { compressSnappyFragment } from "./snappy_fragment.ts";
import type { BlockCompressor } from "./wasm.ts";
import type { Zlib } from "./zlib.ts";
import { zlibThreads } from "./zlib_threads.ts";
import { compilesWasm, portableZstd } from "./zstd_package.ts";

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
  /** The same compressor of a runtime's `zlib`, but what is large goes to a thread, if there are any. */
  readonly zlibThreads?: (zlib: Zlib, compressor: Compressor) => Compressor;
}

/** Packages, JavaScript kernels, and the threads of `zlib`. */
export const EXTRAS: CodecExtras = {
  gzip: portableGzip,
  get zstd() {
    return compilesWasm() ? portableZstd : undefined;
  },
  lz4Block: compressLz4Block,
  snappyFragment: compressSnappyFragment,
  zlibThreads,
};
