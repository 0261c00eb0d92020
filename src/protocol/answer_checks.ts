/**
 * What checks of answers as a whole have in common; each stands beside the declaration of its API.
 *
 * @module
 */

import { ProtocolError } from "../errors.ts";

/** Refuses what no host is called. */
export function checkHost(field: string, host: string): void {
  if (!/[\0-\x20\x7f/\\@]/.test(host)) return;
  throw new ProtocolError(`${field}: Reading ${JSON.stringify(host)}: wanted a host's name or address.`);
}

/** Refuses a list in which something stands twice. */
export function refuseTwice(field: string, values: readonly (number | string)[]): void {
  if (new Set(values).size === values.length) return;
  const seen = new Set<number | string>();
  const twice = values.find((value) => seen.has(value) || !seen.add(value));
  throw new ProtocolError(`${field}: Reading "${twice}" a second time: wanted each once.`);
}
