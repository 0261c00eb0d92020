import assert from "node:assert/strict";
import { Producer, type ProducerOptions, validateConfig } from "../../mod.ts";
import { ConfigError } from "../../src/errors.ts";
import { NAMES } from "../../src/producer/named_producer.ts";
import { resolveOptions } from "../../src/producer/options/options.ts";
import type { CompressionSpec } from "../../src/producer/options/compression.ts";
import type { SocketFactory, TlsOptions } from "../../src/runtime/runtime.ts";
import { VirtualRuntime } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";

/** The options that a program compiled with exactOptionalPropertyTypes couldn't pass on when it may not have them. */
type Exact<T> = { [N in keyof T]-?: Partial<Pick<T, N>> extends Pick<T, N> ? Defined<T, N> : never }[keyof T];
type Defined<T, N extends keyof T> = undefined extends Required<T>[N] ? never : N;

const BROKERS = "localhost:9092";

/** Resolves options that a type checker may dislike. */
function resolve(
  options: Record<string, unknown>,
): ReturnType<typeof resolveOptions> {
  return resolveOptions(
    { brokers: BROKERS, ...options } as never,
    undefined,
    NAMES,
  );
}

/** Asserts that the options are refused, and that the error names the option at fault and the value. */
function refuses(
  options: Record<string, unknown>,
  option: string,
  message?: RegExp,
): void {
  const given = { brokers: BROKERS, ...options } as never;
  for (
    const use of [
      () => validateConfig(given),
      () => new Producer(given, new VirtualRuntime()),
    ]
  ) {
    assert.throws(use, (error: unknown) => {
      assert.ok(error instanceof ConfigError, `${option}: ${String(error)}`);
      assert.equal(error.name, "ConfigError");
      assert.equal(error.code, "CONFIG");
      assert.equal(error.option, option);
      if (message !== undefined) assert.match(error.message, message);
      return true;
    });
  }
}

const sockets = (can: Partial<SocketFactory["can"]>): SocketFactory => ({
  name: "limited",
  can: {
    ca: true,
    clientCert: true,
    serverName: true,
    skipHostname: true,
    insecure: true,
    detached: true,
    ...can,
  },
  connect: () => Promise.reject(new Error("dialled")),
});

test("options: defaults are those of the documentation", () => {
  const {
    codecFor,
    connect: _connect,
    keySerializer,
    valueSerializer,
    logger: _logger,
    ...resolved
  } = resolve({});
  assert.deepEqual(resolved, {
    brokers: [{ host: "localhost", port: 9092 }],
    clientId: "sluice",
    acks: -1,
    idempotent: true,
    codecs: [],
    lingerMs: 0,
    batchSize: 16_384,
    batchSizeCap: 1_000_000,
    bufferMemory: 33_554_432,
    maxBlockMs: 60_000,
    maxRequestSize: 104_857_600,
    maxInFlight: 5,
    retries: Infinity,
    unknownTopicRetries: Infinity,
    waitForOutcome: false,
    gapless: false,
    onDataLoss: "continue",
    retryBackoffMs: 100,
    retryBackoffMaxMs: 1_000,
    deliveryTimeoutMs: 120_000,
    requestTimeoutMs: 30_000,
    connectTimeoutMs: 10_000,
    reconnectBackoffMs: 50,
    reconnectBackoffMaxMs: 1_000,
    metadataMaxAgeMs: 300_000,
    metadataMaxIdleMs: 300_000,
    connectionMaxIdleMs: 540_000,
    maxConnections: undefined,
    allowAutoTopicCreation: false,
    clusterCheck: true,
    partitioner: "sticky",
    interceptors: [],
    tls: false,
    sasl: undefined,
    hooks: {},
    snapshot: undefined,
    telemetry: undefined,
    remarks: [],
  });
  assert.equal(codecFor("any"), undefined);
  assert.equal(keySerializer, undefined);
  assert.equal(valueSerializer, undefined);
});

