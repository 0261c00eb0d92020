/**
 * Keeps the cursors supplied: one Fetch request on its way to each leader, for all of its partitions that have room.
 *
 * Nothing polls. A request is sent when there is a reason: partitions were assigned, what was buffered has been handed
 * out, an answer has come, metadata has changed, a pause is over.
 *
 * @module
 */

import type { Cluster } from "../cluster/cluster.ts";
import type { Connection } from "../cluster/connection.ts";
import { ZERO_TOPIC_ID } from "../cluster/metadata.ts";
import { OffsetForLeaderEpoch } from "../protocol/messages/offset_for_leader_epoch.ts";
import type { Runtime, Timer } from "../runtime/runtime.ts";
import type { Changes } from "./changes.ts";
import type { Cursor } from "./cursor.ts";
import { FetchBuffer } from "./fetch_buffer.ts";
import { leaderOf, topicIdOf } from "./leader.ts";
import type { ResolvedReaderOptions } from "./options.ts";
import { MOST_PARTITION_BYTES, Outcomes } from "./outcomes.ts";
import { keyOf } from "./record.ts";
import { Requests } from "./requests.ts";
import type { Troubles } from "./troubles.ts";

/** Before this version only brokers may ask (KIP-320): others would need the right `ClusterAction`. */
const OFFSET_FOR_LEADER_EPOCH_OF_CLIENTS = 3;
/** Chunks of a partition that wait: one is read while the next one comes. */
const CHUNKS_AHEAD = 2;

/** Decides which leader is asked for which cursors, and when. */
export class Fetcher {
  /** What of its partitions, or of others of the reader, can't go on at the moment. */
  readonly troubles: Troubles;
  readonly #runtime: Runtime;
  readonly #cluster: Cluster;
  /** Told of something to hand out, a position that was found, a cursor that has failed. */
  readonly #changes: Changes;
  readonly #buffer: FetchBuffer;
  readonly #requests: Requests;
  readonly #outcomes: Outcomes;
  readonly #cursors = new Map<string, Cursor>();
  /** Leaders that owe an answer. */
  readonly #busyLeaders = new Set<number>();
  /** Fetch requests so far. */
  #rounds = 0;
  #isDeferred = false;
  #timer: Timer | undefined;
  #closed = false;

