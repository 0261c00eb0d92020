import assert from "node:assert/strict";
import {
  ApiVersions,
  InitProducerId,
  Metadata,
  Produce,
  SaslAuthenticate,
  SaslHandshake,
} from "../../src/protocol/messages/mod.ts";
import type { Release } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";
import { concat } from "./batches.ts";
import { type Stage, stage, type Wire } from "./wire.ts";

/** A request without a client id, its length in front. */
function request(key: number, version: number, correlationId: number, body: readonly number[] = []): Uint8Array {
  const bytes = new Uint8Array(14 + body.length);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, bytes.length - 4);
  view.setInt16(4, key);
  view.setInt16(6, version);
  view.setInt32(8, correlationId);
  view.setInt16(12, -1);
  bytes.set(body, 14);
  return bytes;
}

const NAMED = [0, 2, 97, 2, 49, 0];
const versions = (version: number): Uint8Array => request(18, version, 1, version < 3 ? [] : NAMED);
/** Metadata 10 of no topic, and InitProducerId 4 without a transactional id: what a cold start guesses. */
const metadata = request(3, 10, 2, [0, 1, 1, 0, 0, 0]);
const producerId = request(22, 4, 3, [0, 0, 0, 0, 255, 255, ...Array(8).fill(255), 255, 255, 0]);

