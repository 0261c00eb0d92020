/**
 * What a producer's options may name, and what the core leaves out: codecs and mechanisms.
 *
 * @module
 */

import { type CompressorByName, valuesOnly } from "../../codec/guarded_compressor.ts";
import type { MechanismByName } from "../../cluster/security.ts";
import { ConfigError } from "../../errors.ts";
import type { NamedSasl } from "../../sasl/named.ts";
import { show } from "../../show.ts";

/** What is found by its name: everything in `mod.ts`, nothing in the core. */
export interface Names {
  /** The codec of a name. */
  readonly compressor: CompressorByName;
  /** The SASL mechanism of a name. */
  readonly mechanism: MechanismByName;
}

/** The core knows values only, so that a bundle has what it imports and nothing more. */
export const NO_NAMES: Names = { compressor: valuesOnly, mechanism: mechanismsAreValues };

function mechanismsAreValues({ mechanism }: NamedSasl): never {
  throw new ConfigError(
    "sasl",
    `Set "sasl" to a mechanism from "@sluice/kafka/sasl", such as plain({ … }): the core knows none by its name ` +
      `(${show(mechanism)}).`,
  );
}
