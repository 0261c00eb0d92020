import assert from "node:assert/strict";
import { Negotiations } from "../../src/cluster/negotiation.ts";
import { openConnection } from "../../src/cluster/handshake.ts";
import { DialPace } from "../../src/cluster/pace.ts";
import { AuthenticationError, ConfigError, ConnectionError } from "../../src/errors.ts";
import type { SocketFactory } from "../../src/runtime/runtime.ts";
import { VirtualRuntime } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";

test("handshake: only a server that hangs up on TLS is asked whether it speaks plain text", async () => {
  const cases: [error: Error, isAborted: boolean, isProbed: boolean][] = [
    [new AuthenticationError("The certificate has expired."), false, false],
    [new ConfigError("tls", "Remove the option."), false, false],
    [new ConnectionError("It hung up."), true, false],
    [new ConnectionError("It hung up."), false, true],
  ];
  for (const [error, isAborted, isProbed] of cases) {
    const dialled: string[] = [];
    const aborting = new AbortController();
    const sockets: SocketFactory = {
      name: "refusing",
      can: { ca: true, clientCert: true, serverName: true, skipHostname: true, insecure: true, detached: true },
      connect: ({ tls }) => {
        dialled.push(tls === undefined ? "plain" : "tls");
        if (isAborted) aborting.abort();
        return Promise.reject(error);
      },
    };
    const runtime = new VirtualRuntime({ sockets });
    const address = { host: "broker", port: 9093 };
    const negotiations = new Negotiations(undefined);
    const opened = openConnection(
      runtime,
      address,
      {
        clientId: "test",
        connectTimeoutMs: 1_000,
        connectionMaxIdleMs: 60_000,
        maxResponseSize: 1_000,
        tls: {},
      },
      aborting.signal,
      {
        negotiation: negotiations.of(address),
        addressee: undefined,
        pipelined: undefined,
        pace: new DialPace(runtime),
      },
    );
    await assert.rejects(runtime.runUntil(opened));
    assert.deepEqual(dialled, isProbed ? ["tls", "plain"] : ["tls"], error.message);
    assert.equal(runtime.pendingTimers, 0);
  }
});
