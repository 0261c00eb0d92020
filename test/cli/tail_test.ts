import assert from "node:assert/strict";
import { Producer, TransactionalProducer } from "../../mod.ts";
import { parseEnvelope } from "../../src/cli/envelope.ts";
import { tail } from "../../src/cli/tail.ts";
import { Troubles } from "../../src/cli/troubles.ts";
import { ConnectionError, KafkaError } from "../../src/errors.ts";
import type { TailCommand } from "../../src/cli/tail_command.ts";
import { Reader } from "../../src/reader/mod.ts";
import { EmbeddedCluster } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";
import { HandTimers, type World, world } from "./world.ts";

const lineEnd = Uint8Array.of(10);

interface Setting {
  readonly cluster: EmbeddedCluster;
  readonly producer: Producer;
  run(given: Partial<TailCommand>, io?: World): Promise<{ exitCode: number; out: string; err: string }>;
}

function tailCommandOf(brokers: string): TailCommand {
  return {
    topic: "orders",
    from: "beginning",
    to: "end",
    count: undefined,
    partitions: undefined,
    json: false,
    template: undefined,
    keySeparator: undefined,
    delimiter: lineEnd,
    nullText: "",
    quiet: false,
    reader: { brokers, maxBlockMs: 5_000 },
  };
}

function setting(t: { after(cleanUp: () => Promise<void>): void }, partitions = 1): Setting {
  const cluster = new EmbeddedCluster({ topics: { orders: partitions } });
  const brokers = cluster.bootstrap;
  const producer = new Producer({ brokers, connect: cluster.sockets });
  t.after(() => producer.close());
  return {
    cluster,
    producer,
    async run(given, io = world([])) {
      const command = { ...tailCommandOf(brokers), ...given };
      const exitCode = await tail(command, io, (options) => new Reader({ ...options, connect: cluster.sockets }));
      return { exitCode, out: io.out, err: io.err };
    },
  };
}

test("cli tail: prints values, keys with a separator, and NULL where it was asked for", async (t) => {
  const { producer, run } = setting(t);
  await producer.send({ topic: "orders", key: "k", value: "v" });
  await producer.send({ topic: "orders", key: null, value: null });
  assert.deepEqual(await run({}), { exitCode: 0, out: "v\n\n", err: "" });
  const separated = { keySeparator: Uint8Array.of(0x3a), delimiter: Uint8Array.of(0x7c), nullText: "NULL" };
  assert.equal((await run(separated)).out, "k:v|NULL:NULL|");
});

test("cli tail: a template has the letters of kcat", async (t) => {
  const { producer, run } = setting(t);
  const headers: [string, string | null][] = [["h", "1"], ["n", null], ["e", ""]];
  await producer.send({ topic: "orders", key: "a", value: "bc", timestamp: 1_700_000_000_123, headers });
  await producer.send({ topic: "orders", value: null, timestamp: 5 });
  const { out } = await run({ template: "[%t %p %o k=%k K=%K s=%s S=%S T=%T h=%h v=%v d=%d]%%\\x41\\\\n\\t|" });
  assert.equal(
    out,
    "[orders 0 0 k=a K=1 s=bc S=2 T=1700000000123 h=h=1,n=NULL,e= v=bc d=1700000000123]%A\\n\t|" +
      "[orders 0 1 k= K=-1 s= S=-1 T=5 h= v= d=5]%A\\n\t|",
  );
  const { out: lengths } = await run({ template: "%R" });
  assert.equal(lengths, "\0\0\0\u0002\ufffd\ufffd\ufffd\ufffd");
  const { exitCode } = await run({ template: "%z" }).catch((error) => ({ exitCode: String(error) }));
  assert.match(String(exitCode), /Option --format has "%z", wanted one of %s, /);
});

