/** kafkajs. Its codecs other than gzip come from elsewhere, here the fastest that there are for Node. */
import kafkajs from "kafkajs";

const { CompressionCodecs, CompressionTypes, Kafka, Partitioners, logLevel } = kafkajs;

const codecs = { none: "None", gzip: "GZIP", snappy: "Snappy", lz4: "LZ4", zstd: "ZSTD" };

export async function open({ brokers, ca, topic, work }) {
  await loadCodec(work.codec);
  const kafka = new Kafka({
    clientId: "bench",
    brokers: [brokers],
    logLevel: logLevel.NOTHING,
    ...ca === undefined ? {} : { ssl: { ca: [ca] } },
  });
  const producer = kafka.producer({
    createPartitioner: Partitioners.DefaultPartitioner,
    idempotent: work.idempotent ?? false,
    ...work.transactional ? { transactionalId: topic, idempotent: true, maxInFlightRequests: 1 } : {},
  });
  await producer.connect();
  const rest = { topic, acks: work.acks === "all" ? -1 : work.acks, compression: CompressionTypes[codecs[work.codec]] };
  const inTransaction = async (messages) => {
    const transaction = await producer.transaction();
    await transaction.send({ ...rest, messages });
    await transaction.commit();
  };
  const sendAll = work.transactional ? inTransaction : (messages) => producer.send({ ...rest, messages });
  return {
    send: (key, value, _, headers) => sendAll([{ key, value, headers }]),
    record: (key, value, headers) => ({ key, value, headers }),
    sendBatch: sendAll,
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
