/** kafkajs. Its codecs other than gzip come from elsewhere, here the fastest that there are for Node. */
import kafkajs from "kafkajs";

const { CompressionCodecs, CompressionTypes, Kafka, Partitioners, logLevel } = kafkajs;

const codecs = { none: "None", gzip: "GZIP", snappy: "Snappy", lz4: "LZ4", zstd: "ZSTD" };

export async function open({ brokers, topic, work }) {
  await loadCodec(work.codec);
  const kafka = new Kafka({ clientId: "bench", brokers: [brokers], logLevel: logLevel.NOTHING });
  const producer = kafka.producer({
    createPartitioner: Partitioners.DefaultPartitioner,
    idempotent: work.idempotent ?? false,
  });
  await producer.connect();
  const rest = { topic, acks: work.acks === "all" ? -1 : work.acks, compression: CompressionTypes[codecs[work.codec]] };
  return {
    send: (key, value, _, headers) => producer.send({ ...rest, messages: [{ key, value, headers }] }),
    record: (key, value, headers) => ({ key, value, headers }),
    sendBatch: (messages) => producer.send({ ...rest, messages }),
    close: () => producer.disconnect(),
  };
}

async function loadCodec(name) {
  if (name === "snappy") CompressionCodecs[CompressionTypes.Snappy] = (await import("kafkajs-snappy")).default;
  if (name === "lz4") {
    const { compressFrame } = await import("lz4-napi");
    CompressionCodecs[CompressionTypes.LZ4] = () => ({ compress: ({ buffer }) => compressFrame(buffer) });
  }
  if (name === "zstd") {
    const [{ promisify }, { default: zlib }] = await Promise.all([import("node:util"), import("node:zlib")]);
    const compress = promisify(zlib.zstdCompress);
    CompressionCodecs[CompressionTypes.ZSTD] = () => ({ compress: ({ buffer }) => compress(buffer) });
  }
}
