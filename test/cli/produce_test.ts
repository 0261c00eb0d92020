import assert from "node:assert/strict";
import { type OutgoingRecord, produce, type RecordSink } from "../../src/cli/produce.ts";
import type { ProduceSummary } from "../../src/cli/summary.ts";
import type { Delivery } from "../../src/cli/tally.ts";
import { ConnectionError, DeliveryTimeoutError, RecordTooLargeError } from "../../src/errors.ts";
import { test } from "../harness.ts";
import { commandOf, world } from "./world.ts";

type OnDelivery = (error: unknown, metadata?: Delivery | null) => void;

/** A producer that keeps what it is given, up to a capacity, and answers when it is told to. */
class FakeSink implements RecordSink {
  readonly log: OutgoingRecord[] = [];
  readonly waiting: { record: OutgoingRecord; onDelivery: OnDelivery }[] = [];
  readonly calls: string[] = [];
  highWater = 0;
  capacity = Infinity;
  failure: ((record: OutgoingRecord) => unknown) | undefined;
  connecting: () => Promise<void> = () => Promise.resolve();

  connect(): Promise<void> {
    return this.connecting();
  }

  partitionsFor(): Promise<unknown> {
    return Promise.resolve([]);
  }

  produce(record: OutgoingRecord, onDelivery: OnDelivery): boolean {
    if (this.waiting.length >= this.capacity) return false;
    this.waiting.push({ record, onDelivery });
    this.highWater = Math.max(this.highWater, this.waiting.length);
    return true;
  }

  async ready(): Promise<void> {
    await Promise.resolve();
    this.answer();
  }

  async flush(): Promise<void> {
    this.calls.push("flush");
    await Promise.resolve();
    this.answer();
  }

  async close(options: { timeoutMs?: number } = {}): Promise<void> {
    this.calls.push(`close ${options.timeoutMs ?? "unbounded"}`);
    await Promise.resolve();
    this.answer();
  }

  traffic(): { batches: null; requests: null; retries: null; compressionRatio: null } {
    return { batches: null, requests: null, retries: null, compressionRatio: null };
  }

  answer(): void {
    for (const { record, onDelivery } of this.waiting.splice(0)) {
      const error = this.failure?.(record);
      if (error !== undefined) {
        onDelivery(error, null);
        continue;
      }
      this.log.push(record);
      onDelivery(null, { topic: record.topic, partition: 0, offset: BigInt(this.log.length - 1) });
    }
  }
}

const decoder = new TextDecoder();
const command = (more: Parameters<typeof commandOf>[0] = {}) => commandOf({ json: true, ...more });
const LINES = { format: "lines", keySeparator: undefined, keyField: undefined, nullMarker: undefined } as const;
const summaryOf = (io: { out: string }) => JSON.parse(io.out) as ProduceSummary;

test("cli produce: records of every chunk arrive in order with key, headers and partition, exit code 0", async () => {
  const io = world(["a:1\nb", ":2\n", "c:3"]);
  const sink = new FakeSink();
  const exitCode = await produce(
    command({ input: { ...LINES, keySeparator: new TextEncoder().encode(":") }, headers: [["h", "x"]], partition: 2 }),
    io,
    () => sink,
  );
  assert.equal(exitCode, 0);
  assert.deepEqual(sink.log.map(({ key, value }) => `${decoder.decode(key!)}=${decoder.decode(value!)}`), [
    "a=1",
    "b=2",
    "c=3",
  ]);
  assert.deepEqual(sink.log[0]!.headers, [["h", "x"]]);
  assert.equal(sink.log[0]!.partition, 2);
  assert.equal(summaryOf(io).records, 3);
  assert.equal(summaryOf(io).bytes, 3 * 4);
  assert.equal(io.err, "");
  assert.equal(io.closed, true);
});

