import assert from "node:assert/strict";
import { Producer } from "../../mod.ts";
import { ConfigError } from "../../src/errors.ts";
import { Reader, type ReaderOptions, type ReadRecord } from "../../src/reader/mod.ts";
import { EmbeddedCluster, Metadata } from "../../src/testing/mod.ts";
import { systemRuntime } from "../../src/runtime/select.ts";
import { test, type TestContext } from "../harness.ts";

const decoder = new TextDecoder();

function stage(t: TestContext, topics: Record<string, number>, brokers = 1): {
  cluster: EmbeddedCluster;
  producer: Producer;
  reader: (options?: Partial<ReaderOptions>) => Reader;
} {
  const cluster = new EmbeddedCluster({ topics, brokers });
  const common = { brokers: cluster.bootstrap, connect: cluster.sockets };
  const producer = new Producer({ ...common, retryBackoffMs: 1 });
  t.after(() => producer.close());
  return {
    cluster,
    producer,
    reader: (options = {}) => {
      const reader = new Reader({ ...common, retryBackoffMs: 1, maxWaitMs: 20, ...options });
      t.after(() => reader.close());
      return reader;
    },
  };
}

async function take(reader: Reader, count: number): Promise<ReadRecord[]> {
  const records: ReadRecord[] = [];
  if (count === 0) return records;
  for await (const record of reader) {
    records.push(record);
    if (records.length === count) break;
  }
  return records;
}

const textOf = ({ value }: ReadRecord): string => decoder.decode(value!);

test("reader: hands out keys, values, headers, timestamps and offsets as they were sent", async (t) => {
  const { producer, reader } = stage(t, { orders: 1 });
  await producer.send({ topic: "orders", key: "k", value: "hello", timestamp: 1_700_000_000_123, headers: { a: "b" } });
  await producer.send({ topic: "orders", key: null, value: null, timestamp: 1_700_000_000_124 });
  const it = reader();
  it.assign([{ topic: "orders", partition: 0 }]);
  const [first, second] = await take(it, 2);
  assert.deepEqual({ ...first!, key: decoder.decode(first!.key!), value: textOf(first!), headers: null }, {
    topic: "orders",
    partition: 0,
    offset: 0n,
    timestamp: 1_700_000_000_123,
    key: "k",
    value: "hello",
    headers: null,
  });
  assert.deepEqual(first!.headers.map(([name, value]) => [name, decoder.decode(value!)]), [["a", "b"]]);
  assert.deepEqual([second!.key, second!.value, second!.offset], [null, null, 1n]);
});

for (const compression of ["none", "gzip", "snappy", "lz4", "zstd"] as const) {
  test(`reader: reads what was compressed with ${compression}, also from the middle of a batch`, async (t) => {
    const { cluster, reader } = stage(t, { lines: 1 });
    const producer = new Producer({ brokers: cluster.bootstrap, connect: cluster.sockets, compression, lingerMs: 5 });
    t.after(() => producer.close());
    await producer.sendBatch(Array.from({ length: 200 }, (_, i) => ({ topic: "lines", value: `line ${i}` }))).all();
    const it = reader();
    it.assign([{ topic: "lines", partition: 0, start: 150n }]);
    const records = await take(it, 50);
    assert.deepEqual(records.map(textOf), Array.from({ length: 50 }, (_, i) => `line ${150 + i}`));
    assert.equal(records[0]!.offset, 150n);
  });
}

test("reader: begins at the end, at a timestamp, and where it is told to go", async (t) => {
  const { producer, reader } = stage(t, { lines: 1 });
  for (let i = 0; i < 10; i++) await producer.send({ topic: "lines", value: String(i), timestamp: 1_000_000 + i });
  const it = reader();
  const place = { topic: "lines", partition: 0 };
  it.assign([{ ...place, start: { timestamp: 1_000_004 } }]);
  assert.equal(textOf((await take(it, 1))[0]!), "4");
  assert.equal(it.position(place), 5n);
  it.seek(place, 8n);
  assert.equal(textOf((await take(it, 1))[0]!), "8");
  it.seek(place, "beginning");
  assert.equal(textOf((await take(it, 1))[0]!), "0");
  assert.deepEqual(await it.offsetsOf([place], "end"), [{ ...place, offset: 10n }]);
  assert.deepEqual(await it.offsetsOf([place], "beginning"), [{ ...place, offset: 0n }]);
  assert.deepEqual(await it.offsetsOf([place], { timestamp: 1_000_009 }), [{ ...place, offset: 9n }]);
  it.seek(place, "end");
  const next = take(it, 1);
  await it.offsetsOf([place], "end");
  await producer.send({ topic: "lines", value: "new" });
  assert.equal(textOf((await next)[0]!), "new");
});