test("cli tail: begins where it is told to, in each partition, and ends before a place", async (t) => {
  const { producer, run } = setting(t, 2);
  for (let i = 0; i < 6; i++) {
    for (const partition of [0, 1]) {
      await producer.send({ topic: "orders", partition, value: `${partition}-${i}`, timestamp: 1_000 + i });
    }
  }
  const read = async (given: Partial<TailCommand>) => (await run(given)).out.trim().split("\n").sort();
  assert.deepEqual(await read({ from: { last: 1n } }), ["0-5", "1-5"]);
  assert.deepEqual(await read({ from: { last: 99n }, to: { offset: 1n } }), ["0-0", "1-0"]);
  assert.deepEqual(await read({ from: { offset: 5n } }), ["0-5", "1-5"]);
  assert.deepEqual(await read({ from: { timestamp: 1_004 }, to: { timestamp: 1_005 } }), ["0-4", "1-4"]);
  assert.deepEqual(await read({ partitions: [1], from: { last: 2n } }), ["1-4", "1-5"]);
  const behind = { from: { offset: 99n } };
  assert.deepEqual(await run({ from: { offset: 6n } }), { exitCode: 0, out: "", err: "" }, "the end itself");
  const err = 'sluice: "orders" has no offset 99 yet, its end is 6\n';
  assert.deepEqual(await run(behind), { exitCode: 0, out: "", err });
  assert.deepEqual(await run({ ...behind, quiet: true }), { exitCode: 0, out: "", err: "" });
  assert.equal((await read({ count: 3 })).length, 3);
  const together = [6, 7, 8].map((n) => ({ topic: "orders", partition: 0, value: `0-${n}`, timestamp: 1_000 + n }));
  await producer.sendBatch(together);
  // In the middle of a batch as well.
  assert.deepEqual(await read({ partitions: [0], from: { offset: 7n }, to: { offset: 8n } }), ["0-7"]);
  assert.deepEqual(await read({ partitions: [0], from: { offset: 6n }, count: 2 }), ["0-6", "0-7"]);
});

test("cli tail: a partition that isn't there and a topic that isn't there are refused and named", async (t) => {
  const { run, cluster } = setting(t);
  const partition = await run({ partitions: [0, 7] });
  assert.deepEqual([partition.exitCode, partition.err], [
    2,
    'sluice: Partition 7 of topic "orders" isn\'t there, wanted 0 to 0.\n',
  ]);
  const reader = { brokers: cluster.bootstrap, maxBlockMs: 1_500 };
  const topic = await run({ topic: "absent", reader });
  assert.equal(topic.exitCode, 1);
  assert.match(
    topic.err,
    /^sluice: Topic "absent": .*UNKNOWN_TOPIC_OR_PARTITION.* Look at the name, or create the topic: sluice topics create NAME\.\n$/,
  );
});

test("cli tail: that no broker is reached is told with the reason, before the time of a refresh is up", async (t) => {
  const { run } = setting(t);
  const { exitCode, err } = await run({ reader: { brokers: "nowhere:9092", maxBlockMs: 400 } });
  assert.equal(exitCode, 1);
  assert.match(err, /^sluice: No broker can be reached\. Tried nowhere:9092: .* Check --brokers, or start a broker/);
});

test("cli tail: JSON holds every byte and every null, and is read back", async (t) => {
  const { producer, run } = setting(t);
  const binary = Uint8Array.of(0xff, 0xfe, 0, 0x0a);
  const bom = new TextEncoder().encode("\ufefftext\u0007\u202e\n");
  await producer.send({
    topic: "orders",
    key: binary,
    value: bom,
    timestamp: 7,
    headers: [["a", "1"], ["a", null], ["b", binary]],
  });
  await producer.send({ topic: "orders", key: null, value: null, timestamp: 8 });
  const { out } = await run({ json: true });
  const lines = out.trimEnd().split("\n");
  assert.equal(
    lines[0],
    '{"topic":"orders","partition":0,"offset":0,"timestamp":7,"headers":[["a","1"],["a",null],["b","//4ACg==","base64"]],' +
      '"key":"//4ACg==","keyEncoding":"base64","value":"\\ufefftext\\u0007\\u202e\\n"}',
  );
  assert.deepEqual(parseEnvelope(JSON.parse(lines[0]!)), {
    topic: "orders",
    partition: 0,
    timestamp: 7,
    key: binary,
    value: bom,
    headers: [["a", Uint8Array.of(0x31)], ["a", null], ["b", binary]],
  });
  assert.equal(
    lines[1],
    '{"topic":"orders","partition":0,"offset":1,"timestamp":8,"headers":[],"key":null,"value":null}',
  );
});

