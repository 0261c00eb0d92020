/**
 * Zstandard in the memory of a WebAssembly module, `zstd.wasm` of `@bokuweb/zstd-wasm`.
 *
 * @module
 */

import { CompressionError } from "../errors.ts";
import type { Codec } from "./codec.ts";
import { DEFAULT_LEVEL, eachFrame } from "./zstd.ts";

/** An instance never recovers from a failed allocation, and its memory ends at 2 GB. */
const MAX_WASM_SIZE = 256 << 20;

/** zstd in the memory of a WebAssembly module. */
export interface ZstdInstance {
  /** One frame. */
  compress(input: Uint8Array, level: number): Uint8Array;
  /** The content of one frame, which fails when that is more than `limit`. */
  decompress(frame: Uint8Array, limit: number): Uint8Array;
}

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

const MAX_PAGES = 32_768;

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

/** Starts the module. */
export function instantiate(module: WebAssembly.Module): ZstdInstance {
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
