/**
 * A client of a transactional id on an embedded cluster in virtual time, and what a reader sees of it.
 *
 * @module
 */

import type { ResponseOf } from "../../src/protocol/api.ts";
import assert from "node:assert/strict";
import { crc32c } from "../../src/codec/crc32c.ts";
import {
  AddOffsetsToTxn,
  AddPartitionsToTxn,
  EndTxn,
  Fetch,
  InitProducerId,
  OffsetFetch,
  Produce,
  TxnOffsetCommit,
} from "../../src/protocol/messages/mod.ts";
import { readRecordBatches, type RecordBatch } from "../../src/protocol/record_batch_reader.ts";
import type { EmbeddedClusterOptions } from "../../src/testing/mod.ts";
import { batchOf } from "./batches.ts";
import { type Stage, stage, type Wire } from "./wire.ts";

/** The transactional id. */
export const ID = "payments";
/** What Kafka answers. */
export const CODES = { invalidState: 48, mapping: 49, concurrent: 51, fenced: 90 };

/** A client of a transactional id that sends what a test says, right or wrong. */
export class Client {
  producerId = -1n;
  epoch = -1;
  sequences: Map<number, number> = new Map();
  readonly wire: Wire;
  readonly isVersion2: boolean;

  constructor(wire: Wire, isVersion2: boolean) {
    this.wire = wire;
    this.isVersion2 = isVersion2;
  }

  async init(
    options: { timeoutMs?: number; producerId?: bigint; epoch?: number; version?: number } = {},
  ): Promise<number> {
    const answer = await this.wire.ask(InitProducerId, options.version ?? 4, {
      transactionalId: ID,
      transactionTimeoutMs: options.timeoutMs ?? 60_000,
      producerId: options.producerId ?? -1n,
      producerEpoch: options.epoch ?? -1,
    });
    if (answer!.errorCode === 0) this.#adopt(answer!.producerId, answer!.producerEpoch);
    return answer!.errorCode;
  }

  async add(partitions: readonly number[], version: number = 3): Promise<number[]> {
    const answer = await this.wire.ask(AddPartitionsToTxn, version, {
      v3AndBelowTransactionalId: ID,
      v3AndBelowProducerId: this.producerId,
      v3AndBelowProducerEpoch: this.epoch,
      v3AndBelowTopics: [{ name: "orders", partitions: [...partitions] }],
    });
    return answer!.resultsByTopicV3AndBelow[0]!.resultsByPartition.map((it) => it.partitionErrorCode);
  }

  /** Sends one record; registers the partition first where the protocol wants it. */
  async send(partition: number, value: string): Promise<number> {
    if (!this.isVersion2) {
      const [code] = await this.add([partition]);
      if (code !== 0) return code!;
    }
    const sequence = this.sequences.get(partition) ?? 0;
    const code = await this.produce(partition, sequence, value);
    if (code === 0) this.sequences.set(partition, sequence + 1);
    return code;
  }

  async produce(
    partition: number,
    sequence: number,
    value: string = "v",
    options: { version?: number; epoch?: number; attributes?: number } = {},
  ): Promise<number> {
    const version = this.sendProduce(partition, sequence, value, options);
    return (await this.wire.answer(Produce, version))!.responses[0]!.partitionResponses[0]!.errorCode;
  }

  /** Sends a batch and doesn't wait; returns the version. */
  sendProduce(
    partition: number,
    sequence: number,
    value: string = "v",
    options: { version?: number; epoch?: number; attributes?: number } = {},
  ): number {
    const version: number = options.version ?? (this.isVersion2 ? 12 : 11);
    const records = batchOf({
      attributes: options.attributes ?? 0x10,
      producerId: this.producerId,
      epoch: options.epoch ?? this.epoch,
      sequence,
      records: [{ value }],
    });
    this.wire.send(Produce, version, {
      transactionalId: ID,
      acks: -1,
      timeoutMs: 1000,
      topicData: [{ name: "orders", partitionData: [{ index: partition, records }] }],
    });
    return version;
  }

  /** Adds a group to the transaction. */
  async addOffsets(groupId: string): Promise<number> {
    const { epoch: producerEpoch, producerId } = this;
    return (await this.wire.ask(AddOffsetsToTxn, 3, { transactionalId: ID, producerId, producerEpoch, groupId }))!
      .errorCode;
  }

  /** Commits the offset of partition 0 in the transaction. */
  async commitOffsets(
    groupId: string,
    offset: bigint,
    options: { version?: number; topicId?: string } = {},
  ): Promise<number> {
    const { epoch: producerEpoch, producerId } = this;
    const { topicId, version = this.isVersion2 ? 5 : 4 } = options;
    const partitions = [{ partitionIndex: 0, committedOffset: offset, committedMetadata: "" }];
    const answer = await this.wire.ask(TxnOffsetCommit, version, {
      ...{ transactionalId: ID, producerId, producerEpoch, groupId },
      topics: [{ ...(topicId === undefined ? { name: "orders" } : { topicId }), partitions }],
    });
    return answer!.topics[0]!.partitions[0]!.errorCode;
  }

