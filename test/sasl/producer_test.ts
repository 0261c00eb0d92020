import assert from "node:assert/strict";
import { Producer, type ProducerOptions } from "../../mod.ts";
import { Producer as CoreProducer } from "../../core.ts";
import { AuthenticationError, ConfigError } from "../../src/errors.ts";
import {
  mskIam,
  oauthBearer,
  plain,
  type SaslMechanism,
  scramSha256,
  scramSha512,
  type TokenProvider,
} from "../../src/sasl/mod.ts";
import { SaslAuthenticate, SaslHandshake } from "../../src/protocol/messages/mod.ts";
import { EmbeddedCluster, type SaslOptions } from "../../src/testing/mod.ts";
import { test, type TestContext } from "../harness.ts";

const aws = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "secret" };
const users = { app: "pencil" };
const good = { username: "app", password: "pencil" };

function stage(
  t: TestContext,
  sasl: SaslOptions,
  options: Partial<ProducerOptions> & { sasl: SaslMechanism },
): { cluster: EmbeddedCluster; producer: Producer } {
  const cluster = new EmbeddedCluster({ topics: { orders: 3 }, brokers: 2, sasl: { failureDelayMs: 1, ...sasl } });
  const producer = new Producer({
    brokers: cluster.bootstrap,
    connect: cluster.sockets,
    securityProtocol: "sasl_plaintext",
    reconnectBackoffMs: 1,
    reconnectBackoffMaxMs: 2,
    retryBackoffMs: 1,
    ...options,
  });
  t.after(() => producer.close({ timeoutMs: 1_000 }).catch(() => {}));
  return { cluster, producer };
}

const token: TokenProvider = ({ wallNow }) => ({ value: "good", expiresAtMs: wallNow() + 3_600_000 });

for (
  const [name, sasl, mechanism] of [
    ["PLAIN", { users }, () => plain(good)],
    ["SCRAM-SHA-256", { users }, () => scramSha256(good)],
    ["SCRAM-SHA-512", { users }, () => scramSha512(good)],
    [
      "OAUTHBEARER",
      { token: (value: string) => value === "good" ? undefined : "invalid_token" },
      () => oauthBearer({ token }),
    ],
    ["AWS_MSK_IAM", { aws }, () => mskIam({ credentials: aws, region: "eu-west-1" })],
  ] as const
) {
  test(`sasl: ${name} delivers, on a cold start in as few round trips as its messages allow`, async (t) => {
    const { cluster, producer } = stage(t, sasl, { sasl: mechanism() });
    const { offset } = await producer.send({ topic: "orders", value: "hello" });
    assert.equal(offset, 0n);
    for (const { body } of cluster.requestsOf(SaslHandshake)) assert.equal(body.mechanism, name);
    // Everything is asked in one breath behind the last message of the mechanism.
    const first = cluster.requests.filter(({ connectionId }) => connectionId === cluster.requests[0]!.connectionId);
    const authentications = name.startsWith("SCRAM") ? ["SaslAuthenticate", "SaslAuthenticate"] : ["SaslAuthenticate"];
    assert.deepEqual(
      first.slice(0, 4 + authentications.length).map(({ api }) => api.name),
      ["ApiVersions", "SaslHandshake", ...authentications, "Metadata", "InitProducerId"],
    );
    assert.deepEqual(cluster.failures, []);
  });
}

