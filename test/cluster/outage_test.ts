import assert from "node:assert/strict";
import { ApiVersions, Metadata, Produce } from "../../src/protocol/messages/mod.ts";
import { test } from "../harness.ts";
import { watch } from "../producer/wire.ts";
import { type Stage, stage } from "../stage.ts";

const DIALS_PER_SECOND = 20;
const METADATA_PER_SECOND = 5;

/** The most that happened in any second, by the moments at which it happened. */
function mostInASecond(timesMs: readonly number[]): number {
  return timesMs.reduce((most, startMs) => {
    return Math.max(most, timesMs.filter((atMs) => atMs >= startMs && atMs < startMs + 1_000).length);
  }, 0);
}

/** Runs an outage of a minute while records wait, and demands that it is a quiet one. */
async function assertQuiet(s: Stage, begin: () => () => void, name: string): Promise<void> {
  const p = s.producer({ deliveryTimeoutMs: 300_000 });
  const records = [0, 1, 2].map((partition) => ({ topic: "orders", partition, value: "v" }));
  await s.run(p.sendBatch(records).all());
  await s.runtime.advance(1_000);
  s.cluster.clearRequests();
  const end = begin();
  const waiting = Promise.all(records.map((record) => p.send(record)));
  const dialsMs: number[] = [];
  const { sockets } = s.cluster;
  s.runtime.sockets = {
    ...sockets,
    connect: (options, events) => {
      dialsMs.push(s.runtime.now());
      return sockets.connect(options, events);
    },
  };
  await s.runtime.advance(60_000);
  assert.ok(dialsMs.length + s.cluster.requestsOf(Metadata).length > 20, `${name}: it goes on trying`);
  const metadataMs = s.cluster.requestsOf(Metadata).map(({ atMs }) => atMs);
  assert.ok(mostInASecond(dialsMs) < DIALS_PER_SECOND, `${name}: ${mostInASecond(dialsMs)} dials in a second`);
  assert.ok(mostInASecond(metadataMs) < METADATA_PER_SECOND, `${name}: ${mostInASecond(metadataMs)} metadata requests`);
  end();
  const startMs = s.runtime.now();
  await s.run(waiting);
  assert.ok(s.runtime.now() - startMs < 5_000, `${name}: back after ${s.runtime.now() - startMs} ms`);
  await s.run(p.close());
}

test("outage: brokers that take connections and drop them at once are dialled less than 20 times a second in all", async () => {
  for (const seed of [1, 2, 3]) {
    const s = stage({ brokers: 3 }, seed);
    await assertQuiet(s, () => {
      let over = false;
      for (const broker of s.cluster.brokers) {
        const { host, port } = broker.endpoint("memory");
        s.cluster.stopBroker(broker.id);
        s.cluster.network.listen(`${host}:${port}`, (socket) => {
          if (over) return broker.accept(socket, "memory");
          socket.close();
          return { onData: () => {}, onClose: () => {} };
        });
      }
      return () => {
        over = true;
        for (const broker of s.cluster.brokers) {
          const { host, port } = broker.endpoint("memory");
          // Started without a listener of its own: the one that is there leads to it by now.
          broker.setEndpoint("memory", { host: `nowhere-${broker.id}.test`, port });
          s.cluster.startBroker(broker.id);
          broker.setEndpoint("memory", { host, port });
        }
      };
    }, `seed ${seed}`);
  }
});

test("outage: brokers that shake hands and then hang up are dialled and asked no faster either", async () => {
  for (const api of [ApiVersions, Metadata, Produce]) {
    for (const how of [{ close: true }, { drop: "after" }] as const) {
      const s = stage({ brokers: 3 });
      await assertQuiet(s, () => {
        s.cluster.control(api as typeof Metadata, how);
        for (const broker of s.cluster.brokers) broker.disconnectAll();
        return () => s.cluster.controls.clear();
      }, `${api.name} ${JSON.stringify(how)}`);
    }
  }
});

test("outage: metadata that fails or tells nothing new is asked for less than five times a second", async () => {
  for (const action of [{ error: 3 }, { error: 5 }, { respond: { brokers: [], topics: [] } }]) {
    const s = stage({ brokers: 3 });
    await assertQuiet(s, () => {
      s.cluster.control(Metadata, action);
      s.cluster.control(Produce, { error: 6 });
      return () => s.cluster.controls.clear();
    }, JSON.stringify(action));
  }
});

