import assert from "node:assert/strict";
import { crc32c } from "../../src/codec/crc32c.ts";
import {
  AddPartitionsToTxn,
  EndTxn,
  Fetch,
  FindCoordinator,
  InitProducerId,
  ListOffsets,
  Produce,
} from "../../src/protocol/messages/mod.ts";
import { readRecordBatches } from "../../src/protocol/record_batch_reader.ts";
import type { EmbeddedClusterOptions } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";
import { batchOf } from "./batches.ts";
import { stage, type Wire } from "./wire.ts";

const ID = "payments";
const CODES = { invalidState: 48, mapping: 49, concurrent: 51, fenced: 90 };

/** A client of a transactional id that sends what a test says, right or wrong. */
class Client {
  producerId = -1n;
  epoch = -1;
  sequences = new Map<number, number>();
  readonly wire: Wire;
  readonly isVersion2: boolean;

  constructor(wire: Wire, isVersion2: boolean) {
    this.wire = wire;
    this.isVersion2 = isVersion2;
  }

  async init(options: { timeoutMs?: number; producerId?: bigint; epoch?: number; version?: number } = {}) {
    const answer = await this.wire.ask(InitProducerId, options.version ?? 4, {
      transactionalId: ID,
      transactionTimeoutMs: options.timeoutMs ?? 60_000,
      producerId: options.producerId ?? -1n,
      producerEpoch: options.epoch ?? -1,
    });
    if (answer!.errorCode === 0) this.#adopt(answer!.producerId, answer!.producerEpoch);
    return answer!.errorCode;
  }

  async add(partitions: readonly number[], version = 3) {
    const answer = await this.wire.ask(AddPartitionsToTxn, version, {
      v3AndBelowTransactionalId: ID,
      v3AndBelowProducerId: this.producerId,
      v3AndBelowProducerEpoch: this.epoch,
      v3AndBelowTopics: [{ name: "orders", partitions: [...partitions] }],
    });
    return answer!.resultsByTopicV3AndBelow[0]!.resultsByPartition.map((it) => it.partitionErrorCode);
  }

  /** Sends one record; registers the partition first where the protocol wants it. */
  async send(partition: number, value: string) {
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
    value = "v",
    options: { version?: number; epoch?: number; attributes?: number } = {},
  ) {
    const records = batchOf({
      attributes: options.attributes ?? 0x10,
      producerId: this.producerId,
      epoch: options.epoch ?? this.epoch,
      sequence,
      records: [{ value }],
    });
    const answer = await this.wire.ask(Produce, options.version ?? (this.isVersion2 ? 12 : 11), {
      transactionalId: ID,
      acks: -1,
      timeoutMs: 1000,
      topicData: [{ name: "orders", partitionData: [{ index: partition, records }] }],
    });
    return answer!.responses[0]!.partitionResponses[0]!.errorCode;
  }