test("cli tail: on a terminal nothing in a record is obeyed, line breaks and tabs excepted", async (t) => {
  const { producer, run } = setting(t);
  await producer.send({ topic: "orders", key: "\u001b[2J", value: `\u001b]0;x\u0007${"a".repeat(20_000)}\n\tb` });
  const terminal = Object.assign(world([]), { isOutputTTY: true });
  const { out } = await run({ template: "%k %s\\x07" }, terminal);
  assert.equal(out, `\\u001b[2J \\u001b]0;x\\u0007${"a".repeat(20_000)}\n\tb\u0007`);
});

test("cli tail: goes on with what comes, until an interrupt, which is its regular end", async (t) => {
  const { producer, run } = setting(t);
  await producer.send({ topic: "orders", value: "one" });
  const io = world([]);
  const { write } = io;
  const seen = new Promise<void>((resolve) => {
    io.write = async (bytes) => {
      await write.call(io, bytes);
      if (io.out === "one\n") await producer.send({ topic: "orders", value: "two" });
      if (io.out === "one\ntwo\n") resolve();
      return true;
    };
  });
  const ended = run({ to: undefined }, io);
  await seen;
  io.interrupt();
  assert.deepEqual(await ended, { exitCode: 0, out: "one\ntwo\n", err: "" });
});

test("cli tail: an interrupt before the end that was asked for is exit code 130", async (t) => {
  const { run, producer } = setting(t);
  const connecting = world([]);
  const atOnce = run({ count: 5 }, connecting);
  connecting.interrupt();
  assert.deepEqual(await atOnce, { exitCode: 130, out: "", err: "" });
  await producer.send({ topic: "orders", value: "one" });
  const reading = world([]);
  const { write } = reading;
  reading.write = (bytes) => write.call(reading, bytes).finally(() => reading.interrupt());
  assert.deepEqual(await run({ to: undefined, count: 5 }, reading), { exitCode: 130, out: "one\n", err: "" });
});

test("cli tail: ends quietly when nobody reads what it prints", async (t) => {
  const { producer, run } = setting(t);
  await producer.send({ topic: "orders", value: "one" });
  const io = Object.assign(world([]), { write: () => Promise.resolve(false) });
  assert.deepEqual(await run({ to: undefined, count: 2 }, io).then(({ exitCode, err }) => [exitCode, err]), [0, ""]);
});

test("cli tail: what was aborted is not printed and doesn't keep it from its end", async (t) => {
  const { producer, run, cluster } = setting(t);
  const options = { brokers: cluster.bootstrap, connect: cluster.sockets, transactionalId: "tx" };
  const transactional = new TransactionalProducer(options);
  t.after(() => transactional.close());
  await producer.send({ topic: "orders", value: "plain" });
  const aborted = await transactional.begin();
  await aborted.send({ topic: "orders", value: "aborted" });
  await aborted.abort();
  assert.equal((await run({})).out, "plain\n");
  await transactional.transaction(async (tx) => void await tx.send({ topic: "orders", value: "committed" }));
  assert.equal((await run({})).out, "plain\ncommitted\n");
  const reader = { brokers: cluster.bootstrap, isolation: "read_uncommitted" };
  assert.equal((await run({ reader })).out, "plain\naborted\ncommitted\n");
});

