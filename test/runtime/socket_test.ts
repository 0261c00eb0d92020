/** One suite that the adapter of each runtime passes, against real TCP. */

import assert from "node:assert/strict";
import { ConfigError, ConnectionError } from "../../src/errors.ts";
import { selectRuntime } from "../../src/runtime/select.ts";
import { test } from "../harness.ts";
import { bytesOf, freshId, noise, Peer, type Report, reportOf, serverPorts, sha256, sockets } from "./peer.ts";

const silent = { onData: () => {}, onClose: () => {} };
const host = "127.0.0.1";

test("socket: connecting to a port that nobody listens on names the address", async () => {
  const port = serverPorts().refused;
  await assert.rejects(sockets.connect({ host, port }, silent), (error) => {
    assert.ok(error instanceof ConnectionError);
    assert.ok(error.message.includes(`127.0.0.1:${port}`), error.message);
    assert.equal(error.broker, `127.0.0.1:${port}`);
    assert.equal(error.retriable, true);
    assert.ok(error.cause instanceof Error);
    return true;
  });
});

test("socket: connecting to a server that does not answer ends after timeoutMs", async () => {
  const startedMs = performance.now();
  const port = serverPorts().hung;
  await assert.rejects(sockets.connect({ host, port, timeoutMs: 150 }, silent), (error) => {
    assert.ok(error instanceof ConnectionError);
    assert.ok(error.message.includes(`127.0.0.1:${port}`) && error.message.includes("150 ms"), error.message);
    return true;
  });
  const elapsedMs = performance.now() - startedMs;
  assert.ok(elapsedMs >= 100, `took ${elapsedMs} ms`);
});

test("socket: a signal gives up on connecting", async () => {
  const controller = new AbortController();
  const reason = new Error("enough");
  const attempt = sockets.connect({ host, port: serverPorts().hung, signal: controller.signal }, silent);
  setTimeout(() => controller.abort(reason), 50);
  await assert.rejects(attempt, (error) => error instanceof ConnectionError && error.cause === reason);
});

test("socket: a signal that is aborted already connects nothing", async () => {
  const attempt = sockets.connect({ host, port: serverPorts().echo, signal: AbortSignal.abort("no") }, silent);
  await assert.rejects(attempt, (error) => error instanceof ConnectionError && error.cause === "no");
});

test("socket: a signal has no effect once connected", async (t) => {
  const controller = new AbortController();
  let received = 0;
  let close: (error?: Error) => void;
  const closed = new Promise<Error | undefined>((resolve) => close = resolve);
  let wake = (): void => {};
  const socket = await sockets.connect({ host, port: serverPorts().echo, signal: controller.signal }, {
    onData: (chunk) => {
      received += chunk.byteLength;
      wake();
    },
    onClose: (error) => close(error),
  });
  t.after(async () => {
    socket.destroy();
    assert.equal(await closed, undefined);
  });
  controller.abort();
  socket.write(bytesOf("still there"));
  while (received < 11) await new Promise<void>((resolve) => wake = resolve);
});

test("socket: what is written comes back from an echo", async (t) => {
  const peer = await Peer.connect(t, serverPorts().echo);
  assert.equal(peer.socket.write(bytesOf("hello, ")), true);
  assert.equal(peer.socket.write([bytesOf("wor"), new Uint8Array(0), bytesOf("ld")]), true);
  await peer.until(() => peer.received.byteLength === 12);
  assert.equal(new TextDecoder().decode(peer.received), "hello, world");
  assert.equal(peer.socket.bufferedBytes, 0);
});

test("socket: a name is resolved", async (t) => {
  const peer = new Peer();
  const socket = await sockets.connect({ host: "localhost", port: serverPorts().echo, signal: t.signal }, {
    onData: () => {},
    onClose: (error) => void peer.closes.push(error),
  });
  socket.destroy();
});

test("socket: thousands of small writes arrive in order", async (t) => {
  const peer = await Peer.connect(t, serverPorts().echo);
  const parts = Array.from({ length: 5_000 }, (_, i) => noise(1 + (i * 7) % 61, i));
  for (const [i, part] of parts.entries()) {
    peer.socket.write(part);
    if (i % 1_000 === 999) await new Promise((resolve) => setTimeout(resolve, 0));
  }
  const total = parts.reduce((sum, part) => sum + part.byteLength, 0);
  await peer.until(() => peer.received.byteLength >= total);
  assert.equal(await sha256([peer.received]), await sha256(parts));
});

test("socket: small and big parts of one write arrive in order", async (t) => {
  const peer = await Peer.connect(t, serverPorts().echo);
  const lengths = [3, 200_000, 5, 5, 70_000, 40_000, 1, 31_000, 31_000, 300_000, 9];
  const parts = lengths.map((length, i) => noise(length, i));
  peer.socket.write(parts);
  peer.socket.write(parts[0]!);
  const total = lengths.reduce((sum, length) => sum + length, 3);
  await peer.until(() => peer.received.byteLength >= total);
  assert.equal(await sha256([peer.received]), await sha256([...parts, parts[0]!]));
});

