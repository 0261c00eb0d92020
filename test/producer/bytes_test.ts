/** The bytes that are stored are those at the call, whatever they are made of and however long they wait. */

import assert from "node:assert/strict";
import type { ProducerOptions } from "../../mod.ts";
import { Batch } from "../../src/producer/accumulator/batch.ts";
import { BufferPool } from "../../src/producer/accumulator/buffer_pool.ts";
import type { Producer } from "../../src/producer/producer.ts";
import type { ProducerRecord } from "../../src/producer/record/record.ts";
import { Produce } from "../../src/protocol/messages/produce.ts";
import { BATCH_OVERHEAD } from "../../src/protocol/record_batch_layout.ts";
import { decodeRecords, readBatchHeader } from "../../src/protocol/record_batch_reader.ts";
import { RecordEncoder } from "../../src/producer/record/record_encoder.ts";
import { ofAnotherRealm } from "../another_realm.ts";
import { type Stage, stage } from "../stage.ts";
import { test } from "../harness.ts";
import { assertLeavesNothing, warmUp, watch } from "./wire.ts";

const SIZE = 40;
const utf8 = new TextEncoder();

/** Bytes for a test, and what their owner does with them right after the call. */
interface Given {
  readonly bytes: Uint8Array;
  readonly spoil: () => void;
}

type Kind = (content: Uint8Array) => Given;

interface NodeBuffer {
  alloc(size: number): Uint8Array;
  from(bytes: Uint8Array): Uint8Array;
  allocUnsafe(size: number): Uint8Array;
}

const { Buffer, process } = globalThis as unknown as {
  Buffer?: NodeBuffer;
  process?: { getBuiltinModule?(name: string): { Buffer: NodeBuffer } | undefined };
};
const nodeBuffer = Buffer ?? process?.getBuiltinModule?.("node:buffer")?.Buffer;

function overwritten(bytes: Uint8Array): Given {
  return { bytes, spoil: () => void Uint8Array.prototype.fill.call(bytes, 0x21) };
}

function filled<B extends Uint8Array>(bytes: B, content: Uint8Array): B {
  Uint8Array.prototype.set.call(bytes, content);
  return bytes;
}

/** Its `slice` is a view, as that of Node's Buffer is. */
class View extends Uint8Array {
  override slice(start?: number, end?: number): Uint8Array<ArrayBuffer> {
    return this.subarray(start, end) as Uint8Array<ArrayBuffer>;
  }
}

/** Nothing that it says of itself is true. */
class Liar extends Uint8Array {
  static get [Symbol.species](): never {
    throw new Error("Asked for the species");
  }
  override get length(): number {
    return 3;
  }
  override get byteLength(): number {
    return 100_000;
  }
  override get byteOffset(): number {
    return 7;
  }
  override get buffer(): never {
    throw new Error("Asked for the buffer");
  }
  override slice(): never {
    throw new Error("Asked for a slice");
  }
  override subarray(): never {
    throw new Error("Asked for a subarray");
  }
  override set(): never {
    throw new Error("Asked to set");
  }
  override [Symbol.iterator](): never {
    throw new Error("Asked for an iterator");
  }
  override get [Symbol.toStringTag](): never {
    throw new Error("Asked for its name");
  }
}

