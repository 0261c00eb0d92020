/**
 * Random walks of calls, turn by turn, through faults of all kinds: what callers were told is what a reader of committed
 * records sees, each call ends, and the turn of the next `transaction()` always comes.
 */
import assert from "node:assert/strict";
import type { KafkaError, Transaction, TransactionState } from "../../../mod.ts";
import { AddPartitionsToTxn } from "../../../src/protocol/messages/add_partitions_to_txn.ts";
import { EndTxn, InitProducerId, Produce } from "../../../src/protocol/messages/mod.ts";
import { TxnOffsetCommit } from "../../../src/protocol/messages/txn_offset_commit.ts";
import type { ControlAction } from "../../../src/testing/broker/control.ts";
import { seededRandom } from "../../../src/testing/mod.ts";
import { test } from "../../harness.ts";
import { turn } from "../../stage.ts";
import { unhandledIn } from "../unhandled.ts";
import { ID, stage } from "./stage.ts";

const SEEDS = 40;
const BROKERS = 3;
const PARTITIONS = 3;
const STEPS = 5;
const TRANSACTION_TIMEOUT_MS = 20_000;
const APIS = [EndTxn, EndTxn, Produce, InitProducerId, AddPartitionsToTxn, TxnOffsetCommit];
/** Retriable ones, and some that end a transaction or a producer; none that tells what an honest broker would not. */
const CODES = [14, 15, 16, 51, 51, 7, 10, 120];

/** One transaction, and what its caller knows of it. */
interface Told {
  readonly values: Map<string, boolean>;
  /** What its commits were told, and its aborts. */
  readonly ends: string[];
  isOwn: boolean;
}

