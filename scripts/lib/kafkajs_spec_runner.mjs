/**
 * Runs KafkaJS's spec files on the runtime that it is started with; prints a line `SPEC {…}` for each spec.
 *
 * What a spec requires of KafkaJS's producer leads to this package, everything else (consumer, cluster, admin) to the
 * published KafkaJS. `jest` is a small stand-in on top of jest's own `expect` and mocks, for jest itself runs on Node only.
 */

import { randomBytes, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, posix, relative } from "node:path";
import process from "node:process";
import { root } from "./tools.mjs";

const plan = JSON.parse(process.env.SPEC_PLAN);
const ofConsumers = createRequire(join(root, "test/consumers/package.json"));
const ofInterop = createRequire(join(root, "test/interop/package.json"));
const { expect } = ofConsumers("expect");
const { fn, spyOn } = ofConsumers("jest-mock");
const { format, plugins } = ofConsumers("pretty-format");
const compat = await import("../../src/compat/kafkajs/mod.ts");
const { legacyMurmur2 } = await import("../../src/compat/kafkajs/legacy_murmur2.ts");
const { murmur2 } = await import("../../src/producer/record/murmur2.ts");
const kafkajs = ofInterop("kafkajs");
const theirs = (path) => ofInterop(`kafkajs/src/${path}`);

const TEST_LIMIT_MS = 60_000;

/** What leads to this package, by the path in KafkaJS. */
const replaced = {
  "src/producer/index": createProducer,
  "src/errors": compat,
  "src/protocol/message/compression": { Types: compat.CompressionTypes, Codecs: compat.CompressionCodecs },
  "src/producer/partitioners/legacy/index": compat.Partitioners.LegacyPartitioner,
  "src/producer/partitioners/default/index": compat.Partitioners.DefaultPartitioner,
  "src/producer/partitioners/legacy/murmur2": (key) => legacyMurmur2(bytesOf(key)),
  "src/producer/partitioners/default/murmur2": (key) => murmur2(bytesOf(key)),
};

function bytesOf(key) {
  return key instanceof Uint8Array ? key : new TextEncoder().encode(String(key));
}

/** KafkaJS's inner constructor, whose cluster says how to connect, by the public one of this package. */
function createProducer({ cluster, createPartitioner, retry, idempotent, transactionalId, transactionTimeout }) {
  const { brokers, maxInFlightRequests, ...options } = cluster.specOptions ?? { brokers: ["localhost:1"] };
  const { clientId, connectionTimeout, requestTimeout, enforceRequestTimeout, ssl, sasl } = options;
  return new compat.Kafka({
    ...{ brokers, clientId, connectionTimeout, requestTimeout, enforceRequestTimeout, ssl, sasl },
    logLevel: compat.logLevel.NOTHING,
  }).producer({ createPartitioner, retry, idempotent, transactionalId, transactionTimeout, maxInFlightRequests });
}

const secureRandom = (length = 10) => `${randomBytes(length).toString("hex")}-${process.pid}-${randomUUID()}`;
const newLogger = (options = {}) =>
  theirs("loggers").createLogger({ level: 0, logCreator: theirs("loggers/console"), ...options });
const listOf = (addresses) => addresses.split(",");
const ssl = { servername: "localhost", rejectUnauthorized: false };
const connectionOpts = (options = {}) => ({
  socketFactory: theirs("network/socketFactory")(),
  clientId: `test-${secureRandom()}`,
  connectionTimeout: 3_000,
  requestTimeout: 30_000,
  logger: newLogger(),
  ...options,
});
const saslOpts = (mechanism, username, password) => () =>
  connectionOpts({ ssl, sasl: { mechanism, username, password } });

/** KafkaJS's own helpers for tests, as far as these specs use them. */
const testHelpers = {
  secureRandom,
  newLogger,
  connectionOpts,
  sslConnectionOpts: () => connectionOpts({ ssl }),
  sslBrokers: () => listOf(plan.ssl),
  saslBrokers: () => listOf(plan.sasl),
  saslEntries: [["PLAIN", "plain", "test", "testtest", /refused PLAIN/], [
    ...["SCRAM 256", "scram-sha-256", "testscram", "testtestscram=256", /refused SCRAM-SHA-256/],
  ], ["SCRAM 512", "scram-sha-512", "testscram", "testtestscram=512", /refused SCRAM-SHA-512/]].map((
    [name, mechanism, user, password, expectedErr],
  ) => ({
    name,
    opts: saslOpts(mechanism, user, password),
    wrongOpts: saslOpts(mechanism, "wrong", "wrong"),
    // The words are ours, the refusal is the same.
    expectedErr,
  })),
  createCluster(options = {}, brokers = listOf(plan.brokers)) {
    const all = { ...connectionOpts(), ...options, brokers };
    const cluster = Object.assign(new (theirs("cluster"))(all), { specOptions: all });
    const { fetchTopicsOffset } = cluster;
    // KafkaJS's producer would have connected it; here it only looks at what was written.
    cluster.fetchTopicsOffset = async (topics) => {
      await cluster.connect();
      await cluster.addMultipleTargetTopics(topics.map(({ topic }) => topic));
      return await fetchTopicsOffset.call(cluster, topics).finally(() => cluster.disconnect());
    };
    return cluster;
  },
  createModPartitioner: () => ({ partitionMetadata, message }) => {
    const key = parseInt(message.key.replace(/[^\d]/g, ""), 10);
    return ((key || 0) % 3) % partitionMetadata.length;
  },
  async createTopic({ topic, partitions = 1 }) {
    const admin = new kafkajs.Kafka({ brokers: listOf(plan.brokers), logLevel: 0 }).admin();
    await admin.connect();
    try {
      await admin.createTopics({ waitForLeaders: true, topics: [{ topic, numPartitions: partitions }] });
    } finally {
      await admin.disconnect();
    }
  },
  waitForMessages: (buffer, { number = 1, delay = 50 } = {}) =>
    theirs("utils/waitFor")(() => buffer.length >= number ? buffer : false, { delay, ignoreTimeout: true }),
  testIfKafkaAtLeast_0_11: (name, body) => registry.test(name, body),
};