test("options: a batch size that is set is also the cap, one that is not lets a waiting batch grow", () => {
  assert.deepEqual([resolve({}).batchSize, resolve({}).batchSizeCap], [
    16_384,
    1_000_000,
  ]);
  const set = resolve({ batchSize: 16_384 });
  assert.deepEqual([set.batchSize, set.batchSizeCap], [16_384, 16_384]);
  assert.equal(resolve({ maxRequestSize: 50_000 }).batchSizeCap, 50_000);
});

test("options: every number is refused below and above its range, as a fraction, NaN and text", () => {
  const least: Record<string, number> = {
    lingerMs: 0,
    batchSize: 1,
    bufferMemory: 1,
    maxBlockMs: 0,
    maxRequestSize: 1,
    maxInFlight: 1,
    retries: 0,
    unknownTopicRetries: 0,
    retryBackoffMs: 0,
    retryBackoffMaxMs: 0,
    deliveryTimeoutMs: 1,
    requestTimeoutMs: 1,
    connectTimeoutMs: 1,
    reconnectBackoffMs: 0,
    reconnectBackoffMaxMs: 0,
    metadataMaxAgeMs: 1,
    metadataMaxIdleMs: 1,
    connectionMaxIdleMs: 1,
    maxConnections: 1,
  };
  const unbounded = ["retries", "unknownTopicRetries", "maxConnections"];
  for (const [name, min] of Object.entries(least)) {
    for (
      const bad of [
        min - 1,
        1.5,
        NaN,
        -Infinity,
        "5",
        null,
        true,
        {},
        [],
        Object.create(null),
        5n,
        Symbol("5"),
      ]
    ) {
      refuses({ [name]: bad }, name);
    }
    assert.doesNotThrow(() => resolve({ [name]: undefined }), name);
    if (unbounded.includes(name)) continue;
    if (name !== "metadataMaxIdleMs") {
      refuses({ [name]: Infinity }, name, /Infinity/);
    }
    if (name !== "bufferMemory" && name !== "metadataMaxIdleMs") {
      refuses({ [name]: 2 ** 31 }, name, /2147483648/);
    }
  }
  for (const [name, min] of Object.entries(least)) {
    const resolved = resolve({
      [name]: min,
      idempotent: false,
    }) as unknown as Record<string, number>;
    assert.equal(resolved[name], min, name);
  }
  assert.equal(
    resolve({ metadataMaxIdleMs: Infinity }).metadataMaxIdleMs,
    Infinity,
  );
  assert.equal(resolve({ retries: 7 }).retries, 7);
});

test("options: a wrong type of any other option is refused by its name", () => {
  const wrong: Record<string, readonly unknown[]> = {
    brokers: [undefined, null, 5, {}, [5], [undefined], ["a", null]],
    clientId: [5, null, {}, ["a"]],
    acks: ["0", "1", "-1", 2, -2, null, true, "ALL"],
    idempotent: ["true", 1, null],
    compression: [
      null,
      5,
      {},
      { level: 3 },
      "brotli",
      "",
      { codec: 5 },
      { codec: "lzma" },
      [],
      { topics: null },
    ],
    codecs: ["native", null, 5],
    allowAutoTopicCreation: ["false", 0, null],
    partitioner: ["murmur2", null, 5, {}],
    keySerializer: ["string", null, { serialize() {} }],
    valueSerializer: ["json", null, 5],
    tls: ["true", 1, null],
    sasl: ["plain", 5, {}, { username: "u" }, []],
    securityProtocol: ["tls", 5, null, {}],
    connect: [null, 5, {}, "tcp", { connect: "tcp" }],
    logger: [null, 5, "stdout", true],
  };
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) refuses({ [name]: value }, name);
  }
  refuses({ logger: { warn: "loud" } }, "logger.warn");
});

