import assert from "node:assert/strict";
import { BrokerError, KafkaError, type ProducerRecord, RecordTooLargeError, TimeoutError } from "../../mod.ts";
import { CircuitBreakers, DeadLetters } from "../../src/app/mod.ts";
import { readDeadLetter } from "../../src/headers/mod.ts";
import { RecordingProducer } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";
import { stage } from "../stage.ts";

const tooLarge = (): KafkaError =>
  new RecordTooLargeError("The record is too large.", { topic: "orders", partition: 2 });
const caught = (promise: Promise<unknown>): Promise<KafkaError> => promise.then(() => assert.fail(), (error) => error);

test("dead letters: a record that fails for good goes to its topic of dead letters, and its own error is still told", async () => {
  const producer = new RecordingProducer({ partitions: 3 });
  const orders = new DeadLetters(producer);
  await orders.send({ topic: "orders", value: "fine" });
  assert.equal(producer.records("orders-dlq").length, 0);
  const error = tooLarge();
  producer.failNext(error);
  const record = { topic: "orders", key: "o-1", value: null, timestamp: 5, headers: { own: "1" }, partition: 2 };
  assert.equal(await caught(orders.send(record)), error);
  const [letter] = producer.records("orders-dlq");
  assert.deepEqual([letter!.key, letter!.value, letter!.timestamp, letter!.partition], ["o-1", null, 5, 0]);
  assert.equal(letter!.headers[0]![0], "own");
  const told = readDeadLetter(letter!.headers)!;
  assert.deepEqual({ ...told, stack: undefined }, {
    ...{ dialect: "connect", topic: "orders", partition: 2, offset: undefined, errorName: "RecordTooLargeError" },
    ...{ errorMessage: "The record is too large.", stack: undefined },
  });
});

test("dead letters: bytes are those of the call, whatever their owner does until the outcome is known", async () => {
  const producer = new RecordingProducer();
  const value = new TextEncoder().encode("first");
  producer.failNext(tooLarge());
  const outcome = caught(new DeadLetters(producer).send({ topic: "orders", value, headers: { h: value } }));
  value.fill(0);
  await outcome;
  const [letter] = producer.records("orders-dlq");
  assert.equal(new TextDecoder().decode(letter!.value as Uint8Array), "first");
  assert.equal(new TextDecoder().decode(letter!.headers[0]![1] as Uint8Array), "first");
});

test("dead letters: when the dead letter fails too, the error says so, onLost is told, and nothing is sent again", async () => {
  const producer = new RecordingProducer();
  const lost: unknown[] = [];
  const orders = new DeadLetters(producer, {
    onLost: (letter, reason, error) =>
      lost.push([letter.topic, (reason as KafkaError).code, (error as KafkaError).code]),
  });
  producer.failNext(tooLarge());
  producer.failNext(new TimeoutError("Nobody answers."));
  const error = await caught(orders.send({ topic: "orders", value: "v" }));
  assert.ok(error instanceof RecordTooLargeError);
  assert.match(
    error.message,
    /^The record is too large\. Its dead letter for "orders-dlq" has failed too: Nobody answers\.$/,
  );
  assert.deepEqual([error.topic, error.partition, (error.cause as KafkaError).code], ["orders", 2, "RECORD_TOO_LARGE"]);
  assert.deepEqual(lost, [["orders-dlq", "TIMEOUT", "RECORD_TOO_LARGE"]]);
  assert.equal(producer.failed.length, 2);
});

test("dead letters: there are none of dead letters, however the topic is named", async () => {
  const producer = new RecordingProducer();
  for (const [options, topic] of [[{}, "orders-dlq"], [{ topic: "graveyard" }, "graveyard"]] as const) {
    producer.failNext(tooLarge());
    assert.equal(
      (await caught(new DeadLetters(producer, options).send({ topic, value: "v" }))).code,
      "RECORD_TOO_LARGE",
    );
  }
  assert.equal(producer.records().length, 0);
  producer.failNext(tooLarge());
  await caught(
    new DeadLetters(producer, { topic: (name) => `dead.${name}` }).send({ topic: "orders-dlq", value: "v" }),
  );
  assert.deepEqual(producer.records().map(({ topic }) => topic), ["dead.orders-dlq"]);
});