const KINDS: Record<string, Kind> = {
  "a Uint8Array": (content) => overwritten(content.slice()),
  "the middle of a pool": (content) => {
    const pool = new Uint8Array(8_192).fill(0x3f);
    pool.set(content, 777);
    return { bytes: pool.subarray(777, 777 + content.length), spoil: () => void pool.fill(0x21) };
  },
  "a subclass whose slice is a view": (content) => overwritten(filled(new View(content.length), content)),
  "a subclass that lies": (content) => overwritten(filled(new Liar(content.length), content)),
  "a Uint8Array with a length of its own": (content) => {
    const bytes = content.slice();
    for (const [name, value] of Object.entries({ length: 2, byteLength: 1, byteOffset: 9, constructor: Liar })) {
      Object.defineProperty(bytes, name, { value });
    }
    return overwritten(bytes);
  },
  "a Uint8Array of another realm": (content) => overwritten(ofAnotherRealm(content)),
  "memory that grows afterwards": (content) => {
    const { buffer, memory } = resizable(content.length, 4 * content.length);
    const bytes = filled(new Uint8Array(memory), content);
    return { bytes, spoil: () => void (buffer.resize(4 * content.length), bytes.fill(0x21)) };
  },
  "memory that shrinks afterwards": (content) => {
    const { buffer, memory } = resizable(content.length, content.length);
    return { bytes: filled(new Uint8Array(memory), content), spoil: () => buffer.resize(3) };
  },
  "memory that goes to a worker afterwards": (content) => {
    const bytes = content.slice();
    return { bytes, spoil: () => void structuredClone(bytes, { transfer: [bytes.buffer] }) };
  },
  "WebAssembly's memory that grows afterwards": (content) => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 4 });
    const bytes = filled(new Uint8Array(memory.buffer, 100, content.length), content);
    return { bytes, spoil: () => void (bytes.fill(0x21), memory.grow(1)) };
  },
};

if (typeof SharedArrayBuffer !== "undefined") {
  KINDS["shared memory"] = (content) =>
    overwritten(filled(new Uint8Array(new SharedArrayBuffer(content.length)), content));
  KINDS["shared memory that grows"] = (content) => {
    const buffer = new SharedArrayBuffer(content.length, { maxByteLength: 1_000 });
    const bytes = filled(new Uint8Array(buffer), content);
    return { bytes, spoil: () => void (buffer.grow(1_000), bytes.fill(0x21)) };
  };
}

if (nodeBuffer !== undefined) {
  KINDS["a Buffer of its own"] = (content) => overwritten(filled(nodeBuffer.alloc(content.length), content));
  KINDS["a Buffer out of the pool"] = (content) => overwritten(nodeBuffer.from(content));
  KINDS["a part of a Buffer"] = (content) => {
    const pool = nodeBuffer.allocUnsafe(4_096);
    return overwritten(filled(pool.subarray(99, 99 + content.length), content));
  };
}

function resizable(
  size: number,
  maxByteLength: number,
): { readonly buffer: { resize(size: number): void }; readonly memory: ArrayBuffer } {
  const memory = new (ArrayBuffer as unknown as new (size: number, options: unknown) => ArrayBuffer)(size, {
    maxByteLength,
  });
  return { buffer: memory as unknown as { resize(size: number): void }, memory };
}

type Send = (producer: Producer, record: ProducerRecord) => void;

const send: Send = (producer, record) => void producer.send(record);

/** A way for a record to get into a batch. */
interface Way {
  readonly options?: Partial<ProducerOptions<string | Uint8Array, string | Uint8Array>>;
  /** What comes before; returns what to do when all has been sent. */
  readonly before?: (s: Stage, producer: Producer) => Promise<(() => void) | void>;
  readonly send?: Send;
}

/** Fills the memory while the broker keeps silent. */
async function fill(s: Stage, producer: Producer): Promise<() => void> {
  await warmUp(s, producer);
  const goOn = s.cluster.control(Produce, { silence: true });
  for (let i = 0; i < 3; i++) producer.send({ topic: "orders", value: "filler".padEnd(1_900) }).catch(() => {});
  return goOn;
}

const SMALL = { bufferMemory: 2_000, requestTimeoutMs: 500 };

const WAYS: Readonly<Record<string, Way>> = {
  "at once": { before: warmUp },
  "as the first of a topic": {},
  "after the topic was forgotten": {
    options: { metadataMaxIdleMs: 1_000, metadataMaxAgeMs: 500 },
    before: async (s, producer) => {
      await warmUp(s, producer);
      await s.runtime.advance(10_000);
    },
  },
  "behind others while the memory is full": { options: SMALL, before: fill },
  "behind others with a partitioner": { options: { ...SMALL, partitioner: () => 0 }, before: fill },
  "as the first of a topic with a partitioner": { options: { partitioner: () => 0 } },
  "with a partitioner that spoils them": { before: warmUp },
  "with a built-in partitioner": { options: { partitioner: "roundRobin" }, before: warmUp },
  "with a signal, behind others": {
    options: SMALL,
    before: fill,
    send: (producer, record) => void producer.send(record, { signal: new AbortController().signal }),
  },
  "from an interceptor": { options: { interceptors: [{ onSend: (record) => ({ ...record }) }] }, before: warmUp },
  "with sendBatch": { send: (producer, record) => void producer.sendBatch([record]) },
  "with produce": { send: (producer, record) => assert.ok(producer.produce(record)) },
};

