/** Topics with serializers of their own. */

import assert from "node:assert/strict";
import { bytes, json, Producer, type ProducerOptions, string } from "../../mod.ts";
import { ConfigError } from "../../src/errors.ts";
import { RecordingProducer } from "../../src/testing/mod.ts";
import { type Stage, stage } from "../stage.ts";
import { test } from "../harness.ts";

interface Order {
  readonly id: string;
  readonly cents?: number;
}

const decoder = new TextDecoder();

function producerOf(s: Stage, options: Partial<ProducerOptions> = {}): Producer {
  return new Producer({ brokers: s.cluster.bootstrap, ...options }, s.runtime);
}

async function stored(s: Stage, topic: string): Promise<(string | null)[][]> {
  const text = (part: Uint8Array | null): string | null => part === null ? null : decoder.decode(part);
  const records = await s.cluster.records(topic);
  return records.map(({ headers, key, value }) => [
    ...[text(key), text(value)],
    ...headers.map(([name, header]) => `${name}=${text(header)}`),
  ]);
}

test("topic handle: each topic has its own serializers, by send, sendBatch and produce", async () => {
  const s = stage({ topics: { orders: 1, lines: 1 } });
  const producer = producerOf(s);
  const orders = producer.topic("orders", { key: string(), value: json<Order>() });
  const lines = producer.topic("lines", { value: bytes() });
  assert.equal(orders.topic, "orders");
  const { offset, topic } = await s.run(orders.send({ key: "a", value: { id: "a" }, headers: { h: "1" } }));
  assert.deepEqual([topic, offset], ["orders", 0n]);
  const results = await s.run(
    orders.sendBatch([{ key: "b", value: { id: "b", cents: 5 } }, { key: null, value: null }]).all(),
  );
  assert.deepEqual(results.map((result) => result.offset), [1n, 2n]);
  assert.ok(lines.produce({ key: "k", value: new TextEncoder().encode("x") }));
  await s.run(producer.flush());
  assert.deepEqual(await stored(s, "orders"), [
    ["a", '{"id":"a"}', "h=1"],
    ["b", '{"id":"b","cents":5}'],
    [null, null],
  ]);
  assert.deepEqual(await stored(s, "lines"), [["k", "x"]]);
  await s.run(producer.close());
});

test("topic handle: what can not be serialized is told as the producer tells it, and nothing is sent", async () => {
  const s = stage({ topics: { orders: 1 } });
  const producer = producerOf(s);
  const orders = producer.topic("orders", { value: json<unknown>() });
  const failure = await s.failure(orders.send({ value: 5n }));
  assert.deepEqual([failure.name, failure.code, failure.persisted], ["SerializationError", "SERIALIZATION", "no"]);
  assert.match(failure.message, /^The value for topic "orders" can't be serialized\. .*BigInt/);
  const told: unknown[] = [];
  const onDelivery = (error: unknown): void => void told.push((error as Error).name);
  const callback = orders.send({ value: () => {} }, { onDelivery });
  callback.catch(() => {});
  orders.produce({ value: Symbol("x") }, onDelivery);
  const batch = await s.run(Promise.resolve(orders.sendBatch([{ value: 1 }, { value: 2n }, { value: 3 }])));
  assert.deepEqual(batch.map(({ status }) => status), ["fulfilled", "rejected", "fulfilled"]);
  await s.run(producer.flush());
  assert.deepEqual(told, ["SerializationError", "SerializationError"]);
  assert.deepEqual((await stored(s, "orders")).map(([, value]) => value), ["1", "3"]);
  const undefinedValue = await s.failure(orders.send({} as never));
  assert.match(undefinedValue.message, /value/);
  assert.match((await s.failure(orders.send(null as never))).message, /^Pass a record such as /);
  await s.run(producer.close());
});

test("topic handle: one buffer may serve keys and values, again and again", async () => {
  const s = stage({ topics: { orders: 1 } });
  const producer = producerOf(s);
  const buffer = new Uint8Array(1);
  const shared = (value: string): Uint8Array => {
    buffer[0] = value.charCodeAt(0);
    return buffer;
  };
  const orders = producer.topic("orders", { key: shared, value: shared });
  const sent = [orders.send({ key: "a", value: "b" }), orders.send({ key: "c", value: "d" })];
  await s.run(Promise.all(sent));
  await s.run(orders.sendBatch(new Set([{ key: "e", value: "f" }, { key: "g", value: "h" }])).all());
  assert.deepEqual(await stored(s, "orders"), [["a", "b"], ["c", "d"], ["e", "f"], ["g", "h"]]);
  await s.run(producer.close());
});

test("topic handle: headers of a serializer go with every record, behind those of the caller", async () => {
  const s = stage({ topics: { orders: 1 } });
  const producer = producerOf(s);
  const value = Object.assign((order: Order) => order.id, { headers: { __value_schema_id: "guid" } });
  const orders = producer.topic("orders", { value });
  await s.run(orders.send({ value: { id: "a" } }));
  await s.run(orders.send({ value: { id: "b" }, headers: { a: "1" } }));
  await s.run(orders.send({ value: { id: "c" }, headers: [["a", "1"], ["a", "2"]] }));
  assert.deepEqual(await stored(s, "orders"), [
    [null, "a", "__value_schema_id=guid"],
    [null, "b", "a=1", "__value_schema_id=guid"],
    [null, "c", "a=1", "a=2", "__value_schema_id=guid"],
  ]);
  for (const headers of ["a=1", null, 5]) {
    const error = await s.failure(orders.send({ value: { id: "d" }, headers: headers as never }));
    assert.equal(error.code, "SERIALIZATION");
  }
  await s.run(producer.close());
});

test("topic handle: nothing is serialized twice, and what is no serializer is refused", async () => {
  const s = stage();
  const producer = producerOf(s, { valueSerializer: json() as never });
  const refused = (call: () => unknown, message: RegExp): void => {
    assert.throws(call, (error: Error) => error instanceof ConfigError && message.test(error.message));
  };
  refused(
    () => producer.topic("orders", { value: json() }),
    /^Leave out "value" for topic "orders", or the producer's own /,
  );
  refused(
    () => producer.topic("orders", { key: "json" as never }),
    /^Set "key" to a serializer, such as json\(\): "json" /,
  );
  refused(
    () => producer.topic("orders", { values: json() } as never),
    /^Remove the option "values": topic has no such /,
  );
  refused(() => producer.topic(""), /^Set "topic" to the name of a topic: "" is not\.$/);
  const orders = producer.topic<string, Order>("orders", { key: string() });
  await s.run(orders.send({ key: "k", partition: 0, value: { id: "a" } }));
  assert.deepEqual(await stored(s, "orders"), [["k", '{"id":"a"}']]);
  await s.run(producer.close());
});

test("topic handle: a recording producer has them too, and keeps what their serializers make", async () => {
  const producer = new RecordingProducer();
  const orders = producer.topic("orders", { value: json<{ cents: number }>() });
  await orders.send({ key: "o-1", value: { cents: 5 } });
  const [record] = producer.records("orders");
  assert.deepEqual([record?.key, record?.value as unknown], ["o-1", '{"cents":5}']);
  assert.throws(() => producer.topic(""), ConfigError);
});
