import assert from "node:assert/strict";
import {
  AuthenticationError,
  AuthorizationError,
  BrokerError,
  type KafkaError,
  ProducerFencedError,
  RecordTooLargeError,
  UnsupportedVersionError,
} from "../../src/errors.ts";
import * as names from "../../src/protocol/error_code_names.ts";
import { brokerError, errorCodes, errorOf, persistedAfter } from "../../src/protocol/error_codes.ts";
import { test } from "../harness.ts";

test("protocol: the error table has every code from -1 to 133 once, each under its own name", () => {
  const codes = [...errorCodes().keys()];
  assert.deepEqual(codes, Array.from({ length: 135 }, (_, i) => i - 1));
  assert.equal(new Set([...errorCodes().values()].map(({ name }) => name)).size, 135);
});

test("protocol: the error codes that are imported by name are those of the table", () => {
  const table = [...errorCodes().values()].filter(({ code }) => code !== 0).map(({ name, code }) => [name, code]);
  assert.deepEqual(Object.entries(names).sort(), table.sort());
});

test("protocol: retriable and metadata errors are those of the Java client", () => {
  const codesWhere = (flag: "retriable" | "refreshMetadata") =>
    [...errorCodes().values()].filter((row) => row[flag]).map(({ code }) => code);
  assert.deepEqual(codesWhere("refreshMetadata"), [3, 5, 6, 9, 13, 56, 72, 74, 80, 83, 84, 100, 103]);
  // deno-fmt-ignore
  assert.deepEqual(codesWhere("retriable"), [
    2, 3, 5, 6, 7, 9, 13, 14, 15, 16, 19, 20, 41, 51, 56, 70, 71, 72, 74, 75, 78, 80, 83, 84, 88, 89, 100, 103, 106,
    122, 123, 133,
  ]);
});

test("protocol: an unknown code is an UNKNOWN_SERVER_ERROR that keeps its number", () => {
  const row = errorOf(999);
  assert.deepEqual([row.code, row.name, row.retriable, row.persisted], [
    999,
    "UNKNOWN_SERVER_ERROR",
    false,
    "possibly",
  ]);
  assert.match(brokerError(999).message, /UNKNOWN_SERVER_ERROR \(999\)/);
});

test("protocol: an answer that may follow an append leaves its records possibly persisted", () => {
  for (const code of [-1, 7, 13, 20, 56, 999]) assert.equal(persistedAfter(code, -1n), "possibly", String(code));
  for (const code of [2, 3, 6, 10, 19, 29, 45, 47, 87]) assert.equal(persistedAfter(code, -1n), "no", String(code));
  for (const code of [6, 19, 3]) assert.equal(persistedAfter(code, 0n), "possibly", String(code));
  for (const code of [0, 46]) assert.equal(persistedAfter(code, -1n), "yes", String(code));
});

test("protocol: a broker's error code becomes an error of the class that fits it", () => {
  const wanted: readonly (readonly [number, new (message: string) => KafkaError])[] = [
    [6, BrokerError],
    [10, RecordTooLargeError],
    [18, RecordTooLargeError],
    [29, AuthorizationError],
    [30, AuthorizationError],
    [31, AuthorizationError],
    [35, UnsupportedVersionError],
    [53, AuthorizationError],
    [58, AuthenticationError],
    [90, ProducerFencedError],
  ];
  for (const [code, errorClass] of wanted) {
    const error = brokerError(code);
    assert.ok(error instanceof errorClass, String(code));
    assert.equal(error.name, errorClass.name);
    assert.equal(error.code, errorOf(code).name);
    assert.equal(error.errorCode, code);
    assert.equal(error.retriable, errorOf(code).retriable);
  }
  assert.equal(brokerError(90).fatal, true);
});

test("protocol: a broker's error says who was concerned, which code came and why", () => {
  const error = brokerError(6, { topic: "x", partition: 3, broker: "b:9092", persisted: "no" });
  assert.equal(
    error.message,
    'Topic "x" partition 3: broker b:9092 answered NOT_LEADER_OR_FOLLOWER (6): another broker leads the partition now.',
  );
  assert.deepEqual([error.topic, error.partition, error.broker, error.persisted], ["x", 3, "b:9092", "no"]);
  assert.equal(
    brokerError(42, { api: "CreateTopics", detail: "Partitions must be positive." }).message,
    "CreateTopics: the broker answered INVALID_REQUEST (42): Partitions must be positive.",
  );
  const evil = brokerError(42, { topic: "\u202ex", broker: "b\n:1", detail: `\u001b[2J${"y".repeat(100_000)}` });
  assert.match(evil.message, /^Topic "\\u202ex": broker b\\n:1 answered INVALID_REQUEST \(42\): \\u001b\[2Jyy+…\.$/);
  assert.ok(evil.message.length < 300);
  assert.equal(brokerError(69, { topic: "x" }).message, 'Topic "x": the broker answered GROUP_ID_NOT_FOUND (69).');
});
