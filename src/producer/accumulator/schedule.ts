/**
 * Which partitions may have something to send, to which leader, and from when.
 *
 * @module
 */

import type { Cluster } from "../../cluster/cluster.ts";
import type { Agenda } from "./agenda.ts";
import type { BufferMemory } from "./buffer_memory.ts";
import { OPEN } from "./phase.ts";
import type { DueListener, Partition, QueuedBatch } from "./partition.ts";

/** The sender, as the schedule sees it: the one wire from here upward. */
export interface Worker {
  /** The partition's first batch may be due; this broker leads it. */
  onWork(partition: Partition, leaderId: number): void;
  /** Something of the partition has fallen due: linger, backoff or delivery timeout. */
  onDue(partition: Partition): void;
}

/** What decides when a batch need not wait for more records. */
export interface LingerOptions {
  readonly lingerMs: number;
  readonly batchSize: number;
}

/** The schedule of one producer. Cost follows partitions that have work, not known ones. */
export class Schedule implements DueListener {
  readonly #cluster: Cluster;
  readonly #agenda: Agenda;
  readonly #memory: BufferMemory;
  readonly #lingerMs: number;
  readonly #batchSize: number;
  #worker: Worker | undefined;
  /** Partitions with batches and without a leader that can be dialled. */
  readonly #stranded = new Set<Partition>();
  /** Partitions with a retry that waits for fresh metadata. */
  readonly #awaiting = new Set<Partition>();

  /** Starts with nothing to do. */
  constructor(cluster: Cluster, agenda: Agenda, memory: BufferMemory, { lingerMs, batchSize }: LingerOptions) {
    this.#cluster = cluster;
    this.#agenda = agenda;
    this.#memory = memory;
    this.#lingerMs = lingerMs;
    this.#batchSize = batchSize;
  }

  /** Gives the work to a sender; to nobody any more, if undefined. */
  serve(worker: Worker | undefined): void {
    this.#worker = worker;
  }

  /** The partition may have something to send. If it has, it goes to the broker that leads it, or waits for one. */
  add(partition: Partition): void {
    if (partition.scheduled || partition.queue.length === 0 || this.#worker === undefined) return;
    const { leader } = partition;
    // Metadata can name a leader that is on no list of brokers: it can't be dialled either.
    if (leader === undefined || this.#cluster.broker(leader.leaderId) === undefined) {
      this.#stranded.add(partition);
      void this.#cluster.requestUpdate();
      return;
    }
    partition.scheduled = true;
    this.#worker.onWork(partition, leader.leaderId);
  }

  /** The partition's first batch must not be sent before metadata has been refreshed. */
  awaitMetadata(partition: Partition): void {
    partition.awaitingMetadata = true;
    this.#awaiting.add(partition);
    void this.#cluster.requestUpdate();
  }

  /** True while a partition with batches has no leader. */
  get wantsMetadata(): boolean {
    return this.#stranded.size > 0;
  }

  /** After a refresh: the partitions that had no leader, or whose retry has waited for it. They are to be added again. */
  takeWaiting(): readonly Partition[] {
    const waiting = [...this.#stranded, ...this.#awaiting];
    this.#stranded.clear();
    this.#awaiting.clear();
    return waiting;
  }

  /** True when a batch need not wait for more records. */
  isDue(batch: QueuedBatch, nowMs: number): boolean {
    return this.#lingerMs === 0 || batch.phase !== OPEN || batch.barriers !== undefined ||
      batch.length >= this.#batchSize || nowMs >= batch.createdMs + this.#lingerMs || this.#memory.contended;
  }

  /** Puts the next moment at which something happens to the partition by itself on the agenda. */
  watch(partition: Partition, nowMs: number): void {
    const oldest = partition.incomplete[0] ?? partition.queue[0];
    if (oldest === undefined) return;
    const head = partition.queue[0];
    const deadlineMs = oldest.overdue ? partition.nextDeadlineMs : oldest.deadlineMs;
    let dueMs = this.#agenda.truce.endOf(Math.min(deadlineMs, head?.deadlineMs ?? Infinity));
    if (head !== undefined) {
      if (partition.notBeforeMs > nowMs) dueMs = Math.min(dueMs, partition.notBeforeMs);
      else if (!this.isDue(head, nowMs)) dueMs = Math.min(dueMs, head.createdMs + this.#lingerMs);
    }
    // One that is too early finds nothing due and comes back here: cheaper than to move it with every batch.
    this.#agenda.setEarlier(partition, dueMs);
  }

  onDue(partition: Partition): void {
    this.#worker?.onDue(partition);
  }
}
