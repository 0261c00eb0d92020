import assert from "node:assert/strict";
import {
  ApiVersions,
  CreateTopics,
  Fetch,
  FindCoordinator,
  InitProducerId,
  ListOffsets,
  Metadata,
  Produce,
  SaslAuthenticate,
  SaslHandshake,
} from "../../src/protocol/messages/mod.ts";
import * as messages from "../../src/protocol/messages/mod.ts";
import { type AnyApi, decodeResponseFrame, encodeRequestFrame } from "../../src/protocol/api.ts";
import type { ResponseInputOf } from "../../src/protocol/api.ts";
import type { RequestContext } from "../../src/testing/mod.ts";
import * as testing from "../../src/testing/mod.ts";
import { releasedRange } from "../../src/testing/broker/release.ts";
import { test } from "../harness.ts";
import { batchOf, concat } from "./batches.ts";
import { produceBody, producedBody, stage } from "./wire.ts";

test("control: an error is answered for every partition and nothing is appended", async () => {
  const { cluster, connect } = stage();
  cluster.control(Produce, { error: 6 }, { times: 1 });
  const wire = await connect();
  const refused = await wire.produce(batchOf());
  assert.deepEqual([refused?.errorCode, refused?.baseOffset], [6, -1n]);
  assert.equal((await wire.produce(batchOf()))?.errorCode, 0);
  assert.equal(cluster.endOffset("orders", 0), 1n);
});

test("control: an error behind the append carries the offset", async () => {
  const { cluster, connect } = stage();
  const wire = await connect();
  await wire.produce(batchOf());
  cluster.control(Produce, { error: 7, apply: true }, { times: 1 });
  const late = await wire.produce(batchOf());
  assert.deepEqual([late?.errorCode, late?.baseOffset], [7, 1n]);
  assert.equal(cluster.endOffset("orders", 0), 2n);
});

test("control: an answer of one's own", async () => {
  const { cluster, connect } = stage();
  cluster.control(Produce, { respond: producedBody(77n) });
  const wire = await connect();
  assert.equal((await wire.produce(batchOf()))?.baseOffset, 77n);
  assert.equal(cluster.endOffset("orders", 0), 0n);
});

for (const [drop, copies] of [["before", 0n], ["after", 1n]] as const) {
  test(`control: dropped ${drop} serving leaves ${copies} copies and no connection`, async () => {
    const { cluster, connect } = stage();
    cluster.control(Produce, { drop });
    const wire = await connect();
    assert.equal(await wire.produce(batchOf()), undefined);
    assert.equal(wire.closed, true);
    assert.equal(cluster.endOffset("orders", 0), copies);
  });
}

for (const apply of [false, true]) {
  test(`control: silence ${apply ? "after" : "instead of"} serving blocks the connection and no other`, async () => {
    const { cluster, connect, runtime } = stage();
    cluster.control(Produce, { silence: true, apply }, { times: 1 });
    const wire = await connect();
    wire.send(Produce, 11, produceBody([["orders", 0, batchOf()]]));
    wire.send(Metadata, 9, { topics: [] });
    await runtime.advance(600_000);
    assert.deepEqual([wire.take().length, wire.closed], [0, false]);
    assert.equal(cluster.endOffset("orders", 0), apply ? 1n : 0n);
    assert.equal((await (await connect()).produce(batchOf()))?.errorCode, 0);
  });
}

test("control: a delay comes before serving, an answer's delay after it", async () => {
  const { cluster, connect, runtime } = stage();
  const wire = await connect();
  cluster.control(Produce, { delayMs: 100, answerDelayMs: 50 }, { times: 1 });
  wire.send(Produce, 11, produceBody([["orders", 0, batchOf()]]));
  await runtime.advance(99);
  assert.equal(cluster.endOffset("orders", 0), 0n);
  await runtime.advance(1);
  assert.equal(cluster.endOffset("orders", 0), 1n);
  await runtime.advance(49);
  assert.equal(wire.take().length, 0);
  await runtime.advance(1);
  assert.equal(wire.take().length, 1);
});

test("control: a request is served though its connection has gone meanwhile", async () => {
  const { cluster, connect, runtime } = stage();
  const wire = await connect();
  cluster.control(Produce, { delayMs: 100 });
  wire.send(Produce, 11, produceBody([["orders", 0, batchOf()]]));
  await runtime.advance(10);
  wire.socket.destroy();
  await runtime.advance(100);
  assert.equal(cluster.endOffset("orders", 0), 1n);
});

