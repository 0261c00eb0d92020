/** Calls that are made from inside of other calls, and at moments when nobody expects them. */
import assert from "node:assert/strict";
import {
  ConfigError,
  KafkaError,
  ProducerClosedError,
  ProducerFencedError,
  type Transaction,
  TransactionAbortedError,
  type TransactionalProducerOptions,
  TransactionTimedOutError,
} from "../../../mod.ts";
import { EndTxn, FindCoordinator, InitProducerId, Produce } from "../../../src/protocol/messages/mod.ts";
import { AddOffsetsToTxn } from "../../../src/protocol/messages/add_offsets_to_txn.ts";
import { TxnOffsetCommit } from "../../../src/protocol/messages/txn_offset_commit.ts";
import { test } from "../../harness.ts";
import { attemptsInATurn, turn } from "../../stage.ts";
import { unhandledIn } from "../unhandled.ts";
import { stage } from "./stage.ts";

const record = { topic: "out", partition: 0, value: "a" };
const offset = { topic: "in", partition: 0, offset: 7n };
const encoder = new TextEncoder();
const told = (promise: Promise<unknown>): Promise<KafkaError> => (
  promise.then(() => assert.fail("It was not rejected"), (error) => error)
);
const codeOf = (promise: Promise<unknown>): Promise<string> => (
  promise.then(() => "done", ({ code }: KafkaError) => code)
);

/** Where a caller's code runs in the middle of a send. */
const INSIDES: Readonly<Record<string, (inside: () => void) => Partial<TransactionalProducerOptions>>> = {
  "a serializer": (inside) => ({
    valueSerializer: (value) => {
      inside();
      return encoder.encode(String(value));
    },
  }),
  "an interceptor": (inside) => ({
    interceptors: [{
      onSend: (each) => {
        inside();
        return each;
      },
    }],
  }),
  "a partitioner": (inside) => ({
    partitioner: () => {
      inside();
      return 0;
    },
  }),
  "a list of records": () => ({}),
};

