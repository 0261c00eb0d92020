/** @confluentinc/kafka-javascript, through the interface that it recommends. */
import confluent from "@confluentinc/kafka-javascript";

const { Kafka, logLevel } = confluent.KafkaJS;

export async function open({ brokers, topic, work }) {
  const kafka = new Kafka({ kafkaJS: { clientId: "bench", brokers: [brokers], logLevel: logLevel.NOTHING } });
  const producer = kafka.producer({
    ...work.linger === undefined ? {} : { "linger.ms": work.linger },
    kafkaJS: {
      acks: work.acks === "all" ? -1 : work.acks,
      ...work.codec === "none" ? {} : { compression: work.codec },
      idempotent: work.idempotent ?? false,
    },
  });
  await producer.connect();
  return {
    send: (key, value) => producer.send({ topic, messages: [{ key, value }] }),
    record: (key, value) => ({ key, value }),
    sendBatch: (messages) => producer.send({ topic, messages }),
    close: () => producer.disconnect(),
  };
}
