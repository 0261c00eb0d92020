import assert from "node:assert/strict";
import { encodeResponseFrame } from "../../src/protocol/api.ts";
import { ApiVersions, InitProducerId, Metadata, Produce } from "../../src/protocol/messages/mod.ts";
import type { Socket, SocketEvents } from "../../src/runtime/runtime.ts";
import { Producer } from "../../src/producer/producer.ts";
import { EmbeddedCluster, type Release } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";
import { concat } from "../testing/batches.ts";
import { type Stage, stage } from "../stage.ts";

/** What a connection to each release costs: dials of the first send, then the ApiVersions version to begin with. */
const RELEASES: readonly (readonly [release: Release, dials: number, greeted: number])[] = [
  ["1.0", 2, 0],
  ["2.0", 2, 0],
  ["2.3", 2, 0],
  ["2.7", 2, 3],
  ["redpanda", 2, 3],
  ["event-hubs", 3, 3],
  ["3.9", 1, 4],
  ["4.1", 1, 4],
  ["4.4", 1, 5],
];

/** Api and version of every request since the last call. */
function story(cluster: EmbeddedCluster): string[] {
  const seen = cluster.requests.map(({ api, version }) => `${api.name} ${version}`);
  cluster.clearRequests();
  return seen;
}

/** Puts somebody in front of broker 1, who sees the number of the connection, counted from 1, and its socket. */
function inFront(
  { cluster }: Stage,
  wrap: (visit: number, socket: Socket, broker: () => SocketEvents) => SocketEvents,
) {
  const address = "front.test:1";
  const broker = cluster.broker(1);
  let visits = 0;
  broker.setEndpoint("memory", { host: "front.test", port: 1 });
  cluster.network.listen(address, (socket) => wrap(++visits, socket, () => broker.accept(socket, "memory")));
  return { address, visits: () => visits };
}

async function sendOne(s: Stage, p: ReturnType<Stage["producer"]>): Promise<bigint> {
  return (await s.run(p.send({ topic: "orders", partition: 0, key: "k", value: "v", headers: { a: "b" } }))).offset;
}

/** Lets go of the connection, waits until it may be dialled again, sends, and tells how many dials that took. */
async function redial(s: Stage, p: ReturnType<Stage["producer"]>): Promise<number> {
  s.cluster.broker(1).disconnectAll();
  await s.runtime.advance(2_000);
  s.cluster.clearRequests();
  const before = s.cluster.network.dials;
  await sendOne(s, p);
  return s.cluster.network.dials - before;
}

test("releases: records are delivered to brokers of every release, and the second connection needs no guess", async () => {
  for (const [release, dials, greeted] of RELEASES) {
    for (const chunking of ["whole", "bytes"] as const) {
      const s = stage({ release, network: { latencyMs: 20, chunking } });
      const p = s.producer();
      assert.equal(await sendOne(s, p), 0n, release);
      assert.equal(s.cluster.network.dials, dials, `${release}: dials of the first send`);
      assert.equal(await redial(s, p), 1, `${release}: dials of the second connection`);
      assert.equal(story(s.cluster)[0], `ApiVersions ${greeted}`, release);
      assert.equal(await redial(s, p), 1, release);
      assert.equal((await s.cluster.records("orders", 0)).length, 3, release);
      await s.run(p.close());
      await s.runtime.advance(60_000);
      assert.deepEqual([s.cluster.network.openConnections, s.runtime.pendingTimers], [0, 0], release);
      assert.deepEqual(s.cluster.failures, [], release);
    }
  }
});

test("releases: connect() succeeds at once on brokers of every release", async () => {
  for (const [release, dials] of RELEASES) {
    const s = stage({ release });
    const p = s.producer();
    await s.run(p.connect());
    assert.equal(s.cluster.network.dials, dials, release);
    assert.ok(s.runtime.now() <= 100, `${release}: ${s.runtime.now()} ms`);
    await s.run(p.close());
  }
});

test("releases: what one broker of an old cluster was taken aback by is not tried on the others", async () => {
  for (const [release] of RELEASES) {
    const s = stage({ release, brokers: 3, topics: { orders: 6 } });
    const p = s.producer();
    const records = Array.from({ length: 6 }, (_, partition) => ({ topic: "orders", partition, value: "v" }));
    await s.run(p.sendBatch(records).all());
    const perBroker = release === "event-hubs" ? 2 : 1;
    assert.ok(s.cluster.network.dials <= 3 * perBroker + 1, `${release}: ${s.cluster.network.dials} dials`);
    await s.run(p.close());
  }
});

