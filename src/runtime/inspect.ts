/**
 * The names under which runtimes look for an object's own way to be shown by `console.log`.
 *
 * @module
 */

/** Node, Bun and workerd know the first, Deno the second. */
export const INSPECT_SYMBOLS: readonly symbol[] = [
  Symbol.for("nodejs.util.inspect.custom"),
  Symbol.for("Deno.customInspect"),
];
