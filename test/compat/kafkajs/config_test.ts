/** KafkaJS's configuration, in the words of this package. */
import assert from "node:assert/strict";
import { resolveConfig } from "../../../src/compat/kafkajs/config.ts";
import { type KafkaConfig, KafkaJSNonRetriableError, type ProducerConfig } from "../../../src/compat/kafkajs/mod.ts";
import { saslOf } from "../../../src/compat/kafkajs/sasl.ts";
import { validateConfig } from "../../../mod.ts";
import type { SaslMechanism } from "../../../src/sasl/mechanism.ts";
import { ofAnotherRealm } from "../../another_realm.ts";
import { test } from "../../harness.ts";
import { stage } from "./stage.ts";

const { kafka } = stage();
const logger = kafka({ logLevel: 0 }).logger();
const base = { brokers: ["a:1"] };

function optionsOf(config: Partial<KafkaConfig> = {}, producer: ProducerConfig = {}) {
  const { options } = resolveConfig({ ...base, ...config }, producer, logger);
  validateConfig({ brokers: "a:1", idempotent: producer.idempotent ?? false, ...options });
  return options;
}

test("compat kafkajs config: the defaults are those of KafkaJS", () => {
  const { deliveryTimeoutMs, maxBlockMs, ...options } = optionsOf();
  assert.deepEqual(options, {
    clientId: "kafkajs",
    retries: 5,
    unknownTopicRetries: 5,
    retryBackoffMs: 300,
    retryBackoffMaxMs: 30_000,
    requestTimeoutMs: 30_000,
    connectTimeoutMs: 1_000,
    metadataMaxAgeMs: 300_000,
    maxInFlight: 5,
    allowAutoTopicCreation: true,
  });
  // Five waits, 300 ms and twice as long each time, a fifth more at most, and six attempts.
  assert.equal(maxBlockMs, 11_160 + 6 * 1_000);
  assert.equal(deliveryTimeoutMs, 11_160 + 6 * 30_000);
});

test("compat kafkajs config: options of the client and of the producer become ours", () => {
  const options = optionsOf({
    clientId: "shop",
    connectionTimeout: 3_000,
    authenticationTimeout: 7_000,
    requestTimeout: 25_000,
    retry: { retries: 2, initialRetryTime: 100, maxRetryTime: 150 },
    ssl: true,
    sasl: { mechanism: "scram-sha-256", username: "u", password: "p" },
    sluice: { lingerMs: 5, clusterCheck: false },
  }, {
    retry: { retries: 3 },
    metadataMaxAge: 1_000,
    allowAutoTopicCreation: false,
    maxInFlightRequests: 7,
    sluice: { lingerMs: 6 },
  });
  assert.deepEqual(options, {
    clientId: "shop",
    retries: 3,
    unknownTopicRetries: 3,
    retryBackoffMs: 100,
    retryBackoffMaxMs: 150,
    // 120 and twice 180 ms between four attempts
    maxBlockMs: 480 + 4 * 10_000,
    deliveryTimeoutMs: 480 + 4 * 25_000,
    requestTimeoutMs: 25_000,
    connectTimeoutMs: 10_000,
    metadataMaxAgeMs: 1_000,
    maxInFlight: 7,
    allowAutoTopicCreation: false,
    tls: true,
    sasl: { mechanism: "scram-sha-256", username: "u", password: "p" },
    lingerMs: 6,
    clusterCheck: false,
  });
  assert.equal(optionsOf({}, { idempotent: true, maxInFlightRequests: 20 }).maxInFlight, 5);
});

test("compat kafkajs config: a number at its bound is taken, one beyond is not, and no number is", () => {
  const most = 2_147_483_647;
  const table: [least: number, most: number, (value: number) => [Partial<KafkaConfig>, ProducerConfig]][] = [
    [0, most, (requestTimeout) => [{ requestTimeout }, {}]],
    [1, most, (connectionTimeout) => [{ connectionTimeout }, {}]],
    [0, Infinity, (retries) => [{ retry: { retries } }, {}]],
    [1, most, (metadataMaxAge) => [{}, { metadataMaxAge }]],
    [1, most, (transactionTimeout) => [{}, { transactionTimeout }]],
  ];
  for (const [least, most, make] of table) {
    const resolve = (value: unknown) => () => {
      const [config, producer] = make(value as number);
      return resolveConfig({ ...base, ...config }, producer, logger);
    };
    for (const value of [least, most]) assert.doesNotThrow(resolve(value), `${make} ${value}`);
    for (const value of [least - 1, most === Infinity ? NaN : most + 1, `${least}`]) {
      assert.throws(resolve(value), KafkaJSNonRetriableError, `${make} ${value}`);
    }
  }
  // The longest wait is never shorter than the first.
  assert.equal(optionsOf({ retry: { initialRetryTime: 500, maxRetryTime: 100 } }).retryBackoffMaxMs, 500);
});

