/**
 * Zstandard from the module `zstd.wasm` of `@bokuweb/zstd-wasm`, for runtimes that compile no WebAssembly while they
 * run: workerd without `nodejs_compat`, or a page with a strict content security policy.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import type { Codec } from "./codec.ts";
import { instanceCodec, type ZstdInstance } from "./zstd_package.ts";

/** The exports of version 0.0.27, whose names are minified. */
interface Exports {
  /** Linear memory. */
  readonly f: WebAssembly.Memory;
  /** Constructors. */
  g(): void;
  /** ZSTD_isError */
  h(result: number): number;
  /** ZSTD_compressBound */
  i(size: number): number;
  /** ZSTD_createCCtx */
  j(): number;
  /** ZSTD_compress_usingDict */
  l(context: number, to: number, room: number, from: number, size: number, dict: 0, dictSize: 0, level: number): number;
  /** ZSTD_createDCtx */
  n(): number;
  /** ZSTD_decompress_usingDict */
  q(context: number, to: number, room: number, from: number, size: number, dict: 0, dictSize: 0): number;
  /** malloc */
  s(size: number): number;
  /** free */
  t(address: number): void;
}

const EXPORTED = "fghijklmnopqrstuv";
const MAX_PAGES = 32_768;

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
      "Pass another module to zstdFromModule, wanted zstd.wasm of @bokuweb/zstd-wasm 0.0.27",
    );
  }
  let instance: ZstdInstance | undefined;
  return instanceCodec(() => instance ??= instantiate(module));
}

function instantiate(module: WebAssembly.Module): ZstdInstance {
  const grow = (size: number): boolean => {
    const pages = Math.ceil((size >>> 0) / 65_536);
    if (pages > MAX_PAGES) return false;
    const missing = pages - zstd.f.buffer.byteLength / 65_536;
    try {
      if (missing > 0) zstd.f.grow(missing);
      return true;
    } catch {
      return false;
    }
  };
  const leave = (): never => {
    throw new WebAssembly.RuntimeError("the zstd module gave up");
  };
  // Exit, keep-alive and timers of a program, of which this has none; abort; growth of the memory.
  const imports = { a: { a: leave, b: () => {}, c: leave, d: () => 0, e: grow } };
  const zstd = new WebAssembly.Instance(module, imports).exports as unknown as Exports;
  zstd.g();
  const compressor = zstd.j();
  const decompressor = zstd.n();

  const allocate = (size: number): number => {
    const address = zstd.s(Math.max(size, 1));
    if (address === 0) throw new WebAssembly.RuntimeError(`the zstd module has no ${size} bytes left`);
    return address;
  };
  const run = (
    input: Uint8Array,
    room: number,
    work: (to: number, from: number) => number,
  ): Uint8Array => {
    const from = allocate(input.length);
    let to = 0;
    try {
      to = allocate(room);
      new Uint8Array(zstd.f.buffer).set(input, from);
      const size = work(to, from);
      if (zstd.h(size)) throw new WebAssembly.RuntimeError(`zstd failed with code ${-size}`);
      return new Uint8Array(zstd.f.buffer).slice(to, to + size);
    } finally {
      zstd.t(from);
      if (to !== 0) zstd.t(to);
    }
  };
  return {
    compress(input, level) {
      const room = zstd.i(input.length);
      return run(input, room, (to, from) => zstd.l(compressor, to, room, from, input.length, 0, 0, level));
    },
    decompress(frame, limit) {
      return run(frame, limit, (to, from) => zstd.q(decompressor, to, limit, from, frame.length, 0, 0));
    },
  };
}
