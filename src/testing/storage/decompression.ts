/**
 * How the broker looks into compressed batches.
 *
 * @module
 */

import type { Codec, CompressionType } from "../../codec/codec.ts";
import { codecsById } from "../../codec/codecs_by_id.ts";
import { CompressionError } from "../../errors.ts";
import type { ClusterRuntime } from "../cluster_runtime.ts";
import type { Decompress } from "./log.ts";

/** No batch of a client that is meant well holds more. */
const MAX_DECOMPRESSED_BYTES = 104_857_600;

/** Makes the function that decompresses under a codec's number; own codecs come first. */
export function decompressor(
  clock: ClusterRuntime,
  custom: Readonly<Partial<Record<CompressionType, Codec>>> | undefined,
): Decompress {
  const codecOf = codecsById(custom);
  return (compression, bytes) => {
    const codec = codecOf(compression);
    if (codec === undefined) {
      throw new CompressionError(`Decompressing with codec "${compression}" failed, wanted 0 to 4.`);
    }
    const result = codec.decompress(bytes, MAX_DECOMPRESSED_BYTES);
    return result instanceof Promise ? outside(clock, result) : result;
  };
}

/** A codec that works outside of virtual time holds the virtual clock. */
function outside<T>(clock: ClusterRuntime, promise: Promise<T>): Promise<T> {
  const hold = (clock as { outside?: (promise: Promise<T>) => Promise<T> }).outside;
  return hold === undefined ? promise : hold.call(clock, promise);
}
