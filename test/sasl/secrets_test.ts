/** Secrets planted in every option, and everything that could be printed of a producer while all goes wrong. */

import assert from "node:assert/strict";
import { presets, Producer, type ProducerOptions, validateConfig } from "../../mod.ts";
import { ApiVersions, Metadata, Produce, SaslAuthenticate, SaslHandshake } from "../../src/protocol/messages/mod.ts";
import { confluentExtensions, mskIam, mskToken, oauthBearer, oidc, plain } from "../../src/sasl/mod.ts";
import { googleToken, type SaslMechanism, scramSha256, scramSha512 } from "../../src/sasl/mod.ts";
import { EmbeddedCluster } from "../../src/testing/mod.ts";
import { test, type TestContext } from "../harness.ts";
import { everythingOf, formsOf, leaksIn } from "../secrets.ts";

/** Long enough that none stands anywhere by chance; with what JSON, addresses and forms write otherwise. */
const SECRETS = {
  password: 'pass"word/Ü+1=zebra',
  clientSecret: "client&secret?quagga",
  accessKey: "aws/secret+okapi/key",
  session: "aws-session-kudu==",
  token: "eyJhbGciOiJub25lIn0.bearer-gnu-token.sig",
  assertion: "eyJhbGciOiJub25lIn0.assertion-eland.sig",
  key: "-----BEGIN PRIVATE KEY-----impala-key",
  passphrase: "passphrase of a nyala",
  connectionKey: "share+d/access=dikdik",
} as const;
const ALL = Object.values(SECRETS);
const { password } = SECRETS;
const CONNECTION_STRING =
  `Endpoint=sb://n.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=${SECRETS.connectionKey}`;

const credentials = { accessKeyId: "AKIA", secretAccessKey: SECRETS.accessKey, sessionToken: SECRETS.session };
const answering = (status: number, body: string) => () =>
  Promise.resolve({ status, text: () => Promise.resolve(body) });
const endpoint = { tokenEndpoint: "https://login.example/token", clientId: "app" };
const good = answering(200, JSON.stringify({ access_token: SECRETS.token, expires_in: 60 }));
const echo = answering(
  400,
  JSON.stringify({ error: "invalid_client", error_description: `not ${SECRETS.clientSecret}` }),
);

/** Every mechanism with its secrets, each in a way that works and in ways that fail. */
const MECHANISMS: Readonly<Record<string, () => SaslMechanism>> = {
  plain: () => plain({ username: "app", password }),
  "plain from a function": () => plain(() => ({ username: "app", password })),
  "plain from a function that throws": () => plain(() => Promise.reject(new Error("no vault"))),
  scramSha256: () => scramSha256({ username: "app", password }),
  scramSha512: () => scramSha512({ username: "app", password }),
  "oauthBearer with a token": () =>
    oauthBearer({ token: () => SECRETS.token, extensions: confluentExtensions({ logicalCluster: "lkc-1" }) }),
  "oauthBearer with what is no token": () => oauthBearer({ token: () => `${SECRETS.token} and more` }),
  "oauthBearer with a token that has ended": () =>
    oauthBearer({ token: () => ({ value: SECRETS.token, expiresAtMs: 1 }) }),
  "oauthBearer with wrong extensions": () =>
    oauthBearer({ token: () => ({ value: SECRETS.token, extensions: { auth: "x" } }) }),
  "oidc with a secret": () =>
    oauthBearer({ token: oidc({ ...endpoint, clientSecret: SECRETS.clientSecret, fetch: good }) }),
  "oidc in the body, refused": () =>
    oauthBearer({
      token: oidc({ ...endpoint, clientSecret: SECRETS.clientSecret, authMethod: "post", fetch: echo, timeoutMs: 300 }),
    }),
  "oidc with an assertion, rubbish": () =>
    oauthBearer({
      token: oidc({ ...endpoint, assertion: SECRETS.assertion, fetch: answering(200, SECRETS.token), timeoutMs: 300 }),
    }),
  "oidc with an endpoint that can't be reached": () =>
    oauthBearer({
      token: oidc({
        ...endpoint,
        clientSecret: SECRETS.clientSecret,
        fetch: () => Promise.reject(new Error("unreachable")),
        timeoutMs: 300,
      }),
    }),
  mskIam: () => mskIam({ credentials, region: "eu-west-1" }),
  mskToken: () => oauthBearer({ token: mskToken({ credentials: () => credentials, region: "eu-west-1" }) }),
  googleToken: () =>
    oauthBearer({
      token: googleToken({
        access: () => ({ accessToken: SECRETS.token, subject: "a@example.com", expiresAtMs: 1e15 }),
      }),
    }),
};

