import assert from "node:assert/strict";
import type { KafkaError, RecordMetadata, SendOptions } from "../../mod.ts";
import { Metadata, Produce } from "../../src/protocol/messages/mod.ts";
import { stage, turn } from "../stage.ts";
import { test } from "../harness.ts";
import { unhandledIn } from "./unhandled.ts";

type Told = [who: string, error: string | undefined, offset: bigint | undefined];

function notes(): { told: Told[]; options: SendOptions } {
  const told: Told[] = [];
  const note = (who: string) => (error: KafkaError | null, metadata: RecordMetadata | null): void =>
    void told.push([who, error?.code, metadata?.offset]);
  return {
    told,
    options: {
      onDelivery: note("delivery"),
      onSuccess: (metadata) => note("success")(null, metadata),
      onError: (error) => note("error")(error, null),
    },
  };
}

test("callbacks: onDelivery and onSuccess or onError are told once, before the promise settles", async () => {
  const { cluster, producer, run } = stage();
  const p = producer({ retries: 0 });
  const { told, options } = notes();
  const before: number[] = [];
  const good = p.send({ topic: "orders", partition: 0, value: "v" }, options).then(() => before.push(told.length));
  await run(good);
  assert.deepEqual(told, [["delivery", undefined, 0n], ["success", undefined, 0n]]);
  cluster.control(Produce, { error: 44 }, { times: 1 });
  const bad = p.send({ topic: "orders", partition: 0, value: "v" }, options).catch(() => before.push(told.length));
  await run(bad);
  assert.deepEqual(told.slice(2), [["delivery", "POLICY_VIOLATION", undefined], [
    "error",
    "POLICY_VIOLATION",
    undefined,
  ]]);
  assert.deepEqual(before, [2, 4]);
  await run(p.close());
});

test("callbacks: a record that is refused at once is told as well, through send, sendBatch and produce", async () => {
  const { producer, run } = stage();
  const p = producer<unknown, unknown>();
  const { told, options } = notes();
  await run(Promise.allSettled([p.send({ topic: "orders", value: undefined }, options)]));
  await run(Promise.resolve(p.sendBatch([{ topic: "orders", value: 5 }, { topic: "orders", value: "v" }], options)));
  p.produce({ topic: "", value: "v" }, options.onDelivery);
  assert.deepEqual(told, [
    ["delivery", "SERIALIZATION", undefined],
    ["error", "SERIALIZATION", undefined],
    ["delivery", "SERIALIZATION", undefined],
    ["error", "SERIALIZATION", undefined],
    ["delivery", undefined, 0n],
    ["success", undefined, 0n],
    ["delivery", "INVALID_TOPIC_EXCEPTION", undefined],
  ]);
  await run(p.close());
});

test("callbacks: what they throw is logged, and neither the others nor the promises notice", async () => {
  const { cluster, producer, run } = stage();
  const logged: unknown[] = [];
  const logger = {
    error: (event: string, { error }: Readonly<Record<string, unknown>>) => {
      logged.push([event, (error as Error).message]);
      throw new Error("the logger is broken too");
    },
  };
  const p = producer({ logger });
  const boom = (): never => {
    throw new Error("boom");
  };
  const sent = await run(
    Promise.all(
      Array.from(
        { length: 5 },
        () =>
          p.send({ topic: "orders", partition: 0, value: "v" }, { onDelivery: boom, onSuccess: boom, onError: boom }),
      ),
    ),
  );
  assert.deepEqual(sent.map(({ offset }) => offset), [0n, 1n, 2n, 3n, 4n]);
  assert.equal(logged.length, 10);
  assert.deepEqual(logged[0], ["callback_threw", "boom"]);
  cluster.control(Produce, { error: 44 }, { times: 1 });
  const refused = p.send({ topic: "orders", partition: 0, value: "v" }, { onDelivery: boom, onError: boom });
  await run(assert.rejects(refused, { code: "POLICY_VIOLATION" }));
  assert.equal(logged.length, 12);
  assert.equal((await run(p.send({ topic: "orders", partition: 0, value: "v" }))).offset, 5n);
  await run(p.close());
});

test("callbacks: an async one that rejects is one that throws: logged, and no unhandled rejection", async () => {
  const { cluster, producer, run } = stage();
  const logged: unknown[] = [];
  const p = producer<unknown, unknown>({
    logger: { error: (event, { error }) => void logged.push([event, (error as Error).message]) },
  });
  const later = (): Promise<never> => Promise.reject(new Error("later"));
  await run(p.send({ topic: "orders", partition: 0, value: "v" }, { onDelivery: later, onSuccess: later }));
  cluster.control(Produce, { error: 44 }, { times: 1 });
  p.send({ topic: "orders", partition: 0, value: "v" }, { onError: later });
  p.send({ topic: "orders", partition: 0, value: undefined }, { onError: later });
  p.produce({ topic: "orders", partition: 0, value: "v" }, later);
  await run(p.flush());
  for (let i = 0; i < 3; i++) await turn();
  assert.deepEqual(logged, new Array(5).fill(["callback_threw", "later"]));
  await run(p.close());
});

