/** KafkaJS's errors: which class, what it says of itself, and what led to it. */
import assert from "node:assert/strict";
import * as compat from "../../../src/compat/kafkajs/mod.ts";
import { KafkaError, type Persisted } from "../../../mod.ts";
import { Produce } from "../../../src/testing/mod.ts";
import { test } from "../../harness.ts";
import { stage } from "./stage.ts";

const record = { topic: "orders", messages: [{ value: "a", partition: 0 }] };

/** What a send is rejected with when a broker answers so. */
async function refusedWith(errorCode: number) {
  const { kafka, run, failure, cluster } = stage();
  const producer = kafka().producer();
  await run(producer.connect());
  cluster.control(Produce, { error: errorCode });
  const error = await failure(producer.send(record), 3_600_000);
  cluster.control(Produce, () => undefined);
  void producer.disconnect().catch(() => {});
  return error;
}

test("compat kafkajs errors: a refusal of a broker is a protocol error with the type of KafkaJS and the code of the broker", async () => {
  for (
    const [code, type] of [[29, "TOPIC_AUTHORIZATION_FAILED"], [10, "MESSAGE_TOO_LARGE"], [
      87,
      "INVALID_RECORD",
    ]] as const
  ) {
    const error = await refusedWith(code);
    assert.ok(error instanceof compat.KafkaJSProtocolError && error instanceof compat.KafkaJSError, `${error}`);
    assert.deepEqual([error.name, error.type, error.code, error.retriable], [
      "KafkaJSProtocolError",
      type,
      code,
      false,
    ]);
    assert.ok(error.cause instanceof KafkaError);
    assert.equal((error.cause as KafkaError).errorCode, code);
    // What Kafka says of the code, for programs that look for that, and then what has happened.
    assert.match(error.message, /^(Not authorized|The request included|This record has failed)/);
    assert.ok(error.message.endsWith(`. ${error.cause.message}`), error.message);
  }
});

test("compat kafkajs errors: a value that is an object is told without options that KafkaJS hasn't", async () => {
  const { kafka, run, failure } = stage();
  const producer = kafka().producer();
  await run(producer.connect());
  const messages = [{ value: { total: 3 } as never }];
  const error = await failure(producer.send({ topic: "orders", messages }));
  assert.equal(error.name, "KafkaJSNonRetriableError");
  assert.equal(error.message, "Pass the value as a string, a Uint8Array or null: an object is not.");
  await run(producer.disconnect());
});

test("compat kafkajs errors: what could succeed later is told as retries that ran out, with the last code", async () => {
  for (const [code, type] of [[6, "NOT_LEADER_FOR_PARTITION"], [19, "NOT_ENOUGH_REPLICAS"]] as const) {
    const error = await refusedWith(code);
    assert.ok(error instanceof compat.KafkaJSNumberOfRetriesExceeded, `${error}`);
    assert.ok(error instanceof compat.KafkaJSNonRetriableError);
    assert.deepEqual([error.name, error.type, error.code], ["KafkaJSNumberOfRetriesExceeded", type, code]);
    assert.deepEqual([error.retryCount, error.retriable], [5, false]);
    const cause = error.cause as unknown as KafkaError;
    assert.ok(cause instanceof KafkaError);
    assert.ok((["no", "possibly", "yes"] as Persisted[]).includes(cause.persisted));
    assert.match(error.stack!, /^KafkaJSNumberOfRetriesExceeded\n {2}Caused by: /);
  }
});

test("compat kafkajs errors: brokers that cannot be reached are tried as often as told, then told by connect", async () => {
  const { kafka, failure, runtime } = stage();
  const producer = kafka({ brokers: ["nobody.test:9092"], retry: { retries: 2, initialRetryTime: 100 } }).producer();
  const startMs = runtime.now();
  const error = await failure(producer.connect());
  assert.equal(error.name, "KafkaJSNumberOfRetriesExceeded", `${error}`);
  assert.match(error.message, /nobody\.test:9092/);
  assert.ok(runtime.now() - startMs >= 150, `it took ${runtime.now() - startMs} ms`);
  assert.ok(error.cause instanceof KafkaError);
});

