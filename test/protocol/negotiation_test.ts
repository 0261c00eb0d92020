import assert from "node:assert/strict";
import { UnsupportedVersionError } from "../../src/errors.ts";
import {
  chooseVersion,
  nextApiVersionsVersion,
  sanitizeSoftwareName,
  sanitizeSoftwareVersion,
  TRANSACTION_V1_CAPS,
} from "../../src/protocol/api.ts";
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
        new RegExp(`broker speaks ${min} to ${max}, wanted one of 3 to ${Math.min(13, cap)}`),
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

test("protocol: a software name or version is changed into one that every broker takes", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["sluice-kafka", "sluice-kafka"],
    ["@sluice/kafka", "sluice-kafka"],
    ["sluice_kafka", "sluice-kafka"],
    ["1.0.0+build", "1.0.0-build"],
    ["1.0.0-beta.1", "1.0.0-beta.1"],
    ["-a-", "a"],
    ["..a b..", "a-b"],
    ["a", "a"],
    ["", "unknown"],
    ["+/_", "unknown"],
    ["é", "unknown"],
  ];
  for (const [given, wanted] of cases) {
    assert.equal(sanitizeSoftwareName(given), wanted, given);
    assert.equal(sanitizeSoftwareVersion(given), wanted, given);
    assert.match(sanitizeSoftwareName(given), /^[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?$/);
  }
});