  async end(committed: boolean, options: { epoch?: number; producerId?: bigint; version?: number } = {}) {
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

type ReadOptions = { isCommittedOnly?: boolean; partition?: number };

async function read(wire: Wire, { isCommittedOnly = true, partition = 0 }: ReadOptions = {}) {
  const answer = await wire.ask(Fetch, 11, {
    replicaId: -1,
    maxWaitMs: 0,
    minBytes: 0,
    isolationLevel: isCommittedOnly ? 1 : 0,
    topics: [{ topic: "orders", partitions: [{ partition, fetchOffset: 0n, partitionMaxBytes: 1_000_000 }] }],
  });
  const body = answer!.responses[0]!.partitions[0]!;
  const batches = [];
  const options = { crc32c: (bytes: Uint8Array) => crc32c(bytes), decompress: (_: number, bytes: Uint8Array) => bytes };
  for await (const batch of readRecordBatches(body.records as Uint8Array, options)) {
    batches.push(batch);
  }
  return { ...body, batches };
}

/** What a consumer hands out: the records of what wasn't aborted, by the fetch answer's own list. */
async function values(wire: Wire, options: ReadOptions = {}): Promise<string[]> {
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

async function begin(isVersion2: boolean, options: EmbeddedClusterOptions = {}) {
  const set = stage({ release: isVersion2 ? "4.1" : "3.9", ...options });
  const wire = await set.connect();
  const client = new Client(wire, isVersion2);
  assert.equal(await client.init(), 0);
  return { ...set, wire, client };
}

for (const isVersion2 of [false, true]) {
  const name = `transaction version ${isVersion2 ? 2 : 1}`;

  test(`${name}: what is committed is read, what is aborted is not, and what is open holds the rest back`, async () => {
    const { client, cluster, wire } = await begin(isVersion2);
    assert.equal(await client.send(0, "a"), 0);
    assert.equal(await client.send(1, "b"), 0);
    assert.deepEqual(await values(wire), []);
    assert.deepEqual(await values(wire, { isCommittedOnly: false }), ["a"]);
    assert.equal(await client.end(true), 0);
    assert.deepEqual(await values(wire), ["a"]);
    assert.deepEqual(await values(wire, { partition: 1 }), ["b"]);

    assert.equal(await client.send(0, "c"), 0);
    await wire.produce(batchOf({ records: [{ value: "plain" }] }));
    assert.deepEqual(await values(wire), ["a"]);
    assert.equal(await client.end(false), 0);
    assert.deepEqual(await values(wire), ["a", "plain"]);
    assert.equal(cluster.endOffset("orders", 0), 5n);
    assert.deepEqual(cluster.transactions.describe(ID)!.state, "CompleteAbort");
  });

  test(`${name}: a marker is a control batch of one offset whose epoch ${isVersion2 ? "is the next one" : "stays"}`, async () => {
    const { client, wire } = await begin(isVersion2);
    const { epoch, producerId } = client;
    await client.send(0, "a");
    await client.end(true);
    const { batches, lastStableOffset } = await read(wire);
    assert.deepEqual(batches.map(({ header }) => header.isControl), [false, true]);
    const { header, records } = batches[1]!;
    assert.deepEqual([header.baseOffset, header.producerId, header.producerEpoch], [
      1n,
      producerId,
      isVersion2 ? epoch + 1 : epoch,
    ]);
    assert.deepEqual([...records[0]!.key!], [0, 0, 0, 1]);
    assert.deepEqual([...records[0]!.value!], [0, 0, 0, 0, 0, 0]);
    assert.equal(lastStableOffset, 2n);
    assert.equal(client.epoch, isVersion2 ? epoch + 1 : epoch);
  });

  test(`${name}: the latest offset of who reads only what is committed is the first one that is open`, async () => {
    const { client, wire } = await begin(isVersion2);
    await wire.produce(batchOf());
    await client.send(0, "a");
    const latest = async (isolationLevel: number) => {
      const partitions = [{ partitionIndex: 0, timestamp: -1n }];
      const answer = await wire.ask(ListOffsets, 5, {
        ...{ replicaId: -1, isolationLevel },
        topics: [{ name: "orders", partitions }],
      });
      return answer!.topics[0]!.partitions[0]!.offset;
    };
    assert.deepEqual([await latest(0), await latest(1)], [2n, 1n]);
    await client.end(false);
    assert.deepEqual([await latest(0), await latest(1)], [3n, 3n]);
  });

  test(`${name}: a second producer of the id fences the first one and aborts what it has open`, async () => {
    const { client: first, wire } = await begin(isVersion2);
    await first.send(0, "a");
    const second = new Client(wire, isVersion2);
    assert.equal(await second.init(), CODES.concurrent);
    assert.equal(await second.init(), 0);
    assert.equal(second.epoch, first.epoch + 2);
    assert.equal(await first.produce(0, 1), 47);
    assert.deepEqual(await first.add([1]), [CODES.fenced]);
    assert.deepEqual(await first.add([1], 1), [47]);
    assert.equal(await first.end(true), CODES.fenced);
    assert.equal(await first.end(false), CODES.fenced);
    assert.equal(await first.end(true, { version: 1 }), 47);
    assert.equal(await second.send(0, "b"), 0);
    assert.equal(await second.end(true), 0);
    assert.deepEqual(await values(wire), ["b"]);
  });

  test(`${name}: the coordinator aborts what is open for longer than the producer has said`, async () => {
    const { client, cluster, runtime, wire } = await begin(isVersion2);
    await client.init({ timeoutMs: 5000, producerId: client.producerId, epoch: client.epoch });
    await client.send(0, "a");
    await runtime.advance(4999);
    assert.equal(cluster.transactions.describe(ID)!.state, "Ongoing");
    await runtime.advance(1);
    assert.equal(cluster.transactions.describe(ID)!.state, "CompleteAbort");
    assert.deepEqual(await values(wire), []);
    assert.equal(await client.produce(0, 1), 47);
  });

  test(`${name}: the coordinator is found by both ways of asking`, async () => {
    const { cluster, wire } = await begin(isVersion2);
    const one = await wire.ask(FindCoordinator, 3, { key: ID, keyType: 1 });
    assert.deepEqual([one!.errorCode, one!.nodeId], [0, cluster.coordinator("transaction", ID)!.id]);
    const many = await wire.ask(FindCoordinator, 4, { keyType: 1, coordinatorKeys: [ID, "other"] });
    assert.deepEqual(many!.coordinators.map(({ errorCode, key, nodeId }) => [key, errorCode, nodeId]), [
      [ID, 0, 1],
      ["other", 0, 1],
    ]);
  });
}
