/**
 * Runs the command line as a user does, as a process of its own, on every runtime that is found.
 *
 *     node test/programs/cli.mjs [part of a name]
 */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "../../scripts/build.mjs";
import { readRecords, startBroker } from "../../scripts/lib/broker_process.mjs";
import { freePort, listenAnywhere, runProgram, startProgram } from "../../scripts/lib/program.mjs";
import { findRuntimes } from "../../scripts/lib/runtimes.mjs";
import { runByHand, Tally } from "../../scripts/lib/tally.mjs";
import { root } from "../../scripts/lib/tools.mjs";

/**
 * Resolves to `{ passed, failed, skipped, tests }` with a `{ name, status, detail }` for each test, called
 * `sluice on node: …`; a runtime that isn't there skips its tests.
 *
 * @param {{ log?: (line: string) => void, filter?: string }} [options]
 */
export async function runCliTests({ log, filter = "" } = {}) {
  await build();
  const runtimes = await findRuntimes();
  const tally = new Tally(log);
  const dir = await mkdtemp(join(tmpdir(), "sluice-cli-"));
  try {
    for (const name of ["node", "deno", "bun"]) {
      const selected = tests.filter((test) => `${name}: ${test.name}`.includes(filter));
      const runtime = runtimes.find((candidate) => candidate.name === name);
      if (runtime !== undefined && selected.length > 0) await runOn(runtime, selected, dir, tally);
      if (runtime === undefined) {
        for (const test of selected) tally.skip(`sluice on ${name}: ${test.name}`, `${name} was not found`);
      }
    }
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
  return tally.result();
}

/** One broker for all tests, and a topic with three partitions for each. */
async function runOn(runtime, selected, dir, tally) {
  const names = selected.map((_, index) => `cli-${index}`);
  const broker = await startBroker({ command: runtime.command, topics: names.map((name) => `${name}:3`) });
  const sluice = (args, { stdin = "", ...options } = {}) => {
    return runProgram([...runtime.command, ...args], { input: stdin, ...options });
  };
  try {
    const left = [...selected.entries()];
    // Most of the time a process starts; each test has a topic of its own.
    await Promise.all(Array.from({ length: Math.min(3, availableParallelism()) }, async () => {
      for (let next = left.shift(); next !== undefined; next = left.shift()) {
        const [index, test] = next;
        const topic = { name: names[index], brokers: broker.address };
        const read = () => readRecords(broker.address, topic.name);
        const start = (args, options = {}) => startProgram([...runtime.command, ...args], options);
        await tally.run(
          `sluice on ${runtime.name}: ${test.name}`,
          () => test.run({ sluice, start, topic, read, dir, runtime }),
        );
      }
    }));
  } finally {
    await broker.stop();
  }
}

const decoder = new TextDecoder();
const text = (bytes) => bytes === null ? null : decoder.decode(bytes);
const tests = [];

function test(name, run) {
  tests.push({ name, run });
}

/** Exactly one line on standard error, of this form. */
function assertComplaint({ stderr }, pattern) {
  assert.match(stderr, pattern);
  assert.equal(stderr.trimEnd().split("\n").length, 1, stderr);
  assert.match(stderr, /^sluice: /);
}

test("--version is the one of the package", async ({ sluice }) => {
  const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
  const result = await sluice(["--version"]);
  assert.deepEqual([result.code, result.stdout, result.stderr], [0, `${version}\n`, ""]);
});

test("help goes to standard output, and to standard error when no command was given", async ({ sluice }) => {
  const help = await sluice(["produce", "--help"]);
  assert.equal(help.code, 0);
  assert.match(help.stdout, /--key-separator TEXT/);
  assert.match((await sluice(["--help"])).stdout, /sluice broker/);
  const none = await sluice([]);
  assert.equal(none.code, 2);
  assert.match(none.stderr, /Usage:/);
});

test("wrong usage is one line and exit code 2", async ({ sluice, topic: { brokers } }) => {
  for (
    const [args, pattern] of /** @type {[string[], RegExp][]} */ ([
      [["consume"], /Unknown command "consume", wanted sluice tail/],
      [["produce", "--brokers", brokers, "--topic", "t", "--ack", "1"], /Unknown option "--ack", did you mean --acks/],
      [["produce", "--brokers", brokers], /No topic is given/],
      [["produce", "--topic", "t"], /No brokers are given/],
      [["produce", "--brokers", brokers, "--topic", "t", "-X", "maxInFlight=9"], /maxInFlight/],
      [["produce", "--brokers", brokers, "--topic", "t", "-X", "nosuch=9"], /nosuch/],
      [["produce", "--brokers", brokers, "--topic", "t", "-z", "brotli"], /brotli/],
      [["produce", "--brokers", brokers, "--topic", "t", "--acks", "2"], /acks/],
      [["produce", "--brokers", "not a host", "--topic", "t"], /not a host/],
    ])
  ) {
    const result = await sluice(args, { env: { KAFKA_BROKERS: "" } });
    assert.equal(result.code, 2, `${args.join(" ")}: ${result.stderr}`);
    assertComplaint(result, pattern);
  }
});

test("a file that isn't there and a folder are exit code 2", async ({ sluice, topic: { brokers }, dir }) => {
  const missing = await sluice(["produce", "-b", brokers, "-t", "spare", join(dir, "missing.txt")]);
  assert.equal(missing.code, 2);
  assertComplaint(missing, /Cannot read ".*missing\.txt": no such file/);
  const folder = await sluice(["produce", "-b", brokers, "-t", "spare", dir]);
  assert.equal(folder.code, 2);
  assertComplaint(folder, /it is a directory/);
});

test("a refused connection is exit code 1 and names the address", async ({ sluice }) => {
  const port = await freePort();
  const result = await sluice(["produce", "-b", `127.0.0.1:${port}`, "-t", "t"], { stdin: "a\n" });
  assert.equal(result.code, 1);
  assertComplaint(result, new RegExp(`127\\.0\\.0\\.1:${port}.*Delivered 0 records`));
});

test("a topic that isn't there is exit code 1 and says how to get one", async ({ sluice, topic: { brokers } }) => {
  const result = await sluice(["produce", "-b", brokers, "-t", "absent", "-X", "maxBlockMs=3000"], { stdin: "a\n" });
  assert.equal(result.code, 1);
  assertComplaint(result, /absent/);
});

test("lines from standard input arrive with keys, headers, empty and null values", async ({ sluice, read, topic }) => {
  const result = await sluice(
    ["produce", "-b", topic.brokers, "-t", topic.name, "-K", ":", "--null-marker", "NULL", "-H", "a=1", "-H", "a=2"],
    { stdin: "k:v\nk:\nk:NULL\nk:ä:ö" },
  );
  assert.equal(result.code, 0, result.stderr);
  const records = await read();
  assert.deepEqual(records.map(({ key, value }) => [text(key), text(value)]), [
    ["k", "v"],
    ["k", ""],
    ["k", null],
    ["k", "ä:ö"],
  ]);
  assert.deepEqual(records[0].headers.map(([name, value]) => [name, text(value)]), [["a", "1"], ["a", "2"]]);
  assert.match(result.stdout, /^Delivered 4 records \(\d+ B\) to /);
});

test("NDJSON with a key field, from a file, with every codec", async ({ sluice, read, topic, dir }) => {
  const file = join(dir, "people.ndjson");
  const lines = Array.from({ length: 500 }, (_, index) => `{"person": {"id": ${index % 7}}, "n": ${index}.0}`);
  await writeFile(file, `${lines.join("\n")}\n`);
  for (const codec of ["none", "gzip", "snappy", "lz4", "zstd"]) {
    const result = await sluice(
      ["produce", "-b", topic.brokers, "-t", topic.name, "--key-field", "person.id", "-z", codec, "--json", file],
    );
    assert.equal(result.code, 0, `${codec}: ${result.stderr}`);
    const summary = JSON.parse(result.stdout);
    assert.equal(summary.records, 500);
    assert.equal(summary.compression, codec);
    if (codec !== "none") assert.ok(summary.compressionRatio < 0.8, `${codec}: ratio ${summary.compressionRatio}`);
    assert.ok(summary.batches > 0 && summary.batches < 500, `${codec}: ${summary.batches} batches`);
    assert.ok(summary.latencyMs.p50 > 0 && summary.latencyMs.p99 >= summary.latencyMs.p50);
  }
  const records = await read();
  assert.equal(records.length, 2500);
  for (let id = 0; id < 7; id++) {
    const mine = records.filter(({ key }) => text(key) === String(id));
    assert.equal(new Set(mine.map(({ partition }) => partition)).size, 1);
    const wanted = lines.filter((_, index) => index % 7 === id);
    assert.deepEqual(mine.map(({ value }) => text(value)), Array(5).fill(wanted).flat());
  }
});

test("a JSON array is sent element by element", async ({ sluice, read, topic, dir }) => {
  const file = join(dir, "array.json");
  await writeFile(file, '[\n {"a": [1, 2]},\n "x,]",\n null\n]\n');
  const result = await sluice(["produce", "-b", topic.brokers, "-t", topic.name, "-p", "1", file]);
  assert.equal(result.code, 0, result.stderr);
  const records = await read();
  assert.deepEqual(records.map(({ value }) => text(value)), ['{"a": [1, 2]}', '"x,]"', "null"]);
  assert.ok(records.every(({ partition }) => partition === 1));
});

test("a line that isn't JSON is exit code 2, and what came before it is delivered", async ({ sluice, read, topic }) => {
  const result = await sluice(["produce", "-b", topic.brokers, "-t", topic.name, "-f", "ndjson", "--json"], {
    stdin: '{"n":1}\n{"n":2}\noops\n{"n":4}\n',
  });
  assert.equal(result.code, 2);
  assertComplaint(result, /Line 3: "oops" is not JSON\. Delivered 2 records\.$/m);
  assert.equal(JSON.parse(result.stdout).records, 2);
  assert.equal((await read()).length, 2);
});

test("a partition out of range is refused and named", async ({ sluice, topic }) => {
  const result = await sluice(["produce", "-b", topic.brokers, "-t", topic.name, "-p", "99"], { stdin: "a\n" });
  assert.ok(result.code === 1 || result.code === 2, `exit code ${result.code}`);
  assertComplaint(result, /99.*Delivered 0 records/);
});

test("acks 0 ends well and knows no offsets", async ({ sluice, read, topic }) => {
  const result = await sluice(["produce", "-b", topic.brokers, "-t", topic.name, "--acks", "0", "--json"], {
    stdin: "a\nb\n",
  });
  assert.equal(result.code, 0, result.stderr);
  assert.equal(JSON.parse(result.stdout).partitions[0].firstOffset, null);
  assert.equal((await read()).length, 2);
});

test("quiet says nothing", async ({ sluice, topic }) => {
  const result = await sluice(["produce", "-b", topic.brokers, "-t", topic.name, "-q"], { stdin: "a\n" });
  assert.deepEqual([result.code, result.stdout, result.stderr], [0, "", ""]);
});

test("brokers come from KAFKA_BROKERS", async ({ sluice, topic }) => {
  const env = { KAFKA_BROKERS: topic.brokers };
  const result = await sluice(["produce", "-t", topic.name], { stdin: "a\n", env });
  assert.equal(result.code, 0, result.stderr);
});

test("an interrupt while standard input is silent is exit code 130 with the summary", async ({ sluice, read, topic }) => {
  const result = await sluice(
    ["produce", "-b", topic.brokers, "-t", topic.name, "--json", "--progress", "json"],
    {
      stdin: "a\nb\n",
      keepOpen: true,
      onStderr: (line, child) => {
        if (line.includes('"delivered":2')) child.kill("SIGINT");
      },
    },
  );
  assert.equal(result.code, 130, result.stderr);
  const summary = JSON.parse(result.stdout);
  assert.deepEqual([summary.records, summary.interrupted], [2, true]);
  assert.equal((await read()).length, 2);
});

test("an interrupt while the broker keeps silent ends every command, exit code 130", async ({ start, dir }) => {
  const file = join(dir, "one.txt");
  await writeFile(file, "one\n");
  const interrupted = async (words) => {
    const server = createServer();
    const heard = new Promise((resolve) => {
      server.on("connection", (socket) => void socket.on("error", () => {}).once("data", resolve));
    });
    const program = start([...words, "-b", `127.0.0.1:${await listenAnywhere(server)}`]);
    await heard;
    const code = await program.stop("SIGINT");
    await new Promise((resolve) => void server.close(resolve));
    assert.equal(code, 130, `${words[0]}: ${program.output()}`);
  };
  const commands = [["produce", "-t", "t", file], ["tail", "t"], ["topics"], ["doctor", "t"], ["bench", "t"]];
  await Promise.all(commands.map(interrupted));
});

test("a broker that dies under way is exit code 1, with counts", async ({ sluice, runtime }) => {
  const broker = await startBroker({ command: runtime.command, topics: ["doomed"] });
  let isStopping = false;
  try {
    const result = await sluice(
      ["produce", "-b", broker.address, "-t", "doomed", "--timeout-ms", "4000", "--json", "--progress", "json"],
      {
        stdin: "a\nb\n",
        keepOpen: true,
        onStderr: async (line, child) => {
          if (!line.includes('"delivered":2') || isStopping) return;
          isStopping = true;
          await broker.stop();
          child.stdin.write("c\nd\ne\n");
        },
      },
    );
    assert.equal(result.code, 1, result.stderr);
    const complaint = result.stderr.split("\n").filter((line) => line.startsWith("sluice:"));
    assert.equal(complaint.length, 1, result.stderr);
    assert.match(complaint[0], /Delivered 2 records, 3 not delivered/);
    assert.equal(JSON.parse(result.stdout).failed, 3);
  } finally {
    await broker.stop();
  }
});

test("more input than bufferMemory is delivered within it", async ({ sluice, topic }) => {
  const result = await sluice(
    ["produce", "-b", topic.brokers, "-t", topic.name, "--json", "-X", "bufferMemory=300000", "-z", "gzip"],
    { stdin: `${"x".repeat(99)}\n`.repeat(30_000) },
  );
  assert.equal(result.code, 0, result.stderr);
  assert.equal(JSON.parse(result.stdout).records, 30_000);
});

test("records larger than what is left of bufferMemory wait for room", async ({ sluice, topic }) => {
  const result = await sluice(
    ["produce", "-b", topic.brokers, "-t", topic.name, "--json", "-X", "bufferMemory=250000", "--timeout-ms", "20000"],
    { stdin: `${"x".repeat(99_000)}\n`.repeat(40) },
  );
  assert.equal(result.code, 0, result.stderr);
  assert.equal(JSON.parse(result.stdout).records, 40);
});

test("a record that is too large is counted, the others arrive, exit code 1", async ({ sluice, read, topic }) => {
  const result = await sluice(
    ["produce", "-b", topic.brokers, "-t", topic.name, "--json", "-X", "maxRequestSize=20000", "-X", "batchSize=16384"],
    { stdin: `a\n${"x".repeat(30_000)}\nc\n` },
  );
  assert.equal(result.code, 1, result.stderr);
  assertComplaint(result, /Delivered 2 records, 1 not delivered/);
  assert.deepEqual((await read()).map(({ value }) => text(value)), ["a", "c"]);
});

test("tail prints what was written byte for byte, and produce reads its JSON back", async ({ sluice, read, topic }) => {
  const binary = Buffer.from([0x6b, 0x09, 0xff, 0xfe, 0x00, 0x0a, 0x09, 0x78]);
  const options = ["-b", topic.brokers, "-t", topic.name, "-p", "0"];
  const produced = await sluice(["produce", ...options, "-K", "\\t", "-H", "h=1", "-o", "%p %o %k\\n"], {
    stdin: binary,
  });
  assert.equal(produced.code, 0, produced.stderr);
  assert.equal(produced.stdout, "0 0 k\n0 1 \n");
  const tail = await sluice(["tail", ...options, "--from", "beginning", "--exit", "--json"]);
  assert.equal(tail.code, 0, tail.stderr);
  const again = await sluice(["produce", "-b", topic.brokers, "-f", "envelope", "-q"], { stdin: tail.stdout });
  assert.equal(again.code, 0, again.stderr);
  const records = await read();
  assert.deepEqual(records.map(({ key, value }) => [text(key), [...value]]), [
    ["k", [0xff, 0xfe, 0]],
    ["", [0x78]],
    ["k", [0xff, 0xfe, 0]],
    ["", [0x78]],
  ]);
  assert.equal(records[3].timestamp, records[1].timestamp);
  const last = await sluice(["tail", ...options, "--from", "-1", "-e", "-f", "%t %p %o %k=%s %h\\n"]);
  assert.equal(last.stdout, `${topic.name} 0 3 =x h=1\n`);
});

test("tail goes on with what comes, and is interrupted at its regular end", async ({ sluice, topic, start }) => {
  const tail = start(["tail", "-b", topic.brokers, topic.name]);
  const result = await sluice(["produce", "-b", topic.brokers, "-t", topic.name, "-q"], { stdin: "one\ntwo\n" });
  assert.equal(result.code, 0, result.stderr);
  await tail.line(/one\n[^]*two\n|two\n[^]*one\n/);
  assert.equal(await tail.stop("SIGINT"), 0, tail.stderr());
});

test("tail ends with its reader, and produce goes on without one", async ({ read, topic, start }) => {
  const many = Array.from({ length: 20_000 }, (_, index) => `line ${index}\n`).join("");
  const produce = start(["produce", "-b", topic.brokers, "-t", topic.name, "--tee", "--json"], { input: many });
  produce.child.stdout.destroy();
  assert.equal(await produce.closed, 0, produce.stderr());
  assert.equal((await read()).length, 20_000);
  const tail = start(["tail", "-b", topic.brokers, topic.name, "--from", "beginning"]);
  tail.child.stdout.once("data", () => tail.child.stdout.destroy());
  assert.equal(await tail.closed, 0, tail.stderr());
  assert.equal(tail.stderr(), "");
});

test("output that can't be written is one line and exit code 1", async ({ sluice, topic, runtime }) => {
  await sluice(["produce", "-b", topic.brokers, "-t", topic.name], { stdin: "a\nb\n" });
  // Every write to it fails as on a disk that is full.
  if (!existsSync("/dev/full")) return;
  const quoted = runtime.command.map((word) => `'${word}'`).join(" ");
  for (
    const words of [`tail -b ${topic.brokers} ${topic.name} --from beginning --exit`, `topics -b ${topic.brokers} list`]
  ) {
    const result = await runProgram(["sh", "-c", `${quoted} ${words} > /dev/full`]);
    assert.equal(result.code, 1, result.stderr);
    assertComplaint(result, /Cannot write the output: no space is left/);
  }
});

test("files, packed ones too, are read one after the other", async ({ sluice, read, topic, dir }) => {
  const [first, packed] = [join(dir, "first.txt"), join(dir, "packed.ndjson.gz")];
  await writeFile(first, "one\ntwo");
  await writeFile(packed, Buffer.concat([gzipSync('{"n":1}\n'), gzipSync('{"n":2}\n')]));
  const options = ["produce", "-b", topic.brokers, "-t", topic.name, "-p", "0", "-q"];
  const result = await sluice([...options, first, packed]);
  assert.equal(result.code, 0, result.stderr);
  assert.deepEqual((await read()).map(({ value }) => text(value)), ["one", "two", '{"n":1}', '{"n":2}']);
  await writeFile(packed, gzipSync("x".repeat(100_000)).subarray(0, 90));
  const broken = await sluice([...options, packed]);
  assert.equal(broken.code, 2, broken.stderr);
  assertComplaint(broken, /Reading ".*packed.ndjson.gz" failed: /);
  // Small ones are read before there is a connection.
  for (const content of ["no gzip at all", gzipSync("x").subarray(0, 15)]) {
    await writeFile(packed, content);
    const small = await sluice([...options, packed]);
    assert.equal(small.code, 2, small.stderr);
    assertComplaint(small, /Reading ".*packed.ndjson.gz" failed: /);
  }
});

test("properties come from a file and from -X, and are listed", async ({ sluice, read, topic, dir }) => {
  const config = join(dir, "client.properties");
  await writeFile(config, `# shared\nbootstrap.servers=${topic.brokers}\ncompression.type=gzip\ngroup.id=g\n`);
  const options = ["produce", "-t", topic.name, "-F", config, "-X", "linger.ms=5", "--json"];
  const result = await sluice(options, { stdin: "a\n", env: { KAFKA_BROKERS: "" } });
  assert.equal(result.code, 0, result.stderr);
  assert.equal(JSON.parse(result.stdout).compression, "gzip");
  assert.equal((await read()).length, 1);
  const list = await sluice(["produce", "-X", "list"]);
  assert.deepEqual([list.code, /\n {2}linger\.ms +lingerMs\n/.test(list.stdout)], [0, true]);
});

test("brokers print what arrives, go wrong as they were told, and know who asks", async ({ sluice, start }) => {
  const faults = ["--fault", "Produce:NOT_LEADER_OR_FOLLOWER:1"];
  const options = [
    "--port",
    "0",
    "--brokers",
    "3",
    "--topic",
    "orders:3",
    "--print",
    "--user",
    "alice=secret",
    ...faults,
  ];
  const broker = start(["broker", ...options]);
  const brokers = await broker.line(/^Listening on (\S+)\n/m);
  assert.equal(brokers.split(",").length, 3);
  const user = ["-X", "sasl.mechanism=SCRAM-SHA-256", "-X", "sasl.username=alice", "-X", "sasl.password=secret"];
  const produced = await sluice(["produce", "-b", brokers, "-t", "orders", "-k", "k", "--json", ...user], {
    stdin: "v\n",
  });
  assert.equal(produced.code, 0, produced.stderr);
  assert.ok(JSON.parse(produced.stdout).retries >= 1);
  await broker.line(/^orders \[\d\] at 0: k v\n/m);
  const doctor = await sluice(["doctor", "-b", brokers, "orders", "--write", "--json", ...user]);
  assert.equal(doctor.code, 0, doctor.stdout);
  const report = JSON.parse(doctor.stdout);
  assert.equal(report.steps.filter(({ step }) => step.startsWith("broker ")).length, 3);
  const refused = await sluice(["doctor", "-b", brokers]);
  assert.equal(refused.code, 1);
  assert.match(refused.stdout, /wants to know who you are/);
  assert.equal(await broker.stop("SIGINT"), 0);
});

test("topics are created, listed and deleted, and bench writes to one", async ({ sluice, topic: { brokers } }) => {
  const created = await sluice(["topics", "create", "trial", "-p", "2", "-b", brokers]);
  assert.deepEqual([created.code, created.stdout], [0, 'Created "trial": partitions 2, replicas 1\n'], created.stderr);
  const bench = await sluice(["bench", "trial", "-b", brokers, "-c", "5000", "--json"]);
  assert.equal(bench.code, 0, bench.stderr);
  assert.equal(JSON.parse(bench.stdout).records, 5000);
  assert.match((await sluice(["topics", "-b", brokers])).stdout, / 2 {2}trial\n/);
  assert.equal((await sluice(["topics", "delete", "trial", "-b", brokers])).code, 0);
  assert.doesNotMatch((await sluice(["topics", "-b", brokers])).stdout, /trial/);
});

test("a port that is taken is one line and exit code 1", async ({ sluice, topic: { brokers } }) => {
  const result = await sluice(["broker", "--port", brokers.split(":")[1]]);
  assert.equal(result.code, 1);
  assertComplaint(result, /Cannot listen on "127\.0\.0\.1:\d+": the port is taken.* --port N/);
});

await runByHand(import.meta.url, runCliTests);
