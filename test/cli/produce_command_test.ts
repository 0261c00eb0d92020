import assert from "node:assert/strict";
import { brokerCommand } from "../../src/cli/broker_command.ts";
import { commandSpecs, helpOf, overview } from "../../src/cli/options.ts";
import { produceCommand } from "../../src/cli/produce_command.ts";
import { test } from "../harness.ts";
import { refusal } from "./world.ts";

const base = ["--brokers", "b:9092", "--topic", "t"];
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test("cli arguments: every option of produce reaches the command", { needs: "command line" }, async () => {
  const command = await produceCommand([
    ...["-b", "one:1,two:2", "-t", "people", "people.txt", "more.gz", "-f", "lines", "-K", "\\t", "-k", "key", "-Z"],
    ...["--headers-separator", "|", "-D", "\\x1e", "--null-marker", "NULL", "-c", "7", "--rate", "100", "-T", "-l"],
    ...["-H", "a=1", "--header", "b=x=y", "-H", "c=", "-p", "3", "-z", "gzip", "--level", "9", "-a", "-1"],
    ...["--linger-ms", "5", "--batch-size=1000", "--timeout-ms", "7000", "--client-id", "me"],
    ...["-X", "maxInFlight=1", "-X", "retries=Infinity", "-X", "securityProtocol=plaintext", "-q", "--json"],
  ]);
  const input = {
    format: "lines",
    keySeparator: bytes("\t"),
    keyIsOptional: true,
    headersSeparator: bytes("|"),
    delimiter: bytes("\x1e"),
    emptyAsNull: true,
    keyField: undefined,
    nullMarker: "NULL",
  };
  assert.deepEqual(command, {
    topic: "people",
    files: [{ name: "people.txt", gunzip: false, input }, { name: "more.gz", gunzip: true, input }],
    key: "key",
    partition: 3,
    headers: [["a", "1"], ["b", "x=y"], ["c", ""]],
    count: 7,
    rate: 100,
    dryRun: false,
    tee: true,
    output: undefined,
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
    progress: "never",
    quiet: true,
    json: true,
  });
});

test("cli arguments: what isn't given is left to the producer, and brokers come from the environment", {
  needs: "command line",
}, async () => {
  const command = await produceCommand(["--topic", "t"], { KAFKA_BROKERS: "env:9092" });
  assert.deepEqual(command.files.map(({ name, input }) => [name, input.format]), [["-", "lines"]]);
  assert.equal(command.progress, "auto");
  assert.deepEqual(command.producer, { brokers: "env:9092", deliveryTimeoutMs: 60_000, maxBlockMs: 10_000 });
  const { files } = await produceCommand([...base, "x.json", "y.ndjson.gz", "z"]);
  assert.deepEqual(files.map(({ input, gunzip }) => [input.format, gunzip]), [
    ["json", false],
    ["ndjson", true],
    ["lines", false],
  ]);
  assert.equal((await produceCommand([...base, "-p", "-1"])).partition, "any");
  assert.equal((await produceCommand(["-b", "b:1", "-f", "envelope"])).topic, undefined);
});

test("cli arguments: a wrong line is refused in one line that says what is wanted", {
  needs: "command line",
}, async () => {
  const cases: [string[], string][] = [
    [["--topic", "t"], "No brokers are given, wanted --brokers HOST:PORT or KAFKA_BROKERS"],
    [["--brokers", "b:1"], "No topic is given, wanted --topic NAME"],
    [["--brokers", "b:1", "orders"], 'No topic is given, wanted --topic NAME: "orders" is taken for a file'],
    [["--brokers", "b:1", "-f", "ndjson"], "No topic is given, wanted --topic NAME"],
    [[...base, "--compresion", "gzip"], 'Unknown option "--compresion", did you mean --compression?'],
    [[...base, "--frobnicate"], 'Unknown option "--frobnicate", see sluice produce --help'],
    [[...base, "-x"], 'Unknown option "-x", see sluice produce --help'],
    [[...base, "--linger-ms"], "Option --linger-ms has no value, wanted MS"],
    [[...base, "--quiet=yes"], 'Option --quiet takes no value, got "yes"'],
    [[...base, "--linger-ms", "soon"], 'Option --linger-ms is "soon", wanted a whole number from 0'],
    [[...base, "--partition", "-2"], 'Option --partition is "-2", wanted a whole number from 0, or any'],
    [[...base, "--count", "0"], 'Option --count is "0", wanted a whole number from 1'],
    [[...base, "--rate", "1.5"], 'Option --rate is "1.5", wanted a whole number from 1'],
    [[...base, "--format", "xml"], 'Option --format is "xml", wanted one of lines, ndjson, json, envelope'],
    [[...base, "--header", "novalue"], 'Option --header is "novalue", wanted NAME=VALUE'],
    [[...base, "--header", "=v"], 'Option --header is "=v", wanted NAME=VALUE'],
    [[...base, "--key-field", "id"], "Option --key-field does not go with --format lines"],
    [[...base, "--key-separator", ":", "a.json"], "Option --key-separator does not go with --format json"],
    [[...base, "-Z", "-f", "envelope"], "Option --empty-as-null does not go with --format envelope"],
    [[...base, "--key-separator", ""], "Option --key-separator is empty, wanted at least one character"],
    [[...base, "--key-field", "", "a.json"], "Option --key-field is empty, wanted at least one character"],
    [[...base, "--level", "3"], "Option --level is given without a codec, wanted --compression CODEC as well"],
    [[...base, "-T", "-o", "%o"], "Options --tee and --output are both given, wanted one of them"],
  ];
  for (const [args, message] of cases) assert.equal(await refusal(() => produceCommand(args)), message);
});