test("cli produce: the summary is broken between words where the terminal is narrow", async () => {
  const io = { ...world(["1\n2\n"]), columns: 30 };
  assert.equal(await produce(command({ json: false }), io, () => new FakeSink()), 0);
  const lines = io.out.split("\n");
  assert.ok(lines.every(({ length }) => length <= 30), io.out);
  assert.match(lines.join(" "), /^Delivered 2 records \(2 B\) to "?\w+"? in [\d.]+ s: [\d,]+ records\/s, /);
});

test("cli produce: no more is taken than the producer has room for", async () => {
  const io = world(["x\n".repeat(10_000)]);
  const sink = new FakeSink();
  sink.capacity = 100;
  assert.equal(await produce(command(), io, () => sink), 0);
  assert.equal(sink.log.length, 10_000);
  assert.equal(sink.highWater, 100);
});

test("cli produce: a line that is not JSON ends the reading, what came before is delivered, exit code 2", async () => {
  const io = world(["1\n2\n{\n4\n"]);
  const sink = new FakeSink();
  assert.equal(await produce(command({ input: { ...LINES, format: "ndjson" } }), io, () => sink), 2);
  assert.equal(sink.log.length, 2);
  assert.equal(io.err, 'sluice: Line 3: "{" is not JSON. Delivered 2 records.\n');
  assert.equal(summaryOf(io).records, 2);
});

test("cli produce: a file that is not there is named before anything is connected, exit code 2", async () => {
  const io = world([]);
  const sink = new FakeSink();
  sink.connecting = () => assert.fail("connected");
  assert.equal(await produce(command({ file: "missing" }), io, () => sink), 2);
  assert.equal(
    io.err,
    'sluice: Cannot read "missing": no such file, wanted a readable file or - for standard input.\n',
  );
});

test("cli produce: a refused connection is one line with advice, exit code 1", async () => {
  const io = world(["never read\n"]);
  const sink = new FakeSink();
  sink.connecting = () => Promise.reject(new ConnectionError("Connecting to b:1 failed:\n refused"));
  assert.equal(await produce(command(), io, () => sink), 1);
  assert.equal(
    io.err,
    "sluice: Connecting to b:1 failed: refused. Check --brokers, or start a broker to try with: sluice broker. " +
      "Delivered 0 records.\n",
  );
});

test("cli produce: a record that is too large is counted and the others go on, exit code 1", async () => {
  const io = world(["a\nbig\nc\n"]);
  const sink = new FakeSink();
  sink.failure = ({ value }) => value!.length > 1 ? new RecordTooLargeError("Record is too large") : undefined;
  assert.equal(await produce(command(), io, () => sink), 1);
  assert.equal(sink.log.length, 2);
  assert.deepEqual(summaryOf(io).errors, [{ code: "RECORD_TOO_LARGE", message: "Record is too large", records: 1 }]);
  assert.match(io.err, /^sluice: Record is too large\. Make .* Delivered 2 records, 1 not delivered\.\n$/);
});

test("cli produce: an undeliverable record ends the reading of an endless input, exit code 1", async () => {
  async function* endless(): AsyncIterable<Uint8Array> {
    const chunk = new TextEncoder().encode("x\n".repeat(50));
    for (let chunks = 0; chunks < 1_000; chunks++) yield await Promise.resolve(chunk);
    assert.fail("read to the end");
  }
  const io = world(endless());
  const sink = new FakeSink();
  sink.capacity = 120;
  sink.failure = () => new DeliveryTimeoutError("Gave up", { persisted: "possibly" });
  assert.equal(await produce(command(), io, () => sink), 1);
  assert.match(io.err, /^sluice: Gave up\. .*Delivered 0 records, 120 not delivered, 120 of them possibly in the log/);
});

test("cli produce: an interrupt ends a read that waits, delivers what was taken in bounded time, exit code 130", async () => {
  let started = () => {};
  const waiting = new Promise<void>((resolve) => started = resolve);
  async function* stuck(): AsyncIterable<Uint8Array> {
    yield await Promise.resolve(new TextEncoder().encode("a\nb\n"));
    started();
    await new Promise<never>(() => {});
  }
  const io = world(stuck());
  const sink = new FakeSink();
  const run = produce(command(), io, () => sink);
  await waiting;
  io.interrupt();
  assert.equal(await run, 130);
  assert.deepEqual(sink.calls, ["close 5000"]);
  assert.equal(io.closed, true);
  assert.equal(summaryOf(io).records, 2);
  assert.equal(summaryOf(io).interrupted, true);
});

