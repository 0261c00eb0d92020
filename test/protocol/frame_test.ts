import assert from "node:assert/strict";
import { ProtocolError } from "../../src/errors.ts";
import {
  decodeResponseFrame,
  encodeRequestFrame,
  encodeResponseFrame,
  readCorrelationId,
} from "../../src/protocol/api.ts";
import { API_BY_KEY, decodeRequestHeader } from "../../src/protocol/request_header.ts";
import { ApiVersions, Produce, SaslHandshake } from "../../src/protocol/messages/mod.ts";
import { type AnyApi, defineApi } from "../../src/protocol/schema.ts";
import captures39 from "../golden/captures-3.9.1.json" with { type: "json" };
import captures41 from "../golden/captures-4.1.1.json" with { type: "json" };
import headers from "../golden/headers.json" with { type: "json" };
import { test } from "../harness.ts";
import { APIS, concatenated, fromHex, toHex } from "./golden.ts";

interface HeaderVector {
  readonly type: string;
  readonly headerVersion: number;
  readonly hex: string;
  readonly apiVersion?: number;
  readonly correlationId: number;
  readonly clientId?: string | null;
}

interface Exchange {
  readonly name: string;
  readonly api: string;
  readonly version: number;
  readonly request: string;
  readonly response: string;
  readonly decoded?: string;
}

const HEADERS = headers.vectors as unknown as readonly HeaderVector[];
const CAPTURES: readonly (readonly [release: string, exchanges: readonly Exchange[]])[] = [
  ["3.9.1", (captures39 as unknown as { exchanges: Exchange[] }).exchanges],
  ["4.1.1", (captures41 as unknown as { exchanges: Exchange[] }).exchanges],
];

const NO_BODY = { key: 0, name: "NoBody", versions: [11, 11], request: {}, response: {} } as const;
const RIGID = defineApi({ ...NO_BODY, flexible: null });
const FLEXIBLE = defineApi({ ...NO_BODY, flexible: 11 });

test("protocol: request headers equal the bytes of the Java class and are read back", () => {
  // Version 0, without a client id, was for one API between brokers.
  for (const vector of HEADERS.filter(({ type, headerVersion }) => type === "request" && headerVersion > 0)) {
    const api = vector.headerVersion === 2 ? FLEXIBLE : RIGID;
    const clientId = vector.clientId ?? null;
    const frame = concatenated(encodeRequestFrame(api, 11, vector.correlationId, clientId, {}));
    // The body of a flexible version is its empty tag section.
    const body = vector.headerVersion === 2 ? "00" : "";
    const length = (vector.hex.length + body.length) / 2;
    assert.equal(toHex(frame), length.toString(16).padStart(8, "0") + vector.hex + body);

    const bytes = fromHex(vector.hex);
    const version = vector.headerVersion === 2 ? 11 : 3;
    bytes[3] = version;
    const { reader, api: _, ...header } = decodeRequestHeader(bytes);
    const { correlationId } = vector;
    assert.deepEqual(header, { apiKey: 0, apiVersion: version, correlationId, clientId });
    assert.equal(reader.remaining, 0);
  }
});

test("protocol: response headers equal the bytes of the Java class and are read back", () => {
  for (const vector of HEADERS.filter(({ type }) => type === "response")) {
    const api = vector.headerVersion === 1 ? FLEXIBLE : RIGID;
    const frame = concatenated(encodeResponseFrame(api, 11, vector.correlationId, {}));
    const body = vector.headerVersion === 1 ? "00" : "";
    assert.equal(toHex(frame.subarray(4)), vector.hex + body);
    assert.equal(readCorrelationId(fromHex(vector.hex)), vector.correlationId);
    assert.deepEqual(decodeResponseFrame(api, 11, frame.subarray(4)), {
      correlationId: vector.correlationId,
      body: {},
    });
  }
});

test("protocol: a response header may carry tags, which are skipped", () => {
  const frame = fromHex("0000002a" + "01" + "0503010203" + "00");
  assert.deepEqual(decodeResponseFrame(FLEXIBLE, 11, frame), { correlationId: 42, body: {} });
});

test("protocol: ApiVersions responses have the oldest header in every version, SaslHandshake has no flexible one", () => {
  assert.deepEqual([0, 2, 3, 4].map((v) => ApiVersions.responseHeaderVersion(v)), [0, 0, 0, 0]);
  assert.deepEqual([0, 2, 3, 4].map((v) => ApiVersions.requestHeaderVersion(v)), [1, 1, 2, 2]);
  assert.deepEqual([0, 1].map((v) => SaslHandshake.responseHeaderVersion(v)), [0, 0]);
  assert.deepEqual([0, 1].map((v) => SaslHandshake.requestHeaderVersion(v)), [1, 1]);
});

