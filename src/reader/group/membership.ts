/**
 * The life of a member of a group (the classic protocol): join, sync, read and send heartbeats, give up, join again.
 *
 * One loop does everything in its order, so that nothing of a rebalance overtakes anything else of it. The caller's
 * iteration is not part of the loop: before partitions are given up it is waited for until it comes for more.
 *
 * @module
 */

import type { GroupMetadata } from "../../cluster/group_metadata.ts";
import { Backoff } from "../../cluster/backoff.ts";
import type { Connection } from "../../cluster/connection.ts";
import { Coordinator, ELSEWHERE_ERRORS } from "../../cluster/coordinator.ts";
import { isUsable } from "../../cluster/metadata.ts";
import { sleep } from "../../cluster/sleep.ts";
import { KafkaError, TimeoutError } from "../../errors.ts";
import { brokerError, errorOf } from "../../protocol/error_codes.ts";
import { JoinGroup } from "../../protocol/messages/join_group.ts";
import { LeaveGroup } from "../../protocol/messages/leave_group.ts";
import { SyncGroup } from "../../protocol/messages/sync_group.ts";
import type { ResponseOf } from "../../protocol/schema.ts";
import {
  FENCED_INSTANCE_ID,
  ILLEGAL_GENERATION,
  MEMBER_ID_REQUIRED,
  REBALANCE_IN_PROGRESS,
  UNKNOWN_MEMBER_ID,
  UNKNOWN_TOPIC_OR_PARTITION,
} from "../../protocol/error_code_names.ts";
import { Marked, outside } from "../../runtime/async_context.ts";
import { onAbort } from "../../runtime/on_abort.ts";
import type { Timer } from "../../runtime/runtime.ts";
import { show } from "../../show.ts";
import type { Cursor } from "../cursor.ts";
import { innerOf, type Reader, type ReaderInner } from "../reader.ts";
import { keyOf, type TopicPartition } from "../record.ts";
import { type AssignorName, ASSIGNORS } from "./assignors.ts";
import {
  readAssignment,
  readSubscription,
  writeAssignment,
  writeSubscription,
} from "../../protocol/consumer_protocol.ts";
import { groupError } from "./group_error.ts";
import { Heart } from "./heart.ts";
import type { ResolvedGroupOptions } from "./options.ts";

type Joined = ResponseOf<typeof JoinGroup>;

const PROTOCOL_TYPE = "consumer";
const COOPERATIVE = "cooperative-sticky";
/** The coordinator answers a join when the rebalance is over, and that may take a little longer than it is allowed to. */
const JOIN_GRACE_MS = 5_000;
/** A topic that was just created isn't known everywhere yet. */
const ATTEMPTS_AT_METADATA = 3;
const NO_GENERATION = -1;

/** How a member stands: `"member"` while it reads what it was assigned. */
export type MembershipState = "out" | "joining" | "member" | "closed";

/** One member. */
export class Membership {
  readonly #inner: ReaderInner;
  readonly #reader: Reader;
  readonly #options: ResolvedGroupOptions;
  readonly #coordinator: Coordinator;
  readonly #backoff: Backoff;
  readonly #heart: Heart;
  /** Every assignor gives up no more than what moves. */
  readonly #isCooperative: boolean;
  readonly #owned = new Map<string, TopicPartition>();
  #memberId = "";
  #generationId = NO_GENERATION;
  /** What the last generation that was joined knows of this member; kept when it is lost, for it is refused then. */
  #metadata: GroupMetadata | undefined;
  /** Why the generation is over. */
  #verdict: KafkaError | undefined;
  /** Partitions by topic when this member divided them; undefined for those who don't lead. */
  #counts: ReadonlyMap<string, number> | undefined;
  /** Stands for topics that aren't there where troubles are told. */
  readonly #missing: object = {};
  /**
   * Partitions are nobody's, or may be: their owner is to give them up and join again. A static member that is killed
   * meanwhile and comes back doesn't know of it, so the leader sees to it.
   */
  #isPartial = false;
  #state: MembershipState = "out";
  #running: Promise<void> | undefined;
  #attempts = 0;
  readonly #listening = new Marked();
  /** It has asked to join, and its metadata may be that of a generation before. */
  #isBetween = false;
  readonly #closing = new AbortController();
  /** Partitions that the caller has kept in hand for too long. */
  #stuck: readonly Cursor[] = [];
  /** Where the caller stood with a partition in hand, and since when. */
  readonly #standing = new Map<string, { readonly position: bigint | undefined; readonly sinceMs: number }>();

