/** Calls of an admin client: their time, their end, what they are given. */

import assert from "node:assert/strict";
import { type Admin, createAdmin } from "../../src/admin/admin.ts";
import type { AdminOptions } from "../../src/admin/mod.ts";
import { ConfigError } from "../../src/errors.ts";
import { CreateTopics, DescribeCluster, EmbeddedCluster, Metadata } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";
import { attemptsInATurn } from "../stage.ts";
import { adminStage } from "./stage.ts";

test("admin: the cluster is described, also by brokers before 2.8", async (t) => {
  for (const release of ["4.1", "2.7"] as const) {
    const s = adminStage(t, { brokers: 2, release });
    const cluster = await s.run(s.admin.describeCluster());
    assert.deepEqual(cluster, {
      clusterId: s.cluster.clusterId,
      controllerId: 1,
      brokers: s.cluster.brokers.map((broker) => (
        { nodeId: broker.id, ...broker.endpoint("default"), rack: broker.rack ?? undefined, isFenced: false }
      )),
    });
    const isAsked = s.cluster.requests.some(({ api }) => api.name === DescribeCluster.name);
    assert.equal(isAsked, release === "4.1");
  }
});

test("admin: a call ends with its time, and says what it waited for", async (t) => {
  const s = adminStage(t, { topics: {} });
  s.cluster.control(CreateTopics, { error: 41 });
  const startMs = s.runtime.now();
  const error = await s.errorOf(s.admin.createTopics([{ topic: "orders" }], { timeoutMs: 5_000 }), 20_000);
  assert.deepEqual([error.name, error.topic, error.retriable], ["TimeoutError", "orders", true]);
  assert.match(
    error.message,
    /^createTopics\(\) took longer than timeoutMs\. Topic "orders": .* NOT_CONTROLLER \(41\)/,
  );
  assert.ok(s.runtime.now() - startMs <= 5_000);
  const silent = s.newAdmin({ defaultApiTimeoutMs: 700 });
  s.cluster.control(Metadata, { silence: true });
  const failure = await s.failure(silent.listTopics(), 20_000);
  assert.match(failure.message, /^listTopics\(\) took longer than defaultApiTimeoutMs\. /);
});

test("admin: a call is given up by its signal, and by close, at once", async (t) => {
  const s = adminStage(t, { topics: {} });
  s.cluster.control(CreateTopics, { silence: true });
  const controller = new AbortController();
  const given = s.admin.createTopics([{ topic: "orders" }], { signal: controller.signal });
  const reason = new Error("enough");
  const aborted = assert.rejects(Promise.resolve(given), (error) => error === reason);
  await s.runtime.advance(50);
  controller.abort(reason);
  await s.run(aborted);
  const open = assert.rejects(Promise.resolve(s.admin.createTopics([{ topic: "lines" }])), { code: "ADMIN_CLOSED" });
  await s.runtime.advance(50);
  await s.run(s.admin.close());
  await s.run(open);
  await s.run(assert.rejects(s.admin.listTopics(), { code: "ADMIN_CLOSED" }));
  // Whoever calls again whatever it is told keeps nobody waiting.
  for (const call of [() => s.admin.listTopics(), async () => await s.admin.createTopics([{ topic: "lines" }])]) {
    assert.equal(await attemptsInATurn(call), 0);
  }
  await s.run(s.admin.close());
  assert.equal(s.runtime.pendingTimers, 0);
});

test("admin: nobody listens to a signal any more when its call has ended", async (t) => {
  const s = adminStage(t);
  const listeners = new Set<unknown>();
  const { signal } = new AbortController();
  const counting = new Proxy(signal, {
    get: (target, name) => {
      if (name === "addEventListener") return (_: string, listener: unknown) => void listeners.add(listener);
      if (name === "removeEventListener") return (_: string, listener: unknown) => void listeners.delete(listener);
      return Reflect.get(target, name, target);
    },
  });
  await s.run(s.admin.listTopics({ signal: counting }));
  assert.equal(listeners.size, 0);
});

