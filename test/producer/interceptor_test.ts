import assert from "node:assert/strict";
import type { ProducerInterceptor, ProducerRecord } from "../../mod.ts";
import { partitionForKey } from "../../src/producer/record/murmur2.ts";
import { Produce } from "../../src/protocol/messages/produce.ts";
import { stage } from "../stage.ts";
import { test } from "../harness.ts";

const text = new TextEncoder();

test("interceptors: they run in order before serializers and partitioner, and half a change of one that throws is lost", async () => {
  const { cluster, producer, run } = stage({ topics: { orders: { partitions: 12 } } });
  const seen: unknown[] = [];
  const threw: unknown[] = [];
  const interceptors: ProducerInterceptor[] = [
    { onSend: (record) => ({ ...record, key: "changed", headers: { ...record.headers, a: "1" } }) },
    {
      onSend(record) {
        (record.headers as Record<string, string>)["b"] = "2";
        (record as { value: unknown }).value = "spoilt";
        throw new RangeError("b");
      },
    },
    {
      onSend(record) {
        seen.push(structuredClone(record));
        return record;
      },
    },
  ];
  const client = producer({
    interceptors,
    logger: { error: (event, fields) => threw.push([event, fields["method"]]) },
  });
  const mine: ProducerRecord = { topic: "orders", key: "k", value: "v", headers: { own: "0" } };
  const { partition } = await run(client.send(mine));
  assert.deepEqual(seen, [{ topic: "orders", key: "changed", value: "v", headers: { own: "0", a: "1" } }]);
  assert.equal(partition, partitionForKey(text.encode("changed"), 7, 12));
  assert.deepEqual(mine, { topic: "orders", key: "k", value: "v", headers: { own: "0" } });
  assert.deepEqual(threw, [["interceptor_threw", "onSend"]]);
  const [record] = await cluster.records("orders");
  assert.deepEqual(record!.headers.map(([name]) => name), ["own", "a"]);
  await run(client.close());
});

test("interceptors: an async onSend is passed over, and what any async one rejects with is logged", async () => {
  const { cluster, producer, run } = stage();
  const threw: unknown[] = [];
  const later = (): Promise<never> => Promise.reject(new RangeError("later"));
  const p = producer({
    interceptors: [
      { onSend: later as () => never, onAcknowledgement: later },
      { onSend: (record) => Promise.resolve(record) as unknown as typeof record, close: later },
      { onSend: (record) => ({ ...record, value: "changed" }) },
    ],
    logger: { error: (_, { method, error }) => threw.push([method, (error as Error).name]) },
  });
  await run(p.send({ topic: "orders", value: "v" }));
  p.send({ topic: "orders", value: "v" }, { onDelivery: later, signal: new AbortController().signal });
  await run(p.close());
  const values = (await cluster.records("orders")).map(({ value }) => new TextDecoder().decode(value!));
  assert.deepEqual(values, ["changed", "changed"]);
  const sorted = threw.map(String).sort();
  assert.deepEqual(
    sorted,
    [
      ...["close,RangeError", "onAcknowledgement,RangeError", "onAcknowledgement,RangeError"],
      ...["onSend,ConfigError", "onSend,ConfigError", "onSend,ConfigError", "onSend,ConfigError", ",RangeError"],
    ].sort(),
  );
});

test("interceptors: each record is acknowledged exactly once, before the caller's callbacks, whatever becomes of it", async () => {
  const { cluster, producer, run } = stage({ topics: { orders: { partitions: 1 } } });
  const log: string[] = [];
  let sends = 0;
  let acknowledgements = 0;
  let closes = 0;
  const client = producer({
    bufferMemory: 2_000,
    maxBlockMs: 200,
    interceptors: [{
      onSend: (record) => (sends++, record),
      onAcknowledgement(metadata, error) {
        acknowledgements++;
        log.push(error?.code ?? `at ${metadata!.offset}`);
        throw new RangeError("ignored");
      },
      close: () => void closes++,
    }],
  });
  const outcomes = [
    client.send({ topic: "orders", value: "ok" }, { onDelivery: () => log.push("callback") }),
    client.send({ topic: "orders", value: 1 as never }),
    client.send({ topic: "orders", value: "x".repeat(3_000) }),
    client.send({ topic: "nowhere", value: "x" }),
  ];
  const results = await run(Promise.allSettled(outcomes));
  assert.deepEqual(results.map(({ status }) => status), ["fulfilled", "rejected", "rejected", "rejected"]);
  assert.equal(client.produce({ topic: "orders", value: "second" }), true);
  await run(client.close());
  await run(client.send({ topic: "orders", value: "late" }).catch(() => {}));
  assert.deepEqual(log, [
    "SERIALIZATION",
    "RECORD_TOO_LARGE",
    "at 0",
    "callback",
    "UNKNOWN_TOPIC_OR_PARTITION",
    "at 1",
    "PRODUCER_CLOSED",
  ]);
  assert.deepEqual([sends, acknowledgements, closes], [6, 6, 1]);
  assert.equal((await cluster.records("orders")).length, 2);
});