for (
  const [name, sasl, mechanism, wanted] of [
    [
      "a wrong password",
      { users },
      plain({ ...good, password: "s3cret" }),
      /refused PLAIN: it says "Authentication failed.*"\. Correct what "sasl" holds, or make it known to the broker for /,
    ],
    ["a wrong password for SCRAM", { users }, scramSha256({ ...good, password: "s3cret" }), /refused SCRAM-SHA-256/],
    ["an unknown user", { users }, scramSha512({ ...good, username: "other" }), /refused SCRAM-SHA-512/],
    [
      "a mechanism that isn't offered",
      { users, mechanisms: ["SCRAM-SHA-512"] },
      plain(good),
      /offers \(SCRAM-SHA-512\)/,
    ],
    ["a token that is refused", { token: () => "invalid_token" }, oauthBearer({ token }), /invalid_token/],
    [
      "another AWS key",
      { aws },
      mskIam({ credentials: { ...aws, secretAccessKey: "s3cret" }, region: "eu-west-1" }),
      /Access denied/,
    ],
  ] as const
) {
  test(`sasl: ${name} is told at once to connect() and to each waiting record, and heals`, async (t) => {
    const { cluster, producer } = stage(t, sasl, { sasl: mechanism, retries: 3 });
    const sent = [1, 2, 3].map((i) => producer.send({ topic: "orders", value: String(i) }));
    const told = await Promise.allSettled([producer.connect(), ...sent]);
    for (const outcome of told) {
      assert.equal(outcome.status, "rejected");
      const { reason } = outcome as PromiseRejectedResult;
      assert.ok(reason instanceof AuthenticationError, String(reason));
      assert.match(reason.message, wanted);
      assert.doesNotMatch(`${reason.message} ${reason.stack} ${JSON.stringify(reason)}`, /s3cret|pencil/);
    }
    assert.ok(cluster.requestsOf(SaslAuthenticate).length < 20);
  });
}

test("sasl: after the cause is gone the same producer works", async (t) => {
  const accounts: Record<string, string> = { app: "old" };
  const { producer } = stage(t, { users: accounts }, { sasl: scramSha256(good) });
  await assert.rejects(producer.send({ topic: "orders", value: "a" }), AuthenticationError);
  accounts.app = "pencil";
  await producer.send({ topic: "orders", value: "b" });
});

test("sasl: a producer without credentials at a broker that wants some is told so", async (t) => {
  const { cluster } = stage(t, { users }, { sasl: plain(good) });
  const producer = new Producer({ brokers: cluster.bootstrap, connect: cluster.sockets, maxBlockMs: 10_000 });
  t.after(() => producer.close({ timeoutMs: 100 }).catch(() => {}));
  const told = await Promise.allSettled([producer.connect(), producer.send({ topic: "orders", value: "v" })]);
  for (const { reason } of told as PromiseRejectedResult[]) {
    assert.ok(reason instanceof AuthenticationError, String(reason));
    assert.match(reason.message, /^Set "sasl": the broker at \S+ wants to know who you are \(PLAIN, SCRAM/);
  }
});

test("sasl: credentials where none are wanted are told so", async (t) => {
  const cluster = new EmbeddedCluster({ topics: { orders: 1 } });
  const producer = new Producer({
    brokers: cluster.bootstrap,
    connect: cluster.sockets,
    securityProtocol: "sasl_plaintext",
    sasl: plain(good),
  });
  t.after(() => producer.close());
  await assert.rejects(producer.connect(), /Remove "sasl", or name another port/);
});

for (
  const [name, options, wanted] of [
    ["PLAIN on an open line", { sasl: plain(good) }, /Set "tls" to true/],
    ["a protocol that contradicts", { sasl: plain(good), securityProtocol: "ssl" }, /they mean "sasl_ssl"/],
    ["a protocol without its credentials", { securityProtocol: "sasl_ssl" }, /they mean "ssl"/],
    ["a protocol that isn't known", { securityProtocol: "tls" }, /one of "plaintext"/],
    ["a mechanism of another kind", { sasl: "plain" }, /Set "sasl" to a mechanism/],
    ["an object without a mechanism", { sasl: { username: "u", password: "s3cret" } }, /Set "sasl" to a mechanism/],
  ] as const
) {
  test(`sasl: ${name} is a ConfigError`, () => {
    assert.throws(
      () => new Producer({ brokers: "localhost", ...options } as unknown as ProducerOptions),
      (error) => error instanceof ConfigError && wanted.test(error.message) && !error.message.includes("s3cret"),
    );
  });
}

test("sasl: a mechanism by its name is found by the full producer, and the core says where it is", async (t) => {
  const cluster = new EmbeddedCluster({ topics: { orders: 1 }, sasl: { users } });
  const options = {
    brokers: cluster.bootstrap,
    connect: cluster.sockets,
    sasl: { mechanism: "scram-sha-256", ...good },
  } as const;
  const producer = new Producer(options);
  t.after(() => producer.close());
  await producer.send({ topic: "orders", value: "a" });
  assert.throws(() => new CoreProducer(options), /@sluice\/kafka\/sasl/);
});