  /** Makes a member that hasn't joined. */
  constructor(reader: Reader, options: ResolvedGroupOptions) {
    this.#reader = reader;
    this.#inner = innerOf(reader);
    this.#options = options;
    const { cluster, options: { requestTimeoutMs, retryBackoffMs, retryBackoffMaxMs }, runtime } = this.#inner;
    // A connection of its own, beside that of commits: they don't wait behind a join.
    this.#coordinator = new Coordinator(cluster, "group", options.groupId, requestTimeoutMs);
    this.#backoff = new Backoff(retryBackoffMs, retryBackoffMaxMs, () => runtime.random());
    this.#isCooperative = options.assignors.every((name) => name === COOPERATIVE);
    this.#heart = new Heart(runtime, this.#coordinator, options, () => this.#onBeat(), (error) => this.#decide(error));
    this.#inner.onMetadata = () => this.#onMetadata();
  }

  /** Where it stands. */
  get state(): MembershipState {
    return this.#state;
  }

  /** What the member knows of itself; of the last generation while there is none. */
  get metadata(): GroupMetadata | undefined {
    return this.#metadata;
  }

  /**
   * True when the broker's refusal of what was sent with this metadata is news: a generation that was left is no reason
   * to leave the next one, and from the join to the answer of the sync the broker may be a generation ahead.
   */
  isMember(metadata: GroupMetadata, errorCode: number | undefined): boolean {
    return metadata === this.#metadata && !(this.#isBetween && errorCode === ILLEGAL_GENERATION);
  }