  /** The offset of partition 0 that a group has committed, or why it isn't told. */
  async offset(groupId: string): Promise<bigint | number> {
    const topics = [{ name: "orders", partitionIndexes: [0] }];
    const answer = await this.wire.ask(OffsetFetch, 7, { groupId, topics, requireStable: true });
    const { committedOffset, errorCode } = answer!.topics[0]!.partitions[0]!;
    return errorCode === 0 ? committedOffset : errorCode;
  }

  /** What EndTxn answers to a commit and to an abort of an epoch, which is asked for and not adopted. */
  async ends(epoch: number = this.epoch, producerId: bigint = this.producerId): Promise<unknown[]> {
    const seen: unknown[] = [];
    for (const committed of [true, false]) {
      const answer = (await this.wire.ask(EndTxn, this.isVersion2 ? 5 : 4, {
        ...{ transactionalId: ID, producerId, producerEpoch: epoch, committed },
      }))!;
      const isTold = answer.errorCode === 0 && this.isVersion2;
      seen.push(isTold ? [answer.producerId === producerId, answer.producerEpoch - epoch] : answer.errorCode);
    }
    return seen;
  }

  async end(
    committed: boolean,
    options: { epoch?: number; producerId?: bigint; version?: number } = {},
  ): Promise<number> {
    const answer = await this.wire.ask(EndTxn, options.version ?? (this.isVersion2 ? 5 : 4), {
      transactionalId: ID,
      producerId: options.producerId ?? this.producerId,
      producerEpoch: options.epoch ?? this.epoch,
      committed,
    });
    const { errorCode, producerId, producerEpoch } = answer!;
    if (errorCode === 0 && producerId >= 0n && options.epoch === undefined) this.#adopt(producerId, producerEpoch);
    return errorCode;
  }

  #adopt(producerId: bigint, epoch: number) {
    if (producerId !== this.producerId || epoch !== this.epoch) this.sequences.clear();
    this.producerId = producerId;
    this.epoch = epoch;
  }
}

type FetchedPart = ResponseOf<typeof Fetch>["responses"][number]["partitions"][number];
/** A partition's part of a Fetch answer, and the batches in it. */
export type ReadPart = FetchedPart & { readonly batches: readonly RecordBatch[] };
type ReadOptions = { isCommittedOnly?: boolean; partition?: number };

/** Fetches a partition from its beginning. */
export async function read(wire: Wire, { isCommittedOnly = true, partition = 0 }: ReadOptions = {}): Promise<ReadPart> {
  const answer = await wire.ask(Fetch, 11, {
    replicaId: -1,
    maxWaitMs: 0,
    minBytes: 0,
    isolationLevel: isCommittedOnly ? 1 : 0,
    topics: [{ topic: "orders", partitions: [{ partition, fetchOffset: 0n, partitionMaxBytes: 1_000_000 }] }],
  });
  const body = answer!.responses[0]!.partitions[0]!;
  const batches: RecordBatch[] = [];
  const options = { crc32c: (bytes: Uint8Array) => crc32c(bytes), decompress: (_: number, bytes: Uint8Array) => bytes };
  for await (const batch of readRecordBatches(body.records as Uint8Array, options)) {
    batches.push(batch);
  }
  return { ...body, batches };
}

/** What a consumer hands out: the records of what wasn't aborted, by the fetch answer's own list. */
export async function values(wire: Wire, options: ReadOptions = {}): Promise<string[]> {
  const { abortedTransactions, batches } = await read(wire, options);
  const begins = [...abortedTransactions ?? []];
  const aborted = new Set<bigint>();
  const seen: string[] = [];
  for (const { header, records } of batches) {
    for (const { firstOffset, producerId } of begins) if (header.baseOffset >= firstOffset) aborted.add(producerId);
    if (header.isControl) {
      aborted.delete(header.producerId);
      for (let i = begins.length - 1; i >= 0; i--) {
        if (begins[i]!.producerId === header.producerId && begins[i]!.firstOffset <= header.baseOffset) {
          begins.splice(i, 1);
        }
      }
    } else if (!(options.isCommittedOnly ?? true) || !aborted.has(header.producerId)) {
      for (const { value } of records) seen.push(new TextDecoder().decode(value!));
    }
  }
  return seen;
}

/** A cluster, a connection to the coordinator, and a producer that has been initialized. */
export interface Begun extends Stage {
  readonly wire: Wire;
  readonly client: Client;
}

/** Sets up a cluster and a producer. */
export async function begin(isVersion2: boolean, options: EmbeddedClusterOptions = {}): Promise<Begun> {
  const set = stage({ release: isVersion2 ? "4.1" : "3.9", ...options });
  const wire = await set.connect(set.cluster.coordinator("transaction", ID)!.id);
  const client = new Client(wire, isVersion2);
  assert.equal(await client.init(), 0);
  return { ...set, wire, client };
}
