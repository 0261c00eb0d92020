/** TLS of each runtime, against real servers: what is honoured, what is refused, and in which words. */

import assert from "node:assert/strict";
import { Producer } from "../../mod.ts";
import { AuthenticationError, ConfigError, ConnectionError, type KafkaError } from "../../src/errors.ts";
import type { TlsOptions } from "../../src/runtime/runtime.ts";
import { runtimeName, test, type TestContext } from "../harness.ts";
import { bytesOf, noise, Peer, serverPorts, sha256, sockets } from "./peer.ts";

type Server = keyof ReturnType<typeof serverPorts>["tls"]["ports"];

/** Trusts the tests' authority, which workerd can be told in its configuration only. */
function trusting(more: TlsOptions = {}): TlsOptions {
  return sockets.can.ca ? { ca: serverPorts().tls.ca, ...more } : more;
}

function connect(t: TestContext, server: Server, tls: TlsOptions | boolean, host = "localhost"): Promise<Peer> {
  return Peer.connect(t, serverPorts().tls.ports[server], sockets, { host, tls });
}

async function echoes(t: TestContext, server: Server, tls: TlsOptions | boolean, host?: string): Promise<void> {
  const peer = await connect(t, server, tls, host);
  peer.socket.write(bytesOf("hello"));
  await peer.until(() => peer.received.byteLength === 5 || peer.closes.length > 0);
  assert.equal(new TextDecoder().decode(peer.received), "hello");
}

/** Why a server is not talked to: the rejection of connect(), or the reason of an end that comes right behind it. */
async function refusal(t: TestContext, server: Server, tls: TlsOptions | boolean, host?: string): Promise<KafkaError> {
  try {
    const peer = await connect(t, server, tls, host);
    peer.socket.write(bytesOf("hello"));
    await peer.until(() => peer.closes.length > 0);
    return peer.closes[0] as KafkaError;
  } catch (error) {
    return error as KafkaError;
  }
}

/** A test of what only some sockets can do; the others refuse the options, before anything is dialled. */
function testIf(
  capability: keyof typeof sockets.can,
  name: string,
  tls: TlsOptions,
  body: (t: TestContext) => Promise<void>,
): void {
  test(name, async (t) => {
    if (sockets.can[capability]) return await body(t);
    const error = await refusal(t, "good", tls);
    assert.ok(error instanceof ConfigError, String(error));
    assert.match(error.message, /^Remove the option "tls\.\w+": sockets of "workerd" /);
  });
}

test("tls: a server that a given authority vouches for is talked to, by name and by address, in TLS 1.2 and 1.3", async (t) => {
  await echoes(t, "good", trusting());
  await echoes(t, "old", trusting());
  // workerd checks no address against a certificate.
  if (runtimeName !== "workerd") await echoes(t, "good", trusting(), "127.0.0.1");
});

test("tls: megabytes in small and big parts arrive unharmed", async (t) => {
  const peer = await connect(t, "good", trusting());
  const parts = [3, 70_000, 16_384, 1, 2_000_000, 40_000, 1_000_000].map((length, i) => noise(length, i));
  for (const part of parts) if (!peer.socket.write(part)) await peer.socket.drained();
  const total = parts.reduce((sum, part) => sum + part.byteLength, 0);
  await peer.until(() => peer.received.byteLength >= total || peer.closes.length > 0);
  assert.equal(await sha256([peer.received]), await sha256(parts));
});

