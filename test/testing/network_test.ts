import assert from "node:assert/strict";
import type { ConnectOptions, Socket, SocketEvents } from "../../src/runtime/runtime.ts";
import { systemRuntime } from "../../src/runtime/select.ts";
import { MemoryNetwork, type MemoryNetworkOptions, VirtualRuntime } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";
import { concat } from "./batches.ts";

/** One end of a connection, and what it has seen. */
class End implements SocketEvents {
  socket!: Socket;
  readonly chunks: Uint8Array[] = [];
  readonly kept: Uint8Array[] = [];
  closes = 0;
  error: Error | undefined;

  onData(chunk: Uint8Array): void {
    this.kept.push(chunk);
    this.chunks.push(chunk.slice());
  }

  onClose(error?: Error): void {
    this.closes++;
    this.error = error;
  }

  get received(): Uint8Array {
    return concat(this.chunks);
  }
}

const ADDRESS = "server.test:1";

async function pair(options: MemoryNetworkOptions = {}): Promise<{
  runtime: VirtualRuntime;
  network: MemoryNetwork;
  client: End;
  server: End;
}> {
  const runtime = new VirtualRuntime({ seed: 5 });
  const network = new MemoryNetwork(runtime, options);
  const [client, server] = [new End(), new End()];
  network.listen(ADDRESS, (socket) => {
    server.socket = socket;
    return server;
  });
  client.socket = await runtime.runUntil(network.sockets.connect({ host: "server.test", port: 1 }, client));
  return { runtime, network, client, server };
}

const bytes = (length: number, from = 0): Uint8Array => Uint8Array.from({ length }, (_, i) => (from + i) % 251);

for (const chunking of ["whole", "random", "bytes"] as const) {
  test(`memory network: bytes arrive complete and in order, cut ${chunking}`, async () => {
    const { runtime, client, server } = await pair({ chunking });
    client.socket.write([bytes(1000), bytes(0), bytes(500, 7)]);
    client.socket.write(bytes(3, 9));
    server.socket.write(bytes(77));
    await runtime.settle();
    assert.deepEqual(server.received, concat([bytes(1000), bytes(500, 7), bytes(3, 9)]));
    assert.deepEqual(client.received, bytes(77));
    assert.equal(server.chunks.length === 1, chunking === "whole");
    if (chunking === "bytes") assert.equal(server.chunks.length, 1503);
  });
}

test("memory network: a chunk has at most 64 KB", async () => {
  const { runtime, client, server } = await pair();
  client.socket.write(bytes(200_000));
  await runtime.settle();
  assert.deepEqual(server.chunks.map(({ length }) => length), [65536, 65536, 65536, 3392]);
  assert.deepEqual(server.received, bytes(200_000));
});

test("memory network: a chunk that is kept turns to rubbish", async () => {
  const { runtime, client, server } = await pair();
  client.socket.write(bytes(10));
  await runtime.settle();
  assert.deepEqual(server.kept[0], new Uint8Array(10).fill(0xdb));
});

test("memory network: a change after the write is seen on the other side, unless that is asked off", async () => {
  for (const snapshot of ["arrival", "write"] as const) {
    const { runtime, client, server } = await pair({ snapshot, latencyMs: 5 });
    const part = bytes(4);
    client.socket.write(part);
    await runtime.advance(4);
    part.fill(9);
    await runtime.advance(1);
    assert.deepEqual(server.received, snapshot === "write" ? bytes(4) : new Uint8Array(4).fill(9));
  }
});

test("memory network: latency holds each way, and a later write never overtakes", async () => {
  const delays = [50, 10, 10];
  const { runtime, client, server } = await pair({ latencyMs: () => delays.shift() ?? 30 });
  assert.equal(runtime.now(), 60); // there and back
  client.socket.write(bytes(1, 1));
  await runtime.settle();
  client.socket.write(bytes(1, 2));
  await runtime.advance(9);
  assert.equal(server.chunks.length, 0);
  await runtime.advance(1);
  assert.equal(server.received.length, 1);
  await runtime.advance(20);
  assert.deepEqual(server.received, Uint8Array.of(1, 2));
});

test("memory network: close sends what waits, then both ends hear of it once", async () => {
  const { runtime, network, client, server } = await pair({ latencyMs: 3 });
  client.socket.write(bytes(100));
  client.socket.close();
  client.socket.close();
  client.socket.write(bytes(1));
  await runtime.advance(10);
  assert.deepEqual(server.received, bytes(100));
  assert.deepEqual([client.closes, server.closes, client.error, server.error], [1, 1, undefined, undefined]);
  assert.equal(network.openConnections, 0);
  assert.equal(runtime.pendingTimers, 0);
});

test("memory network: destroy drops what waits and is a reset to the other side", async () => {
  const { runtime, client, server } = await pair({ latencyMs: 3 });
  const reason = new TypeError("enough");
  client.socket.write(bytes(100));
  client.socket.destroy(reason);
  client.socket.destroy();
  assert.equal(client.closes, 0); // never within the call
  await runtime.advance(10);
  assert.deepEqual([client.closes, client.error], [1, reason]);
  assert.deepEqual([server.closes, server.error?.name, server.chunks.length], [1, "ConnectionError", 0]);
});