  /** Begins to live, unless it does already. */
  start(): void {
    if (this.#running !== undefined || this.#closing.signal.aborted) return;
    // Whoever was fenced would fence the one who has its name now.
    if ((this.#inner.failure as KafkaError | undefined)?.errorCode === FENCED_INSTANCE_ID) return;
    this.#inner.failure = undefined;
    this.#verdict = undefined;
    // Nobody's call: heartbeats belong to all who read.
    this.#running = outside(() => this.#run()).finally(() => this.#running = undefined);
  }

  /** Resolves when it has its assignment. Rejects with what a member can't go on after. */
  async joined(): Promise<void> {
    this.start();
    while (this.#state !== "member") {
      if (this.#inner.failure !== undefined) throw this.#inner.failure;
      if (this.#closing.signal.aborted) throw new KafkaError("The reader was closed.", { code: "READER_CLOSED" });
      await this.#inner.nextEvent();
    }
  }

  /** The generation is over for a reason that others have told, such as a commit that was refused. */
  tell(error: KafkaError): void {
    this.#decide(error);
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
    return this.#listening.isRunning;
  }

  /** True for a call that the user's listener makes, which may wait for everything but the end of itself. */
  get isCalledByListener(): boolean {
    return this.#listening.isInside;
  }

  async #run(): Promise<void> {
    const closing = this.#closing.signal;
    this.#attempts = 0;
    try {
      while (!closing.aborted) {
        try {
          await this.#live();
        } catch (error) {
          if (closing.aborted) break;
          await this.#onError(error);
        }
      }
      await this.#giveUp(this.#places(), this.#verdict === undefined ? "revoked" : "lost");
    } catch (error) {
      await this.#end(error as Error);
    } finally {
      this.#heart.stop();
      this.#state = closing.aborted ? "closed" : "out";
      await this.#leave();
      this.#coordinator.forget();
      this.#inner.wake();
    }
  }

  /** One generation: from the join to the reason for the next one. */
  async #live(): Promise<void> {
    if (!this.#isLost() && !this.#isCooperative) await this.#giveUp(this.#places(), "revoked");
    // Also when the member was dropped while it gave up partitions.
    if (this.#isLost()) {
      this.#reset(this.#verdict!);
      await this.#giveUp(this.#places(), "lost");
    }
    this.#heart.stop();
    this.#state = "joining";
    await this.#whileStuck();
    if (this.#closing.signal.aborted) return;
    this.#verdict = undefined;
    const assignment = await this.#enter();
    this.#attempts = 0;
    const { groupId, groupInstanceId } = this.#options;
    this.#heart.start({ groupId, groupInstanceId, memberId: this.#memberId, generationId: this.#generationId });
    const isComplete = await this.#adopt(assignment);
    if (!isComplete) return;
    this.#state = "member";
    this.#inner.tell(this, null);
    this.#tellMissing();
    this.#inner.wake();
    const timer = this.#isPartial ? this.#againLater() : undefined;
    while (this.#verdict === undefined && !this.#closing.signal.aborted) await this.#inner.nextEvent();
    timer?.cancel();
  }

  /** The group meets again, unless it does before. */
  #againLater(): Timer {
    const { heartbeatIntervalMs } = this.#options;
    const again = (): void => this.#decide(brokerError(REBALANCE_IN_PROGRESS, { api: "SyncGroup" }));
    return this.#inner.runtime.setTimer(again, heartbeatIntervalMs);
  }

  async #enter(): Promise<TopicPartition[]> {
    this.#isBetween = true;
    try {
      return await this.#sync(await this.#join());
    } finally {
      this.#isBetween = false;
    }
  }

  async #join(): Promise<Joined> {
    const { assignors, groupId, groupInstanceId, rebalanceTimeoutMs, sessionTimeoutMs, topics } = this.#options;
    for (const topic of topics) this.#inner.topics.add(topic);
    const owned = this.#places();
    for (let isAgain = false;; isAgain = true) {
      const connection = await this.#coordinator.connection();
      const version = connection.version(JoinGroup);
      const metadata = writeSubscription({ topics, owned, generationId: this.#generationId });
      const answer = await this.#interruptible(connection.request(JoinGroup, version, {
        ...{ groupId, sessionTimeoutMs, rebalanceTimeoutMs, memberId: this.#memberId, groupInstanceId },
        protocolType: PROTOCOL_TYPE,
        protocols: assignors.map((name) => ({ name, metadata })),
      }, Math.max(this.#inner.options.requestTimeoutMs, rebalanceTimeoutMs + JOIN_GRACE_MS)));
      if (answer.errorCode === MEMBER_ID_REQUIRED && answer.memberId !== "" && !isAgain) {
        this.#memberId = answer.memberId;
        continue;
      }
      if (answer.errorCode !== 0) throw groupError(answer.errorCode, "JoinGroup");
      this.#memberId = answer.memberId;
      this.#generationId = answer.generationId;
      return answer;
    }
  }

  async #sync(joined: Joined): Promise<TopicPartition[]> {
    const { groupId, groupInstanceId, rebalanceTimeoutMs, topics } = this.#options;
    const isLeader = joined.leader === joined.memberId;
    const assignments = isLeader ? await this.#divide(joined) : [];
    if (!isLeader) {
      this.#counts = undefined;
      this.#isPartial = false;
    }
    const connection = await this.#coordinator.connection();
    const version = connection.version(SyncGroup);
    const answer = await this.#interruptible(connection.request(SyncGroup, version, {
      ...{ groupId, memberId: this.#memberId, generationId: this.#generationId, groupInstanceId, assignments },
      ...{ protocolType: PROTOCOL_TYPE, protocolName: joined.protocolName },
    }, Math.max(this.#inner.options.requestTimeoutMs, rebalanceTimeoutMs + JOIN_GRACE_MS)));
    if (answer.errorCode !== 0) throw groupError(answer.errorCode, "SyncGroup");
    this.#metadata = {
      ...{ groupId, memberId: this.#memberId, generationId: this.#generationId },
      ...(groupInstanceId === null ? {} : { groupInstanceId }),
    };
    // A leader of another make may not know what this member reads.
    return readAssignment(answer.assignment).filter(({ topic }) => topics.includes(topic));
  }

  /** The leader's work: who is to read what. */
  async #divide({ members, protocolName, skipAssignment }: Joined): Promise<
    { readonly memberId: string; readonly assignment: Uint8Array }[]
  > {
    const views = members.map(({ groupInstanceId, memberId, metadata }) => {
      return { ...readSubscription(metadata), groupInstanceId, memberId };
    });
    const counts = await this.#countsOf([...new Set(views.flatMap(({ topics }) => topics))]);
    this.#counts = counts;
    if (skipAssignment) {
      // It has come back as a static member, and what its predecessor has divided isn't told.
      this.#isPartial = protocolName === COOPERATIVE;
      return [];
    }
    const assignor = ASSIGNORS[protocolName as AssignorName];
    if (assignor === undefined) {
      throw new KafkaError(`The group divides by ${show(protocolName)}, which this member never offered.`);
    }
    const division = [...assignor(views, counts)];
    const sum = (numbers: Iterable<number>): number => [...numbers].reduce((total, each) => total + each, 0);
    this.#isPartial = sum(division.map(([, places]) => places.length)) < sum(counts.values());
    return division.map(([memberId, places]) => ({ memberId, assignment: writeAssignment(places) }));
  }

  /** Partitions by topic; a topic that isn't there has none, and the group divides anew when it is. */
  async #countsOf(topics: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const { cluster } = this.#inner;
    for (const topic of topics) {
      this.#inner.topics.add(topic);
      cluster.use(topic);
    }
    const unknown = (): string[] => topics.filter((topic) => !isUsable(cluster.use(topic)));
    for (let attempt = 0; attempt < ATTEMPTS_AT_METADATA && unknown().length > 0; attempt++) {
      const error = await cluster.requestUpdate();
      if (this.#closing.signal.aborted) break;
      if (error !== undefined && !error.retriable) throw error;
      if (error !== undefined) attempt = 0;
    }
    for (const topic of unknown()) {
      const { errorCode } = cluster.use(topic);
      if (errorCode !== UNKNOWN_TOPIC_OR_PARTITION && !errorOf(errorCode).retriable && errorCode !== 0) {
        throw brokerError(errorCode, { api: "Metadata", topic });
      }
    }
    return new Map(topics.map((topic) => {
      const metadata = cluster.use(topic);
      return [topic, isUsable(metadata) ? metadata.partitions.length : 0];
    }));
  }

  /** A slip of the pen in a topic's name would be waited out in silence; the leader, who looks them up, tells it. */
  #tellMissing(): void {
    const topic = this.#options.topics.find((name) => this.#counts?.get(name) === 0);
    if (topic === undefined) return this.#inner.tell(this.#missing, null);
    const reason =
      `Topic ${show(topic)} of group ${show(this.#options.groupId)} isn't there, and is read as soon as it is. ` +
      "Look at the name, or create the topic.";
    const code = "UNKNOWN_TOPIC_OR_PARTITION";
    this.#inner.tell(
      this.#missing,
      new KafkaError(reason, { code, errorCode: UNKNOWN_TOPIC_OR_PARTITION, retriable: true, topic }),
    );
  }

  /** Takes an assignment. False if partitions were given up for others: then the group has to meet again. */
  async #adopt(assignment: readonly TopicPartition[]): Promise<boolean> {
    const wanted = new Map(assignment.map((place) => [keyOf(place), place]));
    const gone = this.#places().filter((place) => !wanted.has(keyOf(place)));
    const added = [...wanted.values()].filter((place) => !this.#owned.has(keyOf(place)));
    if (gone.length > 0) await this.#giveUp(gone, "revoked");
    await this.#take(added);
    return gone.length === 0;
  }

  async #take(added: readonly TopicPartition[]): Promise<void> {
    if (added.length > 0) {
      const offsets = await this.#committed(added);
      if (this.#isOver()) return;
      for (const place of added) {
        const offset = offsets.get(keyOf(place));
        const { onMissingOffset } = this.#inner.options;
        if (offset === undefined && onMissingOffset === "fail") {
          const { topic, partition } = place;
          const message = `Commit an offset of topic ${show(topic)} partition ${partition} for group ` +
            `${show(this.#options.groupId)} first, or set "onMissingOffset" to "beginning" or "end": there is none.`;
          throw new KafkaError(message, { code: "NO_COMMITTED_OFFSET", topic, partition });
        }
        this.#inner.add(place, offset ?? onMissingOffset as "beginning" | "end");
        this.#owned.set(keyOf(place), place);
      }
    }
    if (added.length > 0) await this.#notify("onAssigned", added);
    for (const place of added) {
      const cursor = this.#inner.cursors.get(keyOf(place));
      if (cursor !== undefined) cursor.held = false;
    }
    this.#inner.wake();
  }

  /** Committed offsets by partition. Asked for until they are told: elsewhere records would be read twice, or never. */
  async #committed(places: readonly TopicPartition[]): Promise<Map<string, bigint>> {
    for (;;) {
      try {
        const offsets = await this.#reader.committed(this.#options.groupId, places);
        return new Map(offsets.map((each) => [keyOf(each), each.offset]));
      } catch (error) {
        if (!(error instanceof TimeoutError) || this.#isOver()) throw error;
        this.#inner.tell(this, error);
      }
    }
  }

  /** Nothing of the partitions is handed out any more; what was is finished first, unless they are lost. */
  async #giveUp(places: readonly TopicPartition[], how: "revoked" | "lost"): Promise<void> {
    if (places.length === 0) return;
    const cursors = places.flatMap((place) => this.#inner.cursors.get(keyOf(place)) ?? []);
    for (const cursor of cursors) cursor.held = true;
    if (how === "revoked") {
      const { runtime } = this.#inner;
      const deadlineMs = runtime.now() + this.#options.rebalanceTimeoutMs;
      const timer = runtime.setTimer(() => this.#inner.wake(), this.#options.rebalanceTimeoutMs);
      // Closing doesn't wait for a caller who may be the one who closes.
      while (cursors.some(({ inHand }) => inHand) && !this.#closing.signal.aborted && !this.#isLost()) {
        if (runtime.now() >= deadlineMs) {
          this.#onStuck(cursors.filter(({ inHand }) => inHand));
          break;
        }
        await this.#inner.nextEvent();
      }
      timer.cancel();
    }
    const isLost = how === "lost" || this.#isLost();
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
    } finally {
      this.#inner.wake();
    }
  }

  /** A caller that has kept a partition in hand for too long comes back first: then the group sees it again. */
  async #whileStuck(): Promise<void> {
    while (this.#stuck.some(({ inHand }) => inHand) && !this.#closing.signal.aborted) await this.#inner.nextEvent();
    this.#stuck = [];
    this.#standing.clear();
  }

  /** Leaves the group at once, rather than to let others wait for this member in the next rebalance. */
  #onStuck(cursors: readonly Cursor[]): void {
    this.#stuck = cursors;
    this.#heart.stop();
    void this.#leave();
    this.#decide(stuckError(this.#options.rebalanceTimeoutMs));
  }

  async #onError(error: unknown): Promise<void> {
    const { errorCode, retriable } = error as KafkaError;
    if (!(error instanceof KafkaError) || errorCode === FENCED_INSTANCE_ID) throw error;
    this.#heart.stop();
    this.#state = "joining";
    this.#attempts += 1;
    if (errorCode === UNKNOWN_MEMBER_ID || errorCode === ILLEGAL_GENERATION) {
      this.#verdict = error;
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
    this.#inner.failure = error;
    this.#inner.tell(this, null);
    try {
      await this.#giveUp(this.#places(), "lost");
    } catch {
      // The first reason is the one that is told.
    }
  }

  /** The generation is nobody's any more. */
  #reset(verdict: KafkaError): void {
    const { errorCode } = verdict;
    if (errorCode !== ILLEGAL_GENERATION && errorCode !== UNKNOWN_MEMBER_ID) throw verdict;
    if (errorCode !== ILLEGAL_GENERATION) this.#memberId = "";
    this.#generationId = NO_GENERATION;
  }

  #decide(error: KafkaError): void {
    const isWorse = this.#verdict?.errorCode === REBALANCE_IN_PROGRESS;
    if (this.#verdict === undefined || isWorse) this.#verdict = error;
    this.#inner.wake();
  }

  #isLost(): boolean {
    return this.#verdict !== undefined && this.#verdict.errorCode !== REBALANCE_IN_PROGRESS;
  }

  #isOver(): boolean {
    return this.#isLost() || this.#closing.signal.aborted;
  }

