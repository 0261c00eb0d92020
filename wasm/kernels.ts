/** What the module of the codecs exports. The compiler is AssemblyScript's, whose numbers have WebAssembly's types. */

import { OUTPUT, SOURCE } from "./memory";

export { deflate } from "./deflate";
export { lz4 } from "./lz4";
export { snappy } from "./snappy";

/** Where the caller puts the input. */
export function source(): usize {
  return SOURCE;
}

/** Where the caller finds the output. */
export function output(): usize {
  return OUTPUT;
}
