/**
 * A handler as AWS Lambda and its like call it: the producer is made once for each instance and serves all of its calls.
 *
 * An instance is frozen between calls, so nothing may be left to do when a call returns: each awaits its own records.
 * Connections that have died while it was frozen are found out and opened again, which costs the next call a moment.
 *
 *     npm run build
 *     node dist/esm/bin.js broker --topic events &
 *     node --eval 'import("./examples/lambda.ts").then(({ handler }) => handler({ Records: [{ body: "hello" }] }))'
 */

import process from "node:process";
import { Producer } from "@sluice/kafka";

/** What SQS hands over: several messages at once. */
interface QueueEvent {
  readonly Records: readonly { readonly messageId: string; readonly body: string }[];
}

/** The messages that are to come again. */
interface QueueResult {
  readonly batchItemFailures: readonly { readonly itemIdentifier: string }[];
}

const producer = new Producer({
  brokers: process.env["KAFKA_BROKERS"] ?? "localhost:9092",
  // Less than the function's own limit: a call that is cut off tells nobody what became of its records.
  deliveryTimeoutMs: 10_000,
  requestTimeoutMs: 5_000,
  maxBlockMs: 5_000,
});

/** Sends all messages of a call, and names those that failed. */
export async function handler(event: QueueEvent): Promise<QueueResult> {
  const outcomes = await producer.sendBatch(
    event.Records.map(({ messageId, body }) => ({ topic: "events", key: messageId, value: body })),
  );
  return {
    batchItemFailures: event.Records
      .filter((_, index) => outcomes[index]?.status === "rejected")
      .map(({ messageId }) => ({ itemIdentifier: messageId })),
  };
}