test("admin: brokers that are down are passed by until one answers", async (t) => {
  const s = adminStage(t, { brokers: 3 });
  await s.run(s.admin.listTopics());
  s.cluster.stopBroker(1);
  s.cluster.stopBroker(2);
  assert.deepEqual((await s.run(s.admin.listTopics())).map(({ topic }) => topic), ["orders"]);
  assert.equal((await s.run(s.admin.createTopics([{ topic: "more", replicationFactor: 1 }]).all())).length, 1);
});

const wrong: Readonly<Record<string, readonly [call: (admin: Admin) => PromiseLike<unknown>, message: RegExp]>> = {
  "a text for a list": [(it) => it.createTopics("orders" as never), /^Pass a list of topics: "orders" is none\.$/],
  "nothing": [(it) => it.deleteTopics(undefined as never), /^Pass a list of topics: undefined is none\.$/],
  "names in place of topics": [
    (it) => it.createTopics(["a"] as never),
    /^Pass an object for a new topic, with topic, /,
  ],
  "an option of another client": [
    (it) => it.createTopics([{ topic: "a", numPartitions: 3 } as never]),
    /^Remove the option "numPartitions": a new topic has no such option\. Wanted topic, partitions, /,
  ],
  "a topic twice": [
    (it) => it.createTopics([{ topic: "a" }, { topic: "a" }]),
    /^Name each of the topics once: "a" is there twice\.$/,
  ],
  "no partition at all": [(it) => it.createTopics([{ topic: "a", partitions: 0 }]), /^Set "partitions" to a whole /],
  "half a partition": [(it) => it.createPartitions([{ topic: "a", partitions: 1.5 }]), /^Set "partitions" to a whole /],
  "an empty name": [(it) => it.describeTopics([""]), /^Set "topic" to text that isn't empty: "" is not\.$/],
  "both numbers and places": [
    (it) => it.createTopics([{ topic: "a", partitions: 1, assignments: [[1]] }]),
    /^Leave out "partitions" and "replicationFactor" beside "assignments"/,
  ],
  "a config that is an object": [
    (it) => it.createTopics([{ topic: "a", configs: { "retention.ms": {} } as never }]),
    /^Set "configs\.retention\.ms" to text, a number, true or false: an object is not\.$/,
  ],
  "a kind of resource that there is not": [
    (it) => it.describeConfigs([{ type: "topics", name: "a" } as never]),
    /^Set "type" to "topic" or "broker" or /,
  ],
  "no change": [
    (it) => it.incrementalAlterConfigs([{ type: "topic", name: "a" }]),
    /^Say what is to change of topic "a": set, delete, append or subtract\.$/,
  ],
  "an offset that is a number": [
    (it) => it.deleteRecords([{ topic: "a", partition: 0, before: 5 as never }]),
    /^Set "before" to a bigint from 0n on: 5 is not\. Write it as a bigint, such as 42n\.$/,
  ],
  "a place that there is not": [
    (it) => it.listOffsets([{ topic: "a", partition: 0, at: "end" as never }]),
    /^Set "at" to "earliest", "latest", "maxTimestamp" or \{ timestamp \} in ms: "end" is none of them\.$/,
  ],
  "a group without a name": [(it) => it.listConsumerGroupOffsets(""), /^Set "groupId" to text that isn't empty/],
  "a reset to nowhere": [(it) => it.resetConsumerGroupOffsets("g", {} as never), /^Set "to" to "earliest", /],
  "a time limit that is none": [(it) => it.listTopics({ timeoutMs: -1 }), /^Set "timeoutMs" to /],
  "a signal that is none": [(it) => it.listTopics({ signal: {} as never }), /^Set "signal" to an AbortSignal/],
  "an unknown option": [
    (it) => it.listTopics({ internal: true } as never),
    /^Remove the option "internal": listTopics /,
  ],
};

for (const [what, [call, message]] of Object.entries(wrong)) {
  test(`admin: ${what} is refused before anything is asked`, async (t) => {
    const s = adminStage(t);
    const failure = await s.failure(Promise.resolve(call(s.admin)));
    assert.ok(failure instanceof ConfigError);
    assert.match(failure.message, message);
    assert.equal(s.cluster.requests.length, 0);
  });
}

test("admin: an empty list is answered by an empty list, without a request", async (t) => {
  const s = adminStage(t);
  assert.deepEqual(await s.run(s.admin.createTopics([]).all()), []);
  assert.deepEqual(await s.run(s.admin.listOffsets(new Set<never>()).all()), []);
  assert.equal(s.cluster.requests.length, 0);
});

test("admin: options are checked when it is made, and say what is wanted", () => {
  const make = (options: unknown) => () => createAdmin(options as AdminOptions);
  const refused = (options: unknown, message: RegExp) => {
    assert.throws(make(options), (error: Error) => error instanceof ConfigError && message.test(error.message));
  };
  refused(undefined, /^Pass an object with at least "brokers": undefined is not\.$/);
  refused({}, /^Set "brokers" to "host:port" or a list of them: undefined is not\.$/);
  refused({ brokers: [1] }, /^Set "brokers" to /);
  refused(
    { brokers: "h:1", bootstrapServers: "h" },
    /^Remove the option "bootstrapServers": createAdmin .*"brokers"\?$/,
  );
  refused(
    { brokers: "h:1", requestTimeoutMs: 0 },
    /^Set "requestTimeoutMs" to a whole number of ms from 1 to 2147483647: 0 /,
  );
  refused({ brokers: "h:1", clientId: 5 }, /^Set "clientId" to text/);
  refused({ brokers: "h:1", clusterCheck: "no" }, /^Set "clusterCheck" to true or false/);
  refused({ brokers: "h:1", sasl: { mechanism: "plain", username: "u", password: "p" } }, /^Set "tls" to true, /);
});

test("admin: it proves who it is with the options of a producer", async (t) => {
  const cluster = new EmbeddedCluster({ topics: { orders: 1 }, sasl: { users: { alice: "secret" } } });
  const options = { brokers: cluster.bootstrap, connect: cluster.sockets };
  const sasl = { mechanism: "scram-sha-256", username: "alice", password: "secret" } as const;
  const admin = createAdmin({ ...options, sasl });
  t.after(() => admin.close());
  assert.deepEqual((await admin.listTopics()).map(({ topic }) => topic), ["orders"]);
  const stranger = createAdmin({ ...options, sasl: { ...sasl, password: "guess" } });
  t.after(() => stranger.close());
  await assert.rejects(stranger.listTopics(), { name: "AuthenticationError" });
});

test("admin: when the only broker is said to be where nobody is, the bootstrap server is asked again", async (t) => {
  const s = adminStage(t, { brokers: 1 });
  s.cluster.control(Metadata, {
    transform: (body) => ({ ...body, brokers: body.brokers.map((broker) => ({ ...broker, host: "nowhere.test" })) }),
  }, { times: 1 });
  const [made] = await s.settled(s.admin.createTopics([{ topic: "fresh" }], { timeoutMs: 30_000 }));
  assert.equal(made!.status, "fulfilled");
});

test("admin: an option that it hasn't is told with those that it has", () => {
  const brokers = "b:1";
  for (
    const [name, wanted] of [
      ["retries", /createAdmin has no such option\. Pass "defaultApiTimeoutMs" instead/],
      ["retry", /Pass "defaultApiTimeoutMs" instead: within it each call is tried again, "retryBackoffMs" to/],
      ["timeout", /no such option\. Wanted defaultApiTimeoutMs, .*brokers/],
      ["requestTimeout", /Did you mean "requestTimeoutMs"\?$/],
    ] as const
  ) assert.throws(() => createAdmin({ brokers, [name]: 1 }), { option: name, message: wanted });
});