const wayNames = Object.keys(WAYS);

for (const wayName of wayNames) {
  test(`bytes: what is sent ${wayName} is stored as it was at the call, whatever it is made of`, async () => {
    const way = WAYS[wayName]!;
    const s = stage({ topics: { orders: 1 } });
    let spoilNow = (): void => {};
    const spoiling = wayName.includes("spoils") ? { partitioner: () => (spoilNow(), 0) } : {};
    const producer = s.producer({ ...way.options, ...spoiling });
    const goOn = await way.before?.(s, producer);
    const wanted: string[] = [];
    let ordinal = 0;
    for (const [name, kind] of Object.entries(KINDS)) {
      for (const part of ["key", "value", "header", "all"] as const) {
        const text = `${ordinal++} ${name} ${part}`.padEnd(SIZE + ordinal % 3, ".");
        const given = [0, 1, 2].map((at) => kind(utf8.encode(`${text}${at}`)));
        const of = (place: typeof part, at: number): Uint8Array | undefined =>
          part === place || part === "all" ? given[at]!.bytes : undefined;
        const header = of("header", 2);
        const record = {
          topic: "orders",
          key: of("key", 0) ?? "key",
          value: of("value", 1) ?? "value",
          ...(header === undefined ? {} : { headers: { before: "1", header, after: "2" } }),
        };
        spoilNow = () => given.forEach(({ spoil }) => spoil());
        (way.send ?? send)(producer, record);
        if (spoiling.partitioner === undefined) spoilNow();
        const told = (place: typeof part, at: number, other: string): string =>
          of(place, at) === undefined ? other : `${text}${at}`;
        wanted.push([told("key", 0, "key"), told("value", 1, "value"), told("header", 2, "")].join("|"));
      }
    }
    if (goOn) goOn();
    await s.run(producer.flush());
    const decoder = new TextDecoder();
    const stored = (await s.cluster.records("orders")).map(({ key, value, headers }) =>
      [key, value, headers[1]?.[1]].map((bytes) => bytes ? decoder.decode(bytes) : "").join("|")
    );
    const own = stored.filter((text) => !/\|(warm|filler *)\|/.test(text));
    assert.deepEqual(own, wanted);
    await assertLeavesNothing(s, producer);
  });
}

test("bytes: a stream's chunk is stored as it was when it was written, also while the memory is full", async () => {
  for (const isFull of [false, true]) {
    const s = stage({ topics: { orders: 1 } });
    const producer = s.producer({ ...SMALL });
    const goOn = isFull ? await fill(s, producer) : undefined;
    const writers = { records: producer.writable().getWriter(), values: producer.writable("orders").getWriter() };
    const wanted: string[] = [];
    for (const [name, kind] of Object.entries(KINDS)) {
      const text = `${name}`.padEnd(SIZE, ".");
      const [key, value, header, alone] = [0, 1, 2, 3].map((at) => kind(utf8.encode(`${text}${at}`)));
      writers.records.write({
        topic: "orders",
        key: key!.bytes,
        value: value!.bytes,
        headers: [["h", header!.bytes]],
      }).catch(() => {});
      writers.values.write(alone!.bytes).catch(() => {});
      for (const { spoil } of [key!, value!, header!, alone!]) spoil();
      wanted.push(`${text}0|${text}1|${text}2`, `|${text}3|`);
    }
    goOn?.();
    await s.run(Promise.all([writers.records.close(), writers.values.close()]));
    const decoder = new TextDecoder();
    const stored = (await s.cluster.records("orders")).map(({ key, value, headers }) =>
      [key, value, headers[0]?.[1]].map((bytes) => bytes ? decoder.decode(bytes) : "").join("|")
    ).filter((text) => !/\|(warm|filler *)\|/.test(text));
    assert.deepEqual(stored.sort(), wanted.sort());
    await s.run(producer.close());
  }
});