test("cli produce: an interrupt ends a connection attempt that hangs", async () => {
  const io = world([]);
  const sink = new FakeSink();
  sink.connecting = () => new Promise(() => {});
  const run = produce(command(), io, () => sink);
  await Promise.resolve();
  await Promise.resolve();
  io.interrupt();
  assert.equal(await run, 130);
  assert.equal(summaryOf(io).interrupted, true);
});

test("cli produce: an interrupt before anything was delivered is told", async () => {
  const io = world([]);
  const sink = new FakeSink();
  sink.connecting = () => new Promise(() => {});
  const run = produce(commandOf({}), io, () => sink);
  await Promise.resolve();
  await Promise.resolve();
  io.interrupt();
  assert.equal(await run, 130);
  assert.match(io.out, /^Interrupted: delivered 0 records \(0 B\) to t in [\d.]+ s: 0 records\/s, 0 B\/s\n$/);
  assert.equal(io.err, "");
});

test("cli produce: partitions of several topics are apart, also where they have the same number", async () => {
  const lines = ["orders", "bills", "orders"].map((topic) => `${JSON.stringify({ topic, value: "x" })}\n`);
  const given = { topic: undefined, input: { format: "envelope" } } as const;
  const json = world(lines);
  assert.equal(await produce(command(given), json, () => new FakeSink()), 0);
  assert.equal(summaryOf(json).topic, null);
  assert.deepEqual(summaryOf(json).partitions, [
    { topic: "bills", partition: 0, records: 1, firstOffset: "1", lastOffset: "1" },
    { topic: "orders", partition: 0, records: 2, firstOffset: "0", lastOffset: "2" },
  ]);
  const text = world(lines);
  assert.equal(await produce(command({ ...given, json: false }), text, () => new FakeSink()), 0);
  assert.deepEqual(text.out.split("\n").slice(2), [
    "   topic  partition  records  offsets",
    "   bills          0        1  1 to 1",
    "  orders          0        2  0 to 2",
    "",
  ]);
});

test("cli produce: quiet prints nothing but complaints", async () => {
  const io = world(["a\n"]);
  assert.equal(await produce(commandOf({ quiet: true }), io, () => new FakeSink()), 0);
  assert.equal(io.out + io.err, "");
});

test("cli produce: progress as JSON is a line each time, and none without a terminal", async () => {
  async function* slow(): AsyncIterable<Uint8Array> {
    yield await Promise.resolve(new TextEncoder().encode("a\nb\n"));
    await new Promise((resolve) => setTimeout(resolve, 600));
  }
  const io = world(slow());
  const sink = new FakeSink();
  sink.capacity = 1;
  assert.equal(await produce(command({ progress: "json" }), io, () => sink), 0);
  const lines = io.err.trim().split("\n").map((line) => JSON.parse(line) as { delivered: number; pending: number });
  assert.ok(lines.length >= 1);
  assert.deepEqual([lines[0]!.delivered, lines[0]!.pending], [1, 1]);
  const silent = world(slow());
  assert.equal(await produce(command(), silent, () => new FakeSink()), 0);
  assert.equal(silent.err, "");
});

