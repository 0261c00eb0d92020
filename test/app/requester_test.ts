import assert from "node:assert/strict";
import { type KafkaError, type Producer, TimeoutError } from "../../mod.ts";
import { Requester, type RequesterOptions, sendReply } from "../../src/app/mod.ts";
import { requestHeaders } from "../../src/headers/mod.ts";
import { Produce } from "../../src/protocol/messages/produce.ts";
import { Reader } from "../../src/reader/mod.ts";
import { test, type TestContext } from "../harness.ts";
import { attemptsInATurn, type Stage, stage } from "../stage.ts";

const text = (bytes: Uint8Array | null): string => new TextDecoder().decode(bytes!);

/** A producer, a requester, and a server that answers every request with what `answer` makes of it, unless nothing. */
function shop(
  t: TestContext,
  options: Partial<RequesterOptions> = {},
  answer: (value: string) => string | undefined = (value) => `${value}!`,
): { s: Stage; producer: Producer; requester: Requester; reader: Reader } {
  const s = stage({ topics: { prices: 1, replies: 2 }, network: { latencyMs: 1 } });
  const producer = s.producer();
  const reader = new Reader({ brokers: s.cluster.bootstrap }, s.runtime);
  const requester = new Requester(producer, reader, { replyTopic: "replies", ...options }, s.runtime);
  const server = new Reader({ brokers: s.cluster.bootstrap }, s.runtime);
  server.assign([{ topic: "prices", partition: 0, start: "beginning" }]);
  const serving = (async () => {
    for await (const request of server) {
      const value = answer(text(request.value));
      if (value !== undefined) await sendReply(producer, request, { value });
    }
  })();
  t.after(async () => {
    requester.close();
    await s.run(Promise.all([producer.close(), reader.close(), server.close(), serving]));
  });
  return { s, producer, requester, reader };
}

test("requests: each gets its own reply, however many are under way at a time", async (t) => {
  const { s, requester } = shop(t);
  const asked = ["tea", "milk", "bread"];
  const replies = await s.run(Promise.all(asked.map((value) => requester.request({ topic: "prices", value }))));
  assert.deepEqual(replies.map(({ value }) => text(value)), ["tea!", "milk!", "bread!"]);
  assert.deepEqual(replies.map(({ topic }) => topic), ["replies", "replies", "replies"]);
  assert.deepEqual(requester.stats, { pending: 0, answered: 3, timedOut: 0, late: 0, foreign: 0 });
});

test("requests: bytes are those of the call, though the request waits until replies are looked for", async (t) => {
  const { s, requester } = shop(t);
  const value = new TextEncoder().encode("tea");
  const reply = requester.request({ topic: "prices", value });
  value.fill(0);
  assert.equal(text((await s.run(reply)).value), "tea!");
});

test("requests: old records of the reply topic are not read, others than its own are counted as foreign", async (t) => {
  const { s, producer, requester } = shop(t);
  await s.run(producer.send({ topic: "replies", value: "old" }));
  await s.run(requester.request({ topic: "prices", value: "tea" }));
  const headers = requestHeaders({ correlationId: "somebody else", replyTopic: "x" });
  await s.run(producer.send({ topic: "replies", value: "foreign", headers }));
  await s.run(producer.send({ topic: "replies", value: "none" }));
  await s.run(requester.request({ topic: "prices", value: "milk" }));
  await s.runtime.advance(1_000);
  assert.deepEqual(requester.stats, { pending: 0, answered: 2, timedOut: 0, late: 0, foreign: 2 });
});

test("requests: without a reply in time one fails, and the reply that comes later is counted as late", async (t) => {
  let heard: string | undefined;
  const { s, producer, requester } = shop(t, { timeoutMs: 3_000 }, (value) => void (heard = value));
  const startMs = s.runtime.now();
  const error = await s.failure(requester.request({ topic: "prices", value: "tea" }));
  assert.ok(error instanceof TimeoutError);
  assert.deepEqual([s.runtime.now() - startMs, error.persisted, heard], [3_000, "yes", "tea"]);
  assert.match(error.message, /^No reply came to "replies" within 3000 ms \(timeoutMs\)\. It is in its topic\./);
  const [request] = await s.cluster.records("prices");
  await s.run(sendReply(producer, request!, { value: "at last" }));
  await s.runtime.advance(1_000);
  assert.deepEqual(requester.stats, { pending: 0, answered: 0, timedOut: 1, late: 1, foreign: 0 });
});

test("requests: one that is given up before it has left is taken back, and the error says so", async (t) => {
  const { s, requester } = shop(t, { timeoutMs: 1_000 });
  await s.run(requester.request({ topic: "prices", value: "warm" }));
  s.cluster.control(Produce, { drop: "before" }, { times: 1_000 });
  const sent = s.failure(requester.request({ topic: "prices", value: "sent" }, { timeoutMs: 200 }));
  assert.equal((await sent).persisted, "possibly");
  const controller = new AbortController();
  const aborted = requester.request({ topic: "prices", value: "never" }, { signal: controller.signal });
  controller.abort(new RangeError("enough"));
  const error = await s.failure(aborted);
  assert.deepEqual([error.code, error.persisted, (error.cause as Error).message], ["ABORTED", "no", "enough"]);
  const before = await s.failure(requester.request({ topic: "prices", value: "v" }, { signal: controller.signal }));
  assert.equal(before.code, "ABORTED");
});

