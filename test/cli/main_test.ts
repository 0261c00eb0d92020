import assert from "node:assert/strict";
import { Producer } from "../../mod.ts";
import { main, version } from "../../src/cli/main.ts";
import { produce } from "../../src/cli/produce.ts";
import { producerSink } from "../../src/cli/sink.ts";
import type { ProduceSummary } from "../../src/cli/summary.ts";
import { EmbeddedCluster } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";
import { commandOf, type World, world } from "./world.ts";

async function run(...argv: string[]): Promise<World & { exitCode: number }> {
  const io = world([]);
  const exitCode = await main(argv, io);
  return Object.assign(io, { exitCode });
}

const decoder = new TextDecoder();
const NDJSON = { format: "ndjson", keySeparator: undefined, keyField: undefined, nullMarker: undefined } as const;

test("cli: version and help go to standard output, exit code 0", { needs: "command line" }, async () => {
  assert.deepEqual([(await run("--version")).out, (await run("-V")).exitCode], [`${version}\n`, 0]);
  assert.match((await run("--help")).out, /sluice produce .*\n.*sluice tail /);
  assert.match((await run("produce", "--brokers", "--help", "-h")).out, /--null-marker TEXT/);
});

test("cli: no command prints the usage on standard error, exit code 2", async () => {
  const { exitCode, out, err } = await run();
  assert.deepEqual([exitCode, out], [2, ""]);
  assert.match(err, /Usage:/);
});

test(
  "cli: wrong usage and what the producer refuses are one line, exit code 2",
  { needs: "command line" },
  async () => {
    const base = ["produce", "-b", "b:1", "-t", "t"];
    const cases: [string[], RegExp][] = [
      [["nothing"], /^sluice: Unknown command "nothing", wanted produce, .* or \w+ \(see sluice --help\)\.\n$/],
      [["prodce"], /^sluice: Unknown command "prodce", did you mean produce\?\n$/],
      [["consume"], /^sluice: Unknown command "consume", wanted sluice tail\.\n$/],
      [["-P", "-b", "b:1"], /^sluice: Unknown option "-P", wanted sluice produce\.\n$/],
      [["-b", "b:1", "-t", "orders", "-P"], /^sluice: Unknown option "-b", wanted sluice produce\.\n$/],
      [["--topic"], /^sluice: Unknown option "--topic", /],
      [[...base, "--nosuch"], /^sluice: Unknown option "--nosuch", /],
      [[...base, "-X", "nosuch=1"], /^sluice: .*nosuch.*\n$/],
      [[...base, "-X", "maxInFlight=6"], /^sluice: .*maxInFlight.*\n$/],
      [[...base, "-z", "brotli"], /^sluice: .*brotli.*\n$/],
      [[...base, "-z", "gzip", "--level", "77"], /^sluice: .*77.*\n$/],
    ];
    for (const [argv, pattern] of cases) {
      const { exitCode, out, err } = await run(...argv);
      assert.deepEqual([exitCode, out], [2, ""], argv.join(" "));
      assert.match(err, pattern);
    }
  },
);

test("cli: NDJSON from standard input is in the embedded cluster's log with keys, headers and compression", async () => {
  const cluster = new EmbeddedCluster({ topics: { people: 4 } });
  const io = world(['{"id": 1, "n": 0}\n{"id"', ': 2, "n": 1}\n', '{"id": 1, "n": 2}']);
  const command = commandOf({
    topic: "people",
    input: { ...NDJSON, keyField: "id" },
    headers: [["from", "test"]],
    json: true,
    producer: { brokers: cluster.bootstrap, compression: "gzip" },
  });
  const connect = cluster.sockets;
  const exitCode = await produce(
    command,
    io,
    (options) => producerSink(new Producer({ ...options, connect } as never)),
  );
  assert.equal(exitCode, 0, io.err);
  const records = await cluster.records("people");
  const ofKey = (key: string) => records.filter((record) => decoder.decode(record.key!) === key);
  assert.deepEqual(ofKey("1").map(({ value }) => decoder.decode(value!)), ['{"id": 1, "n": 0}', '{"id": 1, "n": 2}']);
  assert.deepEqual(ofKey("2").map(({ value }) => decoder.decode(value!)), ['{"id": 2, "n": 1}']);
  assert.deepEqual(records[0]!.headers.map(([name, value]) => [name, decoder.decode(value!)]), [["from", "test"]]);
  const summary = JSON.parse(io.out) as ProduceSummary;
  assert.equal(summary.records, 3);
  assert.ok(summary.batches! >= 1 && summary.requests! >= 1);
  assert.ok(summary.compressionRatio! > 0);
  const partitions = new Set(records.map(({ partition }) => partition));
  assert.deepEqual(summary.partitions.map(({ partition }) => partition), [...partitions].sort());
});