test("cli produce: files, topics, codecs and what a broker says are printed escaped, as JSON too", async () => {
  const evil = "\u001b[2J\n\u202e\u009b";
  const topic = `t${evil}`;
  const io = world(["a\n"]);
  assert.equal(await produce(commandOf({ topic }), io, () => new FakeSink()), 0);
  assert.match(io.out, /to t\\u001b\[2J\\n\\u202e\\u009b in/);
  const json = world(["a\n"]);
  assert.equal(await produce(commandOf({ topic, json: true }), json, () => new FakeSink()), 0);
  assert.equal((JSON.parse(json.out) as ProduceSummary).topic, topic);
  assert.doesNotMatch(json.out.trimEnd(), /\p{Cc}|\p{Cf}/u);
  const failing = world(["a\n"]);
  const sink = new FakeSink();
  sink.connecting = () => Promise.reject(new ConnectionError(`Connecting to ${evil} failed.`));
  assert.equal(await produce(commandOf({ topic, file: `file${evil}` }), failing, () => sink), 1);
  const lost = world(["a\n"]);
  lost.open = () => Promise.reject(Object.assign(new TypeError(`no ${evil}`), { code: "EODD" }));
  assert.equal(await produce(commandOf({ topic, file: `file${evil}` }), lost, () => new FakeSink()), 2);
  for (const { err } of [failing, lost]) {
    assert.match(err, /^sluice: [^\n]+\n$/);
    assert.doesNotMatch(err.trimEnd(), /\p{Cc}|\p{Cf}/u);
  }
});

const texts = (sink: FakeSink): (string | null)[][] =>
  sink.log.map(({ key, value }) => [key, value].map((bytes) => bytes && decoder.decode(bytes)));

test("cli produce: a fixed key is that of records without one, and a partition of any drops those of envelopes", async () => {
  const lines = ['{"key":"own","value":"1","partition":9}\n', '{"value":"2","timestamp":5,"headers":{"a":"b"}}\n'];
  const sink = new FakeSink();
  const given = { input: { format: "envelope" }, key: "fixed", partition: "any", headers: [["h", "x"]] } as const;
  assert.equal(await produce(command(given), world(lines), () => sink), 0);
  assert.deepEqual(texts(sink), [["own", "1"], ["fixed", "2"]]);
  assert.deepEqual(sink.log.map(({ partition, timestamp }) => [partition, timestamp]), [[undefined, undefined], [
    undefined,
    5,
  ]]);
  assert.deepEqual(sink.log[1]!.headers, [["a", new TextEncoder().encode("b")], ["h", "x"]]);
});

test("cli produce: an envelope goes to its own topic and partition, or to the topic that was given", async () => {
  const line = '{"topic":"own","partition":3,"value":{"id":1}}\n';
  const own = new FakeSink();
  assert.equal(
    await produce(command({ topic: undefined, input: { format: "envelope" } }), world([line]), () => own),
    0,
  );
  assert.deepEqual(own.log.map(({ topic, partition }) => [topic, partition]), [["own", 3]]);
  assert.deepEqual(texts(own), [[null, '{"id":1}']]);
  const given = new FakeSink();
  assert.equal(await produce(command({ topic: "copy", input: { format: "envelope" } }), world([line]), () => given), 0);
  assert.equal(given.log[0]!.topic, "copy");
  const io = world(['{"value":"x"}\n']);
  assert.equal(
    await produce(command({ topic: undefined, input: { format: "envelope" } }), io, () => new FakeSink()),
    2,
  );
  assert.match(io.err, /^sluice: A record has no topic, wanted one in its envelope, or --topic NAME\./);
});

test("cli produce: stops after so many records, and paces them", async () => {
  const io = world(["a\nb\nc\nd\n"]);
  const sink = new FakeSink();
  assert.equal(await produce(command({ count: 3, rate: 1 }), io, () => sink), 0);
  assert.equal(sink.log.length, 3);
  assert.equal(io.slept.length, 2);
  assert.ok(io.slept.every((ms) => ms > 0 && ms <= 2_000), String(io.slept));
  assert.equal(io.closed, true);
});

test("cli produce: several files are read one after the other, and a complaint names the one", async () => {
  const io = world(["x\n"]);
  const inputs: Record<string, string> = { one: "1\n", two: '{"n":2}\noops\n' };
  io.open = (file) => world([inputs[file]!]).open(file);
  const sink = new FakeSink();
  const files = [
    { name: "one", gunzip: false, input: { format: "lines" } },
    { name: "two", gunzip: false, input: { format: "ndjson" } },
  ] as const;
  assert.equal(await produce(command({ files, json: false }), io, () => sink), 2);
  assert.deepEqual(texts(sink), [[null, "1"], [null, '{"n":2}']]);
  assert.equal(io.err, 'sluice: In "two": Line 2: "oops" is not JSON. Delivered 2 records.\n');
});

test("cli produce: one of several files that can't be unpacked is named once, with why in words", async () => {
  const reasons = [
    ["Z_DATA_ERROR", "it is no gzip file, or damaged: incorrect header check"],
    ["Z_BUF_ERROR", "it is packed, and ends in the middle"],
  ] as const;
  for (const [code, reason] of reasons) {
    const io = world([]);
    // deno-lint-ignore require-yield
    const chunks = async function* (): AsyncGenerator<Uint8Array> {
      throw await Promise.resolve(Object.assign(new Error("incorrect header check"), { code }));
    };
    io.open = (file) => world(file === "one" ? ["1\n"] : chunks()).open(file);
    const files = ["one", "two.gz"].map((name) => ({ name, gunzip: true, input: { format: "lines" } as const }));
    assert.equal(await produce(command({ files, json: false }), io, () => new FakeSink()), 2);
    assert.equal(io.err, `sluice: Reading "two.gz" failed: ${reason}. Delivered 1 record.\n`);
  }
});

test("cli produce: when there is enough the other files are left alone", async () => {
  const io = world([]);
  io.open = (file) => world([`${file}\n`]).open("-");
  const files = ["one", "two"].map((name) => ({ name, gunzip: false, input: { format: "lines" } as const }));
  const sink = new FakeSink();
  assert.equal(await produce(command({ files, count: 1 }), io, () => sink), 0);
  assert.deepEqual(texts(sink), [[null, "one"]]);
});

test("cli produce: tee prints the values and output a template, and the summary goes to standard error", async () => {
  const tee = world(["a\nb\n"]);
  assert.equal(await produce(command({ tee: true }), tee, () => new FakeSink()), 0);
  assert.equal(tee.out, "a\nb\n");
  assert.equal((JSON.parse(tee.err) as ProduceSummary).records, 2);
  const output = world(["a\nb\n"]);
  const given = { output: "%t[%p]@%o %k=%s\\n", key: "k", json: false };
  assert.equal(await produce(command(given), output, () => new FakeSink()), 0);
  assert.equal(output.out, "t[0]@0 k=a\nt[0]@1 k=b\n");
  assert.match(output.err, /^Delivered 2 records/);
});

test("cli produce: where somebody types nothing is written to the terminal meanwhile, and progress where files are read", async () => {
  const io = Object.assign(world(["a\n"]), { isTTY: true, isInputTTY: true });
  assert.equal(await produce(command({ json: false }), io, () => new FakeSink()), 0);
  assert.equal(io.err, "");
  const files = [{ name: "file", gunzip: false, input: { format: "lines" } as const }];
  assert.equal(await produce(command({ json: false, files }), io, () => new FakeSink()), 0);
  assert.ok(io.err.endsWith("\r\x1b[K"), JSON.stringify(io.err));
});

test("cli produce: a dry run counts and complains, and says that nothing was sent", async () => {
  const io = world(["{}\n{}\noops\n"]);
  const given = { dryRun: true, json: false, input: { format: "ndjson" } } as const;
  assert.equal(await produce(command(given), io, () => new FakeSink()), 2);
  assert.equal(io.err, 'sluice: Line 3: "oops" is not JSON. Read 2 records, sent none.\n');
  assert.equal(io.out, "Read 2 records (4 B), and sent none of them to t: a dry run\n");
  const json = world(["{}\n"]);
  assert.equal(await produce(command({ ...given, json: true }), json, () => new FakeSink()), 0);
  assert.deepEqual([summaryOf(json).dryRun, summaryOf(json).records, summaryOf(json).partitions], [true, 1, []]);
});