for (const [release, exchanges] of CAPTURES) {
  test(`protocol: request frames that Kafka ${release} took are read and written back byte for byte`, () => {
    let count = 0;
    for (const { name, api: apiName, version, request, decoded } of exchanges) {
      const api = byName(apiName);
      // Versions that the broker didn't know were made up.
      if (api === undefined || decoded === undefined) continue;
      const { frame, length } = unframed(request);
      assert.equal(frame.length, length, name);
      const header = decodeRequestHeader(frame);
      assert.equal(header.api, api, name);
      assert.equal(header.apiVersion, version, name);
      const body = api.decodeRequest(header.reader, version);
      const again = encodeRequestFrame(api, version, header.correlationId, header.clientId, body as never);
      assert.equal(toHex(concatenated(again)), request, name);
      count++;
    }
    assert.ok(count >= 45, `only ${count} exchanges`);
  });

  test(`protocol: response frames of Kafka ${release} are read with the error codes that Java reads`, () => {
    let count = 0;
    for (const { name, api: apiName, version, response, decoded } of exchanges) {
      const api = byName(apiName);
      if (api === undefined) continue;
      const { frame, length } = unframed(response);
      assert.equal(frame.length, length, name);
      const { correlationId, body } = decodeResponseFrame(api, version, frame);
      assert.deepEqual(errorCodesOf(body), decoded === undefined ? [35] : errorCodesIn(decoded), name);
      // An ApiVersions response with error 35 is written in version 0, whatever was asked.
      const written = decoded === undefined ? 0 : version;
      const again = concatenated(encodeResponseFrame(api, written, correlationId, body as never));
      assert.equal(toHex(again), response, name);
      count++;
    }
    assert.ok(count >= 45, `only ${count} exchanges`);
  });
}

test("protocol: record batches of a Produce request go into the frame by reference", () => {
  const records = new Uint8Array(5000).fill(7);
  const parts = encodeRequestFrame(Produce, 9, 1, "c", {
    acks: -1,
    timeoutMs: 1000,
    topicData: [{
      name: "t",
      partitionData: [{ index: 0, records }, { index: 1, records: [records, records] }, { index: 2, records: null }],
    }],
  });
  assert.equal(parts.filter((part) => part === records).length, 3);
  const frame = concatenated(parts);
  assert.equal(new DataView(frame.buffer).getInt32(0), frame.length - 4);
  const header = decodeRequestHeader(frame.subarray(4));
  const body = Produce.decodeRequest(header.reader, 9);
  const lengths = body.topicData[0]?.partitionData.map((partition) => partition.records?.length);
  assert.deepEqual(lengths, [5000, 10_000, undefined]);
});

test("protocol: the header of a request for an API that isn't spoken is read", () => {
  const header = decodeRequestHeader(fromHex("03e70005000000070001" + "61" + "ffff"));
  assert.equal(header.api, undefined);
  assert.deepEqual([header.apiKey, header.apiVersion, header.correlationId, header.clientId], [999, 5, 7, "a"]);
});

test("protocol: a request header that is cut off is a ProtocolError at every length", () => {
  const bytes = fromHex("0000000b010203040006736c7569636500");
  for (let length = 0; length < bytes.length; length++) {
    assert.throws(() => decodeRequestHeader(bytes.slice(0, length)), ProtocolError);
  }
});

test("protocol: every API is found by its key", () => {
  assert.equal(API_BY_KEY.size, APIS.length);
  for (const api of APIS) assert.equal(API_BY_KEY.get(api.key), api);
});

function byName(name: string): AnyApi | undefined {
  return APIS.find((api) => api.name === name);
}

function unframed(hex: string): { readonly frame: Uint8Array; readonly length: number } {
  const bytes = fromHex(hex);
  return { frame: bytes.subarray(4), length: new DataView(bytes.buffer).getInt32(0) };
}

/** All error codes of a decoded body in their order. */
function errorCodesOf(value: unknown): number[] {
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return [];
  if (Array.isArray(value)) return value.flatMap(errorCodesOf);
  return Object.entries(value).flatMap(([name, inner]) =>
    /^(partitionE|e)rrorCode$/.test(name) ? [inner as number] : errorCodesOf(inner)
  );
}

/** All error codes in what the Java class printed. */
function errorCodesIn(decoded: string): number[] {
  return [...decoded.matchAll(/\b(?:partitionE|e)rrorCode=(-?\d+)/g)].map((match) => Number(match[1]));
}
