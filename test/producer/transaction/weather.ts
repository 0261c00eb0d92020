/**
 * Transactions in bad weather, from a seed, in virtual time: what producers are told is judged by the referee against
 * what the logs have.
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
import { AddOffsetsToTxn } from "../../../src/protocol/messages/add_offsets_to_txn.ts";
import { AddPartitionsToTxn } from "../../../src/protocol/messages/add_partitions_to_txn.ts";
import { TxnOffsetCommit } from "../../../src/protocol/messages/txn_offset_commit.ts";
import {
  type Anomaly,
  type HistoryEntry,
  type HistoryStep,
  judgeHistory,
} from "../../../src/testing/simulation/referee.ts";
import { Reader } from "../../../src/reader/mod.ts";

/** How a run went. */
export interface Weathered {
  readonly anomalies: readonly Anomaly[];
  /** Transactions by what was told of them. */
  readonly told: Readonly<Record<HistoryEntry["type"], number>>;
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
const TRANSACTIONS = 12;
const LIMIT_MS = 3_600_000;

/** Runs a seed. */
export async function weather(seed: number, release: "3.9" | "4.1"): Promise<Weathered> {
  const random = seededRandom(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  const runtime = new VirtualRuntime({ seed });
  const cluster = new EmbeddedCluster({
    topics: { out: { partitions: PARTITIONS, replicationFactor: BROKERS }, in: 1 },
    ...{ release, brokers: BROKERS, runtime, seed, replicationLagMs: 2 },
    transactions: { commitAfterAbort: below(2) === 0 ? 48 : 90 },
  });
  runtime.sockets = cluster.sockets;
  const entries: HistoryEntry[] = [];
  const told = { ok: 0, fail: 0, info: 0 };
  let ended = 0;

  /** One fault, at the next request of some kind. */
  function spoil(): void {
    const api = APIS[below(APIS.length)]!;
    const times = 1 + below(2);
    switch (below(8)) {
      case 0:
        return void cluster.control<typeof api>(api, { drop: "before" }, { times });
      case 1:
      case 2:
        return void cluster.control<typeof api>(api, { drop: "after" }, { times });
      case 3:
        return void cluster.control<typeof api>(api, { delayMs: below(3_000) }, { times });
      case 4:
        return void cluster.control<typeof api>(api, { answerDelayMs: below(3_000) }, { times });
      case 5:
        return void cluster.control<typeof api>(api, { silence: true, apply: below(2) === 0 }, { times });
      case 6:
        return cluster.moveCoordinator("transaction", `id-${below(PRODUCERS)}`, 1 + below(BROKERS), {
          unavailableMs: below(200),
          loadingMs: below(200),
        });
      default:
        return void cluster.electLeader("out", below(PARTITIONS), 1 + below(BROKERS));
    }
  }

  function make(index: number): TransactionalProducer {
    return new TransactionalProducer({
      brokers: cluster.bootstrap,
      transactionalId: `id-${index}`,
      transactionTimeoutMs: 20_000,
      deliveryTimeoutMs: 8_000,
      requestTimeoutMs: 1_000,
      maxBlockMs: 5_000,
    }, runtime);
  }

  async function work(index: number): Promise<void> {
    let producer = make(index);
    let process = index;
    const former: TransactionalProducer[] = [];
    for (let i = 0; i < TRANSACTIONS; i++) {
      if (below(2) === 0) spoil();
      let tx: Transaction;
      try {
        // Now and then somebody else takes over, and the former goes on as a zombie for one more transaction.
        if (below(12) === 0) {
          former.push(producer);
          const zombie = producer;
          const open = await zombie.begin().catch(() => undefined);
          if (open !== undefined) {
            producer = make(index);
            await producer.init().catch(() => {});
            await note(process, open, `z${index}.${i}`);
            process += PRODUCERS;
          }
        }
        tx = await producer.begin();
      } catch (error) {
        if (isFatal(error)) {
          former.push(producer);
          producer = make(index);
          process += PRODUCERS;
        }
        continue;
      }
      await note(process, tx, `${index}.${i}`);
    }
    await Promise.all([...former, producer].map((each) => each.close({ timeoutMs: 5_000 }).catch(() => {})));
    ended += 1;
  }

  /** A transaction of some records, and what was told of it. */
  async function note(process: number, tx: Transaction, name: string): Promise<void> {
    const steps: HistoryStep[] = [];
    for (let j = 0; j <= below(6); j++) {
      const partition = below(PARTITIONS);
      const step = { kind: "send" as const, partition: `out-${partition}`, value: `${name}.${j}`, offset: undefined };
      const at = steps.push(step) - 1;
      void tx.send({ topic: "out", partition, value: step.value }).then(
        ({ offset }) => steps[at] = { ...step, offset: offset < 0n ? undefined : Number(offset) },
        () => {},
      );
    }
    if (below(3) === 0) void tx.sendOffsets({ topic: "in", partition: 0, offset: BigInt(below(100)) }, "g");
    if (below(10) === 0) await new Promise<void>((resolve) => runtime.setTimer(resolve, below(40_000)));
    const type = below(4) === 0 ? await abort(tx) : await commit(tx);
    told[type] += 1;
    entries.push({ process, type, steps });
  }

  async function abort(tx: Transaction): Promise<HistoryEntry["type"]> {
    // Whatever is said of it, nothing of an aborted transaction may ever be seen.
    await tx.abort().catch(() => {});
    return "fail";
  }

  async function commit(tx: Transaction): Promise<HistoryEntry["type"]> {
    let isUnknown = false;
    for (let tries = 0; tries < 20; tries++) {
      try {
        await tx.commit();
        return "ok";
      } catch (error) {
        const { code, persisted, requiresAbort } = error as KafkaError;
        if (code === "COMMIT_UNKNOWN" && !isFatal(error)) {
          isUnknown = true;
          continue;
        }
        if (requiresAbort) {
          await tx.abort().catch(() => {});
          return "fail";
        }
        return code === "COMMIT_UNKNOWN" || persisted !== "no" || isUnknown ? "info" : "fail";
      }
    }
    return "info";
  }

  await runtime.runUntil(Promise.all(Array.from({ length: PRODUCERS }, (_, index) => work(index))), LIMIT_MS);
  cluster.controls.clear();
  // What is late has arrived by then, and what was left open was aborted.
  await runtime.runUntil(new Promise<void>((resolve) => runtime.setTimer(resolve, 60_000)), LIMIT_MS);
  const logs = await runtime.runUntil(readCommitted(cluster, runtime), LIMIT_MS);
  await cluster.close();
  if (ended !== PRODUCERS) throw new Error("A producer did not come to its end.");
  return { anomalies: judgeHistory(entries, logs), told };
}

async function readCommitted(
  cluster: EmbeddedCluster,
  runtime: VirtualRuntime,
): Promise<Map<string, (readonly [number, string])[]>> {
  const logs = new Map<string, (readonly [number, string])[]>();
  const reader = new Reader({ brokers: cluster.bootstrap, connect: cluster.sockets }, runtime);
  const places = Array.from({ length: PARTITIONS }, (_, partition) => (
    { topic: "out", partition, start: "beginning" as const }
  ));
  const ends = (await reader.offsetsOf(places, "end")).filter(({ offset }) => offset > 0n);
  for (const { partition } of places) {
    logs.set(`out-${partition}`, []);
    const stable = ends.find((end) => end.partition === partition)?.offset ?? 0n;
    const end = cluster.endOffset("out", partition);
    if (stable !== end) throw new Error(`Partition ${partition} is still open at ${stable}, wanted ${end}.`);
  }
  const left = new Map(ends.map(({ partition, offset }) => [partition, offset]));
  reader.assign(places.filter(({ partition }) => left.has(partition)));
  const decoder = new TextDecoder();
  if (left.size > 0) {
    for await (const { partition, records, nextOffset } of reader.batches()) {
      for (const { offset, value } of records) {
        logs.get(`out-${partition}`)!.push([Number(offset), decoder.decode(value!)]);
      }
      if (nextOffset >= left.get(partition)!) left.delete(partition);
      if (left.size === 0) break;
    }
  }
  await reader.close();
  return logs;
}