/** Walks one seed; returns what isn't as it should be. */
async function walk(seed: number, release: "3.9" | "4.1" | "4.4"): Promise<string[]> {
  const random = seededRandom(seed);
  const below = (count: number): number => Math.floor(random() * count);
  const oneIn = (count: number): boolean => below(count) === 0;
  const { cluster, producer, run, runtime, committed } = stage(release === "3.9" ? "3.9" : "4.1", {
    release,
    brokers: BROKERS,
  });
  const limits = { maxBlockMs: 900, requestTimeoutMs: 150, deliveryTimeoutMs: 600 };
  const client = producer({ ...limits, transactionTimeoutMs: TRANSACTION_TIMEOUT_MS });
  const stateOf = (): TransactionState => client.state;
  const wrong: string[] = [];
  const all: Told[] = [];
  const calls: Promise<unknown>[] = [];
  const log: string[] = [];
  /** Nobody begins a transaction by hand: then no `transaction()` may be told that another one is open. */
  const isLineOnly = oneIn(2);
  let wasUnknown = false;
  let isClosed = false;
  let count = 0;

  const turns = async (max: number): Promise<void> => {
    for (let i = below(max); i > 0; i--) await undefined;
  };
  const wait = (ms: number): Promise<void> => new Promise((resolve) => void runtime.setTimer(resolve, ms));
  const pause = (): Promise<void> => oneIn(3) ? wait(below(120)) : turns(14);
  /** Notes how a call has ended. */
  const noted = (name: string, promise: Promise<unknown>): Promise<string> => {
    const ended = promise.then(() => "done", (error: KafkaError) => {
      if (error.code === "INTERNAL" || error.message.includes("report it")) wrong.push(`${name}: ${error.message}`);
      return error.code ?? error.message;
    }).then((how) => {
      log.push(`${name}:${how}`);
      wasUnknown ||= how === "COMMIT_UNKNOWN";
      return how;
    });
    calls.push(ended);
    return ended;
  };
  const harm = (): void => {
    const kind = below(9);
    if (kind === 0) return cluster.moveCoordinator("transaction", ID, 1 + below(BROKERS), { loadingMs: below(80) });
    if (kind === 1) return void cluster.moveLeader("out", below(PARTITIONS), 1 + below(BROKERS));
    const action: ControlAction[] = [
      ...[{ silence: true }, { silence: true, apply: true }, { drop: "before" as const }, { drop: "after" as const }],
      ...[{ answerDelayMs: 200 }, { delayMs: 200 }, { error: CODES[below(CODES.length)]! }],
    ];
    cluster.control(APIS[below(APIS.length)]!, action[kind - 2] as never, { times: oneIn(4) ? 6 : 1 });
  };
  const send = (tx: Transaction, told: Told): void => {
    const value = `v${count++}`;
    told.values.set(value, false);
    const record = { topic: oneIn(30) ? "missing" : "out", partition: below(PARTITIONS), value };
    calls.push(tx.send(record).then(() => void told.values.set(value, true), () => {}));
  };
  const end = (tx: Transaction, told: Told, kind: "commit" | "abort"): Promise<string> => {
    const ended = noted(kind, tx[kind]());
    calls.push(ended.then((how) => void told.ends.push(`${kind}:${how}`)));
    return ended;
  };
  const fill = async (tx: Transaction, told: Told): Promise<void> => {
    if (oneIn(6)) tx.signal.addEventListener("abort", () => void end(tx, told, "abort"));
    for (let i = below(4); i > 0; i--) {
      send(tx, told);
      if (oneIn(3)) await pause();
    }
    if (oneIn(4)) void noted("offsets", tx.sendOffsets({ topic: "in", partition: 0, offset: 3n }, "g"));
    if (oneIn(4)) await pause();
  };
  /** A commit whose outcome isn't known is asked again. */
  const resolve = async (tx: Transaction, told: Told): Promise<void> => {
    for (let i = 0; i < 6 && stateOf() === "unknown" && !isClosed; i++) {
      await end(tx, told, "commit");
      if (stateOf() === "abortable") await end(tx, told, "abort");
    }
  };
  const line = async (): Promise<void> => {
    const told: Told = { values: new Map(), ends: [], isOwn: false };
    all.push(told);
    const controller = new AbortController();
    const options = oneIn(2) ? { signal: controller.signal } : {};
    let transaction: Transaction | undefined;
    const call = client.transaction(async (tx) => {
      transaction = tx;
      await fill(tx, told);
      const how = below(16);
      told.isOwn = how < 5;
      if (how === 0) await end(tx, told, "commit");
      if (how === 1 || how === 2) void end(tx, told, "commit");
      if (how === 3) void end(tx, told, "abort");
      if (how === 4) void noted("within", client.transaction(() => {}));
      if (told.isOwn && oneIn(2)) {
        await pause();
        controller.abort();
      }
      if (oneIn(5)) await pause();
      if (oneIn(8)) throw new Error("own");
    }, options);
    const ended = noted("transaction", call).then(async (how) => {
      told.ends.push(`${how === "own" ? "abort" : "commit"}:${how}`);
      if (how === "TRANSACTION_STATE" && isLineOnly && !wasUnknown) wrong.push("refused in line");
      if (transaction !== undefined && transaction.state === "unknown") await resolve(transaction, told);
    });
    calls.push(ended);
    if (oneIn(2)) {
      await pause();
      controller.abort();
    }
    if (oneIn(2)) await ended;
  };
  const byHand = async (): Promise<void> => {
    const told: Told = { values: new Map(), ends: [], isOwn: true };
    let tx: Transaction | undefined;
    await noted("begin", client.begin().then((it) => tx = it));
    if (tx === undefined) return;
    all.push(told);
    await fill(tx, told);
    if (oneIn(3)) {
      const ended = end(tx, told, oneIn(2) ? "commit" : "abort");
      if (oneIn(2)) await ended;
    } else if (oneIn(2)) await end(tx, told, "commit");
    await noted("dispose", tx[Symbol.asyncDispose]());
    if (tx.ended === undefined && stateOf() === "unknown") await resolve(tx, told);
  };
  const actor = async (): Promise<void> => {
    for (let i = 0; i < STEPS && !isClosed; i++) {
      if (oneIn(2)) harm();
      const what = below(12);
      if (what < 8) await (isLineOnly || what < 4 ? line() : byHand());
      else if (what === 8) await noted("init", client.init());
      else await pause();
    }
  };
  const close = async (): Promise<void> => {
    isClosed = true;
    // Which rejects when the time is over.
    if (oneIn(2)) await client.close({ timeoutMs: below(300) }).catch(() => {});
    else await client.close().catch(() => {});
  };

  try {
    const actors = Promise.all([actor(), actor(), actor()]);
    if (oneIn(3)) await run(wait(below(900)).then(close), 60_000);
    await run(actors, 300_000);
    for (let seen = -1; seen < calls.length;) {
      seen = calls.length;
      await run(Promise.all(calls), 100_000);
    }
    await run(close(), 60_000);
  } catch (error) {
    wrong.push(`a call doesn't end: ${(error as Error).message.slice(0, 100)}`);
    return wrong.map((what) => `seed ${seed}: ${what}; ${log.join(" ")}`);
  }
  // What was left open is aborted by the broker.
  await runtime.advance(2 * TRANSACTION_TIMEOUT_MS);
  const seen = (await committed("out", PARTITIONS)).flat();
  if (new Set(seen).size !== seen.length) wrong.push(`twice: ${seen}`);
  for (const { values, ends, isOwn } of all) {
    const sent = [...values].filter(([, isDelivered]) => isDelivered).map(([value]) => value);
    const there = [...values.keys()].filter((value) => seen.includes(value));
    const isDone = ends.includes("commit:done");
    const isUnknown = ends.includes("commit:COMMIT_UNKNOWN");
    const story = `${[...values.keys()]} told ${ends}, sent ${sent}, there ${there}`;
    if (isDone && ends.includes("abort:done")) wrong.push(`both: ${story}`);
    // A function that has committed by itself may throw what it likes; that its signal was aborted is no excuse.
    const others = ends.filter((it) => it !== "commit:done" && it !== "commit:COMMIT_UNKNOWN");
    if (isDone && (isOwn ? others.includes("commit:ABORTED") : others.length > 0)) {
      wrong.push(`told otherwise: ${story}`);
    }
    if (isDone && there.length !== sent.length) wrong.push(`lost: ${story}`);
    if (!isDone && !isUnknown && there.length > 0) wrong.push(`there though not committed: ${story}`);
    if (there.length !== 0 && there.length !== sent.length) wrong.push(`torn: ${story}`);
  }
  return wrong.map((what) => `seed ${seed}: ${what}; ${log.join(" ")}`);
}

for (const release of ["3.9", "4.1", "4.4"] as const) {
  test(`transaction walk: on Kafka ${release} callers are told what has become of their transactions`, async (t) => {
    const unhandled = unhandledIn(t);
    const wrong: string[] = [];
    for (let seed = 1; seed <= SEEDS; seed++) wrong.push(...await walk(seed, release));
    assert.deepEqual(wrong, []);
    for (let i = 0; i < 3; i++) await turn();
    assert.deepEqual(unhandled, []);
  });
}