test("outage: a leader that says it isn't one, with metadata that insists it is, is not hammered", async () => {
  const s = stage();
  const p = s.producer({ deliveryTimeoutMs: 300_000 });
  await s.run(p.send({ topic: "orders", partition: 0, value: "v" }));
  s.cluster.control(Produce, { error: 6 });
  s.cluster.clearRequests();
  const waiting = p.send({ topic: "orders", partition: 0, value: "w" });
  await s.runtime.advance(60_000);
  const [produces, metadata] = [s.cluster.requestsOf(Produce).length, s.cluster.requestsOf(Metadata).length];
  assert.ok(produces >= 20 && produces <= 80, `${produces} Produce requests in a minute`);
  assert.ok(metadata >= 20 && metadata <= 80, `${metadata} Metadata requests in a minute`);
  s.cluster.controls.clear();
  assert.equal((await s.run(waiting)).offset, 1n);
  await s.run(p.close());
});

test("outage: metadata that stays the same is asked for ever more slowly, however often somebody wants it", async () => {
  const s = stage();
  const p = s.producer();
  await s.run(p.connect());
  await s.runtime.advance(1_000);
  s.cluster.clearRequests();
  const endMs = s.runtime.now() + 10_000;
  while (s.runtime.now() < endMs) await s.run(Promise.all([p.refreshMetadata(), p.refreshMetadata()]));
  const asked = s.cluster.requestsOf(Metadata).length;
  assert.ok(asked >= 10 && asked <= 18, `${asked} in 10 s`);
  await s.run(p.close());
});

test("outage: a bootstrap server that is a known broker isn't dialled beside it", async () => {
  const s = stage({ brokers: 2 });
  const p = s.producer({ reconnectBackoffMs: 1_000, reconnectBackoffMaxMs: 1_000 });
  const records = [0, 1].map((partition) => ({ topic: "orders", partition, value: "v" }));
  await s.run(p.sendBatch(records).all());
  for (const broker of s.cluster.brokers) s.cluster.stopBroker(broker.id);
  await s.runtime.settle();
  const before = s.cluster.network.dials;
  const waiting = Promise.all(records.map((record) => p.send(record)));
  await s.runtime.advance(30_000);
  const dials = s.cluster.network.dials - before;
  // Two addresses, about one attempt a second each; twice that if bootstrap servers were others.
  assert.ok(dials >= 50 && dials <= 76, `${dials} dials in 30 s`);
  for (const broker of s.cluster.brokers) s.cluster.startBroker(broker.id);
  await s.run(waiting);
  await s.run(p.close());
});

test("outage: a start at many brokers is not slowed down by what keeps outages quiet", async () => {
  const s = stage({
    brokers: 60,
    topics: { orders: { partitions: 60, replicationFactor: 1 } },
    network: { latencyMs: 10 },
  });
  const p = s.producer();
  await s.run(
    Promise.all(Array.from({ length: 60 }, (_, partition) => p.send({ topic: "orders", partition, value: "v" }))),
  );
  assert.equal(s.cluster.network.dials, 60);
  assert.ok(s.runtime.now() <= 5 * 20, `${s.runtime.now()} ms`);
  await s.run(p.close());
});

test("metadata: topics that are new are asked for at once, one after the other; looking again is paced", async () => {
  const names = Array.from({ length: 20 }, (_, i) => `topic-${i}`);
  const s = stage({ topics: Object.fromEntries(names.map((name) => [name, 1])), network: { latencyMs: 5 } });
  const producer = s.producer();
  for (const topic of names) await s.run(producer.send({ topic, value: "v" }));
  assert.ok(s.runtime.now() < 1_000, `${s.runtime.now()} ms`);
  await s.runtime.advance(2_000);
  s.cluster.clearRequests();
  const startMs = s.runtime.now();
  for (let i = 0; i < 9; i++) await s.run(producer.refreshMetadata());
  assert.ok(s.runtime.now() - startMs >= 2_000, `${s.runtime.now() - startMs} ms`);
  await s.run(producer.close());
});

