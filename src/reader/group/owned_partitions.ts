/**
 * The partitions that a member reads for its group: how it takes them, and how it gives them up.
 *
 * @module
 */

import { KafkaError, TimeoutError } from "../../errors.ts";
import { UNKNOWN_MEMBER_ID } from "../../protocol/error_code_names.ts";
import { Marked } from "../../runtime/async_context.ts";
import { show } from "../../show.ts";
import type { Cursor } from "../cursor.ts";
import type { Reader, ReaderInner } from "../reader.ts";
import { keyOf, type TopicPartition, type TopicPartitionOffset } from "../record.ts";
import type { ResolvedGroupOptions } from "./options.ts";
import type { Verdict } from "./verdict.ts";

/** What the partitions of a member are owned with. */
export interface OwnedPartitionsParts {
  readonly reader: Reader;
  readonly inner: ReaderInner;
  readonly options: ResolvedGroupOptions;
  readonly verdict: Verdict;
  /** Aborted when the member leaves. */
  readonly closing: AbortSignal;
  /** Called when offsets have to be waited for. */
  onTrouble(error: KafkaError): void;
  /** Called when the caller keeps a partition in hand for longer than the group waits. */
  onStuck(error: KafkaError): void;
}

/** Where a caller stands: it may have come back to the same record. */
interface Standing {
  readonly position: bigint | undefined;
  readonly turn: number;
  readonly sinceMs: number;
}

/** Owns what the member reads, and has the user's listener told of it. */
export class OwnedPartitions {
  readonly #reader: Reader;
  readonly #inner: ReaderInner;
  readonly #options: ResolvedGroupOptions;
  readonly #verdict: Verdict;
  readonly #closing: AbortSignal;
  readonly #parts: OwnedPartitionsParts;
  readonly #owned = new Map<string, TopicPartition>();
  readonly #listening = new Marked();
  /** Partitions that were lost while the caller had them in hand. */
  #lostInHand: readonly Cursor[] = [];
  /** What the user's listener has thrown. */
  #thrown: { readonly error: unknown } | undefined;
  /** Where the caller stood with a partition in hand, and since when. */
  readonly #standing = new Map<string, Standing>();

  /** Owns none yet. */
  constructor(parts: OwnedPartitionsParts) {
    this.#parts = parts;
    this.#reader = parts.reader;
    this.#inner = parts.inner;
    this.#options = parts.options;
    this.#verdict = parts.verdict;
    this.#closing = parts.closing;
  }

