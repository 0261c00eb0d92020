import assert from "node:assert/strict";
import { closePayload, frameHeader, FrameReader, OPCODES } from "../../../src/cli/proxy/frames.ts";
import { endOfHead, readUpgrade, upgradeAnswer } from "../../../src/cli/proxy/upgrade.ts";
import { test } from "../../harness.ts";
import { clientFrame, upgradeHead } from "../../runtime/raw_web_socket.ts";

function bytes(length: number, seed = 7): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * seed + (i >> 8)) & 0xff);
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** What a reader tells, given the bytes in pieces of a size. */
function read(all: Uint8Array, size = Infinity): { data: number[]; events: string[] } {
  const data: number[] = [];
  const events: string[] = [];
  const reader = new FrameReader({
    onBytes: (chunk) => void data.push(...chunk),
    onPing: (payload) => void events.push(`ping ${[...payload]}`),
    onPong: () => void events.push("pong"),
    onClose: () => void events.push("close"),
  });
  for (let at = 0; at < all.length; at += Math.min(size, all.length)) reader.read(all.slice(at, at + size));
  return { data, events };
}

test("proxy: frames of every length are read, in pieces of any size", () => {
  for (const length of [0, 1, 125, 126, 127, 300, 65_535, 65_536]) {
    const payload = bytes(length);
    for (const size of [1, 3, 1_000, Infinity]) {
      if (size === 1 && length > 1_000) continue;
      assert.deepEqual(read(clientFrame(OPCODES.binary, payload), size).data, [...payload], `${length} by ${size}`);
    }
  }
});

test("proxy: messages in parts, and pings between the parts, come in order", () => {
  const all = concat([
    clientFrame(OPCODES.binary, bytes(3), { first: OPCODES.binary }),
    clientFrame(OPCODES.ping, Uint8Array.of(1, 2)),
    clientFrame(OPCODES.continuation, bytes(4), { first: OPCODES.continuation }),
    clientFrame(OPCODES.pong, Uint8Array.of()),
    clientFrame(OPCODES.continuation, bytes(5)),
    clientFrame(OPCODES.binary, bytes(1)),
    clientFrame(OPCODES.close, Uint8Array.of(3, 232)),
    clientFrame(OPCODES.binary, bytes(9)),
  ]);
  for (const size of [1, 2, 7, Infinity]) {
    const { data, events } = read(all, size);
    assert.deepEqual(data, [...bytes(3), ...bytes(4), ...bytes(5), ...bytes(1)]);
    assert.deepEqual(events, ["ping 1,2", "pong", "close"]);
  }
});

test("proxy: what no client sends is refused: no mask, text, extensions, long control frames, parts of nothing", () => {
  const cases: [Uint8Array, RegExp][] = [
    [clientFrame(OPCODES.binary, bytes(1), { isMasked: false }), /without a mask/],
    [clientFrame(OPCODES.text, bytes(1)), /text/],
    [clientFrame(OPCODES.binary, bytes(1), { first: 0xc2 }), /extension/],
    [clientFrame(OPCODES.ping, bytes(126)), /control frame/],
    [clientFrame(OPCODES.ping, bytes(1), { first: OPCODES.ping }), /control frame/],
    [clientFrame(OPCODES.continuation, bytes(1)), /within another/],
    [clientFrame(3, bytes(1), { first: 0x83 }), /unknown kind|within another/],
    [Uint8Array.of(0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0), /without end/],
  ];
  for (const [frame, pattern] of cases) assert.throws(() => read(frame), pattern);
  const twice = concat([
    clientFrame(OPCODES.binary, bytes(1), { first: OPCODES.binary }),
    clientFrame(OPCODES.binary, bytes(1)),
  ]);
  assert.throws(() => read(twice), /within another/);
});

test("proxy: headers and close frames are written as RFC 6455 has them, reasons are cut between characters", () => {
  assert.deepEqual([...frameHeader(OPCODES.binary, 5)], [0x82, 5]);
  assert.deepEqual([...frameHeader(OPCODES.binary, 126)], [0x82, 126, 0, 126]);
  assert.deepEqual([...frameHeader(OPCODES.binary, 65_536)], [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
  assert.deepEqual([...closePayload(1000, "ok")], [3, 232, 111, 107]);
  const cut = closePayload(4502, "a" + "ü".repeat(200));
  assert.ok(cut.length <= 125);
  assert.equal(new TextDecoder("utf-8", { fatal: true }).decode(cut.subarray(2)), "a" + "ü".repeat(61));
});

test("proxy: the key of RFC 6455 has its answer, and requests are read with their broker, origin and protocols", async () => {
  assert.match(await upgradeAnswer("dGhlIHNhbXBsZSBub25jZQ==", "sluice"), /Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/);
  const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
  const head = encode(upgradeHead("/x?broker=k%3A9092", { Origin: "https://app.example" }));
  assert.equal(endOfHead(head), head.length);
  assert.equal(endOfHead(head.subarray(0, head.length - 1)), -1);
  assert.deepEqual(readUpgrade(head), {
    broker: "k:9092",
    origin: "https://app.example",
    protocols: ["sluice"],
    key: "dGhlIHNhbXBsZSBub25jZQ==",
  });
  const status = (text: string): unknown => (readUpgrade(encode(text)) as { status?: number }).status;
  assert.equal(status("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 426);
  assert.equal(status("POST / HTTP/1.1\r\n\r\n"), 405);
  assert.equal(status("hello\r\n\r\n"), 400);
  assert.equal(status("GET / HTTP/1.1\r\nno colon\r\n\r\n"), 400);
  assert.equal(status(upgradeHead("/", { "Sec-WebSocket-Key": "short" })), 426);
  assert.equal(status(upgradeHead("/", { "Sec-WebSocket-Version": "8" })), 426);
});
