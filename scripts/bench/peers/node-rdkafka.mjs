/** node-rdkafka: one call for a record, and a report for each. */
import { once } from "node:events";
import rdkafka from "node-rdkafka";

const QUEUE_FULL = -184;

export async function open({ brokers, topic, work }) {
  const producer = new rdkafka.Producer({
    "client.id": "bench",
    "metadata.broker.list": brokers,
    "compression.codec": work.codec,
    "request.required.acks": work.acks === "all" ? -1 : work.acks,
    "enable.idempotence": work.idempotent ?? false,
    "dr_cb": true,
    ...work.linger === undefined ? {} : { "linger.ms": work.linger },
  });
  producer.connect();
  await once(producer, "ready");
  producer.setPollInterval(1);
  const waiting = [];
  producer.on("delivery-report", (error, { opaque }) => {
    opaque?.(error);
    while (waiting.length > 0) waiting.pop()();
  });
  const produce = (key, value, onDelivery) => {
    try {
      producer.produce(topic, null, value, key, undefined, onDelivery);
      return true;
    } catch (error) {
      if (error.code !== QUEUE_FULL) throw error;
      return false;
    }
  };
  const ready = () => new Promise((resolve) => waiting.push(resolve));
  const send = (key, value) =>
    new Promise((resolve, reject) => {
      const onDelivery = (error) => error ? reject(error) : resolve();
      if (produce(key, value, onDelivery)) return;
      // Its queue is full; whoever doesn't wait gets refused.
      reject(new Error("queue full"));
    });
  return {
    send,
    record: (key, value) => ({ key, value }),
    // It has no call for several.
    sendBatch: (records) => Promise.all(records.map(({ key, value }) => send(key, value))),
    produce,
    ready,
    flush: () => new Promise((resolve, reject) => producer.flush(60_000, (error) => error ? reject(error) : resolve())),
    close: () => new Promise((resolve) => producer.disconnect(5_000, resolve)),
  };
}