test("memory network: a reset in between ends both sides", async () => {
  const { runtime, network, client, server } = await pair();
  network.reset("other.test:1");
  await runtime.settle();
  assert.equal(client.closes, 0);
  network.reset(ADDRESS);
  await runtime.settle();
  assert.deepEqual([client.closes, server.closes], [1, 1]);
  assert.match(client.error!.message, /server\.test:1/);
});

test("memory network: nothing goes in or out of a black hole until it is healed", async () => {
  const { runtime, network, client, server } = await pair();
  network.blackHole(ADDRESS);
  client.socket.write(bytes(5));
  server.socket.write(bytes(6));
  await runtime.advance(100_000);
  assert.deepEqual([client.chunks.length, server.chunks.length, client.closes], [0, 0, 0]);
  const dial = network.sockets.connect({ host: "server.test", port: 1, timeoutMs: 700 }, new End());
  await assert.rejects(runtime.runUntil(dial), { name: "ConnectionError", message: /700 ms/ });
  const late = network.sockets.connect({ host: "server.test", port: 1, timeoutMs: 700 }, new End());
  await runtime.advance(500);
  network.heal(ADDRESS);
  await runtime.settle();
  assert.deepEqual([client.received, server.received], [bytes(6), bytes(5)]);
  // TCP asks again; so does whoever dials.
  (await runtime.runUntil(late)).close();
});

test("memory network: one link can be slower than the others, for dials and for bytes", async () => {
  const { runtime, network, client, server } = await pair({ latencyMs: 10 });
  const startMs = runtime.now();
  network.slow(ADDRESS, 90);
  client.socket.write(bytes(5));
  await runtime.advance(99);
  assert.equal(server.received.length, 0);
  await runtime.advance(1);
  assert.deepEqual(server.received, bytes(5));
  network.listen("other.test:1", () => new End());
  await runtime.runUntil(network.sockets.connect({ host: "other.test", port: 1 }, new End()));
  assert.equal(runtime.now() - startMs, 100 + 20);
  await runtime.runUntil(network.sockets.connect({ host: "server.test", port: 1 }, new End()));
  assert.equal(runtime.now() - startMs, 100 + 20 + 200);
  network.slow(ADDRESS, 0);
  await runtime.runUntil(network.sockets.connect({ host: "server.test", port: 1 }, new End()));
  assert.equal(runtime.now() - startMs, 100 + 20 + 200 + 20);
});

test("memory network: a connection to nobody is refused, and one can be given up", async () => {
  const { runtime, network } = await pair({ latencyMs: 10 });
  const dial = (options: Partial<ConnectOptions>): Promise<Socket> =>
    runtime.runUntil(network.sockets.connect({ host: "server.test", port: 1, ...options }, new End()));
  await assert.rejects(dial({ host: "nobody.test" }), { name: "ConnectionError", broker: "nobody.test:1" });
  await assert.rejects(dial({ signal: AbortSignal.abort() }), { name: "ConnectionError" });
  const controller = new AbortController();
  runtime.setTimer(() => controller.abort(), 5);
  await assert.rejects(dial({ signal: controller.signal }), { name: "ConnectionError", message: /given up/ });
  await assert.rejects(dial({ tls: true }), { name: "ConfigError" });
  await assert.rejects(dial({ timeoutMs: 5 }), { name: "ConnectionError", message: /5 ms/ });
  await runtime.advance(100);
  assert.equal(network.openConnections, 1);
  assert.equal(runtime.pendingTimers, 0);
});

test("memory network: more than 1 MB that waits is too much until it has gone", async () => {
  const { runtime, client } = await pair({ latencyMs: 5 });
  assert.equal(client.socket.write(new Uint8Array(1 << 20)), true);
  assert.equal(client.socket.write(new Uint8Array(1)), false);
  assert.equal(client.socket.bufferedBytes, (1 << 20) + 1);
  let drained = false;
  void client.socket.drained().then(() => drained = true);
  await runtime.advance(4);
  assert.equal(drained, false);
  await runtime.advance(1);
  assert.deepEqual([drained, client.socket.bufferedBytes], [true, 0]);
  client.socket.write(new Uint8Array(2 << 20));
  const waiting = client.socket.drained();
  client.socket.destroy();
  await runtime.runUntil(waiting);
});

test("memory network: runs on a real runtime's clock too", async () => {
  const network = new MemoryNetwork(systemRuntime(), { latencyMs: 1, chunking: "random" });
  const server = new End();
  network.listen(ADDRESS, (socket) => ({
    onData: (chunk) => void socket.write(chunk.slice()),
    onClose: (error) => server.onClose(error),
  }));
  const client = new End();
  const done = new Promise<void>((resolve) => {
    client.onClose = () => resolve();
  });
  const socket = await network.sockets.connect({ host: "server.test", port: 1 }, client);
  client.onData = (chunk) => {
    client.chunks.push(chunk.slice());
    if (client.received.length === 100_000) socket.close();
  };
  socket.write(bytes(100_000));
  await done;
  assert.deepEqual(client.received, bytes(100_000));
  assert.equal(server.closes, 1);
});