test("bytes: serializers that use one buffer for every key and every value are stored right", async () => {
  for (const Class of [Uint8Array, View, Liar]) {
    for (const wayName of wayNames.filter((name) => !name.includes("spoils"))) {
      const way = WAYS[wayName]!;
      const s = stage({ topics: { orders: 1 } });
      const memory = new ArrayBuffer(64);
      const reused = (value: unknown): Uint8Array => {
        const { written } = utf8.encodeInto(String(value), new Uint8Array(memory));
        return new Class(memory, 0, written);
      };
      const producer = s.producer({ ...way.options, keySerializer: reused, valueSerializer: reused });
      const goOn = await way.before?.(s, producer);
      const wanted = Array.from({ length: 4 }, (_, i) => [`k${i}`, `value ${i}`.repeat(i + 1)]);
      for (const [key, value] of wanted) (way.send ?? send)(producer, { topic: "orders", key: key!, value: value! });
      new Uint8Array(memory).fill(0x21);
      if (goOn) goOn();
      await s.run(producer.flush());
      const decoder = new TextDecoder();
      const stored = (await s.cluster.records("orders")).filter(({ key }) => key !== null)
        .map(({ key, value }) => [decoder.decode(key!), decoder.decode(value!)]);
      assert.deepEqual(stored, wanted, wayName);
      await s.run(producer.close());
    }
  }
});

test("bytes: a generator may yield one record and one buffer again and again to sendBatch", async () => {
  const s = stage({ topics: { orders: 1 } });
  const producer = s.producer();
  const value = new View(5);
  const record = { topic: "orders", key: "", value };
  function* records(): Generator<ProducerRecord> {
    for (let i = 0; i < 4; i++) {
      utf8.encodeInto(`value${i}`.slice(-5), value);
      record.key = `k${i}`;
      yield record;
    }
  }
  await s.run(producer.sendBatch(records()).all());
  const decoder = new TextDecoder();
  const stored = (await s.cluster.records("orders")).map(({ key, value }) =>
    [key, value].map((b) => decoder.decode(b!))
  );
  assert.deepEqual(stored, [["k0", "alue0"], ["k1", "alue1"], ["k2", "alue2"], ["k3", "alue3"]]);
  await s.run(producer.close());
});

test("bytes: a partitioner that is asked later is shown key, value and headers as they were at the call", async () => {
  for (
    const kind of [KINDS["a subclass whose slice is a view"]!, KINDS["a part of a Buffer"] ?? KINDS["a Uint8Array"]!]
  ) {
    const s = stage({ topics: { orders: 1 } });
    const seen: unknown[] = [];
    const text = (bytes: unknown): string => new TextDecoder().decode(bytes as Uint8Array);
    const producer = s.producer({
      partitioner: ({ key, keyBytes, value, headers }) => {
        const pairs = headers as [string, Uint8Array][] | Record<string, Uint8Array>;
        const header = Array.isArray(pairs) ? pairs[0]![1] : pairs.h;
        seen.push([key, keyBytes, value, header].map(text), Object.getPrototypeOf(key));
        return 0;
      },
    });
    const given = [0, 1, 2].map((at) => kind(utf8.encode(`part ${at}`)));
    const [key, value, header] = given.map(({ bytes }) => bytes);
    const record = { topic: "orders", key: key!, value: value! };
    void producer.send({ ...record, headers: { h: header! } });
    void producer.send({ ...record, headers: [["h", header!]] });
    for (const { spoil } of given) spoil();
    await s.run(producer.flush());
    const shown = ["part 0", "part 0", "part 1", "part 2"];
    const prototype = Object.getPrototypeOf(key);
    assert.deepEqual(seen.filter(Array.isArray), [shown, shown]);
    assert.ok(seen.filter((entry) => !Array.isArray(entry)).every((entry) => entry === prototype), "the class is kept");
    await s.run(producer.close());
  }
});

