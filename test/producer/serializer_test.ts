import assert from "node:assert/strict";
import {
  bytesSerializer,
  jsonSerializer,
  type Serializer,
  type SerializerContext,
  stringSerializer,
} from "../../mod.ts";
import { stage, turn } from "../stage.ts";
import { test } from "../harness.ts";
import { unhandledIn } from "./unhandled.ts";

const context: SerializerContext = { topic: "orders", part: "value" };
const text = (bytes: Uint8Array | null): string | null => bytes === null ? null : new TextDecoder().decode(bytes);

test("serializers: the built-in ones take what they are for and refuse the rest", () => {
  assert.equal(stringSerializer()("é", context), "é");
  assert.throws(() => stringSerializer()(5 as never, context), { name: "SerializationError" });
  const bytes = Uint8Array.of(1, 2);
  assert.equal(bytesSerializer()(bytes, context), bytes);
  assert.throws(() => bytesSerializer()("text" as never, context), { name: "SerializationError" });
  assert.equal(jsonSerializer()({ a: [1, null, "é"] }, context), '{"a":[1,null,"é"]}');
  for (const bad of [undefined, () => {}, Symbol("s")]) {
    assert.throws(() => jsonSerializer()(bad, context), { name: "SerializationError" });
  }
});

test("serializers: key and value go through their own, which are told topic and part", async () => {
  const { cluster, producer, run } = stage();
  const calls: unknown[] = [];
  const note = <T>(name: string, serializer: Serializer<T>): Serializer<T> => (value, told) => {
    calls.push([name, value, told]);
    return serializer(value, told);
  };
  const p = producer<number, { id: number }>({
    keySerializer: note("key", (key) => Uint8Array.of(key)),
    valueSerializer: note("value", jsonSerializer()),
  });
  await run(p.send({ topic: "orders", partition: 1, key: 7, value: { id: 5 } }));
  assert.deepEqual(calls, [
    ["key", 7, { topic: "orders", part: "key" }],
    ["value", { id: 5 }, { topic: "orders", part: "value" }],
  ]);
  const [record] = await cluster.records("orders");
  assert.deepEqual([...record!.key!], [7]);
  assert.equal(text(record!.value), '{"id":5}');
  await run(p.close());
});

test("serializers: null is not shown to them and stays null, also with JSON", async () => {
  const { cluster, producer, run } = stage();
  const p = producer<unknown, unknown>({ keySerializer: jsonSerializer(), valueSerializer: jsonSerializer() });
  await run(
    p.sendBatch([
      { topic: "orders", partition: 0, key: null, value: null },
      { topic: "orders", partition: 0, value: null },
      { topic: "orders", partition: 0, key: "", value: "" },
      { topic: "orders", partition: 0, key: 0, value: false },
    ]).all(),
  );
  const records = await cluster.records("orders", 0);
  assert.deepEqual(records.map(({ key, value }) => [text(key), text(value)]), [
    [null, null],
    [null, null],
    ['""', '""'],
    ["0", "false"],
  ]);
  await run(p.close());
});

test("serializers: what one throws or returns wrongly rejects that record alone, and nothing of it is queued", async () => {
  const { cluster, producer, run, failure } = stage();
  const bad = new TypeError("no such field");
  const p = producer<unknown, unknown>({
    valueSerializer: (value) => {
      if (value === "throw") throw bad;
      if (value === "number") return 5 as never;
      if (value === "nothing") return undefined as never;
      return String(value);
    },
  });
  const good = [p.send({ topic: "orders", partition: 0, value: "one" })];
  const free = p.metrics()["buffer-available-bytes"];
  const thrown = p.send({ topic: "orders", partition: 0, value: "throw" });
  const number = p.send({ topic: "orders", partition: 0, value: "number" });
  const nothing = p.send({ topic: "orders", partition: 0, value: "nothing" });
  assert.equal(p.metrics()["buffer-available-bytes"], free);
  good.push(p.send({ topic: "orders", partition: 0, value: "two" }));
  const settled = Promise.allSettled([thrown, number, nothing]);
  const error = await failure(thrown);
  assert.deepEqual([error.name, error.code, error.retriable, error.persisted, error.topic], [
    "SerializationError",
    "SERIALIZATION",
    false,
    "no",
    "orders",
  ]);
  assert.equal(error.cause, bad);
  assert.match(error.message, /no such field/);
  await settled;
  assert.equal((await failure(number)).name, "SerializationError");
  assert.equal((await failure(nothing)).name, "SerializationError");
  await run(Promise.all(good));
  assert.deepEqual((await cluster.records("orders", 0)).map(({ value }) => text(value)), ["one", "two"]);
  await run(p.close());
});

test("serializers: without them strings and bytes go as they are, and anything else is refused", async () => {
  const { cluster, producer, run, failure } = stage();
  const p = producer<unknown, unknown>();
  const bad: Promise<unknown>[] = [];
  for (const value of [5, 5n, true, {}, [1], new Date(0), new ArrayBuffer(2), () => {}, Symbol("s"), undefined]) {
    bad.push(
      p.send({ topic: "orders", value }),
      ...(value === undefined ? [] : [
        p.send({ topic: "orders", key: value, value: "v" }),
      ]),
    );
  }
  const settled = Promise.allSettled(bad);
  for (const promise of bad) assert.equal((await failure(promise)).name, "SerializationError");
  await settled;
  assert.match((await failure(p.send({ topic: "orders", value: undefined }))).message, /A tombstone is null/);
  assert.match((await failure(p.send({ topic: "orders", value: 5 }))).message, /valueSerializer/);
  await run(p.send({ topic: "orders", partition: 0, key: Uint8Array.of(0), value: "v" }));
  assert.equal((await cluster.records("orders")).length, 1);
  await run(p.close());
});

test("serializers: an async one is refused, and what it rejects with disturbs nobody", async (t) => {
  const { producer, failure, run } = stage();
  const later = (): Promise<never> => Promise.reject(new RangeError("later"));
  const unhandled = unhandledIn(t);
  for (const options of [{ valueSerializer: later }, { keySerializer: later }, { partitioner: later }]) {
    const client = producer(options as never);
    const { persisted } = await failure(client.send({ topic: "orders", key: "k", value: "v" }));
    assert.equal(persisted, "no");
    await run(client.close());
  }
  for (let i = 0; i < 5; i++) await turn();
  assert.deepEqual(unhandled, []);
});

test("serializer: one that returns a promise is told that it must answer at once", async () => {
  const { producer, run, failure, cluster } = stage();
  for (const part of ["key", "value"] as const) {
    const slow = (async (text: string) => await Promise.resolve(new TextEncoder().encode(text))) as never;
    const p = producer<string, string>({ [`${part}Serializer`]: slow });
    const { code, message } = await failure(p.send({ topic: "orders", key: "k", value: "v" }));
    assert.equal(code, "SERIALIZATION");
    assert.match(
      message,
      new RegExp(`from "${part}Serializer", and at once: a promise is not\\. .*before the send\\.$`),
    );
    await run(p.close());
  }
  const p = producer<unknown, unknown>({
    valueSerializer: () => Promise.reject(new Error("nobody waits for it")) as never,
  });
  await failure(p.send({ topic: "orders", value: "v" }));
  await run(p.close());
  assert.deepEqual(await cluster.records("orders"), []);
});
