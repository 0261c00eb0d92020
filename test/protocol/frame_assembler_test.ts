import assert from "node:assert/strict";
import { assertBytes } from "../bytes.ts";
import { FrameAssembler } from "../../src/protocol/frame_assembler.ts";
import { seededRandom } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";
import { concat } from "../testing/batches.ts";

function framed(payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + payload.length);
  new DataView(bytes.buffer).setInt32(0, payload.length);
  bytes.set(payload, 4);
  return bytes;
}

function collector(cap = 1_000_000): { frames: Uint8Array[]; assembler: FrameAssembler } {
  const frames: Uint8Array[] = [];
  return { frames, assembler: new FrameAssembler(cap, (frame) => void frames.push(frame)) };
}

const payloads = (random: () => number): Uint8Array[] =>
  [4, 5, 100, 65_535, 65_536, 65_537, 200_000, 4, 7].map((length) =>
    Uint8Array.from({ length }, () => Math.floor(random() * 256))
  );

test("frame assembler: frames come out whole, however the stream is cut, and share no memory with it", () => {
  const random = seededRandom(5);
  const wanted = payloads(random);
  const stream = concat(wanted.map(framed));
  const cuts: (() => number)[] = [
    () => 1,
    () => stream.length,
    () => 3,
    () => 65_536,
    () => 1 + Math.floor(random() * 9_000),
  ];
  for (const cut of cuts) {
    const { frames, assembler } = collector();
    for (let at = 0; at < stream.length;) {
      const chunk = stream.slice(at, at + cut());
      at += chunk.length;
      assembler.push(chunk);
      chunk.fill(0xdb); // borrowed: whoever keeps it has rubbish
    }
    assert.equal(frames.length, wanted.length);
    frames.forEach((frame, index) => assertBytes(frame, wanted[index]!));
  }
});

test("frame assembler: an empty chunk is nothing, and half a frame stays inside", () => {
  const { frames, assembler } = collector();
  const bytes = framed(Uint8Array.of(1, 2, 3, 4, 5));
  assembler.push(new Uint8Array(0));
  assembler.push(bytes.subarray(0, 8));
  assembler.push(new Uint8Array(0));
  assert.equal(frames.length, 0);
  assembler.push(bytes.subarray(8));
  assert.deepEqual(frames, [Uint8Array.of(1, 2, 3, 4, 5)]);
});

test("frame assembler: a length that is negative, too small or above the cap is refused", () => {
  for (const size of [-1, -2_147_483_648, 0, 3, 101, 2_147_483_647]) {
    const { frames, assembler } = collector(100);
    const prefix = new Uint8Array(4);
    new DataView(prefix.buffer).setInt32(0, size);
    assembler.push(prefix.subarray(0, 3));
    assert.throws(() => assembler.push(prefix.subarray(3)), {
      name: "ProtocolError",
      message: new RegExp(`${size} bytes, wanted 4 to 100`),
    });
    assert.equal(frames.length, 0);
  }
  const { frames, assembler } = collector(100);
  assembler.push(framed(new Uint8Array(100)));
  assert.equal(frames.length, 1);
});

test("frame assembler: a huge length allocates nothing until bytes have come", () => {
  const assemblers = Array.from({ length: 200 }, () => collector(2_147_483_647).assembler);
  for (const assembler of assemblers) {
    assembler.push(Uint8Array.of(0x7f, 0xff, 0xff, 0xff));
    assembler.push(Uint8Array.of(1));
  }
});

test("frame assembler: TLS, HTTP and SSH in place of a length get a hint", () => {
  const hintOf = (bytes: Uint8Array): string => {
    try {
      collector().assembler.push(bytes);
    } catch (error) {
      return (error as Error).message;
    }
    return "";
  };
  assert.match(hintOf(Uint8Array.of(0x15, 0x03, 0x03, 0x00, 0x02)), /352518912 bytes.*TLS/);
  assert.match(hintOf(new TextEncoder().encode("HTTP/1.1 400")), /HTTP/);
  assert.match(hintOf(new TextEncoder().encode("SSH-2.0")), /SSH/);
  assert.doesNotMatch(hintOf(Uint8Array.of(0x7f, 0, 0, 0)), /looks like/);
});

test("frame assembler: a chunk whose slice is a view, as that of a Buffer is, may be used again for the next", () => {
  class View extends Uint8Array {
    override slice(start?: number, end?: number): Uint8Array<ArrayBuffer> {
      return this.subarray(start, end) as Uint8Array<ArrayBuffer>;
    }
  }
  const wanted = payloads(seededRandom(7));
  const { frames, assembler } = collector();
  const chunk = new View(250_000);
  for (const payload of wanted) {
    const bytes = framed(payload);
    chunk.set(bytes);
    assembler.push(chunk.subarray(0, bytes.length));
  }
  assert.equal(frames.length, wanted.length);
  for (const [index, frame] of frames.entries()) assert.ok(frame.every((byte, at) => byte === wanted[index]![at]));
});
