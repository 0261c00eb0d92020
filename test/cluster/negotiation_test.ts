import assert from "node:assert/strict";
import { Negotiation, Negotiations } from "../../src/cluster/negotiation.ts";
import type { VersionRange } from "../../src/cluster/connection.ts";
import { ApiVersions } from "../../src/protocol/messages/mod.ts";
import { test } from "../harness.ts";

const TEN_MINUTES_MS = 600_000;

/** A table of versions in which ApiVersions is offered up to `max`. */
function offering(max: number): Map<number, VersionRange> {
  return new Map([[ApiVersions.key, { min: 0, max }]]);
}

test("negotiation: a stranger is asked in the newest version, then in 3, then in 0", () => {
  const negotiation = new Negotiation();
  assert.deepEqual(negotiation.attempts(0), [4, 3, 0]);
  negotiation.offers = offering(3);
  assert.deepEqual(negotiation.attempts(0), [3, 4, 0], "somebody before us was told so");
  negotiation.offers = offering(1);
  assert.deepEqual(negotiation.attempts(0), [0, 4, 3]);
});

test("negotiation: what was answered comes first and alone, until the server hangs up on it", () => {
  for (const version of [4, 3, 0]) {
    const negotiation = new Negotiation();
    negotiation.answered(version, offering(version));
    assert.deepEqual(negotiation.attempts(0), [version]);
    negotiation.hungUp(0);
    assert.deepEqual(negotiation.attempts(0), [version, ...[4, 3, 0].filter((other) => other !== version)]);
    negotiation.answered(version, offering(version));
    assert.deepEqual(negotiation.attempts(0), [version]);
  }
});

test("negotiation: a newer version that is offered is tried, ten minutes after the last hang-up at the earliest", () => {
  const negotiation = new Negotiation();
  negotiation.hungUp(1_000);
  negotiation.answered(3, offering(127));
  assert.deepEqual(negotiation.attempts(1_000 + TEN_MINUTES_MS - 1), [3]);
  assert.deepEqual(negotiation.attempts(1_000 + TEN_MINUTES_MS), [5, 3]);
  const upgraded = new Negotiation();
  upgraded.answered(3, offering(4));
  assert.deepEqual(upgraded.attempts(0), [4, 3], "nobody has hung up");
});

test("negotiation: where one server offers version 5, strangers are asked in it, unless the cluster isn't to be checked", () => {
  for (const [checksCluster, newest] of [[true, 5], [false, 4]] as const) {
    const negotiations = new Negotiations(checksCluster);
    const server = negotiations.of({ host: "a.test", port: 1 });
    assert.deepEqual(server.attempts(0), [4, 3, 0], "no round trip is risked on a first contact");
    server.answered(4, offering(5));
    assert.deepEqual(server.attempts(0), newest === 5 ? [5, 4] : [4]);
    const stranger = negotiations.of({ host: "b.test", port: 1 });
    assert.deepEqual(stranger.attempts(0), [newest, 3, 0]);
    stranger.answered(3, offering(3));
    assert.deepEqual(
      negotiations.of({ host: "c.test", port: 1 }).attempts(0),
      [4, 3, 0],
      "as the last one has answered",
    );
  }
});

test("negotiation: each attempt that times out lets another version begin, from the second on", () => {
  const negotiation = new Negotiation();
  const first = [4, 4, 3, 0, 4].map((wanted, at) => {
    assert.equal(negotiation.attempts(0)[0], wanted, `attempt ${at + 1}`);
    assert.equal(negotiation.attempts(0).length, 3);
    negotiation.failed(0);
    return wanted;
  });
  assert.equal(first.length, 5);
  assert.equal(negotiation.refusesPipelining, true);
  negotiation.answered(4, offering(4));
  assert.deepEqual([negotiation.attempts(0), negotiation.refusesPipelining], [[4], false]);
});

test("negotiation: a wrong guess takes with it what led to it, and an answer allows guesses again", () => {
  const negotiation = new Negotiation();
  negotiation.offers = offering(4);
  negotiation.pipeliningRefused();
  assert.deepEqual([negotiation.refusesPipelining, negotiation.offers], [true, undefined]);
  negotiation.answered(4, offering(4));
  assert.equal(negotiation.refusesPipelining, false);
  assert.deepEqual(negotiation.offers, offering(4));
});

test("negotiation: an address has one, and those that were not wanted for longest go when there are very many", () => {
  const negotiations = new Negotiations();
  const first = negotiations.of({ host: "a.test", port: 1 });
  assert.equal(negotiations.of({ host: "a.test", port: 1 }), first);
  assert.notEqual(negotiations.of({ host: "a.test", port: 2 }), first);
  const stranger = negotiations.of({ host: "a.test", port: 2 });
  for (let port = 1; port < 1_000; port++) {
    negotiations.of({ host: "b.test", port });
    assert.equal(negotiations.of({ host: "a.test", port: 1 }), first);
  }
  assert.notEqual(negotiations.of({ host: "a.test", port: 2 }), stranger);
  for (let port = 1; port <= 1_000; port++) negotiations.of({ host: "b.test", port });
  assert.notEqual(negotiations.of({ host: "a.test", port: 1 }), first);
});
