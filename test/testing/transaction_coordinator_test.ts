import assert from "node:assert/strict";
import { type AnyApi, encodeResponseFrame, type RequestOf } from "../../src/protocol/api.ts";
import {
  AddOffsetsToTxn,
  AddPartitionsToTxn,
  ApiVersions,
  DescribeProducers,
  DescribeTransactions,
  EndTxn,
  InitProducerId,
  JoinGroup,
  ListTransactions,
  OffsetCommit,
  OffsetFetch,
  Produce,
  SyncGroup,
  TxnOffsetCommit,
} from "../../src/protocol/messages/mod.ts";
import { test } from "../harness.ts";
import { batchOf } from "./batches.ts";
import { begin, Client, CODES, ID, read, values } from "./transactional_client.ts";
import { stage } from "./wire.ts";

const { concurrent, fenced, invalidState, mapping } = CODES;

test("EndTxn 5: its answers tell whether a transaction was committed, aborted, empty or taken over", async () => {
  const { client, cluster, wire } = await begin(true);
  assert.deepEqual(await client.ends(), [invalidState, [true, 1]], "empty: an abort is taken");
  assert.equal(await client.end(false, { epoch: client.epoch }), 0);
  await client.init();
  await client.send(0, "a");
  const { epoch } = client;
  await client.end(true);
  for (let i = 0; i < 2; i++) assert.deepEqual(await client.ends(epoch), [[true, 1], invalidState], "committed");
  await client.send(0, "b");
  assert.deepEqual(await client.ends(epoch), [fenced, fenced], "the next one is open");
  assert.equal(await client.end(false), 0);
  for (let i = 0; i < 2; i++) assert.deepEqual(await client.ends(epoch + 1), [invalidState, [true, 1]], "aborted");
  cluster.transactions.configure({ commitAfterAbort: 90 });
  assert.deepEqual(await client.ends(epoch + 1), [fenced, [true, 1]], "aborted, as brokers after 4.4.0 answer");
  assert.deepEqual(await client.ends(client.epoch, 99n), [mapping, mapping]);
  const second = new Client(wire, true);
  await client.send(0, "c");
  assert.deepEqual([await second.init(), await second.init()], [concurrent, 0]);
  assert.deepEqual(await client.ends(), [fenced, fenced], "taken over");
  assert.deepEqual(await values(wire), ["a"]);
});

test("EndTxn 5: while markers are written it is 51, whoever asks for what, the next end of the same producer too", async () => {
  for (const isCommit of [true, false]) {
    const { client, cluster, runtime } = await begin(true, { transactions: { markerLagMs: Infinity } });
    await client.send(0, "a");
    const { epoch } = client;
    assert.equal(await client.end(isCommit), 0);
    assert.equal(cluster.transactions.describe(ID)!.state, isCommit ? "PrepareCommit" : "PrepareAbort");
    assert.equal(client.epoch, epoch + 1);
    for (const asked of [epoch, epoch + 1, epoch + 9]) {
      assert.deepEqual(await client.ends(asked), [concurrent, concurrent], `epoch ${asked}`);
    }
    assert.deepEqual(await client.ends(epoch, 99n), [concurrent, concurrent]);
    const { producerId } = client;
    assert.equal(await client.init(), concurrent);
    assert.equal(await client.init({ producerId: 99n, epoch: 0 }), concurrent);
    assert.equal(await client.init({ producerId, epoch: epoch + 9 }), concurrent);
    cluster.transactions.configure({ markerLagMs: 0 });
    await runtime.advance(1);
    assert.equal(cluster.transactions.describe(ID)!.state, isCommit ? "CompleteCommit" : "CompleteAbort");
    assert.deepEqual(await client.ends(), [invalidState, [true, 1]], "nothing was registered since: an abort is taken");
  }
});

