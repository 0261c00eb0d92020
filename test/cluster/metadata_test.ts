import assert from "node:assert/strict";
import { isUsable, MetadataCache, ZERO_TOPIC_ID } from "../../src/cluster/metadata.ts";
import { Metadata, Produce } from "../../src/protocol/messages/mod.ts";
import { test } from "../harness.ts";
import { stage } from "../stage.ts";

const ID = "0000000000000000000000000000000a";
const OTHER_ID = "0000000000000000000000000000000b";

type Partitions = readonly (readonly [index: number, leader: number, epoch: number])[];

function answer(name: string | null, partitions: Partitions, topicId = ID, errorCode = 0): never {
  return {
    name,
    errorCode,
    topicId,
    isInternal: false,
    partitions: partitions.map(([partitionIndex, leaderId, leaderEpoch]) => ({
      ...{ partitionIndex, leaderId, leaderEpoch, errorCode: 0 },
      ...{ replicaNodes: [], isrNodes: [], offlineReplicas: [] },
    })),
  } as never;
}

test("metadata: a lower leader epoch is ignored, a higher or missing one is taken", () => {
  const cache = new MetadataCache();
  const topic = cache.add("t", 0);
  const leader = (): [number, number] => [topic.partitions[0]!.leaderId, topic.partitions[0]!.leaderEpoch];
  assert.equal(cache.merge([answer("t", [[0, 1, 5]])]), true);
  assert.equal(cache.merge([answer("t", [[0, 2, 4]])]), false);
  assert.deepEqual(leader(), [1, 5]);
  assert.equal(cache.merge([answer("t", [[0, 1, 5]])]), false);
  assert.equal(cache.merge([answer("t", [[0, -1, 6]])]), true);
  assert.deepEqual(leader(), [-1, 6]);
  assert.equal(cache.merge([answer("t", [[0, 3, 7]])]), true);
  assert.equal(cache.merge([answer("t", [[0, 4, -1]])]), true);
  assert.deepEqual(leader(), [4, -1]);
});

test("metadata: a topic that was created again starts its epochs anew, with its own partitions", () => {
  const cache = new MetadataCache();
  const topic = cache.add("t", 0);
  cache.merge([answer("t", [[0, 1, 50], [1, 1, 50]])]);
  assert.equal(cache.merge([answer("t", [[0, 2, 0]], OTHER_ID)]), true);
  const leaders = (): number[][] => topic.partitions.map(({ leaderId, leaderEpoch }) => [leaderId, leaderEpoch]);
  assert.deepEqual([topic.topicId, leaders()], [OTHER_ID, [[2, 0]]]);
  // A broker that tells no ids doesn't make it another topic.
  cache.merge([answer("t", [[0, 3, 9]], OTHER_ID)]);
  cache.merge([answer("t", [[0, 4, 8]], ZERO_TOPIC_ID)]);
  assert.deepEqual(leaders(), [[3, 9]]);
});

test("metadata: a partition's generation stays while answers say the same, and is a new number after any change (H1)", () => {
  const cache = new MetadataCache();
  const topic = cache.add("t", 0);
  const seen = new Set<number>();
  const generation = (): number => topic.partitions[0]!.generation;
  const merge = (partitions: Partitions, topicId = ID): void => void cache.merge([answer("t", partitions, topicId)]);
  merge([[0, 1, 5]]);
  const first = generation();
  seen.add(first);
  // The same again, an answer that lags behind, an error, and news of another partition change nothing.
  merge([[0, 1, 5]]);
  merge([[0, 2, 4]]);
  cache.merge([answer("t", [], ID, 3)]);
  merge([[0, 1, 5], [1, 2, 0]]);
  assert.equal(generation(), first);
  const changes: (() => void)[] = [
    () => merge([[0, 2, 6]]),
    () => merge([[0, 2, 7]]),
    // The topic was created anew: the same broker leads it in an epoch that was there before.
    () => merge([[0, 2, 7]], OTHER_ID),
    () => cache.forgetLeaders(),
    () => merge([[0, 2, 7]], OTHER_ID),
  ];
  for (const change of changes) {
    change();
    assert.equal(seen.has(generation()), false);
    seen.add(generation());
  }
});

