/**
 * A producer as `sluice produce` uses it.
 *
 * @module
 */

import type { Producer } from "../../mod.ts";
import type { RecordSink } from "./produce.ts";

/** Adapts a producer; what its metrics say becomes the traffic of the summary. */
export function producerSink(producer: Producer): RecordSink {
  return {
    connect: () => producer.connect(),
    partitionsFor: (topic) => producer.partitionsFor(topic),
    produce: (record, onDelivery) => producer.produce(record, onDelivery),
    ready: () => producer.ready(),
    flush: () => producer.flush(),
    close: (options) => producer.close(options),
    traffic() {
      const metrics = producer.metrics();
      return {
        batches: metrics.batches_sent,
        requests: metrics.requests_sent,
        retries: metrics.retries,
        compressionRatio: metrics.batches_sent === 0 ? null : metrics["compression-rate-avg"],
      };
    },
  };
}

/** Takes records and sends none of them: for a dry run. The producer has judged the options and is never connected. */
export function drySink(producer: Producer): RecordSink {
  const done = (): Promise<void> => Promise.resolve();
  return {
    connect: done,
    partitionsFor: done,
    produce({ topic }, onDelivery) {
      onDelivery(null, { topic, partition: -1, offset: -1n });
      return true;
    },
    ready: done,
    flush: done,
    close: () => producer.close(),
    traffic: () => ({ batches: null, requests: null, retries: null, compressionRatio: null }),
  };
}