test("EndTxn 4: a repetition is taken for the same, the other way round is 48, and so is the end of nothing", async () => {
  const { client, cluster } = await begin(false);
  assert.deepEqual(await client.ends(), [invalidState, invalidState]);
  await client.send(0, "a");
  assert.equal(await client.end(true), 0);
  assert.deepEqual(await client.ends(), [0, invalidState]);
  assert.deepEqual(await client.ends(client.epoch + 1), [fenced, fenced]);
  assert.deepEqual(await client.ends(client.epoch, 99n), [mapping, mapping]);
  await client.send(0, "b");
  assert.equal(await client.end(true), 0, "a late one ends the next transaction");
  cluster.transactions.configure({ markerLagMs: Infinity });
  await client.send(0, "c");
  assert.equal(await client.end(false), 0);
  assert.deepEqual(await client.ends(), [concurrent, concurrent]);
  assert.deepEqual(await client.add([0]), [concurrent]);
});

test("transaction coordinator: epochs end at 32766, and the next producer id begins at 0", async () => {
  const { client, cluster } = await begin(true);
  const first = client.producerId;
  cluster.transactions.setEpoch(ID, 32_765);
  await client.init({ producerId: first, epoch: 32_765 });
  assert.deepEqual([client.producerId, client.epoch], [first, 32_766]);
  await client.send(0, "a");
  assert.equal(await client.end(true), 0);
  assert.deepEqual([client.producerId === first, client.epoch], [false, 0]);
  const second = client.producerId;
  const retry = new Client(client.wire, true);
  Object.assign(retry, { producerId: first, epoch: 32_766 });
  assert.equal(await retry.end(true), 0);
  assert.deepEqual([retry.producerId, retry.epoch], [second, 0]);
  await client.send(0, "b");
  assert.deepEqual(await client.ends(32_766, first), [mapping, mapping]);
  assert.equal(await client.end(true), 0);
  const { batches } = await read(client.wire);
  assert.deepEqual(batches.map(({ header }) => [header.producerId, header.producerEpoch]), [
    [first, 32_766],
    [first, 32_767],
    [second, 0],
    [second, 1],
  ]);

  const old = await begin(false);
  const { producerId } = old.client;
  old.cluster.transactions.setEpoch(ID, 32_766);
  assert.equal(await old.client.init({ producerId, epoch: 32_766 }), 0);
  assert.deepEqual([old.client.producerId === producerId, old.client.epoch], [false, 0]);
  const adopted = old.client.producerId;
  assert.equal(await old.client.init({ producerId, epoch: 32_766 }), 0);
  assert.equal(old.client.producerId, adopted, "a retry is told the same");
});

test("transaction coordinator: what an old and what a new epoch gets from InitProducerId", async () => {
  const { client } = await begin(true);
  const { producerId } = client;
  const init = (epoch: number, version = 4) => client.init({ producerId, epoch, version });
  assert.deepEqual([await init(0), client.epoch], [0, 1]);
  assert.deepEqual([await init(0), client.epoch], [0, 1], "a retry raises nothing");
  assert.deepEqual([await init(5), await init(5, 3)], [fenced, 47]);
  assert.deepEqual([await client.init(), client.epoch], [0, 2]);
  assert.deepEqual([await init(1), await init(1, 3)], [fenced, 47]);
  for (const timeoutMs of [0, -1, 900_001]) assert.equal(await client.init({ timeoutMs }), 50);
  assert.equal(await client.init({ producerId: 99n, epoch: 2 }), fenced);
});

test("transaction coordinator: InitProducerId in mid-transaction fences the one who asks under version 1 only", async () => {
  for (const isVersion2 of [false, true]) {
    const { client } = await begin(isVersion2);
    const { epoch, producerId } = client;
    await client.send(0, "a");
    assert.equal(await client.init({ producerId, epoch }), concurrent);
    assert.equal(await client.init({ producerId, epoch }), isVersion2 ? 0 : fenced);
    if (isVersion2) assert.equal(client.epoch, epoch + 1);
  }
});

test("transaction coordinator: the leader waits for the last transaction before it adds a partition, for a moment", async () => {
  const { client, cluster, runtime, wire } = await begin(true, { transactions: { markerLagMs: 50 } });
  await client.send(0, "a");
  await client.end(true);
  client.sendProduce(1, 0);
  await runtime.advance(30);
  assert.deepEqual(wire.take(), []);
  assert.equal((await wire.answer(Produce, 12))!.responses[0]!.partitionResponses[0]!.errorCode, 0);
  await client.end(true);
  cluster.transactions.configure({ markerLagMs: Infinity });
  assert.equal(await client.send(2, "b"), 0);
  await client.end(true);
  const before = runtime.now();
  assert.equal(await client.produce(0, 0), concurrent);
  assert.equal(runtime.now() - before, 100);
  assert.equal(await client.produce(0, 0, "v", { version: 11 }), 19, "old producers know nothing of 51");
});

