/** What is told of something that has ended is told in a turn of its own: whoever asks again keeps nobody waiting. */
import assert from "node:assert/strict";
import { Fetch, Heartbeat } from "../../src/protocol/messages/mod.ts";
import { test } from "../harness.ts";
import { attemptsInATurn } from "../stage.ts";
import { groupStage } from "./group_stage.ts";

const ZERO = { topic: "orders", partition: 0 };

test("ended: whoever reads on whatever is thrown keeps nobody waiting, of a partition that can't go on", async () => {
  const { cluster, failure, fill, reader, run } = groupStage(1);
  await fill(1);
  cluster.control(Fetch, { error: 29 });
  const it = reader();
  it.assign([{ ...ZERO, start: "beginning" }]);
  assert.equal((await failure(it.batches().next())).errorCode, 29);
  assert.equal(await attemptsInATurn(() => it.batches().next()), 0);
  assert.equal((await failure(it[Symbol.asyncIterator]().next())).errorCode, 29);
  await run(it.close());
});

test("ended: whoever reads on or joins again whatever is thrown keeps nobody waiting, of a member that was fenced", async () => {
  const { cluster, failure, member, run } = groupStage(1);
  const one = member({ groupInstanceId: "a" });
  await run(one.join());
  cluster.control(Heartbeat, { error: 82 });
  assert.equal((await failure(one[Symbol.asyncIterator]().next())).errorCode, 82);
  const calls = [() => one[Symbol.asyncIterator]().next(), () => one.batches().next(), () => one.join()];
  for (const call of calls) assert.equal(await attemptsInATurn(call), 0);
  for (const call of calls) assert.equal((await failure(call())).errorCode, 82);
  await run(one.close());
});

test("ended: whoever calls a closed reader again and again keeps nobody waiting", async () => {
  const { failure, fill, member, reader, run } = groupStage(1);
  await fill(1);
  const it = reader();
  const one = member();
  await run(one.join());
  for (const each of [it, one]) await run(each.close());
  const calls = [
    () => it.partitionsOf("orders"),
    () => it.offsetsOf([ZERO], "end"),
    () => it.committed("g", [ZERO]),
    () => it.commit("g", [{ ...ZERO, offset: 1n }]),
    () => one.committed([ZERO]),
    () => one.commit([{ ...ZERO, offset: 1n }]),
    () => one.join(),
  ];
  const readers = [it, one].map((each) => () => each[Symbol.asyncIterator]().next());
  for (const call of [...calls, ...readers]) assert.equal(await attemptsInATurn(call), 0);
  for (const call of calls) assert.equal((await failure(call())).code, "READER_CLOSED");
  for (const read of readers) assert.deepEqual(await run(read()), { done: true, value: undefined });
});
