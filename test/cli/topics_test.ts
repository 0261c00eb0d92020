import assert from "node:assert/strict";
import { createAdmin } from "../../src/admin/mod.ts";
import { explain } from "../../src/cli/complaint.ts";
import { topics } from "../../src/cli/topics.ts";
import { parseTopics } from "../../src/cli/topics_command.ts";
import { topicsSpec } from "../../src/cli/options.ts";
import { readWords } from "../../src/cli/words.ts";
import { KafkaError } from "../../src/errors.ts";
import { EmbeddedCluster } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";
import { HandTimers, refusal, world } from "./world.ts";

async function run(
  cluster: EmbeddedCluster,
  ...args: string[]
): Promise<{ exitCode: number; out: string; err: string }> {
  const io = world([]);
  const command = await parseTopics(readWords(topicsSpec, ["-b", cluster.bootstrap, ...args]), io);
  const exitCode = await topics(command, io, (options) => createAdmin({ ...options, connect: cluster.sockets }));
  return { exitCode, out: io.out, err: io.err };
}

test("cli topics: lists, describes, creates, widens and deletes", { needs: "command line" }, async () => {
  const cluster = new EmbeddedCluster({ topics: { orders: 2 } });
  assert.deepEqual(await run(cluster), { exitCode: 0, out: "partitions  topic\n         2  orders\n", err: "" });
  assert.deepEqual(await run(cluster, "create", "a", "b", "-p", "3"), {
    exitCode: 0,
    out: 'Created "a": partitions 3, replicas 1\nCreated "b": partitions 3, replicas 1\n',
    err: "",
  });
  const described = await run(cluster, "describe", "a");
  assert.match(
    described.out,
    /^a \([0-9a-f]{32}\)\n {2}partition {2}leader {2}replicas {2}in sync\n {10}0 {7}1 {9}1 {2}1\n/,
  );
  assert.equal((await run(cluster, "alter", "a", "-p", "5")).out, 'Gave "a" 5 partitions\n');
  const listed = (await run(cluster, "list", "--json")).out.trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(listed.map(({ topic, partitions }) => [topic, partitions]), [["a", 5], ["b", 3], ["orders", 2]]);
  assert.equal((await run(cluster, "delete", "a", "b")).out, 'Deleted "a"\nDeleted "b"\n');
  assert.match((await run(cluster, "list")).out, /^partitions {2}topic\n +2 {2}orders\n$/);
});

test("cli topics: one that is refused doesn't keep the others, is named, and is exit code 1", {
  needs: "command line",
}, async () => {
  const cluster = new EmbeddedCluster({ topics: { orders: 2 } });
  const created = await run(cluster, "create", "orders", "more");
  assert.equal(created.exitCode, 1);
  assert.match(created.out, /^Created "more"/);
  assert.match(
    created.err,
    /^sluice: .*orders.*TOPIC_ALREADY_EXISTS.* To go on with it as it is: --if-not-exists\.\n$/,
  );
  assert.equal((await run(cluster, "create", "orders", "--if-not-exists")).exitCode, 0);
  const deleted = await run(cluster, "delete", "absent");
  assert.equal(deleted.exitCode, 1);
  // To create it is no advice for somebody who wants it gone.
  assert.match(
    deleted.err,
    /UNKNOWN_TOPIC_OR_PARTITION.* Look at the name, or take its absence as done: --if-exists\.\n$/,
  );
  assert.equal((await run(cluster, "delete", "absent", "--if-exists")).exitCode, 0);
  const described = await run(cluster, "describe", "absent");
  assert.equal(described.exitCode, 1);
  assert.match(described.err, / Look at the name, or create the topic: sluice topics create NAME\.\n$/);
  const dry = await run(cluster, "create", "dry", "--dry-run");
  assert.match(dry.out, /^Could create "dry"/);
  assert.equal(cluster.topic("dry"), undefined);
});

