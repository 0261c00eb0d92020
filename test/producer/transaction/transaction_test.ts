import assert from "node:assert/strict";
import {
  json,
  presets,
  Producer,
  ProducerFencedError,
  string,
  TransactionStateError,
  TransactionTimedOutError,
} from "../../../mod.ts";
import { EndTxn, InitProducerId, Produce } from "../../../src/protocol/messages/mod.ts";
import { AddPartitionsToTxn } from "../../../src/protocol/messages/add_partitions_to_txn.ts";
import { test } from "../../harness.ts";
import { stage } from "./stage.ts";

for (const release of ["3.9", "4.1"] as const) {
  const version = release === "3.9" ? 1 : 2;

  test(`transactions: on Kafka ${release} what is committed is seen, once and in order, what is aborted never`, async () => {
    const { cluster, producer, run, committed } = stage(release);
    const client = producer();
    for (let i = 0; i < 6; i++) {
      const work = client.transaction((tx) => {
        for (let j = 0; j < 10; j++) void tx.send({ topic: "out", partition: j % 3, value: `${i}.${j}` });
        if (i % 2 === 1) throw new Error("no");
      });
      if (i % 2 === 1) await assert.rejects(run(work), /no/);
      else await run(work);
    }
    const wanted = [0, 1, 2].map((partition) =>
      [0, 2, 4].flatMap((i) =>
        Array.from({ length: 10 }, (_, j) => j).filter((j) => j % 3 === partition).map((j) => `${i}.${j}`)
      )
    );
    assert.deepEqual(await committed(), wanted);
    assert.equal(cluster.requestsOf(AddPartitionsToTxn).length > 0, version === 1);
    for (const { version: asked } of cluster.requestsOf(Produce)) assert.equal(asked >= 12, version === 2);
    for (const { version: asked } of cluster.requestsOf(EndTxn)) assert.equal(asked >= 5, version === 2);
    await run(client.close());
    assert.deepEqual(cluster.failures, []);
  });

  test(`transactions: on Kafka ${release} concurrent calls wait for their turn, in their order`, async () => {
    const { producer, run, committed } = stage(release);
    const client = producer();
    const order: number[] = [];
    await run(Promise.all(Array.from({ length: 20 }, (_, i) =>
      client.transaction(async (tx) => {
        order.push(i);
        await tx.send({ topic: "out", partition: 0, value: String(i) });
      }))));
    assert.deepEqual(order, Array.from({ length: 20 }, (_, i) => i));
    assert.deepEqual((await committed())[0], order.map(String));
    await run(client.close());
  });

  test(`transactions: on Kafka ${release} one without records or offsets asks nothing of the broker`, async () => {
    const { cluster, producer, run } = stage(release);
    const client = producer();
    await run(client.transaction(() => {}));
    await assert.rejects(run(client.transaction(() => Promise.reject(new Error("no")))), /no/);
    assert.equal(cluster.requestsOf(EndTxn).length, 0);
    assert.equal(cluster.requestsOf(InitProducerId).length, 1);
    await run(client.close());
  });

  test(`transactions: on Kafka ${release} a record that fails blocks the commit, and the next transaction works`, async () => {
    const { producer, run, failure, committed } = stage(release, {
      topics: { out: { partitions: 3, config: { "max.message.bytes": "1000" } } },
    });
    const client = producer();
    const error = await failure(client.transaction(async (tx) => {
      void tx.send({ topic: "out", partition: 0, value: "good" });
      void tx.send({ topic: "out", partition: 1, value: "x".repeat(2_000) });
      await tx.flush();
    }));
    assert.equal(error.requiresAbort, true);
    assert.match(error.message, /MESSAGE_TOO_LARGE|too large/i);
    await run(client.transaction((tx) => void tx.send({ topic: "out", partition: 0, value: "next" })));
    assert.deepEqual(await committed(), [["next"], [], []]);
    await run(client.close());
  });

  test(`transactions: on Kafka ${release} a restart with the same id aborts what was left open and fences the former producer`, async () => {
    const { producer, run, failure, committed } = stage(release);
    const former = producer();
    await run(former.init());
    const tx = await run(former.begin());
    await run(tx.send({ topic: "out", partition: 0, value: "left open" }));
    const later = producer();
    await run(later.transaction((next) => void next.send({ topic: "out", partition: 0, value: "later" })));
    const error = await failure(tx.commit());
    assert.ok(error instanceof ProducerFencedError, String(error));
    assert.match(error.message, /producer id \d+, epoch \d+/);
    assert.equal(former.state, "fatal");
    assert.ok(await failure(former.begin()) instanceof ProducerFencedError);
    assert.deepEqual((await committed())[0], ["later"]);
    await run(former.close());
    await run(later.close());
  });

  test(`transactions: on Kafka ${release} the answer of a commit that is lost doesn't commit twice, nor is it told as aborted`, async () => {
    const { cluster, producer, run, committed } = stage(release);
    const client = producer();
    cluster.control(EndTxn, { drop: "after" }, { times: 1 });
    const result = client.transaction((tx) => void tx.send({ topic: "out", partition: 0, value: "a" }));
    if (version === 2) await run(result);
    else {await run(result).catch((error) =>
        assert.ok(error instanceof ProducerFencedError || error.code === "COMMIT_UNKNOWN", String(error))
      );}
    assert.deepEqual((await committed())[0], ["a"]);
    await run(client.close());
  });

  test(`transactions: on Kafka ${release} calls that aren't legal are refused in words, and change nothing`, async () => {
    const { producer, run, failure, committed } = stage(release);
    const client = producer();
    const tx = await run(client.begin());
    assert.ok(await failure(client.begin()) instanceof TransactionStateError);
    await run(tx.send({ topic: "out", partition: 0, value: "a" }));
    await run(tx.commit());
    for (const call of [() => tx.commit(), () => tx.abort(), () => tx.send({ topic: "out", value: "b" })]) {
      assert.ok(await failure(call()) instanceof TransactionStateError);
    }
    await run(client.transaction((next) => void next.send({ topic: "out", partition: 0, value: "c" })));
    assert.deepEqual((await committed())[0], ["a", "c"]);
    await run(client.close());
  });

  test(`transactions: on Kafka ${release} a signal aborts, and what was not sent is dropped`, async () => {
    const { producer, run, failure, committed } = stage(release);
    const client = producer({ lingerMs: 1_000 });
    const controller = new AbortController();
    let late: Promise<unknown> | undefined;
    const error = await failure(client.transaction(async (tx) => {
      late = tx.send({ topic: "out", partition: 0, value: "a" });
      controller.abort(new Error("enough"));
      await new Promise(() => {});
    }, { signal: controller.signal }));
    assert.equal(error.code, "ABORTED");
    assert.equal((await failure(late!)).code, "TRANSACTION_ABORTED");
    assert.deepEqual(await committed(), [[], [], []]);
    await run(client.close());
  });
}

