import assert from "node:assert/strict";
import { SOFTWARE_NAME, SOFTWARE_VERSION } from "../../src/cluster/software.ts";
import { UnsupportedVersionError } from "../../src/errors.ts";
import { chooseVersion, nextApiVersionsVersion, TRANSACTION_V1_CAPS } from "../../src/protocol/api.ts";
import {
  AddPartitionsToTxn,
  ApiVersions,
  EndTxn,
  FindCoordinator,
  Metadata,
  Produce,
} from "../../src/protocol/messages/mod.ts";
import { test } from "../harness.ts";

test("protocol: the highest version that client, broker and cap share is chosen", () => {
  assert.equal(chooseVersion(Produce, 0, 11), 11);
  assert.equal(chooseVersion(Produce, 0, 99), 13);
  assert.equal(chooseVersion(Produce, 0, 13, 12), 12);
  assert.equal(chooseVersion(Produce, 0, 13, TRANSACTION_V1_CAPS.Produce), 11);
  assert.equal(chooseVersion(EndTxn, 0, 5, TRANSACTION_V1_CAPS.EndTxn), 4);
  assert.equal(chooseVersion(Metadata, 0, 12), 12);
  assert.equal(chooseVersion(FindCoordinator, 0, 2), 2);
});

test("protocol: AddPartitionsToTxn is never asked above version 3, which is for clients", () => {
  assert.equal(chooseVersion(AddPartitionsToTxn, 0, 5), 3);
});

test("protocol: without a shared version the error names the API and both ranges", () => {
  for (const [min, max, cap] of [[0, 2, Infinity], [14, 20, Infinity], [12, 13, 11]] as const) {
    assert.throws(() => chooseVersion(Produce, min, max, cap), (error: unknown) => {
      assert.ok(error instanceof UnsupportedVersionError);
      assert.match(error.message, /Produce/);
      assert.match(
        error.message,
        new RegExp(`broker speaks Produce ${min} to ${max}, wanted one of 3 to ${Math.min(13, cap)}`),
      );
      assert.equal(error.retriable, false);
      return true;
    });
  }
});

function refusal(errorCode: number, maxVersion?: number): Parameters<typeof nextApiVersionsVersion>[1] {
  return {
    errorCode,
    apiKeys: maxVersion === undefined ? [] : [{ apiKey: ApiVersions.key, minVersion: 0, maxVersion }],
  };
}

test("protocol: ApiVersions is asked again at the broker's own maximum, or at 0 when it tells none", () => {
  assert.equal(nextApiVersionsVersion(4, refusal(35, 3)), 3);
  assert.equal(nextApiVersionsVersion(4, refusal(35, 0)), 0);
  assert.equal(nextApiVersionsVersion(4, refusal(35)), 0);
});

test("protocol: an ApiVersions hint that is not lower than what was sent ends the exchange", () => {
  assert.equal(nextApiVersionsVersion(4, refusal(35, 4)), undefined);
  assert.equal(nextApiVersionsVersion(3, refusal(35, 127)), undefined);
  assert.equal(nextApiVersionsVersion(3, refusal(35, -1)), undefined);
  assert.equal(nextApiVersionsVersion(0, refusal(35)), undefined);
});

test("protocol: ApiVersions is asked again at 0 after a refused software name, and not after another error", () => {
  assert.equal(nextApiVersionsVersion(4, refusal(42)), 0);
  assert.equal(nextApiVersionsVersion(0, refusal(42)), undefined);
  assert.equal(nextApiVersionsVersion(4, refusal(-1)), undefined);
});

test("protocol: the software name and version are ones that every broker takes", () => {
  for (const text of [SOFTWARE_NAME, SOFTWARE_VERSION]) {
    assert.match(text, /^[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?$/);
  }
});
