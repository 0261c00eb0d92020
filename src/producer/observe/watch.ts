/**
 * Speaks up while nothing works: who calls `send` and hears nothing for seconds is told why, and what to do.
 *
 * It stands on the producer's agenda while records wait, and says little: each cause once, and again after ever longer
 * times; a missing topic once.
 *
 * @module
 */

import { type KafkaError, TimeoutError } from "../../errors.ts";
import { printable } from "../../show.ts";
import type { Accumulator } from "../accumulator/accumulator.ts";
import type { Agenda, Entry } from "../accumulator/agenda.ts";
import type { QueuedBatch } from "../accumulator/partition.ts";
import type { Schedule } from "../accumulator/schedule.ts";
import type { TopicQueues } from "../accumulator/topic_queues.ts";
import type { Router } from "../admission/router.ts";
import type { WaitingRoom } from "../admission/waiting_room.ts";
import type { Diagnosis, Diagnostics, WaitCause } from "./diagnosis.ts";
import type { Logger } from "./logger.ts";
import { UNKNOWN_TOPIC_OR_PARTITION } from "../../protocol/error_code_names.ts";

/** Records that wait for the same kind of thing. */
export interface WaitingGroup extends Diagnosis {
  /** How many. */
  records: number;
  /** Of how many topics. */
  readonly topics: Set<string>;
  /** Where the first of them goes; the partition if it is known. */
  readonly topic: string;
  readonly partition: number | undefined;
  /** When the first of them was handed over. */
  readonly sinceMs: number;
}

/** A send that has waited this long is worth a line. */
const WAITING_AFTER_MS = 5_000;
/** The same cause is told again after this time, then after twice the time, and so on up to the most. */
const AGAIN_MS = 10_000;
const MOST_AGAIN_MS = 300_000;
/** A topic that has just been created is unknown to some brokers for a moment. */
const MISSING_AFTER_MS = 2_000;
/** How many causes an error names. */
const MOST_CAUSES = 3;

/** Where a watch looks. */
export interface WatchParts {
  readonly agenda: Agenda;
  readonly schedule: Schedule;
  readonly accumulator: Accumulator;
  readonly router: Router;
  readonly waitingRoom: WaitingRoom;
  readonly diagnostics: Diagnostics;
}

/** Watches what waits in one producer. */
export class Watch implements Entry {
  readonly isLast = true;
  heapIndex = -1;
  dueMs = 0;

  readonly #agenda: Agenda;
  readonly #accumulator: Accumulator;
  readonly #schedule: Schedule;
  readonly #router: Router;
  readonly #waitingRoom: WaitingRoom;
  readonly #diagnostics: Diagnostics;
  readonly #logger: Logger;
  readonly #now: () => number;
  readonly #lingerMs: number;
  /** Causes that have been told, and when they are worth another line. */
  readonly #told: Map<WaitCause, { againMs: number; nextMs: number }> = new Map();
  /** Topics that are missing: since when, and whether that has been told. */
  readonly #missing: Map<TopicQueues, { sinceMs: number; told: boolean }> = new Map();

  /** Watches an accumulator whose batches linger for `lingerMs`; warnings go to the logger. */
  constructor(parts: WatchParts, logger: Logger, now: () => number, lingerMs: number) {
    this.#lingerMs = lingerMs;
    this.#agenda = parts.agenda;
    this.#schedule = parts.schedule;
    this.#accumulator = parts.accumulator;
    this.#router = parts.router;
    this.#waitingRoom = parts.waitingRoom;
    this.#diagnostics = parts.diagnostics;
    this.#logger = logger;
    this.#now = now;
  }

