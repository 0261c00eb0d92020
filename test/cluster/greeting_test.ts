import assert from "node:assert/strict";
import { Greeting, Greetings } from "../../src/cluster/greeting.ts";
import type { VersionRange } from "../../src/cluster/connection.ts";
import { ApiVersions } from "../../src/protocol/messages/mod.ts";
import { test } from "../harness.ts";

const TEN_MINUTES_MS = 600_000;

/** A table of versions in which ApiVersions is offered up to `max`. */
function offering(max: number): Map<number, VersionRange> {
  return new Map([[ApiVersions.key, { min: 0, max }]]);
}

test("greeting: a stranger is asked in the newest version, then in 3, then in 0", () => {
  const greeting = new Greeting();
  assert.deepEqual(greeting.attempts(0), [4, 3, 0]);
  greeting.offers = offering(3);
  assert.deepEqual(greeting.attempts(0), [3, 4, 0], "somebody before us was told so");
  greeting.offers = offering(1);
  assert.deepEqual(greeting.attempts(0), [0, 4, 3]);
});

test("greeting: what was answered comes first and alone, until the server hangs up on it", () => {
  for (const version of [4, 3, 0]) {
    const greeting = new Greeting();
    greeting.answered(version, offering(version));
    assert.deepEqual(greeting.attempts(0), [version]);
    greeting.hungUp(0);
    assert.deepEqual(greeting.attempts(0), [version, ...[4, 3, 0].filter((other) => other !== version)]);
    greeting.answered(version, offering(version));
    assert.deepEqual(greeting.attempts(0), [version]);
  }
});

test("greeting: a newer version that is offered is tried, ten minutes after the last hang-up at the earliest", () => {
  const greeting = new Greeting();
  greeting.hungUp(1_000);
  greeting.answered(3, offering(127));
  assert.deepEqual(greeting.attempts(1_000 + TEN_MINUTES_MS - 1), [3]);
  assert.deepEqual(greeting.attempts(1_000 + TEN_MINUTES_MS), [5, 3]);
  const upgraded = new Greeting();
  upgraded.answered(3, offering(4));
  assert.deepEqual(upgraded.attempts(0), [4, 3], "nobody has hung up");
});

test("greeting: where one server offers version 5, strangers are asked in it, unless the cluster isn't to be checked", () => {
  for (const [checksCluster, newest] of [[true, 5], [false, 4]] as const) {
    const greetings = new Greetings(checksCluster);
    const server = greetings.of({ host: "a.test", port: 1 });
    assert.deepEqual(server.attempts(0), [4, 3, 0], "no round trip is risked on a first contact");
    server.answered(4, offering(5));
    assert.deepEqual(server.attempts(0), newest === 5 ? [5, 4] : [4]);
    const stranger = greetings.of({ host: "b.test", port: 1 });
    assert.deepEqual(stranger.attempts(0), [newest, 3, 0]);
    stranger.answered(3, offering(3));
    assert.deepEqual(greetings.of({ host: "c.test", port: 1 }).attempts(0), [4, 3, 0], "as the last one has answered");
  }
});

test("greeting: each attempt that times out lets another version begin, from the second on", () => {
  const greeting = new Greeting();
  const first = [4, 4, 3, 0, 4].map((wanted, at) => {
    assert.equal(greeting.attempts(0)[0], wanted, `attempt ${at + 1}`);
    assert.equal(greeting.attempts(0).length, 3);
    greeting.failed(0);
    return wanted;
  });
  assert.equal(first.length, 5);
  assert.equal(greeting.isShy, true);
  greeting.answered(4, offering(4));
  assert.deepEqual([greeting.attempts(0), greeting.isShy], [[4], false]);
});

test("greeting: a wrong guess takes with it what led to it, and an answer allows guesses again", () => {
  const greeting = new Greeting();
  greeting.offers = offering(4);
  greeting.misguessed();
  assert.deepEqual([greeting.isShy, greeting.offers], [true, undefined]);
  greeting.answered(4, offering(4));
  assert.equal(greeting.isShy, false);
  assert.deepEqual(greeting.offers, offering(4));
});

test("greeting: an address has one, and those that were not wanted for longest go when there are very many", () => {
  const greetings = new Greetings();
  const first = greetings.of({ host: "a.test", port: 1 });
  assert.equal(greetings.of({ host: "a.test", port: 1 }), first);
  assert.notEqual(greetings.of({ host: "a.test", port: 2 }), first);
  const stranger = greetings.of({ host: "a.test", port: 2 });
  for (let port = 1; port < 1_000; port++) {
    greetings.of({ host: "b.test", port });
    assert.equal(greetings.of({ host: "a.test", port: 1 }), first);
  }
  assert.notEqual(greetings.of({ host: "a.test", port: 2 }), stranger);
  for (let port = 1; port <= 1_000; port++) greetings.of({ host: "b.test", port });
  assert.notEqual(greetings.of({ host: "a.test", port: 1 }), first);
});
