/** Errors of ours that code of the caller's throws: those of another producer, or made by hand. */
import assert from "node:assert/strict";
import {
  AbortError,
  AuthenticationError,
  CompressionError,
  ConfigError,
  KafkaError,
  type KafkaErrorOptions,
  ProducerFencedError,
  type ProducerRecord,
  type Transaction,
  TransactionAbortedError,
  type TransactionalProducerOptions,
} from "../../../mod.ts";
import { oauthBearer, type SaslMechanism } from "../../../src/sasl/mod.ts";
import { test } from "../../harness.ts";
import { stage } from "./stage.ts";

/** What each says of a producer, of a transaction, or of a log, that isn't this one's. */
const ERRORS: Readonly<Record<string, (make: Make) => KafkaError>> = {
  "is fatal": (make) => make({ fatal: true }),
  "is that of a producer that was fenced off": () => new ProducerFencedError("Another producer has taken over."),
  "has Kafka's number for that": (make) => make({ errorCode: 90 }),
  "has Kafka's number for a transactional id that is denied": (make) => make({ errorCode: 53 }),
  "wants an abort": (make) => make({ requiresAbort: true }),
  "is that of a record that was taken back": () => new AbortError("It was taken back."),
  "has the code of a record that was taken back": (make) => make({ code: "ABORTED" }),
  "is that of a transaction that was aborted": () => new TransactionAbortedError("It was aborted."),
  "knows of a log": (make) => make({ persisted: "possibly" }),
};

/** Makes an error of the class that is believed most where it is thrown. */
type Make = (options: KafkaErrorOptions) => KafkaError;

/** Code of the caller's that throws while a record is sent. */
interface Source {
  readonly make?: Make;
  options?(fail: () => never): Partial<TransactionalProducerOptions>;
  /** The topic is known before. */
  readonly isKnown?: boolean;
  send(tx: Transaction, fail: () => never): Promise<unknown>;
}

const record = { topic: "out", partition: 0, value: "bad" };
const madeByHand: Make = (options) => new KafkaError("It was made by hand.", options);
const ofConfig: Make = (options) => new ConfigError("own", "It was made by hand.", options);
const sendKeyed = (tx: Transaction): Promise<unknown> => tx.send({ topic: "out", key: "bad", value: "v" });
const partitioner = (fail: () => never): Partial<TransactionalProducerOptions> => ({
  partitioner: ({ key }) => key === "bad" ? fail() : 0,
});

const SOURCES: Readonly<Record<string, Source>> = {
  "a partitioner": { options: partitioner, isKnown: true, send: sendKeyed },
  "a partitioner that had to wait": { options: partitioner, send: sendKeyed },
  "a serializer": {
    options: (fail) => ({ valueSerializer: (value: unknown) => value === "bad" ? fail() : String(value) }),
    send: (tx) => tx.send(record),
  },
  "a getter of a record": {
    send: (tx, fail) =>
      tx.send({
        ...record,
        get value(): string {
          return fail();
        },
      }),
  },
  "an iterator of headers": {
    send: (tx, fail) => tx.send({ ...record, headers: { [Symbol.iterator]: fail } as ProducerRecord["headers"] }),
  },
  "a getter of the options": {
    make: ofConfig,
    send: (tx, fail) =>
      tx.send(record, {
        get signal(): AbortSignal {
          return fail();
        },
      }),
  },
  "a list of records": {
    make: ofConfig,
    send: (tx, fail) => tx.sendBatch({ [Symbol.iterator]: fail }).all(),
  },
  "a list of offsets": {
    make: ofConfig,
    send: (tx, fail) => tx.sendOffsets({ [Symbol.iterator]: fail }, "readers"),
  },
  "a codec": {
    make: (options) => new CompressionError("It was made by hand.", options),
    options: (fail) => ({
      compression: { topics: { in: "gzip" }, default: "none" },
      codecs: { gzip: { name: "gzip", id: 1, compress: fail, decompress: fail } },
    }),
    send: (tx) => tx.send({ topic: "in", value: "bad".repeat(500) }),
  },
};

