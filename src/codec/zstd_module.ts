/**
 * Zstandard from the module `zstd.wasm` of `@bokuweb/zstd-wasm`, for runtimes that compile no WebAssembly while they
 * run: workerd without `nodejs_compat`, or a page with a strict content security policy.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import type { Codec } from "./codec.ts";
import { instanceCodec, instantiate, type ZstdInstance } from "./zstd_instance.ts";

const EXPORTED = "fghijklmnopqrstuv";

/**
 * A codec for zstd from a compiled `zstd.wasm` of `@bokuweb/zstd-wasm` 0.0.27, to be passed to a producer as an own
 * codec: `codecs: { zstd: zstdFromModule(module) }`.
 *
 * On Cloudflare Workers the module comes from a static import of that file by its path below `node_modules`.
 *
 * @throws ConfigError when it is another module.
 */
export function zstdFromModule(module: WebAssembly.Module): Codec {
  const exported = module instanceof WebAssembly.Module
    ? WebAssembly.Module.exports(module).map(({ name }) => name)
    : [];
  if (exported.sort().join("") !== EXPORTED) {
    throw new ConfigError(
      "codecs",
      "Pass another module to zstdFromModule, wanted zstd.wasm of @bokuweb/zstd-wasm 0.0.27.",
    );
  }
  let instance: ZstdInstance | undefined;
  return instanceCodec(() => instance ??= instantiate(module));
}
