/** A transaction whose caller has gone is open no longer: the next one always begins. */
import assert from "node:assert/strict";
import type { KafkaError, Transaction } from "../../../mod.ts";
import { EndTxn, InitProducerId, Produce } from "../../../src/protocol/messages/mod.ts";
import { test } from "../../harness.ts";
import { turn } from "../../stage.ts";
import { unhandledIn } from "../unhandled.ts";
import { stage } from "./stage.ts";

const MESSAGE_TOO_LARGE = 10;
const PRODUCER_FENCED = 90;
const record = { topic: "out", partition: 0, value: "a" };
const next = { topic: "out", partition: 0, value: "b" };
const codeOf = (promise: Promise<unknown>): Promise<string> => (
  promise.then(() => "done", (error: KafkaError) => error.code ?? error.message)
);

/** What a function may leave behind: it has begun to commit what can only fail, or whoever listens aborts. */
const LEAVING: Readonly<Record<string, (tx: Transaction) => void | Promise<void>>> = {
  "throws behind a commit that fails": (tx) => {
    void tx.send(record);
    tx.commit().catch(() => {});
    throw new Error("the function's own");
  },
  "returns behind a commit that fails": (tx) => {
    void tx.send(record);
    tx.commit().catch(() => {});
  },
  "aborts as soon as its signal does": (tx) => {
    tx.signal.addEventListener("abort", () => void tx.abort());
    void tx.send(record);
  },
  "aborts as soon as its signal does, behind its own commit": (tx) => {
    tx.signal.addEventListener("abort", () => void tx.abort());
    void tx.send(record);
    tx.commit().catch(() => {});
  },
};

for (const release of ["3.9", "4.1"] as const) {
  for (const [how, leave] of Object.entries(LEAVING)) {
    test(`transaction left open: on Kafka ${release} the next one begins when a function ${how}`, async (t) => {
      const unhandled = unhandledIn(t);
      const { cluster, producer, run, committed } = stage(release);
      const client = producer();
      await run(client.init());
      cluster.control(Produce, { error: MESSAGE_TOO_LARGE }, { times: 1 });
      const first = codeOf(client.transaction(leave));
      const second = codeOf(client.transaction((tx) => void tx.send(next)));
      assert.notEqual(await run(first), "done");
      assert.equal(await run(second), "done");
      assert.deepEqual((await committed())[0], ["b"]);
      await run(client.close());
      for (let i = 0; i < 3; i++) await turn();
      assert.deepEqual(unhandled, []);
    });
  }

  test(`transaction left open: on Kafka ${release} a function whose own abort has no answer is told that nothing is committed`, async () => {
    const { cluster, producer, run, committed } = stage(release);
    const client = producer({ maxBlockMs: 500, requestTimeoutMs: 200 });
    await run(client.init());
    cluster.control(EndTxn, { silence: true }, { times: 3 });
    const first = codeOf(client.transaction(async (tx) => {
      await tx.send(record);
      tx.abort().catch(() => {});
    }));
    const second = codeOf(client.transaction((tx) => void tx.send(next)));
    assert.equal(await run(first), "TRANSACTION_ABORTED");
    assert.equal(await run(second), "done");
    assert.deepEqual((await committed())[0], ["b"]);
    await run(client.close());
  });

  for (const end of ["commit", "abort"] as const) {
    test(`transaction left open: on Kafka ${release} \`await using\` waits for ${end}() that has begun, and leaves nothing open`, async () => {
      const { cluster, producer, run, committed } = stage(release);
      const client = producer();
      await run(client.init());
      if (end === "commit") cluster.control(Produce, { error: MESSAGE_TOO_LARGE }, { times: 1 });
      await run((async (): Promise<void> => {
        // As `await using` does it, without the syntax: not every runtime here has it.
        const tx = await client.begin();
        const sent = tx.send(record);
        // There is something to take back.
        if (end === "abort") await sent;
        tx[end]().catch(() => {});
        await tx[Symbol.asyncDispose]();
      })());
      assert.equal(client.state === "ready" || client.state === "initializing", true, client.state);
      await run(client.transaction((tx) => void tx.send(next)));
      assert.deepEqual((await committed())[0], ["b"]);
      await run(client.close());
    });
  }
}

test("transaction left open: what ends its producer later says nothing of a transaction that was committed", async () => {
  const { cluster, producer, run, failure } = stage("3.9");
  const client = producer({ requestTimeoutMs: 100 });
  const tx = await run(client.begin());
  const { signal } = tx;
  await run(tx.send(record));
  // Another epoch is needed then, and isn't given.
  cluster.control(EndTxn, { silence: true }, { times: 1 });
  cluster.control(InitProducerId, { error: PRODUCER_FENCED });
  await run(tx.commit());
  assert.equal((await failure(client.begin())).code, "PRODUCER_FENCED");
  assert.equal(signal.aborted, false);
  await run(client.close());
});
