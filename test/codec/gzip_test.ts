import assert from "node:assert/strict";
import { gunzipSync } from "fflate";
import { resolveCodec } from "../../src/codec/registry.ts";
import { CompressionError } from "../../src/errors.ts";
import { test } from "../harness.ts";
import { firstDifference, json, KINDS, SIZES } from "./corpus.ts";
import { SOURCES } from "./sources.ts";

test("gzip: fflate and the runtime's DecompressionStream read every member back", async () => {
  for (const codecs of SOURCES) {
    const codec = resolveCodec("gzip", { codecs });
    for (const size of SIZES) {
      for (const [kind, make] of Object.entries(KINDS)) {
        const input = make(size);
        const member = await codec.compress(input);
        assert.equal(firstDifference(gunzipSync(member), input), -1, `${codecs} ${kind} ${size} by fflate`);
        if (kind !== "mixed") continue;
        assert.equal(firstDifference(await decompressionStream(member), input), -1, `${codecs} ${kind} ${size}`);
      }
    }
  }
});

test("gzip: the same input gives the same bytes, without a time stamp", async () => {
  for (const codecs of SOURCES) {
    const member = await resolveCodec("gzip", { codecs }).compress(json(1000));
    assert.deepEqual([...member.subarray(0, 8)], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0], codecs);
  }
});

test("gzip: members one after the other are read as one", async () => {
  const input = json(50_000);
  for (const codecs of SOURCES) {
    const codec = resolveCodec("gzip", { codecs });
    const parts = [
      input.subarray(0, 100),
      input.subarray(100, 100),
      input.subarray(100, 30_000),
      input.subarray(30_000),
    ];
    const members = await Promise.all(parts.map((part) => codec.compress(part)));
    const joined = Uint8Array.from(members.flatMap((member) => [...member]));
    assert.equal(firstDifference(await codec.decompress(joined, 50_000), input), -1, codecs);
    await assert.rejects(async () => await codec.decompress(joined, 49_999), CompressionError, codecs);
  }
});

test("gzip: a cut member, a wrong trailer, a zlib stream and nothing at all are refused", async () => {
  for (const codecs of SOURCES) {
    const codec = resolveCodec("gzip", { codecs });
    const whole = await codec.compress(json(5000));
    const wrongCrc = whole.slice();
    wrongCrc[whole.length - 8]! ^= 1;
    const wrongSize = whole.slice();
    wrongSize[whole.length - 4]! ^= 1;
    const cuts = [0, 1, 5, 10, 12, 100, whole.length - 9, whole.length - 8, whole.length - 4, whole.length - 1];
    const bad = [
      wrongCrc,
      wrongSize,
      Uint8Array.of(0x78, 0x9c, 3, 0, 0, 0, 0, 1),
      ...cuts.map((at) => whole.slice(0, at)),
    ];
    for (const [i, input] of bad.entries()) {
      await assert.rejects(async () => await codec.decompress(input, 5000), CompressionError, `${codecs} ${i}`);
    }
  }
});

test("gzip: a bomb is refused when it is over the limit", async () => {
  const bomb = await resolveCodec("gzip", { level: 9 }).compress(new Uint8Array(64 << 20));
  assert.ok(bomb.length < 100_000);
  for (const codecs of SOURCES) {
    const decompress = async () => await resolveCodec("gzip", { codecs }).decompress(bomb, 1_000_000);
    await assert.rejects(decompress, (error: CompressionError) => {
      // It must be the decompressor that gives up, not the check of what it has made.
      return codecs === "auto" ? error.cause !== undefined : /gives more than 1000000 bytes/.test(error.message);
    }, codecs);
  }
});

async function decompressionStream(member: Uint8Array): Promise<Uint8Array> {
  const stream = new DecompressionStream("gzip");
  const writer = stream.writable.getWriter();
  const written = writer.write(member as Uint8Array<ArrayBuffer>).then(() => writer.close());
  const bytes = new Uint8Array(await new Response(stream.readable).arrayBuffer());
  await written;
  return bytes;
}