for (
  const [name, server, tls, meaning] of [
    ["that has expired", "expired", {}, /has expired\. Renew it/],
    ["that isn't valid yet", "early", {}, /isn't valid yet\. Compare the clocks/],
    [
      "of an authority that isn't trusted",
      "untrusted",
      {},
      /is not trusted\. Give the CA that has signed it as "tls\.ca"/,
    ],
    ["for other names", "elsewhere", {}, /is for other names\. Dial it by one of them, or set "tls\.serverName"/],
    ["of the test's authority, which nobody has named,", "good", { ca: undefined }, /is not trusted\. Give the CA/],
  ] as const
) {
  test(`tls: a certificate ${name} is refused at once, in words that are the same everywhere`, async (t) => {
    const { ca: _, ...none } = trusting();
    // workerd trusts that one by its configuration.
    if (runtimeName === "workerd" && server === "good") return await echoes(t, server, none);
    const error = await refusal(t, server, "ca" in tls ? none : trusting());
    if (runtimeName === "workerd") return assert.match(error.message, /workerd tells no more/);
    assert.ok(error instanceof AuthenticationError, String(error));
    assert.match(error.message, meaning);
    assert.match(error.message, /^TLS with "localhost:\d+" failed: its certificate/);
    assert.ok(error.cause instanceof Error);
  });
}

testIf("clientCert", "tls: a client certificate is shown, also with a key that a passphrase opens", {
  cert: "c",
  key: "k",
}, async (t) => {
  const { cert, key, encryptedKey, passphrase } = serverPorts().tls.client;
  await echoes(t, "mutual", trusting({ cert, key }));
  await echoes(t, "mutual", trusting({ cert, key: encryptedKey, passphrase }));
});

test("tls: a server that wants a client certificate and gets none says so, though it comes late", async (t) => {
  const error = await refusal(t, "mutual", trusting());
  if (runtimeName === "workerd") return assert.ok(error instanceof ConnectionError, String(error));
  assert.ok(error instanceof AuthenticationError, String(error));
  assert.match(error.message, /it refuses our certificate, or wants one\. Give "tls\.cert" and "tls\.key"/);
});

testIf("clientCert", "tls: keys, certificates and passphrases that can't be used are a ConfigError", {
  cert: "c",
  key: "k",
  passphrase: "p",
}, async (t) => {
  const { cert, key, encryptedKey } = serverPorts().tls.client;
  const wrong: Record<string, TlsOptions> = {
    "a key that is none": { cert, key: "s3cret" },
    "a certificate that is none": { cert: "s3cret", key },
    "a wrong passphrase": { cert, key: encryptedKey, passphrase: "s3cret" },
  };
  for (const [name, tls] of Object.entries(wrong)) {
    const error = await refusal(t, "mutual", trusting(tls));
    assert.ok(error instanceof ConfigError, `${name}: ${error}`);
    assert.doesNotMatch(`${error.message} ${error.stack}`, /s3cret/, name);
  }
});

testIf(
  "serverName",
  "tls: a server name stands in for the host in the check",
  { serverName: "a.example" },
  async (t) => {
    await echoes(t, "elsewhere", trusting({ serverName: "elsewhere.example" }));
    await echoes(t, "elsewhere", trusting({ serverName: "elsewhere.example" }), "127.0.0.1");
  },
);

testIf("skipHostname", "tls: verify ca leaves out the name and nothing else", { verify: "ca" }, async (t) => {
  await echoes(t, "elsewhere", trusting({ verify: "ca" }));
  for (const server of ["expired", "untrusted"] as const) {
    assert.ok(await refusal(t, server, trusting({ verify: "ca" })) instanceof AuthenticationError, server);
  }
});

testIf("insecure", "tls: verify none takes whoever is there", { verify: "none" }, async (t) => {
  for (const server of ["expired", "untrusted", "elsewhere"] as const) await echoes(t, server, { verify: "none" });
});

test("tls: what sockets of the runtime can't do is refused when the producer is made", async () => {
  const { cert, key } = serverPorts().tls.client;
  const needs: readonly (readonly [keyof typeof sockets.can, TlsOptions])[] = [
    ["ca", { ca: serverPorts().tls.ca }],
    ["clientCert", { cert, key }],
    ["serverName", { serverName: "kafka.example" }],
    ["skipHostname", { verify: "ca" }],
    ["insecure", { verify: "none" }],
  ];
  for (const [capability, tls] of needs) {
    const make = (): Producer => new Producer({ brokers: "localhost:9093", tls });
    if (sockets.can[capability]) await make().close();
    else {
      assert.throws(make, (error) => {
        assert.ok(error instanceof ConfigError);
        assert.match(error.message, /^Remove the option "tls\.\w+": sockets of "workerd" /);
        return true;
      });
    }
  }
});

test("tls: a producer at a port that speaks no TLS, and one without at a port that does, are told which it is", {
  needs: "listen",
}, async (t) => {
  const { EmbeddedCluster } = await import("../../src/testing/mod.ts");
  const cluster = new EmbeddedCluster({ topics: { orders: 1 } });
  const { address } = await cluster.listen();
  t.after(() => cluster.close());
  const tlsPort = `localhost:${serverPorts().tls.ports.good}`;
  for (
    const [brokers, tls, code, wanted] of [
      [address, true, "PLAIN_PORT", /^Remove "tls", or name the TLS port of the broker: \S+ looks like a plain port/],
      [tlsPort, false, "TLS_PORT", /^Set "tls" to true, or to an object with its options: \S+ looks like a TLS port/],
    ] as const
  ) {
    const producer = new Producer({ brokers, tls, maxBlockMs: 15_000 });
    t.after(() => producer.close({ timeoutMs: 1_000 }).catch(() => {}));
    const sends = [1, 2, 3].map((i) => producer.send({ topic: "orders", value: String(i) }));
    for (const { reason } of await Promise.allSettled([producer.connect(), ...sends]) as PromiseRejectedResult[]) {
      assert.ok(reason instanceof AuthenticationError, String(reason));
      assert.equal(reason.code, code);
      assert.match(reason.message, wanted);
    }
  }
});