test("metadata: partitions come in any order, and an answer with fewer of them lags behind", () => {
  const cache = new MetadataCache();
  const topic = cache.add("t", 0);
  cache.merge([answer("t", [[2, 1, 0], [0, 2, 0], [1, 3, 0]])]);
  assert.deepEqual(topic.partitions.map(({ leaderId }) => leaderId), [2, 3, 1]);
  cache.merge([answer("t", [[0, 4, 1]])]);
  assert.deepEqual(topic.partitions.map(({ leaderId }) => leaderId), [4, 3, 1]);
});

test("metadata: an older epoch that three answers in a row tell is believed, unless the leader has taken a batch", () => {
  const cache = new MetadataCache();
  const topic = cache.add("t", 0);
  const leader = (): number[] => [topic.partitions[0]!.leaderId, topic.partitions[0]!.leaderEpoch];
  const wrong = answer("t", [[0, -1, 2_147_483_647]]);
  const right = answer("t", [[0, 1, 5]]);
  cache.merge([wrong]);
  assert.deepEqual([right, right].map((told) => cache.merge([told])), [false, false]);
  // One that agrees in between, or a batch that was taken, and it all begins anew.
  cache.merge([wrong]);
  assert.deepEqual([right, right].map((told) => cache.merge([told])), [false, false]);
  cache.confirm(topic.partitions[0]!);
  assert.deepEqual([right, right].map((told) => cache.merge([told])), [false, false]);
  assert.deepEqual(leader(), [-1, 2_147_483_647]);
  assert.equal(cache.merge([right]), true);
  assert.deepEqual(leader(), [1, 5]);
});

test("metadata: a partition that three answers in a row don't know is forgotten, unless a batch was taken there", () => {
  const cache = new MetadataCache();
  const topic = cache.add("t", 0);
  const counts = (): number[] =>
    [1, 2, 3].map(() => {
      cache.merge([answer("t", [[0, 1, 5]])]);
      return topic.partitions.length;
    });
  cache.merge([answer("t", [[0, 1, 5], [1, 1, 5], [2, 1, 5]])]);
  cache.confirm(topic.partitions[1]!);
  assert.deepEqual(counts(), [3, 3, 1]);
  cache.merge([answer("t", [[0, 1, 5], [1, 1, 5]])]);
  cache.merge([answer("t", [[0, 1, 5]])]);
  cache.confirm(topic.partitions[1]!);
  assert.deepEqual(counts(), [2, 2, 1]);
});

test("metadata: an error keeps what is known, and topics nobody asked for are left alone", () => {
  const cache = new MetadataCache();
  const topic = cache.add("t", 0);
  cache.merge([answer("t", [[0, 1, 5]])]);
  assert.ok(isUsable(topic));
  assert.equal(cache.merge([answer("t", [], ZERO_TOPIC_ID, 3)]), true);
  assert.deepEqual([topic.errorCode, topic.topicId, topic.partitions.length, isUsable(topic)], [3, ID, 1, false]);
  cache.merge([answer("t", [[0, 2, 4]])]);
  assert.deepEqual([topic.errorCode, topic.partitions[0]!.leaderId], [0, 1]);
  assert.equal(cache.merge([answer("stranger", [[0, 1, 1]]), answer(null, [[0, 1, 1]])]), false);
  assert.deepEqual(cache.names(), ["t"]);
  assert.equal(isUsable(cache.add("empty", 0)), false);
});

test("metadata: a hundred sends to an unknown topic ask once", async () => {
  const { cluster, producer, run } = stage();
  const p = producer();
  await run(p.connect());
  cluster.clearRequests();
  const sent = await run(Promise.all(Array.from({ length: 100 }, () => p.send({ topic: "orders", value: "v" }))));
  assert.equal(sent.length, 100);
  assert.equal(cluster.requestsOf(Metadata).length, 1);
  await run(p.close());
});

