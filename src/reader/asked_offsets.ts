/**
 * Which offsets of a group were asked to be committed last.
 *
 * @module
 */

import { keyOf, type TopicPartitionOffset } from "./record.ts";

/** Offsets as they are to be committed at the moment. */
export type AskedOffsets = () => TopicPartitionOffset[];

/** Keeps commits in the order of their calls: one that is sent again sets back no later one that got through meanwhile. */
export class LastAskedOffsets {
  readonly #offsets = new Map<string, bigint>();

  /** Takes the offsets of a call; returns what that is to send, with a later call's offset where there is one. */
  ask(offsets: readonly TopicPartitionOffset[]): AskedOffsets {
    for (const place of offsets) this.#offsets.set(keyOf(place), place.offset);
    return () => offsets.map((place) => ({ ...place, offset: this.#offsets.get(keyOf(place))! }));
  }
}
