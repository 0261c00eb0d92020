/**
 * The life of a member of a group (the classic protocol): join, sync, read and send heartbeats, give up, join again.
 *
 * One loop does everything in its order, so that nothing of a rebalance overtakes anything else of it. The caller's
 * iteration is not part of the loop: before partitions are given up it is waited for until it comes for more.
 *
 * @module
 */

import { Backoff } from "../../cluster/backoff.ts";
import { Coordinator, ELSEWHERE_ERRORS } from "../../cluster/coordinator.ts";
import type { GroupMetadata } from "../../cluster/group_metadata.ts";
import { nextTurn, sleep } from "../../cluster/sleep.ts";
import { KafkaError } from "../../errors.ts";
import {
  FENCED_INSTANCE_ID,
  ILLEGAL_GENERATION,
  REBALANCE_IN_PROGRESS,
  UNKNOWN_MEMBER_ID,
} from "../../protocol/error_code_names.ts";
import { brokerError } from "../../protocol/error_codes.ts";
import { outside } from "../../runtime/async_context.ts";
import type { Timer } from "../../runtime/runtime.ts";
import type { Cursor } from "../cursor.ts";
import { innerOf, type Reader, type ReaderInner } from "../reader.ts";
import { closedError } from "../reader_errors.ts";
import type { TopicPartition } from "../record.ts";
import { GroupCalls } from "./group_calls.ts";
import { Heart } from "./heart.ts";
import { COOPERATIVE, Leadership } from "./leadership.ts";
import type { ResolvedGroupOptions } from "./options.ts";
import { OwnedPartitions } from "./owned_partitions.ts";
import { Verdict } from "./verdict.ts";

/** How a member stands: `"member"` while it reads what it was assigned. */
export type MembershipState = "out" | "joining" | "member" | "closed";

/** One member: when it joins, what ends a generation, and what follows then. */
export class Membership {
  readonly #inner: ReaderInner;
  readonly #options: ResolvedGroupOptions;
  readonly #coordinator: Coordinator;
  readonly #backoff: Backoff;
  readonly #heart: Heart;
  readonly #verdict: Verdict;
  readonly #calls: GroupCalls;
  readonly #leadership: Leadership;
  readonly #owned: OwnedPartitions;
  /** Every assignor gives up no more than what moves. */
  readonly #isCooperative: boolean;
  #state: MembershipState = "out";
  #running: Promise<void> | undefined;
  /** It is to begin again as soon as it has ended. */
  #isAgain = false;
  #failure: Error | undefined;
  #attempts = 0;
  /** It has asked to join, and its metadata may be that of a generation before. */
  #isBetween = false;
  readonly #closing = new AbortController();

