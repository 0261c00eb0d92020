import assert from "node:assert/strict";
import type { Compressor } from "../../src/codec/codec.ts";
import { nodeZlib, type Zlib, type ZlibStream } from "../../src/codec/zlib.ts";
import { zlibThreads } from "../../src/codec/zlib_threads.ts";
import { zstdFrames } from "../../src/codec/zstd_frame.ts";
import { builtinThreads } from "../../src/runtime/builtin.ts";
import { test } from "../harness.ts";
import { noise } from "./corpus.ts";

test("zlib threads: at most four contexts, used again, and not after a failure; on a runtime without threads none", async () => {
  const zlib = nodeZlib();
  if (zlib?.zstdCompressSync === undefined) return assert.equal(builtinThreads(), true); // Node 20, workerd
  const options = (size: number) => ({ pledgedSrcSize: size });
  let made = 0;
  let busy = 0;
  let mostBusy = 0;
  let failures = 0;
  const listeners = new Set<unknown>();
  const stream = (): ZlibStream => {
    made++;
    let output: Uint8Array | null = null;
    return {
      write(input, callback) {
        mostBusy = Math.max(mostBusy, ++busy);
        setTimeout(() => {
          busy--;
          output = zlib.zstdCompressSync!(input, options(input.length));
          callback(failures-- > 0 ? new Error("no luck") : null);
        });
      },
      read: () => [output, output = null][0]!,
      on: (_, listener) => void listeners.add(listener),
      removeListener: (_, listener) => void listeners.delete(listener),
      destroy: () => {},
    };
  };
  const faked = { ...zlib, constants: zlib.constants, createZstdCompress: stream } as Zlib;
  const atOnce: Compressor = {
    name: "zstd",
    id: 4,
    compress: (input) => zlib.zstdCompressSync!(input, options(input.length)),
  };
  const zstd = zlibThreads(faked, atOnce);
  for (const [size, level] of [[262_144, undefined], [4_096, 10]] as const) {
    const output = zstd.compress(noise(size, 1), level);
    assert.equal(output instanceof Uint8Array, !builtinThreads(), `${size} bytes, level ${level}`);
    await output;
  }
  // What a thread does is a promise: of what is large, and of less from the level on at which each byte takes long.
  for (const [size, level] of [[262_143, undefined], [262_143, 9], [4_095, 10]] as const) {
    assert.ok(zstd.compress(noise(size, 1), level) instanceof Uint8Array, `${size} bytes, level ${level}`);
  }
  const input = noise(300_000, 1);
  const compressed = async (): Promise<number> => zstdFrames(await zstd.compress(input))[0]!.sizeBound;
  assert.deepEqual(await Promise.all(Array.from({ length: 12 }, compressed)), new Array(12).fill(300_000));
  assert.deepEqual([made, mostBusy], builtinThreads() ? [4, 4] : [0, 0]);
  if (!builtinThreads()) return;
  failures = 2;
  const outcomes = await Promise.allSettled(Array.from({ length: 12 }, compressed));
  assert.equal(outcomes.filter(({ status }) => status === "rejected").length, 2);
  assert.equal(made, 6, "those that failed are replaced");
  assert.equal(listeners.size, 0, "nobody listens to a stream that has done its work");
});