for (const release of ["3.9", "4.1"] as const) {
  for (const [where, options] of Object.entries(INSIDES)) {
    test(`transaction calls: on Kafka ${release} a commit from within ${where} takes along what is just being sent`, async () => {
      const { cluster, producer, run, committed } = stage(release, { brokers: 3 });
      let inside = (): void => {};
      const client = producer(options(() => inside()));
      await run(client.partitionsFor("out"));
      const wanted: string[] = [];
      for (const others of [0, 1]) {
        const tx = await run(client.begin());
        if (others > 0) {
          await run(tx.send({ ...record, partition: 1, value: "other" }));
          // The answer comes later than that of EndTxn would.
          cluster.control(Produce, { answerDelayMs: 300 }, { times: 1 });
        }
        let ended: Promise<string> | undefined;
        inside = () => void (ended ??= codeOf(tx.commit()));
        const { partition: _, ...anywhere } = record;
        const one = { ...(where === "a partitioner" ? anywhere : record), value: `x${others}` };
        const list = function* () {
          yield one;
          inside();
          yield { ...record, value: `y${others}` };
        };
        const isList = where === "a list of records";
        const sent = isList ? tx.sendBatch(list()).all() : tx.send(one);
        wanted.push(one.value, ...(isList ? [`y${others}`] : []));
        assert.equal(await run(ended!), "done");
        // The commit has waited for it, so no time passes any more.
        assert.equal(await Promise.race([sent.then(() => "told"), Promise.resolve().then(() => "late")]), "told");
      }
      assert.deepEqual((await committed())[0], wanted);
      await run(client.close());
    });
  }

  for (const end of ["abort", "close"] as const) {
    test(`transaction calls: on Kafka ${release} ${end}() from within a serializer takes back what is just being sent`, async () => {
      const { producer, run, failure, committed } = stage(release);
      let inside = (): void => {};
      const client = producer({
        valueSerializer: (value) => {
          inside();
          return encoder.encode(String(value));
        },
      });
      const tx = await run(client.begin());
      await run(tx.send(record));
      let ended: Promise<void> | undefined;
      inside = () => void (ended ??= end === "abort" ? tx.abort() : client.close());
      assert.ok(await failure(tx.send({ ...record, value: "b" })) instanceof TransactionAbortedError);
      await run(ended!);
      if (end === "abort") await run(client.transaction((next) => void next.send({ ...record, value: "c" })));
      assert.deepEqual((await committed())[0], end === "abort" ? ["c"] : []);
      await run(client.close());
    });
  }

  test(`transaction calls: on Kafka ${release} a signal that is aborted while the producer id is asked for is told at once`, async () => {
    const { cluster, producer, run, runtime, failure, committed } = stage(release);
    const client = producer({ requestTimeoutMs: 20_000 });
    cluster.control(InitProducerId, { silence: true }, { times: 1 });
    const controller = new AbortController();
    let isCalled = false;
    const first = client.transaction(() => void (isCalled = true), { signal: controller.signal });
    // This one waits for its turn, and then for the same answer.
    const second = client.transaction((tx) => void tx.send(record));
    await runtime.advance(500);
    const startMs = runtime.now();
    controller.abort();
    assert.equal((await failure(first)).code, "ABORTED");
    assert.equal(runtime.now(), startMs);
    await run(second);
    assert.equal(isCalled, false);
    assert.equal(cluster.requestsOf(InitProducerId).length, 2);
    assert.deepEqual((await committed())[0], ["a"]);
    await run(client.close());
  });

  test(`transaction calls: on Kafka ${release} a signal that is aborted while an abort is made sure of leaves that to the next one`, async () => {
    const { cluster, producer, run, runtime, failure, committed } = stage(release);
    const client = producer({ maxBlockMs: 2_000, requestTimeoutMs: 500 });
    const tx = await run(client.begin());
    await run(tx.send(record));
    const stop = cluster.control(EndTxn, { silence: true });
    assert.equal((await failure(tx.abort())).code, "ABORT_UNKNOWN");
    stop();
    cluster.control(EndTxn, { answerDelayMs: 400 }, { times: 1 });
    const controller = new AbortController();
    const first = codeOf(client.transaction(() => {}, { signal: controller.signal }));
    await runtime.advance(100);
    assert.equal(client.state, "aborting");
    controller.abort();
    const second = client.transaction((next) => void next.send({ ...record, value: "b" }));
    assert.equal(await run(first), "ABORTED");
    await run(second);
    assert.deepEqual((await committed())[0], ["b"]);
    await run(client.close());
  });

  test(`transaction calls: on Kafka ${release} a signal that is aborted while its function makes sure of a commit doesn't call it aborted`, async () => {
    const { cluster, producer, run, runtime, committed } = stage(release);
    const client = producer({ maxBlockMs: 2_000, requestTimeoutMs: 500 });
    for (const isLost of [false, true]) {
      const controller = new AbortController();
      const stop = cluster.control(EndTxn, isLost ? { silence: true } : { delayMs: 300 });
      const done = told(client.transaction(async (tx) => {
        await tx.send({ ...record, value: String(isLost) });
        await tx.commit().catch(() => tx.commit());
        throw Object.assign(new Error(), { code: "BEHIND_IT" });
      }, { signal: controller.signal }));
      await runtime.advance(isLost ? 2_100 : 200);
      assert.equal(client.state, "committing");
      controller.abort();
      await runtime.advance(0);
      stop();
      assert.equal((await run(done)).code, "BEHIND_IT");
    }
    assert.deepEqual((await committed())[0], ["false", "true"]);
    await run(client.close());
  });

  test(`transaction calls: on Kafka ${release} a function can't commit any more in the turn in which its signal is aborted`, async () => {
    const { producer, run, committed } = stage(release);
    const client = producer();
    const controller = new AbortController();
    let inside: Promise<string> | undefined;
    const done = codeOf(client.transaction(async (tx) => {
      await tx.send(record);
      controller.abort();
      inside = codeOf(tx.commit());
      await inside;
    }, { signal: controller.signal }));
    assert.equal(await run(done), "ABORTED");
    assert.equal(await run(inside!), "TRANSACTION_STATE");
    await run(client.transaction((tx) => void tx.send({ ...record, value: "b" })));
    assert.deepEqual((await committed())[0], ["b"]);
    await run(client.close());
  });

  for (const end of ["commit", "abort"] as const) {
    test(`transaction calls: on Kafka ${release} whoever waits for a turn has it after the ${end} that a function has begun before it threw`, async () => {
      const { cluster, producer, run, committed } = stage(release);
      const client = producer();
      cluster.control(EndTxn, { delayMs: 300 }, { times: 1 });
      const first = codeOf(client.transaction(async (tx) => {
        await tx.send(record);
        void tx[end]();
        throw Object.assign(new Error(), { code: "THROWN" });
      }));
      const second = codeOf(client.transaction((tx) => void tx.send({ ...record, value: "b" })));
      assert.deepEqual(await run(Promise.all([first, second])), ["THROWN", "done"]);
      assert.deepEqual((await committed())[0], end === "commit" ? ["a", "b"] : ["b"]);
      await run(client.close());
    });
  }

  for (const api of [FindCoordinator, InitProducerId] as const) {
    test(`transaction calls: on Kafka ${release} close() ends init() and begin() that wait for ${api.name}, and they are told of it`, async () => {
      const { cluster, producer, run, runtime } = stage(release);
      const client = producer();
      cluster.control<typeof api>(api, { silence: true });
      const errors = [client.init(), client.begin(), client.transaction(() => {})].map(told);
      await runtime.advance(500);
      const startMs = runtime.now();
      await run(client.close());
      for (const error of await run(Promise.all(errors))) {
        assert.ok(error instanceof ProducerClosedError, String(error));
      }
      assert.equal(runtime.now(), startMs);
    });
  }

  test(`transaction calls: on Kafka ${release} offsets that were never sent are told why, and cost no producer id`, async () => {
    const { cluster, producer, run } = stage(release);
    const client = producer();
    const tx = await run(client.begin());
    // The first one may be on its way before the abort.
    const first = codeOf(tx.sendOffsets(offset, "g"));
    const sent = [tx.sendOffsets(offset, "h"), tx.sendOffsets({ ...offset, offset: 9n }, "g")].map(told);
    const aborted = tx.abort();
    await run(first);
    for (const error of await run(Promise.all(sent))) {
      assert.ok(error instanceof TransactionAbortedError, String(error));
      assert.equal(error.message, "The offsets were not sent: the transaction was aborted.");
    }
    await run(aborted);
    await run(client.begin());
    assert.equal(cluster.requestsOf(InitProducerId).length, 1);
    await run(client.close());
  });

  test(`transaction calls: on Kafka ${release} offsets that may have been written when the abort came aren't told as not sent`, async () => {
    const { cluster, producer, run, runtime } = stage(release);
    const client = producer({ requestTimeoutMs: 500 });
    const tx = await run(client.begin());
    cluster.control(TxnOffsetCommit, { silence: true, apply: true }, { times: 1 });
    const sent = told(tx.sendOffsets(offset, "g"));
    await runtime.advance(100);
    await run(tx.abort());
    assert.equal((await run(sent)).code, "TRANSACTION_CALL_TIMED_OUT");
    assert.equal(cluster.groups.committed("g", "in", 0), undefined);
    await run(client.close());
  });

  test(`transaction calls: on Kafka ${release} of concurrent offsets one that fails stops those behind it, and the commit of the same turn`, async () => {
    const { cluster, producer, run } = stage(release);
    const client = producer();
    const tx = await run(client.begin());
    cluster.control(TxnOffsetCommit, { error: 22 }, { times: 1 });
    const sent = [
      tx.sendOffsets(offset, "g"),
      tx.sendOffsets(offset, "h"),
      tx.sendOffsets({ ...offset, offset: 9n }, "g"),
    ];
    const refused = told(tx.commit());
    // The second one may be on its way when the first one fails.
    const [first, , third] = await run(Promise.all(sent.map((each) => each.catch((error) => error))));
    assert.equal(first.code, "ILLEGAL_GENERATION");
    assert.equal(third.code, "TRANSACTION_ABORTED");
    assert.match(
      third.message,
      /^The offsets were not sent: something else in the transaction has failed\. .*ILLEGAL_GEN/,
    );
    assert.equal((await run(refused)).code, "ILLEGAL_GENERATION");
    await run(tx.abort());
    for (const group of ["g", "h"]) assert.equal(cluster.groups.committed(group, "in", 0), undefined);
    await run(client.transaction((next) => next.sendOffsets(offset, "g")));
    assert.equal(cluster.groups.committed("g", "in", 0), 7n);
    await run(client.close());
  });

  test(`transaction calls: on Kafka ${release} offsets, records and a commit of one turn are committed together, the last offset of each group`, async () => {
    const { cluster, producer, run, committed } = stage(release, { brokers: 3 });
    const client = producer();
    for (let round = 0; round < 3; round++) {
      const tx = await run(client.begin());
      cluster.control(TxnOffsetCommit, { answerDelayMs: 100 }, { times: 2 });
      cluster.control<typeof AddOffsetsToTxn>(AddOffsetsToTxn, { error: 51 }, { times: 2 });
      void tx.send({ ...record, value: String(round) });
      for (let i = 1; i <= 6; i++) {
        void tx.sendOffsets({ ...offset, offset: BigInt(10 * round + i) }, i % 2 ? "g" : "h");
      }
      void tx.send({ ...record, partition: 1, value: String(round) });
      await run(tx.commit());
      assert.deepEqual(["g", "h"].map((group) => cluster.groups.committed(group, "in", 0)), [
        BigInt(10 * round + 5),
        BigInt(10 * round + 6),
      ]);
    }
    assert.deepEqual(await committed(), [["0", "1", "2"], ["0", "1", "2"], []]);
    await run(client.close());
  });

  test(`transaction calls: on Kafka ${release} a record that is taken back while a codec works on it is none, and its transaction is committed`, async () => {
    const { producer, run, runtime, committed } = stage(release);
    let goOn = (): void => {};
    const codec = {
      ...{ name: "gzip" as const, id: 1 as const, decompress: (bytes: Uint8Array) => bytes },
      compress: (bytes: Uint8Array) => new Promise<Uint8Array>((resolve) => goOn = () => resolve(bytes)),
    };
    const client = producer({ compression: "gzip", codecs: { gzip: codec } });
    const tx: Transaction = await run(client.begin());
    const controller = new AbortController();
    const sent = codeOf(tx.send(record, { signal: controller.signal }));
    await runtime.advance(100);
    controller.abort();
    goOn();
    assert.equal(await run(sent), "ABORTED");
    await run(tx.commit());
    assert.equal(client.state, "ready");
    assert.deepEqual(await committed(), [[], [], []]);
    await run(client.close());
  });
}

