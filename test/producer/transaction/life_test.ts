/** The life of a transactional producer: beginning, closing, callbacks, signals, and what it says of itself. */
import assert from "node:assert/strict";
import {
  BufferFullError,
  isFatal,
  KafkaError,
  ProducerClosedError,
  type Transaction,
  TransactionAbortedError,
  TransactionStateError,
} from "../../../mod.ts";
import { ApiVersions, EndTxn, FindCoordinator, InitProducerId, Produce } from "../../../src/protocol/messages/mod.ts";
import { TxnOffsetCommit } from "../../../src/protocol/messages/txn_offset_commit.ts";
import { actionOf, concurrentPauseMs, gravest } from "../../../src/producer/transaction/actions.ts";
import { type TransactionState, TransactionStates } from "../../../src/producer/transaction/states.ts";
import type { Runtime } from "../../../src/runtime/runtime.ts";
import { test } from "../../harness.ts";
import { ID, stage } from "./stage.ts";

const record = { topic: "out", partition: 0, value: "a" };

for (const release of ["3.9", "4.1"] as const) {
  test(`transaction life: on Kafka ${release} concurrent init() and begin() share one request, and none returns early`, async () => {
    const { cluster, producer, run } = stage(release);
    const client = producer();
    const [, , tx] = await run(Promise.all([client.init(), client.init(), client.begin()]));
    assert.equal(cluster.requestsOf(InitProducerId).length, 1);
    assert.equal(tx.state, "in transaction");
    await run(client.init());
    assert.equal(cluster.requestsOf(InitProducerId).length, 1);
    await run(client.close());
  });

  test(`transaction life: on Kafka ${release} close() aborts an open transaction, and everything after it is refused`, async () => {
    const { cluster, producer, run, failure, committed } = stage(release);
    const client = producer({ lingerMs: 10_000 });
    const tx = await run(client.begin());
    const sent = tx.send(record);
    await run(tx.flush());
    await run(sent);
    const waiting = tx.send({ ...record, partition: 1 });
    await run(client.close());
    assert.ok(await failure(waiting) instanceof TransactionAbortedError);
    assert.deepEqual(cluster.requestsOf(EndTxn).map(({ body }) => body.committed), [false]);
    assert.ok(await failure(client.begin()) instanceof ProducerClosedError);
    assert.ok(await failure(client.transaction(() => {})) instanceof ProducerClosedError);
    assert.ok(await failure(tx.send(record)) instanceof TransactionStateError);
    assert.deepEqual(await committed(), [[], [], []]);
  });

  test(`transaction life: on Kafka ${release} close() lets a commit that has begun come to its end`, async () => {
    const { cluster, producer, run, committed } = stage(release);
    const client = producer();
    const tx = await run(client.begin());
    await run(tx.send(record));
    cluster.control(EndTxn, { answerDelayMs: 500 }, { times: 1 });
    const ended = tx.commit();
    await run(Promise.all([ended, client.close()]));
    assert.deepEqual((await committed())[0], ["a"]);
  });

  test(`transaction life: on Kafka ${release} close() waits for an abort that has begun, and begins none of its own`, async () => {
    const { cluster, producer, run, committed } = stage(release);
    const client = producer();
    const tx = await run(client.begin());
    await run(tx.send(record));
    cluster.control(EndTxn, { answerDelayMs: 500 }, { times: 1 });
    const told: string[] = [];
    const aborted = tx.abort().then(() => told.push("aborted"), () => told.push("not aborted"));
    await run(client.close().then(() => told.push("closed")));
    await run(aborted);
    assert.deepEqual(told, ["aborted", "closed"]);
    assert.equal(cluster.requestsOf(EndTxn).length, 1);
    assert.deepEqual((await committed())[0], []);
  });

  test(`transaction life: on Kafka ${release} close() with a limit doesn't wait for a coordinator that is silent`, async () => {
    const { cluster, producer, run, runtime } = stage(release);
    const client = producer();
    const tx = await run(client.begin());
    await run(tx.send(record));
    cluster.control(EndTxn, { silence: true });
    const ended = tx.commit().catch((error) => error);
    const startMs = runtime.now();
    await run(client.close({ timeoutMs: 1_000 }).catch(() => {}));
    assert.ok(runtime.now() - startMs < 2_000);
    assert.equal((await run(ended)).code, "COMMIT_UNKNOWN");
  });

  test(`transaction life: on Kafka ${release} close() with a limit ends well by a clock of fractions`, async () => {
    const { producer, run, runtime } = stage(release);
    const client = producer();
    await run(client.transaction((tx) => void tx.send(record)));
    const now = runtime.now.bind(runtime);
    let asked = 0;
    runtime.now = () => now() + asked++ / 1_024;
    await run(client.close({ timeoutMs: 1_000 }));
    await run(client.close({ timeoutMs: 1_000 }));
  });

  test(`transaction life: on Kafka ${release} close() leaves a commit alone whose outcome isn't known`, async () => {
    const { cluster, producer, run, failure } = stage(release);
    const client = producer({ maxBlockMs: 2_000, requestTimeoutMs: 500 });
    const tx = await run(client.begin());
    await run(tx.send(record));
    cluster.control(EndTxn, { silence: true });
    assert.equal((await failure(tx.commit())).code, "COMMIT_UNKNOWN");
    await run(client.close());
    assert.ok(cluster.requestsOf(EndTxn).every(({ body }) => body.committed));
  });

  test(`transaction life: on Kafka ${release} a callback may begin the next transaction once this one has ended, and is told so before`, async () => {
    const { producer, run, committed } = stage(release);
    const client = producer();
    const refusals: unknown[] = [];
    let next: Promise<unknown> | undefined;
    await run(client.transaction(async (tx) => {
      await tx.send(record, {
        onDelivery: () => {
          client.begin().catch((error) => refusals.push(error));
          // This one waits for its turn.
          next = client.transaction((later) => later.send({ ...record, value: "b" }));
        },
      });
    }));
    await run(next!);
    assert.ok(refusals[0] instanceof TransactionStateError);
    assert.deepEqual((await committed())[0], ["a", "b"]);
    await run(client.close());
  });

  test(`transaction life: on Kafka ${release} a record that its caller takes back is no failure, one without room in the buffer is`, async () => {
    const { cluster, producer, run, failure, committed } = stage(release);
    const client = producer({ lingerMs: 1_000, bufferMemory: 40_000, maxBlockMs: 300 });
    await run(client.transaction(async (tx) => {
      const controller = new AbortController();
      const taken = tx.send({ ...record, value: "taken back" }, { signal: controller.signal });
      controller.abort();
      assert.equal((await taken.catch((error) => error)).code, "ABORTED");
      void tx.send(record);
    }));
    const stop = cluster.control(Produce, { answerDelayMs: 1_000 });
    const tx = await run(client.begin());
    const sent = Array.from(
      { length: 60 },
      () => tx.send({ ...record, value: "x".repeat(2_000) }).catch((error) => error),
    );
    const outcomes = await run(Promise.all(sent));
    stop();
    assert.ok(outcomes.some((outcome) => outcome instanceof BufferFullError));
    assert.equal((await failure(tx.commit())).requiresAbort, true);
    await run(tx.abort());
    await run(client.transaction((later) => void later.send({ ...record, value: "b" })));
    assert.deepEqual((await committed())[0], ["a", "b"]);
    await run(client.close());
  });

  test(`transaction life: on Kafka ${release} a signal that is aborted while calls wait for their turn takes only its own call back`, async () => {
    const { producer, run, committed } = stage(release);
    const client = producer();
    const controller = new AbortController();
    const first = client.transaction((tx) => void tx.send(record));
    const second = client.transaction((tx) => void tx.send({ ...record, value: "b" }), { signal: controller.signal })
      .catch((error) => error);
    const third = client.transaction((tx) => void tx.send({ ...record, value: "c" }));
    controller.abort();
    await run(first);
    assert.equal((await run(second)).code, "ABORTED");
    await run(third);
    assert.deepEqual((await committed())[0], ["a", "c"]);
    await run(client.close());
  });

  for (const code of [53, 30, 120]) {
    test(`transaction life: on Kafka ${release} FindCoordinator answered ${code} ends the call, not in a state without a way out`, async () => {
      const { cluster, producer, run, failure } = stage(release);
      const client = producer();
      const stop = cluster.control(FindCoordinator, { error: code });
      const error = await failure(client.init());
      assert.equal(error.errorCode, code);
      assert.equal(client.state, code === 53 ? "fatal" : "uninitialized");
      assert.equal(isFatal(error), code === 53);
      stop();
      if (code !== 53) await run(client.transaction((tx) => void tx.send(record)));
      await run(client.close());
    });
  }

  for (
    const [code, state] of [[31, "uninitialized"], [53, "uninitialized"], [120, "uninitialized"], [50, "fatal"], [
      -1,
      "fatal",
    ]] as const
  ) {
    test(`transaction life: on Kafka ${release} InitProducerId answered ${code} leaves the producer ${state}`, async () => {
      const { cluster, producer, run, failure } = stage(release);
      const client = producer();
      cluster.control(InitProducerId, { error: code }, { times: 1 });
      const error = await failure(client.begin());
      assert.equal(error.errorCode, code);
      assert.equal(client.state, state);
      assert.equal(isFatal(error), state === "fatal");
      if (state === "uninitialized") await run(client.transaction((tx) => void tx.send(record)));
      else assert.equal((await failure(client.begin())).errorCode, code);
      await run(client.close());
    });
  }

  test(`transaction life: on Kafka ${release} a record refused for the transactional id ends the producer`, async () => {
    const { cluster, producer, run, failure } = stage(release);
    const client = producer();
    const tx = await run(client.begin());
    cluster.control(Produce, { error: 53 }, { times: 1 });
    await failure(tx.send(record));
    assert.equal(client.state, "fatal");
    assert.equal((await failure(tx.commit())).fatal, true);
    await run(client.close());
  });

  test(`transaction life: on Kafka ${release} whatever brokers and coordinators do, a transaction is there whole or not at all`, async () => {
    const { cluster, producer, run, runtime, committed } = stage(release, { brokers: 3, replicationLagMs: 5 });
    const client = producer({ requestTimeoutMs: 1_000, deliveryTimeoutMs: 20_000 });
    const wanted: string[] = [];
    for (let i = 0; i < 30; i++) {
      const api = [Produce, EndTxn, TxnOffsetCommit][i % 3]!;
      cluster.control<typeof api>(api, { drop: i % 2 === 0 ? "after" : "before" }, { times: 1 });
      if (i % 5 === 0) cluster.moveCoordinator("transaction", ID, i % 3 + 1, { loadingMs: 50 });
      if (i % 7 === 0) cluster.electLeader("out", 0, i % 3 + 1);
      await run(client.transaction(async (tx) => {
        for (let partition = 0; partition < 3; partition++) void tx.send({ topic: "out", partition, value: String(i) });
        await tx.sendOffsets({ topic: "in", partition: 0, offset: BigInt(i + 1) }, "g");
      }));
      wanted.push(String(i));
    }
    // The markers are on their way when the commit is answered.
    await run(new Promise<void>((resolve) => runtime.setTimer(resolve, 1_000)));
    assert.equal(cluster.groups.committed("g", "in", 0), 30n);
    assert.deepEqual(await committed(), [wanted, wanted, wanted]);
    await run(client.close());
  });
}

