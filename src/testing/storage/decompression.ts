/**
 * How the broker looks into compressed batches.
 *
 * @module
 */

import { type Codec, COMPRESSION_IDS, type CompressionType } from "../../codec/codec.ts";
import { resolveCodec } from "../../codec/registry.ts";
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
  const codecs = new Map<number, Codec>();
  const names = Object.entries(COMPRESSION_IDS) as [CompressionType, number][];
  const codecOf = (compression: number): Codec => {
    const known = codecs.get(compression);
    if (known !== undefined) return known;
    const name = names.find(([, id]) => id === compression)?.[0];
    if (name === undefined) {
      throw new CompressionError(`Decompressing with codec "${compression}" failed, wanted 0 to 4.`);
    }
    const codec = resolveCodec(name, { custom });
    codecs.set(compression, codec);
    return codec;
  };
  return (compression, bytes) => {
    const result = codecOf(compression).decompress(bytes, MAX_DECOMPRESSED_BYTES);
    return result instanceof Promise ? outside(clock, result) : result;
  };
}

/** A codec that works outside of virtual time holds the virtual clock. */
function outside<T>(clock: ClusterRuntime, promise: Promise<T>): Promise<T> {
  const hold = (clock as { outside?: (promise: Promise<T>) => Promise<T> }).outside;
  return hold === undefined ? promise : hold.call(clock, promise);
}