test("transactions: one that takes too long under version 2 is told as timed out, and the next one works", async () => {
  const { runtime, producer, run, failure, committed } = stage("4.1");
  const client = producer({ transactionTimeoutMs: 5_000, requestTimeoutMs: 2_000 });
  const error = await failure(client.transaction(async (tx) => {
    await tx.send({ topic: "out", partition: 0, value: "late" });
    await new Promise<void>((resolve) => runtime.setTimer(resolve, 20_000));
  }));
  assert.ok(error instanceof TransactionTimedOutError, String(error));
  assert.match(error.message, /transactionTimeoutMs \(5000 ms\)/);
  await run(client.transaction((tx) => void tx.send({ topic: "out", partition: 0, value: "next" })));
  assert.deepEqual((await committed())[0], ["next"]);
  await run(client.close());
});

test("transactions: a commit that nobody answers is unknown, and the same call again finds out under version 2", async () => {
  const { cluster, producer, run, failure, committed } = stage("4.1");
  const client = producer({ maxBlockMs: 3_000, requestTimeoutMs: 1_000 });
  const tx = await run(client.begin());
  await run(tx.send({ topic: "out", partition: 0, value: "a" }));
  const stop = cluster.control(EndTxn, { silence: true, apply: true });
  const error = await failure(tx.commit());
  assert.equal(error.code, "COMMIT_UNKNOWN");
  assert.equal(error.persisted, "possibly");
  assert.equal(client.state, "unknown");
  assert.ok(await failure(tx.abort()) instanceof TransactionStateError);
  assert.ok(await failure(client.begin()) instanceof TransactionStateError);
  stop();
  await run(tx.commit());
  assert.deepEqual((await committed())[0], ["a"]);
  await run(client.transaction((next) => void next.send({ topic: "out", partition: 0, value: "b" })));
  assert.deepEqual((await committed())[0], ["a", "b"]);
  await run(client.close());
});

