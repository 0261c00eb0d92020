import assert from "node:assert/strict";
import { ProtocolError } from "../../src/errors.ts";
import { Fetch, Metadata, Produce, SaslAuthenticate } from "../../src/protocol/messages/mod.ts";
import type { AnyApi } from "../../src/protocol/schema.ts";
import { test } from "../harness.ts";
import { decode, type Direction, fromHex } from "./golden.ts";

interface Hostile {
  readonly what: string;
  readonly api: AnyApi;
  readonly direction: Direction;
  readonly version: number;
  readonly hex: string;
  readonly message: RegExp;
}

const NO_THROTTLE = "00000000";
const LARGEST_UVARINT = "ffffffff0f";

const HOSTILE: readonly Hostile[] = [
  {
    what: "an array of 2^31 - 1 elements",
    api: Metadata,
    direction: "response",
    version: 4,
    hex: `${NO_THROTTLE}7fffffff${"00".repeat(64)}`,
    message: /field brokers: Truncated input: 2147483647 elements need \d+ bytes, 64 left/,
  },
  {
    what: "a compact array of 2^32 - 2 elements",
    api: Metadata,
    direction: "response",
    version: 9,
    hex: `${NO_THROTTLE}${LARGEST_UVARINT}${"00".repeat(64)}`,
    message: /field brokers: Truncated input: 4294967294 elements need \d+ bytes, 64 left/,
  },
  {
    what: "an array of -2 elements",
    api: Metadata,
    direction: "response",
    version: 4,
    hex: `${NO_THROTTLE}fffffffe${"00".repeat(64)}`,
    message: /field brokers: Reading an array of "-2" elements/,
  },
  {
    what: "null for an array that can't be null",
    api: Metadata,
    direction: "response",
    version: 9,
    hex: `${NO_THROTTLE}00`,
    message: /field brokers: Reading null: wanted an array/,
  },
  {
    what: "a string of 32767 bytes",
    api: Produce,
    direction: "request",
    version: 3,
    hex: "7fff6162",
    message: /field transactionalId: Truncated input: a field needs 32767 bytes, 2 left/,
  },
  {
    what: "a string of -2 bytes",
    api: Produce,
    direction: "request",
    version: 3,
    hex: "fffe6162",
    message: /field transactionalId: Reading a field of "-2" bytes/,
  },
  {
    what: "a compact string of 2^32 - 2 bytes",
    api: Produce,
    direction: "request",
    version: 9,
    hex: `${LARGEST_UVARINT}6162`,
    message: /field transactionalId: Truncated input: a field needs 4294967294 bytes, 2 left/,
  },
  {
    what: "null for a string that can't be null",
    api: Metadata,
    direction: "response",
    version: 4,
    hex: `${NO_THROTTLE}0000000100000001ffff00002384ffff${"00".repeat(16)}`,
    message: /field brokers\.host: Reading null: wanted a string/,
  },
  {
    what: "a byte field of 2^31 - 1 bytes",
    api: SaslAuthenticate,
    direction: "request",
    version: 1,
    hex: "7fffffff00",
    message: /field authBytes: Truncated input: a field needs 2147483647 bytes, 1 left/,
  },
  {
    what: "a length of six bytes",
    api: SaslAuthenticate,
    direction: "request",
    version: 2,
    hex: "ffffffffff01",
    message: /field authBytes: Reading a varint of more than 32 bits/,
  },
  {
    what: "2^32 - 1 tags",
    api: SaslAuthenticate,
    direction: "request",
    version: 2,
    hex: `01${LARGEST_UVARINT}`,
    message: /Truncated input/,
  },
  {
    what: "a tag of 2^32 - 1 bytes",
    api: SaslAuthenticate,
    direction: "request",
    version: 2,
    hex: `010107${LARGEST_UVARINT}`,
    message: /Truncated input/,
  },
  {
    what: "a known tag that is longer than its value",
    api: Fetch,
    direction: "response",
    version: 16,
    hex: `${"00".repeat(10)}01${"01000201" + "00"}`,
    message: /Reading tag 0: its 2 bytes hold a value of 1 bytes/,
  },
];

for (const { what, api, direction, version, hex, message } of HOSTILE) {
  test(`protocol: ${what} in ${api.name} v${version} is a ProtocolError`, () => {
    assert.throws(() => decode(api, direction, version, fromHex(hex)), (error: unknown) => {
      assert.ok(error instanceof ProtocolError, String(error));
      assert.match(error.message, message);
      return true;
    });
  });
}

test("protocol: ten thousand hostile array lengths are refused without taking the memory they claim", () => {
  const bytes = fromHex(`${NO_THROTTLE}7fffffff${"00".repeat(64)}`);
  let refused = 0;
  for (let i = 0; i < 10_000; i++) {
    try {
      decode(Metadata, "response", 4, bytes);
    } catch {
      refused++;
    }
  }
  assert.equal(refused, 10_000);
});
