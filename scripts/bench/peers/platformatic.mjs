/** @platformatic/kafka. Without promises, records go through its own stream, which gathers them. */
import { once } from "node:events";
import { Producer, stringSerializers } from "@platformatic/kafka";

const batchSize = 1_000;

export function open({ brokers, ca, topic, work }) {
  const producer = new Producer({
    clientId: "bench",
    bootstrapBrokers: [brokers],
    ...ca === undefined ? {} : { tls: { ca } },
    ...work.idempotent ? { idempotent: true } : {},
    ...work.transactional ? { idempotent: true, transactionalId: topic } : {},
    ...work.text ? { serializers: stringSerializers } : {},
  });
  const rest = { acks: work.acks === "all" ? -1 : work.acks, compression: work.codec };
  let stream;
  if (work.kind === "produce") stream = producer.asStream({ ...rest, batchSize, highWaterMark: 10 * batchSize });
  const record = (key, value, headers) => {
    if (headers !== undefined) return { topic, key, value, headers };
    return key === null ? { topic, value } : { topic, key, value };
  };
  const inTransaction = async (messages) => {
    const transaction = await producer.beginTransaction();
    await transaction.send({ ...rest, messages });
    await transaction.commit();
  };
  const sendAll = work.transactional ? inTransaction : (messages) => producer.send({ ...rest, messages });
  return {
    send: (key, value, _, headers) => sendAll([record(key, value, headers)]),
    record,
    sendBatch: sendAll,
    produce(key, value) {
      if (stream.writableNeedDrain) return false;
      stream.write(record(key, value));
      return true;
    },
    ready: () => once(stream, "drain"),
    flush: () => stream.close(),
    close: () => producer.close(),
  };
}