/** What a broker does about it. */
const BROKERS: Readonly<Record<string, (cluster: EmbeddedCluster) => void>> = {
  "that goes on as it should": () => {},
  "that says in its refusal what it was sent": (cluster) => {
    cluster.control(SaslAuthenticate, ({ authBytes }) => {
      const errorMessage = `Not with ${new TextDecoder().decode(authBytes)}`;
      return { respond: { errorCode: 58, errorMessage, authBytes: new Uint8Array(0) } };
    });
  },
  "that answers with what it was sent": (cluster) => {
    cluster.control(
      SaslAuthenticate,
      ({ authBytes }) => ({ respond: { errorCode: 0, errorMessage: null, authBytes } }),
    );
  },
  "that offers another mechanism": (cluster) => {
    cluster.control(SaslHandshake, { respond: { errorCode: 33, mechanisms: ["OTHER"] } });
  },
  "that hangs up on the proof": (cluster) => void cluster.control(SaslAuthenticate, { close: true }),
  "that answers the proof with rubbish": (cluster) => {
    cluster.control(SaslAuthenticate, { bytes: [0, 0, 0, 2, 1, 2] } as never);
  },
  "that hangs up on the greeting": (cluster) => void cluster.control(ApiVersions, { close: true }),
  "that refuses the records": (cluster) => void cluster.control(Produce, { error: 29 }),
  "that has no metadata": (cluster) => void cluster.control(Metadata, { close: true }),
};

/** Runs a producer through whatever may go wrong, and returns everything that anybody could have printed. */
async function outputOf(t: TestContext, cluster: EmbeddedCluster, options: Partial<ProducerOptions>): Promise<string> {
  const seen: unknown[] = [];
  const log = (...args: unknown[]): void => void seen.push(args);
  const hooks = Object.fromEntries(
    ["onConnect", "onConnectFailed", "onDisconnect", "onRequest", "onResponse", "onRetry", "onThrottle"].map((name) => [
      name,
      log,
    ]),
  );
  const producer = new Producer({
    brokers: cluster.bootstrap,
    connect: cluster.sockets,
    securityProtocol: "sasl_plaintext",
    logger: { debug: log, info: log, warn: log, error: log },
    hooks,
    maxBlockMs: 400,
    deliveryTimeoutMs: 500,
    requestTimeoutMs: 300,
    connectTimeoutMs: 300,
    retryBackoffMs: 5,
    reconnectBackoffMs: 5,
    ...options,
  });
  t.after(() => producer.close({ timeoutMs: 100 }).catch(() => {}));
  const outcomes = await Promise.allSettled([
    producer.connect(),
    producer.send({ topic: "orders", value: "v" }),
    producer.partitionsFor("orders"),
  ]);
  seen.push(
    outcomes,
    producer,
    producer.metrics(),
    producer.snapshot(),
    await producer.close({ timeoutMs: 200 }).catch((error) => error),
  );
  return seen.map(everythingOf).join("\n");
}

test("secrets: a secret is found in all the forms in which it may get out", () => {
  const secret = SECRETS.password;
  const bytes = new TextEncoder().encode(`x${secret}y`);
  for (
    const text of [
      `a ${secret} b`,
      JSON.stringify({ secret }),
      new URLSearchParams({ secret }).toString().replaceAll("+", "%20"),
      Array.from(bytes).join(", "),
      Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(""),
      everythingOf(new Error("outside", { cause: { deep: [secret] } })),
      ...["", "a", "ab"].map((before) => btoa(before + String.fromCharCode(...bytes))),
    ]
  ) {
    assert.notDeepEqual(leaksIn(text, [secret]), [], text);
  }
  assert.ok(formsOf(secret).every((form) => form.length > 8));
  assert.deepEqual(leaksIn("nothing of that kind", ALL), []);
});