test("bytes: an append that fails leaves the batch as it was, and the records before and after it are stored", () => {
  const buffers = new BufferPool(1_000_000);
  let isExhausted = false;
  const pool = {
    take(bytes: number): Uint8Array {
      if (isExhausted) throw new RangeError("Array buffer allocation failed");
      return buffers.take(bytes);
    },
    give: (buffer: Uint8Array) => buffers.give(buffer),
  } as BufferPool;
  const encoder = new RecordEncoder(undefined, undefined, { bufferMemory: 1e6, maxRequestSize: 1e6 });
  const batch = new Batch({} as never, 0, 1_000, 256, pool);
  const add = (timestamp: number, key: string, value: Uint8Array, spoil?: () => void): void => {
    encoder.encode("orders", key, value, undefined);
    spoil?.();
    batch.append(encoder, timestamp, undefined, Infinity);
  };
  const { buffer, memory } = resizable(100, 100);
  const state = (): unknown[] => [batch.length, batch.recordCount, batch.reservedBytes, batch.maxTimestamp];
  const empty = state();
  const fails = (spoil: () => void): void => {
    const before = state();
    assert.throws(() => add(9_999, "k", new Uint8Array(memory), spoil), RangeError);
    assert.deepEqual(state(), before);
  };
  buffer.resize(100);
  fails(() => buffer.resize(1));
  assert.deepEqual(state(), empty);
  add(1_000, "first", utf8.encode("1"));
  buffer.resize(100);
  fails(() => buffer.resize(1));
  buffer.resize(100);
  add(2_000, "second", new Uint8Array(memory));
  buffer.resize(100);
  isExhausted = true;
  fails(() => {});
  isExhausted = false;
  add(3_000, "third", utf8.encode("3"));
  void batch.encode(undefined, 0);
  batch.seal();
  const header = readBatchHeader(batch.wire!);
  const records = decodeRecords(header, batch.wire!.subarray(BATCH_OVERHEAD));
  assert.equal(header.maxTimestamp, 3_000n);
  assert.deepEqual(records.map(({ key }) => new TextDecoder().decode(key!)), ["first", "second", "third"]);
});

test("bytes: a record for which there is no buffer is refused, and the producer goes on", async () => {
  for (const wayName of ["at once", "as the first of a topic", "behind others while the memory is full"]) {
    const way = WAYS[wayName]!;
    const s = stage({ topics: { orders: 1 } });
    const producer = s.producer(way.options);
    const goOn = await way.before?.(s, producer);
    const { take } = BufferPool.prototype;
    let refused;
    try {
      BufferPool.prototype.take = () => {
        throw new RangeError("Array buffer allocation failed");
      };
      refused = watch(s, producer.send({ topic: "orders", value: "x".repeat(300) }));
      if (goOn) goOn();
      await s.run(producer.flush());
    } finally {
      BufferPool.prototype.take = take;
    }
    assert.equal(refused.error?.code, "UNEXPECTED", wayName);
    assert.match(
      refused.error!.message,
      /^Send the record again, and report it if that fails too: .*allocation failed/,
    );
    assert.match(String(refused.error?.cause), /allocation failed/);
    await s.run(producer.send({ topic: "orders", value: "last" }));
    await assertLeavesNothing(s, producer);
  }
});