test("options: no options at all is a ConfigError, and so is a missing list of brokers", () => {
  for (const nothing of [undefined, null, 5, "localhost:9092"]) {
    assert.throws(() => validateConfig(nothing as never), {
      name: "ConfigError",
      option: "options",
    });
    assert.throws(() => new Producer(nothing as never, new VirtualRuntime()), {
      name: "ConfigError",
    });
  }
  assert.throws(() => validateConfig({} as never), {
    name: "ConfigError",
    option: "brokers",
  });
});

test("options: an unknown option is refused by its name, with a hint where one is at hand", () => {
  refuses({ colour: "red" }, "colour", /no such option\.$/);
  refuses(
    { bootstrapServers: "a:1" },
    "bootstrapServers",
    /Did you mean "brokers"\?/,
  );
  refuses(
    { "bootstrap.servers": "a:1" },
    "bootstrap.servers",
    /Did you mean "brokers"\?/,
  );
  refuses(
    { enableIdempotence: true },
    "enableIdempotence",
    /Did you mean "idempotent"\?/,
  );
  refuses(
    { compressionType: "gzip" },
    "compressionType",
    /Did you mean "compression"\?/,
  );
  refuses({ lingerms: 5 }, "lingerms", /Did you mean "lingerMs"\?/);
  refuses({ "linger.ms": 5 }, "linger.ms", /Did you mean "lingerMs"\?/);
  refuses(
    { buffer_memory: 5 },
    "buffer_memory",
    /Did you mean "bufferMemory"\?/,
  );
  refuses({ constructor: 5 }, "constructor", /no such option\.$/);
  refuses({ toString: 5 }, "toString", /no such option\.$/);
});

test("options: the names of Java, librdkafka and KafkaJS are answered with ours", () => {
  const table: Record<string, string> = {
    "bootstrap.servers": "brokers",
    "metadata.broker.list": "brokers",
    "client.id": "clientId",
    "acks.": "acks",
    "request.required.acks": "acks",
    "linger.ms": "lingerMs",
    "queue.buffering.max.ms": "lingerMs",
    "batch.size": "batchSize",
    "batch.num.messages": "batchSize",
    "buffer.memory": "bufferMemory",
    "queue.buffering.max.kbytes": "bufferMemory",
    "max.block.ms": "maxBlockMs",
    "max.request.size": "maxRequestSize",
    "message.max.bytes": "maxRequestSize",
    "compression.type": "compression",
    "compression.codec": "compression",
    "max.in.flight.requests.per.connection": "maxInFlight",
    "max.in.flight": "maxInFlight",
    maxInFlightRequests: "maxInFlight",
    "message.send.max.retries": "retries",
    "retry.backoff.ms": "retryBackoffMs",
    "retry.backoff.max.ms": "retryBackoffMaxMs",
    "delivery.timeout.ms": "deliveryTimeoutMs",
    "message.timeout.ms": "deliveryTimeoutMs",
    "request.timeout.ms": "requestTimeoutMs",
    "socket.timeout.ms": "requestTimeoutMs",
    requestTimeout: "requestTimeoutMs",
    connectionTimeout: "connectTimeoutMs",
    authenticationTimeout: "connectTimeoutMs",
    "socket.connection.setup.timeout.ms": "connectTimeoutMs",
    "reconnect.backoff.ms": "reconnectBackoffMs",
    "reconnect.backoff.max.ms": "reconnectBackoffMaxMs",
    "metadata.max.age.ms": "metadataMaxAgeMs",
    metadataMaxAge: "metadataMaxAgeMs",
    "topic.metadata.refresh.interval.ms": "metadataMaxAgeMs",
    "connections.max.idle.ms": "connectionMaxIdleMs",
    "allow.auto.create.topics": "allowAutoTopicCreation",
    "partitioner.class": "partitioner",
    createPartitioner: "partitioner",
    "key.serializer": "keySerializer",
    "value.serializer": "valueSerializer",
    "interceptor.classes": "interceptors",
    "enable.idempotence": "idempotent",
    "enable.gapless.guarantee": "gapless",
    ssl: "tls",
    socketFactory: "connect",
  };
  for (const [name, ours] of Object.entries(table)) {
    refuses({ [name]: 1 }, name, new RegExp(`Did you mean "${ours}"\\?$`));
  }
  const sentences: Record<string, RegExp> = {
    "compression.level": /"compression": \{ codec: "gzip", level: 6 \}/,
    retry: /"retries", "retryBackoffMs"/,
    logLevel: /"logger"/,
    logCreator: /"logger"/,
    dr_msg_cb: /onDelivery/,
    "statistics.interval.ms": /metrics\(\)/,
    "ssl.ca.location": /"tls"/,
    "security.protocol": /"tls"/,
    transactionalId: /"transactionalId" and "transactionTimeoutMs" to a TransactionalProducer/,
    "transactional.id": /"transactionalId" and "transactionTimeoutMs" to a TransactionalProducer/,
    rejectUnauthorized: /"verify" of "tls" to "none"/,
  };
  for (const [name, sentence] of Object.entries(sentences)) {
    refuses({ [name]: 1 }, name, sentence);
  }
  refuses(
    { tls: { rejectUnauthorized: false } },
    "tls",
    /"verify" of "tls" to "none"/,
  );
  refuses({ tls: { servername: "x" } }, "tls", /Did you mean "serverName"/);
  assert.equal(resolve({ acks: -1 }).acks, -1);
});

