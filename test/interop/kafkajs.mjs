/**
 * The side of kafkajs in the interop tests: kafkajs.mjs produce | read | transact <plan.json>.
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
  const newOf = onceEach();
  let failure;
  await /** @type {Promise<void>} */ (new Promise((done) => {
    const deadline = setTimeout(done, plan.withinMs);
    consumer.on(consumer.events.CRASH, ({ payload }) => {
      if (payload.restart) return; // a coordinator that still loads, say
      failure = payload.error;
      done();
    });
    const eachBatch = async ({ batch }) => {
      const { topic, partition } = batch;
      const messages = newOf(batch);
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

/**
 * Writes three transactions to a topic, the second of which it aborts, reads what was committed as a member of a group,
 * copies it in one more transaction with the group's offsets, and then takes over its own id.
 */
async function transact(kafka, plan) {
  const { count, group, id: transactionalId, input, output } = plan;
  const options = { createPartitioner, transactionalId, idempotent: true, maxInFlightRequests: 1 };
  const producer = kafka.producer(options);
  await producer.connect();
  for (const name of ["first", "aborted", "second"]) {
    const transaction = await producer.transaction();
    const messages = Array.from({ length: count }, (_, i) => ({ key: `${i}`, value: `${name} ${i}` }));
    await transaction.send({ topic: input, messages });
    await (name === "aborted" ? transaction.abort() : transaction.commit());
  }
  const read = await readCommitted(kafka, group, input, 2 * count);
  const transaction = await producer.transaction();
  await transaction.send({ topic: output, messages: read.messages });
  const topics = [{ topic: input, partitions: read.offsets }];
  await transaction.sendOffsets({ consumerGroupId: group, topics });
  await transaction.commit();

  const zombie = await producer.transaction();
  await zombie.send({ topic: output, messages: [{ key: "zombie", value: "zombie" }] });
  const second = kafka.producer(options);
  await second.connect();
  const other = await second.transaction();
  const told = await zombie.commit().then(
    () => "not fenced",
    (error) => error.type === "INVALID_PRODUCER_EPOCH" || error.type === "PRODUCER_FENCED" ? "fenced" : error.message,
  );
  await other.abort();
  const copies = await readCommitted(kafka, `${group}-copies`, output, 2 * count);
  const valuesOf = ({ messages }) => messages.map(({ value }) => value.toString());
  await print({ read: valuesOf(read), copied: valuesOf(copies), zombie: told });
  await Promise.all([producer.disconnect(), second.disconnect()]);
}

/** Reads so many messages as a member of a group, and where the group would go on. */
async function readCommitted(kafka, groupId, topic, count) {
  const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 50 });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  const messages = [];
  const newOf = onceEach();
  const offsets = new Map();
  await new Promise((done, failed) => {
    const deadline = setTimeout(done, 60_000);
    const eachBatch = ({ batch }) => {
      for (const { key, value } of newOf(batch)) messages.push({ key, value });
      offsets.set(batch.partition, { partition: batch.partition, offset: String(BigInt(batch.lastOffset()) + 1n) });
      if (messages.length < count) return Promise.resolve();
      clearTimeout(deadline);
      // One more look when all is there: a record too many is a failure as well.
      setTimeout(done, 300);
      return Promise.resolve();
    };
    consumer.run({ autoCommit: false, eachBatch }).catch(failed);
  });
  await consumer.disconnect();
  return { messages, offsets: [...offsets.values()] };
}

/** The messages of a batch that weren't read yet: a member that has had to join again starts where the group has. */
function onceEach() {
  const positions = new Map();
  return ({ topic, partition, messages }) => {
    const place = `${topic} ${partition}`;
    const from = positions.get(place) ?? -1n;
    const unread = messages.filter(({ offset }) => BigInt(offset) > from);
    if (unread.length > 0) positions.set(place, BigInt(unread.at(-1).offset));
    return unread;
  };
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
const kafka = new Kafka({
  ...{ clientId: "interop", brokers: plan.brokers.split(","), logLevel: logLevel.NOTHING },
  // Its second is too little for a machine on which two more clients start.
  connectionTimeout: 20_000,
});
await { produce, read, transact }[command](kafka, plan);
process.exit(process.exitCode ?? 0);
