/**
 * Transactions in bad weather, from a seed, in virtual time: what producers are told is judged by the referee against
 * what the logs have. Two members of a group copy what is committed, each batch in a transaction with its offset: every
 * record is there once, in the order of its partition.
 *
 * @module
 */

import { isFatal, type KafkaError, type Transaction, TransactionalProducer } from "../../../mod.ts";
import {
  EmbeddedCluster,
  EndTxn,
  FindCoordinator,
  InitProducerId,
  Produce,
  seededRandom,
  VirtualRuntime,
} from "../../../src/testing/mod.ts";
import { INVALID_TXN_STATE, TRANSACTION_ABORTABLE } from "../../../src/protocol/error_code_names.ts";
import { AddOffsetsToTxn } from "../../../src/protocol/messages/add_offsets_to_txn.ts";
import { AddPartitionsToTxn } from "../../../src/protocol/messages/add_partitions_to_txn.ts";
import { TxnOffsetCommit } from "../../../src/protocol/messages/txn_offset_commit.ts";
import {
  type Anomaly,
  type HistoryEntry,
  type HistoryStep,
  judgeHistory,
} from "../../../src/testing/simulation/referee.ts";
import { GroupReader, type ReadBatch, Reader } from "../../../src/reader/mod.ts";

/** How a run went. */
export interface Weathered {
  readonly anomalies: readonly (Anomaly | Misled)[];
  /** Transactions by what was told of them. */
  readonly told: Readonly<Record<HistoryEntry["type"], number>>;
  /** How many records were committed and then copied. */
  readonly copied: number;
  /** The requests that came, one a line. */
  readonly trace: () => readonly string[];
}

/** What no history of transactions shows. */
interface Misled {
  /**
   * `copy`: the group's copies are others than what was committed. `dead`: a producer was told to be closed, and nobody
   * has taken over its id. `unregistered`: a record went to a partition that wasn't registered.
   */
  readonly name: "copy" | "dead" | "unregistered";
  /** What shows it. */
  readonly witness: string;
}

const APIS = [
  Produce,
  EndTxn,
  EndTxn,
  EndTxn,
  InitProducerId,
  FindCoordinator,
  AddPartitionsToTxn,
  AddOffsetsToTxn,
  TxnOffsetCommit,
];
const PARTITIONS = 3;
const BROKERS = 3;
const PRODUCERS = 2;
const COPIERS = 2;
/** More than there are processes. */
const PROCESSES = 1_000_000;
const GROUP = "copiers";
const IDS = ["id-0", "id-1", "copy-0", "copy-1"];
const LIMIT_MS = 3_600_000;
/** Members find the end within this time once the weather is good. */
const COPY_LIMIT_S = 300;

/** Members of a group take most of the time: of so many seeds of a version, one has them, and its producers write more. */
const SEEDS_PER_COPY = 25;
const TRANSACTIONS = { copied: 12, alone: 5 };

