/** What a cause becomes when it ends a transaction or a producer, and what stays as it is. */

import assert from "node:assert/strict";
import { KafkaError, TransactionAbortedError } from "../../../src/errors.ts";
import { fatal, notSent, requiresAbort } from "../../../src/producer/transaction/transaction_errors.ts";
import { test } from "../../harness.ts";

test("transaction errors: what asks for an abort, or is fatal, is not wrapped again", () => {
  const plain = new KafkaError("No.", { code: "X", retriable: true });
  const abortable = requiresAbort(plain);
  assert.deepEqual([abortable.message, abortable.requiresAbort, abortable.retriable, abortable.cause], [
    "Abort the transaction: No.",
    true,
    false,
    plain,
  ]);
  assert.equal(requiresAbort(abortable), abortable);
  const over = new KafkaError("Over.", { code: "X", fatal: true });
  assert.equal(requiresAbort(over), over);
  assert.equal(fatal(over, undefined, false), over);
  assert.equal(fatal(over, "commit", false), over);
});

test("transaction errors: a fatal end of a commit that may have arrived says that nobody knows", () => {
  const over = new KafkaError("Over.", { code: "X", fatal: true });
  for (
    const [cause, ending, hasUnanswered, isUnknown] of [
      [over, "commit", true, true],
      [new KafkaError("Unknown.", { code: "UNKNOWN_SERVER_ERROR", errorCode: -1 }), "commit", false, true],
      [over, "abort", true, false],
      [over, "init", true, false],
      [new KafkaError("No.", { code: "X" }), "commit", false, false],
    ] as const
  ) {
    const told = fatal(cause, ending, hasUnanswered);
    assert.deepEqual([told.fatal, told.requiresAbort, told.retriable], [true, false, false]);
    assert.equal(told.code === "COMMIT_UNKNOWN", isUnknown);
    assert.equal(told.persisted === "possibly", isUnknown);
    assert.equal(/isn't known/.test(told.message), isUnknown);
  }
});

test("transaction errors: a record that was not sent is told why", () => {
  const [aborted, failed] = [notSent(undefined), notSent(new KafkaError("Refused.", { code: "X" }))];
  assert.ok(aborted instanceof TransactionAbortedError && failed instanceof TransactionAbortedError);
  assert.match(aborted.message, /the transaction was aborted/);
  assert.match(failed.message, /something else in the transaction has failed\. Refused\./);
});