  /** There are records without an outcome from now on. Nothing is done where nobody would hear of it. */
  begin(): void {
    if (this.#logger.warn !== undefined) this.#agenda.setEarlier(this, this.#now() + WAITING_AFTER_MS);
  }

  /** No record waits any more; somebody may still wait for a topic that is missing. */
  rest(): void {
    if (this.heapIndex < 0) return;
    this.#told.clear();
    if (!this.#isAnyMissing) this.#agenda.remove(this);
  }

  /** Metadata has come: looks for topics that are wanted and missing. */
  onMetadata(): void {
    if (this.#logger.warn === undefined) return;
    for (const topic of this.#router.topics.values()) {
      if (topic.metadata.errorCode !== UNKNOWN_TOPIC_OR_PARTITION) this.#missing.delete(topic);
      else if (!this.#missing.has(topic) && topic.busy) {
        const nowMs = this.#now();
        this.#missing.set(topic, { sinceMs: nowMs, told: false });
        this.#agenda.setEarlier(this, nowMs + MISSING_AFTER_MS);
      }
    }
  }

  onDue(): void {
    const nowMs = this.#now();
    this.#tellMissing(nowMs);
    const groups = this.groups(nowMs - WAITING_AFTER_MS);
    for (const cause of this.#told.keys()) if (!groups.has(cause)) this.#told.delete(cause);
    for (const group of groups.values()) this.#tellWaiting(group, nowMs);
    const isMissing = this.#isAnyMissing;
    const oldestMs = this.#oldestMs();
    if (oldestMs === undefined && !isMissing) return;
    const laterMs = nowMs + (isMissing ? MISSING_AFTER_MS : WAITING_AFTER_MS);
    const firstMs = (oldestMs ?? nowMs) + WAITING_AFTER_MS;
    this.#agenda.set(this, firstMs > nowMs ? Math.min(firstMs, laterMs) : laterMs);
  }

  /** Who has waited since `beforeMs` or longer, by cause. */
  groups(beforeMs: number = Infinity): Map<WaitCause, WaitingGroup> {
    const groups = new Map<WaitCause, WaitingGroup>();
    const { incomplete } = this.#accumulator;
    for (const { topic, partition, records, sinceMs, inLine } of this.#waitingRoom.waiting(beforeMs)) {
      const diagnosis = inLine ? this.#waitingRoom.diagnoseMemory() : this.#diagnostics.ofTopic(topic, partition);
      add(groups, diagnosis, { topic, partition, records, sinceMs });
    }
    const nowMs = this.#now();
    for (const batch of incomplete) {
      const { partition: { topic, index: partition }, liveCount: records } = batch;
      const sinceMs = this.#dueMs(batch);
      const isLingering = !this.#schedule.isDue(batch, nowMs);
      if (sinceMs > beforeMs || batch.outcome !== undefined || isLingering) continue;
      add(groups, this.#diagnostics.ofPartition(batch.partition), { topic, partition, records, sinceMs });
    }
    return groups;
  }

  /** The error of a call that has waited for records until now: what still waits, and why. */
  lateError(what: string): TimeoutError {
    const groups = [...this.groups().values()].sort((a, b) => b.records - a.records);
    let cause: KafkaError | undefined;
    const records = groups.reduce((sum, group) => sum + group.records, 0);
    const reasons = groups.slice(0, MOST_CAUSES).map((group) => {
      const share = groups.length > 1 ? `${counted(group.records, "record")}: ` : "";
      const { reason, error } = group.explain();
      cause ??= error;
      return ` ${share}${reason}`;
    });
    const still = `${counted(records, "record")} ${records === 1 ? "is" : "are"} still on the way.`;
    return new TimeoutError(`${what} ${still}${reasons.join("")}`, { cause });
  }

  get #isAnyMissing(): boolean {
    for (const { told } of this.#missing.values()) if (!told) return true;
    return false;
  }

  /** When the record was handed over that has waited longest; undefined if none waits. */
  #oldestMs(): number | undefined {
    const { incomplete } = this.#accumulator;
    const [waiting] = this.#waitingRoom.waiting(Infinity);
    const [batch] = incomplete;
    const batchMs = batch === undefined ? undefined : this.#dueMs(batch);
    if (waiting === undefined) return batchMs;
    return Math.min(waiting.sinceMs, batchMs ?? Infinity);
  }

  /** From when on a batch waits for something else than company. */
  #dueMs(batch: QueuedBatch): number {
    return batch.createdMs + this.#lingerMs;
  }

  #tellMissing(nowMs: number): void {
    for (const [topic, state] of this.#missing) {
      if (!topic.busy) this.#missing.delete(topic);
      else if (!state.told && nowMs - state.sinceMs >= MISSING_AFTER_MS) {
        state.told = true;
        const { reason, advice, error } = this.#diagnostics.ofTopic(topic).explain();
        this.#logger.warn?.("topic_missing", { topic: topic.name, reason: printable(reason), advice, error });
      }
    }
  }

  #tellWaiting(group: WaitingGroup, nowMs: number): void {
    const { cause, records, topics, topic, partition, sinceMs } = group;
    const told = this.#told.get(cause);
    if (told !== undefined && nowMs < told.nextMs) return;
    const againMs = told === undefined ? AGAIN_MS : Math.min(told.againMs * 2, MOST_AGAIN_MS);
    this.#told.set(cause, { againMs, nextMs: nowMs + againMs });
    const { reason, advice, error } = group.explain();
    this.#logger.warn?.("waiting", {
      cause,
      reason: printable(reason),
      advice,
      waitedMs: Math.round(nowMs - sinceMs),
      records,
      topics: topics.size,
      topic,
      ...(partition === undefined ? {} : { partition }),
      ...(error === undefined ? {} : { error }),
    });
  }
}

interface Waiter {
  readonly topic: { readonly name: string };
  readonly partition: number | undefined;
  readonly records: number;
  readonly sinceMs: number;
}

function add(groups: Map<WaitCause, WaitingGroup>, diagnosis: Diagnosis, waiter: Waiter): void {
  const { topic: { name: topic }, partition, records, sinceMs } = waiter;
  const group = groups.get(diagnosis.cause);
  if (group === undefined) {
    groups.set(diagnosis.cause, { ...diagnosis, records, topics: new Set([topic]), topic, partition, sinceMs });
    return;
  }
  group.records += records;
  group.topics.add(topic);
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
