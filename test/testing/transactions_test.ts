import assert from "node:assert/strict";
import { FindCoordinator, ListOffsets } from "../../src/protocol/messages/mod.ts";
import { test } from "../harness.ts";
import { batchOf } from "./batches.ts";
import { begin, Client, CODES, ID, read, values } from "./transactional_client.ts";

for (const isVersion2 of [false, true]) {
  const name = `transaction version ${isVersion2 ? 2 : 1}`;

  test(`${name}: what is committed is read, what is aborted is not, and what is open holds the rest back`, async () => {
    const { client, cluster, wire } = await begin(isVersion2);
    assert.equal(await client.send(0, "a"), 0);
    assert.equal(await client.send(1, "b"), 0);
    assert.deepEqual(await values(wire), []);
    assert.deepEqual(await values(wire, { isCommittedOnly: false }), ["a"]);
    assert.equal(await client.end(true), 0);
    assert.deepEqual(await values(wire), ["a"]);
    assert.deepEqual(await values(wire, { partition: 1 }), ["b"]);

    assert.equal(await client.send(0, "c"), 0);
    await wire.produce(batchOf({ records: [{ value: "plain" }] }));
    assert.deepEqual(await values(wire), ["a"]);
    assert.equal(await client.end(false), 0);
    assert.deepEqual(await values(wire), ["a", "plain"]);
    assert.equal(cluster.endOffset("orders", 0), 5n);
    assert.deepEqual(cluster.transactions.describe(ID)!.state, "CompleteAbort");
  });

  test(`${name}: a marker is a control batch of one offset whose epoch ${isVersion2 ? "is the next one" : "stays"}`, async () => {
    const { client, wire } = await begin(isVersion2);
    const { epoch, producerId } = client;
    await client.send(0, "a");
    await client.end(true);
    const { batches, lastStableOffset } = await read(wire);
    assert.deepEqual(batches.map(({ header }) => header.isControl), [false, true]);
    const { header, records } = batches[1]!;
    assert.deepEqual([header.baseOffset, header.producerId, header.producerEpoch], [
      1n,
      producerId,
      isVersion2 ? epoch + 1 : epoch,
    ]);
    assert.deepEqual([...records[0]!.key!], [0, 0, 0, 1]);
    assert.deepEqual([...records[0]!.value!], [0, 0, 0, 0, 0, 0]);
    assert.equal(lastStableOffset, 2n);
    assert.equal(client.epoch, isVersion2 ? epoch + 1 : epoch);
  });

  test(`${name}: the latest offset of who reads only what is committed is the first one that is open`, async () => {
    const { client, wire } = await begin(isVersion2);
    await wire.produce(batchOf());
    await client.send(0, "a");
    const latest = async (isolationLevel: number) => {
      const partitions = [{ partitionIndex: 0, timestamp: -1n }];
      const answer = await wire.ask(ListOffsets, 5, {
        ...{ replicaId: -1, isolationLevel },
        topics: [{ name: "orders", partitions }],
      });
      return answer!.topics[0]!.partitions[0]!.offset;
    };
    assert.deepEqual([await latest(0), await latest(1)], [2n, 1n]);
    await client.end(false);
    assert.deepEqual([await latest(0), await latest(1)], [3n, 3n]);
  });

  test(`${name}: a second producer of the id fences the first one and aborts what it has open`, async () => {
    const { client: first, wire } = await begin(isVersion2);
    await first.send(0, "a");
    const second = new Client(wire, isVersion2);
    assert.equal(await second.init(), CODES.concurrent);
    assert.equal(await second.init(), 0);
    assert.equal(second.epoch, first.epoch + 2);
    assert.equal(await first.produce(0, 1), 47);
    assert.deepEqual(await first.add([1]), [CODES.fenced]);
    assert.deepEqual(await first.add([1], 1), [47]);
    assert.equal(await first.end(true), CODES.fenced);
    assert.equal(await first.end(false), CODES.fenced);
    assert.equal(await first.end(true, { version: 1 }), 47);
    assert.equal(await second.send(0, "b"), 0);
    assert.equal(await second.end(true), 0);
    assert.deepEqual(await values(wire), ["b"]);
  });

  // Found by random calls to Kafka 4.1.1 and to this.
  test(`${name}: a batch of an older epoch, refused within a transaction, is no attempt to begin it`, async () => {
    const { client, wire } = await begin(isVersion2);
    const { epoch, producerId } = client;
    assert.equal(await client.init({ producerId, epoch }), 0);
    assert.equal(await client.send(0, "a"), 0);
    assert.equal(await client.produce(0, 0, "of the older one", { epoch }), 47);
    assert.equal(await client.send(0, "b"), 0);
    assert.equal(await client.end(true), 0);
    assert.deepEqual(await values(wire), ["a", "b"]);
  });

  test(`${name}: the coordinator aborts what is open for longer than the producer has said`, async () => {
    const { client, cluster, runtime, wire } = await begin(isVersion2);
    await client.init({ timeoutMs: 5000, producerId: client.producerId, epoch: client.epoch });
    await client.send(0, "a");
    await runtime.advance(4999);
    assert.equal(cluster.transactions.describe(ID)!.state, "Ongoing");
    await runtime.advance(1);
    assert.equal(cluster.transactions.describe(ID)!.state, "CompleteAbort");
    assert.deepEqual(await values(wire), []);
    assert.equal(await client.produce(0, 1), 47);
  });

  test(`${name}: the coordinator is found by both ways of asking`, async () => {
    const { cluster, wire } = await begin(isVersion2);
    const one = await wire.ask(FindCoordinator, 3, { key: ID, keyType: 1 });
    assert.deepEqual([one!.errorCode, one!.nodeId], [0, cluster.coordinator("transaction", ID)!.id]);
    const many = await wire.ask(FindCoordinator, 4, { keyType: 1, coordinatorKeys: [ID, "other"] });
    assert.deepEqual(many!.coordinators.map(({ errorCode, key, nodeId }) => [key, errorCode, nodeId]), [
      [ID, 0, 1],
      ["other", 0, 1],
    ]);
  });
}
