/**
 * The embedded cluster behind connections that somebody else accepts. On workerd that is a Worker's own `connect`
 * handler, reached through a service binding, each connection in a request of its own; elsewhere pairs of streams.
 */

import assert from "node:assert/strict";
import { Producer, type ProducerOptions } from "../../mod.ts";
import type { ByteStreams, Connectable } from "../../src/runtime/mod.ts";
import { EmbeddedCluster } from "../../src/testing/mod.ts";
import { acceptConnections, test, workerItself } from "../harness.ts";

/** What has `connect()` and leads to the cluster: the binding of the worker to itself, or something like it. */
function bindingTo(cluster: EmbeddedCluster): Connectable {
  const binding = workerItself();
  if (binding !== undefined) {
    acceptConnections((socket) => cluster.accept(socket as ByteStreams));
    return binding as Connectable;
  }
  return {
    connect({ hostname, port }: { hostname: string; port: number }) {
      const [there, back] = [new TransformStream<Uint8Array>(), new TransformStream<Uint8Array>()];
      const opened = Promise.resolve({ localAddress: `${hostname}:${port}` });
      void cluster.accept({ readable: there.readable, writable: back.writable, opened });
      return { readable: back.readable, writable: there.writable };
    },
  };
}

async function deliver(cluster: EmbeddedCluster, options: Partial<ProducerOptions>): Promise<void> {
  const errors: string[] = [];
  const producer = new Producer({
    ...{ brokers: cluster.bootstrap, connect: bindingTo(cluster), ...options },
    hooks: { onConnectFailed: ({ error }) => void errors.push(error.message) },
  });
  const partitions = cluster.brokers.length;
  const sent = Array.from(
    { length: 300 },
    (_, i) => producer.send({ topic: "hits", partition: i % partitions, value: `${i} ${"x".repeat(i * 10)}` }),
  );
  for (const [i, { offset }] of (await Promise.all(sent)).entries()) {
    if (options.acks !== 0) assert.equal(offset, BigInt(Math.floor(i / partitions)));
  }
  await producer.close();
  assert.equal((await cluster.records("hits")).length, 300);
  assert.deepEqual(errors, []);
  await cluster.close();
}

test("accept: a producer delivers to the embedded broker behind a Worker's connect handler, without a port", async () => {
  await deliver(new EmbeddedCluster({ topics: { hits: 1 } }), {});
  await deliver(new EmbeddedCluster({ topics: { hits: 1 } }), { compression: "lz4", acks: 1 });
});

test("accept: each of several brokers is found by the address that was dialled", async () => {
  const cluster = new EmbeddedCluster({ brokers: 3, topics: { hits: { partitions: 3, replicationFactor: 1 } } });
  await deliver(cluster, {});
});

test("accept: SASL goes through it, and a wrong password is told", async () => {
  const users = { app: "pencil" };
  const cluster = new EmbeddedCluster({ topics: { hits: 1 }, sasl: { users } });
  const sasl = { mechanism: "SCRAM-SHA-256", username: "app" } as const;
  const connect = bindingTo(cluster);
  const wrong = new Producer({ brokers: cluster.bootstrap, connect, sasl: { ...sasl, password: "pen" } });
  await assert.rejects(wrong.connect(), { code: "SASL_AUTHENTICATION_FAILED" });
  await wrong.close();
  await deliver(cluster, { sasl: { ...sasl, password: "pencil" } });
});
