/**
 * A burst of keyed records from Node 22 or later, compressed, with the outcome of each.
 *
 *     npm run build
 *     node dist/esm/bin.js broker --topic readings:4 &
 *     node examples/node.ts
 */

import process from "node:process";
import { KafkaError, Producer } from "@sluice/kafka";

const producer = new Producer({
  brokers: process.env["KAFKA_BROKERS"] ?? "localhost:9092",
  compression: "gzip",
});

// None of these is awaited: records of one partition keep the order of the calls, and share a few requests.
const sends = Array.from({ length: 10_000 }, (_, index) =>
  producer.send({
    topic: "readings",
    key: `sensor-${index % 50}`,
    value: JSON.stringify({ index, celsius: 20 + Math.sin(index / 100) }),
  }));

const perPartition = new Map<number, number>();
for (const outcome of await Promise.allSettled(sends)) {
  if (outcome.status === "fulfilled") {
    const { partition } = outcome.value;
    perPartition.set(partition, (perPartition.get(partition) ?? 0) + 1);
  } else if (outcome.reason instanceof KafkaError) {
    console.error(outcome.reason.code, "in the log:", outcome.reason.persisted);
  }
}
await producer.close();

for (const [partition, count] of [...perPartition].sort(([a], [b]) => a - b)) {
  console.log(`partition ${partition}: ${count} records`);
}