test("options: no message holds a secret out of brokers or TLS, whatever its place there", () => {
  const urls = [
    "kafka://user:s3cret@broker:9092",
    "user:s3cret@broker:9092",
    "kafka://user:s3,s3cret@broker",
    "https://broker:9092/?password=s3cret",
    "Endpoint=sb://x.servicebus.windows.net/;SharedAccessKey=s3cret",
    "SASL_SSL://s3cret@broker:9092",
  ];
  for (const url of urls) {
    for (
      const brokers of [url, [url], ["good:9092", url], `good:9092,${url}`, [
        "user@",
        url,
      ]]
    ) {
      for (
        const use of [
          () => validateConfig({ brokers }),
          () => new Producer({ brokers }, new VirtualRuntime()),
        ]
      ) {
        assert.throws(use, (error: unknown) => {
          assert.ok(error instanceof ConfigError && error.option === "brokers");
          assert.doesNotMatch(`${error.stack} ${JSON.stringify(error)}`, /s3/);
          assert.match(
            error.message,
            /host:port or \[IPv6\]:port, up to 65535, without scheme, user and path: server \d of \d/,
          );
          return true;
        });
      }
    }
  }
  for (const option of ["ca", "cert", "key", "passphrase", "serverName"]) {
    refuses(
      { tls: { [option]: { secret: "s3cret" } } },
      `tls.${option}`,
      /to text: an object is not/,
    );
    refuses(
      { tls: { [option]: new TextEncoder().encode("PEM") } },
      `tls.${option}`,
      /new TextDecoder\(\)\.decode/,
    );
  }
});

test("options: brokers are a list or one text with commas, each once, port 9092 unless written", () => {
  const addresses = (brokers: unknown): unknown => resolve({ brokers }).brokers;
  const localhost = { host: "localhost", port: 9092 };
  assert.deepEqual(addresses("localhost"), [localhost]);
  assert.deepEqual(addresses(["localhost"]), [localhost]);
  assert.deepEqual(addresses(" a:1 , b:2,,c "), [
    { host: "a", port: 1 },
    { host: "b", port: 2 },
    { host: "c", port: 9092 },
  ]);
  assert.deepEqual(addresses(["a:1,b:2", "c"]), addresses("a:1,b:2,c"));
  assert.deepEqual(addresses("a:1,a:1,a:2"), [{ host: "a", port: 1 }, {
    host: "a",
    port: 2,
  }]);
  assert.deepEqual(addresses("[::1]:1,[fe80::1%eth0],10.0.0.1:65535"), [
    { host: "::1", port: 1 },
    { host: "fe80::1%eth0", port: 9092 },
    { host: "10.0.0.1", port: 65_535 },
  ]);
});

