import assert from "node:assert/strict";
import type { KafkaError, Transaction, TransactionalProducerOptions } from "../../../mod.ts";
import { Produce } from "../../../src/protocol/messages/produce.ts";
import { test } from "../../harness.ts";
import { turn } from "../../stage.ts";
import { unhandledIn } from "../unhandled.ts";
import { type Stage, stage } from "./stage.ts";

const POLICY_VIOLATION = 44;
const PRODUCER_FENCED = 90;

const record = { topic: "out", partition: 0, value: "v" };

/** A way in which a record fails. */
interface Failure {
  /** Codes of the errors that its promise may reject with, also when another one has failed before. */
  readonly code: string;
  readonly options?: Partial<TransactionalProducerOptions>;
  /** Settings of the topic `out`. */
  readonly config?: Record<string, string>;
  /** Sends a record that fails, and is called again and again. */
  send(tx: Transaction): Promise<unknown>;
  /** Before the first send. */
  prepare?(staged: Stage, tx: Transaction): void;
  /** Between the sends and the end. */
  then?(tx: Transaction, staged: Stage, close: () => Promise<void>): unknown;
}

const plain = (tx: Transaction): Promise<unknown> => tx.send(record);
const answering = (error: number) => ({ cluster }: Stage): void => void cluster.control(Produce, { error });

const failures: Record<string, Failure> = {
  "is refused at once": {
    code: "SERIALIZATION|TRANSACTION_STATE",
    send: (tx) => tx.send({ topic: "out", value: 5 as never }),
  },
  "is larger than a request": {
    code: "RECORD_TOO_LARGE|TRANSACTION_STATE",
    options: { maxRequestSize: 1_000 },
    send: (tx) => tx.send({ ...record, value: "v".repeat(2_000) }),
  },
  "waits for a topic that isn't there": {
    code: "UNKNOWN_TOPIC_OR_PARTITION",
    options: { maxBlockMs: 500 },
    send: (tx) => tx.send({ topic: "missing", value: "v" }),
  },
  "waits for memory in vain": {
    code: "BUFFER_FULL",
    options: { bufferMemory: 1_000, maxBlockMs: 500 },
    prepare({ cluster }, tx) {
      cluster.control(Produce, { answerDelayMs: 5_000 });
      tx.send({ ...record, value: "v".repeat(800) }).catch(() => {});
    },
    send: (tx) => tx.send({ ...record, value: "v".repeat(800) }),
  },
  "expires": {
    code: "DELIVERY_TIMEOUT",
    options: { requestTimeoutMs: 500, deliveryTimeoutMs: 1_000 },
    prepare: ({ cluster }) => void cluster.control(Produce, { silence: true }),
    send: plain,
  },
  "is refused by the broker": { code: "POLICY_VIOLATION", prepare: answering(POLICY_VIOLATION), send: plain },
  "is refused by the broker, with interceptors": {
    code: "POLICY_VIOLATION",
    options: { interceptors: [{ onSend: (record) => record }] },
    prepare: answering(POLICY_VIOLATION),
    send: plain,
  },
  "is refused by the broker, by a handle of its topic": {
    code: "POLICY_VIOLATION",
    prepare: answering(POLICY_VIOLATION),
    send: (tx) => tx.topic("out").send({ partition: 0, value: "v" }),
  },
  "is refused by the broker, with a callback": {
    code: "POLICY_VIOLATION",
    prepare: answering(POLICY_VIOLATION),
    send: (tx) => tx.send(record, { onSuccess: () => {} }),
  },
  "is refused by the broker, with a signal": {
    code: "POLICY_VIOLATION",
    prepare: answering(POLICY_VIOLATION),
    send: (tx) => tx.send(record, { signal: new AbortController().signal }),
  },
  "is too large for the broker, alone after its batch was split": {
    code: "MESSAGE_TOO_LARGE",
    config: { "max.message.bytes": "1000" },
    send: (tx) => tx.send({ ...record, value: "v".repeat(2_000) }),
  },
  "is one that the broker names": {
    code: "INVALID_RECORD",
    config: { "cleanup.policy": "compact" },
    send(tx) {
      tx.send({ ...record, key: "k" }).catch(() => {});
      return tx.send(record);
    },
  },
  "is taken back by its signal": {
    code: "ABORTED",
    options: { lingerMs: 1_000 },
    send(tx) {
      const controller = new AbortController();
      const sent = tx.send(record, { signal: controller.signal });
      controller.abort();
      return sent;
    },
  },
  "is dropped by abort()": {
    code: "TRANSACTION_ABORTED",
    options: { lingerMs: 1_000 },
    send: plain,
    then: (tx) => tx.abort(),
  },
  "is dropped because another one has failed": {
    code: "TRANSACTION_ABORTED",
    options: { lingerMs: 1_000 },
    send: plain,
    then: (tx) => void tx.produce({ topic: "out", value: 5 as never }),
  },
  "comes after one that has failed": {
    code: "TRANSACTION_STATE",
    prepare: (_, tx) => void tx.produce({ topic: "out", value: 5 as never }),
    send: plain,
  },
  "is sent by the callback of one that is refused": {
    code: "TRANSACTION_STATE",
    send(tx) {
      let again: Promise<unknown> | undefined;
      if (tx.state === "in transaction") {
        // Not returned: what a callback returns is watched.
        tx.produce({ topic: "out", value: 5 as never }, () => {
          again = plain(tx);
        });
      }
      return again ?? plain(tx);
    },
  },
  "is cut off by close()": {
    code: "PRODUCER_CLOSED|TRANSACTION_ABORTED",
    prepare: ({ cluster }) => void cluster.control(Produce, { silence: true }),
    send: plain,
    then: (_tx, { runtime }, close) => Promise.all([close().catch(() => {}), runtime.advance(2_000)]),
  },
  "is that of a producer that was fenced off": {
    code: "PRODUCER_FENCED",
    prepare: answering(PRODUCER_FENCED),
    send: plain,
  },
};