test("reader: many partitions on several brokers are read whole, each in its order", async (t) => {
  const { producer, reader } = stage(t, { lines: 12 }, 3);
  const sent = Array.from({ length: 600 }, (_, i) => ({ topic: "lines", partition: i % 12, value: String(i) }));
  await producer.sendBatch(sent).all();
  const it = reader({ maxBufferedBytes: 500, maxPartitionBytes: 100 });
  assert.equal(await it.partitionsOf("lines"), 12);
  it.assign(Array.from({ length: 12 }, (_, partition) => ({ topic: "lines", partition })));
  const records = await take(it, 600);
  for (let partition = 0; partition < 12; partition++) {
    const own = records.filter((record) => record.partition === partition);
    assert.deepEqual(
      own.map(textOf),
      sent.filter((record) => record.partition === partition).map(({ value }) => value),
    );
  }
});

test("reader: goes on when a partition moves to another leader", async (t) => {
  const { cluster, producer, reader } = stage(t, { lines: 1 }, 3);
  const it = reader();
  it.assign([{ topic: "lines", partition: 0 }]);
  const all = take(it, 40);
  for (let i = 0; i < 40; i++) {
    await producer.send({ topic: "lines", value: String(i) });
    if (i % 10 === 9) assert.ok(cluster.moveLeader("lines", 0, 1 + Math.floor(i / 10) % 3) || i === 9);
  }
  assert.deepEqual((await all).map(textOf), Array.from({ length: 40 }, (_, i) => String(i)));
});

test("reader: a partition that is paused is left alone until it is resumed", async (t) => {
  const { producer, reader } = stage(t, { lines: 2 });
  const [zero, one] = [{ topic: "lines", partition: 0 }, { topic: "lines", partition: 1 }];
  await producer.send({ ...zero, value: "zero" });
  await producer.send({ ...one, value: "one" });
  const it = reader();
  it.assign([zero, one]);
  it.pause([zero]);
  assert.equal(textOf((await take(it, 1))[0]!), "one");
  it.resume([zero]);
  assert.equal(textOf((await take(it, 1))[0]!), "zero");
});

test("reader: closing it ends an iteration that waits, and calls that come later are refused", async (t) => {
  const { reader } = stage(t, { lines: 1 });
  const it = reader();
  it.assign([{ topic: "lines", partition: 0 }]);
  const all = take(it, 1);
  await it.offsetsOf([{ topic: "lines", partition: 0 }], "end");
  await it.close();
  await it.close();
  assert.deepEqual(await all, []);
  assert.throws(() => it.assign([]), /closed/);
  await assert.rejects(it.partitionsOf("lines"), /closed/);
});

test("reader: an offset that isn't in the log leads where onMissingOffset says", async (t) => {
  const { producer, reader } = stage(t, { lines: 1 });
  for (const value of ["a", "b"]) await producer.send({ topic: "lines", value });
  const place = { topic: "lines", partition: 0, start: 77n };
  const first = reader({ onMissingOffset: "beginning" });
  first.assign([place]);
  assert.equal(textOf((await take(first, 1))[0]!), "a");
  const failing = reader({ onMissingOffset: "fail" });
  failing.assign([place]);
  await assert.rejects(take(failing, 1), { code: "OFFSET_OUT_OF_RANGE", message: /Offset 77 of .* Seek to/ });
  failing.seek(place, 1n);
  assert.equal(textOf((await take(failing, 1))[0]!), "b");
});

test("reader: a topic that isn't there is told of after maxBlockMs", async (t) => {
  const { reader } = stage(t, { lines: 1 });
  await assert.rejects(reader({ maxBlockMs: 50 }).partitionsOf("none"), /UNKNOWN_TOPIC_OR_PARTITION|"none"/);
});

for (
  const [name, options] of Object.entries<unknown>({
    "nothing": undefined,
    "no broker": { brokers: "" },
    "an unknown option": { brokers: "localhost", groupID: "x" },
    "an isolation that isn't known": { brokers: "localhost", isolation: "serializable" },
    "bytes below 1": { brokers: "localhost", maxBytes: 0 },
    "no list of brokers": { brokers: undefined },
    "a broker that is no text": { brokers: ["localhost", 9092] },
    "an option that throws": {
      get brokers(): string {
        throw new Error("not now");
      },
    },
  })
) {
  test(`reader: ${name} is a ConfigError`, () => {
    assert.throws(() => new Reader(options as ReaderOptions), ConfigError);
  });
}