test("transaction life: no way leads out of fatal, and what leads nowhere changes nothing", () => {
  const all: TransactionState[] = [
    "uninitialized",
    "initializing",
    "ready",
    "in transaction",
    "abortable",
    "committing",
    "aborting",
    "unknown",
    "fatal",
  ];
  const states = new TransactionStates();
  assert.throws(() => states.transition("committing"), TransactionStateError);
  assert.equal(states.current, "uninitialized");
  assert.match(states.refusal("commit").message, /^commit\(\) isn't possible now: call init\(\) or begin\(\)/);
  states.transition("fatal");
  for (const next of all) assert.equal(states.allows(next), false);
});

test("transaction life: of many codes the gravest decides, and pauses grow with the wait", () => {
  assert.equal(gravest("AddPartitionsToTxn", [0, 0]), 0);
  assert.equal(gravest("AddPartitionsToTxn", [55, 3, 0]), 3);
  assert.equal(gravest("AddPartitionsToTxn", [55, 29, 51]), 29);
  assert.equal(gravest("AddPartitionsToTxn", [29, 90, 53]), 90);
  assert.equal(gravest("AddPartitionsToTxn", [55, 0]), 55);
  assert.equal(actionOf("EndTxn", 12_345), "fatal");
  assert.deepEqual([0, 999, 1_000, 2_500, 5_000, 1e9].map(concurrentPauseMs), [20, 20, 200, 500, 1_000, 1_000]);
});

test("transaction life: a transaction says where it stands, and its signal why it can't be committed", async () => {
  const { cluster, producer, run, failure } = stage("4.1");
  const client = producer();
  const tx: Transaction = await run(client.begin());
  assert.equal(tx.state, "in transaction");
  assert.equal(tx.signal.aborted, false);
  cluster.control(Produce, { error: 48 }, { times: 1 });
  const error = await failure(tx.send(record));
  assert.equal(tx.state, "abortable");
  assert.equal((tx.signal.reason as Error).message, error.message);
  await run(tx.abort());
  assert.equal(tx.state, "ready");
  await run(client.close());
});

test("transaction life: when its signal, a hook or a log line is what aborts, a record that failed is told before those it stops", async () => {
  for (const what of ["signal", "onBatch", "warn"] as const) {
    const { runtime, cluster, producer, run } = stage("4.1");
    let stop = (): void => {};
    const client = producer({
      maxInFlight: 1,
      hooks: { onBatch: ({ error }) => void (what === "onBatch" && error && stop()) },
      logger: { warn: (event: string) => void (what === "warn" && event === "batch_failed" && stop()) },
    });
    const tx: Transaction = await run(client.begin());
    await run(tx.send(record));
    let aborted: Promise<void> | undefined;
    stop = () => void (aborted ??= tx.abort());
    if (what === "signal") tx.signal.addEventListener("abort", stop);
    const told: string[] = [];
    const send = (value: string): void => {
      tx.send({ ...record, value }, { onError: ({ code }) => void told.push(`${value} ${code}`) }).catch(({ code }) =>
        told.push(`${value} rejected ${code}`)
      );
    };
    // One in flight, and one behind it.
    cluster.control(Produce, { error: 10, delayMs: 20 }, { times: 1 });
    send("a");
    await runtime.settle();
    send("b");
    await run(tx.flush());
    await run(aborted!);
    assert.deepEqual(told, [
      ...["a MESSAGE_TOO_LARGE", "b TRANSACTION_ABORTED"],
      ...["a rejected MESSAGE_TOO_LARGE", "b rejected TRANSACTION_ABORTED"],
    ], what);
    assert.equal(client.state, "ready");
    await run(client.close());
  }
});

for (const release of ["3.9", "4.1"] as const) {
  test(`transaction life: on Kafka ${release} a function that has committed by itself has committed, one that has aborted is told so`, async () => {
    const { producer, run, failure, committed } = stage(release);
    const client = producer();
    const result = await run(client.transaction(async (tx) => {
      void tx.send(record);
      await tx.commit();
      return 5;
    }));
    assert.equal(result, 5);
    assert.equal(
      await run(client.transaction((tx) => {
        void tx.send({ ...record, value: "b" });
        void tx.commit();
        return 6;
      })),
      6,
    );
    const error = await failure(client.transaction(async (tx) => {
      tx.send({ ...record, value: "c" }).catch(() => {});
      await tx.abort();
    }));
    assert.ok(error instanceof TransactionAbortedError);
    const closed = await failure(client.transaction(async (tx) => {
      await tx.send({ ...record, value: "d" });
      await client.close();
    }));
    assert.ok(closed instanceof TransactionAbortedError);
    assert.deepEqual((await committed())[0], ["a", "b"]);
  });

  test(`transaction life: on Kafka ${release} a transaction that has ended says so, whatever the next one is about`, async () => {
    const { producer, run, failure, committed } = stage(release);
    const client = producer();
    const tx = await run(client.begin());
    void tx.send(record);
    await run(tx.commit());
    const next = await run(client.begin());
    for (const call of [() => tx.send(record), () => tx.sendOffsets([], "g"), () => tx.commit(), () => tx.abort()]) {
      const error = await failure(call());
      assert.ok(error instanceof TransactionStateError);
      assert.match(error.message, /^Begin another transaction for \w+\(\): this one was committed\.$/);
    }
    assert.throws(() => tx.produce(record), /this one was committed/);
    await run(next.abort());
    assert.match((await failure(next.send(record))).message, /this one was aborted/);
    assert.deepEqual((await committed())[0], ["a"]);
    await run(client.close());
  });

  test(`transaction life: on Kafka ${release} the error of a record says what is left to do, whoever looks at it`, async () => {
    const { cluster, producer, run, failure } = stage(release);
    const client = producer();
    const tx = await run(client.begin());
    cluster.control(Produce, { error: 10 }, { times: 1 });
    let told: KafkaError | null = null;
    const error = await failure(tx.send(record, { onDelivery: (failed) => told = failed }));
    assert.equal(told, error);
    assert.deepEqual([error.requiresAbort, error.fatal], [true, false]);
    const refusal = await failure(tx.commit());
    assert.ok(refusal.message.startsWith("Abort the transaction: "));
    assert.deepEqual([refusal.name, refusal.code, refusal.cause], [error.name, error.code, error]);
    await run(tx.abort());
    const second = await run(client.begin());
    cluster.control(Produce, { error: 53 }, { times: 1 });
    const denied = await failure(second.send(record));
    assert.deepEqual([denied.fatal, isFatal(denied), client.state], [true, true, "fatal"]);
    await run(client.close().catch(() => {}));
  });
}

test("transaction life: a process is kept alive while a transaction looks for features before it begins", async () => {
  const { cluster, producer, run, runtime } = stage("4.1");
  let held = 0;
  const holds: Runtime["newHold"] = () => ({ hold: () => held += 1, release: () => held -= 1, end: () => {} });
  Object.assign(runtime, { newHold: holds });
  const client = producer();
  await run(client.init());
  await run(new Promise<void>((resolve) => runtime.setTimer(resolve, 2_000)));
  cluster.control(ApiVersions, { answerDelayMs: 500 }, { times: 1 });
  const began = client.begin();
  await run(new Promise<void>((resolve) => runtime.setTimer(resolve, 100)));
  assert.equal(held, 1);
  await run((await run(began)).abort());
  assert.equal(held, 0);
  await run(client.close());
});

test("transaction life: a signal that is aborted while the transaction begins keeps its function from being called", async () => {
  const { cluster, producer, run, runtime, failure } = stage("4.1");
  const client = producer();
  const controller = new AbortController();
  cluster.control(InitProducerId, { answerDelayMs: 1_000 }, { times: 1 });
  let calls = 0;
  const first = client.transaction((tx) => {
    calls += 1;
    void tx.send(record);
  }, { signal: controller.signal });
  first.catch(() => {});
  await runtime.advance(500);
  controller.abort();
  assert.equal((await failure(first)).code, "ABORTED");
  assert.equal(calls, 0);
  await run(client.transaction((tx) => void tx.send({ ...record, value: "b" })));
  assert.equal(cluster.requestsOf(EndTxn).length, 1);
  await run(client.close());
});

test("transaction life: a signal that is aborted while others have their turn is told at once, and the order is kept", async () => {
  const { producer, run, runtime, failure, committed } = stage("4.1");
  const client = producer();
  const controller = new AbortController();
  let go = (): void => {};
  const first = client.transaction(async (tx) => {
    await new Promise<void>((resolve) => go = resolve);
    await tx.send(record);
  });
  const second = client.transaction((tx) => void tx.send(record), { signal: controller.signal });
  const third = client.transaction((tx) => void tx.send({ ...record, value: "b" }));
  await runtime.advance(500);
  controller.abort();
  assert.equal((await failure(second)).code, "ABORTED");
  go();
  await run(Promise.all([first, third]));
  assert.deepEqual((await committed())[0], ["a", "b"]);
  await run(client.close());
});

test("transaction life: whoever waits for a turn in the function whose turn it is is told after five seconds, once", async () => {
  const { producer, runtime, run } = stage("4.1");
  const told: unknown[] = [];
  const logger = { warn: (event: string, fields: object) => void told.push([event, fields]) };
  const client = producer({ logger });
  await run(client.transaction(() => {}));
  let release = (): void => {};
  const outer = client.transaction(async (tx) => {
    void tx.send(record);
    const inner = client.transaction((other) => void other.send(record));
    const further = client.transaction(() => {});
    await Promise.race([inner, new Promise<void>((resolve) => release = resolve)]);
    return further;
  });
  outer.catch(() => {});
  await runtime.advance(4_999);
  assert.deepEqual(told, []);
  await runtime.advance(10);
  assert.equal(told.length, 1);
  assert.match(JSON.stringify(told), /transaction_waiting.*"inLine":3.*waits for ever/);
  release();
  await runtime.advance(100_000);
  assert.equal(told.length, 1);
  await run(client.close());
});

test("transaction life: nothing is told of a turn that nobody waits for any more", async () => {
  const { producer, runtime, run, failure } = stage("4.1");
  const told: string[] = [];
  const client = producer({ logger: { warn: (event: string) => void told.push(event) } });
  let release = (): void => {};
  const first = client.transaction(() => new Promise<void>((resolve) => release = resolve));
  const controller = new AbortController();
  const second = client.transaction(() => {}, { signal: controller.signal });
  await runtime.advance(1_000);
  controller.abort();
  assert.equal((await failure(second)).code, "ABORTED");
  await runtime.advance(10_000);
  release();
  await run(first);
  assert.deepEqual(told, []);
  await run(client.close());
});

test("transaction life: close waits for the commit of a transaction that began in the turn in which another one ended", async () => {
  for (let microtasks = 0; microtasks < 12; microtasks++) {
    const { producer, run } = stage("4.1", { network: { latencyMs: 5 } });
    let started: Promise<unknown> | undefined;
    const onResponse = async ({ api }: { api: string }): Promise<void> => {
      if (api !== "EndTxn" || started !== undefined) return;
      for (let i = 0; i < 50 && client.state !== "ready"; i++) await Promise.resolve();
      for (let i = 0; i < microtasks; i++) await Promise.resolve();
      const next = await client.begin();
      void next.send(record);
      started = next.commit();
      started.catch(() => {});
      for (let i = 0; i < 8; i++) await Promise.resolve();
      void client.close();
    };
    const client = producer({ hooks: { onResponse: (event) => void onResponse(event) } });
    await run(client.transaction((tx) => void tx.send(record)));
    await run(started!);
  }
});

test("transaction life: close waits for an abort that began while the commit still waited for other records", async () => {
  const { producer, run, runtime, cluster } = stage("4.1", { network: { latencyMs: 1 } });
  const client = producer({ maxBlockMs: 5_000 });
  const tx = await run(client.begin());
  await run(tx.send(record));
  cluster.control(Produce, { answerDelayMs: 6_000 }, { times: 1 });
  void tx.send(record);
  void tx.send({ topic: "missing", value: "fails after five seconds" });
  const told: string[] = [];
  const commit = tx.commit().catch(() => told.push("not committed"));
  await runtime.advance(5_500);
  cluster.control(EndTxn, { answerDelayMs: 1_000 }, { times: 1 });
  const abort = tx.abort().then(() => told.push("aborted"), () => told.push("not aborted"));
  await runtime.advance(1_000);
  assert.deepEqual(told, ["not committed"]);
  await run(Promise.all([client.close().then(() => told.push("closed")), commit, abort]));
  assert.deepEqual(told, ["not committed", "aborted", "closed"]);
  assert.equal(cluster.requestsOf(EndTxn).length, 1);
});

test("transaction life: a commit in the turn of close() is refused, for the abort has begun, or ends before it", async () => {
  for (let before = 0; before < 4; before++) {
    for (let after = 0; after < 3; after++) {
      const { producer, run, failure, cluster } = stage("4.1", { network: { latencyMs: 5 } });
      let closing: Promise<void> | undefined;
      let commit: Promise<void> | undefined;
      const onResponse = async ({ api }: { api: string }): Promise<void> => {
        if (api !== "EndTxn" || closing !== undefined) return;
        for (let i = 0; i < 50 && client.state !== "ready"; i++) await Promise.resolve();
        for (let i = 0; i < before; i++) await Promise.resolve();
        const next = await client.begin();
        void next.send(record);
        closing = client.close();
        for (let i = 0; i < after; i++) await Promise.resolve();
        commit = next.commit();
        commit.catch(() => {});
      };
      const client = producer({ hooks: { onResponse: (event) => void onResponse(event) } });
      await run(client.transaction((tx) => void tx.send(record)));
      await run(closing!);
      assert.match(
        (await failure(commit!.then(() => Promise.reject(new Error("committed"))))).message,
        /^committed$|wait for abort|this one was aborted/,
      );
      assert.equal(cluster.requestsOf(EndTxn).length, cluster.requestsOf(Produce).length);
    }
  }
});

for (const release of ["3.9", "4.1"] as const) {
  test(`transaction life: on Kafka ${release} calls from another request are refused, and do the transaction of the first one no harm`, async () => {
    const { runtime, producer, run, failure, committed } = stage(release);
    let isElsewhere = false;
    const refusal = new KafkaError("It belongs to another request.", { code: "WRONG_REQUEST" });
    Object.assign(runtime, { newScope: () => ({ refusal: () => isElsewhere ? refusal : undefined }) });
    const client = producer();
    /** What a call is told that another request makes. */
    const elsewhere = (call: () => Promise<unknown>): Promise<KafkaError> => {
      isElsewhere = true;
      const made = call();
      isElsewhere = false;
      return failure(made);
    };
    const ofProducer = {
      "init()": () => client.init(),
      "begin()": () => client.begin(),
      "transaction()": () => client.transaction((tx) => void tx.send(record)),
      "close()": () => client.close(),
    };
    for (const [name, call] of Object.entries(ofProducer)) assert.equal(await elsewhere(call), refusal, name);
    const tx = await run(client.begin());
    await run(tx.send(record));
    const ofTransaction = {
      "send()": () => tx.send(record),
      "sendOffsets()": () => tx.sendOffsets({ topic: "in", partition: 0, offset: 7n }, "g"),
      "commit()": () => tx.commit(),
      "abort()": () => tx.abort(),
      "dispose": () => tx[Symbol.asyncDispose](),
    };
    for (const [name, call] of Object.entries({ ...ofProducer, ...ofTransaction })) {
      assert.equal(await elsewhere(call), refusal, name);
      assert.equal(client.state, "in transaction", name);
    }
    await run(tx.commit());
    await run(client.transaction((next) => void next.send({ ...record, value: "b" })));
    assert.deepEqual((await committed())[0], ["a", "b"]);
    await run(client.close());
  });
}