test("options: brokers that can't be read are refused, with the one at fault", () => {
  for (const empty of ["", " ", ",", " , ,", [], [""], [" , "]]) {
    refuses({ brokers: empty }, "brokers", /at least one/);
  }
  const bad = [
    ..."a:0 a:65536 a:99999 a:123456 a:-1 a:x a: :9092 http://a:1 a/b:1 ::1 ::1:9092 [::1 [::1]x [g::1]:1"
      .split(" "),
    ..."user@a:1 a:1:2 []:1".split(" "),
    "a b:1",
  ];
  for (const one of bad) {
    assert.throws(
      () => resolve({ brokers: ["good:1", one] }),
      (error: unknown) => {
        assert.ok(error instanceof ConfigError, one);
        assert.equal(error.option, "brokers");
        assert.ok(error.message.includes(JSON.stringify(one)), error.message);
        return true;
      },
    );
  }
});

test("options: a client id of more than 32767 bytes in UTF-8 is refused", () => {
  assert.equal(
    resolve({ clientId: "a".repeat(32_767) }).clientId.length,
    32_767,
  );
  refuses({ clientId: "a".repeat(32_768) }, "clientId", /32767/);
  assert.equal(
    resolve({ clientId: "€".repeat(10_922) }).clientId.length,
    10_922,
  ); // 32,766 bytes
  refuses({ clientId: "€".repeat(10_923) }, "clientId", /32767/);
  assert.equal(resolve({ clientId: "" }).clientId, "");
});

test("options: idempotence × acks × retries × in flight, asked for, refused and left open", () => {
  let cases = 0;
  for (const idempotent of [undefined, true, false]) {
    for (const acks of [undefined, "all", -1, 1, 0]) {
      for (const retries of [undefined, Infinity, 3, 0]) {
        for (const maxInFlight of [undefined, 1, 5, 6]) {
          cases++;
          const options = { idempotent, acks, retries, maxInFlight };
          const note = JSON.stringify(options);
          const weakAcks = acks === 1 || acks === 0;
          const rulesOut = weakAcks ? "acks" : retries === 0 ? "retries" : undefined;
          const refused = idempotent === true && rulesOut !== undefined
            ? rulesOut
            : idempotent !== false && rulesOut === undefined &&
                maxInFlight === 6
            ? "maxInFlight"
            : undefined;
          if (refused !== undefined) {
            refuses(options, refused);
            continue;
          }
          const resolved = resolve(options);
          assert.equal(
            resolved.idempotent,
            idempotent !== false && rulesOut === undefined,
            note,
          );
          const off = resolved.remarks.some(([event]) => event === "idempotence_off");
          assert.equal(
            off,
            idempotent === undefined && rulesOut !== undefined,
            note,
          );
        }
      }
    }
  }
  assert.equal(cases, 240);
});

test("options: idempotence that other options switch off is told to the logger", () => {
  const events: [string, unknown][] = [];
  const logger = {
    warn: (event: string, fields: unknown) => void events.push([event, fields]),
  };
  new Producer({ brokers: BROKERS, acks: 1, logger }, new VirtualRuntime());
  assert.deepEqual(events, [["idempotence_off", { reason: "acks 1" }]]);
  events.length = 0;
  new Producer({ brokers: BROKERS, retries: 0, logger }, new VirtualRuntime());
  assert.deepEqual(events, [["idempotence_off", { reason: "0 retries" }]]);
  events.length = 0;
  new Producer(
    { brokers: BROKERS, acks: 1, idempotent: false, logger },
    new VirtualRuntime(),
  );
  assert.deepEqual(events, []);
  new Producer(
    { brokers: BROKERS, deliveryTimeoutMs: 1_000, logger },
    new VirtualRuntime(),
  );
  assert.equal(events[0]![0], "delivery_timeout_below_request_timeout");
});