/** Frames in hexadecimal, without their length and cut to 16 bytes, and how the connection is afterwards. */
async function conduct({ connect }: Stage, ...bytes: readonly Uint8Array[]): Promise<string[]> {
  const wire = await connect();
  const frames = await wire.exchange(concat(bytes));
  const shown = frames.map((frame) => {
    return [...frame.subarray(4, 20)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  });
  return [...shown, wire.closed ? "closed" : "open"];
}

/** As brokers of the releases were seen to do on a socket. */
const REFUSED: Readonly<Record<string, readonly [hex: string, from: number]>> = {
  "1.0": ["00000001002300000000", 2],
  "2.0": ["00000001002300000000", 3],
  "2.3": ["00000001002300000000", 3],
  "2.7": ["00000001002300000001001200000003", 4],
  "3.9": ["00000001002300000001001200000004", 5],
  "4.1": ["00000001002300000001001200000004", 5],
};

test("hang-ups: a refused ApiVersions request is answered as each release does, and the connection goes on", async () => {
  for (const [release, [refusal, from]] of Object.entries(REFUSED)) {
    const s = stage({ release: release as Release });
    for (const version of [-1, from, 5, 127, 32_767]) {
      assert.deepEqual(await conduct(s, versions(version)), [refusal, "open"], `${release}, version ${version}`);
      const again = await conduct(s, versions(version), versions(0));
      assert.deepEqual([again.length, again.at(-1)], [3, "open"], release);
    }
    const served = await conduct(s, versions(from - 1));
    assert.equal(served[0]!.slice(0, 12), "000000010000", release);
  }
});

test("hang-ups: brokers before KIP-511 read every ApiVersions header as an old one, later ones need its tags", async () => {
  for (const [release, [refusal]] of Object.entries(REFUSED)) {
    const s = stage({ release: release as Release });
    const isOld = ["1.0", "2.0", "2.3"].includes(release);
    assert.deepEqual(await conduct(s, request(18, 99, 1)), isOld ? [refusal, "open"] : ["closed"], release);
  }
});

test("hang-ups: a cold start's guesses end the connection of brokers that don't know them, behind the refusal", async () => {
  for (const [release, [refusal]] of Object.entries(REFUSED)) {
    const s = stage({ release: release as Release });
    const seen = await conduct(s, versions(4), metadata, producerId);
    if (["3.9", "4.1"].includes(release)) assert.deepEqual([seen.length, seen.at(-1)], [4, "open"], release);
    else assert.deepEqual(seen, [refusal, "closed"], release);
    const idOnly = await conduct(s, versions(4), producerId);
    assert.equal(idOnly.at(-1), ["1.0", "2.0", "2.3"].includes(release) ? "closed" : "open", release);
  }
});

test("hang-ups: Azure Event Hubs resets at ApiVersions 4 and above, and answers 3", async () => {
  const s = stage({ release: "event-hubs" });
  for (const version of [4, 5, 127]) {
    const wire = await s.connect();
    assert.deepEqual(await wire.exchange(versions(version)), []);
    assert.match(String(wire.error), /reset/);
  }
  assert.equal((await conduct(s, versions(3))).at(-1), "open");
});

test("hang-ups: SASL requests are answered with 34 where nobody has to authenticate", async () => {
  for (const release of Object.keys(REFUSED) as Release[]) {
    const { connect } = stage({ release });
    const wire = await connect();
    const { errorCode, mechanisms } = (await wire.ask(SaslHandshake, 1, { mechanism: "PLAIN" }))!;
    assert.deepEqual([errorCode, mechanisms], [34, []]);
    assert.equal((await wire.ask(SaslAuthenticate, 0, { authBytes: new Uint8Array(1) }))!.errorCode, 34);
    assert.equal(wire.closed, false);
  }
});

function guarded(): Stage {
  return stage({ sasl: { users: { alice: "secret" }, mechanisms: ["PLAIN"], failureDelayMs: 0 } });
}

async function login(wire: Wire, user: string, password: string) {
  await wire.ask(SaslHandshake, 1, { mechanism: "PLAIN" });
  return await wire.ask(SaslAuthenticate, 2, { authBytes: new TextEncoder().encode(`\0${user}\0${password}`) });
}

test("hang-ups: before authentication ApiVersions is answered once, and everything else is the end", async () => {
  const s = guarded();
  assert.equal((await conduct(s, versions(4))).at(-1), "open");
  assert.deepEqual((await conduct(s, versions(5), versions(3))).length, 3, "one that was refused may ask again");
  assert.equal((await conduct(s, versions(4), versions(4))).at(-1), "closed");
  const others = [metadata, producerId, request(0, 8, 1), request(999, 0, 1), request(36, 1, 1, [0, 0, 0, 0])];
  for (const bytes of [...others, request(17, 2, 1), new Uint8Array(4), Uint8Array.of(127, 255, 255, 255)]) {
    assert.deepEqual(await conduct(s, bytes), ["closed"]);
  }
  assert.deepEqual(s.cluster.requests.filter(({ api }) => api !== ApiVersions), [], "nothing else was served");
});

test("hang-ups: a right password opens the connection, a wrong one is told and ends it", async () => {
  const s = guarded();
  const good = await s.connect();
  assert.equal((await login(good, "alice", "secret"))!.errorCode, 0);
  assert.equal((await good.ask(Metadata, 9, { topics: [] }))!.brokers.length, 1);
  assert.equal((await good.ask(InitProducerId, 4, { transactionalId: null, transactionTimeoutMs: 1 }))!.errorCode, 0);
  for (const [user, password] of [["alice", "wrong"], ["nobody", "secret"], ["toString", "x"]] as const) {
    const bad = await s.connect();
    const { errorCode, errorMessage } = (await login(bad, user, password))!;
    assert.deepEqual([errorCode, errorMessage], [58, "Authentication failed: Invalid username or password"]);
    await s.runtime.settle();
    assert.equal(bad.closed, true);
  }
  const raw = await s.connect();
  await raw.ask(SaslHandshake, 0, { mechanism: "PLAIN" });
  const token = new TextEncoder().encode("\0alice\0secret");
  assert.deepEqual(await raw.exchange(concat([Uint8Array.of(0, 0, 0, token.length), token])), [new Uint8Array(4)]);
  assert.equal((await raw.ask(Metadata, 9, { topics: [] }))!.brokers.length, 1);
});

test("hang-ups: an unknown mechanism is told the known ones, and a request in place of the token is refused in words", async () => {
  const s = guarded();
  const unknown = await s.connect();
  const refusal = (await unknown.ask(SaslHandshake, 1, { mechanism: "SCRAM-SHA-256" }))!;
  assert.deepEqual([refusal.errorCode, refusal.mechanisms], [33, ["PLAIN"]]);
  assert.equal(await unknown.ask(SaslHandshake, 1, { mechanism: "PLAIN" }), undefined);
  assert.equal(unknown.closed, true);
  const early = await s.connect();
  await early.ask(SaslHandshake, 1, { mechanism: "PLAIN" });
  const answer = await early.ask(InitProducerId, 4, { transactionalId: null, transactionTimeoutMs: 1 });
  await s.runtime.settle();
  assert.deepEqual([answer!.errorCode, early.closed], [34, true]);
  assert.deepEqual(s.cluster.requestsOf(Produce), []);
});
