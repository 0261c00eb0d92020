import assert from "node:assert/strict";
import { assertBytes } from "../bytes.ts";
import type { CompressionType } from "../../src/codec/codec.ts";
import { crc32c } from "../../src/codec/crc32c.ts";
import { resolveCodec } from "../../src/codec/registry.ts";
import { CompressionError } from "../../src/errors.ts";
import golden from "../golden/codec-payloads.json" with { type: "json" };
import recordBatches from "../golden/record-batches.json" with { type: "json" };
import { test } from "../harness.ts";
import { firstDifference, fromHex } from "./corpus.ts";
import { canResolve, SOURCES } from "./sources.ts";

const RECORDS_AT = 61;

interface Payload {
  readonly codec: string;
  readonly how: string;
  readonly raw: string;
  readonly rawHex?: string;
  readonly hex: string;
  readonly broker: string;
}

const payloads: readonly Payload[] = golden.payloads;

test("codecs: every payload that Kafka accepts decompresses to its raw bytes", async () => {
  const accepted = payloads.filter((payload) => payload.broker === "accepted");
  assert.ok(accepted.length > 40);
  for (const { codec: name, how, raw, rawHex, hex } of accepted) {
    const expected = raw === "lines8000" ? lines(8000) : fromHex(rawHex ?? "");
    for (const codecs of SOURCES) {
      if (!canResolve(name as CompressionType, codecs)) continue;
      const codec = resolveCodec(name as CompressionType, { codecs });
      const output = await codec.decompress(fromHex(hex), expected.length);
      assert.equal(firstDifference(output, expected), -1, `${name}, ${how}, ${raw}, ${codecs}`);
    }
  }
});

test("codecs: lz4 frames with a wrong header or no end mark are refused as Kafka refuses them", async () => {
  const refused = payloads.filter((payload) => payload.broker !== "accepted");
  assert.ok(refused.length > 6);
  for (const { codec: name, how, rawHex, hex } of refused) {
    const codec = resolveCodec(name as CompressionType);
    const decompress = async () => await codec.decompress(fromHex(hex), 1000);
    // Kafka refuses linked blocks, we read them: other decoders' frames have them.
    if (how.startsWith("linked-block flag")) assertBytes(await decompress(), fromHex(rawHex!));
    else await assert.rejects(decompress, CompressionError, how);
  }
});

test("codecs: the records of the Java writer decompress, whatever their codec", async () => {
  const names = ["none", "gzip", "snappy", "lz4", "zstd"] as const;
  const plain = new Map<string, Uint8Array>();
  const seen = new Set<number>();
  for (const { name, hex } of recordBatches.batches) {
    const batch = fromHex(hex);
    const view = new DataView(batch.buffer);
    assert.equal(crc32c(batch, 21), view.getUint32(17), `crc of ${name}`);
    const id = view.getInt16(21) & 7;
    const list = name.split("/")[1]!;
    if (id === 0) {
      if (!plain.has(list)) plain.set(list, batch.subarray(RECORDS_AT));
      continue;
    }
    seen.add(id);
    for (const codecs of SOURCES) {
      if (!canResolve(names[id]!, codecs)) continue;
      const records = await resolveCodec(names[id]!, { codecs }).decompress(batch.subarray(RECORDS_AT), 100_000);
      assert.equal(firstDifference(records, plain.get(list)!), -1, `${name}, ${codecs}`);
    }
  }
  assert.deepEqual([...seen].sort(), [1, 2, 3, 4]);
});

function lines(count: number): Uint8Array {
  return new TextEncoder().encode(Array.from({ length: count }, (_, i) => `line ${i}\n`).join(""));
}