test("transaction calls: the signal of a transaction whose commit finds out that it has timed out says so", async () => {
  const { producer, run, runtime, failure } = stage("4.1");
  const client = producer({ transactionTimeoutMs: 5_000, requestTimeoutMs: 2_000 });
  const tx = await run(client.begin());
  await run(tx.send(record));
  const { signal } = tx;
  await runtime.advance(20_000);
  const error = await failure(tx.commit());
  assert.ok(error instanceof TransactionTimedOutError);
  assert.equal(signal.reason, error);
  await run(client.close());
});

for (const release of ["3.9", "4.1"] as const) {
  test(`transaction calls: on Kafka ${release} a commit in whichever turn after offsets were refused is refused too`, async () => {
    for (let turns = 0; turns < 12; turns++) {
      const { cluster, producer, run } = stage(release);
      let onRefused = (): void => {};
      const onResponse = ({ api }: { readonly api: string }): void => {
        if (api === "TxnOffsetCommit") onRefused();
      };
      const client = producer({ hooks: { onResponse } });
      const tx = await run(client.begin());
      await run(tx.send(record));
      cluster.control(TxnOffsetCommit, { error: 22 }, { times: 1 });
      const committed = new Promise<string>((resolve) => {
        onRefused = async () => {
          for (let i = 0; i < turns; i++) await undefined;
          resolve(codeOf(tx.commit()));
        };
      });
      void tx.sendOffsets(offset, "g");
      assert.equal(await run(committed), "ILLEGAL_GENERATION", `after ${turns} turns`);
      await run(tx.abort());
      assert.ok(cluster.requestsOf(EndTxn).every(({ body }) => !body.committed));
      await run(client.close());
    }
  });
}

