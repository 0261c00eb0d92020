import assert from "node:assert/strict";
import { presets, Producer, type ProducerOptions, validateConfig } from "../../mod.ts";
import { ConfigError } from "../../src/errors.ts";
import { NAMES } from "../../src/producer/named_producer.ts";
import { resolveOptions } from "../../src/producer/options/options.ts";
import { plain } from "../../src/sasl/mod.ts";
import { SaslAuthenticate, SaslHandshake } from "../../src/protocol/messages/mod.ts";
import { EmbeddedCluster } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";

const KEY = "s3cretKey/with+signs=";
const CONNECTION_STRING =
  `Endpoint=sb://plant-7.servicebus.windows.net/;SharedAccessKeyName=sender;SharedAccessKey=${KEY};EntityPath=orders`;

/** What a preset comes to, with defaults. */
function resolved(options: ProducerOptions): ReturnType<typeof resolveOptions> {
  return resolveOptions(options, undefined, NAMES);
}

test("hosted: Event Hubs by its connection string, each value", () => {
  assert.deepEqual(presets.eventHubs(CONNECTION_STRING), {
    brokers: "plant-7.servicebus.windows.net:9093",
    tls: true,
    sasl: { mechanism: "plain", username: "$ConnectionString", password: CONNECTION_STRING },
    maxRequestSize: 1_000_000,
    requestTimeoutMs: 60_000,
    connectionMaxIdleMs: 180_000,
    metadataMaxAgeMs: 180_000,
  });
  const options = resolved(presets.eventHubs(CONNECTION_STRING));
  assert.deepEqual([options.sasl?.name, options.tls, options.codecs, options.remarks], ["PLAIN", true, [], []]);
  assert.ok(options.batchSizeCap <= 1_000_000 && options.idempotent);
  presets.eventHubs("Endpoint=sb://n.servicebus.windows.net;SharedAccessSignature=SharedAccessSignature sr=x&sig=y");
});

