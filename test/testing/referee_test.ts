/** The referee of transactional histories: each anomaly is found where it is planted, and not in its near miss. */
import assert from "node:assert/strict";
import {
  type Anomaly,
  type HistoryEntry,
  type HistoryLogs,
  judgeHistory,
} from "../../src/testing/simulation/referee.ts";
import { test } from "../harness.ts";

type Records = readonly (readonly [number, string])[];

const send = (value: string, offset?: number, partition = "p") => ({ kind: "send", partition, value, offset }) as const;
const poll = (records: Records, partition = "p") => ({ kind: "poll", partition, records }) as const;
const ok = (process: number, ...steps: HistoryEntry["steps"]): HistoryEntry => ({ process, type: "ok", steps });
const fail = (process: number, ...steps: HistoryEntry["steps"]): HistoryEntry => ({ process, type: "fail", steps });
const log = (records: Records, q: Records = []): HistoryLogs => new Map([["p", records], ["q", q]]);

type History = readonly [entries: readonly HistoryEntry[], logs: HistoryLogs];

/** For each anomaly a history that has it, and one that nearly has it. */
const PLANTED: Readonly<Record<Anomaly["name"], readonly [History, History]>> = {
  "duplicate": [
    [[ok(0, send("a"))], log([[0, "a"], [1, "a"]])],
    [[ok(0, send("a"), send("b"))], log([[0, "a"], [1, "b"]])],
  ],
  "inconsistent-offsets": [
    [[ok(0, send("a", 0)), ok(1, send("b", 0))], log([[0, "a"], [1, "b"]])],
    [[ok(0, send("a", 0)), ok(1, send("b", 1))], log([[0, "a"], [1, "b"]])],
  ],
  "lost-write": [
    [[ok(0, send("a"), send("b"))], log([[0, "a"]])],
    [[{ process: 0, type: "info", steps: [send("a")] }], log([])],
  ],
  "G1a": [
    [[fail(0, send("a"))], log([[0, "a"]])],
    [[fail(0, send("a"))], log([])],
  ],
  "precommitted-read": [
    [[ok(0, send("a"), poll([[0, "a"]]))], log([[0, "a"]])],
    [[ok(0, send("a")), ok(0, poll([[0, "a"]]))], log([[0, "a"]])],
  ],
  "unseen": [
    [[ok(0, send("a"), send("b")), ok(1, poll([[0, "a"]]))], log([[0, "a"], [1, "b"]])],
    [[ok(0, send("a"), send("b")), ok(1, poll([[0, "a"], [1, "b"]]))], log([[0, "a"], [1, "b"]])],
  ],
  "poll-skip": [
    [[ok(0, poll([[0, "a"]])), ok(0, poll([[2, "c"]])), ok(1, poll([[1, "b"]]))], log([[0, "a"], [1, "b"], [2, "c"]])],
    // There is a mark at 1, which nobody polls.
    [[ok(0, poll([[0, "a"]])), ok(0, poll([[2, "c"]]))], log([[0, "a"], [2, "c"]])],
  ],
  "nonmonotonic-poll": [
    [[ok(0, poll([[1, "b"]])), ok(0, poll([[0, "a"]]))], log([[0, "a"], [1, "b"]])],
    [[ok(0, poll([[1, "b"]])), ok(1, poll([[0, "a"]]))], log([[0, "a"], [1, "b"]])],
  ],
  "int-poll-skip": [
    [[ok(0, poll([[0, "a"], [2, "c"]])), ok(1, poll([[1, "b"]]))], log([[0, "a"], [1, "b"], [2, "c"]])],
    [[ok(0, poll([[0, "a"], [2, "c"]]))], log([[0, "a"], [2, "c"]])],
  ],
  "int-nonmonotonic-poll": [
    [[ok(0, poll([[1, "b"], [0, "a"]]))], log([[0, "a"], [1, "b"]])],
    [[ok(0, poll([[0, "a"], [1, "b"]]))], log([[0, "a"], [1, "b"]])],
  ],
  "nonmonotonic-send": [
    [[ok(0, send("b", 1)), ok(0, send("a", 0))], log([[0, "a"], [1, "b"]])],
    [[ok(0, send("b", 1)), ok(1, send("a", 0))], log([[0, "a"], [1, "b"]])],
  ],
  "int-nonmonotonic-send": [
    [[ok(0, send("b", 1), send("a", 0))], log([[0, "a"], [1, "b"]])],
    [[ok(0, send("a", 0), send("b", 1))], log([[0, "a"], [1, "b"]])],
  ],
  "G1c": [
    [
      [ok(0, send("a"), poll([[0, "b"]], "q")), ok(1, send("b", 0, "q"), poll([[0, "a"]]))],
      log([[0, "a"]], [[0, "b"]]),
    ],
    [
      [ok(0, send("a")), ok(1, send("b", 0, "q"), poll([[0, "a"]])), ok(2, poll([[0, "b"]], "q"))],
      log([[0, "a"]], [[0, "b"]]),
    ],
  ],
};

for (const [name, [planted, near]] of Object.entries(PLANTED)) {
  test(`referee: ${name} is found where it is planted, and not in its near miss`, () => {
    assert.deepEqual(judgeHistory(...planted).map((anomaly) => anomaly.name), [name]);
    assert.deepEqual(judgeHistory(...near), []);
  });
}
