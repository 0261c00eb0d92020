/** Calls from within what a producer calls back: hooks, loggers, callbacks, interceptors and signals. */
import assert from "node:assert/strict";
import {
  type KafkaError,
  type Transaction,
  type TransactionalProducer,
  type TransactionalProducerOptions,
  TransactionStateError,
} from "../../../mod.ts";
import { Produce } from "../../../src/protocol/messages/mod.ts";
import { test } from "../../harness.ts";
import { stage } from "./stage.ts";

/** A function of the caller's, whatever it is given. */
type Inside = () => unknown;

/** What is called back, and how the producer is told of it; those without options are told of it by the call. */
const SITES: Readonly<Record<string, (inside: Inside) => Partial<TransactionalProducerOptions>>> = {
  "the hook onBatch": (inside) => ({ hooks: { onBatch: inside as () => void } }),
  "the hook onRequest": (inside) => ({ hooks: { onRequest: inside as () => void } }),
  "a logger": (inside) => ({ logger: { debug: inside as () => void, warn: inside as () => void } }),
  "onAcknowledgement": (inside) => ({ interceptors: [{ onAcknowledgement: inside as () => void }] }),
  "onDelivery": () => ({}),
  "the callback of produce()": () => ({}),
  "the signal of a transaction": () => ({}),
};

interface Play {
  readonly client: TransactionalProducer;
  readonly tx: Transaction;
  send(tx: Transaction): void;
  /** Waits for a call to end, however it does. */
  expect(what: string, promise: Promise<unknown>): void;
}

const CALLS: Readonly<Record<string, (play: Play) => unknown>> = {
  "commit()": ({ tx, expect }) => expect("commit()", tx.commit()),
  "abort()": ({ tx, expect }) => expect("abort()", tx.abort()),
  "commit() and abort()": ({ tx, expect }) => {
    expect("commit()", tx.commit());
    expect("abort()", tx.abort());
  },
  "begin()": ({ client, expect }) => expect("begin()", client.begin().then((next) => next.abort())),
  "commit() and behind it begin()": ({ tx, client, send, expect }) => {
    const next = tx.commit().then(() => client.begin());
    expect("next", next.then((it) => (send(it), it.commit())));
  },
  "transaction()": ({ client, send, expect }) => expect("transaction()", client.transaction(send)),
  "abort() and transaction()": ({ tx, client, send, expect }) => {
    expect("abort()", tx.abort());
    expect("transaction()", client.transaction(send));
  },
  "close()": ({ client, expect }) => expect("close()", client.close()),
  "flush()": ({ tx, expect }) => expect("flush()", tx.flush()),
  "init()": ({ client, expect }) => expect("init()", client.init()),
  "send()": ({ tx, send }) => send(tx),
  "sendOffsets()": ({ tx, expect }) => (
    expect("sendOffsets()", tx.sendOffsets({ topic: "in", partition: 0, offset: 7n }, "g"))
  ),
};
const FAILURES: Readonly<Record<string, Inside>> = {
  "an error": () => {
    throw new Error("Thrown inside");
  },
  "a rejection": () => Promise.reject(new Error("Rejected inside")),
};

/** At which callback there is a call, and whether the broker refuses the first record. */
const WHEN = {
  "3.9": [{ nth: "each", isRefused: false }, { nth: 3, isRefused: true }],
  "4.1": [{ nth: 0, isRefused: false }, { nth: "each", isRefused: true }],
} as const;

/** Plays a transaction, with a call at the so manieth callback or at each; what was promised must be what is read. */
async function play(
  release: "3.9" | "4.1",
  site: string,
  { call, nth, isRefused }: { call: (play: Play) => unknown; nth: number | "each"; isRefused: boolean },
): Promise<void> {
  const { cluster, producer, run, runtime, committed } = stage(release, { brokers: 3 });
  let calls = 0;
  /** Empty until the transaction has begun. */
  const open: Play[] = [];
  const inside = (): unknown => open.length > 0 && [nth, "each"].includes(calls++) ? call(open[0]!) : undefined;
  const client = producer(SITES[site]!(inside));
  const pending = new Set<string>();
  const records: { readonly tx: Transaction; readonly value: string; error?: unknown }[] = [];
  const expect = (what: string, promise: Promise<unknown>): void => {
    const key = `${what} ${pending.size} ${calls}`;
    pending.add(key);
    const told = ({ code, message }: KafkaError): void => {
      pending.delete(key);
      assert.notEqual(code, "INTERNAL", message);
    };
    promise.then(() => pending.delete(key), told);
  };
  const send = (tx: Transaction): void => {
    // Each time there are more, there is an end to it.
    if (records.length > 20) return;
    const one: (typeof records)[number] = { tx, value: String(records.length) };
    records.push(one);
    const record = { topic: "out", partition: records.length % 3, value: one.value };
    const sent = site === "the callback of produce()"
      ? new Promise<void>((resolve, reject) => {
        tx.produce(record, (error) => {
          if (error === null) resolve();
          else reject(error);
          return inside();
        });
      })
      : tx.send(record, site === "onDelivery" ? { onDelivery: inside as () => void } : {});
    sent.catch((error) => one.error = error);
    expect("send()", sent);
  };
  const tx = await run(client.begin());
  open.push({ client, tx, send, expect });
  if (site === "the signal of a transaction") tx.signal.addEventListener("abort", () => void inside());
  if (isRefused) cluster.control(Produce, { error: 10 }, { times: 1 });
  send(tx);
  await runtime.settle();
  send(tx);
  send(tx);
  expect("commit()", tx.commit());
  await runtime.runUntil(() => pending.size === 0, 100_000);
  await run(client.close());
  const seen = (await committed()).flat();
  for (const { tx: its, value, error } of records) {
    if (error instanceof TransactionStateError) continue;
    // One that failed has blocked the commit.
    if (its.ended === "commit") assert.equal(error, undefined);
    assert.equal(seen.includes(value), its.ended === "commit", value);
  }
}

for (const release of ["3.9", "4.1"] as const) {
  for (const site of Object.keys(SITES)) {
    test(`transaction inside: on Kafka ${release} from within ${site} each call ends, and what is promised is what is read`, async () => {
      // A listener that throws is the platform's business.
      const calls = site === "the signal of a transaction" ? CALLS : { ...CALLS, ...FAILURES };
      for (const [name, call] of Object.entries(calls)) {
        for (const when of WHEN[release]) {
          await play(release, site, { call, ...when }).catch((cause) => {
            throw new Error(`${name}, ${JSON.stringify(when)}`, { cause });
          });
        }
      }
    });
  }
}