test("requests: one that still waits in the buffer when its time is over is taken out of it", async (t) => {
  const { s, reader } = shop(t);
  const lingering = s.producer({ lingerMs: 60_000 });
  const requester = new Requester(lingering, reader, { replyTopic: "replies", timeoutMs: 500 }, s.runtime);
  const error = await s.failure(requester.request({ topic: "prices", value: "lingers" }));
  assert.deepEqual([error.code, error.persisted], ["TIMEOUT", "no"]);
  await s.run(lingering.close());
  assert.equal((await s.cluster.records("prices")).length, 0);
  requester.close();
});

test("requests: what the producer refuses rejects with its error, and waits for no reply", async (t) => {
  const { s, requester } = shop(t);
  const error = await s.failure(requester.request({ topic: "prices", value: undefined as never }));
  assert.equal(error.code, "SERIALIZATION");
  assert.equal(requester.stats.pending, 0);
  s.cluster.control(Produce, { error: 29 }, { times: 1 });
  const refused = await s.failure(requester.request({ topic: "prices", value: "v" }));
  assert.equal(refused.code, "TOPIC_AUTHORIZATION_FAILED");
});

test("requests: close rejects what waits and what comes, and a reader that ends does the same", async (t) => {
  const { s, requester } = shop(t, {}, () => undefined);
  const reasonOf = (promise: Promise<unknown>): Promise<KafkaError> =>
    promise.then(() => assert.fail(), (error) => error);
  const waiting = reasonOf(requester.request({ topic: "prices", value: "tea" }));
  await s.runtime.advance(1_000);
  requester.close();
  const error = await s.run(waiting);
  assert.deepEqual([error.code, error.persisted], ["REQUESTER_CLOSED", "yes"]);
  assert.equal((await s.failure(requester.request({ topic: "prices", value: "v" }))).code, "REQUESTER_CLOSED");
  requester.close();
  assert.equal(await attemptsInATurn(() => requester.request({ topic: "prices", value: "v" })), 0);

  const other = shop(t, {}, () => undefined);
  const lost = reasonOf(other.requester.request({ topic: "prices", value: "tea" }));
  await other.s.runtime.advance(1_000);
  await other.s.run(other.reader.close());
  const { code, message, persisted } = await other.s.run(lost);
  assert.deepEqual([code, message, persisted], ["REQUESTER_CLOSED", "The reader of replies has ended.", "yes"]);
});

test("requests: with a partition and a header of its own only that partition is read, and text may join them", async (t) => {
  const { s, producer, requester } = shop(
    t,
    { replyPartition: 1, correlationHeader: "correlation-id" },
    () => undefined,
  );
  const reply = requester.request({ topic: "prices", value: "tea", headers: { own: "1", "correlation-id": "mine" } });
  await s.runtime.advance(100);
  const [request] = await s.cluster.records("prices");
  const names = request!.headers.map(([name]) => name);
  assert.deepEqual(names, ["own", "correlation-id", "kafka_replyTopic", "kafka_replyPartition", "correlation-id"]);
  const options = { correlationHeader: "correlation-id" };
  await s.run(sendReply(producer, request!, { value: "5", headers: { own: "2" } }, options));
  const { partition, value, headers } = await s.run(reply);
  assert.deepEqual([partition, text(value), headers.map(([name]) => name)], [1, "5", ["own", "correlation-id"]]);
  assert.equal(await sendReply(producer, { headers: {} }, { value: "v" }), undefined);
});

test("requests: when the reply topic can not be looked up the request fails, unsent, and the next one tries again", async (t) => {
  const { s, producer, requester } = shop(t, { replyTopic: "missing", timeoutMs: 2_000 });
  const error: KafkaError | Error = await s.failure(requester.request({ topic: "prices", value: "v" }));
  assert.deepEqual([error.name, (error as KafkaError).persisted], ["TimeoutError", "no"]);
  assert.equal((await s.cluster.records("prices")).length, 0);
  assert.equal(producer.metrics().records_sent, 0);
  await s.runtime.advance(70_000);
  s.cluster.createTopic("missing", { partitions: 1 });
  await s.run(requester.request({ topic: "prices", value: "v" }));
});

test("requests: options that are missing, unknown or wrong are refused by name", (t) => {
  const { s, producer, reader } = shop(t);
  for (
    const [options, option] of [
      [{}, "replyTopic"],
      [{ replyTopic: "r", timeoutMs: 0 }, "timeoutMs"],
      [{ replyTopic: "r", replyPartition: -1 }, "replyPartition"],
      [{ replyTopic: "r", correlationHeader: "" }, "correlationHeader"],
      [{ replyTopic: "r", topic: "t" }, "topic"],
    ] as const
  ) {
    assert.throws(() => new Requester(producer, reader, options as never, s.runtime), { name: "ConfigError", option });
  }
  assert.throws(() => new Requester(producer, {} as never, { replyTopic: "r" }), { option: "reader" });
});