test("releases: an answer that is lost in a reset costs one more connection, not the start", async () => {
  for (const [release, , greeted] of RELEASES) {
    const s = stage({ release });
    // As when the kernel has unread bytes of ours at the close: it sends RST, and the answer before it is thrown away.
    const front = inFront(s, (_, socket, broker) => {
      socket.close = () => socket.destroy();
      return broker();
    });
    const p = s.producer({ brokers: front.address });
    assert.equal(await sendOne(s, p), 0n, release);
    assert.ok(front.visits() <= 3, `${release}: ${front.visits()} dials`);
    assert.equal(await redial(s, p), 1, release);
    assert.equal(story(s.cluster)[0], `ApiVersions ${greeted}`, release);
    await s.run(p.close());
  }
});

test("releases: a server that hangs up at any step of the handshake is dialled a bounded number of times", async () => {
  const refusal = { errorCode: 35, apiKeys: [{ apiKey: ApiVersions.key, minVersion: 0, maxVersion: 3 }] };
  const hangsUp: Record<string, (socket: Socket, chunk: Uint8Array | undefined) => void> = {
    "at once": (socket, chunk) => chunk === undefined && socket.close(),
    "at once, with a reset": (socket, chunk) => chunk === undefined && socket.destroy(),
    "on the first request": (socket, chunk) => chunk && socket.close(),
    "on the first request, with a reset": (socket, chunk) => chunk && socket.destroy(),
    "after a refusal": (socket, chunk) => {
      if (chunk === undefined) return;
      socket.write(encodeResponseFrame(ApiVersions, 0, 1, refusal));
      socket.close();
    },
    "on what follows a refusal": (socket, chunk) => {
      if (chunk === undefined) return;
      if (new DataView(chunk.buffer, chunk.byteOffset).getInt32(8) !== 1) return socket.close();
      socket.write(encodeResponseFrame(ApiVersions, 0, 1, refusal));
    },
    "after half an answer": (socket, chunk) => {
      if (chunk === undefined) return;
      socket.write(concat(encodeResponseFrame(ApiVersions, 0, 1, refusal)).subarray(0, 9));
      socket.close();
    },
  };
  for (const [name, hangUp] of Object.entries(hangsUp)) {
    for (const times of [1, 2, 3, 4, 9]) {
      const s = stage();
      const front = inFront(s, (visit, socket, broker) => {
        if (visit > times) return broker();
        hangUp(socket, undefined);
        return { onData: (chunk) => hangUp(socket, chunk), onClose: () => {} };
      });
      const p = s.producer({ brokers: front.address });
      const label = `${name}, ${times} times`;
      assert.equal(await sendOne(s, p), 0n, label);
      assert.equal(front.visits(), times + 1, label);
      assert.ok(s.runtime.now() <= 10_000, `${label}: ${s.runtime.now()} ms`);
      assert.equal(await redial(s, p), 1, label);
      await s.run(p.close());
      await s.runtime.advance(60_000);
      assert.deepEqual([s.cluster.network.openConnections, s.runtime.pendingTimers], [0, 0], label);
    }
  }
});

test("releases: a server that always hangs up is dialled four times, then less, and never often", async () => {
  const s = stage();
  const front = inFront(s, (_, socket) => {
    socket.close();
    return { onData: () => {}, onClose: () => {} };
  });
  const p = s.producer({ brokers: front.address, maxBlockMs: 60_000 });
  const error = await s.failure(p.connect());
  assert.match(error.message, /front\.test:1.*closed the connection/);
  assert.equal(front.visits(), 4, "with guesses, without, in version 3, in version 0");
  const lost = s.failure(p.send({ topic: "orders", value: "v" }));
  await lost;
  assert.ok(front.visits() <= 4 + 3 * 70, `${front.visits()} dials in a minute`);
  await s.run(p.close());
});

test("releases: a refusal without a body, and one in the wrong version, lead to an older version", async () => {
  const answers: Record<string, (correlationId: number, version: number) => Uint8Array[]> = {
    "an error code alone": (id) => [Uint8Array.of(0, 0, 0, 6, 0, 0, 0, id, 0, 35)],
    "no key at all": (id) => encodeResponseFrame(ApiVersions, 0, id, { errorCode: 35, apiKeys: [] }),
    "the table in version 0": (id) =>
      encodeResponseFrame(ApiVersions, 0, id, {
        errorCode: 0,
        apiKeys: [Produce, Metadata, InitProducerId, ApiVersions].map(({ key, maxVersion }) => (
          { apiKey: key, minVersion: 0, maxVersion }
        )),
      }),
    "nothing but a correlation id": (id) => [Uint8Array.of(0, 0, 0, 4, 0, 0, 0, id)],
  };
  for (const [name, answer] of Object.entries(answers)) {
    const s = stage();
    s.cluster.control(
      ApiVersions,
      (_, { correlationId, version }) => version > 0 ? { bytes: concat(answer(correlationId, version)) } : undefined,
    );
    const p = s.producer();
    assert.equal(await sendOne(s, p), 0n, name);
    assert.ok(s.cluster.network.dials <= 4, `${name}: ${s.cluster.network.dials} dials`);
    const first = s.cluster.network.dials;
    assert.equal(await redial(s, p), 1, name);
    assert.ok(first >= 1, name);
    await s.run(p.close());
  }
});