test("dead letters: which errors make one can be chosen; by default what is in the log, taken back or unreadable makes none", async () => {
  const producer = new RecordingProducer();
  const made = async (error: Error, options = {}): Promise<boolean> => {
    producer.clear();
    producer.failNext(error);
    await caught(new DeadLetters(producer, options).send({ topic: "orders", value: "v" }));
    return producer.records("orders-dlq").length === 1;
  };
  const codes = ["ABORTED", "CONFIG", "PRODUCER_CLOSED", "SERIALIZATION", "CIRCUIT_OPEN"];
  for (const code of codes) assert.equal(await made(new KafkaError("No.", { code })), false, code);
  assert.equal(await made(new KafkaError("No.", { fatal: true })), false);
  assert.equal(await made(new KafkaError("No.", { persisted: "yes" })), false);
  assert.equal(await made(new KafkaError("No.", { persisted: "possibly" })), true);
  assert.equal(await made(new BrokerError("No.", { code: "INVALID_RECORD" })), true);
  assert.equal(await made(tooLarge(), { when: (error: KafkaError) => error.code !== "RECORD_TOO_LARGE" }), false);
  assert.equal(await made(new KafkaError("No.", { fatal: true }), { when: () => true }), true);
  const broken = new DeadLetters(producer, {
    when: () => {
      throw new RangeError("no rule");
    },
  });
  producer.failNext(tooLarge());
  const error = await caught(broken.send({ topic: "orders", value: "v" }));
  assert.match(error.message, /No dead letter could be made: no rule\.$/);
});

test("dead letters: callbacks hear the outcome once, after the dead letter, and flush waits for both", async () => {
  const producer = new RecordingProducer();
  const orders = new DeadLetters(producer, { onDeadLetter: () => heard.push("letter") });
  const heard: string[] = [];
  producer.failNext(tooLarge());
  const options = {
    onDelivery: (error: KafkaError | null) => void heard.push(`delivery ${error?.code}`),
    onError: () => void heard.push("error"),
    onSuccess: () => void heard.push("success"),
  };
  void orders.send({ topic: "orders", value: "v" }, options); // its rejection is nobody's: there are callbacks
  await orders.flush();
  assert.deepEqual(heard, ["letter", "delivery RECORD_TOO_LARGE", "error"]);
  await orders.flush();
  const refused = await caught(orders.send({ topic: "orders", value: "v" }, { onDeliver: () => {} } as never));
  assert.equal(refused.code, "CONFIG");
});

test("dead letters: what was read and can't be worked on is reported with where it was read, in the dialect of choice", async () => {
  const producer = new RecordingProducer();
  const letters = new DeadLetters(producer, {
    dialect: "kafka",
    rewrite: (letter) => ({ ...letter, key: "rewritten" }),
  });
  const read = { topic: "in", partition: 3, offset: 41n, key: Uint8Array.of(1), value: Uint8Array.of(2), headers: [] };
  await letters.report(read, new RangeError("no such order"), { group: "shippers", deliveryCount: 2 });
  const [letter] = producer.records("in-dlq");
  assert.deepEqual([letter!.key, letter!.value], ["rewritten", Uint8Array.of(2)]);
  assert.deepEqual(readDeadLetter(letter!.headers), {
    ...{ dialect: "kafka", topic: "in", partition: 3, offset: 41n, group: "shippers", deliveryCount: 2 },
    errorMessage: "no such order",
  });
  producer.failNext(new TimeoutError("Nobody answers."));
  assert.equal((await caught(letters.report(read, "why"))).code, "TIMEOUT");
});

test("dead letters: around a real producer, a record that a broker refuses is found in the other topic", async () => {
  const topics = {
    compacted: { partitions: 1, config: { "cleanup.policy": "compact" } },
    "compacted-dlq": { partitions: 2 },
  };
  const s = stage({ topics });
  const producer = s.producer();
  const orders = new DeadLetters(new CircuitBreakers(producer, { scope: "topic" }, s.runtime), { stack: true });
  // The broker refuses what has no key.
  const error = await s.failure(orders.send({ topic: "compacted", value: "v" }));
  assert.equal(error.code, "INVALID_RECORD");
  const [letter] = await s.cluster.records("compacted-dlq");
  const told = readDeadLetter(letter!.headers)!;
  assert.deepEqual([told.topic, told.partition, told.errorName], ["compacted", 0, "BrokerError"]);
  assert.match(told.stack!, /BrokerError/);
  await s.run(producer.close());
});

test("dead letters: options that are unknown or wrong are refused by name", () => {
  const producer = new RecordingProducer();
  for (
    const [options, option] of [
      [{ topic: "" }, "topic"],
      [{ dialect: "Spring" }, "dialect"],
      [{ stack: 1 }, "stack"],
      [{ when: true }, "when"],
      [{ onLost: "log" }, "onLost"],
      [{ suffix: "-dead" }, "suffix"],
    ] as const
  ) {
    assert.throws(() => new DeadLetters(producer, options as never), { name: "ConfigError", option });
  }
  assert.throws(() => new DeadLetters({} as never), { name: "ConfigError", option: "producer" });
  assert.throws(() => new DeadLetters(producer).report(null as never, "why"), { name: "ConfigError" });
});

test("dead letters: a record that is none is refused as the producer refuses it, and makes none", async () => {
  const s = stage();
  const producer = s.producer();
  for (const record of [undefined, 5, { topic: "orders", value: undefined }] as unknown as ProducerRecord[]) {
    const error = await s.failure(new DeadLetters(producer).send(record));
    assert.ok(error instanceof KafkaError, String(error));
  }
  await s.run(producer.close());
});