test("reader: partitions and places that can't be right are refused in words", (t) => {
  const { reader } = stage(t, { lines: 1 });
  const it = reader();
  assert.throws(() => it.assign([{ topic: "lines", partition: -1 }]), ConfigError);
  assert.throws(() => it.assign([{ topic: "", partition: 0 }]), ConfigError);
  assert.throws(() => it.assign([{ topic: "lines", partition: 0, start: 5 as unknown as bigint }]), /such as 0n/);
  assert.throws(() => it.seek({ topic: "lines", partition: 0 }, 0n), /Assign topic "lines" partition 0 first/);
});

test("reader: a number at its bound is taken, one beyond is not", async (t) => {
  const { reader } = stage(t, { lines: 1 });
  const it = reader();
  const most = 2n ** 63n - 1n;
  for (const start of [0n, most, { timestamp: 0 }, { timestamp: Number.MAX_SAFE_INTEGER }]) {
    assert.doesNotThrow(() => it.assign([{ topic: "lines", partition: 2_147_483_647, start }]));
  }
  for (const start of [-1n, most + 1n, { timestamp: -1 }, { timestamp: 2 ** 53 }]) {
    assert.throws(() => it.assign([{ topic: "lines", partition: 0, start }]), { option: "start" });
  }
  assert.throws(() => it.assign([{ topic: "lines", partition: 2 ** 31 }]), { option: "partition" });
  for (const offset of [0n, most]) await it.commit("g", [{ topic: "lines", partition: 0, offset }]);
  for (const offset of [-1n, most + 1n]) {
    await assert.rejects(it.commit("g", [{ topic: "lines", partition: 0, offset }]), { option: "offset" });
  }
});

test("reader: whatever is no list of partitions or offsets, and no topic, is refused in words and does no harm", async (t) => {
  const { producer, reader } = stage(t, { lines: 1 });
  await producer.send({ topic: "lines", value: "a" });
  const it = reader();
  const place = { topic: "lines", partition: 0 };
  const broken = new Proxy({}, {
    get: () => {
      throw new Error("not now");
    },
  });
  it.assign([{ ...place, start: "beginning" }]);
  for (const value of [undefined, null, place, "lines", 5, [null], [broken], broken, ["lines"]] as never[]) {
    assert.throws(() => it.assign(value), ConfigError);
    assert.throws(() => it.pause(value), ConfigError);
    assert.throws(() => it.resume(value), ConfigError);
    await assert.rejects(it.offsetsOf(value, "end"), ConfigError);
    await assert.rejects(it.committed("g", value), ConfigError);
    if (value !== undefined) await assert.rejects(it.commit("g", value), ConfigError);
  }
  for (const value of [undefined, null, "lines", broken, {}] as never[]) {
    assert.throws(() => it.seek(value, 0n), ConfigError);
    assert.throws(() => it.position(value), ConfigError);
  }
  for (const value of [undefined, null, 5, "", {}] as never[]) {
    await assert.rejects(it.commit(value, [{ ...place, offset: 1n }]), { option: "groupId" });
    await assert.rejects(it.partitionsOf(value), { option: "topic" });
  }
  assert.throws(() => it.seek(place, new Date() as never), /date\.getTime\(\)/);
  assert.throws(() => it.seek(place, { timestamp: new Date() as never }), /date\.getTime\(\)/);
  assert.throws(() => it.pause([place, { topic: "lines", partition: 7 }]), /partition 7 first/);
  assert.equal(textOf((await take(it, 1))[0]!), "a", "nothing is paused, and nothing has been sought");
});

test("reader: options that other consumers have are told by our names", () => {
  const told = (options: object): string => {
    try {
      return String(new Reader({ brokers: "localhost", ...options }));
    } catch (error) {
      return (error as Error).message;
    }
  };
  assert.match(told({ groupId: "g" }), /GroupReader/);
  assert.match(told({ fromBeginning: true }), /"onMissingOffset"/);
  assert.match(told({ "auto.offset.reset": "earliest" }), /"onMissingOffset"/);
  assert.match(told({ "enable.auto.commit": true }), /commit\(\)/);
  assert.match(told({ "max.partition.fetch.bytes": 1 }), /"maxPartitionBytes"/);
  assert.match(told({ "client.id": "x" }), /Did you mean "clientId"/);
  assert.match(told({ speed: 5 }), /maxBufferedBytes/);
});

test("reader: an offset that is looked up twice in one call is told twice, and one that isn't found says why", async (t) => {
  const { producer, reader } = stage(t, { lines: 1 });
  await producer.send({ topic: "lines", value: "a" });
  const place = { topic: "lines", partition: 0 };
  const it = reader({ maxBlockMs: 500 });
  assert.deepEqual(await it.offsetsOf([place, { ...place }], "end"), [{ ...place, offset: 1n }, {
    ...place,
    offset: 1n,
  }]);
  const error = it.offsetsOf([{ topic: "lines", partition: 9 }], "end");
  await assert.rejects(error, /"lines" partition 9 took longer than maxBlockMs\. The topic has 1, counted from 0/);
});