test("hosted: with Event Hubs another codec than gzip is a ConfigError, also without the preset", () => {
  const hub = presets.eventHubs(CONNECTION_STRING);
  for (const compression of ["none", "gzip", { codec: "gzip", level: 9 }] as const) {
    validateConfig({ ...hub, compression });
  }
  for (const compression of ["lz4", "zstd", "snappy", { topics: { a: "zstd" }, default: "gzip" }] as const) {
    for (const options of [hub, { brokers: ["other:1", "a.servicebus.windows.net:9093"] }]) {
      assert.throws(() => validateConfig({ ...options, compression }), (error) => {
        assert.ok(error instanceof ConfigError && error.option === "compression");
        assert.match(error.message, /^Set "compression" to "gzip" or "none": Event Hubs doesn't take "\w+"\.$/);
        return true;
      });
    }
  }
  validateConfig({ brokers: "servicebus.windows.net.example:9092", compression: "zstd" });
});

test("hosted: what is no connection string is refused, without the key in the message", () => {
  const wrong: readonly unknown[] = [
    undefined,
    7,
    "",
    KEY,
    `Endpoint=https://a.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=${KEY}`,
    `SharedAccessKeyName=n;SharedAccessKey=${KEY}`,
    `Endpoint=sb://a.servicebus.windows.net/;SharedAccessKey=${KEY}`,
    `Endpoint=sb://a.servicebus.windows.net/;SharedAccessKeyName=${KEY}`,
    `Endpoint=sb://a@${KEY}/;SharedAccessKeyName=n;SharedAccessKey=k`,
  ];
  for (const value of wrong) {
    assert.throws(() => presets.eventHubs(value as string), (error) => {
      assert.ok(error instanceof ConfigError, String(error));
      assert.match(error.message, /^Pass presets\.eventHubs\(\) a connection string like "Endpoint=sb:/);
      assert.ok(!error.message.includes("s3cret"), error.message);
      return true;
    });
  }
});

test("hosted: Confluent Cloud with an API key, and with tokens, each value", () => {
  const brokers = "pkc-abc12.eu-central-1.aws.confluent.cloud";
  const common = { brokers: [`${brokers}:9092`], tls: true, connectionMaxIdleMs: 180_000, metadataMaxAgeMs: 180_000 };
  const byKey = presets.confluentCloud({ brokers, apiKey: "KEY", apiSecret: "s3cret" });
  assert.deepEqual(byKey, { ...common, sasl: { mechanism: "plain", username: "KEY", password: "s3cret" } });
  assert.equal(resolved(byKey).sasl?.name, "PLAIN");
  const token = (): string => "t";
  const byToken = presets.confluentCloud({ brokers, token, logicalCluster: "lkc-1", identityPoolId: "pool-2" });
  const extensions = { logicalCluster: "lkc-1", identityPoolId: "pool-2" };
  assert.deepEqual(byToken, { ...common, sasl: { mechanism: "oauthbearer", token, extensions } });
  assert.equal(resolved(byToken).sasl?.name, "OAUTHBEARER");
  const withoutPool = presets.confluentCloud({ brokers, token, logicalCluster: "lkc-1" });
  assert.deepEqual((withoutPool.sasl as { extensions: unknown }).extensions, { logicalCluster: "lkc-1" });
});

test("hosted: Amazon MSK with an identity of AWS, and with a SCRAM user, each value", () => {
  const brokers = ["b-1.x.kafka.eu-west-1.amazonaws.com", "b-2.x.kafka.eu-west-1.amazonaws.com:9198"];
  const credentials = { accessKeyId: "AKIA", secretAccessKey: "s3cret" };
  const byIam = presets.msk({ brokers, credentials, region: "eu-west-1" });
  const servers = (port: number): string[] => [`${brokers[0]}:${port}`, brokers[1]!];
  assert.deepEqual(byIam, {
    brokers: servers(9098),
    tls: true,
    sasl: { mechanism: "aws_msk_iam", credentials, region: "eu-west-1" },
  });
  assert.equal(resolved(byIam).sasl?.name, "AWS_MSK_IAM");
  assert.deepEqual(presets.msk({ brokers: "a:1, b" }), {
    brokers: ["a:1", "b:9098"],
    tls: true,
    sasl: { mechanism: "aws_msk_iam" },
  });
  const byScram = presets.msk({ brokers, username: "app", password: "s3cret" });
  assert.deepEqual(byScram, {
    brokers: servers(9096),
    tls: true,
    sasl: { mechanism: "scram-sha-512", username: "app", password: "s3cret" },
  });
  assert.equal(resolved(byScram).sasl?.name, "SCRAM-SHA-512");
});

test("hosted: what doesn't go together, is missing or unknown is refused, without secrets in the message", () => {
  const { confluentCloud, msk } = presets as unknown as Record<string, (options: unknown) => unknown>;
  const wrong: readonly (readonly [() => unknown, RegExp])[] = [
    [() => confluentCloud!(undefined), /Pass presets\.confluentCloud\(\) an object/],
    [() => confluentCloud!({ brokers: "a", apiKey: "k" }), /Give presets\.confluentCloud\(\) "apiSecret" too/],
    [
      () => confluentCloud!({ brokers: "a", token: () => "t" }),
      /Give presets\.confluentCloud\(\) "logicalCluster" too/,
    ],
    [
      () => confluentCloud!({ brokers: "a", token: () => "t", logicalCluster: "l", apiSecret: "s3cret" }),
      /Take "apiSecret" out of presets\.confluentCloud\(\)/,
    ],
    [() => confluentCloud!({ apiKey: "k", apiSecret: "s3cret" }), /Set "brokers" to the bootstrap servers/],
    [() => msk!({ brokers: "a", password: "s3cret" }), /Give presets\.msk\(\) "username" too/],
    [() => msk!({ brokers: "a", username: "u", password: "s3cret", region: "r" }), /Take "region" out of presets\.msk/],
    [() => msk!({ brokers: "a", apiKey: "s3cret" }), /Take "apiKey" out of presets\.msk\(\), which knows "brokers"/],
    [() => msk!({ brokers: [] }), /Set "brokers" to the bootstrap servers/],
  ];
  for (const [make, wanted] of wrong) {
    assert.throws(
      make,
      (error) => error instanceof ConfigError && wanted.test(error.message) && !/s3cret/.test(error.message),
    );
  }
});

test("hosted: a field that is undefined, as a variable of the environment that isn't set, wasn't given", () => {
  const { confluentCloud, msk } = presets as unknown as Record<string, (options: unknown) => { sasl: unknown }>;
  const none = { token: undefined, logicalCluster: undefined, identityPoolId: undefined };
  assert.deepEqual(
    confluentCloud!({ brokers: "a", ...none, apiKey: "k", apiSecret: "s3cret" }),
    confluentCloud!({ brokers: "a", apiKey: "k", apiSecret: "s3cret" }),
  );
  const token = (): string => "t";
  const noKey = { apiKey: undefined, apiSecret: undefined, identityPoolId: undefined };
  assert.deepEqual(
    confluentCloud!({ brokers: ["a", undefined], token, logicalCluster: "l", ...noKey }),
    confluentCloud!({ brokers: "a", token, logicalCluster: "l" }),
  );
  const noUser = { username: undefined, password: undefined };
  assert.deepEqual(msk!({ brokers: "a", region: "r", credentials: undefined, ...noUser }).sasl, {
    mechanism: "aws_msk_iam",
    region: "r",
  });
  const noIdentity = { credentials: undefined, region: undefined };
  assert.deepEqual(
    msk!({ brokers: "a", username: "u", password: "p", ...noIdentity }),
    msk!({ brokers: "a", username: "u", password: "p" }),
  );
  resolved(msk!({ brokers: "a", ...noIdentity, ...noUser }) as ProducerOptions);
  class Config {
    get brokers(): string {
      return "a";
    }
    get apiKey(): string {
      return "k";
    }
    get apiSecret(): string {
      return "s3cret";
    }
  }
  assert.deepEqual(
    confluentCloud!(new Config()),
    confluentCloud!({ brokers: "a", apiKey: "k", apiSecret: "s3cret" }),
  );
});

test("hosted: where something is missing, the error says what, and where it comes from", () => {
  const { confluentCloud, msk, eventHubs } = presets as unknown as Record<string, (options: unknown) => unknown>;
  const none = { token: undefined, logicalCluster: undefined, apiKey: undefined, apiSecret: undefined };
  const oidc = "oidc({ … }) of @sluice/kafka/sasl fetches tokens, the console has the cluster's id.";
  const made = "the console makes both, and so does confluent api-key create.";
  const secret = "the secret of AWS Secrets Manager that is associated with the cluster has both.";
  const cases: readonly (readonly [() => unknown, string])[] = [
    [
      () => confluentCloud!({ brokers: "a", ...none }),
      `Give presets.confluentCloud() "apiKey" and "apiSecret": ${made}`,
    ],
    [
      () => confluentCloud!({ brokers: "a", ...none, apiKey: "k" }),
      `Give presets.confluentCloud() "apiSecret" too: ${made}`,
    ],
    [
      () => confluentCloud!({ brokers: "a", ...none, logicalCluster: "l" }),
      `Give presets.confluentCloud() "token" too: ${oidc}`,
    ],
    [
      () => confluentCloud!({ brokers: "a", ...none, token: () => "t" }),
      `Give presets.confluentCloud() "logicalCluster" too: ${oidc}`,
    ],
    [
      () => confluentCloud!({ brokers: undefined, apiKey: "k", apiSecret: "s" }),
      `Set "brokers" to the bootstrap servers of the cluster: the console has them in the cluster's settings.`,
    ],
    [() => msk!({ brokers: "a", username: "u", password: undefined }), `Give presets.msk() "password" too: ${secret}`],
    [
      () => msk!({ brokers: [undefined] }),
      `Set "brokers" to the bootstrap servers of the cluster: aws kafka get-bootstrap-brokers prints them.`,
    ],
  ];
  for (const [make, message] of cases) {
    assert.throws(make, (error) => error instanceof ConfigError && (assert.equal(error.message, message), true));
  }
  assert.throws(
    () => eventHubs!(undefined),
    /: there is none, and the portal has it under "Shared access policies"\.$/,
  );
});

test("hosted: a producer with the preset for Event Hubs delivers to brokers that treat it as Event Hubs does", async (t) => {
  const users = { $ConnectionString: CONNECTION_STRING };
  const cluster = new EmbeddedCluster({ release: "event-hubs", topics: { orders: 1 }, sasl: { users } });
  const producer = new Producer({
    ...presets.eventHubs(CONNECTION_STRING),
    brokers: cluster.bootstrap,
    connect: cluster.sockets,
    // In memory nothing speaks TLS.
    tls: false,
    securityProtocol: "sasl_plaintext",
  });
  t.after(() => producer.close());
  assert.equal((await producer.send({ topic: "orders", value: "v" })).offset, 0n);
  assert.equal(cluster.requestsOf(SaslHandshake).at(-1)!.body.mechanism, "PLAIN");
  assert.ok(cluster.requestsOf(SaslAuthenticate).length > 0);
});

test("hosted: with the core a mechanism as a value takes the place of the named one", () => {
  const { sasl: _, ...rest } = presets.eventHubs(CONNECTION_STRING);
  const sasl = plain({ username: "$ConnectionString", password: CONNECTION_STRING });
  assert.equal(resolveOptions({ ...rest, sasl }).sasl, sasl);
});
