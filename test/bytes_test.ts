import assert from "node:assert/strict";
import { assertBytes } from "./bytes.ts";
import { test } from "./harness.ts";

test("bytes: a comparison of a megabyte tells the first difference, in content and in length", () => {
  const wanted = new Uint8Array(1_048_576).map((_, index) => index);
  assertBytes(wanted.slice(), wanted);
  const other = wanted.slice();
  other.fill(7, 1_000_000);
  assert.throws(() => assertBytes(other, wanted, "The copies"), {
    message: /^The copies differ from byte 1000000 on: .* \(of 1048576\), wanted .*\.$/,
  });
  assert.throws(() => assertBytes(wanted.subarray(0, 10), wanted), { message: /differ from byte 10 on/ });
  assert.throws(() => assertBytes(wanted, wanted.subarray(0, 10)), { message: /differ from byte 10 on/ });
});