test("transaction coordinator: a partition that wasn't added is 48 or 120 by version, and no matter to old brokers", async () => {
  const { client, cluster } = await begin(false);
  for (const [version, code] of [[9, 48], [10, 48], [11, 120]] as const) {
    assert.equal(await client.produce(0, 0, "v", { version }), code);
  }
  assert.equal(cluster.transactions.describe(ID)!.state, "Empty");
  assert.equal(await client.produce(1, 0, "v", { attributes: 0 }), 0, "a record of no transaction");
  await client.send(0, "a");
  assert.equal(await client.produce(0, 1, "v", { attributes: 0 }), 48);
  const old = await begin(false, { release: "2.7" });
  assert.equal(await old.client.produce(0, 0, "v", { version: 8 }), 0);
});

test("transaction coordinator: a later batch doesn't begin a transaction in place of the first one", async () => {
  const { client } = await begin(false);
  assert.deepEqual(await client.add([0]), [0]);
  assert.equal(await client.produce(0, 5), 0, "whoever isn't known may begin anywhere");
  await client.end(true);
  assert.deepEqual(await client.add([0]), [0]);
  assert.equal(await client.produce(0, 0), 45);
  assert.equal(await client.produce(0, 6), 45, "a lower one was tried");
  const second = await begin(true);
  assert.equal(await second.client.produce(0, 5), 45);
  assert.deepEqual(second.cluster.transactions.describe(ID)!.partitions, ["orders-0"], "it is in the transaction");
  assert.equal(await second.client.produce(0, 0), 0);
  assert.equal(await second.client.produce(0, 1), 0);
});

test("transaction coordinator: after an end by version 2 sequences begin at 0 and the last epoch is old", async () => {
  const { client } = await begin(true);
  const { epoch } = client;
  await client.send(0, "a");
  await client.end(true);
  assert.equal(await client.produce(0, 1), 45);
  assert.equal(await client.produce(0, 0, "v", { epoch }), 47);
  assert.equal(await client.produce(0, 0), 0);
});

test("transaction coordinator: what is being decompressed when its transaction ends is refused", async () => {
  const set: { end?: () => void } = {};
  const decompress = () => {
    set.end?.();
    return Promise.resolve(batchOf().subarray(61));
  };
  const gzip = { name: "gzip", id: 1, compress: (bytes: Uint8Array) => bytes, decompress } as const;
  const { client, cluster } = await begin(false, { codecs: { gzip } });
  const { epoch, producerId } = client;
  await client.add([0]);
  set.end = () => void cluster.transactions.end(ID, producerId, epoch, false, false);
  assert.equal(await client.produce(0, 0, "v", { attributes: 0x11 }), 48);
  const { log, lastStableOffset } = cluster.partition("orders", 0).leader;
  assert.equal(lastStableOffset, log.endOffset);
});

test("transaction coordinator: markers wait for a leader, and are written by the next coordinator", async () => {
  const { client, cluster, connect, runtime } = await begin(true, {
    brokers: 3,
    topics: { orders: { partitions: 3, replicationFactor: 1 } },
  });
  const home = cluster.coordinator("transaction", ID)!.id;
  const partition = [0, 1, 2].find((index) => cluster.partition("orders", index).leaderId !== home)!;
  const { leaderId } = cluster.partition("orders", partition);
  const at = async (id: number) => {
    const there = new Client(await connect(id), true);
    Object.assign(there, { producerId: client.producerId, epoch: client.epoch });
    return there;
  };
  assert.equal(await (await at(leaderId)).produce(partition, 0), 0);
  cluster.killBroker(leaderId);
  assert.equal(await (await at(home)).end(true), 0);
  await runtime.advance(1000);
  assert.equal(cluster.transactions.describe(ID)!.state, "PrepareCommit");
  cluster.killBroker(home);
  assert.notEqual(cluster.coordinator("transaction", ID)!.id, home);
  cluster.startBroker(leaderId);
  await runtime.advance(1000);
  assert.equal(cluster.transactions.describe(ID)!.state, "CompleteCommit");
  assert.equal(cluster.endOffset("orders", partition), 2n);
});