test("metadata: what one turn asks for is asked in one request, also after its first awaits", async () => {
  const { cluster, producer, run, runtime } = stage({ topics: { a: 1, b: 1, c: 1 } });
  const p = producer();
  await run(p.connect());
  await runtime.advance(1_000);
  cluster.clearRequests();
  const sends: Promise<unknown>[] = [];
  for (const topic of ["a", "b", "c"]) {
    sends.push(p.send({ topic, value: "v" }));
    for (let i = 0; i < 5; i++) await Promise.resolve();
  }
  await run(Promise.all(sends));
  assert.equal(cluster.requestsOf(Metadata).length, 1);
  await run(p.close());
});

test("metadata: whatever is asked while a request is out is asked once, after it", async () => {
  const { cluster, producer, run, runtime } = stage({ topics: { a: 1, b: 1, c: 1 } });
  cluster.network.configure({ latencyMs: 20 });
  const p = producer();
  await run(p.connect());
  await runtime.advance(1_000);
  cluster.clearRequests();
  const sends: Promise<unknown>[] = [];
  for (const topic of ["a", "b", "c"]) {
    for (let i = 0; i < 20; i++) sends.push(p.send({ topic, value: "v" }), p.partitionsFor(topic));
    await runtime.advance(5);
  }
  for (let i = 0; i < 20; i++) sends.push(p.refreshMetadata());
  await run(Promise.all(sends));
  const asked = cluster.requestsOf(Metadata);
  assert.deepEqual(asked.map(({ body }) => body.topics!.map(({ name }) => name)), [["a"], ["a", "b", "c"]]);
  for (const [i, request] of asked.entries()) {
    if (i > 0) assert.ok(request.atMs >= asked[i - 1]!.atMs + 40, "never two at once");
  }
  await run(p.close());
});

test("metadata: an unknown topic is waited for, never guessed, and found when it appears", async () => {
  const { cluster, producer, run, runtime } = stage();
  const p = producer();
  const keyed = p.send({ topic: "later", key: "user-123", value: "v" });
  await runtime.advance(3_000);
  assert.equal(cluster.requestsOf(Produce).length, 0);
  const asked = cluster.requestsOf(Metadata).length;
  assert.ok(asked >= 3 && asked <= 12, `${asked} requests in 3 s`);
  cluster.createTopic("later", { partitions: 3 });
  assert.equal((await run(keyed)).partition, 2);
  assert.ok(runtime.now() < 4_500);
  await run(p.close());
});

test("metadata: an unknown topic fails after maxBlockMs with the broker's own code", async () => {
  const { producer, failure, runtime, run } = stage();
  const p = producer({ maxBlockMs: 2_000 });
  const error = await failure(p.send({ topic: "missing", value: "v" }));
  assert.equal(runtime.now(), 2_000);
  assert.deepEqual([error.code, error.errorCode, error.topic], ["UNKNOWN_TOPIC_OR_PARTITION", 3, "missing"]);
  assert.match(error.message, /maxBlockMs/);
  await run(p.close());
});

test("metadata: a topic that is forbidden or has an illegal name fails at once with the broker's code", async () => {
  const { cluster, producer, failure, runtime, run } = stage();
  const p = producer();
  const illegal = await failure(p.send({ topic: "no spaces please", value: "v" }));
  assert.deepEqual([illegal.code, illegal.errorCode], ["INVALID_TOPIC_EXCEPTION", 17]);
  cluster.control(Metadata, { error: 29, apply: true });
  const forbidden = await failure(p.send({ topic: "secret", value: "v" }));
  assert.deepEqual([forbidden.name, forbidden.code], ["AuthorizationError", "TOPIC_AUTHORIZATION_FAILED"]);
  assert.ok(runtime.now() < 1_000);
  await run(p.close());
});

