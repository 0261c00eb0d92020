/** kafka-ts: values are strings, acks are always all, producers always idempotent, batches never compressed. */
import { createKafkaClient, setLogger } from "kafka-ts";

const silent = () => {};

export function open({ brokers, ca, topic }) {
  setLogger({ debug: silent, info: silent, warn: silent, error: silent });
  const [host, port] = brokers.split(":");
  const client = createKafkaClient({
    clientId: "bench",
    bootstrapServers: [{ host, port: Number(port) }],
    ...ca === undefined ? {} : { ssl: { ca } },
  });
  const producer = client.createProducer({});
  const record = (key, value) => ({ topic, key, value });
  return {
    send: (key, value) => producer.send([record(key, value)]),
    record,
    sendBatch: (messages) => producer.send(messages),
    close: () => producer.close(),
  };
}