test("cli topics: configs are shown, set and unset", { needs: "command line" }, async () => {
  const cluster = new EmbeddedCluster({ topics: { orders: 1 } });
  assert.match((await run(cluster, "configs", "orders")).out, /^orders: no config of its own; --all shows/);
  const changed = await run(
    cluster,
    "alter",
    "orders",
    "--set",
    "cleanup.policy=compact",
    "--set",
    "retention.ms=5000",
  );
  assert.deepEqual([changed.exitCode, changed.out], [0, 'Changed the configs of "orders"\n'], changed.err);
  const { out } = await run(cluster, "configs", "orders");
  assert.match(out, /^orders\n/);
  assert.match(out, /cleanup\.policy {2}compact\n/);
  assert.match(out, /retention\.ms {2}5000\n/);
  assert.equal((await run(cluster, "alter", "orders", "--unset", "retention.ms")).exitCode, 0);
  assert.doesNotMatch((await run(cluster, "configs", "orders")).out, /retention\.ms/);
  assert.match((await run(cluster, "configs", "orders", "--all")).out, /retention\.ms/);
  assert.equal((await run(cluster, "configs", "absent")).exitCode, 1);
});

test(
  "cli topics: a wrong line is refused in one line that says what is wanted",
  { needs: "command line" },
  async () => {
    const cases: [string[], RegExp][] = [
      [["remove"], /^Unknown action "remove", wanted list, describe, create, delete, alter, configs$/],
      [["create"], /^No topic is given, wanted sluice topics create NAME$/],
      [["list", "orders"], /^Found "orders" behind list, wanted nothing, or describe$/],
      [["delete", "a", "-p", "3"], /^Option --partitions does not go with delete, but with create or alter$/],
      [["configs", "a", "--set", "a=b"], /^Option --set does not go with configs, but with create or alter$/],
      [["alter", "a"], /^Nothing is to be changed, wanted --partitions N/],
      [["create", "a", "-p", "0"], /^Option --partitions is "0", wanted a whole number from 1$/],
      [["create", "a", "--set", "x"], /^Option --set is "x", wanted NAME=VALUE$/],
      [["--create"], /^Unknown option "--create", write sluice topics create NAME$/],
      [["create", "a", "-X", "linger.ms=5"], /^Property "linger.ms" is none of an admin client, see -X list$/],
    ];
    for (const [args, pattern] of cases) {
      const words = () => parseTopics(readWords(topicsSpec, ["-b", "b:1", ...args]), world([]));
      assert.match(await refusal(async () => await words()), pattern);
    }
  },
);

test("cli topics: while nobody answers it says for whose answer it waits", { needs: "command line" }, async () => {
  const cluster = new EmbeddedCluster({ topics: { orders: 2 } });
  for (const args of [[], ["--quiet"]]) {
    const io = world([]);
    const timers = new HandTimers();
    const command = await parseTopics(readWords(topicsSpec, ["-b", "one:1,two:2", ...args]), io);
    let answer = (): void => {};
    const running = topics(command, io, () => {
      const admin = createAdmin({ brokers: cluster.bootstrap, connect: cluster.sockets });
      const { listTopics } = admin;
      admin.listTopics = async (...given) => {
        await new Promise<void>((resolve) => answer = resolve);
        return await listTopics.apply(admin, given);
      };
      return admin;
    }, timers.set);
    assert.deepEqual([...timers.waiting.values()], args.length === 0 ? [2_000] : []);
    timers.goOff();
    assert.equal(io.err, args.length === 0 ? "sluice: waiting for an answer from one:1,two:2; Ctrl-C ends\n" : "");
    answer();
    assert.deepEqual([await running, timers.waiting.size], [0, 0]);
  }
});

test("cli topics: whom to be, which port and which name is told in the command line's own words", {
  needs: "command line",
}, async () => {
  const cluster = new EmbeddedCluster({ sasl: { users: { u: "p" } } });
  assert.match(
    (await run(cluster)).err,
    /wants to know who you are .*\. Give -X sasl\.mechanism=NAME, sasl\.username and/,
  );
  assert.match(
    (await run(new EmbeddedCluster(), "create", "b c")).err,
    /INVALID_TOPIC_EXCEPTION.*A name has up to 249 letters, digits, dots, dashes and underscores\.\n$/,
  );
  for (
    const [code, wanted] of [
      ["TLS_PORT", "-X security.protocol=ssl (or sasl_ssl)"],
      ["PLAIN_PORT", "Leave out -X security.protocol"],
      ["UNSUPPORTED_SASL_MECHANISM", "-X sasl.mechanism=NAME"],
    ] as const
  ) {
    const said = explain(new KafkaError("It can't be.", { code }));
    assert.ok(said.startsWith("It can't be. ") && said.includes(wanted), said);
  }
});
