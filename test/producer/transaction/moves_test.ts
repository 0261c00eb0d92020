/** Leaders, coordinators and features that move in the middle of a transaction. */
import assert from "node:assert/strict";
import type { KafkaError } from "../../../mod.ts";
import { AddPartitionsToTxn } from "../../../src/protocol/messages/add_partitions_to_txn.ts";
import { EndTxn, FindCoordinator, Produce } from "../../../src/protocol/messages/mod.ts";
import type { ControlAction } from "../../../src/testing/broker/control.ts";
import { test } from "../../harness.ts";
import { stage } from "./stage.ts";

const record = { topic: "out", partition: 0, value: "a" };
const codeOf = (promise: Promise<unknown>): Promise<string> => (
  promise.then(() => "done", ({ code }: KafkaError) => code)
);

/** What becomes of the first Produce request of a transaction, and whether the leader moves before it is served or after. */
const FATES: Readonly<Record<string, ControlAction<typeof Produce> & { readonly isMovedAfter?: true }>> = {
  "is refused": {},
  "is lost": { drop: "before" },
  "has no answer": { silence: true },
  "is lost behind the write": { drop: "after", isMovedAfter: true },
  "is refused behind the write": { error: 6, apply: true, isMovedAfter: true },
  "is written without an answer": { silence: true, apply: true, isMovedAfter: true },
  "is written with a late answer": { answerDelayMs: 3_000, isMovedAfter: true },
};

for (const release of ["3.9", "4.1"] as const) {
  for (const [fate, { isMovedAfter = false, ...action }] of Object.entries(FATES)) {
    test(`transaction moves: on Kafka ${release} a leader moves while the first Produce ${fate}, and all is committed once`, async () => {
      for (const others of [0, 3]) {
        for (const second of [0, 45, 120, 3]) {
          const { cluster, producer, run, runtime, committed } = stage(release, { brokers: 3 });
          const client = producer({ requestTimeoutMs: 2_000, lingerMs: 0 });
          await run(client.transaction((tx) => void tx.send({ ...record, value: "0" })));
          const from = cluster.partition("out", 0).leaderId;
          const to = cluster.brokers.find(({ id }) => id !== from)!.id;
          const move = (): void => void cluster.moveLeader("out", 0, to);
          cluster.control(Produce, () => {
            if (isMovedAfter) runtime.setTimer(move, 1);
            else move();
            return action;
          }, { times: 1, brokerId: from });
          if (second !== 0) cluster.control(Produce, { error: second }, { times: 1, brokerId: to });
          const tx = await run(client.begin());
          const values = ["a", ...["b", "c", "d"].slice(0, others)];
          const sent: Promise<string>[] = [];
          for (const value of values) {
            sent.push(codeOf(tx.send({ ...record, value })));
            // Each has a batch of its own.
            await runtime.settle();
          }
          const result = await run(codeOf(tx.commit()));
          await run(Promise.all(sent));
          if (second === 0 || second === 3) assert.equal(result, "done", `${others} others, then ${second}`);
          if (tx.ended === undefined) await run(tx.abort());
          await run(client.transaction((next) => void next.send({ ...record, value: "z" })));
          assert.deepEqual((await committed())[0], ["0", ...(result === "done" ? values : []), "z"]);
          await run(client.close());
        }
      }
    });
  }

  test(`transaction moves: on Kafka ${release} partitions are added and a leader moves while partitions are registered`, async () => {
    const { cluster, producer, run, runtime, committed } = stage(release, { brokers: 3 });
    const client = producer();
    await run(client.partitionsFor("out"));
    const api = release === "3.9" ? AddPartitionsToTxn : Produce;
    const from = cluster.partition("out", 0).leaderId;
    const to = cluster.brokers.find(({ id }) => id !== from)!.id;
    cluster.control<typeof api>(api, () => {
      cluster.moveLeader("out", 0, to);
      cluster.addPartitions("out", 6);
      return { delayMs: 5_000 };
    }, { times: 1 });
    const tx = await run(client.begin());
    const sent = [codeOf(tx.send(record))];
    await runtime.advance(1_000);
    await run(client.refreshMetadata("out"));
    sent.push(codeOf(tx.send({ ...record, partition: 5, value: "b" })), codeOf(tx.send({ ...record, value: "c" })));
    await run(tx.commit());
    assert.deepEqual(await run(Promise.all(sent)), ["done", "done", "done"]);
    assert.equal(cluster.requestsOf(EndTxn).length, 1);
    assert.deepEqual(await committed("out", 6), [["a", "c"], [], [], [], [], ["b"]]);
    await run(client.close());
  });
}