test("options: a logger that throws breaks nothing", () => {
  const logger = {
    warn: () => {
      throw new Error("disk full");
    },
  };
  new Producer({ brokers: BROKERS, acks: 1, logger }, new VirtualRuntime());
});

test("options: a max request size below the batch size that was set is refused", () => {
  refuses(
    { batchSize: 1_000, maxRequestSize: 999 },
    "maxRequestSize",
    /batchSize/,
  );
  assert.equal(
    resolve({ batchSize: 1_000, maxRequestSize: 1_000 }).maxRequestSize,
    1_000,
  );
  assert.equal(resolve({ maxRequestSize: 999 }).maxRequestSize, 999);
});

test("options: a codec is a name, a name with a level, or one for each topic", () => {
  for (const name of ["gzip", "snappy", "lz4"] as const) {
    assert.equal(resolve({ compression: name }).codecFor("t")?.name, name);
    assert.equal(
      resolve({ compression: { codec: name }, codecs: "portable" }).codecFor(
        "t",
      )?.name,
      name,
    );
  }
  assert.equal(resolve({ compression: "none" }).codecFor("t"), undefined);
  const byTopic = resolve({
    compression: {
      topics: { a: "lz4", b: { codec: "gzip", level: 9 }, c: "none" },
      default: "snappy",
    },
  });
  assert.deepEqual(
    ["a", "b", "c", "d"].map((topic) => byTopic.codecFor(topic)?.name),
    [
      "lz4",
      "gzip",
      undefined,
      "snappy",
    ],
  );
  assert.deepEqual(byTopic.codecs.map(({ name }) => name), [
    "snappy",
    "lz4",
    "gzip",
  ]);
  assert.equal(
    resolve({ compression: { topics: { a: "lz4" } } }).codecFor("constructor"),
    undefined,
  );
});

test("options: a codec that doesn't exist, or a level that it doesn't heed, is refused at construction", () => {
  refuses(
    { compression: "brotli" },
    "compression",
    /brotli.*"none", "gzip", "snappy", "lz4", "zstd"/,
  );
  refuses({ compression: { codec: "gzip", level: 0 } }, "compression");
  refuses({ compression: { codec: "gzip", level: 10 } }, "compression");
  refuses({ compression: { codec: "gzip", level: 1.5 } }, "compression");
  refuses({ compression: { codec: "snappy", level: 1 } }, "compression");
  refuses({ compression: { codec: "lz4", level: 1 } }, "compression");
  refuses({ compression: { codec: "none", level: 1 } }, "compression");
  refuses({ compression: { codec: "gzip", levle: 1 } }, "compression", /levle/);
  refuses(
    { compression: { topics: { a: "brotli" } } },
    "compression",
    /brotli/,
  );
  refuses(
    { compression: { topics: {}, default: "brotli" } },
    "compression",
    /brotli/,
  );
  refuses(
    { compression: { topics: {}, fallback: "gzip" } },
    "compression",
    /fallback/,
  );
  refuses(
    { compression: "gzip", codecs: { gzip: { name: "gzip", id: 1 } } },
    "codecs",
  );
  refuses({ codecs: { brotli: {} } }, "codecs", /brotli/);
});

