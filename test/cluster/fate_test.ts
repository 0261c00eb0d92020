import assert from "node:assert/strict";
import { Connection } from "../../src/cluster/connection.ts";
import type { KafkaError } from "../../src/errors.ts";
import { Metadata } from "../../src/protocol/messages/mod.ts";
import { QueueSocket } from "../../src/runtime/queue_socket.ts";
import type { SocketFactory } from "../../src/runtime/runtime.ts";
import { VirtualRuntime } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";

/** Sockets whose first send never ends: the system has been given the first frame, and nothing of the later ones. */
const stuckSockets: SocketFactory = {
  name: "stuck",
  can: { ca: false, clientCert: false, serverName: false, skipHostname: false, insecure: false, detached: true },
  connect: (_options, events) => {
    return Promise.resolve(new QueueSocket({ gathers: true, send() {}, shutdown() {}, kill() {} }, events));
  },
};

test("connection: after a request timeout a frame that was begun is possibly persisted, one that only waited is not", async () => {
  const runtime = new VirtualRuntime({ sockets: stuckSockets });
  const connection = new Connection(runtime, { host: "stuck", port: 9092 }, {
    clientId: "test",
    connectTimeoutMs: 1_000,
    connectionMaxIdleMs: 60_000,
    maxResponseSize: 1_000,
  });
  await connection.dial(1_000, new AbortController().signal);
  const ask = (): Promise<KafkaError> => {
    return connection.request(Metadata, 12, { topics: [{ name: "t" }] }, 500).then(
      () => assert.fail("there was an answer"),
      (error) => error,
    );
  };
  const begun = ask();
  const waiting = ask();
  await runtime.advance(501);
  assert.deepEqual([(await begun).persisted, (await waiting).persisted], ["possibly", "no"]);
  assert.equal((await begun).name, "TimeoutError");
});
