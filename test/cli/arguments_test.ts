import assert from "node:assert/strict";
import { brokerCommand, produceCommand } from "../../src/cli/arguments.ts";
import { brokerSpec, helpOf, overview, produceSpec } from "../../src/cli/options.ts";
import { ConfigError } from "../../src/errors.ts";
import { test } from "../harness.ts";

const base = ["--brokers", "b:9092", "--topic", "t"];

function refusal(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    assert.doesNotMatch(error.message, /\n/);
    return error.message;
  }
  assert.fail("accepted, wanted a ConfigError");
}

test("cli arguments: every option of produce reaches the command", { needs: "command line" }, () => {
  const command = produceCommand([
    ...["-b", "one:1,two:2", "-t", "people", "people.txt", "-f", "lines", "-k", ":", "--null-marker", "NULL"],
    ...["-H", "a=1", "--header", "b=x=y", "-H", "c=", "-p", "3", "-z", "gzip", "--level", "9", "-a", "-1"],
    ...["--linger-ms", "5", "--batch-size=1000", "--timeout-ms", "7000", "--client-id", "me"],
    ...["-X", "maxInFlight=1", "-X", "retries=Infinity", "-X", "securityProtocol=plaintext", "-q", "--json"],
  ]);
  assert.deepEqual(command, {
    topic: "people",
    file: "people.txt",
    input: { format: "lines", keySeparator: ":", keyField: undefined, nullMarker: "NULL" },
    partition: 3,
    headers: [["a", "1"], ["b", "x=y"], ["c", ""]],
    producer: {
      brokers: "one:1,two:2",
      clientId: "me",
      acks: -1,
      compression: { codec: "gzip", level: 9 },
      lingerMs: 5,
      batchSize: 1000,
      deliveryTimeoutMs: 7000,
      maxBlockMs: 7000,
      maxInFlight: 1,
      retries: Infinity,
      securityProtocol: "plaintext",
    },
    progress: "auto",
    quiet: true,
    json: true,
  });
});

test("cli arguments: what isn't given is left to the producer, and brokers come from the environment", {
  needs: "command line",
}, () => {
  const command = produceCommand(["--topic", "t"], { KAFKA_BROKERS: "env:9092" });
  assert.equal(command.file, "-");
  assert.equal(command.input.format, "lines");
  assert.deepEqual(command.producer, { brokers: "env:9092", deliveryTimeoutMs: 60_000, maxBlockMs: 10_000 });
  assert.equal(produceCommand([...base, "x.json"]).input.format, "json");
});

test("cli arguments: a wrong line is refused in one line that says what is wanted", { needs: "command line" }, () => {
  const cases: [string[], string][] = [
    [["--topic", "t"], "No brokers are given, wanted --brokers HOST:PORT or KAFKA_BROKERS"],
    [["--brokers", "b:1"], "No topic is given, wanted --topic NAME"],
    [[...base, "--compresion", "gzip"], 'Unknown option "--compresion", did you mean --compression?'],
    [[...base, "--frobnicate"], 'Unknown option "--frobnicate", see sluice produce --help'],
    [[...base, "-x"], 'Unknown option "-x", see sluice produce --help'],
    [[...base, "--linger-ms"], "Option --linger-ms has no value, wanted MS"],
    [[...base, "--quiet=yes"], 'Option --quiet takes no value, got "yes"'],
    [[...base, "--linger-ms", "soon"], 'Option --linger-ms is "soon", wanted a whole number from 0'],
    [[...base, "--partition", "-2"], 'Option --partition is "-2", wanted a whole number from 0'],
    [[...base, "--format", "xml"], 'Option --format is "xml", wanted one of lines, ndjson, json'],
    [[...base, "--header", "novalue"], 'Option --header is "novalue", wanted NAME=VALUE'],
    [[...base, "--header", "=v"], 'Option --header is "=v", wanted NAME=VALUE'],
    [[...base, "--key-field", "id"], "Option --key-field does not go with --format lines"],
    [[...base, "--key-separator", ":", "a.json"], "Option --key-separator does not go with --format json"],
    [[...base, "--key-separator", ""], "Option --key-separator is empty, wanted at least one character"],
    [[...base, "--level", "3"], "Option --level is given without a codec, wanted --compression CODEC as well"],
    [[...base, "one", "two"], 'Found 2 files, wanted one: "one", "two"'],
  ];
  for (const [args, message] of cases) assert.equal(refusal(() => produceCommand(args)), message);
});

test("cli arguments: a value may be attached to a letter and may start with a dash", { needs: "command line" }, () => {
  const command = produceCommand(["-bb:9092", "-tt", "-Hname=-1", "--client-id", "-x-", "-k-"]);
  assert.equal(command.topic, "t");
  assert.deepEqual(command.headers, [["name", "-1"]]);
  assert.equal(command.producer["clientId"], "-x-");
  assert.equal(command.input.keySeparator, "-");
  assert.equal(refusal(() => produceCommand([...base, "-qj"])), 'Option -q takes no value, got "j"');
});

test(
  "cli arguments: what follows two dashes is a file, and one dash is standard input",
  { needs: "command line" },
  () => {
    assert.equal(produceCommand([...base, "--", "--odd name"]).file, "--odd name");
    assert.equal(produceCommand([...base, "-"]).file, "-");
  },
);

test("cli arguments: broker understands its options and refuses wrong ones", { needs: "command line" }, () => {
  assert.deepEqual(brokerCommand([]), {
    port: 9092,
    host: "127.0.0.1",
    brokers: 1,
    topics: [],
    autoCreate: false,
    tls: false,
  });
  assert.deepEqual(
    brokerCommand(["--port", "0", "--brokers", "3", "--topic", "a:4", "--topic=b", "--auto-create", "--tls"]),
    {
      port: 0,
      host: "127.0.0.1",
      brokers: 3,
      topics: [{ name: "a", partitions: 4 }, { name: "b", partitions: 1 }],
      autoCreate: true,
      tls: true,
    },
  );
  for (const args of [["--port", "65536"], ["--brokers", "0"], ["--topic", "a:0"], ["--topic", "a b"], ["extra"]]) {
    refusal(() => brokerCommand(args));
  }
});

test("cli help: every option of a command is listed, in lines that fit a terminal of 120 columns", () => {
  for (const spec of [produceSpec, brokerSpec]) {
    const help = helpOf(spec);
    for (const option of spec.options) assert.ok(help.includes(`--${option.name}`), option.name);
    for (const line of help.split("\n")) assert.ok(line.length <= 120, line);
  }
  assert.match(overview("1.2.3"), /^sluice 1\.2\.3: /);
});
