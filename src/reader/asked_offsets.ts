/**
 * Which offsets of a group were asked to be committed last.
 *
 * @module
 */

import { KafkaError } from "../errors.ts";
import { UNKNOWN_TOPIC_OR_PARTITION } from "../protocol/error_code_names.ts";
import { keyOf, type TopicPartitionOffset } from "./record.ts";

/** Sends what a call is to commit at the moment. */
export type SendAsked = (send: (offsets: readonly TopicPartitionOffset[]) => Promise<void>) => Promise<void>;

/** One call that commits. */
interface Call {
  readonly offsets: ReadonlyMap<string, TopicPartitionOffset>;
  /** It has no outcome yet. */
  isPending: boolean;
  /** It has got through, or its request is on its way. */
  counts: boolean;
}

/** What it concerns isn't there; all others of the call are committed, for it is told last. */
export function isThroughForOthers(error: unknown): error is KafkaError {
  return (error as Partial<KafkaError> | null)?.errorCode === UNKNOWN_TOPIC_OR_PARTITION;
}

/**
 * Keeps commits in the order of their calls: one that is sent again sets back no later one that got through meanwhile,
 * and takes nothing from one that was refused.
 */
export class LastAskedOffsets {
  /** In their order; none is kept that has no pending one before it. */
  readonly #calls: Call[] = [];

  /** Takes the offsets of a call, and carries it out. */
  async during(offsets: readonly TopicPartitionOffset[], commit: (send: SendAsked) => Promise<void>): Promise<void> {
    const call: Call = {
      offsets: new Map(offsets.map((place) => [keyOf(place), place])),
      isPending: true,
      counts: false,
    };
    this.#calls.push(call);
    try {
      await commit(async (send) => {
        // Its time was up while it waited for a connection.
        if (!call.isPending) throw new KafkaError("The commit is over.");
        call.counts = true;
        try {
          await send(offsets.map((place) => this.#lastOf(keyOf(place), call)));
        } catch (error) {
          call.counts = isThroughForOthers(error);
          throw error;
        }
      });
    } catch (error) {
      call.counts = isThroughForOthers(error);
      throw error;
    } finally {
      call.isPending = false;
      while (this.#calls[0]?.isPending === false) this.#calls.shift();
    }
  }

  /** Of a partition: that of the last later call that counts, or else of the call. */
  #lastOf(key: string, call: Call): TopicPartitionOffset {
    for (let i = this.#calls.length - 1; this.#calls[i] !== call; i--) {
      const { counts, offsets } = this.#calls[i]!;
      if (counts && offsets.has(key)) return offsets.get(key)!;
    }
    return call.offsets.get(key)!;
  }
}
