/**
 * CRC-32C (Castagnoli), the checksum of a record batch.
 *
 * @module
 */

import { crc32cByTables } from "./crc_tables.ts";
import { wasmCrc32c } from "./crc_wasm.ts";

/**
 * Below this many bytes the way into the memory of the module costs more than it saves: it pays from 64 on Node, from
 * 256 on Deno and from 512 on Bun (measured).
 */
const WASM_FROM = 256;
/** So many small ones go that way all the same: who sends a few records needs no tables, which take milliseconds to make. */
const WITHOUT_TABLES = 1_024;
let smallOnes = 0;

/**
 * The CRC-32C of `bytes` from `start` to `end`, as an unsigned number.
 *
 * @example
 * ```ts
 * import { crc32c } from "@sluice/kafka/codecs";
 *
 * console.assert(crc32c(new TextEncoder().encode("123456789")) === 0xE3069283);
 * ```
 */
export function crc32c(bytes: Uint8Array, start: number = 0, end: number = bytes.length): number {
  return wasmCrc32c !== undefined && (end - start >= WASM_FROM || isEarly())
    ? wasmCrc32c(bytes, start, end)
    : crc32cByTables(bytes, start, end);
}

function isEarly(): boolean {
  if (smallOnes === WITHOUT_TABLES) return false;
  smallOnes += 1;
  return true;
}
