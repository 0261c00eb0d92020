import assert from "node:assert/strict";
import type { Address } from "../../src/cluster/address.ts";
import { Backoff } from "../../src/cluster/backoff.ts";
import { Broker } from "../../src/cluster/broker.ts";
import { BrokerRegistry } from "../../src/cluster/broker_registry.ts";
import { Negotiations } from "../../src/cluster/negotiation.ts";
import { DialPace } from "../../src/cluster/pace.ts";
import { ConnectionLimit } from "../../src/cluster/connection_limit.ts";
import { Produce } from "../../src/protocol/messages/mod.ts";
import { VirtualRuntime } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";

const at = (host: string): Address => ({ host, port: 9092 });
const listed = (...hosts: string[]) => hosts.map((host, index) => ({ nodeId: index + 1, ...at(host) }));

/** A registry of real brokers that nobody has dialled. */
function registry(...servers: string[]): BrokerRegistry {
  return registryOn(new VirtualRuntime(), servers);
}

function registryOn(runtime: VirtualRuntime, servers: readonly string[]): BrokerRegistry {
  const context = {
    backoff: new Backoff(50, 1_000, () => 0.5),
    pace: new DialPace(runtime),
    connectionLimit: new ConnectionLimit(runtime, Infinity, () => []),
    negotiations: new Negotiations(undefined),
    pipelined: () => undefined,
    addressee: () => undefined,
    onMisplaced: () => {},
    onSilence: () => {},
    onSlowDial: () => {},
    onDisconnect: () => {},
  };
  const options = { clientId: "test", requestTimeoutMs: 30_000, connectTimeoutMs: 10_000, connectionMaxIdleMs: 60_000 };
  return new BrokerRegistry(servers.map(at), {
    random: () => 0.5,
    silenceMs: 5_000,
    newBroker: (nodeId, address) => new Broker(runtime, nodeId, address, { ...options } as never, context),
  });
}

test("broker registry: a list is news when somebody came or went, and not when he moved", () => {
  const brokers = registry("boot");
  assert.equal(brokers.isEmpty, true);
  assert.equal(brokers.list(listed("a", "b"), "boot:9092"), true);
  assert.equal(brokers.list(listed("a", "b"), "boot:9092"), false);
  const moved = brokers.get(2)!;
  assert.equal(brokers.list(listed("a", "c"), "boot:9092"), false);
  assert.deepEqual([brokers.get(2) === moved, moved.address.host], [true, "c"]);
  assert.equal(brokers.list(listed("a"), "boot:9092"), true);
  assert.deepEqual([brokers.isListed(2), brokers.get(2) === moved], [false, true]);
});

test("broker registry: whoever leads a partition is remembered though no list names him", () => {
  const brokers = registry("boot");
  brokers.list(listed("a", "b", "c"), "boot:9092");
  brokers.list(listed("a"), "boot:9092");
  brokers.forgetUnlisted(() => new Set([3]));
  assert.deepEqual([1, 2, 3].map((nodeId) => brokers.get(nodeId)?.address.host), ["a", undefined, "c"]);
});

test("broker registry: who is listed no more is closed with the others while a connection to him ends", async () => {
  const runtime = new VirtualRuntime();
  const brokers = registryOn(runtime, ["boot"]);
  brokers.list(listed("a", "b"), "boot:9092");
  const closed: string[] = [];
  const connection = {
    ...{ versions: new Map(), requests: 0, bytesSent: 0, bytesReceived: 0, retire: () => {} },
    onMisfit: (_: unknown): boolean => false,
    close: () => void closed.push("b"),
  };
  brokers.get(2)!.adopt(connection as never);
  // It speaks no version that we need: it ends as soon as its requests are answered.
  connection.onMisfit(Produce);
  await runtime.advance(1);
  assert.equal(brokers.get(2)!.connection, undefined);
  brokers.list(listed("a"), "boot:9092");
  brokers.forgetUnlisted(() => new Set());
  for (const broker of brokers.all()) broker.close();
  assert.deepEqual(closed, ["b"]);
});

test("broker registry: an address that the user has written down himself is advertised by nobody", () => {
  const brokers = registry("a", "boot");
  brokers.list(listed("a", "b"), "boot:9092");
  assert.deepEqual([brokers.get(1)?.advertisedBy, brokers.get(2)?.advertisedBy], [undefined, "boot:9092"]);
});

test("broker registry: a bootstrap server at a broker's address is not asked beside it", () => {
  const brokers = registry("a", "boot");
  const names = () => brokers.candidates().map(({ nodeId, address }) => `${nodeId} ${address.host}`).sort();
  assert.deepEqual(names(), ["-1 a", "-2 boot"]);
  brokers.list(listed("a", "b"), "boot:9092");
  assert.deepEqual(names(), ["-2 boot", "1 a", "2 b"]);
});

test("broker registry: the one who was longest not chosen is next", () => {
  const brokers = registry("boot");
  assert.equal(brokers.next(), undefined);
  brokers.list(listed("a", "b", "c"), "boot:9092");
  const first = Array.from({ length: 3 }, () => brokers.next()!.nodeId);
  assert.deepEqual([...first].sort(), [1, 2, 3]);
  brokers.choose(brokers.get(first[0]!)!);
  assert.deepEqual([brokers.next()!.nodeId, brokers.next()!.nodeId, brokers.next()!.nodeId], [
    first[1],
    first[2],
    first[0],
  ]);
});

test("broker registry: starting over forgets brokers and closes those with connections of their own only at the end", () => {
  const brokers = registry("boot");
  brokers.list(listed("a", "b"), "boot:9092");
  const [known, separate] = [brokers.get(1)!, brokers.separate(7, at("s"))];
  brokers.startOver(false);
  assert.deepEqual([brokers.isEmpty, known.isClosed], [false, false]);
  brokers.startOver(true);
  assert.deepEqual([brokers.isEmpty, brokers.get(1), known.isClosed, separate.isClosed], [
    true,
    undefined,
    true,
    false,
  ]);
  assert.deepEqual(brokers.all().map(({ nodeId }) => nodeId), [-1, 7]);
});
