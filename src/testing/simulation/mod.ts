/**
 * Whole runs of a producer against a hostile cluster, in virtual time and from a seed: `@sluice/kafka/testing/simulation`.
 *
 * @example
 * ```ts
 * import { Producer } from "@sluice/kafka";
 * import { simulate } from "@sluice/kafka/testing/simulation";
 *
 * const { violations } = await simulate({ seed: 7, producer: (options, runtime) => new Producer(options, runtime) });
 * console.assert(violations.length === 0);
 * ```
 *
 * @module
 */

export { planOf } from "./generator.ts";
export { type Violation } from "./observation.ts";
export {
  type ClusterPlan,
  type Effect,
  type FaultPlan,
  type FaultyApi,
  type FlushPlan,
  type Lasting,
  type Place,
  type PlannedOptions,
  type ProducerPlan,
  type RequestFaultPlan,
  type SendPlan,
  type SimulationPlan,
  type TopicPlan,
  type Via,
  type WorldFaultPlan,
  type WorldFaults,
} from "./plan.ts";
export { simulate, type SimulateOptions, type SimulationResult } from "./simulate.ts";
export {
  type MakeProducer,
  type SimulatedDelivery,
  type SimulatedError,
  type SimulatedInterceptor,
  type SimulatedMetadata,
  type SimulatedMetrics,
  type SimulatedOptions,
  type SimulatedProducer,
  type SimulatedRecord,
  type SimulatedSendOptions,
} from "./subject.ts";
