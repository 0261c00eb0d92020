import assert from "node:assert/strict";
import { KafkaError, keyHash, type ProducerLike, sticky, TimeoutError } from "../../mod.ts";
import { RecordingProducer, VirtualRuntime } from "../../src/testing/mod.ts";
import { ofAnotherRealm } from "../another_realm.ts";
import { stage } from "../stage.ts";
import { test } from "../harness.ts";

/** Code under test: it doesn't know which producer it has. */
async function greet(producer: ProducerLike, names: readonly string[]): Promise<string[]> {
  const outcomes: string[] = [];
  for (const name of names) {
    await producer.send({ topic: "greetings", key: name, value: `hello ${name}` }, {
      onSuccess: ({ partition, offset }) => void outcomes.push(`${partition}@${offset}`),
      onError: ({ code }) => void outcomes.push(code),
    }).catch(() => {});
  }
  await producer.flush();
  return outcomes;
}

test("recording producer: the same code runs with it and with the real one, to the same end", async () => {
  const { producer, run } = stage({ topics: { greetings: 3 } });
  const real = producer();
  const names = ["user-123", "kafka", "user-123"];
  const wanted = await run(greet(real, names));
  await run(real.close());
  const recording = new RecordingProducer({ partitions: 3, partitioner: keyHash() });
  assert.deepEqual(await greet(recording, names), wanted);
  assert.deepEqual(Object.keys(recording.metrics()).sort(), Object.keys(real.metrics()).sort());
  const methods = (one: object): string[] => Object.getOwnPropertyNames(Object.getPrototypeOf(one));
  assert.deepEqual(methods(real).filter((name) => !methods(recording).includes(name)), []);
});

test("recording producer: keeps records as they were at the call, with headers, time and partition", async () => {
  const runtime = new VirtualRuntime({ wallStartMs: 5_000 });
  const p = new RecordingProducer({ runtime, partitions: { wide: 4 } });
  const bytes = Uint8Array.of(1, 2);
  const sent = p.send({ topic: "wide", key: bytes, value: null, partition: 3, headers: [["h", bytes], ["h", null]] });
  bytes[0] = 9;
  assert.equal(p.pending.length, 1);
  assert.deepEqual(JSON.parse(JSON.stringify(await sent)), {
    ...{ topic: "wide", partition: 3, offset: "0", timestamp: 5_000, delivery: "acked" },
  });
  await p.send({ topic: "other", value: "v", timestamp: 7, headers: { a: "b" } });
  assert.deepEqual(p.records("wide"), [{
    ...{ topic: "wide", partition: 3, key: Uint8Array.of(1, 2), value: null, timestamp: 5_000 },
    headers: [["h", Uint8Array.of(1, 2)], ["h", null]],
  }]);
  assert.deepEqual(p.records().map(({ topic, key, timestamp, headers }) => [topic, key, timestamp, headers]).at(-1), [
    ...["other", null, 7, [["a", "b"]]],
  ]);
  p.clear();
  assert.deepEqual([p.records(), p.failed], [[], []]);
  assert.equal((await p.send({ topic: "wide", value: "v", partition: 3 })).offset, 1n);
});

test("recording producer: fails the next ones, or those that the test picks, and keeps the rest of the order", async () => {
  const p = new RecordingProducer<string, string>({
    respond: ({ value }) => value === "bad" ? new TimeoutError("Picked.") : undefined,
  });
  p.failNext(new Error("no network"), 2);
  const told: string[] = [];
  const results = await p.sendBatch(
    ["a", "b", "c", "bad", "d"].map((value) => ({ topic: "t", value })),
    { onDelivery: (error, metadata) => void told.push(error?.message ?? String(metadata!.offset)) },
  );
  assert.deepEqual(told, ["no network", "no network", "0", "Picked.", "1"]);
  assert.deepEqual(results.map(({ status }) => status), [
    ...["rejected", "rejected", "fulfilled", "rejected", "fulfilled"],
  ]);
  const [first] = results;
  assert.ok(first?.status === "rejected" && first.reason instanceof KafkaError);
  assert.deepEqual(p.records().map(({ value }) => value), ["c", "d"]);
  assert.deepEqual(p.failed.map(({ record, error }) => [record.value, error.message]), [
    ["a", "no network"],
    ["b", "no network"],
    ["bad", "Picked."],
  ]);
  assert.deepEqual([p.metrics().records_sent, p.metrics().errors, p.metrics().success_rate], [2, 3, 0.4]);
  await assert.rejects(p.sendBatch([{ topic: "t", value: "bad" }]).all(), { code: "TIMEOUT" });
});