test("cli tail: a trouble is told when it lasts, once, and when it is over", () => {
  const io = world([]);
  const timers: (() => void)[] = [];
  const troubles = new Troubles(io, (callback) => {
    timers.push(callback);
    return () => void timers.splice(timers.indexOf(callback), 1);
  });
  const trouble = new ConnectionError('Connecting to "b:1" failed: \x1b[31m');
  troubles.onTrouble(trouble);
  troubles.onTrouble(null);
  assert.deepEqual([timers.length, io.err], [0, ""], "a leader that moves is no trouble");
  troubles.onTrouble(trouble);
  timers.pop()!();
  assert.equal(io.err, 'sluice: warning: Connecting to "b:1" failed: \\u001b[31m. Still trying; Ctrl-C ends.\n');
  troubles.onTrouble(null);
  assert.match(io.err, /^sluice: warning: .*\nsluice: reading again\n$/);
  troubles.onTrouble(trouble);
  io.err = "";
  const reason = new KafkaError('Offset 4 of topic "\x1b[31m" is not in its log. Reading goes on at offset 2.');
  const reset = { topic: "orders", partition: 0, from: 4n, to: 2n, reason };
  troubles.onOffsetReset(reset);
  assert.equal(
    io.err,
    'sluice: warning: Offset 4 of topic "\\u001b[31m" is not in its log. Reading goes on at offset 2.\n',
  );
  troubles.onTrouble(trouble);
  timers.pop()!();
  io.err = "";
  troubles.end();
  troubles.onTrouble(null);
  troubles.onOffsetReset(reset);
  assert.deepEqual([io.err, timers.length], ["", 0], "it has ended");
});

test("cli tail: what keeps it from reading is asked for, unless nothing is to be said", async (t) => {
  const { cluster, run } = setting(t);
  assert.deepEqual(await run({}), { exitCode: 0, out: "", err: "" });
  const asked: string[][] = [];
  for (const quiet of [false, true]) {
    const command = { ...tailCommandOf(cluster.bootstrap), quiet };
    await tail(command, world([]), (options) => {
      asked.push(["onTrouble", "onOffsetReset"].filter((name) => name in options));
      return new Reader({ ...options, connect: cluster.sockets });
    });
  }
  assert.deepEqual(asked, [["onTrouble", "onOffsetReset"], []]);
});

test("cli tail: until there is an answer it says whose it waits for", async (t) => {
  const { cluster, producer } = setting(t);
  await producer.send({ topic: "orders", value: "v" });
  const timers = new HandTimers();
  const io = world([]);
  let answer = (): void => {};
  const running = tail(tailCommandOf("one:1"), io, (options) => {
    const reader = new Reader({ ...options, brokers: cluster.bootstrap, connect: cluster.sockets });
    const { partitionsOf } = reader;
    reader.partitionsOf = async (...given) => {
      await new Promise<void>((resolve) => answer = resolve);
      return await partitionsOf.apply(reader, given);
    };
    const { assign } = reader;
    reader.assign = (...given) => {
      assert.equal(timers.waiting.size, 0, "it was answered");
      assign.apply(reader, given);
    };
    return reader;
  }, timers.set);
  assert.deepEqual([...timers.waiting.values()], [2_000]);
  timers.goOff();
  answer();
  assert.deepEqual([await running, io.out, io.err], [
    0,
    "v\n",
    "sluice: waiting for an answer from one:1; Ctrl-C ends\n",
  ]);
});

test("cli tail: while a topic isn't there it says so, and goes on when it is made", async () => {
  const cluster = new EmbeddedCluster({ autoCreateTopics: false });
  const producer = new Producer({ brokers: cluster.bootstrap, connect: cluster.sockets });
  const timers = new HandTimers();
  const io = world([]);
  const command = tailCommandOf(cluster.bootstrap);
  let told = (): void => {};
  const troubled = new Promise<void>((resolve) => told = resolve);
  const running = tail(
    { ...command, to: undefined, count: 1, reader: { ...command.reader, maxBlockMs: 60_000 } },
    io,
    (options) => {
      const onTrouble = (trouble: KafkaError | null): void => {
        (options.onTrouble as typeof onTrouble)(trouble);
        if (trouble !== null) told();
      };
      return new Reader({ ...options, connect: cluster.sockets, onTrouble });
    },
    timers.set,
  );
  await troubled;
  assert.deepEqual([...timers.waiting.values()], [2_000], "one line is held, and it is the reason");
  timers.goOff();
  assert.match(
    io.err,
    /^sluice: warning: Topic "orders": .*UNKNOWN_TOPIC_OR_PARTITION.* Still trying; Ctrl-C ends\.\n$/,
  );
  cluster.createTopic("orders", { partitions: 1 });
  await producer.send({ topic: "orders", value: "v" });
  assert.equal(await running, 0);
  assert.equal(io.out, "v\n");
  assert.match(io.err, /\nsluice: reading again\n$/);
  await producer.close();
});