test("control: a stopped broker serves nothing that was delayed", async () => {
  const { cluster, connect, runtime } = stage();
  const wire = await connect();
  cluster.control(Produce, { delayMs: 100 });
  wire.send(Produce, 11, produceBody([["orders", 0, batchOf()]]));
  await runtime.advance(10);
  cluster.stopBroker(1);
  cluster.startBroker(1);
  await runtime.advance(100);
  assert.equal(cluster.endOffset("orders", 0), 0n);
});

test("control: raw bytes in place of the answer", async () => {
  const { cluster, connect, runtime } = stage();
  const wire = await connect();
  cluster.control(ApiVersions, { bytes: Uint8Array.of(0, 0, 0, 1, 9) });
  wire.send(ApiVersions, 0, {});
  await runtime.settle();
  assert.deepEqual(wire.take(), [Uint8Array.of(0, 0, 0, 1, 9)]);
});

test("control: acks 0 stays unanswered, an error ends the connection", async () => {
  const { cluster, connect, runtime } = stage();
  cluster.control(Produce, { error: 6 });
  const wire = await connect();
  wire.send(Produce, 11, produceBody([["orders", 0, batchOf()]], 0));
  await runtime.settle();
  assert.deepEqual([wire.take().length, wire.closed], [0, true]);
});

test("control: a function sees the request and its circumstances, and may let it pass", async () => {
  const { cluster, connect, runtime } = stage({ brokers: 2 });
  const seen: RequestContext[] = [];
  const stop = cluster.control(Metadata, (request, context) => {
    seen.push(context);
    return request.topics?.length === 0 ? { close: true } : undefined;
  }, { brokerId: 2 });
  await runtime.advance(5);
  const wire = await connect(2);
  assert.equal((await wire.ask(Metadata, 9, { topics: [{ name: "orders" }] }))!.topics.length, 1);
  assert.equal((await (await connect(1)).ask(Metadata, 9, { topics: [] }))!.topics.length, 0);
  assert.equal(await wire.ask(Metadata, 9, { topics: [] }), undefined);
  assert.deepEqual(seen.map(({ brokerId, version, clientId, atMs }) => [brokerId, version, clientId, atMs]), [
    [2, 9, "test", 5],
    [2, 9, "test", 5],
  ]);
  stop();
  assert.equal((await (await connect(2)).ask(Metadata, 9, { topics: [] }))!.topics.length, 0);
});

test("control: a function that throws ends the connection and is reported", async () => {
  const { cluster, connect } = stage();
  const error = new TypeError("in the test's own function");
  cluster.control(Metadata, () => {
    throw error;
  });
  const wire = await connect();
  assert.equal(await wire.ask(Metadata, 9, { topics: [] }), undefined);
  assert.deepEqual(cluster.failures, [error]);
});

test("control: what can't be meant is refused, and an async function is reported", async () => {
  const { cluster, connect } = stage();
  for (const times of [0, -1, NaN]) {
    assert.throws(() => cluster.control(Metadata, { silence: true }, { times }), {
      name: "ConfigError",
      option: "times",
    });
  }
  cluster.control(Metadata, (() => Promise.resolve({ error: 6 })) as never);
  const wire = await connect();
  assert.equal(await wire.ask(Metadata, 9, { topics: [] }), undefined);
  assert.match(String(cluster.failures[0]), /Answer at once/);
});

test("control: a slip in an action is refused, for it would be a fault that never happens", async () => {
  const { cluster, connect } = stage({ brokers: 3 });
  const refused = [
    [{ eror: 6 }, /^Remove the option "eror": an action has no such option\. Wanted delayMs, /],
    [{ times: 1 }, /^Remove the option "times": an action has no such option/],
    [{ drop: "response" }, /^Set "drop" to "before" or "after": "response" is not/],
    [{ error: "NOT_LEADER" }, /^Set "error" to the number of an error: "NOT_LEADER" is not/],
  ] as const;
  for (const [action, message] of refused) {
    assert.throws(() => cluster.control(Produce, action as never), { name: "ConfigError", message });
  }
  cluster.control(Produce, () => ({ eror: 6 }) as never, { times: 1 });
  const wire = await connect();
  assert.equal(await wire.produce(batchOf()), undefined);
  assert.match(String(cluster.failures[0]), /"eror"/);
  assert.throws(
    () => cluster.setIsr("orders", 0, [1, 7]),
    /"brokerIds\[1\]" to one of the replicas, 1, 2, 3: 7 is not/,
  );
  assert.throws(() => cluster.setIsr("orders", 0, []), /It is empty/);
});

test("control: every API that a client may ask for is at hand", () => {
  // What a coordinator writes into logs goes from broker to broker.
  const { WriteTxnMarkers: _, ...ofClients } = messages;
  for (const [name, api] of Object.entries(ofClients)) {
    assert.equal((testing as unknown as Record<string, unknown>)[name], api, name);
  }
});