test("metadata: a topic with no partitions is waited for until it has some, and all of them count", async () => {
  const { cluster, producer, run, runtime } = stage();
  let empty = 3;
  cluster.control(Metadata, ({ topics }) => {
    if (topics!.length === 0 || empty-- <= 0) return undefined;
    const { host, port } = cluster.broker(1).endpoint("memory");
    return {
      respond: {
        brokers: [{ nodeId: 1, host, port, rack: null }],
        topics: [{ errorCode: 0, name: "orders", topicId: cluster.topic("orders")!.id, partitions: [] }],
      },
    };
  });
  const p = producer();
  const sends = Array.from({ length: 30 }, (_, i) => p.send({ topic: "orders", key: `k${i}`, value: "v" }));
  await runtime.advance(50);
  assert.equal(cluster.requestsOf(Produce).length, 0);
  const partitions = (await run(Promise.all(sends))).map(({ partition }) => partition);
  assert.equal(new Set(partitions).size, 3);
  await run(p.close());
});

test("metadata: an answer that names no brokers is ignored, and another broker is asked", async () => {
  const { cluster, producer, run, runtime } = stage({ brokers: 3 });
  const p = producer();
  await run(p.send({ topic: "orders", partition: 0, value: "v" }));
  cluster.control(Metadata, { respond: { brokers: [], topics: [] } }, { brokerId: 1 });
  cluster.control(Metadata, { respond: { brokers: [], topics: [] } }, { brokerId: 2 });
  cluster.addPartitions("orders", 4);
  await runtime.advance(1_000);
  await run(p.refreshMetadata());
  assert.equal((await run(p.partitionsFor("orders"))).length, 4);
  await run(p.close());
});

test("metadata: is refreshed at its age without any other reason", async () => {
  const { cluster, producer, run, runtime } = stage();
  const p = producer({ metadataMaxAgeMs: 10_000 });
  await run(p.send({ topic: "orders", value: "v" }));
  await runtime.advance(500);
  cluster.clearRequests();
  cluster.addPartitions("orders", 9);
  await runtime.advance(30_500);
  const asked = cluster.requestsOf(Metadata);
  assert.ok(asked.length === 3 || asked.length === 4, `${asked.length} in 30 s`);
  cluster.clearRequests();
  assert.equal((await run(p.partitionsFor("orders"))).length, 9);
  assert.equal(cluster.requestsOf(Metadata).length, 0);
  await run(p.close());
});

test("metadata: a topic that nobody uses is forgotten, one in use never is", async () => {
  const { cluster, producer, run, runtime } = stage({ topics: { busy: 1, rare: 1, idle: 1 } });
  const p = producer({ metadataMaxAgeMs: 10_000, metadataMaxIdleMs: 30_000 });
  await run(p.send({ topic: "idle", value: "v" }));
  const lastAsked = (): string[] => cluster.requestsOf(Metadata).at(-1)!.body.topics!.map(({ name }) => name!).sort();
  for (let elapsedMs = 0; elapsedMs < 200_000; elapsedMs += 5_000) {
    await runtime.advance(5_000);
    cluster.clearRequests();
    await run(p.send({ topic: "busy", value: "v" }));
    if (elapsedMs % 25_000 === 0) await run(p.send({ topic: "rare", value: "v" }));
    if (elapsedMs > 0) assert.equal(cluster.requestsOf(Metadata).length, 0, `at ${elapsedMs} ms nothing was forgotten`);
  }
  await run(p.refreshMetadata());
  assert.deepEqual(lastAsked(), ["busy", "rare"]);
  await run(p.send({ topic: "idle", value: "v" }));
  assert.deepEqual(lastAsked(), ["busy", "idle", "rare"]);
  await run(p.close());
});

test("metadata: with metadataMaxIdleMs Infinity nothing is forgotten", async () => {
  const { cluster, producer, run, runtime } = stage();
  const p = producer({ metadataMaxAgeMs: 10_000, metadataMaxIdleMs: Infinity });
  await run(p.send({ topic: "orders", value: "v" }));
  await runtime.advance(1_000_000);
  cluster.clearRequests();
  await run(p.send({ topic: "orders", value: "v" }));
  assert.equal(cluster.requestsOf(Metadata).length, 0);
  await run(p.close());
});