for (const release of ["3.9", "4.1"] as const) {
  const thrown = new Error("thrown by a list");
  const unreadable = function* (): Generator<never> {
    yield* [];
    throw thrown;
  };
  for (
    const [what, hand] of [
      ["an offset that is none", (tx) => tx.sendOffsets({ ...offset, offset: 7 as never }, "g")],
      ["a group that is none", (tx) => tx.sendOffsets(offset, "")],
      ["offsets that can't be read", (tx) => tx.sendOffsets(unreadable(), "g")],
      ["records that can't be read", (tx) => tx.sendBatch(unreadable())],
      ["no list of records", (tx) => tx.sendBatch(record as never)],
      ["no list of records of a topic", (tx) => tx.topic("out").sendBatch(5 as never)],
    ] as [string, (tx: Transaction) => PromiseLike<unknown>][]
  ) {
    test(`transaction calls: on Kafka ${release} ${what} blocks the commit, awaited or not`, async (t) => {
      const unhandled = unhandledIn(t);
      const { producer, run, failure, committed } = stage(release);
      const client = producer();
      const error = await failure(client.transaction((tx) => {
        void tx.send(record);
        void hand(tx);
      }));
      assert.ok(error instanceof ConfigError, String(error));
      assert.deepEqual([error.requiresAbort, error.fatal], [true, false]);
      const told = await run(
        client.transaction(async (tx) => {
          try {
            await hand(tx);
          } catch (error) {
            return error;
          }
        }).catch((error) => error),
      );
      assert.ok(told instanceof ConfigError, String(told));
      // As before: nobody has to look at it.
      await turn();
      assert.deepEqual(unhandled, []);
      await run(client.transaction((tx) => void tx.send({ ...record, value: "b" })));
      assert.deepEqual((await committed())[0], ["b"]);
      await run(client.close());
    });
  }
}

