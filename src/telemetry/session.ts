/**
 * The telemetry of one producer: which metrics a broker wants, a push in each interval, and a last one at the end.
 *
 * It uses connections that are there and makes none: a producer without a connection pushes nothing until it has one
 * again. It stays with one broker as long as that is connected. What a broker hasn't taken goes with the next push.
 *
 * @module
 */

import { formatAddress } from "../cluster/address.ts";
import type { Connection } from "../cluster/connection.ts";
import type { ConnectEvent, ResponseEvent, ThrottleEvent } from "../cluster/hooks.ts";
import { sleep } from "../cluster/sleep.ts";
import type { Compressor } from "../codec/codec.ts";
import type { ProducerHooks } from "../producer/observe/hooks.ts";
import type { TelemetryParts, TelemetrySession } from "../producer/observe/telemetry.ts";
import {
  INVALID_RECORD,
  INVALID_REQUEST,
  TELEMETRY_TOO_LARGE,
  THROTTLING_QUOTA_EXCEEDED,
  UNKNOWN_SUBSCRIPTION_ID,
  UNSUPPORTED_COMPRESSION_TYPE,
  UNSUPPORTED_VERSION,
} from "../protocol/error_code_names.ts";
import { brokerError } from "../protocol/error_codes.ts";
import { ZERO_UUID } from "../protocol/compile.ts";
import { GetTelemetrySubscriptions } from "../protocol/messages/get_telemetry_subscriptions.ts";
import { PushTelemetry } from "../protocol/messages/push_telemetry.ts";
import type { AnyApi, ResponseOf } from "../protocol/schema.ts";
import { Measurements } from "./measurements.ts";
import { encodeMetricsData, type Metric } from "./otlp.ts";

/** What a broker wants. */
interface Subscription {
  readonly id: number;
  /** Codecs by number, the broker's favourite first. */
  readonly codecs: readonly number[];
  readonly intervalMs: number;
  readonly maxBytes: number;
  readonly isDelta: boolean;
  readonly prefixes: readonly string[];
}

const NO_CODEC = 0;
/** What `interval.ms` of a subscription may be in Kafka, in ms. */
const LEAST_INTERVAL_MS = 100;
const MOST_INTERVAL_MS = 3_600_000;
/** Kafka's own default for it. */
const DEFAULT_INTERVAL_MS = 300_000;
/** After a connection that has ended before its answer, as Java's client does. */
const LOST_INTERVAL_MS = 30_000;
/** The first push comes after this share of the interval, and up to the whole of it more: not all clients at once. */
const LEAST_FIRST_SHARE = 0.5;

/** Errors that no other request will change. */
const HOPELESS: readonly number[] = [
  INVALID_REQUEST,
  INVALID_RECORD,
  UNSUPPORTED_VERSION,
];

/** Pushes the metrics of one producer. */
export class PushSession implements TelemetrySession {
  readonly hooks: ProducerHooks;

  readonly #parts: TelemetryParts;
  readonly #startMs: number;
  readonly #closing = new AbortController();
  #measured: Measurements;
  /** Connections of the pushes that were taken, for sums from the start. */
  #connectionsBefore = 0;
  #clientInstanceId: string = ZERO_UUID;
  #subscription: Subscription | undefined;
  /** The broker that it stays with. */
  #nodeId: number | undefined;
  /** The loop, while there is one. */
  #running: Promise<void> | undefined;
  /** No broker is asked any more. */
  #isOff = false;
  /** The last answer was that the subscription is outdated. */
  #wasOutdated = false;
  /** No codec is used any more: a broker has refused one that it had offered. */
  #isPlain = false;

  /** Listens; asks nobody before the first connection. */
  constructor(parts: TelemetryParts) {
    this.#parts = parts;
    this.#startMs = parts.runtime.wallNow();
    this.#measured = new Measurements(this.#startMs);
    const { hooks } = parts;
    const own: ProducerHooks = {
      onConnect: (event: ConnectEvent) => {
        this.#measured.connections += 1;
        hooks.onConnect?.(event);
        this.#wake();
      },
      onResponse: (event: ResponseEvent) => {
        this.#onResponse(event);
        hooks.onResponse?.(event);
      },
      onThrottle: (event: ThrottleEvent) => {
        if (event.api === "Produce") {
          this.#measured.throttle.add(0, event.throttleMs, event.throttleMs);
        }
        hooks.onThrottle?.(event);
      },
    };
    // The others show through: some are there only while somebody listens.
    this.hooks = Object.create(
      hooks,
      Object.getOwnPropertyDescriptors(own),
    ) as ProducerHooks;
  }

