import assert from "node:assert/strict";
import { AuthenticationError, ConfigError, ConnectionError, type KafkaError, ProtocolError } from "../../src/errors.ts";
import { dial, formatAddress } from "../../src/runtime/dial.ts";
import { QueueSocket } from "../../src/runtime/queue_socket.ts";
import type { SocketFactory } from "../../src/runtime/runtime.ts";
import { isTlsRefusal } from "../../src/runtime/tls_refusal.ts";
import { test } from "../harness.ts";

const factory: SocketFactory = {
  name: "fake",
  can: { ca: false, clientCert: false, serverName: false, skipHostname: false, insecure: false, detached: true },
  connect: () => Promise.reject(new Error("not meant to connect")),
};

test("dial: a socket that connects after the time is up is freed and raises no event", async () => {
  let kills = 0;
  let events = 0;
  let connectLate = (): void => {};
  let cancelled: AbortSignal | undefined;
  const late = new Promise<QueueSocket>((resolve) => {
    const sink = { gathers: true, send: () => {}, shutdown: () => {}, kill: () => kills++ };
    connectLate = () => resolve(new QueueSocket(sink, { onData: () => events++, onClose: () => events++ }));
  });
  const attempt = dial(factory, { host: "broker", port: 1, timeoutMs: 1 }, (signal) => {
    cancelled = signal;
    return late;
  });
  await assert.rejects(attempt, ConnectionError);
  assert.equal(cancelled?.aborted, true);
  assert.equal(kills, 0);
  connectLate();
  await late;
  await Promise.resolve();
  assert.deepEqual([kills, events], [1, 0]);
});

test("dial: a failure names the address and keeps its cause", async () => {
  const fails = async (cause: unknown): Promise<KafkaError> => {
    try {
      await dial(factory, { host: "::1", port: 9092 }, () => Promise.reject(cause), isTlsRefusal);
    } catch (error) {
      return error as KafkaError;
    }
    assert.fail("it did not reject");
  };
  const refused = Object.assign(new Error("Failed to connect"), { code: "ECONNREFUSED" });
  const error = await fails(refused);
  assert.ok(error instanceof ConnectionError);
  assert.equal(error.message, 'Connecting to "[::1]:9092" failed: Failed to connect (ECONNREFUSED)');
  assert.equal(error.broker, "[::1]:9092");
  assert.equal(error.cause, refused);

  const both = new AggregateError([new Error("first"), new Error("second")]);
  assert.equal((await fails(both)).message, 'Connecting to "[::1]:9092" failed: first, second');

  const own = new ProtocolError("Already one of ours");
  assert.equal(await fails(own), own);

  // A function of the caller's may have it from another client: it is no end of this one.
  const foreign = new ConfigError("connect", "A client has ended.", { fatal: true });
  const told = await fails(foreign);
  assert.ok(told instanceof ConnectionError);
  assert.deepEqual([told.fatal, told.retriable, told.cause], [false, true, foreign]);

  const expired = await fails(Object.assign(new Error("certificate has expired"), { code: "CERT_HAS_EXPIRED" }));
  assert.ok(expired instanceof AuthenticationError);
  assert.equal(expired.retriable, false);
});

test("dial: an IPv6 address stands in brackets", () => {
  assert.equal(formatAddress({ host: "::1", port: 9092 }), "[::1]:9092");
  assert.equal(formatAddress({ host: "broker.example", port: 9092 }), "broker.example:9092");
});