/** Errors to which nothing can be written. */
function unchangeable(): Readonly<Record<string, ConfigError>> {
  const refuse = (): never => {
    throw new TypeError("This error is not to be changed.");
  };
  const error = (): ConfigError => new ConfigError("value", "No value today.");
  return {
    "is frozen": Object.freeze(error()),
    "refuses to be changed": new Proxy(error(), { set: refuse, defineProperty: refuse }),
  };
}

for (const release of ["3.9", "4.1"] as const) {
  for (const [what, thrown] of Object.entries(unchangeable())) {
    test(`transaction calls: on Kafka ${release} a record blocks the commit with an error that ${what} as well`, async () => {
      const { producer, run, failure, committed } = stage(release);
      const client = producer();
      const unreadable = {
        topic: "out",
        get value(): string {
          throw thrown;
        },
      };
      const error = await failure(client.transaction((tx) => {
        void tx.send(record);
        void tx.send(unreadable).catch(() => {});
      }));
      assert.ok(error instanceof ConfigError, String(error));
      assert.equal(error.requiresAbort, true);
      await run(client.transaction((tx) => void tx.send({ ...record, value: "b" })));
      assert.deepEqual((await committed())[0], ["b"]);
      await run(client.close());
    });
  }

  for (
    const [what, thrown] of [
      ["that ended another client", new KafkaError("of a reader", { fatal: true })],
      ["of another producer that was fenced", new ProducerFencedError("of another producer", { errorCode: 90 })],
      ["of another transaction that was aborted", new TransactionAbortedError("of another transaction")],
      ["that can't be changed", Object.freeze(new KafkaError("of a reader"))],
    ] as const
  ) {
    test(`transaction calls: on Kafka ${release} a list of offsets that throws an error ${what} blocks the commit, and ends nothing else`, async () => {
      const { producer, run, failure, committed } = stage(release);
      const client = producer();
      const unreadable = function* (): Generator<never> {
        yield* [];
        throw thrown;
      };
      const error = await failure(client.transaction((tx) => {
        void tx.send(record);
        void tx.sendOffsets(unreadable(), "g");
      }));
      assert.ok(error instanceof ConfigError, String(error));
      assert.deepEqual([error.requiresAbort, error.fatal], [true, false]);
      assert.equal((error.cause as Error).cause, thrown);
      assert.equal(thrown.requiresAbort, false);
      assert.equal(client.state, "ready");
      await run(client.transaction((tx) => void tx.send({ ...record, value: "b" })));
      assert.deepEqual((await committed())[0], ["b"]);
      await run(client.close());
    });
  }
}