  /** Makes a fetcher without partitions. */
  constructor(
    runtime: Runtime,
    cluster: Cluster,
    options: ResolvedReaderOptions,
    changes: Changes,
    troubles: Troubles,
  ) {
    this.#runtime = runtime;
    this.#cluster = cluster;
    this.#changes = changes;
    this.#buffer = new FetchBuffer(options.maxBufferedBytes);
    this.#requests = new Requests(cluster, options);
    this.troubles = troubles;
    const parts = { runtime, cluster, options, changes, troubles, buffer: this.#buffer };
    this.#outcomes = new Outcomes(parts);
  }

  /** The partitions that are read. */
  get cursors(): ReadonlyMap<string, Cursor> {
    return this.#cursors;
  }

  /** True while a partition waits for a leader that isn't known. */
  get wantsMetadata(): boolean {
    for (const cursor of this.#cursors.values()) if (leaderOf(this.#cluster, cursor) === undefined) return true;
    return false;
  }

  /** Reads a partition from now on. */
  add(cursor: Cursor): void {
    this.#cursors.set(keyOf(cursor), cursor);
    this.#cluster.use(cursor.topic);
    this.wake();
  }

  /** Reads a partition no longer. */
  remove(cursor: Cursor): void {
    if (!this.#isRead(cursor)) return;
    this.#cursors.delete(keyOf(cursor));
    this.troubles.end(cursor);
    cursor.generation += 1;
    this.drop(cursor);
  }

  /** Forgets what is buffered of a partition. */
  drop(cursor: Cursor): void {
    this.#buffer.drop(cursor);
    this.wake();
  }

  /** Asks no more for a partition until it is resumed; what is buffered of it is kept while there is room. */
  pause(cursor: Cursor): void {
    cursor.paused = true;
    this.#buffer.letGo(cursor);
    // Nobody waits for it. Whoever resumes it is told if it is in trouble then.
    this.troubles.end(cursor);
  }

  /** The first chunk of a cursor has been handed out. */
  taken(cursor: Cursor): void {
    if (this.#buffer.taken(cursor)) this.wake();
  }

  /** What was fetched can't be read. */
  damaged(cursor: Cursor, cause: unknown): void {
    this.#outcomes.damaged(cursor, cause);
    this.wake();
  }

  /** Looks what can be asked for, at the end of this turn. */
  wake(): void {
    if (this.#isDeferred || this.#closed) return;
    this.#isDeferred = true;
    this.#runtime.defer(() => {
      this.#isDeferred = false;
      this.#pump();
    });
  }

  /** Sends nothing more. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #pump(): void {
    if (this.#closed) return;
    const nowMs = this.#runtime.now();
    const byLeader = new Map<number, Cursor[]>();
    const leaderless: Cursor[] = [];
    this.#buffer.makeRoom(this.#cursors.values());
    let nextMs = Infinity;
    for (const cursor of this.#cursors.values()) {
      if (!this.#wantsMore(cursor)) continue;
      if (cursor.notBeforeMs > nowMs) {
        nextMs = Math.min(nextMs, cursor.notBeforeMs);
        continue;
      }
      const leader = leaderOf(this.#cluster, cursor);
      if (leader === undefined) leaderless.push(cursor);
      else if (!this.#busyLeaders.has(leader.leaderId)) {
        const list = byLeader.get(leader.leaderId);
        if (list === undefined) byLeader.set(leader.leaderId, [cursor]);
        else list.push(cursor);
      }
    }
    if (leaderless.length > 0) void this.#findLeaders(leaderless);
    this.#wakeAt(nextMs);
    for (const [leaderId, cursors] of byLeader) void this.#serve(leaderId, cursors);
  }

  /** Asks for metadata; what no further metadata will mend is told. */
  async #findLeaders(cursors: readonly Cursor[]): Promise<void> {
    const error = await this.#cluster.requestUpdate();
    if (this.#closed) return;
    for (const cursor of cursors) {
      if (this.#isRead(cursor) && leaderOf(this.#cluster, cursor) === undefined) {
        this.#outcomes.leaderless(cursor, error);
      }
    }
  }

  #isRead(cursor: Cursor): boolean {
    return this.#cursors.get(keyOf(cursor)) === cursor;
  }

  #wantsMore(cursor: Cursor): boolean {
    if (cursor.busy || cursor.paused || cursor.error !== undefined) return false;
    if (cursor.position === undefined) return true;
    return !cursor.isProbe && cursor.chunks.length < CHUNKS_AHEAD && !this.#buffer.isFull;
  }

  #wakeAt(atMs: number): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (atMs < Infinity) {
      this.#timer = this.#runtime.setTimer(() => this.#pump(), Math.max(0, atMs - this.#runtime.now()));
    }
  }

  /** One round with one leader: places to begin are looked up, places to go on checked, then records are fetched. */
  async #serve(leaderId: number, cursors: readonly Cursor[]): Promise<void> {
    this.#busyLeaders.add(leaderId);
    for (const cursor of cursors) cursor.busy = true;
    try {
      const connection = await this.#cluster.broker(leaderId)!.connect();
      // To connect takes a while. What comes of a partition that was removed meanwhile would be buffered for nobody.
      const wanted = cursors.filter((cursor) => this.#isRead(cursor));
      if (wanted.length === 0) return;
      const unknown = wanted.filter(({ position }) => position === undefined);
      if (unknown.length > 0) return await this.#lookUp(connection, unknown);
      const unchecked = wanted.filter((cursor) => this.#needsCheck(cursor, connection));
      if (unchecked.length > 0) return await this.#check(connection, unchecked);
      // The first batch of an answer comes whole (KIP-74), whatever was asked for.
      const cut = wanted.find(({ isCut, maxBytes }) => isCut && maxBytes >= MOST_PARTITION_BYTES);
      await this.#fetch(connection, cut === undefined ? wanted : [cut]);
    } catch (error) {
      // What is read no longer is nobody's trouble.
      this.#outcomes.lost(cursors.filter((cursor) => this.#isRead(cursor)), error);
    } finally {
      for (const cursor of cursors) cursor.busy = false;
      this.#busyLeaders.delete(leaderId);
      this.wake();
    }
  }

  async #lookUp(connection: Connection, cursors: readonly Cursor[]): Promise<void> {
    const asked: Cursor[] = [];
    for (const cursor of cursors) {
      if (typeof cursor.start === "bigint") cursor.startAt(cursor.start);
      else asked.push(cursor);
    }
    if (asked.length === 0) return;
    const answers = await this.#requests.listOffsets(connection, asked);
    for (const { cursor, answer } of answers) this.#outcomes.listed(cursor, answer);
    this.#changes.tell();
  }

  /** After an election the position may lie behind the end of the new leader's log (KIP-320). */
  #needsCheck(cursor: Cursor, connection: Connection): boolean {
    const leader = leaderOf(this.#cluster, cursor);
    if (leader === undefined || leader.leaderEpoch < 0 || cursor.epochs.last < 0) return false;
    // The epochs of a topic that was made anew say nothing of the one that was read.
    if (cursor.topicId !== ZERO_TOPIC_ID && topicIdOf(this.#cluster, cursor.topic) !== cursor.topicId) return false;
    if (cursor.validEpoch < 0) cursor.validEpoch = cursor.epochs.last;
    if (leader.leaderEpoch <= cursor.validEpoch) return false;
    const versions = connection.versions.get(OffsetForLeaderEpoch.key);
    return versions !== undefined && versions.max >= OFFSET_FOR_LEADER_EPOCH_OF_CLIENTS;
  }

  async #check(connection: Connection, cursors: readonly Cursor[]): Promise<void> {
    // Of the leader that is asked, whoever leads when it answers.
    const epochs = new Map(cursors.map((cursor) => [cursor, leaderOf(this.#cluster, cursor)!.leaderEpoch]));
    const answers = await this.#requests.epochEnds(connection, cursors);
    for (const { cursor, answer } of answers) this.#outcomes.checked(cursor, answer, epochs.get(cursor)!);
  }

  async #fetch(connection: Connection, cursors: readonly Cursor[]): Promise<void> {
    const answers = await this.#requests.fetch(connection, this.#inTurn(cursors));
    for (const { cursor, answer } of answers) this.#outcomes.fetched(cursor, answer, cursors.length === 1);
  }

  /**
   * Only the first batch of an answer comes at any size (KIP-74), and what is behind may find no room: each partition is
   * the first one in its turn.
   */
  #inTurn(cursors: readonly Cursor[]): readonly Cursor[] {
    const first = cursors.reduce((best, each) => each.round < best.round ? each : best);
    first.round = ++this.#rounds;
    return [first, ...cursors.filter((cursor) => cursor !== first)];
  }
}
