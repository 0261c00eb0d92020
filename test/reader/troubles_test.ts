/** What `onTrouble` was told is untold when it is over, whatever has become of it. */
import assert from "node:assert/strict";
import type { KafkaError } from "../../src/errors.ts";
import { Fetch, Heartbeat, ListOffsets } from "../../src/protocol/messages/mod.ts";
import type { ReaderOptions } from "../../src/reader/mod.ts";
import { test } from "../harness.ts";
import { drain, groupStage } from "./group_stage.ts";

const ZERO = { topic: "orders", partition: 0 };
const ONE = { topic: "orders", partition: 1 };

/** A listener that writes down what it is told. */
function listening(told: (string | null)[]): Pick<ReaderOptions, "onTrouble"> {
  return { onTrouble: (trouble) => void told.push(trouble?.code ?? null) };
}

test("troubles: of a lookup that has failed, or that is answered at last, it is told that it is over", async () => {
  const { cluster, failure, fill, reader, run, runtime } = groupStage(1);
  await fill(1);
  const told: (string | null)[] = [];
  const it = reader({ maxBlockMs: 2_000, ...listening(told) });
  cluster.control(ListOffsets, { error: 6 });
  assert.equal((await failure(it.offsetsOf([ZERO], "end"))).code, "TIMEOUT");
  await runtime.advance(60_000);
  assert.deepEqual(told, ["NOT_LEADER_OR_FOLLOWER", null]);
  await run(it.close());
  assert.deepEqual(told, ["NOT_LEADER_OR_FOLLOWER", null]);
});

test("troubles: a lookup that is over while a partition can't be read says not that all is well", async () => {
  const { cluster, fill, reader, run, runtime } = groupStage(1);
  await fill(1);
  const told: (string | null)[] = [];
  const it = reader(listening(told));
  it.assign([{ ...ZERO, start: 0n }]);
  cluster.control(Fetch, { error: 6 });
  await runtime.advance(1_000);
  assert.deepEqual(told, ["NOT_LEADER_OR_FOLLOWER"]);
  cluster.control(ListOffsets, { error: 6 }, { times: 1 });
  assert.deepEqual(await run(it.offsetsOf([ZERO], "end")), [{ ...ZERO, offset: 1n }]);
  await runtime.advance(1_000);
  assert.deepEqual(told, ["NOT_LEADER_OR_FOLLOWER"]);
  await run(it.close());
});

test("troubles: a partition that is paused is none until it is resumed, and hides none of the others", async () => {
  const { cluster, fill, reader, run, runtime } = groupStage(2);
  await fill(2);
  const told: (string | null)[] = [];
  const it = reader(listening(told));
  const ill = new Set([0]);
  cluster.control(Fetch, {
    transform: (body) => ({
      ...body,
      responses: body.responses.map((topic) => ({
        ...topic,
        partitions: topic.partitions.map((each) => ill.has(each.partitionIndex) ? { ...each, errorCode: 6 } : each),
      })),
    }),
  });
  it.assign([ZERO, ONE].map((place) => ({ ...place, start: 0n })));
  await runtime.advance(1_000);
  assert.deepEqual(told, ["NOT_LEADER_OR_FOLLOWER"]);
  it.pause([ZERO]);
  await runtime.advance(5_000);
  assert.deepEqual(told, ["NOT_LEADER_OR_FOLLOWER", null]);
  it.resume([ZERO]);
  await runtime.advance(5_000);
  assert.deepEqual(told, ["NOT_LEADER_OR_FOLLOWER", null, "NOT_LEADER_OR_FOLLOWER"]);
  ill.clear();
  await runtime.advance(5_000);
  assert.deepEqual(told, ["NOT_LEADER_OR_FOLLOWER", null, "NOT_LEADER_OR_FOLLOWER", null]);
  await run(it.close());
});

test("troubles: what comes to nothing of a partition that was paused meanwhile is none", async () => {
  const { cluster, fill, reader, run, runtime } = groupStage(1);
  await fill(1);
  const told: (string | null)[] = [];
  const it = reader(listening(told));
  cluster.control(Fetch, { error: 6, answerDelayMs: 500 });
  it.assign([{ ...ZERO, start: 0n }]);
  await runtime.advance(250);
  it.pause([ZERO]);
  await runtime.advance(5_000);
  assert.deepEqual([cluster.requestsOf(Fetch).length, told], [1, []]);
  await run(it.close());
});

test("troubles: a topic that isn't there is nobody's trouble when the membership has ended", async () => {
  const { cluster, fill, member, run, runtime, until } = groupStage(1);
  await fill(1);
  const told: (string | null)[] = [];
  const one = member({ topics: ["orders", "nope"], ...listening(told) });
  const { ended } = drain(one, []);
  await until(() => told.length === 1);
  assert.deepEqual(told, ["UNKNOWN_TOPIC_OR_PARTITION"]);
  cluster.control(Heartbeat, { error: 82 });
  await assert.rejects(run(ended), { errorCode: 82 });
  await runtime.advance(1_000);
  assert.deepEqual(told, ["UNKNOWN_TOPIC_OR_PARTITION", null]);
  await run(one.close());
});

test("troubles: of a topic that isn't there, or has fewer partitions, it is said what isn't there", async () => {
  const { cluster, fill, reader, run, runtime } = groupStage(2);
  await fill(1);
  for (
    const [place, message] of [
      [{ topic: "ordesr", partition: 0 }, /Topic "ordesr" partition 0: the broker answered UNKNOWN_TOPIC_OR_PARTITION/],
      [
        { topic: "orders", partition: 2 },
        /Topic "orders" partition 2: .*UNKNOWN_TOPIC_OR_PARTITION \(3\): it has 2 part/,
      ],
    ] as const
  ) {
    const told: (KafkaError | null)[] = [];
    const it = reader({ onTrouble: (trouble) => void told.push(trouble) });
    it.assign([{ ...place, start: "beginning" }]);
    const next = it[Symbol.asyncIterator]().next();
    await runtime.advance(10_000);
    assert.equal(told.length, 1);
    assert.match(told[0]!.message, message);
    // It may be made later, and is read then.
    if (place.topic === "ordesr") {
      cluster.createTopic("ordesr", { partitions: 1 });
      await runtime.advance(10_000);
      assert.deepEqual(told.slice(1), [null]);
    }
    await run(it.close());
    await run(next);
  }
});