/** Runs a seed. */
export async function weather(seed: number, release: "3.9" | "4.1"): Promise<Weathered> {
  const hasCopiers = (seed - 1) % (2 * SEEDS_PER_COPY) < 2;
  const transactions = hasCopiers ? TRANSACTIONS.copied : TRANSACTIONS.alone;
  const random = seededRandom(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  const runtime = new VirtualRuntime({ seed });
  const cluster = new EmbeddedCluster({
    topics: {
      out: { partitions: PARTITIONS, replicationFactor: BROKERS },
      copies: { partitions: PARTITIONS, replicationFactor: BROKERS },
      in: 1,
    },
    ...{ release, brokers: BROKERS, runtime, seed, replicationLagMs: 2 },
    transactions: { commitAfterAbort: below(2) === 0 ? 48 : 90 },
  });
  runtime.sockets = cluster.sockets;
  const entries: HistoryEntry[] = [];
  const misled: Misled[] = [];
  /** Producers whose transactional id somebody else has by now, or is about to have. */
  const superseded = new Set<TransactionalProducer>();
  const told = { ok: 0, fail: 0, info: 0 };
  let ended = 0;
  let attempts = 0;
  let isCopied = false;
  let tellCopied = (): void => {};
  const allCopied = new Promise<void>((resolve) => tellCopied = resolve);

  /** One fault, at the next request of some kind. */
  function spoil(): void {
    const api = APIS[below(APIS.length)]!;
    const times = 1 + below(2);
    switch (below(9)) {
      case 0:
        return void cluster.control<typeof api>(api, { drop: "before" }, { times });
      case 1:
      case 2:
        return void cluster.control<typeof api>(api, { drop: "after" }, { times });
      case 3:
        // Its own second attempt, late, would fence a producer that has got an identity by the third.
        if (api === InitProducerId) return;
        return void cluster.control<typeof api>(api, { delayMs: below(3_000) }, { times });
      case 4:
        return void cluster.control<typeof api>(api, { answerDelayMs: below(3_000) }, { times });
      case 5:
        return void cluster.control<typeof api>(api, { silence: true, apply: below(2) === 0 }, { times });
      case 6:
        return cluster.moveCoordinator("transaction", IDS[below(IDS.length)]!, 1 + below(BROKERS), {
          unavailableMs: below(below(4) === 0 ? 9_000 : 200),
          loadingMs: below(200),
        });
      case 7:
        return cluster.transactions.configure({ markerLagMs: below(3) === 0 ? below(3_000) : below(30) });
      default:
        return void cluster.electLeader(below(2) === 0 ? "out" : "copies", below(PARTITIONS), 1 + below(BROKERS));
    }
  }

  function make(transactionalId: string): TransactionalProducer {
    return new TransactionalProducer({
      brokers: cluster.bootstrap,
      transactionalId,
      transactionTimeoutMs: 20_000,
      deliveryTimeoutMs: 8_000,
      requestTimeoutMs: 1_000,
      maxBlockMs: 5_000,
    }, runtime);
  }

  async function work(index: number): Promise<void> {
    let producer = make(IDS[index]!);
    let process = index;
    const former: TransactionalProducer[] = [];
    for (let i = 0; i < transactions; i++) {
      if (below(2) === 0) spoil();
      let tx: Transaction;
      try {
        // Now and then somebody else takes over, and the former goes on as a zombie for one more transaction.
        if (below(12) === 0) {
          former.push(producer);
          const zombie = producer;
          const open = await zombie.begin().catch(() => undefined);
          if (open !== undefined) {
            superseded.add(zombie);
            producer = make(IDS[index]!);
            await producer.init().catch(() => {});
            await note(process, zombie, open, `z${index}.${i}`);
            process += PRODUCERS;
          }
        }
        tx = await producer.begin();
      } catch (error) {
        if (isFatal(error)) {
          seeFatal(producer, error);
          superseded.add(producer);
          former.push(producer);
          producer = make(IDS[index]!);
          process += PRODUCERS;
        }
        continue;
      }
      await note(process, producer, tx, `${index}.${i}`);
    }
    await Promise.all([...former, producer].map((each) => each.close({ timeoutMs: 5_000 }).catch(() => {})));
    ended += 1;
  }

  /** A member of the group: copies each batch and commits its offset with it, until there is nothing left. */
  async function copy(index: number): Promise<void> {
    const id = IDS[PRODUCERS + index]!;
    let producer = make(id);
    let process = 1_000 + index;
    const former: TransactionalProducer[] = [];
    // A partition may go to the other member and come back: whoever has it goes on where the group stands.
    const tenures = new Map<number, number>();
    while (!isCopied) {
      const reader = new GroupReader({
        ...{ brokers: cluster.bootstrap, connect: cluster.sockets, groupId: GROUP, topics: ["out"] },
        ...{ maxWaitMs: 500, requestTimeoutMs: 1_000, sessionTimeoutMs: 6_000, heartbeatIntervalMs: 500 },
        onAssigned: (places) => {
          for (const { partition } of places) tenures.set(partition, (tenures.get(partition) ?? 0) + 1);
        },
      }, runtime);
      const done = allCopied.then(() => reader.close());
      try {
        for await (const batch of reader.batches()) {
          if (batch.records.length === 0) continue;
          if (below(4) === 0) spoil();
          if (below(40) === 0) break;
          const tenure = tenures.get(batch.partition)! * PROCESSES;
          const type = await copyBatch(producer, reader, batch, process + tenure);
          if (producer.state === "fatal" || type === "info" || below(30) === 0) {
            superseded.add(producer);
            former.push(producer);
            producer = make(id);
          }
          // What was handed out and not committed is read again, by whoever has the partition then.
          if (type !== "ok") break;
        }
      } catch (error) {
        if (!(error instanceof Error && "code" in error)) throw error;
      }
      process += COPIERS;
      await (isCopied ? done : reader.close()).catch(() => {});
    }
    await Promise.all([...former, producer].map((each) => each.close({ timeoutMs: 5_000 }).catch(() => {})));
  }

  async function copyBatch(
    producer: TransactionalProducer,
    reader: GroupReader,
    { nextOffset, partition, records }: ReadBatch,
    process: number,
  ): Promise<HistoryEntry["type"]> {
    const attempt = attempts++;
    const decoder = new TextDecoder();
    const polled = records.map(({ offset, value }) => [Number(offset), decoder.decode(value!)] as const);
    const steps: HistoryStep[] = [{ kind: "poll", partition: `out-${partition}`, records: polled }];
    let tx: Transaction;
    try {
      const member = reader.groupMetadata();
      tx = await producer.begin();
      for (const [, value] of polled) {
        // No two attempts write the same: what one has taken back another one may write.
        const copy = `${value} by ${attempt}`;
        steps.push({ kind: "send", partition: `copies-${partition}`, value: copy });
        void tx.send({ topic: "copies", partition, value: copy }).catch(seeRefused);
      }
      void tx.sendOffsets({ topic: "out", partition, offset: nextOffset }, member);
    } catch (error) {
      seeFatal(producer, error);
      return "fail";
    }
    const type = below(6) === 0 ? await abort(tx, producer) : await commit(tx, producer);
    told[type] += 1;
    // What is read again after a transaction that was taken back is no part of the history.
    entries.push({ process, type, steps: type === "ok" ? steps : steps.slice(1) });
    return type;
  }

  /** A transaction of some records, and what was told of it. */
  async function note(process: number, producer: TransactionalProducer, tx: Transaction, name: string): Promise<void> {
    const steps: HistoryStep[] = [];
    const count = 1 + below(6);
    // Now and then it takes its time, and meets what is late of the one before.
    const pausesAt = below(3) === 0 ? below(count) : -1;
    for (let j = 0; j < count; j++) {
      if (j === pausesAt) await new Promise<void>((resolve) => runtime.setTimer(resolve, below(2_500)));
      const partition = below(PARTITIONS);
      const step = { kind: "send" as const, partition: `out-${partition}`, value: `${name}.${j}`, offset: undefined };
      const at = steps.push(step) - 1;
      void tx.send({ topic: "out", partition, value: step.value }).then(
        ({ offset }) => steps[at] = { ...step, offset: offset < 0n ? undefined : Number(offset) },
        seeRefused,
      );
    }
    if (below(3) === 0) void tx.sendOffsets({ topic: "in", partition: 0, offset: BigInt(below(100)) }, "g");
    if (below(10) === 0) await new Promise<void>((resolve) => runtime.setTimer(resolve, below(40_000)));
    const type = below(4) === 0 ? await abort(tx, producer) : await commit(tx, producer);
    told[type] += 1;
    entries.push({ process, type, steps });
  }

  /** Under version 1 a producer whose transaction has timed out is told the same as one that was fenced. */
  function seeFatal(producer: TransactionalProducer, error: unknown): void {
    if (release === "3.9" || !isFatal(error) || superseded.has(producer)) return;
    misled.push({ name: "dead", witness: String(error) });
  }

  /** Version 1 leaves the registration to the client; these are what a leader says of one that is missing. */
  function seeRefused(error: unknown): void {
    const { errorCode = 0 } = error as KafkaError;
    if (release === "3.9" && [INVALID_TXN_STATE, TRANSACTION_ABORTABLE].includes(errorCode)) {
      misled.push({ name: "unregistered", witness: String(error) });
    }
  }

  async function abort(tx: Transaction, producer: TransactionalProducer): Promise<HistoryEntry["type"]> {
    // Whatever is said of it, nothing of an aborted transaction may ever be seen.
    await tx.abort().catch((error) => seeFatal(producer, error));
    return "fail";
  }

  async function commit(tx: Transaction, producer: TransactionalProducer): Promise<HistoryEntry["type"]> {
    let isUnknown = false;
    for (let tries = 0; tries < 20; tries++) {
      try {
        await tx.commit();
        return "ok";
      } catch (error) {
        const { code, persisted, requiresAbort } = error as KafkaError;
        seeFatal(producer, error);
        if (code === "COMMIT_UNKNOWN" && !isFatal(error)) {
          isUnknown = true;
          continue;
        }
        if (requiresAbort) return await abort(tx, producer);
        return code === "COMMIT_UNKNOWN" || persisted !== "no" || isUnknown ? "info" : "fail";
      }
    }
    return "info";
  }

  const copiers = Promise.all(Array.from({ length: hasCopiers ? COPIERS : 0 }, (_, index) => copy(index)));
  await runtime.runUntil(Promise.all(Array.from({ length: PRODUCERS }, (_, index) => work(index))), LIMIT_MS);
  // What is late has arrived by then, and what was left open was aborted.
  await runtime.runUntil(new Promise<void>((resolve) => runtime.setTimer(resolve, 30_000)), LIMIT_MS);
  cluster.controls.clear();
  const sources = await runtime.runUntil(readCommitted(cluster, runtime, "out"), LIMIT_MS);
  const isBehind = (): boolean =>
    hasCopiers && [...sources].some(([name, log]) => {
      const committed = cluster.groups.committed(GROUP, "out", Number(name.slice(4))) ?? 0n;
      return log.length > 0 && Number(committed) <= log.at(-1)![0];
    });
  for (let i = 0; i < COPY_LIMIT_S && isBehind(); i++) {
    await runtime.runUntil(new Promise<void>((resolve) => runtime.setTimer(resolve, 1_000)), LIMIT_MS);
  }
  const isStuck = isBehind();
  isCopied = true;
  tellCopied();
  await runtime.runUntil(copiers, LIMIT_MS);
  if (hasCopiers) await runtime.runUntil(new Promise<void>((resolve) => runtime.setTimer(resolve, 30_000)), LIMIT_MS);
  const copies = await runtime.runUntil(readCommitted(cluster, runtime, "copies"), LIMIT_MS);
  const { requests } = cluster;
  await cluster.close();
  if (ended !== PRODUCERS) throw new Error("A producer did not come to its end.");
  const anomalies: (Anomaly | Misled)[] = [...misled];
  anomalies.push(
    ...judgeHistory(entries, new Map([...sources, ...copies]))
      // Nobody reads the copies.
      .filter(({ name, witness }) => name !== "unseen" || !witness.startsWith("copies")),
  );
  if (isStuck) anomalies.push({ name: "copy", witness: "the members of the group don't come to the end" });
  for (const [name, log] of sources) {
    const wanted = log.map(([, value]) => value).join("\n");
    const seen = copies.get(name.replace("out", "copies"))!.map(([, value]) => value.split(" ")[0]).join("\n");
    if (hasCopiers && !isStuck && wanted !== seen) {
      anomalies.push({ name: "copy", witness: `${name}:\n${wanted}\nbut\n${seen}` });
    }
  }
  const copied = [...sources.values()].reduce((sum, log) => sum + log.length, 0);
  const trace = (): string[] =>
    requests.map(({ api, atMs, body, brokerId, clientId, version }) =>
      `${atMs.toFixed(0)} ${clientId} to ${brokerId}: ${api.name} ${version} ${shown(body)}`
    );
  return { anomalies, told, copied: hasCopiers ? copied : 0, trace };
}

function shown(body: unknown): string {
  return JSON.stringify(body, (_, value) => {
    if (typeof value === "bigint") return Number(value);
    return value instanceof Uint8Array ? `${value.length} bytes` : value;
  }).slice(0, 300);
}

async function readCommitted(
  cluster: EmbeddedCluster,
  runtime: VirtualRuntime,
  topic: string,
): Promise<Map<string, (readonly [number, string])[]>> {
  const logs = new Map<string, (readonly [number, string])[]>();
  const reader = new Reader({ brokers: cluster.bootstrap, connect: cluster.sockets }, runtime);
  const places = Array.from({ length: PARTITIONS }, (_, partition) => (
    { topic, partition, start: "beginning" as const }
  ));
  const ends = (await reader.offsetsOf(places, "end")).filter(({ offset }) => offset > 0n);
  for (const { partition } of places) {
    logs.set(`${topic}-${partition}`, []);
    const stable = ends.find((end) => end.partition === partition)?.offset ?? 0n;
    const end = cluster.endOffset(topic, partition);
    if (stable !== end) throw new Error(`${topic}-${partition} is still open at ${stable}, wanted ${end}.`);
  }
  const left = new Map(ends.map(({ partition, offset }) => [partition, offset]));
  reader.assign(places.filter(({ partition }) => left.has(partition)));
  const decoder = new TextDecoder();
  if (left.size > 0) {
    for await (const { partition, records, nextOffset } of reader.batches()) {
      for (const { offset, value } of records) {
        logs.get(`${topic}-${partition}`)!.push([Number(offset), decoder.decode(value!)]);
      }
      if (nextOffset >= left.get(partition)!) left.delete(partition);
      if (left.size === 0) break;
    }
  }
  await reader.close();
  return logs;
}