test("metadata: a topic whose records still wait is not forgotten, however long they wait", async () => {
  const { cluster, producer, run, runtime } = stage({ brokers: 2, topics: { orders: { replicationFactor: 1 } } });
  const leader = cluster.partition("orders", 0).leaderId;
  const p = producer({ metadataMaxAgeMs: 1_000, metadataMaxIdleMs: 2_000 });
  await run(p.send({ topic: "orders", partition: 0, value: "v" }));
  cluster.stopBroker(leader);
  const waiting = p.send({ topic: "orders", partition: 0, value: "w" });
  await runtime.advance(60_000);
  cluster.startBroker(leader);
  assert.equal((await run(waiting)).offset, 1n);
  await run(p.close());
});

test("metadata: the broker creates a missing topic only when that is allowed", async () => {
  const { cluster, producer, run, failure } = stage({ defaultPartitions: 4 });
  const strict = producer({ maxBlockMs: 1_000 });
  assert.equal((await failure(strict.send({ topic: "made", value: "v" }))).code, "UNKNOWN_TOPIC_OR_PARTITION");
  assert.ok(cluster.requestsOf(Metadata).every(({ body }) => !body.allowAutoTopicCreation));
  assert.equal(cluster.topic("made"), undefined);
  await run(strict.close());
  const lenient = producer({ allowAutoTopicCreation: true });
  assert.equal((await run(lenient.send({ topic: "made", value: "v" }))).offset, 0n);
  assert.equal(cluster.topic("made")!.partitions.length, 4);
  await run(lenient.close());
});

test("metadata: produce names topics by id where every id is known, and by name otherwise", async () => {
  const versions = async (apiVersions: Record<string, [number, number]>): Promise<number[]> => {
    const { cluster, producer, run } = stage({ apiVersions });
    const p = producer();
    await run(p.send({ topic: "orders", value: "v" }));
    await run(p.close());
    assert.equal((await cluster.records("orders")).length, 1);
    return [cluster.requestsOf(Metadata)[0]!.version, cluster.requestsOf(Produce)[0]!.version];
  };
  // The first one is guessed.
  assert.deepEqual(await versions({}), [10, 13]);
  assert.deepEqual(await versions({ Metadata: [11, 13] }), [13, 13]);
  assert.deepEqual(await versions({ Metadata: [0, 9] }), [9, 12]);
  assert.deepEqual(await versions({ Metadata: [0, 4] }), [4, 12]);
  assert.deepEqual(await versions({ Produce: [0, 11] }), [10, 11]);
  assert.deepEqual(await versions({ Produce: [0, 3], Metadata: [0, 4] }), [4, 3]);
});

test("metadata: leader epochs below version 9 are not relied upon", async () => {
  const { cluster, producer, run } = stage({ brokers: 3, topics: { orders: 1 }, apiVersions: { Metadata: [0, 8] } });
  const p = producer();
  await run(p.send({ topic: "orders", value: "v" }));
  assert.equal((await run(p.partitionsFor("orders")))[0]!.leaderEpoch, -1);
  cluster.moveLeader("orders", 0, 3);
  assert.equal((await run(p.send({ topic: "orders", value: "v" }))).offset, 1n);
  assert.equal((await run(p.partitionsFor("orders")))[0]!.leader, 3);
  await run(p.close());
});

