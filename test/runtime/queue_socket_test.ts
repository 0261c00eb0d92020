import assert from "node:assert/strict";
import { nodeSink } from "../../src/runtime/node_tls.ts";
import { QueueSocket, type SegmentSink } from "../../src/runtime/queue_socket.ts";
import { test } from "../harness.ts";
import { noise, sha256 } from "./peer.ts";

/** A sink that sends when it is told to. */
class ManualSink implements SegmentSink {
  readonly gathers: boolean;
  /** The sends, each with copies of its segments as they were when the send was done. */
  readonly sends: Uint8Array[][] = [];
  /** The segments of the send under way. */
  segments: readonly Uint8Array[] = [];
  shutdowns = 0;
  kills = 0;
  #done: (() => void) | undefined;

  constructor(gathers = true) {
    this.gathers = gathers;
  }

  get busy(): boolean {
    return this.#done !== undefined;
  }

  send(segments: readonly Uint8Array[], done: () => void): void {
    assert.equal(this.#done, undefined, "a second send began before the first was done");
    this.segments = segments;
    this.#done = done;
  }

  /** Ends the send under way; reads its bytes only now, as the system may. */
  finish(): void {
    this.sends.push(this.segments.map((segment) => segment.slice()));
    const done = this.#done!;
    this.#done = undefined;
    done();
  }

  shutdown(): void {
    this.shutdowns++;
  }

  kill(): void {
    this.kills++;
  }
}

function setUp(gathers?: boolean): { sink: ManualSink; socket: QueueSocket; closes: (Error | undefined)[] } {
  const sink = new ManualSink(gathers);
  const closes: (Error | undefined)[] = [];
  const socket = new QueueSocket(sink, { onData: () => {}, onClose: (error) => void closes.push(error) });
  return { sink, socket, closes };
}

test("queue socket: a write on an idle socket is sent at once and by reference", () => {
  const { sink, socket } = setUp();
  const part = noise(10, 1);
  assert.equal(socket.write(part), true);
  assert.equal(sink.segments[0], part);
  assert.equal(socket.bufferedBytes, 10);
  sink.finish();
  assert.equal(socket.bufferedBytes, 0);
});

test("queue socket: small writes during a send make up one segment of the next", async () => {
  const { sink, socket } = setUp();
  const parts = Array.from({ length: 100 }, (_, i) => noise(20 + i, i));
  for (const part of parts) socket.write(part);
  sink.finish();
  assert.equal(sink.segments.length, 1);
  sink.finish();
  assert.equal(sink.busy, false);
  assert.equal(sink.sends.length, 2);
  assert.equal(await sha256(sink.sends.flat()), await sha256(parts));
});

test("queue socket: big parts go by reference between staged ones", async () => {
  const { sink, socket } = setUp();
  const parts = [10, 32 << 10, 10, 10, (32 << 10) - 1].map((length, i) => noise(length, i));
  socket.write(parts);
  assert.deepEqual(sink.segments.map((segment) => segment.byteLength), [10, 32 << 10, 20 + (32 << 10) - 1]);
  assert.equal(sink.segments[1], parts[1]);
  sink.finish();
  assert.equal(await sha256(sink.sends.flat()), await sha256(parts));
});

test("queue socket: a sink that can't gather gets parts up to 64 KB staged", () => {
  const { sink, socket } = setUp(false);
  socket.write([10, (64 << 10) - 1, 64 << 10].map((length, i) => noise(length, i)));
  assert.deepEqual(sink.segments.map((segment) => segment.byteLength), [10 + (64 << 10) - 1, 64 << 10]);
});

test("queue socket: the staging buffer is not touched before its send is done", async () => {
  const { sink, socket } = setUp();
  const parts: Uint8Array[] = [];
  for (let round = 0; round < 50; round++) {
    for (let i = 0; i < 30; i++) parts.push(noise(1 + (i * 997 + round) % 20_000, round * 30 + i));
    for (const part of parts.slice(-30)) socket.write(part);
    if (round % 3 === 0) sink.finish();
  }
  while (sink.busy) sink.finish();
  assert.equal(await sha256(sink.sends.flat()), await sha256(parts));
  assert.ok(sink.sends.every((segments) => segments.every((segment) => segment.byteLength <= 256 << 10)));
});

test("queue socket: one send carries no more than its limits", () => {
  const { sink, socket } = setUp();
  socket.write(Array.from({ length: 400 }, (_, i) => noise(40_000, i)));
  while (sink.busy) {
    assert.ok(sink.segments.length <= 64);
    sink.finish();
  }
  assert.ok(sink.sends.length >= 15, `${sink.sends.length} sends`);
  assert.equal(socket.bufferedBytes, 0);
});

test("queue socket: write() is false above 1 MB, and drained() waits until it is less", async () => {
  const { sink, socket } = setUp();
  assert.equal(socket.write(noise(1 << 20, 1)), true);
  await socket.drained();
  assert.equal(socket.write(noise(1, 2)), false);
  assert.equal(socket.bufferedBytes, (1 << 20) + 1);
  let drained = 0;
  const waiting = [socket.drained(), socket.drained()].map((promise) => promise.then(() => drained++));
  await Promise.resolve();
  assert.equal(drained, 0);
  sink.finish();
  await Promise.all(waiting);
  assert.equal(drained, 2);
  assert.equal(socket.bufferedBytes, 1);
});

test("queue socket: a sink that is done at once is called in a loop, not in a recursion", () => {
  let bytes = 0;
  let depth = 0;
  const sink: SegmentSink = {
    gathers: false,
    send(segments, done) {
      assert.equal(depth++, 0);
      for (const segment of segments) bytes += segment.byteLength;
      done();
      depth--;
    },
    shutdown: () => {},
    kill: () => {},
  };
  const socket = new QueueSocket(sink, { onData: () => {}, onClose: () => {} });
  assert.equal(socket.write(Array.from({ length: 20_000 }, () => new Uint8Array(300))), true);
  assert.equal(bytes, 6_000_000);
  socket.destroy();
});

test("queue socket: close() shuts down once, after the last send", async () => {
  const { sink, socket, closes } = setUp();
  socket.write(noise(10, 1));
  socket.write(noise(10, 2));
  socket.close();
  assert.equal(socket.write(noise(10, 3)), true);
  sink.finish();
  assert.equal(sink.shutdowns, 0);
  sink.finish();
  socket.close();
  assert.deepEqual([sink.shutdowns, sink.kills, sink.sends.length], [1, 0, 2]);
  socket.ended();
  await Promise.resolve();
  assert.deepEqual(closes, [undefined]);
  assert.equal(sink.kills, 1);
});

test("queue socket: data after close() is dropped", () => {
  let received = 0;
  const socket = new QueueSocket(new ManualSink(), { onData: () => received++, onClose: () => {} });
  socket.received(noise(1, 1));
  socket.close();
  socket.received(noise(1, 1));
  socket.destroy();
  socket.received(noise(1, 1));
  assert.equal(received, 1);
});

test("queue socket: only the first end counts, and it wakes who waits for drained()", async () => {
  const { sink, socket, closes } = setUp();
  socket.write(noise(2 << 20, 1));
  const drained = socket.drained();
  const reason = new Error("reset");
  socket.ended(reason);
  socket.ended(new Error("again"));
  socket.destroy(new Error("and again"));
  assert.equal(closes.length, 0);
  await drained;
  assert.deepEqual(closes, [reason]);
  assert.deepEqual([sink.kills, socket.bufferedBytes], [1, 0]);
  sink.finish(); // late word from the system
  assert.equal(socket.write(noise(1, 1)), true);
  assert.equal(sink.busy, false);
});

test("queue socket: an abandoned socket is freed and raises no event", async () => {
  const { sink, socket, closes } = setUp();
  socket.abandon();
  socket.ended(new Error("late"));
  await Promise.resolve();
  assert.deepEqual([sink.kills, closes.length], [1, 0]);
});

test("queue socket: what a send has been begun with no longer counts as unsent, also after the end", () => {
  const { sink, socket } = setUp();
  socket.write(noise(10, 1));
  socket.write(noise(7, 2));
  assert.deepEqual([socket.bufferedBytes, socket.unsentBytes], [17, 7]);
  sink.finish();
  assert.deepEqual([socket.bufferedBytes, socket.unsentBytes], [7, 0]);
  socket.write(noise(5, 3));
  socket.destroy();
  assert.deepEqual([socket.bufferedBytes, socket.unsentBytes], [0, 5]);
});

test("queue socket: close ends after a while although the peer takes nothing", async () => {
  const sink = new ManualSink();
  const closed = new Promise<void>((resolve) => {
    const socket = new QueueSocket(sink, { onData: () => {}, onClose: () => resolve() });
    socket.write(noise(10, 1));
    socket.close();
  });
  await closed;
  assert.deepEqual([sink.kills, sink.shutdowns], [1, 0]);
});

test("node sink: a stream that is no socket may keep its bytes after it has called back", async () => {
  const kept: Uint8Array[] = [];
  const stream = {
    writableLength: 0,
    writable: true,
    write: (bytes: Uint8Array, done?: () => void): void => {
      kept.push(bytes);
      done?.();
    },
    cork() {},
    uncork() {},
  };
  const socket = new QueueSocket(nodeSink(stream as unknown as Parameters<typeof nodeSink>[0], false), {
    onData() {},
    onClose() {},
  });
  const frames = [1, 2, 3].map((seed) => noise(100, seed));
  const reused = new Uint8Array(100);
  for (const frame of frames) {
    reused.set(frame);
    socket.write([reused.subarray(0, 40), reused.subarray(40)]);
    reused.fill(0);
  }
  assert.equal(await sha256(kept), await sha256(frames));
});

test("node sink: bytes that the system has taken are done at once and once, others when the stream says so", () => {
  const callbacks: ((error?: Error) => void)[] = [];
  const stream = {
    writableLength: 0,
    writable: true,
    write: (_: Uint8Array, done?: (error?: Error) => void): unknown => done && callbacks.push(done),
    cork() {},
    uncork() {},
  };
  const sink = nodeSink(stream as unknown as Parameters<typeof nodeSink>[0], true);
  let done = 0;
  for (const parts of [1, 3]) {
    sink.send(Array.from({ length: parts }, () => noise(10, 1)), () => done++);
    assert.equal(done, 1, "taken at once");
    callbacks.pop()!();
    assert.equal(done, 1, "once");
    done = 0;
  }
  stream.writableLength = 10;
  sink.send([noise(10, 1)], () => done++);
  assert.equal(done, 0, "on its way");
  callbacks.pop()!();
  assert.equal(done, 1);
  [stream.writableLength, stream.writable] = [0, false];
  sink.send([noise(10, 1)], () => done++);
  callbacks.pop()!(new Error("broken pipe"));
  assert.equal(done, 1, "nothing has left");
});
