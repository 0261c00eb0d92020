/** What the module of the checksum exports: apart from the codecs, because a program may need no codec. */

import { SOURCE } from "./crc_memory";

export { crc32c } from "./crc32c";

/** Where the caller puts the input. */
export function source(): usize {
  return SOURCE;
}