test("socket: 32 MB to a slow reader arrive unharmed, and write() says when to wait", async (t) => {
  const parts = Array.from({ length: 750 }, (_, i) => noise([20, 1_500, 33_000, 65_536, 130_000][i % 5]!, i));
  const totalBytes = parts.reduce((sum, part) => sum + part.byteLength, 0);
  assert.ok(totalBytes > 32 << 20);
  const peer = await Peer.command(t, { mode: "sink", id: freshId(), totalBytes, pauseMs: 1 });
  let waits = 0;
  let mostBytes = 0;
  for (let i = 0; i < parts.length; i += 5) {
    if (!peer.socket.write(parts.slice(i, i + 5))) {
      waits++;
      mostBytes = Math.max(mostBytes, peer.socket.bufferedBytes);
      await peer.socket.drained();
      assert.ok(peer.socket.bufferedBytes <= 1 << 20);
    }
  }
  const report = await peer.line<Report>();
  assert.equal(report.bytes, totalBytes);
  assert.equal(report.sha256, await sha256(parts));
  assert.ok(waits > 0, "a slow reader never made the writer wait");
  assert.ok(mostBytes < 2 << 20, `${mostBytes} bytes waited`);
  assert.equal(peer.socket.bufferedBytes, 0);
});

test("socket: close() sends what waits and then ends", async (t) => {
  const id = freshId();
  const peer = await Peer.command(t, { mode: "sink", id, pauseMs: 1 });
  const parts = Array.from({ length: 60 }, (_, i) => noise(100_000, i));
  for (const part of parts) peer.socket.write(part);
  peer.socket.close();
  peer.socket.close();
  peer.socket.write(bytesOf("too late"));
  await peer.until(() => peer.closes.length > 0);
  const report = await reportOf(t, id);
  assert.equal(report.bytes, 6_000_000);
  assert.equal(report.sha256, await sha256(parts));
  assert.equal(report.failure, undefined);
  assert.deepEqual(peer.closes, [undefined]);
});

test("socket: destroy() drops what waits and reports its error once", async (t) => {
  const id = freshId();
  const peer = await Peer.command(t, { mode: "stall", id });
  const parts = Array.from({ length: 100 }, (_, i) => noise(1 << 18, i));
  for (const part of parts) peer.socket.write(part);
  const drained = peer.socket.drained();
  const reason = new Error("no more");
  peer.socket.destroy(reason);
  assert.equal(peer.closes.length, 0, "onClose came from within destroy()");
  peer.socket.destroy();
  peer.socket.close();
  assert.equal(peer.socket.write(parts[0]!), true);
  await drained;
  await peer.until(() => peer.closes.length > 0);
  await Peer.command(t, { mode: "release", id });
  const report = await reportOf(t, id);
  assert.ok(report.bytes < 100 * (1 << 18), `${report.bytes} bytes arrived`);
  assert.deepEqual(peer.closes, [reason]);
  assert.equal(peer.socket.bufferedBytes, 0);
});

test("socket: a server that ends is an orderly close, after its last bytes", async (t) => {
  const peer = await Peer.command(t, { mode: "bye" });
  await peer.until(() => peer.closes.length > 0);
  assert.equal(new TextDecoder().decode(peer.received), "bye");
  assert.deepEqual(peer.closes, [undefined]);
  assert.equal(peer.socket.write(bytesOf("anybody?")), true);
  peer.socket.close();
});

test("socket: a reset is a close with an error that names the address", async (t) => {
  const peer = await Peer.command(t, { mode: "reset" });
  await peer.until(() => peer.closes.length > 0);
  const [error] = peer.closes;
  assert.ok(error instanceof ConnectionError, String(error));
  assert.ok(error.message.includes(`127.0.0.1:${serverPorts().modes}`), error.message);
  assert.equal(peer.closes.length, 1);
});

test("socket: an exception in onData ends the connection with it", async () => {
  const failure = new Error("can't read this");
  const closed = new Promise<Error | undefined>((resolve) => {
    const events = {
      onData: () => {
        throw failure;
      },
      onClose: resolve,
    };
    void sockets.connect({ host, port: serverPorts().echo }, events).then((socket) => socket.write(bytesOf("?")));
  });
  assert.equal(await closed, failure);
});

test("socket: header and body in two writes wait for no delayed acknowledgement", async (t) => {
  const { defer } = selectRuntime();
  const peer = await Peer.command(t, { mode: "frames" });
  const header = new Uint8Array([0, 0, 0, 100]);
  let quick = 0;
  // The system acknowledges at once in the beginning, so the first round trips show nothing. A busy machine slows many of
  // the others down, but a delayed acknowledgement (40 ms) slows all of them.
  for (let i = 0; i < 400 && quick < 10; i++) {
    const before = peer.received.byteLength;
    const startedMs = performance.now();
    peer.socket.write(header);
    await new Promise<void>((resolve) => defer(resolve));
    await new Promise<void>((resolve) => defer(resolve));
    peer.socket.write(noise(100, i));
    await peer.until(() => peer.received.byteLength === before + 4);
    if (i >= 40 && performance.now() - startedMs < 20) quick++;
  }
  assert.equal(quick, 10, "round trips of less than 20 ms");
});

test("socket: a TLS option that the runtime can't honour is refused by name", async () => {
  const connect = (tls: Record<string, string>): Promise<unknown> =>
    sockets.connect({ host, port: serverPorts().refused, tls }, silent);
  const options = [
    [sockets.can.ca, "tls.ca", { ca: "-----BEGIN CERTIFICATE-----" }],
    [sockets.can.clientCert, "tls.cert", { cert: "c", key: "k" }],
    [sockets.can.serverName, "tls.serverName", { serverName: "elsewhere" }],
    [sockets.can.skipHostname, "tls.verify", { verify: "ca" }],
    [sockets.can.insecure, "tls.verify", { verify: "none" }],
  ] as const;
  for (const [can, option, tls] of options) {
    if (can) continue;
    await assert.rejects(connect(tls), (error) => error instanceof ConfigError && error.option === option);
  }
  await assert.rejects(connect({ cert: "c" }), (error) => error instanceof ConfigError && error.option === "tls.cert");
});
