/** What happens to a producer that lives for weeks: names, addresses, brokers and credentials change; no record fails. */

import assert from "node:assert/strict";
import { ConnectionError } from "../../src/errors.ts";
import type { SocketFactory } from "../../src/runtime/runtime.ts";
import { plain } from "../../src/sasl/mod.ts";
import { test } from "../harness.ts";
import { type Stage, stage } from "../stage.ts";

/** A load of a record every 200 ms, and how it went. */
function load(
  s: Stage,
  send: (i: number) => Promise<unknown>,
): { stop(): Promise<{ count: number; errors: unknown[] }> } {
  const errors: unknown[] = [];
  const sent: Promise<unknown>[] = [];
  let isOver = false;
  const next = (): void => {
    if (isOver) return;
    sent.push(send(sent.length).catch((error) => errors.push(error)));
    s.runtime.setTimer(next, 200);
  };
  next();
  return {
    async stop() {
      isOver = true;
      await s.run(Promise.all(sent), 600_000);
      return { count: sent.length, errors };
    },
  };
}

/** Every record is there once, and those of a partition in the order of the sends. */
async function assertAllThere(s: Stage, { count, errors }: { count: number; errors: unknown[] }): Promise<void> {
  assert.deepEqual(errors, []);
  const records = await s.run(s.cluster.records("orders"));
  assert.equal(records.length, count);
  for (const partition of [0, 1, 2]) {
    const numbers = records.filter((record) => record.partition === partition)
      .map(({ value }) => Number(new TextDecoder().decode(value!)));
    assert.deepEqual(numbers, [...numbers].sort((a, b) => a - b));
  }
}

/** Sockets that look names up in a table of addresses, which may change, and lack some. */
function withNames(s: Stage, names: Map<string, string>): { sockets: SocketFactory; lookups: string[] } {
  const { sockets } = s.cluster;
  const lookups: string[] = [];
  return {
    lookups,
    sockets: {
      ...sockets,
      name: "names",
      can: sockets.can,
      connect: (options, events) => {
        lookups.push(options.host);
        const host = names.get(options.host);
        if (host === undefined) {
          const broker = `${options.host}:${options.port}`;
          const message = `Connecting to "${broker}" failed: getaddrinfo ENOTFOUND ${options.host}`;
          return Promise.reject(new ConnectionError(message, { broker }));
        }
        return sockets.connect({ ...options, host }, events);
      },
    },
  };
}

test("long life: lookups that fail for a minute cost no record, and no name is dialled from memory", async () => {
  const s = stage({ brokers: 3, network: { latencyMs: 2 } });
  const names = new Map(s.cluster.brokers.map(({ id }) => [`broker-${id}.test`, `broker-${id}.test`]));
  const all = [...names];
  const { sockets, lookups } = withNames(s, names);
  s.runtime.sockets = sockets;
  const p = s.producer();
  const running = load(s, (i) => p.send({ topic: "orders", partition: i % 3, value: String(i) }));
  await s.runtime.advance(5_000);
  names.clear();
  for (const broker of s.cluster.brokers) broker.disconnectAll();
  const before = lookups.length;
  await s.runtime.advance(60_000);
  assert.ok(lookups.length > before, "names are looked up anew");
  for (const [name, address] of all) names.set(name, address);
  await s.runtime.advance(10_000);
  await assertAllThere(s, await running.stop());
  await s.run(p.close());
});

test("long life: a name that leads to another address from now on is followed with the next connection", async () => {
  const s = stage({ network: { latencyMs: 2 } });
  // What it led to at first is a machine that forwards to the broker, and is switched off later.
  const names = new Map([["broker-1.test", "old.test"]]);
  const forward = (address: string): () => void =>
    s.cluster.network.listen(address, (socket) => s.cluster.broker(1).accept(socket, "memory"));
  const switchOff = forward("old.test:9092");
  forward("new.test:9092");
  s.runtime.sockets = withNames(s, names).sockets;
  const p = s.producer();
  const running = load(s, (i) => p.send({ topic: "orders", partition: i % 3, value: String(i) }));
  await s.runtime.advance(5_000);
  names.set("broker-1.test", "new.test");
  switchOff();
  for (const broker of s.cluster.brokers) broker.disconnectAll();
  await s.runtime.advance(5_000);
  await assertAllThere(s, await running.stop());
  await s.run(p.close());
});

test("long life: brokers restart one after the other under SASL with short sessions, twice: no record fails", async () => {
  const users = { app: "pencil" };
  const sasl = { users, maxReauthMs: 3_000 };
  const s = stage({
    brokers: 3,
    topics: { orders: { partitions: 3, replicationFactor: 3 } },
    sasl,
    network: { latencyMs: 2 },
  });
  const p = s.producer({
    // PLAIN: the hashes of SCRAM take real time, of which a virtual clock knows nothing.
    ...{ sasl: plain({ username: "app", password: "pencil" }), securityProtocol: "sasl_plaintext" },
  });
  const running = load(s, (i) => p.send({ topic: "orders", partition: i % 3, value: String(i) }));
  await s.runtime.advance(3_000);
  for (const id of [1, 2, 3, 1, 2, 3]) {
    s.cluster.stopBroker(id);
    await s.runtime.advance(4_000);
    s.cluster.startBroker(id);
    await s.runtime.advance(4_000);
  }
  await assertAllThere(s, await running.stop());
  await s.run(p.close());
});

test("long life: credentials that a function gives are asked for each time, so that they may change", async () => {
  const users: Record<string, string> = { app: "first" };
  const s = stage({ brokers: 2, sasl: { users, maxReauthMs: 3_000 }, network: { latencyMs: 2 } });
  let password = "first";
  const p = s.producer({
    ...{ sasl: plain(() => ({ username: "app", password })), securityProtocol: "sasl_plaintext" },
  });
  const running = load(s, (i) => p.send({ topic: "orders", partition: i % 3, value: String(i) }));
  for (const next of ["second", "third"]) {
    await s.runtime.advance(7_000);
    // As in every rotation the new one is known on both sides before a proof is due.
    users["app"] = password = next;
    for (const broker of s.cluster.brokers) broker.disconnectAll();
  }
  await s.runtime.advance(7_000);
  await assertAllThere(s, await running.stop());
  await s.run(p.close());
});

test("long life: a middle box that forgets connections without a word costs no record", async () => {
  const s = stage({ brokers: 2, network: { latencyMs: 2 } });
  const p = s.producer({ requestTimeoutMs: 5_000, metadataMaxAgeMs: 3_600_000 });
  for (let i = 0; i < 6; i++) {
    await s.run(p.send({ topic: "orders", partition: i % 3, value: String(i) }), 100_000);
    await s.runtime.advance(240_000);
    for (const { id } of s.cluster.brokers) {
      const { host, port } = s.cluster.broker(id).endpoint("memory");
      s.cluster.network.blackHole(`${host}:${port}`);
    }
    s.runtime.setTimer(() => {
      for (const { id } of s.cluster.brokers) {
        const { host, port } = s.cluster.broker(id).endpoint("memory");
        s.cluster.network.heal(`${host}:${port}`);
      }
    }, 2_000);
  }
  await assertAllThere(s, { count: 6, errors: [] });
  await s.run(p.close());
});