for (const [how, { code, options, config, send, prepare, then }] of Object.entries(failures)) {
  test(`transactions: a promise that nobody looks at isn't reported as unhandled, when its record ${how}`, async (t) => {
    const unhandled = unhandledIn(t);
    const staged = stage("4.1", {
      network: { latencyMs: 1 },
      topics: { out: { partitions: 3, ...config === undefined ? {} : { config } }, in: 1 },
    });
    const { runtime, run, failure } = staged;
    const client = staged.producer(options);
    const tx = await run(client.begin());
    if (how !== "waits for a topic that isn't there") await run(client.partitionsFor("out"));
    prepare?.(staged, tx);
    const ignored = send(tx);
    const watched = send(tx).then(() => undefined, (error: KafkaError) => error);
    const close = (): Promise<void> => client.close({ timeoutMs: 1_000 });
    await then?.(tx, staged, close);
    await runtime.advance(10_000);
    for (let i = 0; i < 5; i++) await turn();
    const told = await run(watched);
    assert.ok(code.split("|").includes(String(told?.code)), `it rejected with ${told?.code}, wanted ${code}`);
    // Looked at later it says why, all the same.
    assert.ok(code.split("|").includes((await failure(ignored)).code));
    if (tx.state === "in transaction" || tx.state === "abortable") await run(tx.abort());
    await run(client.close({ timeoutMs: 1_000 }).catch(() => {}));
    for (let i = 0; i < 5; i++) await turn();
    assert.deepEqual(unhandled, []);
  });
}

test("transactions: without one that fails, a promise that nobody looks at is settled with where its record is", async () => {
  const { producer, run } = stage("4.1");
  const client = producer();
  let sent: Promise<{ offset: bigint }> | undefined;
  await run(client.transaction((tx) => {
    sent = tx.send(record);
    assert.equal(sent instanceof Promise, true);
  }));
  assert.equal((await sent!).offset, 0n);
  await run(client.close());
});