test("callbacks: calls within a callback work: send, produce, flush and close", async () => {
  const { cluster, producer, run } = stage();
  const p = producer();
  const done = new Promise<void>((resolve, reject) => {
    p.send({ topic: "orders", partition: 0, value: "1" }, {
      onSuccess: () => {
        p.produce({ topic: "orders", partition: 0, value: "2" }, () => {
          p.send({ topic: "orders", partition: 0, value: "3" });
          p.flush().then(() => p.close()).then(resolve, reject);
        });
      },
    });
  });
  await run(done);
  const values = (await cluster.records("orders", 0)).map(({ value }) => new TextDecoder().decode(value!));
  assert.deepEqual(values, ["1", "2", "3"]);
});

test("callbacks: those of one partition come in the order of the sends, also across a retry", async () => {
  const { cluster, producer, run } = stage();
  const p = producer({ batchSize: 1 });
  cluster.control(Produce, { error: 6 }, { times: 1 });
  cluster.control(Produce, { drop: "after" }, { times: 1 });
  const order: number[] = [];
  await run(Promise.all(Array.from(
    { length: 30 },
    (_, i) => p.send({ topic: "orders", partition: 0, value: String(i) }, { onSuccess: () => void order.push(i) }),
  )));
  assert.deepEqual(order, Array.from({ length: 30 }, (_, i) => i));
  await run(p.close());
});

test("callbacks: successes, retries, failures and refusals of one partition are told in the order of the sends", async () => {
  const { cluster, producer, run, runtime } = stage({ network: { latencyMs: 3 } });
  const p = producer({ batchSize: 1, deliveryTimeoutMs: 5_000, requestTimeoutMs: 1_000 });
  const actions = [{ error: 6 }, { error: 44 }, undefined, { drop: "after" }, { silence: true }, undefined] as const;
  let request = 0;
  cluster.control(Produce, () => actions[request++ % actions.length]);
  const told: number[] = [];
  const settled: number[] = [];
  const sends: Promise<void>[] = [];
  for (let i = 0; i < 60; i++) {
    const send = p.send({ topic: "orders", partition: 0, value: String(i) }, { onDelivery: () => void told.push(i) });
    sends.push(send.then(() => {}, () => {}).then(() => void settled.push(i)));
    if (i % 3 === 0) await runtime.advance(7);
  }
  await run(Promise.all(sends));
  const wanted = Array.from({ length: 60 }, (_, i) => i);
  assert.deepEqual(told, wanted);
  assert.deepEqual(settled, wanted);
  await run(p.close());
});

test("callbacks: with one, a rejection that nobody awaits is no unhandled one", async (t) => {
  const unhandled = unhandledIn(t);
  const { cluster, producer, run, runtime } = stage();
  const p = producer<unknown, unknown>({ retries: 0, maxBlockMs: 50 });
  await run(p.partitionsFor("orders"));
  cluster.control(Produce, { error: 44 });
  let told = 0;
  const count = (): void => void told++;
  for (const options of [{ onDelivery: count }, { onError: count }, { onError: count, onSuccess: count }]) {
    p.send({ topic: "orders", value: "v" }, options);
    p.send({ topic: "orders", value: undefined }, options);
    p.send({ topic: "missing", value: "v" }, options);
    p.sendBatch([{ topic: "orders", value: "v" }, { topic: "orders", value: 5 }], options);
  }
  p.send({ topic: "orders", value: undefined }, { onSuccess: count });
  p.sendBatch([{ topic: "orders", value: 5 }]);
  p.produce({ topic: "orders", value: 5 });
  p.produce({ topic: "orders", value: "v" });
  cluster.control(Metadata, { error: 29, apply: true });
  p.produce({ topic: "secret", value: "v" });
  await runtime.advance(1_000);
  await run(p.close());
  p.send({ topic: "orders", value: "v" }, { onDelivery: count });
  for (let i = 0; i < 5; i++) await turn();
  assert.equal(told, 16);
  assert.deepEqual(unhandled, []);
});

test("callbacks: what async ones return is watched, whoever has made the promise", async (t) => {
  const unhandled = unhandledIn(t);
  const { producer, run } = stage();
  const logged: unknown[] = [];
  const p = producer({
    logger: { error: (event, { error }) => void logged.push(`${event} ${(error as Error).message}`) },
    hooks: { onConnect: () => ofAnotherRealm("from a hook") as never },
    interceptors: [{ onAcknowledgement: () => ofAnotherRealm("from an interceptor") as never }],
  });
  const lazy = {
    then: (_: unknown, reject: (error: unknown) => void): void => reject(new Error("from a library")),
  };
  const throwing = {
    then: (): void => {
      throw new Error("from then");
    },
  };
  await run(p.send({ topic: "orders", value: "v" }, {
    onDelivery: () => ofAnotherRealm("from a callback") as never,
    onSuccess: () => lazy as never,
  }));
  await run(p.send({ topic: "orders", value: "v" }, { onSuccess: () => throwing as never }));
  await run(p.close());
  await turn();
  await turn();
  assert.deepEqual(unhandled, []);
  assert.deepEqual([...new Set(logged)].sort(), [
    "callback_threw from a callback",
    "callback_threw from a library",
    "callback_threw from then",
    "hook_threw from a hook",
    "interceptor_threw from an interceptor",
  ]);
});

/** A promise that rejects, and is none of this realm's. */
function ofAnotherRealm(message: string): PromiseLike<never> {
  const { then } = Promise.prototype;
  return Object.setPrototypeOf(Promise.reject(new Error(message)), { then, constructor: undefined });
}
