import assert from "node:assert/strict";
import { ProtocolError } from "../../src/errors.ts";
import type { AnyApi } from "../../src/protocol/schema.ts";
import { test } from "../harness.ts";
import { APIS, decode, type Direction, encode, fromHex, inputOf, outputOf, toHex, vectorsOf } from "./golden.ts";

const DIRECTIONS: readonly Direction[] = ["request", "response"];

for (const api of APIS) {
  for (const direction of DIRECTIONS) {
    test(`protocol: ${api.name} ${direction}s equal the bytes of the Java class in every version`, () => {
      const vectors = vectorsOf(api, direction);
      for (let version = api.minVersion; version <= api.maxVersion; version++) {
        const cases = vectors.filter((vector) => vector.version === version && vector.case !== "full+unknownTags");
        assert.ok(cases.length >= 2, `only ${cases.length} vectors of version ${version}`);
      }
      for (const vector of vectors) {
        const label = `v${vector.version} ${vector.case}`;
        assert.deepEqual(
          decode(api, direction, vector.version, fromHex(vector.hex)),
          outputOf(api, direction, vector),
          label,
        );
        // What a reader skips, a writer can't write back.
        if (vector.case === "full+unknownTags") continue;
        assert.equal(toHex(encode(api, direction, vector.version, inputOf(api, direction, vector))), vector.hex, label);
      }
    });

    test(`protocol: a truncated or over-long ${api.name} ${direction} is a ProtocolError at every length`, () => {
      for (const vector of vectorsOf(api, direction)) {
        if (vector.version !== api.maxVersion && vector.version !== lastRigidVersion(api)) continue;
        const bytes = fromHex(vector.hex);
        const label = `v${vector.version} ${vector.case}`;
        for (let length = 0; length < bytes.length; length++) {
          const prefix = bytes.slice(0, length);
          assert.throws(
            () => decode(api, direction, vector.version, prefix),
            ProtocolError,
            `${label}, ${length} of ${bytes.length} bytes`,
          );
        }
        const longer = new Uint8Array(bytes.length + 1);
        longer.set(bytes);
        assert.throws(() => decode(api, direction, vector.version, longer), ProtocolError, `${label}, one byte more`);
      }
    });
  }
}

test("protocol: a decoded body has every field, those that its version lacks with their default", () => {
  for (const api of APIS) {
    for (const direction of DIRECTIONS) {
      const wanted = Object.keys(api.declaration[direction]);
      for (const { version, hex } of vectorsOf(api, direction)) {
        const body = decode(api, direction, version, fromHex(hex)) as object;
        assert.deepEqual(Object.keys(body), wanted, `${api.name} v${version} ${direction}`);
      }
    }
  }
});

/** The last version before compact lengths, or the only kind that there is. */
function lastRigidVersion(api: AnyApi): number {
  return Math.min(api.firstFlexible - 1, api.maxVersion);
}
