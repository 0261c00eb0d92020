/** What members of a group tell each other, beside the bytes of Java's own class. */

import assert from "node:assert/strict";
import {
  readAssignment,
  readSubscription,
  writeAssignment,
  writeSubscription,
} from "../../src/protocol/consumer_protocol.ts";
import golden from "../golden/consumer_protocol.json" with { type: "json" };
import { test } from "../harness.ts";
import { fromHex, toHex } from "./golden.ts";

interface Vector {
  readonly type: string;
  readonly version: number;
  readonly hex: string;
  readonly owned?: readonly { readonly topic: string; readonly partition: number }[];
  readonly partitions?: readonly { readonly topic: string; readonly partition: number }[];
}

const vectors = golden.vectors as readonly Vector[];
const topics = ["orders", "é-payments"];

function of(type: string): readonly Vector[] {
  const found = vectors.filter((vector) => vector.type === type);
  assert.ok(found.length >= 4);
  return found;
}

function inOrder(partitions: Vector["owned"] = []): { topic: string; partition: number }[] {
  return [...partitions].sort((a, b) => a.topic < b.topic ? -1 : a.topic > b.topic ? 1 : a.partition - b.partition);
}

test("consumer protocol: subscriptions of every version of Java's are read, with what each can tell", () => {
  for (const { version, hex, owned } of of("subscription")) {
    const read = readSubscription(fromHex(hex));
    // Version 0 knows nothing of what is owned; the generation stands in the user data of all.
    assert.deepEqual([read.topics, inOrder(read.owned), read.generationId], [
      topics,
      version === 0 ? [] : inOrder(owned),
      7,
    ]);
  }
  for (const { version, hex, owned } of of("subscription with a rack")) {
    const read = readSubscription(fromHex(hex));
    assert.deepEqual([read.topics, read.owned, read.generationId], [
      ["orders"],
      version === 0 ? [] : owned,
      version < 2 ? -1 : 9,
    ]);
  }
});

test("consumer protocol: a subscription that ends where an earlier version does is read as far as it goes", () => {
  const [whole] = of("subscription").filter(({ version }) => version === 2);
  const bytes = fromHex(whole!.hex);
  const read = readSubscription(bytes);
  // Its last four bytes are the generation, which the user data tells as well.
  assert.deepEqual(readSubscription(bytes.subarray(0, -4)), read);
  const bare = Uint8Array.of(0, 2, 0, 0, 0, 1, 0, 1, 97);
  assert.deepEqual(readSubscription(bare), { topics: ["a"], owned: [], generationId: -1 });
  const withoutOwned = Uint8Array.of(...bare, 255, 255, 255, 255);
  assert.deepEqual(readSubscription(withoutOwned), { topics: ["a"], owned: [], generationId: -1 });
});

test("consumer protocol: a subscription is written as Java's newest version", () => {
  for (const { version, hex, owned } of of("subscription")) {
    if (version !== 3) continue;
    assert.equal(
      toHex(writeSubscription({ topics: ["é-payments", "orders"], owned: inOrder(owned), generationId: 7 })),
      hex,
    );
  }
});

test("consumer protocol: assignments of every version are read, and written as Java's first", () => {
  for (const { version, hex, partitions } of of("assignment")) {
    assert.deepEqual(inOrder(readAssignment(fromHex(hex))), inOrder(partitions));
    if (version !== 0) continue;
    // Java leaves them in the order in which they were given, and readers don't mind it.
    const written = writeAssignment(partitions ?? []);
    assert.equal(written.length * 2, hex.length);
    assert.deepEqual(inOrder(readAssignment(written)), inOrder(partitions));
    if (partitions!.length < 2) assert.equal(toHex(written), hex);
  }
  assert.deepEqual(readAssignment(new Uint8Array()), []);
});

test("consumer protocol: bytes that are cut, or say more than they hold, are refused", () => {
  const [whole] = of("subscription").filter(({ version, owned }) => version === 3 && owned!.length > 1);
  const bytes = fromHex(whole!.hex);
  // The parts at the end may be missing: older versions end there.
  for (const length of [1, 5, 7, 9, bytes.length - 4]) {
    assert.throws(() => readSubscription(bytes.subarray(0, length)), { name: "ProtocolError" });
  }
  const negative = fromHex("0000000000010001610000000" + "1ffffffff" + "ffffffff");
  assert.throws(() => readAssignment(negative), { name: "ProtocolError", message: /partition "-1"/ });
});