test("transaction coordinator: a move is 16 at the old one, 14 at the new one while it loads, and the transaction goes on", async () => {
  const { cluster, connect, runtime } = stage({
    brokers: 2,
    topics: { orders: { partitions: 1, replicationFactor: 1 } },
  });
  const { leaderId } = cluster.partition("orders", 0);
  cluster.moveCoordinator("transaction", ID, leaderId);
  const client = new Client(await connect(leaderId), true);
  await client.init();
  assert.equal(await client.send(0, "a"), 0);
  const elsewhere = 3 - leaderId;
  const there = new Client(await connect(elsewhere), true);
  Object.assign(there, { producerId: client.producerId, epoch: client.epoch });
  assert.equal(await there.end(true), 16);
  cluster.moveCoordinator("transaction", ID, elsewhere, { unavailableMs: 50, loadingMs: 50 });
  assert.deepEqual([await client.end(true), await there.end(true)], [16, 16]);
  await runtime.advance(50);
  assert.deepEqual([await client.end(true), await there.end(true)], [16, 14]);
  assert.equal(await client.produce(0, 1), 0, "a leader that knows it to be open asks nobody");
  await runtime.advance(50);
  assert.equal(await there.end(true), 0);
  assert.deepEqual(await values(client.wire), ["a", "v"]);
});

test("transaction coordinator: features are finalized in mid-life, and a transaction of the other version comes to its end", async () => {
  const { client, cluster, wire } = await begin(true);
  const told = async () => {
    const { finalizedFeatures, finalizedFeaturesEpoch } = (await wire.ask(ApiVersions, 3, {
      clientSoftwareName: "a",
      clientSoftwareVersion: "1",
    }))!;
    return [
      finalizedFeaturesEpoch,
      finalizedFeatures.find(({ name }) => name === "transaction.version")?.maxVersionLevel,
    ];
  };
  assert.deepEqual(await told(), [1n, 2]);
  await client.send(0, "a");
  cluster.finalizeFeature("transaction.version", 0);
  assert.deepEqual(await told(), [2n, undefined]);
  assert.equal(await client.produce(0, 1), 0, "what is known to be open");
  assert.equal(await client.end(true, { version: 4 }), 0);
  cluster.finalizeFeature("transaction.version", 2);
  assert.equal(await client.produce(0, 2), 0, "the epoch has stayed, and sequences go on");
  assert.equal(await client.end(true), 0);
  assert.equal(client.epoch, 1);
});

test("transaction coordinator: one Produce 12 without version 2 costs the transactional id", async () => {
  const { client } = await begin(true, { finalizedFeatures: {} });
  assert.equal(await client.produce(0, 0), 35);
  assert.deepEqual(await client.add([0]), [concurrent]);
  assert.equal(await client.end(false, { version: 4 }), concurrent);
  assert.equal(await client.init(), concurrent);
});

test("transaction coordinator: after a downgrade a new partition is 35, and only the timeout ends the transaction", async () => {
  const { client, cluster, runtime } = await begin(true);
  await client.init({ timeoutMs: 5000 });
  await client.send(0, "a");
  cluster.finalizeFeature("transaction.version", 0);
  assert.equal(await client.produce(1, 0), 35);
  assert.deepEqual([await client.end(true, { version: 4 }), await client.end(true)], [concurrent, concurrent]);
  await runtime.advance(5000);
  assert.equal(cluster.transactions.describe(ID)!.state, "CompleteAbort");
});

test("transaction coordinator: an id that has expired is unknown, and InitProducerId gives it a new producer", async () => {
  const { client, cluster } = await begin(true);
  const { epoch, producerId } = client;
  await client.send(0, "a");
  await client.end(true);
  cluster.transactions.expire(ID);
  assert.deepEqual([await client.add([0]), await client.end(true)], [[mapping], mapping]);
  assert.equal(await client.produce(1, 0), mapping);
  assert.equal(await client.init({ producerId, epoch }), 0);
  assert.deepEqual([client.producerId === producerId, client.epoch], [false, 0]);
});

