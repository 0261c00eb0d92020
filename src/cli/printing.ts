/**
 * How bytes that others wrote get to standard output.
 *
 * @module
 */

import { printableText } from "../show.ts";
import type { PrintOptions } from "./escapes.ts";
import type { CliIo } from "./io.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** How bytes are printed: as they are, but for a terminal. */
export function printOptions({ isOutputTTY }: Pick<CliIo, "isOutputTTY">, nullText: string): PrintOptions {
  return {
    nullText: encoder.encode(nullText),
    guard: isOutputTTY ? (bytes) => encoder.encode(printableText(decoder.decode(bytes))) : (bytes) => bytes,
  };
}