test("options: a TLS option that the sockets can't honour is refused at construction", () => {
  const table = [
    ["ca", { ca: "-----BEGIN CERTIFICATE-----" }, { ca: false }],
    ["cert", { cert: "PEM", key: "PEM" }, { clientCert: false }],
    ["serverName", { serverName: "other" }, { serverName: false }],
    ["verify", { verify: "ca" }, { skipHostname: false }],
    ["verify", { verify: "none" }, { insecure: false }],
  ] as const;
  for (const [option, tls, can] of table) {
    refuses({ tls, connect: sockets(can) }, `tls.${option}`, /limited/);
    assert.deepEqual(resolve({ tls, connect: sockets({}) }).tls, tls);
  }
  refuses(
    { tls: { cert: "PEM" }, connect: sockets({}) },
    "tls.cert",
    /tls\.key/,
  );
  assert.throws(
    () => validateConfig({ brokers: BROKERS, tls: { cert: "PEM" } }),
    { option: "tls.cert" },
  );
  refuses({ tls: { verify: "nothing" } }, "tls.verify", /"nothing"/);
  refuses(
    { tls: { rejectUnauthorized: false } },
    "tls",
    /"rejectUnauthorized".*no such option/,
  );
  assert.equal(resolve({ tls: true }).tls, true);
});

test("options: each that may be left out may be undefined, as a variable of the environment is", () => {
  const exact: (Exact<ProducerOptions> | Exact<TlsOptions> | Exact<CompressionSpec>)[] = [];
  const none: never[] = exact;
  assert.deepEqual(none, []);
  validateConfig({
    brokers: BROKERS,
    clientId: undefined,
    tls: undefined,
    compression: { codec: "gzip", level: undefined },
  });
});

test("options: an authority that is no PEM is refused at construction, for Node takes it and trusts nobody", () => {
  const pem = "-----BEGIN CERTIFICATE-----";
  for (const ca of ["/etc/ssl/hunter2.pem", "", "MIIBszCCAVmgAwIBAgIU"]) {
    refuses(
      { tls: { ca }, connect: sockets({}) },
      "tls.ca",
      new RegExp(`"tls.ca".*: text of ${ca.length} characters is`),
    );
    refuses({ tls: { ca: [pem, ca] }, connect: sockets({}) }, "tls.ca[1]", /^Set "tls\.ca\[1\]" to .*readFile/);
    assert.throws(() => validateConfig({ brokers: BROKERS, tls: { ca } }), ({ message }) => !/hunter2/.test(message));
  }
  // Tools write what the certificate says above it.
  for (const ca of [pem, `Certificate:\n  Data:\n${pem}`, [pem, pem]]) resolve({ tls: { ca }, connect: sockets({}) });
});

test("options: the sockets of the runtime decide about TLS when no others are given", () => {
  const runtime = new VirtualRuntime({ sockets: sockets({ ca: false }) });
  assert.throws(
    () => new Producer({ brokers: BROKERS, tls: { ca: "PEM" } }, runtime),
    {
      name: "ConfigError",
      option: "tls.ca",
    },
  );
});

test("options: checking them opens no connection and takes no timer", () => {
  const runtime = new VirtualRuntime({ sockets: sockets({}) });
  new Producer({ brokers: BROKERS }, runtime);
  assert.deepEqual([runtime.pendingTimers, runtime.pendingDeferred], [0, 0]);
  assert.equal(validateConfig({ brokers: BROKERS, lingerMs: 5 }), undefined);
});

test("options: waitForOutcome and gapless are true or false and need idempotence, onDataLoss is one of two words", () => {
  for (const option of ["waitForOutcome", "gapless"]) {
    assert.equal(
      (resolve({ [option]: true }) as unknown as Record<string, unknown>)[
        option
      ],
      true,
    );
    assert.throws(() => resolve({ [option]: "yes" }), {
      name: "ConfigError",
      option,
    });
    for (const rest of [{ idempotent: false }, { acks: 1 }, { retries: 0 }]) {
      assert.throws(() => resolve({ [option]: true, ...rest }), {
        name: "ConfigError",
        option,
        message: /idempotent/,
      });
      resolve({ [option]: false, ...rest });
    }
  }
  assert.equal(resolve({ onDataLoss: "fatal" }).onDataLoss, "fatal");
  for (const bad of ["fail", true, null, 1]) {
    assert.throws(() => resolve({ onDataLoss: bad }), {
      name: "ConfigError",
      option: "onDataLoss",
      message: /"continue" or "fatal"/,
    });
  }
});
