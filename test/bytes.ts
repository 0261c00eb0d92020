/**
 * Comparing bytes in tests.
 *
 * @module
 */

import assert from "node:assert/strict";

/** How many bytes are shown on either side of the first difference. */
const SHOWN = 8;

/**
 * Asserts that both hold the same bytes. `assert.deepEqual` looks for the shortest list of changes when they don't, and
 * takes gigabytes and minutes for arrays of some 100 KB; this tells the first difference.
 */
export function assertBytes(actual: Uint8Array, wanted: Uint8Array, message = "The bytes"): void {
  const length = Math.min(actual.length, wanted.length);
  let at = 0;
  while (at < length && actual[at] === wanted[at]) at++;
  if (at === actual.length && at === wanted.length) return;
  const shown = (bytes: Uint8Array): string =>
    [...bytes.subarray(Math.max(0, at - SHOWN), at + SHOWN)].map((byte) => byte.toString(16).padStart(2, "0")).join(
      " ",
    );
  assert.fail(
    `${message} differ from byte ${at} on: ${shown(actual)} (of ${actual.length}), wanted ${shown(wanted)} ` +
      `(of ${wanted.length}).`,
  );
}
