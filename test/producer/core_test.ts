import assert from "node:assert/strict";
import { Producer as CoreProducer, validateConfig } from "../../core.ts";
import { Producer } from "../../mod.ts";
import type { Codec, CompressionType } from "../../src/codec/codec.ts";
import { gzip, lz4, snappy, zstd } from "../../src/codec/mod.ts";
import { ConfigError } from "../../src/errors.ts";
import { EmbeddedCluster } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";
import { canResolve } from "../codec/sources.ts";

const brokers = "localhost:9092";

function refusal(compression: unknown, more: object = {}): ConfigError {
  try {
    validateConfig({ brokers, compression, ...more } as never);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error;
  }
  throw new Error("it was taken");
}

test("core: it delivers with every codec that is passed as a value, also for single topics", async (t) => {
  const values: Partial<Record<CompressionType, () => Codec>> = {
    gzip,
    lz4,
    snappy,
    ...canResolve("zstd", "auto") && { zstd },
  };
  const cluster = new EmbeddedCluster({
    topics: { plain: 1, ...Object.fromEntries(Object.keys(values).map((k) => [k, 1])) },
  });
  const topics = Object.fromEntries(Object.entries(values).map(([name, make]) => [name, make()]));
  const producer = new CoreProducer({ brokers: cluster.bootstrap, connect: cluster.sockets, compression: { topics } });
  t.after(() => producer.close());
  const value = "to be or not to be ".repeat(500);
  for (const topic of [...Object.keys(values), "plain"]) {
    await producer.send({ topic, value });
    const [record] = await cluster.records(topic);
    assert.equal(new TextDecoder().decode(record!.value!), value, topic);
  }
  const ratio = producer.metrics()["compression-rate-avg"];
  assert.ok(ratio === undefined || ratio < 1, String(ratio));
});

test("core: the name of a codec is refused with the import that brings it, unless an own codec has it", () => {
  for (const name of ["gzip", "snappy", "lz4", "zstd"] as const) {
    const error = refusal(name);
    assert.equal(error.option, "compression");
    assert.ok(error.message.includes(`import { ${name} } from "@sluice/kafka/codecs"`), error.message);
  }
  validateConfig({ brokers, compression: "none" });
  validateConfig({ brokers, compression: "lz4", codecs: { lz4: lz4() } });
  validateConfig({ brokers, compression: lz4() });
  assert.match(refusal("brotli").message, /wanted one of "none"/);
});

test("core: what is no codec is refused in place of one, and so is a level that a codec doesn't have", () => {
  const real = lz4();
  const fakes: unknown[] = [
    { compress() {} },
    { name: "lz4", id: 3, compress: (input: Uint8Array) => input },
    { name: "lz4", id: 4, compress: (input: Uint8Array) => input, decompress: (input: Uint8Array) => input },
    { name: "lzma", id: 3, compress: real.compress, decompress: real.decompress },
    lz4,
    null,
    7,
  ];
  for (const fake of fakes) assert.equal(refusal(fake).option, "compression");
  for (const level of [0, 10, 1.5, "6"]) assert.throws(() => gzip({ level: level as number }), ConfigError);
  assert.throws(() => zstd({ level: 23 }), ConfigError);
});

test("core: the producer that knows names is one of the core as well, and takes values too", async () => {
  const producer = new Producer({ brokers, compression: lz4() });
  assert.ok(producer instanceof CoreProducer);
  await producer.close();
  assert.equal(Producer.name, "Producer");
});
