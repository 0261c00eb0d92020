import assert from "node:assert/strict";
import type { Broker } from "../../src/cluster/broker.ts";
import { orderToAsk } from "../../src/cluster/order_to_ask.ts";
import { ConnectionError } from "../../src/errors.ts";
import { seededRandom } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";

/** As much of a broker as the order goes by; its host is its name. */
function broker(name: string, state: Partial<Record<keyof Broker, unknown>> = {}): Broker {
  const idle = { connection: undefined, connecting: false, backingOff: false, slow: false, lastError: undefined };
  return { nodeId: 1, address: { host: name, port: 1 }, ...idle, ...state } as unknown as Broker;
}

test("order to ask: the connected and the untried before bootstrap servers, and these before whoever has failed", () => {
  const lastError = new ConnectionError("Refused.");
  const brokers = [
    broker("frozen", { connection: { inFlight: 0 } }),
    broker("hangs", { connecting: true, slow: true }),
    broker("waits", { lastError, backingOff: true }),
    broker("waits, server", { lastError, backingOff: true }),
    broker("failed", { lastError }),
    broker("server", { nodeId: -1 }),
    broker("untried"),
    broker("dialled", { connecting: true }),
    broker("busy", { connection: { inFlight: 4 } }),
    broker("calm", { connection: { inFlight: 1 } }),
  ];
  for (let seed = 1; seed <= 20; seed++) {
    const order = orderToAsk(brokers, {
      random: seededRandom(seed),
      isServer: ({ address }) => address.host.includes("server"),
      isSilent: ({ address }) => address.host === "frozen",
    }).map(({ address }) => address.host);
    const hung = order.splice(-2).sort();
    const wanted = ["calm", "busy", "dialled", "untried", "server", "failed", "waits, server", "waits"];
    assert.deepEqual([order, hung], [wanted, ["frozen", "hangs"]]);
  }
});

test("order to ask: equals are asked by chance", () => {
  const random = seededRandom(1);
  const firsts = new Set(Array.from({ length: 50 }, () => {
    const brokers = ["a", "b", "c", "d"].map((name) => broker(name));
    return orderToAsk(brokers, { random, isServer: () => false, isSilent: () => false })[0]!.address.host;
  }));
  assert.deepEqual([...firsts].sort(), ["a", "b", "c", "d"]);
});
