import assert from "node:assert/strict";
import {
  ApiVersions,
  Fetch,
  ListOffsets,
  Metadata,
  OffsetCommit,
  OffsetFetch,
  OffsetForLeaderEpoch,
} from "../../src/protocol/messages/mod.ts";
import type { AnyApi, ResponseInputOf } from "../../src/protocol/schema.ts";
import type { OffsetReset, Reader, ReadRecord } from "../../src/reader/mod.ts";
import { innerOf } from "../../src/reader/reader.ts";
import { keyOf } from "../../src/reader/record.ts";
import { test } from "../harness.ts";
import { groupStage, textOf } from "./group_stage.ts";

const ZERO = { topic: "orders", partition: 0 };

async function take(reader: Reader, count: number): Promise<string[]> {
  const texts: string[] = [];
  for await (const record of reader) {
    texts.push(textOf(record));
    if (texts.length === count) break;
  }
  return texts;
}

const numbers = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => String(from + i));

test("reader: an iteration that is broken off in the middle goes on there, record by record and batch by batch", async () => {
  const { fill, reader, run } = groupStage(1);
  for (let i = 0; i < 5; i++) await fill(10, 10 * i);
  const it = reader();
  it.assign([ZERO]);
  const seen: string[] = [];
  for (const count of [3, 1, 9, 20, 7]) seen.push(...await run(take(it, count)));
  assert.deepEqual(seen, numbers(0, 40));
  const ends: bigint[] = [];
  const one = async (): Promise<void> => {
    for await (const batch of it.batches()) {
      ends.push(batch.nextOffset, BigInt(batch.records.length));
      return;
    }
  };
  await run(one());
  it.seek(ZERO, 40n);
  await run(one());
  assert.deepEqual(ends, [50n, 10n, 50n, 10n]);
  await run(it.close());
});

test("reader: batches that were handed out come only once, however often the iteration begins anew", async () => {
  const { fill, reader, run } = groupStage(1);
  for (let i = 0; i < 6; i++) await fill(2, 2 * i);
  const it = reader();
  it.assign([ZERO]);
  const ends: bigint[] = [];
  const one = async (): Promise<void> => {
    for await (const { nextOffset } of it.batches()) {
      ends.push(nextOffset);
      return;
    }
  };
  for (let i = 0; i < 6; i++) await run(one());
  assert.deepEqual(ends, [2n, 4n, 6n, 8n, 10n, 12n]);
  await run(it.close());
});

test("reader: several iterations at once share the records, and hand out each once and in order", async () => {
  const { fill, reader, run, runtime } = groupStage(4);
  await fill(400);
  const it = reader({ maxPartitionBytes: 300 });
  it.assign([0, 1, 2, 3].map((partition) => ({ topic: "orders", partition })));
  const seen: ReadRecord[] = [];
  const readers = [1, 2, 3].map(async () => {
    for await (const record of it) {
      seen.push(record);
      if (seen.length === 400) await it.close();
    }
  });
  await run(Promise.all(readers));
  await runtime.advance(10_000);
  for (let partition = 0; partition < 4; partition++) {
    const own = seen.filter((record) => record.partition === partition).map(({ offset }) => offset);
    assert.deepEqual(own, Array.from({ length: 100 }, (_, i) => BigInt(i)));
  }
});

test("reader: pause holds at once, also in the middle of a batch, and nothing is lost", async () => {
  const { fill, reader, run, runtime } = groupStage(2);
  await fill(20);
  const it = reader();
  it.assign([ZERO, { topic: "orders", partition: 1 }]);
  const records = it[Symbol.asyncIterator]();
  const seen: ReadRecord[] = [];
  const next = async (): Promise<void> => {
    const { value } = await run(records.next());
    seen.push(value!);
  };
  for (let i = 0; i < 3; i++) await next();
  const { partition } = seen[0]!;
  it.pause([seen[0]!]);
  for (let i = 0; i < 10; i++) await next();
  assert.ok(seen.slice(3).every((record) => record.partition !== partition));
  const waiting = records.next();
  await runtime.advance(5_000);
  it.resume([seen[0]!]);
  seen.push((await run(waiting)).value!);
  for (let i = 0; i < 6; i++) await next();
  for (const index of [0, 1]) {
    const own = seen.filter((record) => record.partition === index).map(({ offset }) => Number(offset));
    assert.deepEqual(own, numbers(0, 10).map(Number));
  }
  await run(it.close());
});

