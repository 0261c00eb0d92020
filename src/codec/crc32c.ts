/**
 * CRC-32C (Castagnoli), the checksum of a record batch.
 *
 * @module
 */

import { crc32cByBits, crc32cByTables } from "./crc_tables.ts";
import { wasmCrc32c } from "./crc_wasm.ts";

/**
 * Below this many bytes the way into the memory of the module costs more than it saves: it pays from 64 on Node, from
 * 256 on Deno and from 512 on Bun (measured).
 */
const WASM_FROM = 256;
/** So many small ones go bit by bit: to compile the module would be a millisecond of the first batch. */
const BIT_BY_BIT = 16;
/** So many small ones go through the module all the same: who sends a few records needs no tables, which take milliseconds to make. */
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
  if (end - start < WASM_FROM) {
    if (smallOnes === WITHOUT_TABLES) return crc32cByTables(bytes, start, end);
    smallOnes += 1;
    if (smallOnes <= BIT_BY_BIT) return crc32cByBits(bytes, start, end);
  }
  const byWasm = wasmCrc32c();
  return byWasm === undefined ? crc32cByTables(bytes, start, end) : byWasm(bytes, start, end);
}
