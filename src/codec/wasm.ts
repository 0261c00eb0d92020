/**
 * The codecs' kernels that are compiled to WebAssembly, with SIMD: LZ4 blocks, Snappy fragments and Deflate.
 *
 * The module is compiled on first use, for most producers never need it; on workerd while this one is evaluated, because
 * it is forbidden there later. Where that fails (a content security policy, an engine without SIMD, workerd of before
 * 2025-06-01) the JavaScript kernels do the work.
 *
 * @module
 */

import { isWorkerd } from "../runtime/builtin.ts";
import { bytesOf } from "./base64.ts";
import { WASM_MODULE } from "./wasm_module.ts";

/**
 * Compresses the at most 64 KiB of `input` from `start` to `end` to `output` from `at` on, and returns how many bytes
 * that took, or 0 if it isn't worth it. `output` has room for the worst case.
 */
export type BlockCompressor = (
  input: Uint8Array,
  start: number,
  end: number,
  output: Uint8Array,
  at: number,
) => number;

/** What the module does for the rest of the codecs. */
export interface WasmKernels {
  /** One LZ4 block. */
  readonly compressLz4Block: BlockCompressor;
  /** The elements of one stretch of a Snappy block. */
  readonly compressSnappyFragment: BlockCompressor;
  /** One Deflate block, and if it isn't the `last` one what lets the next begin at a byte. */
  readonly compressDeflateBlock: (...args: [...Parameters<BlockCompressor>, last: boolean]) => number;
}

/** What `wasm/kernels.ts` exports. */
interface Exports {
  readonly memory: WebAssembly.Memory;
  source(): number;
  output(): number;
  lz4(size: number): number;
  snappy(size: number): number;
  deflate(size: number, last: number): number;
}

/** Undefined until the module was tried; then what came of it. */
let tried = /* @__PURE__ */ isWorkerd() ? /* @__PURE__ */ tryModule() : undefined;

/** The kernels of this process, or undefined where the module can't be compiled. */
export function wasmKernels(): WasmKernels | undefined {
  tried ??= tryModule();
  return tried.kernels;
}

function tryModule(): { readonly kernels: WasmKernels | undefined } {
  return { kernels: startWasm(bytesOf(WASM_MODULE)) };
}

/** Compiles a module; undefined if that fails for whatever reason. */
export function startWasm(bytes: Uint8Array<ArrayBuffer>): WasmKernels | undefined {
  try {
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes));
    return bind(instance.exports as unknown as Exports);
  } catch {
    return undefined;
  }
}

/** The memory of the module never grows, so one view of it lasts. */
function bind(exports: Exports): WasmKernels {
  const memory = new Uint8Array(exports.memory.buffer);
  const source = exports.source();
  const result = exports.output();

  const bring = (bytes: Uint8Array, start: number, end: number): number => {
    memory.set(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end), source);
    return end - start;
  };
  const fetch = (size: number, output: Uint8Array, at: number): number => {
    if (size > 0) output.set(memory.subarray(result, result + size), at);
    return size;
  };
  return {
    compressLz4Block(input, start, end, output, at) {
      return fetch(exports.lz4(bring(input, start, end)), output, at);
    },
    compressSnappyFragment(input, start, end, output, at) {
      return fetch(exports.snappy(bring(input, start, end)), output, at);
    },
    compressDeflateBlock(input, start, end, output, at, last) {
      return fetch(exports.deflate(bring(input, start, end), last ? 1 : 0), output, at);
    },
  };
}