test("reader: what is buffered of paused partitions doesn't keep the others from being read", async () => {
  const { fill, reader, run } = groupStage(2);
  await fill(200);
  const it = reader({ maxBufferedBytes: 100, maxPartitionBytes: 5_000 });
  it.assign([ZERO]);
  await run(it.offsetsOf([ZERO], "end"));
  const first = await run(take(it, 1));
  assert.deepEqual(first, ["0"]);
  it.pause([ZERO]);
  it.assign([ZERO, { topic: "orders", partition: 1 }]);
  assert.deepEqual(await run(take(it, 2)), ["1", "3"]);
  it.resume([ZERO]);
  it.pause([{ topic: "orders", partition: 1 }]);
  assert.deepEqual(await run(take(it, 2)), ["2", "4"]);
  await run(it.close());
});

test("reader: an answer says nothing of a partition whose caller goes elsewhere while it is being read", async () => {
  const { fill, reader, run, runtime } = groupStage(1);
  for (let i = 0; i < 10; i++) await fill(1, i);
  let onData = (): void => {};
  const { sockets } = runtime;
  runtime.sockets = {
    ...sockets,
    connect: (options, events) =>
      sockets.connect(options, {
        ...events,
        onData(chunk) {
          onData();
          events.onData(chunk);
        },
      }),
  };
  for (let turns = 0; turns < 30; turns++) {
    const it = reader();
    it.assign([{ ...ZERO, start: 7n }]);
    let isSought = false;
    const seek = async (): Promise<void> => {
      isSought = true;
      for (let turn = 0; turn < turns; turn++) await undefined;
      it.seek(ZERO, 0n);
    };
    // The answer to Fetch is the first that comes when the beginning is known.
    onData = () => void (!isSought && it.position(ZERO) !== undefined && seek());
    await runtime.advance(100);
    assert.equal(isSought, true);
    assert.deepEqual(await run(take(it, 3)), numbers(0, 3), `${turns} turns behind the answer`);
    await run(it.close());
  }
});

test("reader: what is buffered of paused partitions is kept while there is room for others", async () => {
  const { cluster, fill, reader, run, runtime } = groupStage(2);
  await fill(40);
  const it = reader();
  it.assign([{ ...ZERO, start: "beginning" }]);
  assert.deepEqual(await run(take(it, 1)), ["0"]);
  await runtime.advance(100);
  it.pause([ZERO]);
  it.assign([ZERO, { topic: "orders", partition: 1, start: "end" }]);
  await runtime.advance(100);
  it.resume([ZERO]);
  assert.equal((await run(take(it, 19))).length, 19);
  const offsets = cluster.requestsOf(Fetch).flatMap(({ body }) =>
    body.topics.flatMap(({ partitions }) => partitions.filter(({ partition }) => partition === 0))
  ).map(({ fetchOffset }) => fetchOffset);
  assert.deepEqual(offsets.filter((offset) => offset < 20n), [0n], "nothing is fetched twice");
  await run(it.close());
});

for (const when of ["when it has come", "while it is on its way"]) {
  test(`reader: what is little of a large answer doesn't keep all of it in memory when its partition is paused ${when}`, async () => {
    const { cluster, producer, reader, run, runtime } = groupStage(2);
    const sender = producer();
    await run(sender.send({ topic: "orders", partition: 0, value: new Uint8Array(500_000) }));
    await run(sender.send({ topic: "orders", partition: 1, value: "1" }));
    cluster.control(Fetch, { answerDelayMs: 100 });
    const it = reader();
    it.assign([0, 1].map((partition) => ({ topic: "orders", partition, start: 0n })));
    const [large, small] = [0, 1].map((partition) => innerOf(it).cursors.get(keyOf({ ...ZERO, partition }))!);
    const arrived = async (): Promise<void> => {
      while (small!.chunks.length === 0) await runtime.advance(1);
    };
    if (when === "when it has come") await arrived();
    else while (cluster.requestsOf(Fetch).length === 0) await runtime.advance(1);
    assert.equal(small!.chunks.length, when === "when it has come" ? 1 : 0);
    it.pause([ZERO, { ...ZERO, partition: 1 }]);
    await arrived();
    const kept = [large, small].map((cursor) => cursor!.chunks[0]!.bytes);
    assert.ok(kept[1]!.length < 100 && kept[1]!.buffer.byteLength < 100, `${kept[1]!.buffer.byteLength} bytes`);
    assert.ok(kept[0]!.buffer.byteLength > kept[0]!.length, "most of an answer isn't copied");
    it.resume([ZERO, { ...ZERO, partition: 1 }]);
    assert.deepEqual((await run(take(it, 2))).map(({ length }) => length).sort(), [1, 500_000]);
    for (const each of [sender, it]) await run(each.close());
  });
}

