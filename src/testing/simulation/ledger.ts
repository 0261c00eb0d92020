/**
 * What stands in the logs at the end of a run, read without any help of the producer.
 *
 * @module
 */

import { decodeRecords, readBatchHeader } from "../../protocol/record_batch_reader.ts";
import { RECORDS } from "../../protocol/record_batch_layout.ts";
import type { EmbeddedCluster } from "../cluster.ts";
import type { Partition, Topic } from "../control/topic.ts";

/** One record of a log. */
export interface Entry {
  readonly topic: string;
  readonly partition: number;
  readonly offset: bigint;
  readonly timestamp: number;
  readonly key: string | null;
  readonly value: string;
  readonly headers: readonly (readonly [name: string, value: string | null])[];
  /** The topic, or what a topic of that name was before it was deleted. */
  readonly incarnation: Topic;
}

/** The logs of all partitions, of deleted topics too. */
export interface Ledger {
  /** Each log, in order. */
  readonly logs: readonly (readonly Entry[])[];
  /** Every copy of a record, by the id that its value starts with. */
  readonly copies: ReadonlyMap<number, readonly Entry[]>;
}

const utf8 = new TextDecoder();

/** Reads every log. Rejects when one can't be read, which no producer may bring about. */
export async function readLedger(cluster: EmbeddedCluster, graveyard: readonly Topic[]): Promise<Ledger> {
  const logs: Entry[][] = [];
  for (const topic of [...graveyard, ...cluster.topics]) {
    for (const partition of topic.partitions) logs.push(await readLog(cluster, partition));
  }
  const copies = new Map<number, Entry[]>();
  for (const entry of logs.flat()) {
    const id = Number.parseInt(entry.value);
    const known = copies.get(id);
    if (known === undefined) copies.set(id, [entry]);
    else known.push(entry);
  }
  return { logs, copies };
}

async function readLog(cluster: EmbeddedCluster, { topic, index, log }: Partition): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (const { bytes } of log.batches) {
    const header = readBatchHeader(bytes);
    const section = bytes.subarray(RECORDS);
    const records = decodeRecords(
      header,
      header.codecId === 0 ? section : await cluster.decompress(header.codecId, section),
    );
    for (const { offset, timestamp, key, value, headers } of records) {
      entries.push({
        topic: topic.name,
        partition: index,
        offset,
        timestamp: Number(timestamp),
        key: key && utf8.decode(key),
        value: value === null ? "" : utf8.decode(value),
        headers: headers.map(([name, content]) => [name, content && utf8.decode(content)]),
        incarnation: topic,
      });
    }
  }
  return entries;
}