test("compat kafkajs config: an idempotent producer tries again without limit, within the time of five retries", () => {
  const { options } = resolveConfig(base, { idempotent: true }, logger);
  assert.deepEqual([options.retries, options.maxBlockMs], [Infinity, 17_160]);
  const told = resolveConfig(base, { idempotent: true, retry: { retries: Number.MAX_SAFE_INTEGER } }, logger);
  assert.deepEqual([told.options.retries, told.options.deliveryTimeoutMs], [Infinity, 2_147_483_647]);
});

test("compat kafkajs config: a transaction may take ten seconds, which is how often a broker looks", () => {
  const timeoutOf = (transactionTimeout?: number) => {
    return resolveConfig(base, transactionTimeout === undefined ? {} : { transactionTimeout }, logger)
      .transactionTimeoutMs;
  };
  assert.deepEqual([timeoutOf(), timeoutOf(100), timeoutOf(30_000)], [60_000, 10_000, 30_000]);
});

test("compat kafkajs config: TLS options of Node become ours, bytes and lists too", () => {
  const pem = new TextEncoder().encode("PEM");
  const cases: [KafkaConfig["ssl"], unknown][] = [
    [true, true],
    [false, false],
    [{}, {}],
    [{ rejectUnauthorized: false }, { verify: "none" }],
    [{ rejectUnauthorized: true }, {}],
    [{ checkServerIdentity: () => undefined }, { verify: "ca" }],
    [{ servername: "kafka.test", passphrase: "secret" }, { serverName: "kafka.test", passphrase: "secret" }],
    [{ ca: [pem, "B"], cert: pem, key: ["KEY"] }, { ca: ["PEM", "B"], cert: "PEM", key: "KEY" }],
    [{ ca: "A" }, { ca: ["A"] }],
    [{ cert: ofAnotherRealm(pem) as never }, { cert: "PEM" }],
  ];
  for (const [ssl, tls] of cases) {
    assert.deepEqual(resolveConfig({ ...base, ssl }, {}, logger).options.tls, tls);
  }
  assert.equal("tls" in resolveConfig(base, {}, logger).options, false);
  for (const ssl of [{ ca: 7 }, { secureContext: {} }]) {
    assert.throws(() => resolveConfig({ ...base, ssl: ssl as never }, {}, logger), KafkaJSNonRetriableError);
  }
});

test("compat kafkajs config: a password goes through an open line, as in KafkaJS", () => {
  const sasl = { mechanism: "plain", username: "u", password: "p" } as const;
  assert.equal(optionsOf({ sasl }).securityProtocol, "sasl_plaintext");
  assert.equal(optionsOf({ sasl, ssl: true }).securityProtocol, undefined);
});

test("compat kafkajs config: its mechanism aws sends who the user is in one message", async () => {
  const aws = { mechanism: "aws", authorizationIdentity: "id", accessKeyId: "key", secretAccessKey: "secret" } as const;
  const mechanism = saslOf(aws, logger) as SaslMechanism;
  const sent: string[] = [];
  const send = (message: Uint8Array) => {
    sent.push(new TextDecoder().decode(message));
    return Promise.resolve(new Uint8Array());
  };
  await mechanism.authenticate({ send } as never);
  assert.deepEqual([mechanism.name, mechanism.sendsPassword, sent], ["AWS", true, ["id\0key\0secret\0"]]);
  assert.throws(() => saslOf({ ...aws, accessKeyId: "" }, logger), /Missing accessKeyId/);
});

test("compat kafkajs config: a mechanism of the user speaks with the broker", async () => {
  const { kafka, run, cluster } = stage({ sasl: { users: { app: "secret" } } });
  const prefixed = (text: string) => {
    const body = new TextEncoder().encode(text);
    const message = new Uint8Array(4 + body.length);
    new DataView(message.buffer).setInt32(0, body.length);
    message.set(body, 4);
    return message;
  };
  const answers: unknown[] = [];
  const producer = kafka({
    sasl: {
      mechanism: "plain",
      authenticationProvider: ({ host, port, saslAuthenticate }) => ({
        authenticate: async () => {
          answers.push(host, port);
          const answer = await saslAuthenticate({
            request: { encode: () => prefixed("\0app\0secret") },
            response: { decode: (raw: Uint8Array) => raw, parse: (raw: Uint8Array) => [...raw] },
          });
          answers.push(answer);
        },
      }),
    },
  }).producer();
  await run(producer.connect());
  await run(producer.send({ topic: "orders", messages: [{ value: "a" }] }));
  await run(producer.disconnect());
  assert.equal((await cluster.records("orders")).length, 1);
  // The answer's length before it, as KafkaJS's users expect.
  assert.deepEqual(answers.slice(0, 3), ["broker-1.test", 9092, [0, 0, 0, 0]]);
});