test("reader: a buffer that holds one batch is filled again as soon as that is handed out", async () => {
  const { fill, reader, run, runtime } = groupStage(1);
  for (let i = 0; i < 10; i++) await fill(2, 2 * i);
  const it = reader({ maxBufferedBytes: 1, maxPartitionBytes: 1 });
  it.assign([{ ...ZERO, start: "beginning" }]);
  const fromMs = runtime.now();
  const records = it[Symbol.asyncIterator]();
  for (const text of numbers(0, 20)) {
    assert.equal(textOf((await run(records.next())).value!), text);
    // The caller takes his time, so that everything else has come to rest.
    await runtime.advance(10);
  }
  assert.ok(runtime.now() - fromMs < 1_000, `${runtime.now() - fromMs} ms`);
  await run(it.close());
});

test("reader: reads and commits in every version that a broker may have of each request", async () => {
  const partition = [ZERO];
  for (const api of [Fetch, ListOffsets, OffsetFetch, OffsetCommit] as const) {
    // From 10 on offsets of groups are asked for by topic ids, which a reader has no use for.
    const newest = api === OffsetFetch || api === OffsetCommit ? 9 : api.maxVersion;
    // Brokers that have the reader's oldest Fetch have no older ListOffsets than 2, the first with an isolation level.
    for (let version = Math.max(api.minVersion, api === ListOffsets ? 2 : 0); version <= api.maxVersion; version++) {
      const { cluster, fill, reader, run } = groupStage(1, { apiVersions: { [api.name]: [api.minVersion, version] } });
      await fill(3);
      const it = reader();
      it.assign([{ ...ZERO, start: "beginning" }]);
      assert.deepEqual(await run(take(it, 3)), ["0", "1", "2"], `${api.name} ${version}`);
      await run(it.commit("g", [{ ...ZERO, offset: 2n }]));
      const epochsFrom = new Map<object, number>([[OffsetCommit, 6], [OffsetFetch, 5]]).get(api) ?? 0;
      const place = { ...ZERO, offset: 2n, ...(version < epochsFrom ? {} : { leaderEpoch: 0 }) };
      assert.deepEqual(await run(it.committed("g", partition)), [place]);
      const asked = cluster.requestsOf(api).map((request) => request.version);
      assert.ok(
        asked.length > 0 && asked.every((each) => each === Math.min(version, newest)),
        `${api.name} ${version}: ${asked}`,
      );
      assert.deepEqual(cluster.failures, []);
      await run(it.close());
    }
  }
});

