/**
 * Which codecs and kernels the tests can ask for on this runtime.
 *
 * @module
 */

import type { CompressionType } from "../../src/codec/codec.ts";
import type { CodecSource } from "../../src/codec/registry.ts";
import { javaScriptKernels, type Kernels, kernels } from "../../src/codec/kernels.ts";
import { runtimeName } from "../harness.ts";

/** Both kinds of sources. */
export const SOURCES: readonly CodecSource[] = ["auto", "portable"];

/** Both sets of kernels; the second is WebAssembly on every runtime of the matrix. */
export const KERNELS: readonly Kernels[] = [javaScriptKernels, kernels];

/** workerd compiles no WebAssembly while it runs, so zstd is there only when the runtime brings it. */
export function canResolve(name: CompressionType, codecs: CodecSource): boolean {
  return !(runtimeName === "workerd" && name === "zstd" && codecs === "portable");
}
