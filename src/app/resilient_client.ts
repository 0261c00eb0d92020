/**
 * A producer with a breaker and an application's retries before it, and what operators ask of both.
 *
 * @module
 */

import { isObject, MAX_TIMER_MS, readOptions, refuse } from "../call_options.ts";
import type { BrokerHealth } from "../cluster/health.ts";
import { errorLike, isKafkaError } from "../error_like.ts";
import { type KafkaError, TimeoutError } from "../errors.ts";
import type { ProducerLike, RecordMetadataLike, SendOptionsLike } from "../producer/producer_like.ts";
import { keep } from "../producer/record/kept_record.ts";
import type { ProducerRecord } from "../producer/record/record.ts";
import { selectRuntime } from "../runtime/select.ts";
import {
  checkWhole,
  type CircuitBreakerOptions,
  CircuitBreakers,
  type CircuitScope,
  type CircuitState,
} from "./circuit_breaker.ts";
import { RetryPolicy, type RetryPolicyOptions, type RetryRuntime } from "./retry_policy.ts";
import { kafkaErrorOf, withCallbacks } from "./sends.ts";

/** How a resilient client behaves. */
export interface ResilientClientOptions<K, V> {
  /**
   * How often a send that has failed is made again, on top of the producer's own retries, which know more.
   * @default retries 3, backoffMs 100, backoffMaxMs 5000
   */
  readonly retry?: RetryPolicyOptions | false | undefined;
  /** The breaker, or `false` for none. @default five failures in a row, 30 s, one circuit */
  readonly breaker?: (CircuitBreakerOptions & { readonly scope?: CircuitScope<K, V> | undefined }) | false | undefined;
}

/** A server, as the client sees it. */
export interface ServerStats {
  /** `host:port`. */
  readonly address: string;
  /** Its node id; below 0 for a bootstrap server. */
  readonly nodeId: number;
  /** Whether the last attempt to talk to it went well. */
  readonly healthy: boolean;
  /** The connection to it. */
  readonly state: BrokerHealth["state"];
  /** Age of the connection in ms. */
  readonly connectedMs: number;
  /** Requests without an answer. */
  readonly inFlight: number;
  /** Requests so far. */
  readonly requests: number;
  /** Why the last connection or attempt failed; null if it didn't. */
  readonly lastError: string | null;
}

/** What a client has done and how it is. */
export interface ResilientClientStats {
  /** Servers that are known. */
  readonly totalServers: number;
  /** Those to which nothing has gone wrong last. */
  readonly healthyServers: number;
  /** Connections that can be used. There is one to each broker: requests are pipelined on it. */
  readonly activeConnections: number;
  /** Of these, those that wait for nothing. */
  readonly availableConnections: number;
  /** Circuits that aren't closed, by name ("" where there is one for all). */
  readonly circuits: Readonly<Record<string, CircuitState>>;
  /** Each server. */
  readonly servers: readonly ServerStats[];
  /** Records delivered. */
  readonly recordsSent: number;
  /** Records that failed. */
  readonly errors: number;
  /** Sends that the client has made again. */
  readonly retries: number;
  /** `recordsSent` of all records with an outcome, from 0 to 1; 1 before the first. */
  readonly successRate: number;
  /** Requests without an answer, over all servers. */
  readonly requestsInFlight: number;
}

/** The answer of a health check. */
export interface Health {
  /** `"up"`: brokers answer; `"degraded"`: some don't, or a circuit isn't closed; `"down"`: none does. */
  readonly status: "up" | "degraded" | "down";
  /** How long the check took, in ms. */
  readonly latencyMs: number;
  /** Why it isn't up. */
  readonly reason?: string;
  /** What was thrown, when it is down. */
  readonly error?: KafkaError;
}

