/**
 * From the number in a batch's attributes to the codec that undoes it.
 *
 * @module
 */

import { type Codec, COMPRESSION_IDS, type CompressionType } from "./codec.ts";
import type { CodecOptions } from "./guarded_compressor.ts";
import { resolveCodec } from "./registry.ts";

/** Makes the function that finds codecs, each made once and on first use; undefined for a number without one. */
export function codecsById(custom?: CodecOptions["custom"]): (id: number) => Codec | undefined {
  const codecs = new Map<number, Codec>();
  const names = new Map(Object.entries(COMPRESSION_IDS).map(([name, id]) => [id as number, name as CompressionType]));
  return (id) => {
    let codec = codecs.get(id);
    const name = names.get(id);
    if (codec === undefined && name !== undefined) codecs.set(id, codec = resolveCodec(name, { custom }));
    return codec;
  };
}
