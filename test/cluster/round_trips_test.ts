/**
 * What a short life costs: round trips from the first send of a producer to its answer. A dial is one (TLS 1.3 adds
 * another), and each time that the client speaks after it has listened.
 */

import assert from "node:assert/strict";
import { Producer, type ProducerOptions } from "../../mod.ts";
import type { SocketFactory } from "../../src/runtime/runtime.ts";
import { EmbeddedCluster } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";

const account = { username: "app", password: "pencil" };

/** The same sockets, and how many round trips have been begun on them. */
function counted(sockets: SocketFactory): { readonly sockets: SocketFactory; trips: number } {
  const count = {
    trips: 0,
    sockets: {
      ...sockets,
      async connect(options, events) {
        let hasListened = true;
        count.trips++;
        const socket = await sockets.connect(options, {
          onData(chunk) {
            hasListened = true;
            events.onData(chunk);
          },
          onClose: (error) => events.onClose(error),
        });
        return new Proxy(socket, {
          get(target, name) {
            const value: unknown = Reflect.get(target, name);
            if (typeof value !== "function") return value;
            return (...args: unknown[]): unknown => {
              if (name === "write" && hasListened) {
                hasListened = false;
                count.trips++;
              }
              return value.apply(target, args);
            };
          },
        });
      },
    } satisfies SocketFactory as SocketFactory,
  };
  return count;
}

/** How the producer proves who it is, and the round trips of a first send to the leader itself. */
const cases: [string, Partial<ProducerOptions>, number][] = [
  ["nothing", {}, 3],
  ["PLAIN", { sasl: { mechanism: "PLAIN", ...account }, securityProtocol: "sasl_plaintext" }, 3],
  ["SCRAM-SHA-256", { sasl: { mechanism: "SCRAM-SHA-256", ...account } }, 4],
];

for (const [name, options, trips] of cases) {
  test(`round trips: with ${name} a first send takes ${trips} at the leader, and as many from anywhere with a snapshot`, async () => {
    // Three brokers, and the one that is written down leads nothing: the usual case.
    const cluster = new EmbeddedCluster({
      ...{ brokers: 3, topics: { orders: { partitions: 1, replicationFactor: 1 } } },
      ...("sasl" in options ? { sasl: { users: { app: "pencil" } } } : {}),
    });
    const { leaderId } = cluster.partition("orders", 0);
    const addressOf = (id: number): string => {
      const { host, port } = cluster.broker(id).endpoint("memory");
      return `${host}:${port}`;
    };
    const elsewhere = addressOf(cluster.brokers.find(({ id }) => id !== leaderId)!.id);
    const life = async (brokers: string, snapshot?: ProducerOptions["snapshot"]) => {
      const count = counted(cluster.sockets);
      const more = snapshot === undefined ? {} : { snapshot };
      const producer = new Producer({ brokers, connect: count.sockets, ...options, ...more });
      await producer.send({ topic: "orders", partition: 0, value: "first" });
      const first = count.trips;
      await producer.send({ topic: "orders", partition: 0, value: "second" });
      const second = count.trips - first;
      const learnt = JSON.parse(JSON.stringify(producer.snapshot()));
      await producer.close();
      return { first, second, learnt };
    };
    const atLeader = await life(addressOf(leaderId));
    const cold = await life(elsewhere);
    const warm = await life(elsewhere, cold.learnt);
    await cluster.close();
    console.log(
      `Round trips of a first send with ${name}: ${atLeader.first} at the leader, ${cold.first} at another broker, ` +
        `${warm.first} there with a snapshot; ${warm.second} from then on`,
    );
    assert.deepEqual([atLeader.first, warm.first, warm.second], [trips, trips, 1]);
    assert.ok(cold.first > trips);
  });
}
