/**
 * A record on its way from an input.
 *
 * @module
 */

/** A record as the input gave it. A JSON value keeps the bytes that it had. */
export interface InputRecord {
  /** The key; null when there is none. */
  readonly key: string | Uint8Array | null;
  /** The value; null is a delete marker. */
  readonly value: Uint8Array | null;
  /** Its own headers. */
  readonly headers?: readonly (readonly [string, Uint8Array | null])[];
  /** `envelope`: its topic. */
  readonly topic?: string;
  /** `envelope`: its partition. */
  readonly partition?: number;
  /** `envelope`: its time, in ms since 1970. */
  readonly timestamp?: number;
}