test("control: an error can be answered by every API in every version", async () => {
  const { cluster, connect } = stage();
  const bodies: readonly (readonly [AnyApi, (version: number) => unknown])[] = [
    [ApiVersions, () => ({ clientSoftwareName: "test", clientSoftwareVersion: "1" })],
    [Metadata, () => ({ topics: [{ name: "orders" }] })],
    [Produce, (version) => produceBody([[version >= 13 ? cluster.topic("orders")!.id : "orders", 0, batchOf()]])],
    [InitProducerId, () => ({ transactionalId: null, transactionTimeoutMs: 1 })],
    [CreateTopics, () => ({ topics: [{ name: "a", numPartitions: 1, replicationFactor: 1 }] })],
    [
      ListOffsets,
      () => ({ replicaId: -1, topics: [{ name: "orders", partitions: [{ partitionIndex: 0, timestamp: -1n }] }] }),
    ],
    [Fetch, (version) => fetchBody(version >= 13 ? cluster.topic("orders")!.id : "orders")],
    [FindCoordinator, (version) => version < 4 ? { key: "g" } : { coordinatorKeys: ["g"] }],
  ];
  for (const [api, body] of bodies) {
    cluster.control(api, { error: 41 });
    // What the broker doesn't serve is never asked for its control.
    const last = Math.min(api.maxVersion, releasedRange(cluster.release, api)![1]);
    for (let version = api.minVersion; version <= last; version++) {
      const wire = await connect();
      const asked = body(version) as Record<string, unknown>;
      if (api === ApiVersions && version < 3) {
        delete asked["clientSoftwareName"];
        delete asked["clientSoftwareVersion"];
      }
      const answer = await wire.ask(api, version, asked as never);
      assert.match(
        JSON.stringify(answer, (_, value) => typeof value === "bigint" ? `${value}` : value),
        /"errorCode":41/,
      );
    }
  }
  assert.deepEqual(cluster.failures, []);
});

test("control: another correlation id, and nothing else is wrong", async () => {
  const { cluster, connect, runtime } = stage();
  const wire = await connect();
  cluster.control(Produce, (_, { correlationId }) => ({ correlationId: correlationId + 7 }), { times: 1 });
  const sent = wire.send(Produce, 11, produceBody([["orders", 0, batchOf()]]));
  await runtime.settle();
  const [frame] = wire.take();
  assert.equal(new DataView(frame!.buffer, frame!.byteOffset).getInt32(4), sent + 7);
  assert.equal(decodeResponseFrame(Produce, 11, frame!.subarray(4)).body.responses.length, 1);
  assert.equal(cluster.endOffset("orders", 0), 1n);
});

test("control: a served answer can be changed: partitions left out, invented and repeated", async () => {
  const { cluster, connect } = stage();
  const wire = await connect();
  const indexes = async (change: (parts: readonly Part[]) => readonly Part[]): Promise<number[]> => {
    const transform = (body: Body): Body => ({
      ...body,
      responses: body.responses.map((topic) => ({ ...topic, partitionResponses: change(topic.partitionResponses) })),
    });
    cluster.control(Produce, { transform }, { times: 1 });
    const answer = await wire.ask(Produce, 11, produceBody([["orders", 0, batchOf()], ["orders", 1, batchOf()]]));
    return answer!.responses[0]!.partitionResponses.map(({ index }) => index);
  };
  assert.deepEqual(await indexes((parts) => parts.slice(1)), [0]);
  assert.deepEqual(await indexes((parts) => [...parts, { index: 77, errorCode: 0, baseOffset: 5n }]), [1, 0, 77]);
  assert.deepEqual(await indexes((parts) => [...parts, ...parts]), [1, 0, 1, 0]);
  assert.equal(cluster.endOffset("orders", 0), 3n);
});

