/**
 * Text that UTF-8 can't carry, found before a codec replaces it without a word.
 *
 * @module
 */

import { isObject } from "../call_options.ts";

/** Whether some text in a value, names of its fields included, holds half of a surrogate pair. */
export function holdsLoneSurrogate(value: unknown): boolean {
  const seen = new Set<object>();
  const waiting = [value];
  while (waiting.length > 0) {
    const next = waiting.pop();
    if (typeof next === "string") {
      if (!next.isWellFormed()) return true;
    } else if (isObject(next) && !ArrayBuffer.isView(next) && !seen.has(next)) {
      seen.add(next);
      for (const [name, part] of next instanceof Map ? next : Object.entries(next)) waiting.push(name, part);
    }
  }
  return false;
}