  requested(batches: number, queueMs: number, longestQueueMs: number): void {
    this.#measured.queueTime.add(batches, queueMs, longestQueueMs);
  }

  async close(limitMs: number): Promise<void> {
    const { runtime } = this.#parts;
    this.#closing.abort();
    if (limitMs <= 0 || this.#isOff || this.#subscription === undefined) return;
    const done = new AbortController();
    void this.#pushLast().finally(() => done.abort());
    await sleep(runtime, limitMs, done.signal);
  }

  #onResponse({ api, broker, error, latencyMs }: ResponseEvent): void {
    if (error !== undefined) return;
    if (api === "Produce") {
      this.#measured.answered(broker, latencyMs);
      this.#measured.throttle.add(1, 0, 0);
    }
    // Metadata tells which broker a bootstrap server is, and so whom to stay with.
    if (api === "Metadata") this.#wake();
  }

  #wake(): void {
    if (
      this.#running !== undefined || this.#isOff || this.#closing.signal.aborted
    ) return;
    this.#running = new Promise<void>((resolve) => this.#parts.runtime.defer(resolve))
      .then(() => this.#run())
      .finally(() => this.#running = undefined);
  }

  /** Ends when there is no connection; the next one begins it again. */
  async #run(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted && !this.#isOff) {
      const connection = this.#connection();
      if (connection === undefined) return;
      const waitMs = await this.#step(connection).catch((error) => {
        this.#parts.logger.debug?.("telemetry_failed", { error });
        this.#subscription = undefined;
        return LOST_INTERVAL_MS;
      });
      await sleep(this.#parts.runtime, waitMs, signal);
    }
  }

  /** Asks, or pushes; returns how long to wait before the next step. */
  async #step(connection: Connection): Promise<number> {
    const subscription = this.#subscription;
    if (subscription === undefined) return await this.#subscribe(connection);
    const errorCode = await this.#push(connection, subscription, false);
    return errorCode === 0
      ? subscription.intervalMs
      : this.#onError("PushTelemetry", errorCode, subscription.intervalMs);
  }

  async #subscribe(connection: Connection): Promise<number> {
    const { logger, requestTimeoutMs, runtime } = this.#parts;
    const body = { clientInstanceId: this.#clientInstanceId };
    const answer = await connection.request(
      GetTelemetrySubscriptions,
      0,
      body,
      requestTimeoutMs,
    );
    const intervalMs = intervalOf(answer.pushIntervalMs);
    if (answer.errorCode !== 0) {
      return this.#onError(
        "GetTelemetrySubscriptions",
        answer.errorCode,
        intervalMs,
      );
    }
    this.#clientInstanceId = answer.clientInstanceId;
    // Nothing is wanted now; that may change.
    if (answer.requestedMetrics.length === 0) return intervalMs;
    this.#subscription = subscriptionOf(answer, intervalMs);
    logger.info?.("telemetry_subscribed", {
      broker: formatAddress(connection.address),
      clientInstanceId: kafkaText(answer.clientInstanceId),
      subscriptionId: answer.subscriptionId,
      metrics: answer.requestedMetrics,
      pushIntervalMs: intervalMs,
    });
    return intervalMs * (LEAST_FIRST_SHARE + runtime.random());
  }

  /** Returns the broker's error, 0 if there is none. */
  async #push(
    connection: Connection,
    subscription: Subscription,
    terminating: boolean,
  ): Promise<number> {
    const taken = this.#measured;
    const { runtime, requestTimeoutMs } = this.#parts;
    const nowMs = runtime.wallNow();
    this.#measured = new Measurements(nowMs);
    let errorCode = -1;
    try {
      const codec = this.#codecFor(subscription);
      const metrics = await this.#payload(taken, subscription, codec, nowMs);
      const response = await connection.request(PushTelemetry, 0, {
        clientInstanceId: this.#clientInstanceId,
        subscriptionId: subscription.id,
        terminating,
        compressionType: codec?.id ?? NO_CODEC,
        metrics,
      }, requestTimeoutMs);
      errorCode = response.errorCode;
    } finally {
      if (errorCode === 0) this.#connectionsBefore += taken.connections;
      else this.#measured = this.#measured.after(taken);
    }
    if (errorCode === 0) this.#wasOutdated = false;
    return errorCode;
  }

  /** What fits into `maxBytes`: the metrics of single brokers are left out first. */
  async #payload(
    taken: Measurements,
    { isDelta, maxBytes, prefixes }: Subscription,
    codec: Compressor | undefined,
    nowMs: number,
  ): Promise<Uint8Array> {
    const before = isDelta ? 0 : this.#connectionsBefore;
    const metrics: Metric[] = taken.metrics(
      prefixes,
      nowMs,
      before,
      (broker) => this.#nodeIdOf(broker),
    );
    const span = {
      startMs: isDelta ? taken.sinceMs : this.#startMs,
      endMs: nowMs,
      isDelta,
    };
    const transactionalId = this.#parts.transactionalId();
    const resource: Readonly<Record<string, string>> = transactionalId === null
      ? {}
      : { transactional_id: transactionalId };
    for (;;) {
      const plain = encodeMetricsData(metrics, span, resource);
      // A codec may write into a buffer that its next caller gets too.
      const bytes = codec === undefined ? plain : (await codec.compress(plain)).slice();
      if (bytes.length <= maxBytes || metrics.length === 0) return bytes;
      metrics.pop();
    }
  }

  async #pushLast(): Promise<void> {
    try {
      await this.#running;
      const connection = this.#connection();
      if (
        this.#subscription !== undefined && connection !== undefined &&
        !this.#isOff
      ) {
        await this.#push(connection, this.#subscription, true);
      }
    } catch (error) {
      this.#parts.logger.debug?.("telemetry_failed", { error });
    }
  }

  /** What an error leads to; returns how long to wait. */
  #onError(api: string, errorCode: number, intervalMs: number): number {
    const { logger } = this.#parts;
    const error = brokerError(errorCode, { api });
    const isOutdated = errorCode === UNKNOWN_SUBSCRIPTION_ID ||
      errorCode === UNSUPPORTED_COMPRESSION_TYPE;
    const mayPass = isOutdated || errorCode === TELEMETRY_TOO_LARGE ||
      errorCode === THROTTLING_QUOTA_EXCEEDED ||
      (error.retriable && !HOPELESS.includes(errorCode));
    if (errorCode === UNSUPPORTED_COMPRESSION_TYPE) this.#isPlain = true;
    if (isOutdated) this.#subscription = undefined;
    if (!mayPass) {
      this.#isOff = true;
      logger.info?.("telemetry_off", { error });
      return 0;
    }
    logger.debug?.("telemetry_failed", { error });
    // Once it is asked at once; a broker that goes on like that is left alone for an interval.
    const isFirst = isOutdated && !this.#wasOutdated;
    this.#wasOutdated = isOutdated;
    return isFirst ? 0 : intervalMs;
  }

  #codecFor({ codecs }: Subscription): Compressor | undefined {
    if (this.#isPlain) return undefined;
    const wanted = codecs.find((id) => id === NO_CODEC || this.#parts.codecs.some((codec) => codec.id === id));
    return this.#parts.codecs.find(({ id }) => id === wanted && id !== NO_CODEC);
  }

  /** The one that it stays with, or any other that offers both APIs. */
  #connection(): Connection | undefined {
    const cluster = this.#parts.cluster();
    const ready = cluster.health().flatMap(({ nodeId }) => {
      const connection = cluster.broker(nodeId)?.connection;
      return connection !== undefined && offersTelemetry(connection) ? [{ nodeId, connection }] : [];
    });
    const chosen = ready.find(({ nodeId }) => nodeId === this.#nodeId) ??
      ready[Math.floor(this.#parts.runtime.random() * ready.length)];
    this.#nodeId = chosen?.nodeId;
    return chosen?.connection;
  }

  #nodeIdOf(broker: string): string | undefined {
    const found = this.#parts.cluster().health().find((it) => it.nodeId >= 0 && formatAddress(it) === broker);
    return found === undefined ? undefined : `${found.nodeId}`;
  }
}

function offersTelemetry({ versions }: Connection): boolean {
  return [GetTelemetrySubscriptions, PushTelemetry].every(({ key }: AnyApi) => versions.get(key)?.min === 0);
}

/** A UUID as Kafka writes it in logs. */
function kafkaText(uuid: string): string {
  const bytes = uuid.match(/../g)!.map((hex) => String.fromCharCode(Number.parseInt(hex, 16)));
  return btoa(bytes.join("")).replaceAll("+", "-").replaceAll("/", "_")
    .replaceAll("=", "");
}

function subscriptionOf(
  answer: ResponseOf<typeof GetTelemetrySubscriptions>,
  intervalMs: number,
): Subscription {
  return {
    id: answer.subscriptionId,
    codecs: answer.acceptedCompressionTypes,
    intervalMs,
    maxBytes: answer.telemetryMaxBytes,
    isDelta: answer.deltaTemporality,
    prefixes: answer.requestedMetrics,
  };
}

function intervalOf(givenMs: number): number {
  return givenMs <= 0 ? DEFAULT_INTERVAL_MS : Math.min(MOST_INTERVAL_MS, Math.max(LEAST_INTERVAL_MS, givenMs));
}
