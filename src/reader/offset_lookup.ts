/**
 * Places that are looked up without being read: how many partitions a topic has, and where in them something stands.
 *
 * @module
 */

import type { Cluster } from "../cluster/cluster.ts";
import { isUsable } from "../cluster/metadata.ts";
import { nextTurn, settledBy } from "../cluster/sleep.ts";
import { type KafkaError, TimeoutError } from "../errors.ts";
import { brokerError, errorOf } from "../protocol/error_codes.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { show } from "../show.ts";
import { checkPartitions, checkPosition, checkTopic } from "./arguments.ts";
import type { Changes } from "./changes.ts";
import { Cursor } from "./cursor.ts";
import { Fetcher } from "./fetcher.ts";
import type { ResolvedReaderOptions } from "./options.ts";
import { closedError } from "./reader_errors.ts";
import { keyOf, type Position, type TopicPartition, type TopicPartitionOffset } from "./record.ts";
import type { Troubles } from "./troubles.ts";

/** What a lookup works with. */
export interface OffsetLookupParts {
  readonly runtime: Runtime;
  readonly cluster: Cluster;
  readonly options: ResolvedReaderOptions;
  readonly changes: Changes;
  readonly troubles: Troubles;
  /** Aborted when the reader is closed. */
  readonly closing: AbortSignal;
}

/** Owns the calls that look something up, and a fetcher for each whose partitions are never read. */
export class OffsetLookup {
  readonly #runtime: Runtime;
  readonly #cluster: Cluster;
  readonly #options: ResolvedReaderOptions;
  readonly #changes: Changes;
  readonly #troubles: Troubles;
  readonly #closing: AbortSignal;
  readonly #fetchers = new Set<Fetcher>();

  /** Each lookup takes `maxBlockMs` at most. */
  constructor(parts: OffsetLookupParts) {
    this.#runtime = parts.runtime;
    this.#cluster = parts.cluster;
    this.#options = parts.options;
    this.#changes = parts.changes;
    this.#troubles = parts.troubles;
    this.#closing = parts.closing;
  }

  /** True while a partition waits for a leader that isn't known. */
  get wantsMetadata(): boolean {
    return [...this.#fetchers].some(({ wantsMetadata }) => wantsMetadata);
  }

  /** Metadata has come. */
  wake(): void {
    for (const fetcher of this.#fetchers) fetcher.wake();
  }

  /** The number of partitions of a topic; rejects at `deadlineMs`. */
  async partitionsOf(
    topic: string,
    deadlineMs: number = this.#runtime.now() + this.#options.maxBlockMs,
  ): Promise<number> {
    if (this.#closing.aborted) await nextTurn(this.#runtime);
    this.#refuseIfClosed();
    checkTopic(topic);
    const metadata = this.#cluster.topic(topic) ?? this.#cluster.use(topic);
    const who = {};
    try {
      while (!isUsable(metadata)) {
        const error = await settledBy(this.#runtime, deadlineMs, this.#cluster.requestUpdate());
        this.#refuseIfClosed();
        if (isUsable(metadata)) break;
        const { errorCode } = metadata;
        // When time is up before a refresh has ended, the one before it tells what is wrong.
        const reason = error ?? (errorCode === 0 ? this.#cluster.trouble : brokerError(errorCode, { topic }));
        if (reason !== undefined && !reason.retriable && !errorOf(errorCode).retriable) throw reason;
        if (this.#runtime.now() >= deadlineMs) throw lateTopic(topic, reason);
        if (reason !== undefined) this.#troubles.begin(who, reason);
      }
    } finally {
      this.#troubles.end(who);
    }
    return metadata.partitions.length;
  }

  /** The offset of the first record at or behind a place, for each of the partitions. */
  async offsetsOf(partitions: Iterable<TopicPartition>, position: Position): Promise<TopicPartitionOffset[]> {
    if (this.#closing.aborted) await nextTurn(this.#runtime);
    this.#refuseIfClosed();
    const wanted = checkPartitions(partitions);
    const start = checkPosition(position);
    // One for each, however often it is named.
    const byKey = new Map(
      wanted.map((each) => [keyOf(each), new Cursor(each.topic, each.partition, start, 1, true)] as const),
    );
    const probes = [...byKey.values()];
    const fetcher = new Fetcher(this.#runtime, this.#cluster, this.#options, this.#changes, this.#troubles);
    this.#fetchers.add(fetcher);
    const { maxBlockMs } = this.#options;
    const deadlineMs = this.#runtime.now() + maxBlockMs;
    // Told by the timer alone: one that is early by a part of a ms would leave nobody to wake this up.
    let isLate = false;
    const timer = this.#runtime.setTimer(() => {
      isLate = true;
      this.#changes.tell();
    }, maxBlockMs);
    try {
      for (const probe of probes) {
        await this.partitionsOf(probe.topic, deadlineMs);
        fetcher.add(probe);
      }
      while (probes.some(({ position }) => position === undefined)) {
        const failed = probes.find(({ error }) => error !== undefined);
        if (failed !== undefined) throw failed.error;
        this.#refuseIfClosed();
        if (isLate) {
          const late = probes.find(({ position }) => position === undefined)!;
          throw this.#lateLookup(late, this.#troubles.of(late));
        }
        await this.#changes.next();
      }
    } finally {
      timer.cancel();
      fetcher.close();
      // What was told of them is over, whatever has become of it.
      for (const probe of probes) fetcher.remove(probe);
      this.#fetchers.delete(fetcher);
    }
    return wanted.map((each) => ({ ...each, offset: byKey.get(keyOf(each))!.position! }));
  }

  /** Why an offset wasn't found in time, as far as that is known. */
  #lateLookup({ topic, partition }: Cursor, trouble: KafkaError | undefined): TimeoutError {
    const count = this.#cluster.topic(topic)?.partitions.length ?? 0;
    const why = partition >= count
      ? `The topic has ${count}, counted from 0.`
      : trouble?.message ?? "No broker answered.";
    const message = `Looking up an offset of topic ${show(topic)} partition ${partition} took longer than maxBlockMs. `;
    return new TimeoutError(message + why, { topic, partition, cause: trouble });
  }

  #refuseIfClosed(): void {
    if (this.#closing.aborted) throw closedError();
  }
}

function lateTopic(topic: string, cause: KafkaError | undefined): TimeoutError {
  const why = cause?.message ?? "No broker knows it.";
  return new TimeoutError(`Looking up topic ${show(topic)} took longer than maxBlockMs. ${why}`, { topic, cause });
}
