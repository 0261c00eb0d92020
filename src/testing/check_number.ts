/**
 * The check of a number that a test gives to an embedded cluster.
 *
 * @module
 */

import { refuse } from "../call_options.ts";

/** A number from some least one on, if anything. */
export function checkNumber(name: string, value: unknown, least: number): void {
  if (value === undefined || typeof value === "number" && value >= least) return;
  refuse(name, least === -Infinity ? "a number" : `a number from ${least}`, value);
}