test("recording producer: outcomes wait for the test, one by one, when it says so", async () => {
  const p = new RecordingProducer({ autoComplete: false });
  const order: string[] = [];
  for (const value of ["a", "b", "c"]) {
    p.send({ topic: "t", value }, {
      onSuccess: () => void order.push(value),
      onError: ({ message }) => void order.push(message),
    });
  }
  await Promise.resolve();
  assert.deepEqual([order, p.pending.length, p.metrics().records_pending], [[], 3, 3]);
  assert.equal(p.completeNext(), true);
  assert.equal(p.errorNext(new TimeoutError("too late")), true);
  assert.deepEqual(order, ["a", "too late"]);
  await p.flush();
  assert.deepEqual(order, ["a", "too late", "c"]);
  assert.deepEqual([p.completeNext(), p.errorNext(new Error())], [false, false]);
});

test("recording producer: delays outcomes by the clock that it is given; flush and close wait, or give up in time", async () => {
  const runtime = new VirtualRuntime();
  const p = new RecordingProducer({ delayMs: 100, runtime });
  const sent = p.send({ topic: "t", value: "v" }).then(() => runtime.now());
  const flushed = p.flush().then(() => runtime.now());
  assert.equal(await runtime.runUntil(flushed), 100);
  assert.equal(await sent, 100);
  p.produce({ topic: "t", value: "v" });
  await assert.rejects(runtime.runUntil(p.flush({ timeoutMs: 50 })), { code: "TIMEOUT" });
  const aborted = p.flush({ signal: AbortSignal.abort(new Error("stop")) });
  await assert.rejects(aborted, { message: "stop" });
  const lost = p.send({ topic: "t", value: "v" }, { onError: () => {} });
  const closed = p.close({ timeoutMs: 60 });
  assert.equal(p.close(), closed);
  await assert.rejects(runtime.runUntil(closed), { code: "TIMEOUT" });
  await assert.rejects(lost, { code: "PRODUCER_CLOSED" });
  assert.deepEqual([p.records().length, p.failed.length, p.closed], [2, 1, true]);
  await runtime.advance(1_000);
  assert.equal(p.records().length, 2, "a late timer changes nothing");
});

test("recording producer: refuses what the real one refuses, and everything after close", async () => {
  const p = new RecordingProducer<string, string>({ partitions: 2 });
  const codes: string[] = [];
  const note = { onError: ({ code }: KafkaError): void => void codes.push(code) };
  p.send({ topic: "", value: "v" }, note);
  p.send({ topic: "t", value: undefined as unknown as string }, note);
  p.send({ topic: "t", value: "v", partition: 2 }, note);
  const controller = new AbortController();
  p.send({ topic: "t", value: "v" }, { ...note, signal: controller.signal });
  controller.abort();
  await p.close();
  p.send({ topic: "t", value: "v" }, note);
  assert.equal(p.produce({ topic: "t", value: "v" }, (error) => void codes.push(error!.code)), true);
  assert.deepEqual(codes, [
    ...["INVALID_TOPIC_EXCEPTION", "SERIALIZATION", "INVALID_PARTITION", "ABORTED", "PRODUCER_CLOSED"],
    "PRODUCER_CLOSED",
  ]);
  for (const call of [() => p.connect(), () => p.ready(), () => p.partitionsFor("t"), () => p.refreshMetadata()]) {
    await assert.rejects(call(), { code: "PRODUCER_CLOSED" });
  }
  assert.deepEqual(p.records(), []);
  assert.throws(() => new RecordingProducer({ partitions: 0 }), { name: "ConfigError" });
});