test("releases: a server that swallows newer ApiVersions requests is reached in an older version after all", async () => {
  const s = stage();
  s.cluster.control(ApiVersions, (_, { version }) => version > 0 ? { silence: true } : undefined);
  const p = s.producer({ connectTimeoutMs: 2_000, maxBlockMs: 120_000 });
  assert.equal(await sendOne(s, p), 0n);
  assert.ok(s.cluster.network.dials <= 6, `${s.cluster.network.dials} dials`);
  assert.equal(await redial(s, p), 1);
  await s.run(p.close());
});

test("releases: a broker that was modern and resets on it now is reached, and one that is upgraded is asked anew", async () => {
  const s = stage();
  const p = s.producer();
  await sendOne(s, p);
  // Another server behind the same name: it hangs up on ApiVersions 4.
  const calm = s.cluster.control(ApiVersions, (_, { version }) => version > 3 ? { close: true } : undefined);
  assert.ok(await redial(s, p) <= 3, "once as ever, then once more, then in version 3");
  assert.equal(await redial(s, p), 1, "remembered");
  assert.equal(story(s.cluster)[0], "ApiVersions 3");
  calm();
  assert.equal(await redial(s, p), 1);
  assert.equal(story(s.cluster)[0], "ApiVersions 3", "it may hang up again");
  await s.runtime.advance(600_000);
  assert.equal(await redial(s, p), 1);
  assert.equal(story(s.cluster)[0], "ApiVersions 4", "a wrong memory goes");
  await s.run(p.close());
});

test("releases: an upgrade is noticed with the next connection, a downgrade with the next but one", async () => {
  const s = stage();
  const broker = s.cluster.broker(1);
  const old = (): void => {
    broker.pin(ApiVersions, [0, 3]);
    broker.pin(Metadata, [0, 9]);
    broker.pin(Produce, [0, 8]);
  };
  old();
  const p = s.producer();
  await sendOne(s, p);
  assert.equal(await redial(s, p), 1);
  assert.deepEqual(story(s.cluster), ["ApiVersions 3", "Produce 8"]);
  broker.pin(ApiVersions, [0, 4]);
  broker.pin(Metadata, [0, 13]);
  broker.pin(Produce, [0, 12]);
  assert.equal(await redial(s, p), 1);
  assert.deepEqual(story(s.cluster), ["ApiVersions 3", "Produce 12"]);
  assert.equal(await redial(s, p), 1);
  assert.deepEqual(story(s.cluster), ["ApiVersions 4", "Produce 12"]);
  old();
  assert.equal(await redial(s, p), 1);
  assert.deepEqual(story(s.cluster), ["ApiVersions 3", "Produce 8"], "refused in version 4 first");
  await s.run(p.close());
});

test("releases: a snapshot of another release is unlearnt with the first connection", async () => {
  const newer = stage();
  const first = newer.producer();
  await sendOne(newer, first);
  const snapshot = first.snapshot();
  await newer.run(first.close());
  for (const [release] of RELEASES) {
    const s = stage({ release });
    const p = s.producer({ snapshot });
    assert.equal(await sendOne(s, p), 0n, release);
    assert.ok(s.cluster.network.dials <= 3, `${release}: ${s.cluster.network.dials} dials`);
    const own = p.snapshot();
    await s.run(p.close());
    const dials = s.cluster.network.dials;
    const next = s.producer({ snapshot: own });
    await sendOne(s, next);
    assert.equal(s.cluster.network.dials - dials, 1, `${release}: its own snapshot leads to no wrong guess`);
    await s.run(next.close());
  }
});

test(
  "releases: records are delivered over TCP, where a hang-up may overtake the answer before it",
  { needs: "listen" },
  async (t) => {
    for (const [release, dials] of RELEASES) {
      const cluster = new EmbeddedCluster({ release, topics: { orders: 3 } });
      t.after(() => cluster.close());
      const listening = await cluster.listen();
      let asked = 0;
      const hooks = { onRequest: ({ api }: { readonly api: string }) => void (api === "Metadata" && asked++) };
      const p = new Producer({ brokers: listening.address, hooks });
      t.after(() => p.close());
      const sent = await p.send({ topic: "orders", partition: 0, value: "v" });
      assert.equal(sent.offset, 0n, release);
      assert.ok(asked <= dials + 1, `${release}: ${asked} requests for metadata`);
      assert.deepEqual(cluster.failures, [], release);
    }
  },
);