  /** Makes a member that hasn't joined. */
  constructor(reader: Reader, options: ResolvedGroupOptions) {
    const inner = innerOf(reader);
    this.#inner = inner;
    this.#options = options;
    const { cluster, options: { requestTimeoutMs, retryBackoffMs, retryBackoffMaxMs }, runtime } = inner;
    // A connection of its own, beside that of commits: they don't wait behind a join.
    this.#coordinator = new Coordinator(cluster, "group", options.groupId, requestTimeoutMs);
    this.#backoff = new Backoff(retryBackoffMs, retryBackoffMaxMs, () => runtime.random());
    this.#isCooperative = options.assignors.every((name) => name === COOPERATIVE);
    const closing = this.#closing.signal;
    const verdict = this.#verdict = new Verdict(closing, () => inner.wake());
    this.#calls = new GroupCalls(inner, this.#coordinator, options, closing);
    this.#leadership = new Leadership(inner, options, verdict, closing);
    this.#owned = new OwnedPartitions({
      ...{ reader, inner, options, verdict, closing },
      onTrouble: (error) => inner.tell(this, error),
      onStuck: (error) => this.#onStuck(error),
    });
    this.#heart = new Heart(
      runtime,
      this.#coordinator,
      { ...options, requestTimeoutMs },
      {
        onBeat: () => this.#owned.look(),
        onVerdict: (error) => verdict.decide(error),
        onTrouble: (error) => inner.tell(this.#heart, error),
      },
    );
    inner.onMetadata = () => this.#leadership.onMetadata();
  }

  /** Where it stands. */
  get state(): MembershipState {
    return this.#state;
  }

  /** Why it has ended; undefined when it has begun again. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** What the member knows of itself; of the last generation while there is none. */
  get metadata(): GroupMetadata | undefined {
    return this.#calls.metadata;
  }

  /**
   * The coordinator has refused what was sent with this metadata. True if nothing is left of what was read by then; false
   * if the refusal is no news: a generation that was left is no reason to leave the next one, and from the join to the
   * answer of the sync the coordinator may be a generation ahead.
   */
  isRefused(metadata: GroupMetadata, error: KafkaError): boolean {
    // Whoever was dropped joins as somebody else, and is told nothing of that one; a static member keeps its id meanwhile.
    const { generationId, memberId } = this.#calls.pulse;
    if (metadata.memberId !== memberId || generationId < 0) return true;
    const isNews = metadata === this.#calls.metadata && !(this.#isBetween && error.errorCode === ILLEGAL_GENERATION);
    if (isNews) this.#verdict.decide(error);
    return isNews;
  }

  /** Lost partitions of which the caller still has a record in hand; until it comes back the member doesn't join. */
  get lostInHand(): readonly Cursor[] {
    return this.#owned.lostInHand;
  }

  /** Begins to live, unless it does already. */
  start(): void {
    if (this.#closing.signal.aborted) {
      // It was told; whoever begins again meanwhile waits for the end.
      this.#inner.failure = undefined;
      return;
    }
    const { failure } = this.#inner;
    // Whoever was fenced would fence the one who has its name now.
    if ((failure as KafkaError | undefined)?.errorCode === FENCED_INSTANCE_ID) return;
    // It has told why it ends, and is about to leave the group.
    if (this.#running !== undefined) this.#isAgain ||= failure !== undefined;
    this.#failure = this.#inner.failure = undefined;
    if (this.#running !== undefined) return;
    this.#isAgain = false;
    this.#verdict.begin(undefined);
    // Nobody's call: heartbeats belong to all who read.
    this.#running = outside(() => this.#run()).finally(() => {
      this.#running = undefined;
      if (this.#isAgain) this.start();
    });
  }

  /** Resolves when it has its assignment. Rejects with what a member can't go on after. */
  async joined(): Promise<void> {
    // The listener would wait for itself.
    if (this.isCalledByListener) return;
    this.start();
    while (this.#state !== "member") {
      const refusal = this.#inner.failure ?? (this.#closing.signal.aborted ? closedError() : undefined);
      if (refusal !== undefined) {
        await nextTurn(this.#inner.runtime);
        throw refusal;
      }
      if (this.lostInHand.length > 0) await this.#hopeForCaller();
      else await this.#inner.nextEvent();
    }
  }

  /** A caller that has something lost in hand may be the one who waits: unless it is about to let go of it, it is told. */
  async #hopeForCaller(): Promise<void> {
    const { options: { retryBackoffMs }, runtime } = this.#inner;
    await sleep(runtime, retryBackoffMs, this.#closing.signal);
    if (this.lostInHand.length === 0 || this.#closing.signal.aborted) return;
    const message = "Ask for the next record first: partitions were lost with a record in hand, and the member joins " +
      "only when its caller is back.";
    throw new KafkaError(message, { code: "NOT_IN_GROUP" });
  }

  /** Gives everything up and leaves the group: static members stay in it for as long as their session lasts. */
  close(): void {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    if (this.#running === undefined) this.#state = "closed";
    this.#inner.wake();
  }

  /** Resolves when nothing of the membership is left to do. */
  get ended(): Promise<void> {
    return this.#running ?? Promise.resolve();
  }

  /** True while the user's listener is at work. */
  get isInListener(): boolean {
    return this.#owned.isInListener;
  }

  /** True for a call that the user's listener makes, which may wait for everything but the end of itself. */
  get isCalledByListener(): boolean {
    return this.#owned.isCalledByListener;
  }

  async #run(): Promise<void> {
    const closing = this.#closing.signal;
    this.#attempts = 0;
    try {
      while (!closing.aborted) {
        try {
          await this.#live();
        } catch (error) {
          if (closing.aborted) {
            if (this.#owned.hasThrown(error)) this.#failure = this.#inner.failure = error as Error;
            break;
          }
          await this.#onError(error);
        }
      }
      // There is no next generation in which a commit could get through.
      this.#isBetween = false;
      await this.#owned.giveUp(this.#owned.all, this.#verdict.isLost ? "lost" : "revoked");
    } catch (error) {
      await this.#end(error as Error);
    } finally {
      this.#heart.stop();
      this.#inner.tell(this.#heart, null);
      this.#leadership.tellNothing();
      this.#state = closing.aborted ? "closed" : "out";
      // Whoever closes waits for what a listener has thrown, and not for the group to be left.
      this.#inner.wake();
      await this.#calls.leave();
      this.#coordinator.forget();
      this.#inner.wake();
    }
  }

  /** One generation: from the join to the reason for the next one. */
  async #live(): Promise<void> {
    if (!this.#verdict.isLost && !this.#isCooperative) await this.#owned.giveUp(this.#owned.all, "revoked");
    // Also when the member was dropped while it gave up partitions.
    if (this.#verdict.isLost) {
      this.#calls.reset(this.#verdict.error!);
      this.#isBetween = false;
      await this.#owned.giveUp(this.#owned.all, "lost");
    }
    this.#heart.stop();
    this.#state = "joining";
    // The group would wait for it to join, or for its session to end. A static member keeps its id: without one it would
    // fence whoever has its name by then.
    const isLeaving = this.#owned.lostInHand.length > 0 && this.#options.groupInstanceId === null;
    const left = isLeaving ? this.#calls.leave() : undefined;
    await this.#owned.whileLostInHand();
    await left;
    if (this.#closing.signal.aborted) return;
    this.#verdict.begin(undefined);
    const assignment = await this.#enter();
    this.#attempts = 0;
    this.#heart.start(this.#calls.pulse);
    const isComplete = await this.#owned.adopt(assignment);
    if (!isComplete) return;
    this.#state = "member";
    this.#inner.tell(this, null);
    this.#leadership.tellMissing();
    this.#inner.wake();
    const timer = this.#leadership.isPartial ? this.#againLater() : undefined;
    while (!this.#verdict.isOver) await this.#inner.nextEvent();
    timer?.cancel();
  }

  /** The group meets again, unless it does before. */
  #againLater(): Timer {
    const { heartbeatIntervalMs } = this.#options;
    const again = (): void => this.#verdict.decide(brokerError(REBALANCE_IN_PROGRESS, { api: "SyncGroup" }));
    return this.#inner.runtime.setTimer(again, heartbeatIntervalMs);
  }

  async #enter(): Promise<TopicPartition[]> {
    // Until it has its assignment: an attempt may come to nothing after the coordinator has gone on.
    this.#isBetween = true;
    const joined = await this.#calls.join(this.#owned.all);
    const assignments = await this.#leadership.divide(joined);
    const assignment = await this.#calls.sync(joined, assignments);
    this.#isBetween = false;
    return assignment;
  }

  /** Leaves the group at once, rather than to let others wait for this member in the next rebalance; static ones stay. */
  #onStuck(error: KafkaError): void {
    this.#heart.stop();
    if (this.#options.groupInstanceId === null) void this.#calls.leave();
    this.#verdict.decide(error);
  }

  async #onError(error: unknown): Promise<void> {
    const { errorCode, retriable } = error as KafkaError;
    if (!(error instanceof KafkaError) || errorCode === FENCED_INSTANCE_ID || this.#owned.hasThrown(error)) throw error;
    this.#heart.stop();
    this.#state = "joining";
    this.#attempts += 1;
    if (errorCode === UNKNOWN_MEMBER_ID || errorCode === ILLEGAL_GENERATION) {
      this.#verdict.begin(error);
      // Who was dropped joins anew at once, and who is dropped each time after a pause.
      if (this.#attempts === 1) return;
    } else if (!retriable && errorCode !== REBALANCE_IN_PROGRESS) throw error;
    if (errorCode === undefined || ELSEWHERE_ERRORS.includes(errorCode)) this.#coordinator.forget();
    // The first time is no news: a coordinator moves, or is about to be made.
    if (this.#attempts > 1) this.#inner.tell(this, error);
    await sleep(this.#inner.runtime, this.#backoff.delayMs(this.#attempts), this.#closing.signal);
  }

  /** It can't go on: what it has is lost, and the iteration tells why. */
  async #end(error: Error): Promise<void> {
    this.#failure = this.#inner.failure = error;
    this.#isBetween = false;
    this.#inner.tell(this, null);
    try {
      await this.#owned.giveUp(this.#owned.all, "lost");
    } catch {
      // The first reason is the one that is told.
    }
  }
}