test("recording producer: a full buffer, a stream, a partitioner of the caller's, and a callback that throws", async () => {
  const p = new RecordingProducer<string, string>({ partitions: 4, partitioner: sticky({ records: 2 }) });
  p.full = true;
  assert.equal(p.produce({ topic: "t", value: "refused" }), false);
  let woken = false;
  const ready = p.ready().then(() => woken = true);
  await Promise.resolve();
  assert.equal(woken, false);
  p.full = false;
  await ready;
  const writer = p.writable("t").getWriter();
  for (const value of ["a", "b", "c", "d"]) await writer.write(value);
  await writer.close();
  const partitions = p.records().map(({ partition }) => partition);
  assert.equal(partitions[0], partitions[1]);
  assert.equal(partitions[2], partitions[3]);
  assert.notEqual(partitions[1], partitions[2]);
  await p.send({ topic: "t", value: "e" }, {
    onDelivery: () => {
      throw new Error("boom");
    },
  });
  assert.equal((await p.partitionsFor("t")).length, 4);
  await p[Symbol.asyncDispose]();
  assert.equal(p.records().length, 5);
});

test("recording producer: what respond, callbacks and headers throw ends one record, as with the real one", async () => {
  const s = stage();
  const runtime = s.runtime;
  const p = new RecordingProducer({
    runtime,
    respond: ({ value }) => {
      if (value === "bad") throw new Error("no answer");
      return undefined;
    },
  });
  const failed = s.failure(p.send({ topic: "orders", value: "bad" }));
  assert.equal((await failed).message, "no answer");
  p.produce({ topic: "orders", value: "good" }, (() => Promise.reject(new Error("async"))) as unknown as () => void);
  const told: (string | undefined)[] = [];
  const headers = (function* (): Generator<[string, string]> {
    yield ["a", "1"];
    throw new Error("the source broke");
  })();
  assert.equal(p.produce({ topic: "orders", value: "v", headers }, (error) => void told.push(error?.message)), true);
  await s.run(p.flush());
  assert.match(String(told), /the source broke/);
  assert.deepEqual([p.records().length, p.failed.length], [1, 1]);
  await s.run(p.close());
});

test("recording producer: what has no headers in it, such as a promise of them, is refused as by the real one", async () => {
  for (const kind of ["real", "recording"] as const) {
    const s = stage();
    const p: ProducerLike = kind === "real" ? s.producer() : new RecordingProducer({ runtime: s.runtime });
    for (const headers of [Promise.resolve({ a: "b" }), new Date(0), new ArrayBuffer(1), null]) {
      const error = await s.failure(p.send({ topic: "orders", value: "v", headers: headers as never }));
      assert.equal((error as KafkaError).code, "SERIALIZATION");
      assert.match(error.message, /^Pass headers as an object or as pairs: they are /);
    }
    for (const headers of [{}, [], new Map()]) await s.run(p.send({ topic: "orders", value: "v", headers }));
    await s.run(p.close());
  }
});

test("recording producer: a flush completes what was there before it, not what callbacks send meanwhile", async () => {
  const s = stage();
  const p = new RecordingProducer({ runtime: s.runtime, autoComplete: false });
  const next = (): void => void p.produce({ topic: "orders", value: "v" }, next);
  next();
  await s.run(p.flush());
  assert.deepEqual([p.records().length, p.pending.length], [1, 1]);
});

