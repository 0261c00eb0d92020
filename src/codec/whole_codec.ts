/**
 * Both halves of a codec, with a limit on what comes back.
 *
 * @module
 */

import { CompressionError } from "../errors.ts";
import type { Codec, CompressionId, CompressionType, Compressor } from "./codec.ts";
import { guarded } from "./guard.ts";
import { loadCodec } from "./guarded_compressor.ts";

/** A compressor, which is guarded already, and the way back. */
export class WholeCodec implements Codec {
  readonly name: CompressionType;
  readonly id: CompressionId;
  readonly #compressor: Compressor;
  readonly #decompress: Codec["decompress"];

  constructor(compressor: Compressor, decompress: Codec["decompress"]) {
    this.name = compressor.name;
    this.id = compressor.id;
    this.#compressor = compressor;
    this.#decompress = decompress;
  }

  load(): Promise<void> {
    return loadCodec(this.#compressor);
  }

  compress(input: Uint8Array, level?: number): Uint8Array | Promise<Uint8Array> {
    return this.#compressor.compress(input, level);
  }

  decompress(input: Uint8Array, maxSize: number): Uint8Array | Promise<Uint8Array> {
    const action = `Decompressing ${input.length} bytes of ${this.name}`;
    const within = (output: Uint8Array): Uint8Array => {
      if (output.length <= maxSize) return output;
      throw new CompressionError(`${action} gave more than the limit of ${maxSize} bytes`);
    };
    const output = guarded(action, () => this.#decompress(input, maxSize));
    return output instanceof Promise ? output.then(within) : within(output);
  }
}