  /** All of them. */
  get all(): TopicPartition[] {
    return [...this.#owned.values()];
  }

  /** Lost partitions of which the caller still has a record in hand. */
  get lostInHand(): readonly Cursor[] {
    return this.#lostInHand = this.#lostInHand.filter(({ inHand }) => inHand);
  }

  /** True while the user's listener is at work. */
  get isInListener(): boolean {
    return this.#listening.isRunning;
  }

  /** True for a call that the user's listener makes, which may wait for everything but the end of itself. */
  get isCalledByListener(): boolean {
    return this.#listening.isInside;
  }

  /** True for what the user's listener has thrown, which says nothing of the group. */
  hasThrown(error: unknown): boolean {
    return this.#thrown !== undefined && this.#thrown.error === error;
  }

  /**
   * Takes an assignment. False if partitions were given up for others, or not taken because the generation is over: then
   * the group has to meet again.
   */
  async adopt(assignment: readonly TopicPartition[]): Promise<boolean> {
    const wanted = new Map(assignment.map((place) => [keyOf(place), place]));
    const gone = this.all.filter((place) => !wanted.has(keyOf(place)));
    const added = [...wanted.values()].filter((place) => !this.#owned.has(keyOf(place)));
    if (gone.length > 0) await this.giveUp(gone, "revoked");
    const isTaken = await this.#take(added);
    return isTaken && gone.length === 0;
  }

  /** False if the generation is over before it is known where to begin. */
  async #take(added: readonly TopicPartition[]): Promise<boolean> {
    if (added.length > 0) {
      const offsets = await this.#committed(added);
      if (offsets === undefined) return false;
      const { onMissingOffset } = this.#inner.options;
      const missing = added.find((place) => !offsets.has(keyOf(place)));
      if (missing !== undefined && onMissingOffset === "fail") {
        const { topic, partition } = missing;
        const message = `Commit an offset of topic ${show(topic)} partition ${partition} for group ` +
          `${show(this.#options.groupId)} first, or set "onMissingOffset" to "beginning" or "end": there is none.`;
        throw new KafkaError(message, { code: "NO_COMMITTED_OFFSET", topic, partition });
      }
      for (const place of added) {
        const { leaderEpoch, offset } = offsets.get(keyOf(place)) ?? {};
        this.#inner.add({ ...place, start: offset ?? onMissingOffset as "beginning" | "end", leaderEpoch });
        this.#owned.set(keyOf(place), place);
      }
    }
    if (added.length > 0) await this.#notify("onAssigned", added);
    for (const place of added) {
      const cursor = this.#inner.cursors.get(keyOf(place));
      if (cursor !== undefined) cursor.held = false;
    }
    this.#inner.wake();
    return true;
  }

  /**
   * Committed offsets by partition. Asked for until they are told, for elsewhere records would be read twice, or never,
   * or until the generation is over: while a transaction has offsets open others want to join.
   */
  async #committed(places: readonly TopicPartition[]): Promise<Map<string, TopicPartitionOffset> | undefined> {
    for (;;) {
      const asked = this.#reader.committed(this.#options.groupId, places);
      let isAnswered = false;
      const answer = (): void => {
        isAnswered = true;
        this.#inner.wake();
      };
      asked.then(answer, answer);
      while (!isAnswered && !this.#verdict.isOver) await this.#inner.nextEvent();
      if (this.#verdict.isOver) return undefined;
      try {
        const offsets = await asked;
        return new Map(offsets.map((each) => [keyOf(each), each]));
      } catch (error) {
        if (!(error instanceof TimeoutError)) throw error;
        this.#parts.onTrouble(error);
      }
    }
  }

  /** Nothing of the partitions is handed out any more; what was is finished first, unless they are lost. */
  async giveUp(places: readonly TopicPartition[], how: "revoked" | "lost"): Promise<void> {
    if (places.length === 0) return;
    const cursors = places.flatMap((place) => this.#inner.cursors.get(keyOf(place)) ?? []);
    for (const cursor of cursors) cursor.held = true;
    if (how === "revoked") {
      const { runtime } = this.#inner;
      let isLate = false;
      const timer = runtime.setTimer(() => {
        isLate = true;
        this.#inner.wake();
      }, this.#options.rebalanceTimeoutMs);
      // Closing doesn't wait for a caller who may be the one who closes.
      while (cursors.some(({ inHand }) => inHand) && !this.#closing.aborted && !this.#verdict.isLost) {
        if (isLate) {
          this.#onStuck();
          break;
        }
        await this.#inner.nextEvent();
      }
      timer.cancel();
    }
    const isLost = how === "lost" || this.#verdict.isLost;
    if (isLost) this.#lostInHand = [...this.#lostInHand, ...cursors];
    try {
      await this.#notify(isLost ? "onLost" : "onRevoked", places);
    } finally {
      for (const place of places) {
        this.#owned.delete(keyOf(place));
        this.#inner.remove(place);
      }
    }
  }

  async #notify(event: "onAssigned" | "onRevoked" | "onLost", places: readonly TopicPartition[]): Promise<void> {
    const { listener } = this.#options;
    const listen = event === "onLost" ? listener.onLost ?? listener.onRevoked : listener[event];
    if (listen === undefined) return;
    try {
      await this.#listening.run(() => listen(places.map(({ topic, partition }) => ({ topic, partition }))));
    } catch (error) {
      // A commit that is refused of partitions that go does, or of a member that was dropped: it joins anew.
      const isOfGroup = (event !== "onAssigned" || this.#verdict.isLost) &&
        (error as Partial<KafkaError> | null)?.code === "COMMIT_FAILED";
      this.#thrown = isOfGroup ? undefined : { error };
      throw error;
    } finally {
      this.#inner.wake();
    }
  }

  /**
   * A caller that has something lost in hand comes back first: what it commits of that must be refused, and would not be
   * in the name of the next generation.
   */
  async whileLostInHand(): Promise<void> {
    while (this.lostInHand.length > 0 && !this.#closing.aborted) await this.#inner.nextEvent();
    this.#standing.clear();
  }

  /** Looks, now and then, whether the caller works on the same record for longer than it may. */
  look(): void {
    const nowMs = this.#inner.runtime.now();
    for (const [key] of this.#owned) {
      const cursor = this.#inner.cursors.get(key);
      const standing = this.#standing.get(key);
      if (cursor === undefined || !cursor.inHand) this.#standing.delete(key);
      else if (
        standing === undefined || standing.position !== cursor.position || standing.turn !== cursor.turn
      ) {
        this.#standing.set(key, { position: cursor.position, turn: cursor.turn, sinceMs: nowMs });
      } else if (nowMs - standing.sinceMs >= this.#options.rebalanceTimeoutMs) {
        return this.#onStuck();
      }
    }
  }

  #onStuck(): void {
    this.#parts.onStuck(stuckError(this.#options.rebalanceTimeoutMs));
  }
}

function stuckError(rebalanceTimeoutMs: number): KafkaError {
  return new KafkaError(
    `Come back for the next record within rebalanceTimeoutMs (${rebalanceTimeoutMs} ms), or raise it: meanwhile the ` +
      `partitions were left to other members.`,
    { code: "MEMBER_STUCK", errorCode: UNKNOWN_MEMBER_ID },
  );
}
