/**
 * Takes the place of `extras.ts` in bundles for workerd, where the WebAssembly kernels always work (compatibility date
 * 2025-06-01 and later) and `zlib` is one compatibility flag away. What is left out is there all the same for a Worker
 * that passes the codec of `resolveCodec` or `zstdFromModule`.
 *
 * @module
 */

import type { CodecExtras } from "./extras.ts";

/** Nothing. */
export const EXTRAS: CodecExtras = {};