/** What jest knows while a file is loaded: blocks and their specs. */
const registry = {
  top: undefined,
  present: undefined,
  describe(name, body) {
    const before = registry.present;
    const block = { name, parent: before, tests: [], blocks: [], beforeEach: [], afterEach: [], beforeAll: [] };
    before?.blocks.push(block);
    registry.present = block;
    body();
    registry.present = before;
  },
  test(name, body) {
    registry.present.tests.push({ name, body });
  },
};

const own = {};
expect.extend({
  async toResolve(promise) {
    const pass = await promise.then(() => true, () => false);
    return { pass, message: () => "it was rejected, wanted it to resolve" };
  },
  /** As it was called before jest 30. */
  toThrowError(received, wanted) {
    try {
      received();
    } catch (error) {
      return { pass: error.message === wanted.message, message: () => `it is "${error.message}"` };
    }
    return { pass: false, message: () => "nothing was thrown" };
  },
  toMatchSnapshot(received) {
    const file = join(plan.specs, dirname(own.file), "__snapshots__", `${own.file.split("/").at(-1)}.snap`);
    const snapshots = {};
    new Function("exports", readFileSync(file, "utf8"))(snapshots);
    const wanted = snapshots[`${own.name.replaceAll(" > ", " ")} 1`]?.trim();
    const found = format(received, {
      escapeRegex: true,
      printFunctionName: false,
      printBasicPrototype: true,
      plugins: Object.values(plugins ?? {}).filter((plugin) => typeof plugin?.test === "function"),
    });
    return { pass: found === wanted, message: () => `it is ${found}, wanted ${wanted}` };
  },
});

const jest = { fn, spyOn, mock() {}, setTimeout() {}, requireActual: (path) => path };

/** What a spec gets for what it requires. */
function requireFrom(file) {
  return (path) => {
    if (path === "testHelpers") return testHelpers;
    if (path === "uuid/v4") return randomUUID;
    if (path === "jest-circus") return registry;
    if (!path.startsWith(".")) return ofConsumers(path);
    const resolved = posix.join(posix.dirname(file), path).replace(/\/$/, "");
    for (const name of [resolved, `${resolved}/index`]) if (name in replaced) return replaced[name];
    return theirs(relative("src", resolved));
  };
}

function load(file) {
  registry.present = registry.top = { name: "", tests: [], blocks: [], beforeEach: [], afterEach: [], beforeAll: [] };
  const each = (kind) => (body) => void registry.present[kind].push(body);
  const globals = {
    require: requireFrom(file),
    jest,
    expect,
    describe: registry.describe,
    test: registry.test,
    it: registry.test,
    beforeEach: each("beforeEach"),
    afterEach: each("afterEach"),
    beforeAll: each("beforeAll"),
  };
  const code = readFileSync(join(plan.specs, file), "utf8");
  // In a block, for some declare again what jest gives them.
  new Function(...Object.keys(globals), `{ ${code}\n}`)(...Object.values(globals));
  return registry.top;
}

async function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${TEST_LIMIT_MS} ms`)), TEST_LIMIT_MS);
  });
  try {
    await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function runBlock(block, path, before, after) {
  const names = block.name === "" ? path : [...path, block.name];
  const [befores, afters] = [[...before, ...block.beforeEach], [...block.afterEach, ...after]];
  for (const { name, body } of block.tests) {
    own.name = [...names, name].join(" > ");
    if (!own.name.includes(plan.filter)) continue;
    let [status, detail] = ["passed", undefined];
    try {
      for (const run of block.beforeAll.splice(0)) await run();
      for (const run of befores) await within((async () => await run())(), "beforeEach");
      await within((async () => await body())(), "it");
    } catch (error) {
      [status, detail] = ["failed", String(error?.stack ?? error).slice(0, 1500)];
    }
    for (const run of afters) await within((async () => await run())(), "afterEach").catch(() => {});
    console.log(`SPEC ${JSON.stringify({ name: own.name, file: own.file, status, detail })}`);
  }
  for (const inner of block.blocks) await runBlock(inner, names, befores, afters);
}

process.on?.("unhandledRejection", () => {});
for (const file of plan.files) {
  own.file = file;
  await runBlock(load(file), [], [], []);
}
process.exit(0);