test("transaction coordinator: offsets of a group are 88 while undecided, and then as the transaction has ended", async () => {
  for (const isVersion2 of [false, true]) {
    const { client, cluster } = await begin(isVersion2);
    if (!isVersion2) {
      assert.equal(await client.commitOffsets("g", 5n, { version: 3 }), 48);
      assert.equal(await client.commitOffsets("g", 5n), 120);
      assert.equal(await client.addOffsets("g"), 0);
    }
    assert.equal(await client.commitOffsets("g", 5n), 0);
    assert.deepEqual(cluster.transactions.describe(ID)!.groups, ["g"]);
    assert.equal(await client.offset("g"), 88);
    await client.end(true);
    assert.equal(await client.offset("g"), 5n);
    if (!isVersion2) await client.addOffsets("g");
    assert.equal(await client.commitOffsets("g", 9n), 0);
    await client.end(false);
    assert.equal(await client.offset("g"), 5n);
    assert.equal(cluster.groups.committed("g", "orders", 0), 5n);
  }
});

test("transaction coordinator: TxnOffsetCommit 6 names topics by id", async () => {
  const { client, cluster } = await begin(true, { release: "4.4" });
  const { id } = cluster.topic("orders")!;
  assert.equal(await client.commitOffsets("g", 5n, { version: 6, topicId: id }), 0);
  assert.equal(await client.commitOffsets("g", 5n, { version: 6, topicId: "12".repeat(16) }), 100);
  await client.end(true);
  assert.equal(await client.offset("g"), 5n);
});

test("transaction log: a marker that was never replicated is cut off, and the transaction is open again", async () => {
  const { cluster, connect, runtime } = stage({ brokers: 2, topics: { orders: 1 } });
  cluster.moveLeader("orders", 0, 1);
  cluster.moveCoordinator("transaction", ID, 1);
  const client = new Client(await connect(1), true);
  await client.init();
  await client.send(0, "a");
  cluster.configure({ replicationLagMs: Infinity });
  assert.equal(await client.end(true), 0);
  const { leader } = cluster.partition("orders", 0);
  assert.deepEqual([leader.log.endOffset, leader.highWatermark, leader.lastStableOffset], [2n, 1n, 0n]);
  assert.equal(cluster.transactions.describe(ID)!.state, "PrepareCommit");
  cluster.killBroker(1);
  cluster.configure({ replicationLagMs: 0 });
  await runtime.advance(1000);
  assert.equal(cluster.partition("orders", 0).leaderId, 2);
  assert.equal(cluster.transactions.describe(ID)!.state, "CompleteCommit");
  cluster.startBroker(1);
  await runtime.settle();
  const replica = cluster.partition("orders", 0).replica(1)!;
  assert.deepEqual([replica.log.endOffset, replica.lastStableOffset], [2n, 2n]);
});

test("transaction log: aborted transactions are told to who reads where they have been", async () => {
  const { client, cluster } = await begin(true);
  const offsets: bigint[] = [];
  for (const isCommit of [false, true, false]) {
    offsets.push(cluster.endOffset("orders", 0));
    await client.send(0, "a");
    await client.end(isCommit);
  }
  const { transactions } = cluster.partition("orders", 0).leader;
  const firsts = (from: bigint, to: bigint) =>
    transactions.abortedBetween(from, to).map(({ firstOffset }) => firstOffset);
  assert.deepEqual(offsets, [0n, 2n, 4n]);
  assert.deepEqual(firsts(0n, 6n), [0n, 4n]);
  assert.deepEqual(firsts(1n, 6n), [0n, 4n]);
  assert.deepEqual(firsts(2n, 6n), [4n]);
  assert.deepEqual(firsts(0n, 4n), [0n]);
  assert.deepEqual(firsts(6n, 9n), []);
  cluster.deleteRecords("orders", 0, 3n);
  assert.deepEqual(firsts(0n, 9n), [4n]);
});

