/**
 * What goes wrong in a codec, as a `CompressionError`.
 *
 * @module
 */

import { isByteArray, ofThisRealm } from "../byte_arrays.ts";
import { isHarmless } from "../error_like.ts";
import { CompressionError } from "../errors.ts";
import { reasonOf, show } from "../show.ts";

/** Runs half of a codec; what it throws, and what is no output, is a `CompressionError`. */
export function guarded(
  action: string,
  run: () => Uint8Array | Promise<Uint8Array>,
): Uint8Array | Promise<Uint8Array> {
  const check = (output: Uint8Array): Uint8Array => {
    if (isByteArray(output)) return ofThisRealm(output);
    throw new CompressionError(`${action} gave ${show(output)}, wanted a Uint8Array`);
  };
  try {
    const result = run();
    if (typeof (result as Promise<Uint8Array> | undefined)?.then !== "function") return check(result as Uint8Array);
    return Promise.resolve(result).then(check).catch((error) => {
      throw failureOf(action, error);
    });
  } catch (error) {
    throw failureOf(action, error);
  }
}

/** The error for an action that failed; one that a codec itself reports stays as it is. */
export function failureOf(action: string, error: unknown): CompressionError {
  if (isHarmless(error) && error instanceof CompressionError) return error;
  return new CompressionError(`${action} failed: ${reasonOf(error)}`, { cause: error });
}