test("recording producer: calls back where the real one does, within a call or after it", async () => {
  const logs: string[][] = [];
  for (const kind of ["real", "recording"] as const) {
    const s = stage({ topics: { greetings: 1 } });
    const p: ProducerLike = kind === "real"
      ? s.producer({ lingerMs: 1_000 })
      : new RecordingProducer({ runtime: s.runtime, autoComplete: false });
    const log: string[] = [];
    const call = <T>(name: string, run: () => T): T => {
      log.push(`> ${name}`);
      const result = run();
      log.push(`< ${name}`);
      return result;
    };
    let tries = 0;
    const refused = (): void => {
      const count = ++tries;
      // Far more than a stack has room for, unless each has a turn of its own.
      if (count > 20_000) return;
      const send = (): boolean =>
        p.produce({ topic: "", value: "v" }, () => (count < 4 && log.push("refused"), refused()));
      void (count < 4 ? call("produce", send) : send());
    };
    refused();
    await s.run(Promise.resolve());
    await s.runtime.advance(10_000);
    log.push(`${tries} tries`);
    const send = (value: string): Promise<unknown> =>
      p.send({ topic: "greetings", value }, {
        onDelivery: (error) => void log.push(`${value} ${error?.code ?? "there"}`),
      });
    void send("flushed");
    const flushed = call("flush", () => p.flush());
    await s.run(flushed);
    log.push("flushed");
    void send("closed");
    const closed = call("close", () => p.close());
    void send("too late");
    await s.run(closed);
    log.push("closed");
    logs.push(log);
  }
  assert.deepEqual(logs[1], logs[0]);
  assert.ok(logs[0]!.includes("20001 tries"), logs[0]!.join("; "));
});

test("recording producer: a generator may yield one record, and one buffer, again and again, of a class too", async () => {
  const recording = new RecordingProducer();
  const s = stage({ topics: { t: 1 } });
  const real = s.producer();
  class Row {
    readonly #bytes = new Uint8Array(1);
    get topic(): string {
      return "t";
    }
    get value(): Uint8Array {
      return this.#bytes;
    }
    get headers(): [string, Uint8Array][] {
      return [["h", this.#bytes]];
    }
    next(): this {
      this.#bytes[0]! += 1;
      return this;
    }
  }
  function* rows(): Generator<Row> {
    const row = new Row();
    for (let i = 0; i < 3; i++) yield row.next();
  }
  await recording.sendBatch(rows()).all();
  await s.run(real.sendBatch(rows()).all());
  await s.run(real.close());
  const wanted = [1, 2, 3].map((byte) => [Uint8Array.of(byte), Uint8Array.of(byte)]);
  for (const records of [recording.records(), await s.cluster.records("t")]) {
    assert.deepEqual(records.map(({ value, headers }) => [value, headers[0]![1]]), wanted);
  }
});

test("recording producer: bytes of another realm are text, JSON and a key as others are", async () => {
  const sizes: unknown[] = [];
  const partitioner = ({ keyBytes, sizeBytes }: { keyBytes: Uint8Array | null; sizeBytes: number }) => {
    sizes.push(keyBytes?.length, sizeBytes);
    return 0;
  };
  const p = new RecordingProducer({ partitioner });
  const utf8 = new TextEncoder();
  const [key, value] = [ofAnotherRealm(utf8.encode("k-1")), ofAnotherRealm(utf8.encode('{"n":1}'))];
  await p.send({ topic: "t", key, value });
  const [record] = p.records();
  assert.deepEqual([record!.keyText(), record!.text(), record!.json()], ["k-1", '{"n":1}', { n: 1 }]);
  assert.deepEqual(sizes, [3, 10]);
});

test("recording producer: what is no record is told by the same words in an iterable and in a stream as in a list", async () => {
  const s = stage({ topics: { t: 1 } });
  const real = s.producer();
  for (const odd of ["text", 5, undefined, null, [], ["t"], { topic: "t", messages: [] }] as never[]) {
    const wanted = (await s.failure(real.sendBatch([odd]).all())).message;
    for (const producer of [real, new RecordingProducer()]) {
      assert.equal((await s.failure(producer.sendBatch([odd]).all())).message, wanted);
      assert.equal((await s.failure(producer.sendBatch(new Set([odd])).all())).message, wanted);
    }
  }
  const writer = real.writable().getWriter();
  const told = s.failure(writer.closed);
  writer.write("text" as never).catch(() => {});
  assert.match((await told).message, /not field by field/);
  await s.run(real.close());
});
