import assert from "node:assert/strict";
import { MetadataLoop } from "../../src/cluster/metadata_loop.ts";
import { ConnectionError, type KafkaError } from "../../src/errors.ts";
import { VirtualRuntime } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";

/** What a server says: news, the same again, or nothing that helps. */
type Word = "news" | "same" | "failure";

/** A loop over a script of answers; the last one is given for ever. It writes down when it asked, in virtual ms. */
function stage(...words: Word[]): {
  readonly runtime: VirtualRuntime;
  readonly loop: MetadataLoop<Word>;
  readonly closing: AbortController;
  readonly askedMs: number[];
  readonly log: string[];
  again: boolean;
  /** What is done while a server is asked. */
  meanwhile: () => void;
} {
  const runtime = new VirtualRuntime();
  const closing = new AbortController();
  const askedMs: number[] = [];
  const log: string[] = [];
  const options = { retryBackoffMs: 100, retryBackoffMaxMs: 3_000, metadataMaxAgeMs: 60_000 };
  const loop: MetadataLoop<Word> = new MetadataLoop<Word>(runtime, options, {
    ask: () => {
      askedMs.push(runtime.now());
      staged.meanwhile();
      const word = words.length > 1 ? words.shift()! : words[0]!;
      return word === "failure" ? Promise.reject(new ConnectionError("Refused.")) : Promise.resolve(word);
    },
    take: (word) => {
      log.push(`take ${word} ${loop.isRefreshing}`);
      return word === "news";
    },
    taken: (word) => log.push(`taken ${word}`),
    failed: (error) => new ConnectionError(`Told: ${error.message}`),
    giveUp: () => log.push("give up"),
    ended: (error) => {
      log.push(`ended ${error?.message ?? "well"} ${loop.isRefreshing}`);
      return staged.again;
    },
  }, closing.signal);
  const staged = { runtime, loop, closing, askedMs, log, again: false, meanwhile: () => {} };
  return staged;
}

/** The pauses between calls, each rounded to what it is before the jitter of ±20 %. */
function pausesOf(askedMs: readonly number[], centers: readonly number[]): number[] {
  return askedMs.slice(1).map((atMs, index) => {
    const pauseMs = atMs - askedMs[index]!;
    return centers.find((center) => pauseMs >= center * 0.8 && pauseMs <= center * 1.2) ?? pauseMs;
  });
}

test("metadata loop: requests of one turn share a refresh, one that comes during it begins another", async () => {
  const { runtime, loop, askedMs, log } = stage("news");
  const [first, second] = [loop.request(), loop.request()];
  assert.equal(first, second);
  const later = first.then(() => loop.request());
  await runtime.runUntil(later);
  assert.equal(askedMs.length, 2);
  const turn = ["take news true", "taken news", "ended well false"];
  assert.deepEqual(log, [...turn, ...turn]);
});

test("metadata loop: while nobody answers each pause is twice the last, up to retryBackoffMaxMs", async () => {
  const staged = stage("failure", "failure", "failure", "failure", "failure", "failure", "same");
  staged.again = true;
  const error = await staged.runtime.runUntil(staged.loop.request());
  assert.equal((error as KafkaError).message, "Told: Refused.");
  assert.equal(staged.loop.lastError, error);
  await staged.runtime.runUntil(() => staged.askedMs.length === 7);
  assert.deepEqual(pausesOf(staged.askedMs, [100, 200, 400, 800, 1_600, 3_000]), [100, 200, 400, 800, 1_600, 3_000]);
  staged.again = false;
  await staged.runtime.settle();
  assert.equal(staged.loop.lastError, undefined);
});

test("metadata loop: answers without news are waited for longer and longer, news begins anew", async () => {
  const staged = stage("same", "same", "same", "news", "same");
  staged.again = true;
  void staged.loop.request();
  await staged.runtime.runUntil(() => staged.askedMs.length === 6);
  assert.deepEqual(pausesOf(staged.askedMs, [100, 200, 400]), [100, 200, 400, 0, 100]);
});

test("metadata loop: everything is given up after each five minutes without an answer", async () => {
  const staged = stage("failure");
  staged.again = true;
  void staged.loop.request();
  await staged.runtime.advance(299_000);
  assert.deepEqual(staged.log.filter((line) => line === "give up"), []);
  await staged.runtime.advance(4_000);
  assert.equal(staged.log.filter((line) => line === "give up").length, 1);
  await staged.runtime.advance(302_000);
  assert.equal(staged.log.filter((line) => line === "give up").length, 2);
});

test("metadata loop: what has become as old as metadataMaxAgeMs is asked for again", async () => {
  const { runtime, loop, askedMs } = stage("news");
  await runtime.runUntil(loop.request());
  loop.watchAge(50_000);
  await runtime.advance(9_999);
  assert.equal(askedMs.length, 1);
  await runtime.advance(1);
  assert.equal(askedMs.length, 2);
  await runtime.advance(60_000);
  assert.deepEqual(pausesOf(askedMs, []), [10_000, 60_000]);
});

test("metadata loop: holding off counts from now, and never shortens a pause", async () => {
  const { runtime, loop, askedMs } = stage("news");
  loop.holdOff(10);
  loop.holdOff(1);
  await runtime.runUntil(loop.request());
  assert.deepEqual(pausesOf([0, ...askedMs], [3_000]), [3_000]);
});

test("metadata loop: what is new to ask for doesn't wait because the last answers brought no news", async () => {
  const staged = stage("same");
  const { runtime, loop, askedMs } = staged;
  for (let turn = 0; turn < 6; turn++) await runtime.runUntil(loop.request());
  const waiting = loop.request();
  await runtime.advance(10);
  // Both of one turn are in one request.
  loop.hasten();
  await Promise.resolve();
  loop.hasten();
  await runtime.runUntil(waiting);
  assert.deepEqual([askedMs.length, askedMs.at(-1)! - askedMs.at(-2)!], [7, 10]);
  // Once: the same again is asked for as seldom as before.
  await runtime.runUntil(loop.request());
  assert.deepEqual(pausesOf(askedMs.slice(-2), [3_000]), [3_000]);
  // Nor can an answer tell of what came up after its question.
  staged.meanwhile = () => loop.hasten();
  await runtime.runUntil(loop.request());
  await runtime.runUntil(loop.request());
  assert.deepEqual(pausesOf(askedMs.slice(-2), []), [0]);
});

test("metadata loop: after failures what is new waits as well", async () => {
  const { runtime, loop, askedMs } = stage("failure", "failure", "failure", "same");
  for (let turn = 0; turn < 3; turn++) await runtime.runUntil(loop.request());
  const waiting = loop.request();
  await runtime.advance(10);
  loop.hasten();
  await runtime.runUntil(waiting);
  assert.deepEqual(pausesOf(askedMs.slice(-2), [400]), [400]);
});

test("metadata loop: closing ends all waiting and leaves no timer", async () => {
  const { runtime, loop, closing, askedMs } = stage("failure");
  await runtime.runUntil(loop.request());
  const waiting = loop.request();
  await runtime.settle();
  closing.abort();
  loop.close();
  const error = await runtime.runUntil(waiting);
  assert.deepEqual([(error as KafkaError).code, askedMs.length, runtime.pendingTimers], ["CLIENT_CLOSED", 1, 0]);
  assert.equal((await loop.request())?.code, "CLIENT_CLOSED");
  await runtime.settle();
  assert.deepEqual([askedMs.length, runtime.pendingTimers], [1, 0], "and nobody is asked any more");
});