test("transaction coordinator: transactions and producers are listed and described", async () => {
  const { client, wire } = await begin(true);
  await client.send(0, "a");
  const describe = async () =>
    (await wire.ask(DescribeTransactions, 0, { transactionalIds: [ID, "x"] }))!.transactionStates;
  const [open, missing] = await describe();
  assert.deepEqual([open!.transactionState, open!.topics, missing!.errorCode], [
    "Ongoing",
    [{ topic: "orders", partitions: [0] }],
    105,
  ]);
  const list = async (stateFilters: string[]) =>
    (await wire.ask(ListTransactions, 1, { stateFilters, producerIdFilters: [], durationFilter: -1n }))!;
  assert.deepEqual((await list(["Ongoing", "Odd"])).unknownStateFilters, ["Odd"]);
  assert.deepEqual((await list(["Ongoing"])).transactionStates.map(({ transactionalId }) => transactionalId), [ID]);
  assert.deepEqual((await list(["Empty"])).transactionStates, []);
  const topics = [{ name: "orders", partitionIndexes: [0, 9] }];
  const { partitions } = (await wire.ask(DescribeProducers, 0, { topics }))!.topics[0]!;
  assert.deepEqual(partitions.map(({ activeProducers, errorCode }) => [errorCode, activeProducers.length]), [[0, 1], [
    3,
    0,
  ]]);
  const [producer] = partitions[0]!.activeProducers;
  assert.deepEqual([producer!.producerEpoch, producer!.lastSequence, producer!.currentTxnStartOffset], [0, 0, 0n]);
});

test("control: every request of transactions and groups can be answered with an error", async () => {
  const { client, cluster } = await begin(true);
  const requests: [AnyApi, number, unknown][] = [
    [InitProducerId, 4, { transactionalId: ID, transactionTimeoutMs: 1000 }],
    [AddPartitionsToTxn, 3, {
      v3AndBelowTransactionalId: ID,
      v3AndBelowProducerId: 1n,
      v3AndBelowProducerEpoch: 0,
      v3AndBelowTopics: [{ name: "orders", partitions: [0] }],
    }],
    [AddOffsetsToTxn, 3, { transactionalId: ID, producerId: 1n, producerEpoch: 0, groupId: "g" }],
    [TxnOffsetCommit, 5, { transactionalId: ID, producerId: 1n, producerEpoch: 0, groupId: "g", topics: [] }],
    [EndTxn, 5, { transactionalId: ID, producerId: 1n, producerEpoch: 0, committed: true }],
    [JoinGroup, 9, {
      ...{ groupId: "g", sessionTimeoutMs: 9000, rebalanceTimeoutMs: 9000, memberId: "", protocolType: "consumer" },
      protocols: [],
    }],
    [SyncGroup, 5, { groupId: "g", generationId: 1, memberId: "", assignments: [] }],
    [OffsetCommit, 8, { groupId: "g", memberId: "", topics: [] }],
    [OffsetFetch, 8, { groups: [{ groupId: "g", topics: null }] }],
  ];
  for (const [api, version, request] of requests) {
    cluster.control(api, { error: 16 }, { times: 1 });
    const answer = await client.wire.ask(api, version, request as RequestOf<typeof api>);
    assert.ok(answer !== undefined, api.name);
    encodeResponseFrame(api, version, 1, answer as never);
  }
  assert.deepEqual(cluster.failures, []);
});

test("EndTxn 5: a time-out under the last epoch leads to one that no transaction can be ended under, and that asks for another id", async () => {
  for (const isUsed of [false, true]) {
    const { client, cluster, runtime } = await begin(true);
    cluster.transactions.setEpoch(ID, 32_766);
    const pid = client.producerId;
    client.epoch = 32_766;
    await client.send(0, "a");
    await runtime.advance(100_000);
    assert.equal(await client.end(false), 0);
    assert.deepEqual([client.producerId, client.epoch], [pid, 32_767]);
    if (isUsed) {
      await client.send(0, "b");
      assert.deepEqual([await client.end(true), await client.end(false), await client.init()], [-1, -1, -1]);
    } else {
      cluster.transactions.initProducerId(ID, 1_000, { producerId: pid, epoch: 32_767 });
      const { producerEpoch, producerId } = cluster.transactions.describe(ID)!;
      assert.deepEqual([producerId === pid, producerEpoch], [false, 0]);
    }
  }
});
