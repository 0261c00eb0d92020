/**
 * CRC-32C, compiled to WebAssembly with SIMD. A module apart from the codecs' kernels, because a program that compresses
 * nothing needs this one only.
 *
 * It is compiled on first use; on workerd while this module is evaluated, because it is forbidden there later. Where that
 * fails (a content security policy, an engine without SIMD, workerd of before 2025-06-01) tables do the work.
 *
 * @module
 */

import { isWorkerd } from "../runtime/builtin.ts";
import { bytesOf } from "./base64.ts";
import { CRC_MODULE } from "./crc_module.ts";

/** The CRC-32C of a range, unsigned. */
export type Checksum = (bytes: Uint8Array, start: number, end: number) => number;

/** What `wasm/checksum.ts` exports. */
interface Exports {
  readonly memory: WebAssembly.Memory;
  source(): number;
  crc32c(crc: number, size: number): number;
}

/** The module takes so many bytes at a time. */
const CHUNK_SIZE = 65_536;

/** Null until the module was tried; then what came of it. */
let tried: Checksum | undefined | null = /* @__PURE__ */ isWorkerd() ? /* @__PURE__ */ startOwn() : null;

/** The checksum of this process, or undefined where the module can't be compiled. */
export function wasmCrc32c(): Checksum | undefined {
  if (tried === null) tried = startOwn();
  return tried;
}

function startOwn(): Checksum | undefined {
  return startChecksum(bytesOf(CRC_MODULE));
}

/** Compiles a module; undefined if that fails for whatever reason. */
export function startChecksum(bytes: Uint8Array<ArrayBuffer>): Checksum | undefined {
  try {
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes));
    const exports = instance.exports as unknown as Exports;
    // The memory never grows, so one view of it lasts.
    const memory = new Uint8Array(exports.memory.buffer);
    const source = exports.source();
    return (input, start, end) => {
      let crc = -1;
      for (let at = start; at < end; at += CHUNK_SIZE) {
        const stop = Math.min(at + CHUNK_SIZE, end);
        memory.set(at === 0 && stop === input.length ? input : input.subarray(at, stop), source);
        crc = exports.crc32c(crc, stop - at);
      }
      return ~crc >>> 0;
    };
  } catch {
    return undefined;
  }
}