/** A producer that is looked after. */
export interface ResilientClient<K = string | Uint8Array, V = string | Uint8Array> {
  /** Sends a record: through the breaker, and again when that can help. An open circuit rejects at once. */
  send(record: ProducerRecord<K, V>, options?: SendOptionsLike): Promise<RecordMetadataLike>;
  /** What it has done and how it is, now. */
  stats(): ResilientClientStats;
  /** Asks the brokers for metadata, and never rejects: for a readiness probe. Takes 2000 ms at most unless told else. */
  health(options?: { readonly timeoutMs?: number | undefined }): Promise<Health>;
  /** Closes the producer. */
  close(options?: { readonly timeoutMs?: number | undefined }): Promise<void>;
  /** Closes, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

const RETRY = { retries: 3, backoffMs: 100, backoffMaxMs: 5_000 };

/**
 * Puts a breaker and retries before a producer.
 *
 * @example
 * ```ts
 * import { createResilientClient } from "@sluice/kafka/app";
 * import { RecordingProducer } from "@sluice/kafka/testing";
 *
 * const producer = new RecordingProducer();
 * const client = createResilientClient(producer, { retry: { retries: 3 }, breaker: { failureThreshold: 5 } });
 * await client.send({ topic: "my-topic", key: "key", value: "value" });
 * console.assert(client.stats().recordsSent === 1 && (await client.health()).status === "up");
 * await client.close();
 * ```
 *
 * @param runtime clock, timers and chance; the runtime's own unless a test brings others
 * @throws {ConfigError} for an option that is unknown or wrong
 */
export function createResilientClient<K = string | Uint8Array, V = string | Uint8Array>(
  producer: ProducerLike<K, V>,
  options?: ResilientClientOptions<K, V>,
  runtime: RetryRuntime = selectRuntime(),
): ResilientClient<K, V> {
  const isProducer = isObject(producer) && typeof producer.send === "function" &&
    typeof producer.metrics === "function";
  if (!isProducer) refuse("producer", "a producer, for createResilientClient", producer);
  const { retry = RETRY, breaker = {} } = readOptions("createResilientClient", options, [
    "retry",
    "breaker",
  ]) as ResilientClientOptions<K, V>;
  const policy = retry === false ? undefined : new RetryPolicy(retryOf(retry), runtime);
  const circuits = breaker === false ? undefined : new CircuitBreakers<K, V>(producer, breaker, runtime);
  const target = circuits ?? producer;
  let retries = 0;

  const again = async (
    record: ProducerRecord<K, V>,
    signal: AbortSignal | undefined,
    { run, isRetriable }: { run: RetryPolicy["run"]; isRetriable: (error: unknown) => boolean },
  ): Promise<RecordMetadataLike> => {
    // As it is now: its owner may use the bytes again before the last attempt.
    const kept = keep(record);
    let refused: unknown;
    const outcome = await run(async (context) => {
      if (context.attempt > 1) retries += 1;
      try {
        return await target.send(kept, { signal: context.signal });
      } catch (error) {
        // The point of a circuit is to fail at once.
        if (!isOpen(error) || !isRetriable(error)) throw error;
        refused = error;
        return undefined;
      }
    }, { signal });
    if (outcome === undefined) throw refused;
    return outcome;
  };

  return {
    send: (record, given) =>
      withCallbacks(given, (signal) => {
        if (policy === undefined) return target.send(record, signal === undefined ? undefined : { signal });
        const own = { run: policy.run.bind(policy), isRetriable: policy.isRetriable.bind(policy) };
        return again(record, signal, own);
      }),
    stats: () => {
      const metrics = producer.metrics();
      const servers = metrics.brokers.map(serverOf);
      const active = servers.filter(({ state }) => state === "connected" || state === "throttled");
      return {
        totalServers: servers.length,
        healthyServers: servers.filter(({ healthy }) => healthy).length,
        activeConnections: active.length,
        availableConnections: active.filter(({ inFlight, state }) => inFlight === 0 && state === "connected").length,
        circuits: circuits?.troubled() ?? {},
        servers,
        ...{ recordsSent: metrics.records_sent, errors: metrics.errors, retries, successRate: metrics.success_rate },
        requestsInFlight: metrics["requests-in-flight"],
      };
    },
    async health(given) {
      const { timeoutMs = 2_000 } = readOptions("health", given, ["timeoutMs"]);
      checkWhole("timeoutMs", timeoutMs, 1, MAX_TIMER_MS);
      const startMs = runtime.now();
      const error = await checkUp(producer, timeoutMs as number, runtime);
      const latencyMs = runtime.now() - startMs;
      if (error !== undefined) return { status: "down", latencyMs, reason: error.message, error };
      const reason = troubleOf(producer.metrics().brokers, circuits?.troubled() ?? {});
      return reason === undefined ? { status: "up", latencyMs } : { status: "degraded", latencyMs, reason };
    },
    close: (given) => producer.close(given),
    [Symbol.asyncDispose]: () => producer.close(),
  };
}

/** The client's own settings where the caller has none, or one that is undefined. */
function retryOf(given: RetryPolicyOptions): RetryPolicyOptions {
  const told = Object.entries(given ?? {}).filter(([, value]) => value !== undefined);
  return { ...RETRY, ...Object.fromEntries(told) };
}

function isOpen(error: unknown): boolean {
  return isKafkaError(error) && error.code === "CIRCUIT_OPEN";
}

/** Why brokers can't be asked; undefined if they can. */
async function checkUp(
  producer: Pick<ProducerLike, "refreshMetadata">,
  timeoutMs: number,
  runtime: RetryRuntime,
): Promise<KafkaError | undefined> {
  let stop: () => void = () => {};
  const late = new Promise<KafkaError>((resolve) => {
    const message = `No broker answered a health check within ${timeoutMs} ms (timeoutMs).`;
    const timer = runtime.setTimer(() => resolve(new TimeoutError(message)), timeoutMs);
    stop = () => timer.cancel();
  });
  const asked = (async () => {
    try {
      await producer.refreshMetadata();
      return undefined;
    } catch (error) {
      return isKafkaError(error)
        ? error
        : errorLike(kafkaErrorOf(error), "The health check failed.", { persisted: "no" });
    }
  })();
  try {
    return await Promise.race([asked, late]);
  } finally {
    stop();
  }
}

function serverOf(broker: BrokerHealth): ServerStats {
  const { nodeId, host, port, state, connectedMs, inFlight, requests, lastError } = broker;
  const address = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  const healthy = state === "connected" || state === "throttled" || lastError === null;
  return { address, nodeId, healthy, state, connectedMs, inFlight, requests, lastError };
}

function troubleOf(
  brokers: readonly BrokerHealth[],
  circuits: Readonly<Record<string, CircuitState>>,
): string | undefined {
  const open = Object.entries(circuits).map(([name, state]) =>
    `${name === "" ? "the circuit" : `circuit "${name}"`} is ${state}`
  );
  const sick = brokers.map(serverOf).filter(({ healthy }) => !healthy).map(({ address, lastError }) =>
    `${address}: ${lastError}`
  );
  const reasons = [...open, ...sick];
  return reasons.length === 0 ? undefined : reasons.slice(0, 10).join("; ");
}
