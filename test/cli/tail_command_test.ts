import assert from "node:assert/strict";
import { tailCommand } from "../../src/cli/tail_command.ts";
import { test } from "../harness.ts";
import { refusal } from "./world.ts";

const base = ["-b", "b:9092", "orders"];
const nowMs = Date.parse("2026-01-31T12:00:00Z");

test("cli tail: its options reach the command", { needs: "command line" }, async () => {
  const command = await tailCommand([
    ...["-b", "b:1", "-t", "orders", "-o", "beginning", "-e", "-c", "5", "-p", "0,3,0", "-K", "\\t", "-D", "\\0", "-Z"],
    ...["--isolation", "read_uncommitted", "--timeout-ms", "7", "--client-id", "me", "-X", "fetch.max.wait.ms=9", "-q"],
  ]);
  assert.deepEqual(command, {
    topic: "orders",
    from: "beginning",
    to: "end",
    count: 5,
    partitions: [0, 3],
    json: false,
    template: undefined,
    keySeparator: Uint8Array.of(9),
    delimiter: Uint8Array.of(0),
    nullText: "NULL",
    quiet: true,
    reader: { brokers: "b:1", clientId: "me", maxBlockMs: 7, isolation: "read_uncommitted", maxWaitMs: 9 },
  });
});

test("cli tail: begins ten records before the end, or at an offset, a time, or so long ago", {
  needs: "command line",
}, async () => {
  const cases: [string[], unknown][] = [
    [[], { last: 10n }],
    [["--from", "beginning"], "beginning"],
    [["--from", "earliest"], "beginning"],
    [["-o", "end"], "end"],
    [["-o", "9007199254740993"], { offset: 9007199254740993n }],
    [["-o", "-3"], { last: 3n }],
    [["-o-3"], { last: 3n }],
    [["-o", "@1700000000000"], { timestamp: 1_700_000_000_000 }],
    [["-o", "s@1700000000000"], { timestamp: 1_700_000_000_000 }],
    [["--from", "@-90m"], { timestamp: nowMs - 90 * 60_000 }],
    [["--from", "@-999999999d"], { timestamp: 0 }],
    [["--from", "2026-01-31"], { timestamp: Date.parse("2026-01-31") }],
    [["--from", "2026-01-31T11:00:00Z"], { timestamp: nowMs - 3_600_000 }],
  ];
  for (const [args, from] of cases) assert.deepEqual((await tailCommand([...base, ...args], nowMs)).from, from);
  assert.deepEqual((await tailCommand([...base, "--to", "e@5"])).to, { timestamp: 5 });
});

test("cli tail: a wrong line is refused in one line that says what is wanted", { needs: "command line" }, async () => {
  const places = "wanted beginning, end, an offset, -N, 2026-01-31T12:00:00Z, @MS or @-1h";
  const cases: [string[], string][] = [
    [["-b", "b:1"], "No topic is given, wanted its name"],
    [["orders"], "No brokers are given, wanted --brokers HOST:PORT or KAFKA_BROKERS"],
    [
      ["orders", "-b", "9092"],
      '"9092" is a port without a host, wanted HOST:PORT: --brokers localhost:9092 for one on this machine',
    ],
    [
      ["orders", "-b", "one:1, :9093"],
      '":9093" is a port without a host, wanted HOST:PORT: --brokers localhost:9093 for one on this machine',
    ],
    [[...base, "two"], 'Found "orders", "two", wanted one topic'],
    [[...base, "-t", "other"], 'Found "orders" besides --topic, wanted one topic'],
    [[...base, "-o", "stored"], `Option --from is "stored", ${places}`],
    [[...base, "-o", "2026-13-45"], `Option --from is "2026-13-45", ${places}`],
    [[...base, "--to", "@-1y"], `Option --to is "@-1y", ${places}`],
    [[...base, "-e", "--to", "5"], "Options --exit and --to are both given, wanted one of them"],
    [[...base, "-J", "-f", "%s"], "Options --json and --format are both given, wanted one of them"],
    [[...base, "-K", ":", "-f", "%s"], "Options --format and --key-separator are both given, wanted one of them"],
    [[...base, "-p", "one"], 'Option --partition is "one", wanted numbers such as 0,3'],
    [[...base, "-c", "0"], 'Option --count is "0", wanted a whole number from 1'],
    [[...base, "--from-beginning"], 'Unknown option "--from-beginning", use --from beginning'],
    [[...base, "--max-messages", "5"], 'Unknown option "--max-messages", use --count'],
    [[...base, "-X", "linger.ms=5"], 'Property "linger.ms" is none of a reader, see -X list'],
    [
      [...base, "-X", "group.id=g"],
      'Property "group.id" is none here, leave it out: sluice tail reads without a group',
    ],
  ];
  for (const [args, message] of cases) assert.equal(await refusal(() => tailCommand(args)), message);
});