test("cli: a line that is not JSON is exit code 2, and the records before it are in the log", async () => {
  const cluster = new EmbeddedCluster({ topics: { people: 1 } });
  const io = world(['{"n":0}\n{"n":1}\n{n:2}\n{"n":3}\n']);
  const command = commandOf({ topic: "people", input: NDJSON, producer: { brokers: cluster.bootstrap } });
  const connect = cluster.sockets;
  const exitCode = await produce(
    command,
    io,
    (options) => producerSink(new Producer({ ...options, connect } as never)),
  );
  assert.equal(exitCode, 2);
  assert.equal(io.err, 'sluice: Line 3: "{n:2}" is not JSON. Delivered 2 records.\n');
  assert.equal((await cluster.records("people")).length, 2);
});

test("cli: what others wrote reaches the terminal escaped and short, wherever it stands, and secrets don't", {
  needs: "command line",
}, async () => {
  const evil = "\u001b]0;owned\u0007\u001b[2J\n\u202eexe\u009b31m";
  const long = evil.repeat(1_000);
  const lines: string[][] = [];
  for (const text of [evil, long]) {
    lines.push(
      [text],
      [`--${text}`],
      ["produce", `--${text}`],
      ["produce", "-b", "b:1", "-t", "t", `-${text}`],
      ["produce", "-b", text, "-t", "t"],
      ["produce", "-b", "b:1", "-t", "t", "--linger-ms", text],
      ["produce", "-b", "b:1", "-t", "t", "--format", text],
      ["produce", "-b", "b:1", "-t", "t", "--compression", text],
      ["produce", "-b", "b:1", "-t", "t", "--acks", text],
      ["produce", "-b", "b:1", "-t", "t", "--header", text],
      ["produce", "-b", "b:1", "-t", "t", "--property", `${text}=1`],
      ["produce", "-b", "b:1", "-t", "t", `--quiet=${text}`],
      ["produce", "-b", "b:1", "-t", "t", "--partition", text],
      ["produce", "-b", "b:1", "-t", "t", "--output", `%${text}`],
      ["tail", "-b", "b:1", "-t", "t", text],
      ["tail", "-b", "b:1", text, "--from", text],
      ["tail", "-b", "b:1", "t", "--partition", text],
      ["broker", text],
      ["broker", "--topic", text],
    );
  }
  for (const argv of lines) {
    const { exitCode, out, err } = await run(...argv);
    assert.deepEqual([exitCode, out], [2, ""], JSON.stringify(argv).slice(0, 200));
    assert.match(err, /^sluice: [^\n]+\n$/);
    assert.doesNotMatch(err.slice(0, -1), /\p{Cc}|\p{Cf}/u);
    assert.ok(err.length < 900, `${err.length} characters for ${JSON.stringify(argv).slice(0, 100)}`);
  }
  for (
    const argv of [
      ["produce", "-t", "t", "-b", "kafka://user:s3cret@b:1"],
      ["produce", "-t", "t", "-b", "b:1", "--property", "sasl.password:s3cret"],
      ["produce", "-t", "t", "-b", "b:1", "--password=s3cret"],
      ["produce", "-t", "t", "-b", "b:1", "-Ps3cret"],
      ["produce", "-t", "t", "-b", "b:1", "-X", "sasl.password=s3cret"],
    ]
  ) {
    const { exitCode, out, err } = await run(...argv);
    assert.equal(exitCode, 2);
    assert.doesNotMatch(out + err, /s3cret/);
  }
});