test("interceptors: a record that produce refuses for want of memory is seen once, however often it is offered", async () => {
  const { cluster, producer, run } = stage({ topics: { orders: { partitions: 1 } } });
  let sends = 0;
  let acknowledgements = 0;
  const client = producer({
    bufferMemory: 1_000,
    interceptors: [{ onSend: (record) => (sends++, record), onAcknowledgement: () => void acknowledgements++ }],
  });
  const offered: boolean[] = [];
  for (let index = 0; index < 5; index++) {
    const record = { topic: "orders", value: "x".repeat(500) };
    while (true) {
      const taken = client.produce(record);
      offered.push(taken);
      if (taken) break;
      await run(client.ready());
    }
  }
  await run(client.close());
  assert.ok(offered.includes(false), "nothing was refused: the test shows nothing");
  assert.deepEqual([sends, acknowledgements, (await cluster.records("orders")).length], [5, 5, 5]);
});

test("interceptors: a record object that is used again is a new record, also after produce has refused it", async () => {
  const { cluster, producer, run, runtime } = stage({ topics: { orders: 1 } });
  const counts = { seen: 0, acknowledged: 0 };
  const client = producer({
    bufferMemory: 1_000,
    interceptors: [{
      onSend: (record) => (counts.seen++, record),
      onAcknowledgement: () => void counts.acknowledged++,
    }],
  });
  await run(client.send({ topic: "orders", value: "first" }));
  const goOn = cluster.control(Produce, { silence: true });
  const record: { topic: string; value: string } = { topic: "orders", value: "old".padEnd(600) };
  let taken = 1;
  while (client.produce(record)) taken++;
  record.value = "new";
  goOn();
  const ready = client.ready();
  await runtime.advance(60_000);
  await run(ready);
  assert.equal(client.produce(record), true);
  await run(client.flush());
  const values = (await cluster.records("orders")).map(({ value }) => new TextDecoder().decode(value!).trim());
  assert.deepEqual(values, ["first", ...Array.from({ length: taken - 1 }, () => "old"), "new"]);
  assert.deepEqual(counts, { seen: taken + 1, acknowledged: taken + 1 });
  await run(client.close());
});

test("interceptors: who offers a record to a full buffer hears of the close", async () => {
  const { cluster, producer, run } = stage({ topics: { orders: 1 } });
  const client = producer({ bufferMemory: 1_000, interceptors: [{}] });
  await run(client.send({ topic: "orders", value: "first" }));
  const goOn = cluster.control(Produce, { silence: true });
  const record = { topic: "orders", value: "x".repeat(600) };
  while (client.produce(record));
  const closed = client.close();
  const codes: (string | undefined)[] = [];
  assert.equal(client.produce(record, (error) => void codes.push(error?.code)), true);
  assert.equal(client.produce(record), true);
  goOn();
  await run(closed);
  assert.deepEqual(codes, ["PRODUCER_CLOSED"]);
});

test("interceptors: headers that can be read once survive one that changes nothing, and one that throws", async () => {
  const { cluster, producer, run } = stage({ topics: { orders: 1 } });
  const fail = (): never => {
    throw new RangeError("x");
  };
  const client = producer({ interceptors: [{ onSend: () => undefined as never }, { onSend: fail }] });
  await run(client.send({ topic: "orders", value: "v", headers: new Map([["a", "1"]]).entries() }));
  const [record] = await cluster.records("orders");
  assert.deepEqual(record!.headers.map(([name]) => name), ["a"]);
  await run(client.close());
});

test("interceptors: one whose close never ends doesn't hold up close beyond its limit", async () => {
  const { producer, failure, runtime } = stage();
  const client = producer({ interceptors: [{ close: () => new Promise<void>(() => {}) }] });
  const startMs = runtime.now();
  const error = await failure(client.close({ timeoutMs: 100 }));
  assert.deepEqual([error.code, runtime.now() - startMs], ["TIMEOUT", 100]);
});

test("interceptors: an acknowledgement brings the record as the last of them has let it go, also of a refused one", async () => {
  const { producer, run, failure } = stage();
  const mark = Symbol("mark");
  const seen: unknown[] = [];
  const interceptors: ProducerInterceptor[] = [
    {
      onSend: (record) => Object.assign(record, { [mark]: record.value }),
      onAcknowledgement: (metadata, error, record) => {
        seen.push([metadata?.offset, error?.code, record.topic, record.key, Reflect.get(record, mark)]);
      },
    },
    { onSend: (record) => ({ ...record, key: "k" }) },
  ];
  const client = producer({ interceptors });
  await run(client.send({ topic: "orders", value: "a" }));
  await run(client.sendBatch([{ topic: "orders", value: "b" }]).all());
  await failure(client.send({ topic: "", value: "c" }));
  await run(client.close());
  await failure(client.send({ topic: "orders", value: "d" }));
  assert.deepEqual(seen, [
    [0n, undefined, "orders", "k", "a"],
    [1n, undefined, "orders", "k", "b"],
    [undefined, "INVALID_TOPIC_EXCEPTION", "", "k", "c"],
    [undefined, "PRODUCER_CLOSED", "orders", "k", "d"],
  ]);
});

test("interceptors: with them send() throws nothing synchronously either, whatever it is given", async () => {
  const { producer, run } = stage();
  const client = producer({ interceptors: [{}] });
  const broken = {
    get topic(): string {
      throw new RangeError("no");
    },
    value: "v",
  };
  for (const record of [undefined, null, 5, "text", broken] as unknown as ProducerRecord[]) {
    const error = await run(client.send(record).then(() => undefined, (reason: Error) => reason));
    assert.ok(error instanceof Error, String(record));
  }
  await run(client.close());
});