for (const end of ["fenced", "closed"] as const) {
  test(`transaction calls: whoever calls again whatever it is told keeps nobody waiting, of a producer that was ${end}`, async () => {
    const { cluster, failure, producer, run } = stage("4.1", {});
    const one = producer();
    const write = (): Promise<unknown> => one.transaction((tx) => tx.send(record));
    await run(write());
    const tx = await run(one.begin());
    if (end === "closed") await run(one.close());
    else {
      cluster.control(Produce, { error: 90 }, { times: 1 });
      assert.equal((await failure(tx.send(record))).fatal, true);
    }
    const ofProducer = [write, () => one.begin(), () => one.init()];
    const offset = { topic: "in", partition: 0, offset: 5n };
    const ofTransaction = [
      () => tx.send(record),
      () => tx.sendOffsets(offset, "g"),
      () => tx.commit(),
      () => tx.abort(),
    ];
    for (const call of [...ofProducer, ...ofTransaction]) assert.equal(await attemptsInATurn(call), 0, String(call));
    for (const call of ofProducer) {
      assert.equal((await failure(call())).code, end === "closed" ? "PRODUCER_CLOSED" : "PRODUCER_FENCED");
    }
    for (const call of ofTransaction) {
      assert.equal((await failure(call())).code, end === "closed" ? "TRANSACTION_STATE" : "PRODUCER_FENCED");
    }
    await run(one.close());
  });
}

test("transaction calls: whoever sends again whatever it is told keeps nobody waiting when a record has failed", async () => {
  const { failure, producer, run } = stage("4.1", {});
  const one = producer();
  const tx = await run(one.begin());
  await failure(tx.send({ topic: "out", value: 7 as never }));
  const calls = { TRANSACTION_STATE: () => tx.send(record), SERIALIZATION: () => tx.commit() };
  for (const [code, call] of Object.entries(calls)) {
    assert.equal(await attemptsInATurn(call), 0, String(call));
    assert.equal((await failure(call())).code, code);
  }
  await run(tx.abort());
  await run(one.close());
});