test("compat kafkajs errors: refused credentials are told as such by connect, and not tried again", async () => {
  const { kafka, run, failure, cluster } = stage({ sasl: { users: { app: "secret" } } });
  const sasl = { mechanism: "plain", username: "app", password: "wrong" } as const;
  const error = await failure(kafka({ sasl }).producer().connect());
  assert.ok(error instanceof compat.KafkaJSSASLAuthenticationError, `${error}`);
  assert.equal(error.retriable, false);
  const good = kafka({ sasl: { ...sasl, password: "secret" } }).producer();
  await run(good.connect());
  await run(good.send(record));
  await run(good.disconnect());
  assert.equal((await cluster.records("orders")).length, 1);
});

test("compat kafkajs errors: every class of KafkaJS is there, takes what it takes there, and has its name", () => {
  const source = Object.assign(new Error("why"), { type: "NOT_CONTROLLER", code: 41, retriable: true });
  const made = [
    new compat.KafkaJSError("why"),
    new compat.KafkaJSError(source, { retriable: false }),
    new compat.KafkaJSNonRetriableError("why"),
    new compat.KafkaJSProtocolError(source),
    new compat.KafkaJSAggregateError("why", [source]),
    new compat.KafkaJSOffsetOutOfRange(source, { topic: "t", partition: 1 }),
    new compat.KafkaJSNumberOfRetriesExceeded(source, { retryCount: 1, retryTime: 2 }),
    new compat.KafkaJSConnectionError("why", { broker: "a:1", code: "ECONNREFUSED" }),
    new compat.KafkaJSConnectionClosedError("why", { host: "a", port: 1 }),
    new compat.KafkaJSRequestTimeoutError("why", { broker: "a:1", correlationId: 1 }),
    new compat.KafkaJSMetadataNotLoaded("why"),
    new compat.KafkaJSTopicMetadataNotLoaded("why", { topic: "t" }),
    new compat.KafkaJSStaleTopicMetadataAssignment("why", { topic: "t", unknownPartitions: [] }),
    new compat.KafkaJSServerDoesNotSupportApiKey("why", { apiKey: 1, apiName: "Fetch" }),
    new compat.KafkaJSBrokerNotFound("why"),
    new compat.KafkaJSPartialMessageError("why"),
    new compat.KafkaJSSASLAuthenticationError("why"),
    new compat.KafkaJSGroupCoordinatorNotFound("why"),
    new compat.KafkaJSNotImplemented("why"),
    new compat.KafkaJSTimeout("why"),
    new compat.KafkaJSLockTimeout("why"),
    new compat.KafkaJSUnsupportedMagicByteInMessageSet("why"),
    new compat.KafkaJSDeleteGroupsError("why", [{ groupId: "g" }]),
    new compat.KafkaJSCreateTopicError(source, "t"),
    new compat.KafkaJSAlterPartitionReassignmentsError(source, "t", 1),
    new compat.KafkaJSMemberIdRequired(source, { memberId: "m" }),
  ];
  for (const error of made) {
    assert.ok(error instanceof Error);
    assert.equal(error.message, "why");
    assert.equal(error.name, error.constructor.name);
  }
  const [plain, told, , protocol] = made as compat.KafkaJSProtocolError[];
  assert.deepEqual([plain!.retriable, told!.retriable, protocol!.retriable], [true, false, true]);
  assert.deepEqual([protocol!.type, protocol!.code], ["NOT_CONTROLLER", 41]);
  const deleted = new compat.KafkaJSDeleteTopicRecordsError({
    partitions: [{ partition: 0, offset: "1", error: new compat.KafkaJSNonRetriableError("why") }],
  });
  assert.equal(deleted.retriable, false);
});
