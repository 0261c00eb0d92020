/**
 * Which codecs the tests can ask for on this runtime.
 *
 * @module
 */

import type { CompressionType } from "../../src/codec/codec.ts";
import type { CodecSource } from "../../src/codec/registry.ts";
import { runtimeName } from "../harness.ts";

/** Both kinds of sources. */
export const SOURCES: readonly CodecSource[] = ["auto", "portable"];

/** workerd compiles no WebAssembly while it runs, so zstd is there only when the runtime brings it. */
export function canResolve(name: CompressionType, codecs: CodecSource): boolean {
  return !(runtimeName === "workerd" && name === "zstd" && codecs === "portable");
}
