/** @confluentinc/kafka-javascript, through the interface that it recommends. */
import confluent from "@confluentinc/kafka-javascript";

const { Kafka, logLevel } = confluent.KafkaJS;

export async function open({ brokers, ca, topic, work }) {
  const kafka = new Kafka({
    ...ca === undefined ? {} : { "ssl.ca.pem": ca },
    kafkaJS: { clientId: "bench", brokers: [brokers], logLevel: logLevel.NOTHING, ssl: ca !== undefined },
  });
  const producer = kafka.producer({
    ...work.linger === undefined ? {} : { "linger.ms": work.linger },
    kafkaJS: {
      acks: work.acks === "all" ? -1 : work.acks,
      ...work.codec === "none" ? {} : { compression: work.codec },
      idempotent: work.idempotent ?? false,
      ...work.transactional ? { transactionalId: topic, idempotent: true } : {},
    },
  });
  await producer.connect();
  const inTransaction = async (messages) => {
    const transaction = await producer.transaction();
    await transaction.send({ topic, messages });
    await transaction.commit();
  };
  const sendAll = work.transactional ? inTransaction : (messages) => producer.send({ topic, messages });
  return {
    send: (key, value) => sendAll([{ key, value }]),
    record: (key, value) => ({ key, value }),
    sendBatch: sendAll,
    close: () => producer.disconnect(),
  };
}
