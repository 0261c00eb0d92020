/** @kafkats/client, with the native codecs and the native CRC that it looks for; zstd is Node's own. */
import { Buffer } from "node:buffer";
import { compressionCodecs, CompressionType, createZstdCodec, KafkaClient, noopLogger } from "@kafkats/client";

const acks = { all: "all", 0: "none", 1: "leader" };

export async function open({ brokers, topic, work }) {
  if (work.codec === "zstd") {
    const [{ promisify }, { default: zlib }] = await Promise.all([import("node:util"), import("node:zlib")]);
    const [compress, decompress] = [zlib.zstdCompress, zlib.zstdDecompress].map((each) => promisify(each));
    const codec = createZstdCodec({ compress: (bytes) => compress(bytes), decompress: (bytes) => decompress(bytes) });
    compressionCodecs.register(CompressionType.Zstd, codec);
  }
  const client = new KafkaClient({ clientId: "bench", brokers: [brokers], logger: noopLogger });
  await client.connect();
  const producer = client.producer({
    acks: acks[work.acks],
    ...work.linger === undefined ? {} : { lingerMs: work.linger },
    compression: work.codec,
    idempotent: work.idempotent ?? false,
  });
  // Of text it takes keys and headers, and values as bytes only.
  const bytesOf = work.text ? (value) => Buffer.from(value) : (value) => value;
  return {
    send: (key, value, _, headers) => producer.send(topic, { key, value: bytesOf(value), headers }),
    record: (key, value, headers) => ({ key, value: bytesOf(value), headers }),
    sendBatch: (messages) => producer.send(topic, messages),
    close: () => producer.disconnect(),
  };
}
