/**
 * Zstandard by WebAssembly, where the runtime's `zlib` has none and in portable mode. The module is that of the package
 * `@bokuweb/zstd-wasm`, as text: the package itself looks for a file beside its own code, which no bundle has.
 *
 * @module
 */

import type { Codec } from "./codec.ts";
import { isWorkerd } from "../runtime/builtin.ts";
import { bytesOf } from "./base64.ts";
import { portableGunzip } from "./gzip_package.ts";
import { instanceCodec, instantiate, type ZstdInstance } from "./zstd_instance.ts";

let instance: ZstdInstance | undefined;
let starting: Promise<ZstdInstance> | undefined;

/** Zstandard by WebAssembly, whose module is imported at the first use. */
export const portableZstd: Codec = /* @__PURE__ */ instanceCodec(() => instance ?? start());

function start(): Promise<ZstdInstance> {
  return starting ??= load().catch((error) => {
    starting = undefined;
    throw error;
  });
}

async function load(): Promise<ZstdInstance> {
  const { ZSTD_MODULE, ZSTD_MODULE_SIZE } = await import("./zstd_wasm.ts");
  const bytes = await portableGunzip(bytesOf(ZSTD_MODULE), ZSTD_MODULE_SIZE);
  return instance = instantiate(await WebAssembly.compile(bytes as Uint8Array<ArrayBuffer>));
}

/** Whether a module can be compiled here, now and later: workerd compiles WebAssembly only while a module is being evaluated, which the first batch is too late for. */
export function compilesWasm(): boolean {
  if (isWorkerd()) return false;
  try {
    return new WebAssembly.Module(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)) instanceof WebAssembly.Module;
  } catch {
    return false;
  }
}