test("reader: a damaged batch is fetched again, and told of when it stays damaged; behind it reading goes on", async () => {
  const { cluster, failure, fill, reader, run } = groupStage(1);
  for (let i = 0; i < 3; i++) await fill(5, 5 * i);
  const damage = (times: number, at = 70) =>
    cluster.control(Fetch, {
      transform: (body) => ({
        ...body,
        responses: body.responses.map((topic) => ({
          ...topic,
          partitions: topic.partitions.map((partition) => {
            const parts = partition.records as Uint8Array | Uint8Array[] | null;
            const [bytes] = parts === null ? [] : parts instanceof Uint8Array ? [parts] : parts;
            if (bytes === undefined || bytes.length === 0) return partition;
            const changed = bytes.slice();
            changed[at]! ^= 0xff;
            return { ...partition, records: Array.isArray(parts) ? [changed, ...parts.slice(1)] : changed };
          }),
        })),
      }),
    }, { times });
  const it = reader();
  it.assign([ZERO]);
  damage(2);
  assert.deepEqual(await run(take(it, 15)), numbers(0, 15));
  for (const at of [70, 16]) {
    it.seek(ZERO, 0n);
    const stop = damage(1_000, at);
    const error = await failure(take(it, 1));
    assert.deepEqual([error.code, error.topic, error.partition], ["CORRUPT_MESSAGE", "orders", 0]);
    assert.match(error.message, /can't be read at offset 0: three times .* Seek to an offset behind the batch/);
    stop();
    it.seek(ZERO, 5n);
    assert.deepEqual(await run(take(it, 10)), numbers(5, 15));
  }
  await run(it.close());
});

test("reader: after an unclean election it goes on where the new leader's log ends, or says that records are gone", async () => {
  for (const onMissingOffset of ["beginning", "fail"] as const) {
    const { cluster, failure, fill, reader, run, runtime } = groupStage(1, {
      brokers: 2,
      topics: { orders: { partitions: 1, replicationFactor: 2 } },
    });
    await fill(10);
    const first = cluster.topic("orders")!.partitions[0]!;
    const leader = cluster.view.stateOf(first)!.leaderId;
    const other = 3 - leader;
    cluster.setIsr("orders", 0, [leader]);
    await fill(10, 10);
    const resets: OffsetReset[] = [];
    const onOffsetReset = (reset: OffsetReset): Promise<never> => {
      resets.push(reset);
      // What it throws, or rejects with, ends nothing.
      return Promise.reject(new Error("a slip"));
    };
    const it = reader({ onMissingOffset, onOffsetReset });
    it.assign([ZERO]);
    assert.deepEqual(await run(take(it, 20)), numbers(0, 20));
    cluster.electLeader("orders", 0, other, { unclean: true });
    await fill(5, 100);
    await runtime.advance(2_000);
    if (onMissingOffset === "beginning") {
      assert.deepEqual(await run(take(it, 5)), numbers(100, 105));
      assert.deepEqual(resets.map(({ from, to, reason }) => [from, to, reason.code]), [[20n, 10n, "LOG_TRUNCATED"]]);
      assert.match(
        resets[0]!.reason.message,
        /cut off at offset 10, the position is 20. Reading goes on at offset 10.$/,
      );
    } else {
      const error = await failure(take(it, 1));
      assert.equal(error.code, "LOG_TRUNCATED");
      assert.match(error.message, /cut off at offset 10, the position is 20. Seek to where to go on/);
      assert.deepEqual(resets, []);
    }
    assert.ok(cluster.requestsOf(OffsetForLeaderEpoch).length > 0);
    await run(it.close());
  }
});

test("reader: after an election it doesn't ask for the end of an epoch where only brokers may, before Kafka 2.3", async () => {
  const { cluster, fill, reader, run } = groupStage(1, {
    brokers: 2,
    topics: { orders: { partitions: 1, replicationFactor: 2 } },
    apiVersions: { OffsetForLeaderEpoch: [0, 2] },
  });
  cluster.control(OffsetForLeaderEpoch, { error: 31 }, { times: 100 });
  await fill(5);
  const it = reader();
  it.assign([{ ...ZERO, start: "beginning" }]);
  assert.deepEqual(await run(take(it, 5)), numbers(0, 5));
  const leader = cluster.view.stateOf(cluster.topic("orders")!.partitions[0]!)!.leaderId;
  cluster.electLeader("orders", 0, 3 - leader);
  await fill(5, 5);
  assert.deepEqual(await run(take(it, 5)), numbers(5, 10));
  assert.equal(cluster.requestsOf(OffsetForLeaderEpoch).length, 0);
  await run(it.close());
});

test("reader: a topic that is made anew with more records than before is read from its beginning, or told of", async () => {
  for (const onMissingOffset of ["beginning", "end", "fail"] as const) {
    const { cluster, failure, fill, reader, run, until } = groupStage(1);
    await fill(5);
    const troubles: (string | null)[] = [];
    const resets: unknown[] = [];
    const it = reader({
      onMissingOffset,
      onTrouble: (trouble) => void troubles.push(trouble && trouble.code),
      onOffsetReset: ({ from, reason, to }) =>
        void resets.push([from, to, reason.code, reason.message.split(". ").at(-1)]),
    });
    it.assign([{ ...ZERO, start: "beginning" }]);
    assert.deepEqual(await run(take(it, 5)), numbers(0, 5));
    cluster.deleteTopic("orders");
    await until(() => troubles.length > 0);
    cluster.createTopic("orders", { partitions: 1 });
    await fill(20, 100);
    if (onMissingOffset === "beginning") assert.deepEqual(await run(take(it, 20)), numbers(100, 120));
    else if (onMissingOffset === "end") {
      const next = take(it, 1);
      await until(() => it.position(ZERO) === 20n);
      await fill(1, 120);
      assert.deepEqual(await run(next), ["120"]);
    } else {
      const error = await failure(take(it, 1));
      assert.equal(error.code, "LOG_TRUNCATED");
      assert.match(error.message, /deleted and made anew: offset 5 .* Seek to/);
      it.seek(ZERO, 3n);
      assert.deepEqual(await run(take(it, 2)), numbers(103, 105));
    }
    const goesOn = `Reading goes on at the ${onMissingOffset} of the log.`;
    const told = [[5n, onMissingOffset, "LOG_TRUNCATED", goesOn]];
    assert.deepEqual(resets, onMissingOffset === "fail" ? [] : told);
    await run(it.close());
  }
});

for (
  const [api, code] of [[Fetch, 29], [ListOffsets, 29], [Metadata, 29], [Metadata, 17]] as unknown as [
    typeof Fetch,
    number,
  ][]
) {
  test(`reader: ${code} from ${api.name} is told by the iteration, and not waited out`, async () => {
    const { cluster, failure, fill, reader, run } = groupStage(1);
    await fill(1);
    const stop = cluster.control(api, { error: code, apply: true });
    const it = reader();
    it.assign([ZERO]);
    const error = await failure(take(it, 1));
    assert.equal(error.errorCode, code);
    assert.equal(error.topic, "orders");
    stop();
    it.seek(ZERO, 0n);
    assert.deepEqual(await run(take(it, 1)), ["0"]);
    await run(it.close());
  });
}

for (const code of [3, 5, 6, 7, 9, 56, 74, 75, 100, 103]) {
  test(`reader: ${code} from Fetch and ListOffsets is lived through`, async () => {
    const { cluster, fill, reader, run } = groupStage(1);
    await fill(3);
    cluster.control(Fetch, { error: code }, { times: 3 });
    cluster.control(ListOffsets, { error: code }, { times: 3 });
    const it = reader();
    it.assign([ZERO]);
    assert.deepEqual(await run(take(it, 3)), numbers(0, 3));
    await run(it.close());
  });
}

test("reader: a partition that an answer leaves out is asked for again, and never taken for one without an offset", async () => {
  const { cluster, fill, reader, run } = groupStage(2);
  await fill(4);
  const it = reader();
  const places = [0, 1].map((partition) => ({ topic: "orders", partition, offset: 1n }));
  cluster.control(OffsetCommit, { transform: (body) => ({ ...body, topics: [] }) }, { times: 2 });
  await run(it.commit("g", places));
  assert.equal(cluster.requestsOf(OffsetCommit).length, 3);
  cluster.control(OffsetFetch, {
    transform: (body) => ({ ...body, groups: body.groups!.map((group) => ({ ...group, topics: [] })) }),
  }, { times: 2 });
  assert.deepEqual(await run(it.committed("g", places)), places);
  assert.equal(cluster.requestsOf(OffsetFetch).length, 3);
  for (const api of [ListOffsets, Fetch] as const) {
    cluster.control(api as typeof Fetch, {
      transform: (body) => "topics" in body ? { ...body, topics: [] } : { ...body, responses: [] },
    }, { times: 2 });
  }
  it.assign([ZERO]);
  assert.deepEqual(await run(take(it, 2)), ["0", "2"]);
  await run(it.close());
});

test("reader: read_committed hands out committed records only, and waits at an open transaction", async () => {
  for (const release of ["3.9", "4.1"] as const) {
    const { cluster, reader, run, runtime, transactional } = groupStage(1, { release });
    const producer = transactional("t");
    const write = async (from: number, count: number, end: "commit" | "abort"): Promise<void> => {
      const tx = await run(producer.begin());
      for (let i = 0; i < count; i++) await run(tx.send({ ...ZERO, value: String(from + i) }));
      await run(end === "commit" ? tx.commit() : tx.abort());
    };
    await write(0, 3, "commit");
    await write(10, 4, "abort");
    await write(20, 2, "commit");
    await write(30, 2, "abort");
    await write(40, 1, "commit");
    const open = await run(producer.begin());
    await run(open.send({ ...ZERO, value: "50" }));
    const it = reader();
    it.assign([ZERO]);
    const records = it[Symbol.asyncIterator]();
    const seen: string[] = [];
    for (let i = 0; i < 6; i++) seen.push(textOf((await run(records.next())).value!));
    assert.deepEqual(seen, ["0", "1", "2", "20", "21", "40"]);
    const next = records.next();
    await runtime.advance(5_000);
    assert.deepEqual(await run(it.offsetsOf([ZERO], "end")), [{ ...ZERO, offset: 17n }]);
    await run(open.commit());
    assert.equal(textOf((await run(next)).value!), "50");
    // Broken off and begun anew in the middle, what was aborted stays hidden.
    for (const start of [0n, 1n, 4n, 6n, 9n, 12n]) {
      it.seek(ZERO, start);
      const last = await run(take(it, 1));
      assert.ok(!last[0]!.startsWith("1") || last[0] === "1", `from ${start}: ${last}`);
    }
    const all = reader({ isolation: "read_uncommitted", controlRecords: true });
    all.assign([ZERO]);
    const offsets: bigint[] = [];
    const markers: string[] = [];
    for await (const record of { [Symbol.asyncIterator]: () => bounded(all, cluster.endOffset("orders", 0), run) }) {
      offsets.push(record.offset);
      if (record.control !== undefined) markers.push(record.control.type);
    }
    assert.deepEqual(offsets, Array.from({ length: 19 }, (_, i) => BigInt(i)));
    assert.deepEqual(markers, ["commit", "abort", "commit", "abort", "commit", "commit"]);
    await run(all.close());
    await run(it.close());
    await run(producer.close());
  }
});

async function* bounded(
  reader: Reader,
  end: bigint,
  run: <T>(promise: Promise<T>) => Promise<T>,
): AsyncGenerator<ReadRecord> {
  const records = reader[Symbol.asyncIterator]();
  for (;;) {
    const { value } = await run(records.next());
    yield value!;
    if (value!.offset === end - 1n) return;
  }
}

test("reader: it may be closed in every state, and every call that waits ends", async () => {
  for (const api of [Metadata, ListOffsets, Fetch, OffsetFetch, OffsetCommit] as const) {
    const { cluster, reader, run, runtime } = groupStage(1);
    cluster.control(api as AnyApi, { silence: true });
    const it = reader();
    it.assign([ZERO]);
    const calls = Promise.allSettled([
      take(it, 1),
      take(it, 1),
      it.offsetsOf([ZERO], "end"),
      it.partitionsOf("orders"),
      it.committed("g", [ZERO]),
      it.commit("g", [{ ...ZERO, offset: 1n }]),
    ]);
    await runtime.advance(1_000);
    await run(it.close());
    for (const outcome of await run(calls, 1_000)) {
      if (outcome.status === "fulfilled") continue;
      assert.match(String(outcome.reason), /closed/, api.name);
    }
  }
});

test("reader: calls end at maxBlockMs, also while a broker says nothing", async () => {
  for (const api of [Metadata, ListOffsets, OffsetFetch, OffsetCommit] as const) {
    const { cluster, failure, reader, run, runtime } = groupStage(1);
    const it = reader({ maxBlockMs: 5_000 });
    cluster.control(api as AnyApi, { silence: true });
    const begun = runtime.now();
    const call = api === Metadata
      ? it.partitionsOf("orders")
      : api === ListOffsets
      ? it.offsetsOf([ZERO], "end")
      : api === OffsetFetch
      ? it.committed("g", [ZERO])
      : it.commit("g", [{ ...ZERO, offset: 1n }]);
    const error = await failure(call);
    assert.equal(error.code, "TIMEOUT", api.name);
    assert.ok(runtime.now() - begun < 6_000, `${api.name}: ${runtime.now() - begun} ms`);
    await run(it.close());
  }
});

test("reader: it proves who it is, alone and as a member of a group", async () => {
  const sasl = { mechanism: "plain", username: "ann", password: "secret" } as const;
  const { cluster, failure, member, producer, reader, run } = groupStage(1, { sasl: { users: { ann: "secret" } } });
  const secure = { sasl, securityProtocol: "sasl_plaintext" } as const;
  const writer = producer(secure);
  await run(writer.send({ ...ZERO, value: "0" }));
  const alone = reader(secure);
  alone.assign([ZERO]);
  assert.deepEqual(await run(take(alone, 1)), ["0"]);
  const one = member(secure);
  assert.equal((await run(one.join())).length, 1);
  await run(one.commit([{ ...ZERO, offset: 1n }]));
  assert.equal(cluster.groups.committed("g", "orders", 0), 1n);
  const wrong = reader({ ...secure, sasl: { ...sasl, password: "other" } });
  wrong.assign([ZERO]);
  assert.equal((await failure(take(wrong, 1))).name, "AuthenticationError");
  assert.throws(() => reader({ sasl }), /sends the password as it is/);
  for (const each of [writer, alone, one, wrong]) await run(each.close());
});

test("reader: a partition waits for no other one that has something new each time", async () => {
  const { producer, reader, run, runtime } = groupStage(3);
  const writer = producer();
  const append = (partition: number): Promise<unknown> => writer.send({ topic: "orders", partition, value: "v" });
  // Batches of one record; an answer has room for one of them.
  for (let i = 0; i < 30; i++) await run(append(0));
  for (let i = 0; i < 10; i++) await run(append(2));
  const it = reader({ maxPartitionBytes: 80 });
  it.assign([0, 1, 2].map((partition) => ({ topic: "orders", partition, start: "beginning" })));
  const seen = [0, 0, 0];
  const read = (async () => {
    for await (const { partition } of it) {
      seen[partition]! += 1;
      if (seen[0]! + seen[1]! + seen[2]! === 30) break;
      if (partition === 0) await append(1);
      // A caller that is slow: everything that can be fetched meanwhile is there.
      await new Promise<void>((resolve) => runtime.setTimer(resolve, 1_000));
    }
  })();
  await run(read);
  assert.deepEqual(seen, [10, 10, 10]);
  for (const each of [it, writer]) await run(each.close());
});

test("reader: what its listener of troubles throws or rejects ends neither the reading nor the process", async () => {
  const { cluster, producer, reader, run, runtime } = groupStage(1);
  const writer = producer();
  const told: string[] = [];
  const it = reader({
    requestTimeoutMs: 500,
    onTrouble: (trouble) => {
      told.push(trouble === null ? "over" : "trouble");
      if (trouble !== null) throw new Error("a slip");
      return Promise.reject(new Error("another slip")) as never;
    },
  });
  it.assign([ZERO]);
  await run(writer.send({ ...ZERO, value: "0" }));
  assert.deepEqual(await run(take(it, 1)), ["0"]);
  cluster.stopBroker(1);
  const next = take(it, 1);
  await runtime.advance(5_000);
  cluster.startBroker(1);
  await runtime.advance(5_000);
  await run(writer.send({ ...ZERO, value: "1" }));
  assert.deepEqual(await run(next), ["1"]);
  assert.deepEqual(told, ["trouble", "over"]);
  for (const each of [it, writer]) await run(each.close());
});

test("reader: offsetsOf finds a partition that has no leader for a while as soon as it has one", async () => {
  const { cluster, fill, reader, run, runtime } = groupStage(2, { brokers: 3 });
  await fill(4);
  const it = reader({ maxBlockMs: 60_000 });
  await run(it.partitionsOf("orders"));
  const leader = cluster.partition("orders", 0).leaderId;
  cluster.setIsr("orders", 0, [leader]);
  cluster.stopBroker(leader);
  const found = it.offsetsOf([ZERO], "end");
  await runtime.advance(2_000);
  const startMs = runtime.now();
  cluster.startBroker(leader);
  assert.deepEqual(await run(found), [{ ...ZERO, offset: 2n }]);
  assert.ok(runtime.now() - startMs < 5_000, `It took ${runtime.now() - startMs} ms`);
  await run(it.close());
});

test("reader: offsetsOf that has failed asks for nothing any more", async () => {
  const { cluster, fill, reader, run, runtime } = groupStage(1);
  await fill(1);
  const it = reader({ maxBlockMs: 2_000 });
  cluster.control(ListOffsets, { error: 5 });
  await assert.rejects(run(it.offsetsOf([ZERO, { topic: "missing", partition: 0 }], "end")), /missing/);
  const asked = cluster.requestsOf(ListOffsets).length;
  await runtime.advance(10_000);
  assert.equal(cluster.requestsOf(ListOffsets).length, asked);
  await run(it.close());
});

test("reader: a broker that goes on answering what leads nowhere is asked ever more slowly", async () => {
  const nowhere = {
    "no partition is fetched": [Fetch, { transform: (body: object) => ({ ...body, responses: [] }) }],
    "no offset is in the log": [Fetch, { error: 1 }],
    "no partition has an end": [ListOffsets, {
      transform: (body: ResponseInputOf<typeof ListOffsets>) => ({
        ...body,
        topics: body.topics!.map((topic) => ({
          ...topic,
          partitions: topic.partitions!.map((partition) => ({ ...partition, offset: -1n, errorCode: 0 })),
        })),
      }),
    }],
  } as const;
  for (const [what, [api, action]] of Object.entries(nowhere)) {
    const { cluster, fill, reader, run, runtime } = groupStage(1);
    await fill(3);
    const stop = cluster.control(api as typeof Fetch, action as never);
    const it = reader({ onMissingOffset: "beginning" });
    it.assign([{ ...ZERO, start: "beginning" }]);
    const taken = take(it, 3);
    await runtime.advance(10_000);
    const asked = cluster.requestsOf(api as typeof Fetch).length;
    assert.ok(asked > 2 && asked <= 40, `${what}: it has asked ${asked} times in ten seconds`);
    stop();
    assert.deepEqual(await run(taken), ["0", "1", "2"], what);
    await run(it.close());
  }
});

test("reader: a batch that never comes whole is told as damaged, and others are read meanwhile", async () => {
  const { cluster, fill, reader, failure, run } = groupStage(2);
  await fill(4);
  let asked = 0;
  cluster.control(Fetch, {
    transform: (body) => ({
      ...body,
      responses: body.responses!.map((topic) => ({
        ...topic,
        partitions: topic.partitions!.map((partition) => {
          const { partitionIndex, records } = partition;
          if (partitionIndex !== 0 || !records) return partition;
          asked += 1;
          const [first] = records instanceof Uint8Array ? [records] : records;
          return { ...partition, records: first!.subarray(0, 70) };
        }),
      })),
    }),
  });
  const it = reader();
  it.assign([0, 1].map((partition) => ({ topic: "orders", partition, start: "beginning" as const })));
  assert.deepEqual(await run(take(it, 2)), ["1", "3"]);
  const error = await failure(take(it, 1));
  assert.equal(error.code, "CORRUPT_MESSAGE");
  assert.ok(asked < 30, `It was asked ${asked} times`);
  cluster.controls.clear();
  it.seek(ZERO, 0n);
  assert.deepEqual(await run(take(it, 2)), ["0", "2"]);
  await run(it.close());
});

test("reader: what stands before a batch that can't be read is handed out, and the error tells where that batch is", async () => {
  const { cluster, fill, reader, failure, run } = groupStage(1);
  for (let i = 0; i < 3; i++) await fill(2, 2 * i);
  // The second batch is of a format of long ago, or its length is none.
  for (const [at, byte] of [[16, 1], [8, 0xff]] as const) {
    const { bytes } = cluster.partition("orders", 0).log.batches[1]!;
    const before = bytes[at]!;
    bytes[at] = byte;
    const it = reader();
    it.assign([{ ...ZERO, start: "beginning" }]);
    assert.deepEqual(await run(take(it, 2)), ["0", "1"]);
    const error = await failure(take(it, 1));
    assert.equal(error.code, "CORRUPT_MESSAGE");
    assert.match(error.message, /can't be read at offset 2:/);
    it.seek(ZERO, 4n);
    bytes[at] = before;
    assert.deepEqual(await run(take(it, 2)), ["4", "5"]);
    await run(it.close());
  }
});

test("reader: a partition that is read no longer is in no trouble when what was asked for it comes to nothing", async () => {
  const { cluster, fill, reader, run, runtime, until } = groupStage(2, { brokers: 2 });
  const [one, two] = [0, 1].map((partition) => ({ topic: "orders", partition }));
  await fill(2);
  const told: unknown[] = [];
  const it = reader({ onTrouble: (trouble) => void told.push(trouble) });
  it.assign([one!, two!]);
  await run(take(it, 2));
  const { leaderId } = cluster.partition("orders", 1);
  assert.notEqual(leaderId, cluster.partition("orders", 0).leaderId);
  let isOnItsWay = false;
  cluster.control(Fetch, () => {
    isOnItsWay = true;
    return { drop: "after" };
  }, { brokerId: leaderId, times: 1 });
  await until(() => isOnItsWay);
  it.assign([one!]);
  await runtime.advance(5_000);
  assert.deepEqual(told, []);
  await run(it.close());
});

test("reader: what is read no longer when its leader is reached takes nobody's room, and is nobody's trouble", async () => {
  for (const isRefused of [false, true]) {
    const { cluster, fill, reader, run, runtime, until } = groupStage(2);
    await fill(4);
    const told: unknown[] = [];
    const it = reader({ maxBufferedBytes: 1, onTrouble: (trouble) => void told.push(trouble) });
    await run(it.partitionsOf("orders"));
    cluster.network.reset();
    let isReached = false;
    cluster.control(ApiVersions, () => {
      isReached = true;
      return { answerDelayMs: 500 };
    });
    if (isRefused) cluster.control(Fetch, { error: 6 }, { times: 1 });
    it.assign([{ ...ZERO, start: 0n }]);
    await until(() => isReached);
    it.assign([]);
    await runtime.advance(5_000);
    assert.deepEqual(told, []);
    it.assign([{ topic: "orders", partition: 1, start: 0n }]);
    assert.deepEqual(await run(take(it, 2)), ["1", "3"]);
    await run(it.close());
  }
});

test("reader: a large batch waits for no other partition that has something new each time", async () => {
  const { producer, reader, run } = groupStage(2);
  const writer = producer();
  for (let i = 0; i < 40; i++) await run(writer.send({ ...ZERO, value: "small" }));
  await run(writer.send({ topic: "orders", partition: 1, value: "large".repeat(100) }));
  // It has room for one small batch of each partition.
  const it = reader({ maxPartitionBytes: 80 });
  it.assign([0, 1].map((partition) => ({ topic: "orders", partition, start: "beginning" })));
  const seen: number[] = [];
  const read = async (): Promise<void> => {
    for await (const { partition } of it) if (seen.push(partition) === 41) break;
  };
  await run(read());
  assert.ok(seen.indexOf(1) < 10, `The large one was number ${seen.indexOf(1) + 1}`);
  for (const each of [it, writer]) await run(each.close());
});

test("reader: a commit right behind a seek to an offset commits that offset", async () => {
  const { cluster, fill, reader, run } = groupStage(1);
  await fill(5);
  const it = reader();
  it.assign([{ ...ZERO, start: "beginning" }]);
  await run(take(it, 3));
  it.seek(ZERO, 1n);
  assert.equal(it.position(ZERO), 1n);
  await run(it.commit("g"));
  assert.equal(cluster.groups.committed("g", "orders", 0), 1n);
  assert.deepEqual(await run(take(it, 1)), ["1"]);
  await run(it.close());
});

test("reader: closing it ends an iteration in the middle of a batch", async () => {
  const { fill, reader, run } = groupStage(1);
  await fill(5);
  const it = reader();
  it.assign([{ ...ZERO, start: "beginning" }]);
  const seen: string[] = [];
  const read = async (): Promise<void> => {
    for await (const record of it) {
      seen.push(textOf(record));
      await it.close();
    }
  };
  await run(read());
  assert.deepEqual(seen, ["0"]);
});