test(
  "cli arguments: options of kcat, of Java and of rpk are answered with ours",
  { needs: "command line" },
  async () => {
    const cases: [string[], RegExp][] = [
      [["--bootstrap-server", "b:1"], /"--bootstrap-server", use --brokers$/],
      [["--broker-list", "b:1"], /use --brokers$/],
      [["--producer.config", "x"], /use --config$/],
      [["--producer-property", "acks=1"], /write it as -X NAME=VALUE$/],
      [["--property", "parse.key=true"], /"parse.key" is none here, use --key-separator$/],
      [["--property", "key.separator=:"], /use --key-separator$/],
      [["--sync"], /leave it out/],
      [["--request-required-acks", "1"], /use --acks$/],
      [["-P"], /this is what sluice produce does/],
      [["-C"], /use sluice tail$/],
      [["-L"], /use sluice topics$/],
      [["-m", "5"], /use --timeout-ms$/],
      [["--output-format", "%o"], /use --output$/],
      [["--allow-auto-topic-creation"], /-X allow.auto.create.topics=true$/],
      [["--password", "s3cret"], /-X sasl.password=… or, better, --config FILE$/],
    ];
    for (const [args, pattern] of cases) {
      const message = await refusal(() => produceCommand([...base, ...args]));
      assert.match(message, pattern);
      assert.doesNotMatch(message, /s3cret/);
    }
  },
);

test("cli arguments: a value may be attached to a letter and may start with a dash, switches may share a word", {
  needs: "command line",
}, async () => {
  const command = await produceCommand(["-bb:9092", "-tt", "-Hname=-1", "--client-id", "-x-", "-K-", "-qT"]);
  assert.equal(command.topic, "t");
  assert.deepEqual(command.headers, [["name", "-1"]]);
  assert.equal(command.producer["clientId"], "-x-");
  assert.deepEqual(command.files[0]!.input.keySeparator, bytes("-"));
  assert.deepEqual([command.quiet, command.tee], [true, true]);
  const message = 'Unknown option "-j", see sluice produce --help';
  assert.equal(await refusal(() => produceCommand([...base, "-qj"])), message);
});

test("cli arguments: what follows two dashes is a file, and one dash is standard input", {
  needs: "command line",
}, async () => {
  const filesOf = async (...args: string[]) => (await produceCommand([...base, ...args])).files.map(({ name }) => name);
  assert.deepEqual(await filesOf("--", "--odd name"), ["--odd name"]);
  assert.deepEqual(await filesOf("-", "b"), ["-", "b"]);
});

test("cli arguments: broker understands its options and refuses wrong ones", { needs: "command line" }, async () => {
  assert.deepEqual(brokerCommand([]), {
    port: 9092,
    host: "127.0.0.1",
    brokers: 1,
    topics: [],
    autoCreate: false,
    tls: false,
    users: {},
    faults: [],
    print: undefined,
  });
  const given = brokerCommand([
    ...["--port", "0", "--brokers", "3", "--topic", "a:4", "--topic=b", "--auto-create", "--print", "--tls"],
    ...["--user", "alice=a=b", "--user", "bob=c", "--fault", "produce:NOT_LEADER_OR_FOLLOWER:2"],
    ...["--fault", "Metadata:delay=500", "--fault", "fetch:drop-after"],
  ]);
  const { faults, ...others } = given;
  assert.deepEqual(others, {
    port: 0,
    host: "127.0.0.1",
    brokers: 3,
    topics: [{ name: "a", partitions: 4 }, { name: "b", partitions: 1 }],
    autoCreate: true,
    tls: true,
    users: { alice: "a=b", bob: "c" },
    print: "%t [%p] at %o: %k %s\\n",
  });
  assert.deepEqual(faults.map(({ api, action, times }) => [api.name, action, times]), [
    ["Produce", { error: 6 }, 2],
    ["Metadata", { delayMs: 500 }, Infinity],
    ["Fetch", { drop: "after" }, Infinity],
  ]);
  const wrong = [
    ...[["--port", "65536"], ["--brokers", "0"], ["--topic", "a:0"], ["--topic", "a b"], ["extra"]],
    ...[["--port", "65535", "--brokers", "2"], ["--user", "alice"], ["--user", "alice="], ["--fault", "Produce"]],
    ...[["--fault", "Nothing:drop"], ["--fault", "Produce:NO_SUCH_ERROR"], ["--fault", "Produce:drop:0"]],
  ];
  for (const args of wrong) await refusal(() => brokerCommand(args));
  assert.doesNotMatch(await refusal(() => brokerCommand(["--user", "s3cret"])), /s3cret/);
});

test("cli help: every option of a command is listed, in lines that fit a terminal of 120 columns", () => {
  for (const spec of commandSpecs) {
    const help = helpOf(spec);
    for (const option of spec.options) assert.ok(help.includes(`--${option.name}`), option.name);
    const letters = spec.options.flatMap(({ short }) => short ?? []);
    assert.equal(new Set(letters).size, letters.length, `${spec.name}: a letter stands for two options`);
    for (const line of help.split("\n")) assert.ok(line.length <= 120, line);
  }
  assert.match(overview("1.2.3"), /^sluice 1\.2\.3: /);
});