test("metadata: after a leader has moved there is a refresh before the retry, which goes to the new leader", async () => {
  for (const hints of [true, false]) {
    const apiVersions: Record<string, [number, number]> = hints ? {} : { Produce: [0, 9] };
    const { cluster, producer, run } = stage({ brokers: 3, topics: { orders: 1 }, apiVersions });
    const p = producer();
    await run(p.send({ topic: "orders", value: "v" }));
    cluster.clearRequests();
    cluster.moveLeader("orders", 0, 3);
    assert.equal((await run(p.send({ topic: "orders", value: "v" }))).offset, 1n);
    const story = cluster.requests.filter(({ api }) => api.name !== "ApiVersions")
      .map(({ api, brokerId }) => api.name === "Produce" ? `Produce ${brokerId}` : api.name);
    if (hints) {
      assert.deepEqual(story.filter((what) => what.startsWith("Produce")), ["Produce 1", "Produce 3"]);
      assert.ok(story.includes("Metadata"));
    } else {
      assert.deepEqual(story, ["Produce 1", "Metadata", "Produce 3"]);
    }
    await run(p.close());
  }
});

test("metadata: a broker that moved to another port is found there, without the old one's backoff", async () => {
  const { cluster, producer, run, runtime } = stage({ brokers: 2, topics: { orders: 2 } });
  const p = producer({ reconnectBackoffMs: 20_000, reconnectBackoffMaxMs: 20_000 });
  await run(p.sendBatch([0, 1].map((partition) => ({ topic: "orders", partition, value: "v" }))).all());
  const moved = cluster.partition("orders", 1).leaderId;
  cluster.stopBroker(moved);
  cluster.broker(moved).setEndpoint("memory", { host: "elsewhere.test", port: 7 });
  cluster.startBroker(moved);
  cluster.moveLeader("orders", 1, moved);
  const startMs = runtime.now();
  await run(p.refreshMetadata());
  assert.equal((await run(p.send({ topic: "orders", partition: 1, value: "v" }))).offset, 1n);
  assert.ok(runtime.now() - startMs < 3_000);
  assert.equal(cluster.broker(moved).openConnections, 1);
  await run(p.close());
});

test("metadata: a topic that was deleted and created again takes records under its new id", async () => {
  const { cluster, producer, run } = stage();
  const p = producer();
  await run(p.send({ topic: "orders", partition: 2, value: "old" }));
  cluster.deleteTopic("orders");
  cluster.createTopic("orders", { partitions: 3 });
  const { offset } = await run(p.send({ topic: "orders", partition: 2, value: "new" }));
  assert.equal(offset, 0n);
  assert.equal((await cluster.records("orders", 2)).length, 1);
  await run(p.close());
});

test("metadata: an attempt at a dead address is given up when the broker turns up elsewhere", async () => {
  const { cluster, producer, run, runtime } = stage({ brokers: 2, topics: { orders: 2 } });
  const p = producer();
  await run(p.sendBatch([0, 1].map((partition) => ({ topic: "orders", partition, value: "v" }))).all());
  const moved = cluster.partition("orders", 1).leaderId;
  const { host, port } = cluster.broker(moved).endpoint("memory");
  cluster.network.blackHole(`${host}:${port}`);
  cluster.network.reset(`${host}:${port}`);
  const waiting = p.send({ topic: "orders", partition: 1, value: "v" });
  await runtime.advance(2_000);
  cluster.stopBroker(moved);
  cluster.broker(moved).setEndpoint("memory", { host: "elsewhere.test", port: 7 });
  cluster.startBroker(moved);
  cluster.moveLeader("orders", 1, moved);
  const startMs = runtime.now();
  await run(p.refreshMetadata());
  assert.equal((await run(waiting)).offset, 1n);
  assert.ok(runtime.now() - startMs < 1_500, `${runtime.now() - startMs} ms`);
  await run(p.close());
});

test("metadata: a topic that partitionsFor has looked for in vain is asked about no longer", async () => {
  const { cluster, producer, failure, run, runtime } = stage();
  const p = producer({ maxBlockMs: 5_000 });
  assert.equal((await failure(p.partitionsFor("nowhere"))).name, "TimeoutError");
  await runtime.advance(1_000);
  cluster.clearRequests();
  await runtime.advance(60_000);
  assert.equal(cluster.requestsOf(Metadata).length, 0);
  await run(p.close());
});
