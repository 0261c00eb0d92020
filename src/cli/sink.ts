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