test("control: an answer's bytes can be changed, cut off and sent in pieces", async () => {
  const { cluster, connect, runtime } = stage();
  const wire = await connect();
  const whole = concat((await ask()).chunks);
  assert.equal(whole.length, 56);
  cluster.control(Metadata, { rewrite: (frame) => frame.map((byte, at) => at === 9 ? byte ^ 1 : byte) }, { times: 1 });
  const flipped = whole.slice();
  flipped[9]! ^= 1;
  assert.deepEqual(concat((await ask()).chunks), flipped);
  cluster.control(Metadata, { splitBytes: 25 }, { times: 1 });
  const pieces = await ask();
  assert.deepEqual([pieces.chunks.map((chunk) => chunk.length), concat(pieces.chunks)], [[25, 25, 6], whole]);
  cluster.control(Metadata, { splitBytes: 0 }, { times: 1 });
  assert.deepEqual(concat((await ask()).chunks), whole);
  cluster.control(Metadata, { splitBytes: 40, splitDelayMs: 100 }, { times: 1 });
  assert.deepEqual((await ask()).chunks.map((chunk) => chunk.length), [40]);
  await runtime.advance(100);
  assert.equal(wire.closed, false);
  cluster.control(Metadata, { closeAfter: true }, { times: 1 });
  const last = await ask();
  assert.deepEqual([concat(last.chunks), last.closed], [whole, true]);
  const other = await connect();
  cluster.control(Metadata, { cutAfterBytes: 11 }, { times: 1 });
  const cut = await ask(other);
  assert.deepEqual([concat(cut.chunks), cut.closed], [whole.subarray(0, 11), true]);
  assert.deepEqual(cluster.failures, []);

  async function ask(by = wire): Promise<{ chunks: Uint8Array[]; closed: boolean }> {
    const chunks: Uint8Array[] = [];
    by.onData = (chunk) => void chunks.push(chunk.slice());
    by.socket.write(concat(encodeRequestFrame(Metadata, 0, 1, null, { topics: [{ name: "bad topic" }] })));
    await runtime.settle();
    return { chunks, closed: by.closed };
  }
});

test("control: a broker answers with the cluster as it was", async () => {
  const { cluster, connect } = stage({ brokers: 2 });
  const wire = await connect(1);
  const { view } = cluster;
  cluster.moveLeader("orders", 0, 2);
  cluster.createTopic("new");
  cluster.control(Metadata, { view }, { times: 1 });
  const leaders = async (): Promise<unknown[]> => {
    const answer = await wire.ask(Metadata, 12, { topics: null });
    return answer!.topics.map(({ name, partitions }) => [
      name,
      partitions.find(({ partitionIndex }) => partitionIndex === 0)!.leaderId,
    ]);
  };
  assert.deepEqual(await leaders(), [["orders", 1]]);
  assert.deepEqual(await leaders(), [["orders", 2], ["new", 2]]);
});

type Body = ResponseInputOf<typeof Produce>;
type Part = Body["responses"][number]["partitionResponses"][number];

function fetchBody(topic: string): Record<string, unknown> {
  const partitions = [{ partition: 0, fetchOffset: 0n, partitionMaxBytes: 1 }];
  const naming = topic.length === 32 ? { topicId: topic } : { topic };
  return { maxWaitMs: 0, minBytes: 0, topics: [{ ...naming, partitions }] };
}

test("control: what shows who a client is can be delayed, refused, spoilt and left without an answer, too", async () => {
  const sasl = { users: { alice: "secret" }, mechanisms: ["PLAIN"] as const, failureDelayMs: 0 };
  const { runtime, cluster, connect } = stage({ sasl });
  const authBytes = new TextEncoder().encode("\0alice\0secret");
  const handshake = { mechanism: "PLAIN" };
  const wire = await connect();
  cluster.control(SaslHandshake, { delayMs: 300 }, { times: 1 });
  cluster.control(SaslAuthenticate, { answerDelayMs: 200 }, { times: 1 });
  assert.equal((await wire.ask(SaslHandshake, 1, handshake))!.errorCode, 0);
  assert.equal(runtime.now(), 300);
  cluster.control(SaslAuthenticate, { error: 58 }, { times: 1 });
  assert.equal((await wire.ask(SaslAuthenticate, 2, { authBytes }))!.errorCode, 58);
  assert.equal((await wire.ask(SaslAuthenticate, 2, { authBytes }))!.errorCode, 0, "the broker itself has not seen it");
  assert.equal(runtime.now(), 500);
  assert.ok(await wire.ask(Metadata, 9, { topics: [] }));

  const refused = await connect();
  cluster.control(SaslHandshake, { transform: (body) => ({ ...body, mechanisms: ["OTHER"] }) }, { times: 1 });
  assert.deepEqual((await refused.ask(SaslHandshake, 1, handshake))!.mechanisms, ["OTHER"]);
  cluster.control(SaslAuthenticate, { drop: "after" }, { times: 1 });
  assert.equal(await refused.ask(SaslAuthenticate, 2, { authBytes }), undefined);
  assert.equal(refused.closed, true);

  const silent = await connect();
  cluster.control(SaslHandshake, { silence: true }, { times: 1 });
  assert.equal(await silent.ask(SaslHandshake, 1, handshake), undefined);
  assert.equal(silent.closed, false);
  assert.deepEqual(cluster.failures, []);
});