test("reader: a lookup ends also when the runtime's timers are early, as those of Node are by parts of a ms", async (t) => {
  const { cluster, producer } = stage(t, { lines: 1 });
  await producer.send({ topic: "lines", value: "a" });
  const real = systemRuntime(cluster.sockets);
  const early: typeof real = Object.assign(Object.create(real), {
    setTimer: (callback: () => void, delayMs: number) => real.setTimer(callback, Math.max(0, delayMs - 5)),
  });
  const it = new Reader({ brokers: cluster.bootstrap, maxBlockMs: 100 }, early);
  t.after(() => it.close());
  await it.partitionsOf("lines");
  await assert.rejects(it.offsetsOf([{ topic: "lines", partition: 9 }], "end"), /took longer than maxBlockMs/);
});

test("reader: return() of an iterator ends a next() that waits, and the reader goes on for others", async (t) => {
  const { producer, reader } = stage(t, { lines: 1 });
  const it = reader();
  it.assign([{ topic: "lines", partition: 0 }]);
  for (const iterator of [it[Symbol.asyncIterator](), it.batches()]) {
    const waiting = iterator.next();
    assert.deepEqual(await iterator.return(), { done: true, value: undefined });
    assert.deepEqual(await waiting, { done: true, value: undefined });
  }
  const waiting = it.batches();
  const next = waiting.next();
  await assert.rejects(waiting.throw(new Error("enough")), /enough/);
  await next;
  await producer.send({ topic: "lines", value: "a" });
  assert.equal(textOf((await take(it, 1))[0]!), "a");
});

test("reader: a broker that goes away is told once, and when all is read again", async (t) => {
  const { cluster, producer, reader } = stage(t, { orders: 3 });
  const told: (string | null)[] = [];
  let [isGone, isBack] = [() => {}, () => {}];
  const gone = new Promise<void>((resolve) => isGone = resolve);
  const back = new Promise<void>((resolve) => isBack = resolve);
  const it = reader({
    requestTimeoutMs: 500,
    connectTimeoutMs: 500,
    onTrouble: (trouble) => {
      told.push(trouble === null ? null : trouble.code);
      if (trouble === null) isBack();
      else isGone();
    },
  });
  it.assign([0, 1, 2].map((partition) => ({ topic: "orders", partition, start: "beginning" })));
  await producer.send({ topic: "orders", partition: 0, value: "before" });
  assert.equal(textOf((await take(it, 1))[0]!), "before");
  assert.deepEqual(told, []);
  cluster.stopBroker(1);
  const next = take(it, 1);
  await gone;
  cluster.startBroker(1);
  await back;
  await producer.send({ topic: "orders", partition: 2, value: "after" });
  assert.equal(textOf((await next)[0]!), "after");
  assert.deepEqual(told, ["NETWORK_EXCEPTION", null]);
  for (const name of ["onTrouble", "onOffsetReset"]) {
    assert.throws(
      () => new Reader({ brokers: "b:1", [name]: 1 as never }),
      new RegExp(`Set "${name}" to a function: 1 is not`),
    );
  }
});

test("reader: a connection that leads to another broker is given up when that one denies to lead", async (t) => {
  const { cluster, producer, reader } = stage(t, { orders: 2 }, 2);
  await producer.sendBatch([0, 1].map((partition) => ({ topic: "orders", partition, value: `${partition}` }))).all();
  // Both brokers are said to be where the first of them is, once.
  cluster.control(Metadata, {
    transform: (body) => ({ ...body, brokers: body.brokers.map((broker) => ({ ...broker, host: "broker-1.test" })) }),
  }, { times: 1 });
  const it = reader({ brokers: "broker-1.test:9092", requestTimeoutMs: 500 });
  it.assign([0, 1].map((partition) => ({ topic: "orders", partition, start: "beginning" as const })));
  assert.deepEqual((await take(it, 2)).map(textOf).sort(), ["0", "1"]);
});

test("reader: an offset that is passed to assign() under its other name is refused, not left out", (t) => {
  const { reader } = stage(t, { orders: 1 });
  const it = reader();
  assert.throws(() => it.assign([{ topic: "orders", partition: 0, offset: 5n } as never]), {
    option: "start",
    message: 'Name the place to begin "start", not "offset": start: 5n.',
  });
  assert.deepEqual(it.assignment, []);
});

test("reader: retries have no option of their own", () => {
  for (const name of ["retry", "retries"]) {
    assert.throws(() => new Reader({ brokers: "b:1", [name]: 1 }), {
      option: name,
      message: /Pass "retryBackoffMs" and "retryBackoffMaxMs" instead: what can pass is tried again until it has\.$/,
    });
  }
});