/** Nobody answers at the addresses of the brokers, nor that there is nobody. */
function blackHoleAll({ cluster }: Stage): string[] {
  return cluster.brokers.map((broker) => {
    const { host, port } = broker.endpoint("memory");
    cluster.network.blackHole(`${host}:${port}`);
    return `${host}:${port}`;
  });
}

test("outage: servers that hang are all named soon after the first attempts have timed out, however many they are", async () => {
  for (const count of [1, 2, 3]) {
    const s = stage({ brokers: count, topics: { orders: 1 } });
    const brokers = blackHoleAll(s);
    const p = s.producer({ brokers });
    const sent = watch(s, p.send({ topic: "orders", value: "v" }));
    const { message } = await s.failure(p.refreshMetadata());
    for (const address of brokers) assert.ok(message.includes(address), `${address} is not in: ${message}`);
    assert.ok(s.runtime.now() <= 15_000, `told after ${s.runtime.now()} ms`);
    await s.runtime.advance(60_000);
    assert.match(sent.error!.message, /No broker can be reached/);
    await s.run(p.close());
  }
});

test("outage: servers that hang aren't dialled any more when nobody waits for them", async () => {
  const s = stage({ brokers: 3 });
  blackHoleAll(s);
  const p = s.producer({ maxBlockMs: 25_000 });
  await s.failure(p.send({ topic: "orders", value: "v" }));
  await s.runtime.advance(60_000);
  const { dials } = s.cluster.network;
  await s.runtime.advance(200_000);
  assert.equal(s.cluster.network.dials, dials);
  assert.equal(s.runtime.pendingTimers, 0);
  await s.run(p.close());
});

test("outage: after five minutes of hanging servers the bootstrap servers are asked again", async () => {
  const s = stage({ brokers: 3, topics: { orders: 1 } });
  const warned: [string, number][] = [];
  const logger = { warn: (event: string) => void warned.push([event, s.runtime.now()]) };
  const p = s.producer({ deliveryTimeoutMs: 1_000_000, logger });
  await s.run(p.send({ topic: "orders", value: "before" }));
  blackHoleAll(s);
  s.cluster.network.reset();
  const startMs = s.runtime.now();
  const sent = watch(s, p.send({ topic: "orders", value: "behind" }));
  await s.runtime.advance(330_000);
  const [, atMs] = warned.find(([event]) => event === "rebootstrap") ?? ["", Infinity];
  assert.ok(atMs - startMs >= 300_000 && atMs - startMs < 320_000, `it was ${atMs - startMs} ms`);
  assert.equal(sent.state, "pending");
  await s.failure(p.close({ timeoutMs: 1 }));
});

test("outage: a server that offers no Metadata isn't asked in a loop, even without a backoff", async () => {
  const s = stage({ apiVersions: { Metadata: null } });
  const p = s.producer({ retryBackoffMs: 0, maxBlockMs: 2_000 });
  const { code } = await s.failure(p.send({ topic: "orders", value: "v" }));
  assert.equal(code, "TIMEOUT");
  assert.equal(s.runtime.now(), 2_000);
  await s.run(p.close());
});

test("outage: a topic that there isn't keeps no record of another one waiting, and new ones are asked for in few requests", async () => {
  const s = stage();
  const p = s.producer({ maxBlockMs: 60_000 });
  void p.send({ topic: "missing", value: "v" }).catch(() => {});
  await s.runtime.advance(10_123);
  const sinceMs = s.runtime.now();
  await s.run(p.send({ topic: "orders", value: "v" }));
  assert.ok(s.runtime.now() - sinceMs < 100, `it waited for ${s.runtime.now() - sinceMs} ms`);
  s.cluster.clearRequests();
  for (let topic = 0; topic < 300; topic++) {
    void p.send({ topic: `missing-${topic}`, value: "v" }).catch(() => {});
    await s.runtime.advance(10);
  }
  const metadataMs = s.cluster.requestsOf(Metadata).map(({ atMs }) => atMs);
  assert.ok(mostInASecond(metadataMs) < METADATA_PER_SECOND, `${mostInASecond(metadataMs)} in a second`);
  await s.run(p.close({ timeoutMs: 0 }).catch(() => {}));
});
