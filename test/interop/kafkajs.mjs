/**
 * The side of kafkajs in the interop tests: kafkajs.mjs produce | read | offsets <plan.json>.
 *
 * What it finds goes to standard output, one JSON value a line, in the form that Interop.java prints. kafkajs hands
 * headers over as an object, so the order of different names is lost.
 */
import { readFileSync } from "node:fs";
import { once } from "node:events";
import { compress as zstdCompress, init as zstdInit } from "@bokuweb/zstd-wasm";
import { decompress as zstdDecompress } from "fzstd";
import kafkajs from "kafkajs";
import lz4 from "lz4js";
import snappy from "kafkajs-snappy";

const { CompressionCodecs, CompressionTypes, Kafka, Partitioners, logLevel } = kafkajs;
// kafkajs prints a warning about the partitioner otherwise; it is Java's here.
const createPartitioner = Partitioners.DefaultPartitioner;

CompressionCodecs[CompressionTypes.Snappy] = snappy;
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  // The encoder of lz4js links blocks, which the Java decoder refuses; its decoder is sound.
  compress: (encoder) => Promise.resolve(storedLz4Frame(encoder.buffer)),
  decompress: (buffer) => Promise.resolve(Buffer.from(lz4.decompress(buffer))),
});
let zstdReady;
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => {
    await (zstdReady ??= zstdInit());
    return Buffer.from(zstdCompress(encoder.buffer, 3));
  },
  decompress: (buffer) => Promise.resolve(Buffer.from(zstdDecompress(buffer))),
});

const codecTypes = { none: "None", gzip: "GZIP", snappy: "Snappy", lz4: "LZ4", zstd: "ZSTD" };

/** Produces the records to each topic; kafkajs doesn't say where each of them went. */
async function produce(kafka, plan) {
  const messages = plan.records.map(({ key, value, headers, partition, timestamp }) => ({
    key: decode(key),
    value: decode(value),
    headers: headersObject(headers),
    timestamp: String(timestamp),
    ...(partition === null ? {} : { partition }),
  }));
  for (const { topic, codec, acks } of plan.topics) {
    const producer = kafka.producer({ createPartitioner, idempotent: acks === "all" });
    await producer.connect();
    const compression = CompressionTypes[codecTypes[codec]];
    await producer.send({ topic, messages, acks: acks === "all" ? -1 : acks, compression });
    await producer.disconnect();
    await print({ topic });
  }
}

/** Prints each record of each topic once all have been seen or time is up. */
async function read(kafka, plan) {
  const consumer = kafka.consumer({ groupId: `kafkajs-${process.pid}`, maxWaitTimeInMs: 50 });
  await consumer.connect();
  await consumer.subscribe({ topics: plan.topics.map(({ topic }) => topic), fromBeginning: true });
  const missing = new Map(plan.topics.map(({ topic, count }) => [topic, count]));
  let failure;
  await /** @type {Promise<void>} */ (new Promise((done) => {
    const deadline = setTimeout(done, plan.withinMs);
    consumer.on(consumer.events.CRASH, ({ payload }) => {
      if (payload.restart) return; // a coordinator that still loads, say
      failure = payload.error;
      done();
    });
    const eachBatch = async ({ batch: { topic, partition, messages } }) => {
      for (const { offset, timestamp, key, value, headers } of messages) {
        await print({
          topic,
          partition,
          offset: Number(offset),
          timestamp: Number(timestamp),
          key: encode(key),
          value: encode(value),
          headers: headersList(headers),
        });
      }
      const left = (missing.get(topic) ?? 0) - messages.length;
      if (left > 0) missing.set(topic, left);
      else missing.delete(topic);
      if (missing.size > 0) return;
      // One more look when all is there: a record too many is a failure as well.
      clearTimeout(deadline);
      setTimeout(done, 300);
    };
    consumer.run({ autoCommit: false, partitionsConsumedConcurrently: 3, eachBatch }).catch((error) => {
      failure = error;
      done();
    });
  }));
  await consumer.disconnect();
  if (failure !== undefined) throw failure;
}

/** Prints { topic, partition, low, high } of each partition: what a broker without consumer groups can be asked. */
async function offsets(kafka, plan) {
  const admin = kafka.admin();
  await admin.connect();
  for (const { topic } of plan.topics) {
    for (const { partition, low, high } of await admin.fetchTopicOffsets(topic)) {
      await print({ topic, partition, low: Number(low), high: Number(high) });
    }
  }
  await admin.disconnect();
}

/** An LZ4 frame whose one block (4 MB at most) is stored as it is. */
function storedLz4Frame(bytes) {
  const frame = Buffer.alloc(7 + 4 + bytes.length + 4);
  frame.set([0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, 0x73]);
  frame.writeUInt32LE((bytes.length | 0x80000000) >>> 0, 7);
  frame.set(bytes, 11);
  return frame;
}

function headersObject(pairs) {
  const object = {};
  for (const [name, value] of pairs) (object[name] ??= []).push(decode(value));
  return object;
}

function headersList(object) {
  return Object.entries(object ?? {}).flatMap(([name, values]) =>
    (Array.isArray(values) ? values : [values]).map((value) => [name, encode(value)])
  );
}

function encode(bytes) {
  return Buffer.isBuffer(bytes) ? bytes.toString("base64") : bytes === null ? null : `not bytes: ${bytes}`;
}

function decode(base64) {
  return base64 === null ? null : Buffer.from(base64, "base64");
}

async function print(value) {
  if (!process.stdout.write(JSON.stringify(value) + "\n")) {
    await once(process.stdout, "drain");
  }
}

const [, , command, planFile] = process.argv;
const plan = JSON.parse(readFileSync(planFile, "utf8"));
const kafka = new Kafka({ clientId: "interop", brokers: plan.brokers.split(","), logLevel: logLevel.NOTHING });
await { produce, read, offsets }[command](kafka, plan);
process.exit(process.exitCode ?? 0);