  #places(): TopicPartition[] {
    return [...this.#owned.values()];
  }

  /** A leader watches the topics: partitions that are new to it are divided too. */
  #onMetadata(): void {
    const { cluster } = this.#inner;
    for (const [topic, count] of this.#counts ?? []) {
      const metadata = cluster.topic(topic);
      if (metadata === undefined || !isUsable(metadata) || metadata.partitions.length === count) continue;
      this.#counts = undefined;
      this.#decide(brokerError(REBALANCE_IN_PROGRESS, { api: "Metadata", topic }));
      return;
    }
  }

  /** Looks whether the caller works on the same record for longer than it may. */
  #onBeat(): void {
    const nowMs = this.#inner.runtime.now();
    for (const [key] of this.#owned) {
      const cursor = this.#inner.cursors.get(key);
      const standing = this.#standing.get(key);
      if (cursor === undefined || !cursor.inHand) this.#standing.delete(key);
      else if (standing === undefined || standing.position !== cursor.position) {
        this.#standing.set(key, { position: cursor.position, sinceMs: nowMs });
      } else if (nowMs - standing.sinceMs >= this.#options.rebalanceTimeoutMs) {
        return this.#onStuck([cursor]);
      }
    }
  }

  /** Resolves with the answer; closing doesn't wait for it, for a join takes as long as the slowest member. */
  #interruptible<T>(request: Promise<T>): Promise<T> {
    const ignore = onAbort(this.#closing.signal, () => this.#coordinator.forget());
    return request.finally(ignore);
  }

  async #leave(): Promise<void> {
    const { groupId, groupInstanceId } = this.#options;
    const memberId = this.#memberId;
    this.#memberId = "";
    this.#generationId = NO_GENERATION;
    if (memberId === "" || groupInstanceId !== null) return;
    try {
      const connection = await this.#coordinator.connection();
      await this.#requestLeave(connection, groupId, memberId);
    } catch {
      // It is out when its session is over.
    }
  }

  async #requestLeave(connection: Connection, groupId: string, memberId: string): Promise<void> {
    const version = connection.version(LeaveGroup);
    const body = version < 3 ? { groupId, memberId } : { groupId, members: [{ memberId }] };
    await connection.request(LeaveGroup, version, body as never, this.#inner.options.requestTimeoutMs);
  }
}

function stuckError(rebalanceTimeoutMs: number): KafkaError {
  return new KafkaError(
    `Come back for the next record within rebalanceTimeoutMs (${rebalanceTimeoutMs} ms), or raise it: meanwhile the ` +
      `partitions were left to other members.`,
    { code: "MEMBER_STUCK", errorCode: UNKNOWN_MEMBER_ID },
  );
}