for (const release of ["3.9", "4.1"] as const) {
  for (const [name, code] of [["COORDINATOR_NOT_AVAILABLE", 15], ["NOT_COORDINATOR", 16]] as const) {
    for (const end of ["commit", "abort"] as const) {
      test(`transaction moves: on Kafka ${release} a coordinator that answers ${code} for ever leaves the ${end} unknown at its deadline, and the same call finds out`, async () => {
        const { cluster, producer, run, runtime, failure, committed } = stage(release, { brokers: 3 });
        const client = producer({ maxBlockMs: 5_000 });
        const tx = await run(client.begin());
        await run(tx.send(record));
        const startMs = runtime.now();
        const stop = cluster.control(EndTxn, { error: code });
        const error = await failure(tx[end]());
        assert.equal(error.code, `${end.toUpperCase()}_UNKNOWN`);
        assert.match(
          error.message,
          new RegExp(`of (\\d+) attempts \\1 may have been .*, the last answer was ${name}\\.`),
        );
        assert.equal(runtime.now() - startMs, 5_000);
        // The coordinator was looked for before each attempt.
        assert.ok(cluster.requestsOf(FindCoordinator).length >= cluster.requestsOf(EndTxn).length);
        stop();
        await run(tx[end]());
        await run(client.transaction((next) => void next.send({ ...record, value: "z" })));
        assert.deepEqual((await committed())[0], end === "commit" ? ["a", "z"] : ["z"]);
        await run(client.close());
      });
    }
  }

  test(`transaction moves: on Kafka ${release} a coordinator that isn't in the metadata is reached at the address that FindCoordinator tells`, async () => {
    const { cluster, producer, run, committed } = stage(release, { brokers: 3 });
    const client = producer();
    cluster.control(FindCoordinator, {
      transform: (body) => ({ ...body, coordinators: body.coordinators!.map((each) => ({ ...each, nodeId: 77 })) }),
    });
    await run(client.transaction((tx) => tx.sendOffsets({ topic: "in", partition: 0, offset: 7n }, "g")));
    await run(client.transaction((tx) => void tx.send(record)));
    assert.equal(cluster.groups.committed("g", "in", 0), 7n);
    assert.deepEqual((await committed())[0], ["a"]);
    await run(client.close());
  });
}

const LOST: Readonly<Record<string, ControlAction<typeof EndTxn>>> = {
  "lost on its way": { drop: "before" },
  "lost on its way back": { drop: "after" },
  "without an answer": { silence: true, apply: true },
};

for (const [from, to] of [[0, 2], [2, 1], [1, 2]] as const) {
  for (const [fault, action] of Object.entries(LOST)) {
    test(`transaction moves: transaction.version goes from ${from} to ${to} around an end that is ${fault}, and what is true is found out`, async () => {
      for (const moment of ["before", "during", "behind"] as const) {
        for (const end of ["commit", "abort"] as const) {
          for (const isReconnected of [false, true]) {
            const features = { finalizedFeatures: { "transaction.version": from } };
            const { cluster, producer, run, runtime, failure, committed } = stage("4.1", { brokers: 3, ...features });
            const client = producer({ maxBlockMs: 3_000, requestTimeoutMs: 1_000 });
            const tx = await run(client.begin());
            await run(tx.send(record));
            const change = (): void => {
              cluster.finalizeFeature("transaction.version", to);
              if (isReconnected) { for (const broker of cluster.brokers) broker.disconnectAll(); }
            };
            if (moment === "before") change();
            const stop = cluster.control(EndTxn, action);
            if (moment === "during") runtime.setTimer(change, 500);
            const what = `${moment} ${end}, ${isReconnected ? "connected anew" : "connected"}`;
            assert.equal((await failure(tx[end]())).code, `${end.toUpperCase()}_UNKNOWN`, what);
            stop();
            if (moment === "behind") change();
            await run(tx[end]());
            await runtime.advance(1_500);
            for (const value of ["y", "z"]) {
              await run(client.transaction((next) => void next.send({ ...record, value })));
            }
            assert.deepEqual((await committed())[0], [...(end === "commit" ? ["a"] : []), "y", "z"], what);
            assert.equal(cluster.requestsOf(EndTxn).at(-1)!.version >= 5, to === 2, what);
            await run(client.close());
          }
        }
      }
    });
  }
}