test("bytes: what only looks like bytes, or has lost its memory, is refused and named, and its neighbours are stored", async () => {
  const s = stage({ topics: { orders: 1 } });
  const producer = s.producer<unknown, unknown>();
  const gone = new Uint8Array(8);
  structuredClone(gone, { transfer: [gone.buffer] });
  const { buffer, memory } = resizable(16, 16);
  const shrunk = new Uint8Array(memory, 8, 8);
  buffer.resize(4);
  const wasm = new WebAssembly.Memory({ initial: 1, maximum: 2 });
  const before = new Uint8Array(wasm.buffer, 0, 10);
  wasm.grow(1);
  const refused: [unknown, RegExp][] = [
    [new Proxy(new Uint8Array(4), {}), /only looks like|Uint8Array/],
    [Object.create(Uint8Array.prototype), /Uint8Array/],
    [new DataView(new ArrayBuffer(4)), /DataView.*new Uint8Array\(/],
    [new Uint16Array(4), /Uint16Array.*new Uint8Array\(/],
    [new Float64Array(4), /Float64Array.*new Uint8Array\(/],
    [new Uint8ClampedArray(4), /Uint8ClampedArray.*new Uint8Array\(/],
    [new ArrayBuffer(4), /ArrayBuffer.*new Uint8Array\(/],
    [gone, /transferred|detached/],
    [shrunk, /transferred|detached/],
    [before, /transferred|detached/],
  ];
  const records: unknown[] = [];
  for (const [bad] of refused) {
    records.push(
      { topic: "orders", value: "good" },
      { topic: "orders", value: bad },
      { topic: "orders", key: bad, value: "v" },
      { topic: "orders", value: "v", headers: { h: bad } },
      { topic: "orders", value: "v", headers: [["h", bad]] },
    );
  }
  const results = await s.run(Promise.resolve(producer.sendBatch(records as never)));
  for (const [index, result] of results.entries()) {
    const [bad, message] = refused[Math.floor(index / 5)]!;
    if (index % 5 === 0) {
      assert.equal(result.status, "fulfilled");
      continue;
    }
    const { reason } = result as PromiseRejectedResult;
    assert.deepEqual([reason.name, reason.persisted], ["SerializationError", "no"], `${index} ${String(reason.cause)}`);
    assert.match(reason.message, message, Object.prototype.toString.call(bad));
  }
  assert.equal((await s.cluster.records("orders")).length, refused.length);
  await assertLeavesNothing(s, producer as Producer);
});

test("bytes: an empty value of every class is an empty value", async () => {
  const s = stage({ topics: { orders: 1 } });
  const producer = s.producer();
  const all = Object.values(KINDS).map((kind) => kind(new Uint8Array(0)).bytes);
  for (const bytes of all) void producer.send({ topic: "orders", key: bytes, value: bytes, headers: { h: bytes } });
  await s.run(producer.flush());
  const stored = await s.cluster.records("orders");
  assert.equal(stored.length, all.length);
  for (const { key, value, headers } of stored) {
    assert.deepEqual([key?.length, value?.length, headers[0]![1]?.length], [0, 0, 0]);
  }
  await s.run(producer.close());
});

test("bytes: each field of a record and each header is read once, whichever way the record goes", async () => {
  const ways: Record<string, Way> = {
    ...WAYS,
    "as the first of a topic with a signal": {
      send: (producer, record) => void producer.send(record, { signal: new AbortController().signal }),
    },
    "with interceptors that return what they are given": {
      options: { interceptors: [{ onSend: (record) => record }, { onSend: (record) => record }] },
    },
  };
  for (const [wayName, way] of Object.entries(ways)) {
    const s = stage({ topics: { orders: 1 } });
    const producer = s.producer(way.options);
    const goOn = await way.before?.(s, producer);
    const reads: string[] = [];
    const once = <T>(name: string, value: T, later: T): T => {
      reads.push(name);
      return reads.filter((other) => other === name).length === 1 ? value : later;
    };
    const headers = {
      get h(): string {
        return once("h", "header", "another header");
      },
    };
    // On the prototype, as with instances of a class.
    class Record {
      get topic(): string {
        return once("topic", "orders", "nowhere");
      }
      get key(): string {
        return once("key", "key", "another, longer key");
      }
      get value(): Uint8Array {
        return once("value", utf8.encode("value"), new Uint8Array(100_000));
      }
      get partition(): number {
        return once("partition", 0, 7);
      }
      get timestamp(): number {
        return once("timestamp", 1_000, NaN);
      }
      get headers(): { h: string } {
        return once("headers", headers, null as never);
      }
    }
    (way.send ?? send)(producer, new Record());
    if (goOn) goOn();
    await s.run(producer.flush());
    assert.deepEqual(reads.sort(), ["h", "headers", "key", "partition", "timestamp", "topic", "value"], wayName);
    const stored = (await s.cluster.records("orders")).at(-1)!;
    assert.deepEqual(
      [stored.key, stored.value, stored.headers[0]![1]].map((bytes) => new TextDecoder().decode(bytes!)),
      ["key", "value", "header"],
      wayName,
    );
    await s.run(producer.close());
  }
});