for (const [source, { make = madeByHand, ...how }] of Object.entries(SOURCES)) {
  test(`transactions: an error that ${source} throws fails its record, and is no end of this producer`, async () => {
    for (const [what, errorOf] of Object.entries(ERRORS)) {
      const { producer, run, failure, committed } = stage("4.1");
      const thrown = errorOf(make);
      const fail = (): never => {
        throw thrown;
      };
      const client = producer(how.options?.(fail));
      if (how.isKnown) await run(client.partitionsFor("out"));
      const tx = await run(client.begin());
      const told = await failure(how.send(tx, fail));
      assert.notEqual(told, thrown, `${source} ${what}`);
      assert.deepEqual([told.fatal, told.persisted], [false, "no"], `${source} ${what}: ${told.message}`);
      assert.equal(told.cause, thrown, `${source} ${what}`);
      // It counts as failed.
      const refusal = await failure(tx.commit());
      assert.deepEqual([refusal.fatal, refusal.requiresAbort], [false, true], `${source} ${what}`);
      await run(tx.abort());
      await run(client.transaction((next) => void next.send({ ...record, value: "fine" })));
      assert.equal(client.state, "ready");
      assert.deepEqual(await committed(), [["fine"], [], []]);
      await run(client.close());
    }
  });
}

test("transactions: an error of ours that its function throws is told as it is, and is no end of this producer", async () => {
  for (const [what, errorOf] of Object.entries(ERRORS)) {
    const { producer, run, failure, committed } = stage("4.1");
    const thrown = errorOf(madeByHand);
    const client = producer();
    const told = await failure(client.transaction((tx) => {
      tx.send(record);
      throw thrown;
    }));
    assert.equal(told, thrown, what);
    assert.equal(client.state, "ready", what);
    await run(client.transaction((next) => void next.send({ ...record, value: "fine" })));
    assert.deepEqual((await committed())[0], ["fine"], what);
    await run(client.close());
  }
});

test("transactions: an error of ours that says nothing of producers is told as it was thrown", async () => {
  const { producer, run, failure } = stage("4.1");
  const thrown = new KafkaError("Give it a key.", { code: "OWN", retriable: true });
  const client = producer({
    partitioner: () => {
      throw thrown;
    },
  });
  const tx = await run(client.begin());
  assert.equal(await failure(tx.send({ topic: "out", value: "v" })), thrown);
  await run(tx.abort());
  await run(client.close());
});

test("transactions: an error that a provider of tokens, or a mechanism, throws is no end of this producer", async () => {
  const made: Readonly<Record<string, Make>> = {
    "of its class": (options) => new AuthenticationError("There is no token.", options),
    "of another": madeByHand,
  };
  for (const isProvider of [true, false]) {
    for (const [what, make] of Object.entries(made)) {
      const { producer, run, failure } = stage("4.1", { brokers: 3, sasl: { token: () => undefined } });
      let isFailing = false;
      const fail = (): never => {
        throw make({ fatal: true });
      };
      const own = oauthBearer({ token: () => isProvider && isFailing ? fail() : "token" });
      const sasl: SaslMechanism = {
        name: own.name,
        authenticate: async (exchange) => isFailing ? fail() : await own.authenticate(exchange),
      };
      const client = producer({ securityProtocol: "sasl_plaintext", sasl: isProvider ? own : sasl });
      await run(client.partitionsFor("out"));
      const tx = await run(client.begin());
      isFailing = true;
      const sent = [0, 1, 2].map((partition) => tx.send({ ...record, partition }));
      const refusal = await failure(tx.commit());
      assert.deepEqual([refusal.fatal, refusal.requiresAbort], [false, true], what);
      await run(Promise.allSettled(sent));
      isFailing = false;
      await run(tx.abort());
      await run(client.transaction((next) => void next.send({ ...record, value: "fine" })));
      assert.equal(client.state, "ready");
      await run(client.close());
    }
  }
});