for (const [behaviour, set] of Object.entries(BROKERS)) {
  test(`secrets: none gets out of any mechanism with a broker ${behaviour}`, async (t) => {
    await Promise.all(
      Object.entries(MECHANISMS).map(async ([name, make], at) => {
        const cluster = new EmbeddedCluster({
          topics: { orders: 1 },
          // Every other mechanism is let in.
          sasl: {
            users: { app: at % 2 === 0 ? password : "another" },
            token: () => at % 2 === 0 ? undefined : "invalid_token",
            aws: { ...credentials, secretAccessKey: at % 2 === 0 ? SECRETS.accessKey : "another" },
            failureDelayMs: 1,
          },
        });
        set(cluster);
        const mechanism = make();
        const output = await outputOf(t, cluster, { sasl: mechanism });
        assert.deepEqual(leaksIn(`${output}\n${everythingOf(mechanism)}`, ALL), [], name);
      }),
    );
    // A broker may still be looking at the proof of somebody who has gone, which Deno takes for a leak.
    await new Promise((resolve) => setTimeout(resolve, 250));
  });
}

test("secrets: none gets into the error for options that can't be right", () => {
  const brokers = "localhost:9093";
  const unnamed = "s3cret-oryx-in-the-wrong-place";
  const wrong: readonly (() => unknown)[] = [
    () => validateConfig({ brokers, sasl: { mechanism: "plain", username: "u", password } }),
    () => validateConfig({ brokers, sasl: { mechanism: password, username: "u" } as never }),
    () =>
      validateConfig({ brokers, tls: true, sasl: { mechanism: "plain", username: password, password: 7 } as never }),
    () => validateConfig({ brokers, tls: true, sasl: { mechanism: "plain", username: "a\0", password } }),
    () => validateConfig({ brokers, sasl: password as never }),
    () => validateConfig({ brokers, sasl: { username: "u", password } as never }),
    () => validateConfig({ brokers, tls: { passphrase: SECRETS.passphrase } }),
    () => validateConfig({ brokers, tls: { key: SECRETS.key } }),
    () => validateConfig({ brokers, tls: SECRETS.key as never }),
    () => validateConfig({ brokers, tls: { verify: SECRETS.key } as never }),
    () => validateConfig({ brokers: CONNECTION_STRING }),
    () => validateConfig({ brokers: `user:${encodeURIComponent(unnamed)}@host:9092?password=${unnamed}` }),
    () => validateConfig({ brokers, password } as never),
    () => oidc({ ...endpoint, tokenEndpoint: `https://u:${unnamed}@h/`, clientSecret: SECRETS.clientSecret }),
    () => oidc({ ...endpoint, clientSecret: SECRETS.clientSecret, assertion: SECRETS.assertion }),
    () => oidc({ ...endpoint, clientSecret: { value: SECRETS.clientSecret } } as never),
    () => scramSha256({ username: "u", password: [password] } as never),
    () => mskIam({ credentials: { accessKeyId: "", secretAccessKey: SECRETS.accessKey } }),
    () => presets.eventHubs(CONNECTION_STRING.replace("Endpoint", "Endpunkt")),
    () => presets.confluentCloud({ brokers, apiKey: "", apiSecret: password, [unnamed.slice(0, 1)]: 1 } as never),
    () => validateConfig({ ...presets.eventHubs(CONNECTION_STRING), compression: "zstd" }),
    () => validateConfig({ ...presets.msk({ brokers, username: "u", password }), tls: false, securityProtocol: "ssl" }),
  ];
  for (const [at, make] of wrong.entries()) {
    let thrown: unknown;
    try {
      make();
    } catch (error) {
      thrown = error;
    }
    assert.ok(thrown instanceof Error, `number ${at + 1} was accepted`);
    assert.deepEqual(leaksIn(everythingOf(thrown), [...ALL, unnamed]), [], `number ${at + 1}: ${thrown}`);
  }
});

test("secrets: what is shown of a producer with TLS keys and a preset has none of them", async () => {
  const { can } = new EmbeddedCluster({ topics: { orders: 1 } }).sockets;
  const connect = {
    name: "own",
    can: { ...can, clientCert: true, ca: true },
    connect: () => Promise.reject(new Error("down")),
  };
  const tls = { cert: "CERT", key: SECRETS.key, passphrase: SECRETS.passphrase };
  const producer = new Producer({ ...presets.eventHubs(CONNECTION_STRING), tls, connect, maxBlockMs: 100 });
  const error = await producer.connect().catch((error) => error);
  const output = [producer, error, producer.metrics(), producer.snapshot()].map(everythingOf).join("\n");
  assert.deepEqual(leaksIn(output, [...ALL, CONNECTION_STRING]), []);
  await producer.close({ timeoutMs: 100 }).catch(() => {});
});
