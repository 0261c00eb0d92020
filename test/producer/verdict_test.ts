/** What an answer means for a batch, row by row. */

import assert from "node:assert/strict";
import {
  type Answer,
  type AnsweredAttempt,
  type GapAttempt,
  type GapVerdict,
  judge,
  judgeGap,
  type RetryRules,
  type Verdict,
} from "../../src/producer/sender/verdict.ts";
import { test } from "../harness.ts";

const ANSWER: Answer = { errorCode: 0, logAppendTimeMs: -1n, recordErrors: [] };
const ATTEMPT: AnsweredAttempt = {
  ...{ attempts: 0, repeats: 0, recordCount: 3, maxTimestamp: 5_000, persisted: "no", isOver: false },
};
const RULES: RetryRules = { stamps: true, unknownTopicRetries: 2, gapless: false, usesLogAppendTime: undefined };

const GAP: GapAttempt = {
  ...{ errorCode: 45, logStartOffset: -1n, isBehindFailure: false, hasEarlier: false, isOver: false },
  ...{ persisted: "no", repeats: 0, isTopicCertain: true, canProbe: false, isExplained: false, lastAckedOffset: 9n },
};

type Row = [Partial<Answer>, Partial<AnsweredAttempt>, Partial<RetryRules>, Verdict];

function check(table: readonly Row[]): void {
  for (const [answer, attempt, rules, verdict] of table) {
    const row = [answer, attempt, rules].map((part) => Object.entries(part).join()).join(" | ");
    assert.equal(judge({ ...ANSWER, ...answer }, { ...ATTEMPT, ...attempt }, { ...RULES, ...rules }), verdict, row);
  }
}

test("verdict: no error is a success, and one with the batch's own timestamp may be that of a duplicate (W1)", () => {
  check([
    [{}, {}, {}, "accepted"],
    [{}, { attempts: 3, isOver: true }, {}, "accepted"],
    [{ logAppendTimeMs: 5_000n }, {}, {}, "accepted"],
    [{ logAppendTimeMs: 5_000n }, { attempts: 1 }, {}, "duplicate"],
    [{ logAppendTimeMs: 5_000n }, { attempts: 1 }, { usesLogAppendTime: false }, "duplicate"],
    [{ logAppendTimeMs: 5_000n }, { attempts: 1 }, { usesLogAppendTime: true }, "accepted"],
    [{ logAppendTimeMs: 5_001n }, { attempts: 1 }, {}, "accepted"],
    [{ errorCode: 46 }, {}, {}, "duplicate"],
    [{ errorCode: 46 }, {}, { stamps: false }, "duplicate"],
  ]);
});

test("verdict: codes about the producer mean something only where batches are stamped", () => {
  check([
    ...[45, 59].flatMap((errorCode): Row[] => [
      [{ errorCode }, {}, {}, "gap"],
      [{ errorCode }, { persisted: "possibly", isOver: true }, {}, "gap"],
    ]),
    ...[31, 35, 49, 90].flatMap((errorCode): Row[] => [
      [{ errorCode }, {}, {}, "fatal"],
      [{ errorCode }, {}, { stamps: false }, "fail"],
    ]),
    [{ errorCode: 45 }, {}, { stamps: false }, "fail"],
  ]);
});

test("verdict: a batch that is too large is split if it has several records and can't be in the log (S1)", () => {
  check([
    [{ errorCode: 10 }, {}, {}, "split"],
    [{ errorCode: 10 }, {}, { stamps: false }, "split"],
    [{ errorCode: 10 }, { recordCount: 1 }, {}, "fail"],
    [{ errorCode: 10 }, { persisted: "possibly" }, {}, "fail"],
  ]);
});

test("verdict: how often the same answer is a reason to try again", () => {
  check([
    [{ errorCode: 6 }, { repeats: 1_000 }, {}, "retry"],
    [{ errorCode: 19 }, {}, {}, "retry"],
    [{ errorCode: 2 }, { repeats: 2 }, {}, "retry"],
    [{ errorCode: 2 }, { repeats: 3 }, {}, "fail"],
    [{ errorCode: 87 }, {}, {}, "retry"],
    [{ errorCode: 87 }, { repeats: 1 }, {}, "fail"],
    [{ errorCode: 87, recordErrors: [1, 2, 3] }, {}, {}, "fail"],
    ...[3, 100].flatMap((errorCode): Row[] => [
      [{ errorCode }, { repeats: 1 }, {}, "retry"],
      [{ errorCode }, { repeats: 2 }, {}, "fail"],
      [{ errorCode }, {}, { unknownTopicRetries: 0 }, "fail"],
    ]),
    [{ errorCode: 44 }, {}, {}, "fail"],
    [{ errorCode: 29 }, {}, {}, "fail"],
  ]);
});

test("verdict: where some records are refused the others go again, if nothing forbids it", () => {
  const errorCode = 87;
  const recordErrors = [1];
  check([
    [{ errorCode, recordErrors }, {}, {}, "shorten"],
    [{ errorCode, recordErrors }, {}, { stamps: false }, "shorten"],
    [{ errorCode, recordErrors }, {}, { gapless: true }, "fail"],
    [{ errorCode, recordErrors }, { persisted: "possibly" }, {}, "fail"],
    [{ errorCode, recordErrors }, { isOver: true }, {}, "fail"],
    [{ errorCode, recordErrors }, { recordCount: 1 }, {}, "fail"],
  ]);
});

test("verdict: the table of what an earlier sequence that is missing means (I10, I11)", () => {
  const table: [Partial<GapAttempt>, GapVerdict][] = [
    [{}, "gap"],
    [{ isExplained: true }, "known gap"],
    [{ isBehindFailure: true, hasEarlier: true }, "earlier failed"],
    [{ hasEarlier: true, persisted: "possibly" }, "in turn"],
    [{ isOver: true }, "in turn"],
    [{ persisted: "possibly", isTopicCertain: false, canProbe: true }, "look up"],
    [{ persisted: "possibly", canProbe: true, repeats: 99 }, "probe"],
    [{ persisted: "possibly", repeats: 3 }, "ask again"],
    [{ persisted: "possibly", repeats: 4 }, "gap"],
    [{ persisted: "possibly", repeats: 4, isExplained: true }, "known gap"],
    [{ canProbe: true, isTopicCertain: false }, "gap"],
    [{ errorCode: 59 }, "in turn"],
    [{ errorCode: 59, logStartOffset: 9n }, "gap"],
    [{ errorCode: 59, logStartOffset: 10n }, "known gap"],
    [{ errorCode: 59, logStartOffset: 10n, persisted: "possibly", canProbe: true }, "known gap"],
    [{ errorCode: 59, logStartOffset: 0n, persisted: "possibly", isTopicCertain: false }, "gap"],
  ];
  for (const [attempt, verdict] of table) {
    assert.equal(judgeGap({ ...GAP, ...attempt }), verdict, Object.entries(attempt).join());
  }
});
