/** @kafkats/client, with the native codecs and the native CRC that it looks for; zstd is Node's own. */
import { Buffer } from "node:buffer";
import { compressionCodecs, CompressionType, createZstdCodec, KafkaClient, noopLogger } from "@kafkats/client";

const acks = { all: "all", 0: "none", 1: "leader" };

export async function open({ brokers, ca, topic, work }) {
  if (work.codec === "zstd") {
    const [{ promisify }, { default: zlib }] = await Promise.all([import("node:util"), import("node:zlib")]);
    const [compress, decompress] = [zlib.zstdCompress, zlib.zstdDecompress].map((each) => promisify(each));
    const codec = createZstdCodec({ compress: (bytes) => compress(bytes), decompress: (bytes) => decompress(bytes) });
    compressionCodecs.register(CompressionType.Zstd, codec);
  }
  const client = new KafkaClient({
    clientId: "bench",
    brokers: [brokers],
    logger: noopLogger,
    ...ca === undefined ? {} : { tls: { enabled: true, ca } },
  });
  await client.connect();
  const producer = client.producer({
    acks: acks[work.acks],
    ...work.linger === undefined ? {} : { lingerMs: work.linger },
    compression: work.codec,
    idempotent: work.idempotent ?? false,
    ...work.transactional ? { transactionalId: topic, idempotent: true } : {},
  });
  // Of text it takes keys and headers, and values as bytes only.
  const bytesOf = work.text ? (value) => Buffer.from(value) : (value) => value;
  const sendAll = work.transactional
    ? (messages) => producer.transaction((tx) => tx.send(topic, messages))
    : (messages) => producer.send(topic, messages);
  const record = (key, value, headers) => ({ key, value: bytesOf(value), headers });
  return {
    send: (key, value, _, headers) => sendAll(record(key, value, headers)),
    record,
    sendBatch: sendAll,
    close: () => producer.disconnect(),
  };
}
