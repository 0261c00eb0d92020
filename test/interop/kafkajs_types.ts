/**
 * What a program that is written for KafkaJS names, with the import changed: it compiles, or this file doesn't.
 *
 * @module
 */

import * as kafkajs from "kafkajs";
import * as compat from "../../src/compat/kafkajs/mod.ts";

/** Ours where KafkaJS's are asked for. */
export function given(
  kafka: compat.Kafka,
  producer: compat.Producer,
  transaction: compat.Transaction,
  metadata: compat.RecordMetadata,
  logger: compat.Logger,
): unknown[] {
  const theirProducer: kafkajs.Producer = producer;
  const theirTransaction: kafkajs.Transaction = transaction;
  const theirMetadata: kafkajs.RecordMetadata = metadata;
  const theirLogger: kafkajs.Logger = logger;
  const theirRecord: kafkajs.ProducerRecord = {
    topic: "orders",
    messages: [{ value: "a" }],
    compression: compat.CompressionTypes.GZIP,
  };
  const theirPartitioner: kafkajs.ICustomPartitioner = kafkajs.Partitioners.LegacyPartitioner;
  return [kafka, theirProducer, theirTransaction, theirMetadata, theirLogger, theirRecord, theirPartitioner];
}

/** KafkaJS's where ours are asked for. */
export function taken(
  messages: kafkajs.Message[],
  batch: kafkajs.TopicMessages[],
  retry: kafkajs.RetryOptions,
  sasl: kafkajs.SASLOptions,
  mechanism: kafkajs.Mechanism,
  brokers: kafkajs.BrokersFunction,
): unknown[] {
  const record: compat.ProducerRecord = { topic: "orders", messages };
  const ours: compat.ProducerBatch = { topicMessages: batch };
  const config: compat.KafkaConfig = { brokers, retry, sasl };
  const own: compat.KafkaConfig = { brokers: ["a:1"], sasl: mechanism, ssl: { rejectUnauthorized: false } };
  const createPartitioner: compat.ICustomPartitioner = () => ({ topic, partitionMetadata, message }) => {
    const { partitionId, leader, isr }: kafkajs.PartitionMetadata = partitionMetadata[0]!;
    return topic === "orders" && message.key !== null && leader >= 0 && isr.length > 0 ? partitionId : 0;
  };
  return [record, ours, config, own, createPartitioner];
}

/** Consumers and admin clients of the KafkaJS that is passed have its own types. */
export async function delegated(): Promise<unknown[]> {
  const kafka = new compat.Kafka({ brokers: ["a:1"], kafkajs });
  const consumer: kafkajs.Consumer = kafka.consumer({ groupId: "g" });
  const admin: kafkajs.Admin = kafka.admin();
  const handler: compat.EachMessageHandler = async (
    { topic, partition, message, heartbeat }: compat.EachMessagePayload,
  ) => {
    console.log(
      topic,
      partition,
      message.key?.toString(),
      message.value?.toString("utf8"),
      message.headers,
      message.offset,
    );
    await heartbeat();
  };
  await consumer.run({ eachMessage: handler });
  const plain: compat.Consumer = new compat.Kafka({ brokers: ["a:1"] }).consumer({
    groupId: "g",
    sessionTimeout: 6_000,
  });
  const named: compat.Kafka<typeof kafkajs> = kafka;
  return [consumer, admin, plain, named];
}

/** A program as KafkaJS's documentation has it. */
export async function program(): Promise<void> {
  const kafka: compat.Kafka = new compat.Kafka({
    clientId: "my-app",
    brokers: ["kafka1:9092", "kafka2:9092"],
    ssl: true,
    sasl: { mechanism: "scram-sha-256", username: "my-username", password: "my-password" },
    connectionTimeout: 3_000,
    retry: { initialRetryTime: 100, retries: 8 },
    logLevel: compat.logLevel.INFO,
    logCreator: (level: compat.logLevel) => ({ namespace, label, log }: compat.LogEntry) => {
      const { message, ...extra } = log;
      console.log(level, namespace, label, message, extra);
    },
  });
  const config: compat.ProducerConfig = {
    createPartitioner: compat.Partitioners.LegacyPartitioner,
    allowAutoTopicCreation: false,
    transactionTimeout: 30_000,
    idempotent: true,
    maxInFlightRequests: 1,
    transactionalId: "my-transactional-producer",
  };
  const producer: compat.Producer = kafka.producer(config);
  const remove = producer.on(producer.events.CONNECT, ({ timestamp }: compat.ConnectEvent) => console.log(timestamp));
  producer.on("producer.network.request", (event: compat.RequestEvent) => console.log(event.payload.duration));
  await producer.connect();
  remove();
  const sent: compat.RecordMetadata[] = await producer.send({
    topic: "topic-name",
    acks: -1,
    timeout: 30_000,
    compression: compat.CompressionTypes.GZIP,
    messages: [{
      key: "key1",
      value: JSON.stringify({ hello: "world" }),
      headers: { "correlation-id": "2bfb68bb", list: ["a", new Uint8Array([1])] },
      timestamp: `${Date.now()}`,
      partition: 0,
    }],
  });
  console.log(sent.map(({ baseOffset, partition }) => `${partition}:${baseOffset}`));
  const transaction: compat.Transaction = await producer.transaction();
  try {
    await transaction.send({ topic: "topic-name", messages: [{ value: null }] });
    await transaction.sendOffsets({
      consumerGroupId: "g",
      topics: [{ topic: "in", partitions: [{ partition: 0, offset: "1" }] }],
    });
    await transaction.commit();
  } catch (error) {
    if (error instanceof compat.KafkaJSProtocolError) console.log(error.type, error.code, error.retriable);
    if (error instanceof compat.KafkaJSNumberOfRetriesExceeded) console.log(error.retryCount, error.cause?.message);
    if (transaction.isActive()) await transaction.abort();
  }
  await producer.disconnect();
}
