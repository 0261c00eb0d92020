/**
 * Metrics for the operators of a cluster (KIP-714): `@sluice/kafka/telemetry`.
 *
 * A broker with a metrics plugin tells which metrics it wants and how often; the producer pushes them in OpenTelemetry's
 * format on a connection that it has anyway, and once more when it is closed. Where no broker offers that, or none is
 * wanted, nothing happens.
 *
 * @example
 * ```ts
 * import { Producer } from "@sluice/kafka";
 * import { clientTelemetry } from "@sluice/kafka/telemetry";
 *
 * const producer = new Producer({ brokers: "localhost:9092", telemetry: clientTelemetry() });
 * await producer.close();
 * ```
 *
 * @module
 */

import { readOptions } from "../call_options.ts";
import type { Telemetry } from "../producer/observe/telemetry.ts";
import { PushSession } from "./session.ts";

export type { Telemetry } from "../producer/observe/telemetry.ts";

/**
 * Makes the value of the option `telemetry`. One value serves any number of producers.
 *
 * Pushed are Kafka's own metrics of a producer, as far as the broker's subscription selects them by the beginnings of
 * their names: `org.apache.kafka.producer.` and `connection.creation.rate`, `.total`, `node.request.latency.avg`, `.max`
 * (with `node_id`), `produce.throttle.time.avg`, `.max`, `record.queue.time.avg`, `.max`, `request.latency.avg`, `.max`;
 * times in ms, over the time since the last push. They are compressed with the producer's own codec if the broker
 * accepts it. `close()` waits up to 1 s for the last push.
 *
 * The logger hears `telemetry_subscribed` with the `clientInstanceId` that the broker has given, and `telemetry_off`
 * when a broker answers that pushing is of no use.
 *
 * @throws {ConfigError} for an option: there are none
 */
export function clientTelemetry(
  options?: Readonly<Record<never, never>>,
): Telemetry {
  readOptions("clientTelemetry", options, []);
  return { begin: (parts) => new PushSession(parts) };
}