test("transactions: options that can't be meant are refused", () => {
  const { producer } = stage("4.1");
  for (
    const [options, option] of [
      [{ transactionalId: "" }, "transactionalId"],
      [{ transactionTimeoutMs: 0 }, "transactionTimeoutMs"],
      [{ acks: 0 }, "acks"],
      [{ acks: 1 }, "acks"],
      [{ idempotent: false }, "idempotent"],
      [{ gapless: false }, "gapless"],
      [{ deliveryTimeoutMs: 90_000 }, "deliveryTimeoutMs"],
    ] as const
  ) {
    assert.throws(() => producer(options as never), (error) => (error as { option?: string }).option === option);
  }
});

test("transactions: a topic of a transaction has types and serializers of its own, and one that fails blocks the commit", async () => {
  const { producer, run, failure, committed } = stage("4.1");
  const client = producer();
  await run(client.transaction((tx) => {
    const out = tx.topic("out", { key: string(), value: json<{ cents: number }>() });
    void out.send({ key: "a", value: { cents: 1 }, partition: 0 });
    void out.sendBatch([{ key: "a", value: { cents: 2 }, partition: 0 }]);
    out.produce({ key: "a", value: { cents: 3 }, partition: 0 });
  }));
  assert.deepEqual((await committed())[0], ['{"cents":1}', '{"cents":2}', '{"cents":3}']);
  const error = await failure(client.transaction((tx) => {
    const out = tx.topic("out", { value: json<unknown>() });
    void out.send({ value: "good", partition: 1 });
    void out.send({ value: 1n, partition: 1 });
  }));
  assert.deepEqual([error.code, error.requiresAbort], ["SERIALIZATION", true]);
  const tx = await run(client.begin());
  const late = tx.topic("out");
  await run(tx.abort());
  assert.equal((await failure(late.send({ value: "late" }))).name, "TransactionStateError");
  assert.deepEqual((await committed())[1], []);
  const own = producer({ transactionalId: "other", valueSerializer: json() as never });
  const other = await run(own.begin());
  assert.throws(() => other.topic("out", { value: json() }), /^ConfigError: Leave out "value" for topic "out"/);
  await run(own.close());
  await run(client.close());
});

test("transactions: a preset goes with them, for what it says of acks and idempotence holds there", async () => {
  const { producer, run, committed } = stage("4.1");
  for (const name of ["highThroughput", "lowLatency", "exactlyOnce", "lowMemory", "durable"] as const) {
    const client = producer({ ...presets[name](), ...(name === "durable" ? { transactionTimeoutMs: 600_000 } : {}) });
    await run(client.transaction((tx) => void tx.send({ topic: "out", partition: 0, value: name })));
    await run(client.close());
  }
  const client = producer({ acks: -1 } as never);
  await run(client.close());
  assert.deepEqual((await committed())[0], ["highThroughput", "lowLatency", "exactlyOnce", "lowMemory", "durable"]);
});

test("transactions: who writes an option of another client for them is told what it is here", () => {
  const { producer } = stage("4.1");
  for (const name of ["transaction.timeout.ms", "transactionTimeout"]) {
    for (const make of [producer, (options: object) => new Producer({ brokers: "b:1", ...options })]) {
      assert.throws(() => make({ [name]: 30_000 } as never), {
        name: "ConfigError",
        option: name,
        message: /"transactionTimeoutMs"/,
      });
    }
  }
});
