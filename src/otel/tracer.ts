/**
 * Spans and metrics of sends.
 *
 * @module
 */

import {
  type Attributes,
  type Context,
  context,
  type Counter,
  type Histogram,
  type Meter,
  metrics,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import { isObject } from "../call_options.ts";
import type { ProducerRecord } from "../producer/record/record.ts";
import type { RecordMetadataLike } from "../producer/producer_like.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { reasonOf } from "../show.ts";
import {
  BATCH_COUNT,
  CLIENT_ID,
  CLUSTER_ID,
  DESTINATION,
  ERROR_TYPE,
  errorType,
  KEY,
  keyText,
  OFFSET,
  OPERATION_NAME,
  OPERATION_TYPE,
  PARTITION,
  serverAttributes,
  SYSTEM,
  TOMBSTONE,
  wasSent,
} from "./attributes.ts";
import { hasOwn, inject, ownContext, withPairs } from "./carrier.ts";
import type { Leaders } from "./leaders.ts";

/** Where spans go: a `TracerProvider` of OpenTelemetry's API. */
export interface TracerSource {
  /** Makes a tracer of OpenTelemetry's API. */
  getTracer(name: string): unknown;
}

/** Where metrics go: a `MeterProvider` of OpenTelemetry's API. */
export interface MeterSource {
  /** Makes a meter of OpenTelemetry's API. */
  getMeter(name: string): unknown;
}

/** What is told, and to whom. */
export interface OtelOptions {
  /** Where spans go. @default the one that the application has registered */
  readonly tracerProvider?: TracerSource | undefined;
  /** Where metrics go. @default the one that the application has registered */
  readonly meterProvider?: MeterSource | undefined;
  /** The client id of the producer, for `messaging.client.id`. @default nothing is said of that */
  readonly clientId?: string | undefined;
  /** A span `create TOPIC` for each record of `sendBatch`. @default false */
  readonly createSpans?: boolean | undefined;
  /** Whether spans have the record's key, if it is text. @default true */
  readonly keys?: boolean | undefined;
}

const SCOPE = "@sluice/kafka";
const DURATION = "messaging.client.operation.duration";
const SENT = "messaging.client.sent.messages";
const BOUNDARIES = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];

/** What has become of a record. */
export type RecordOutcome = { readonly metadata: RecordMetadataLike } | { readonly error: unknown };

/** A record that is on its way, with what is told of it when it has arrived. */
export interface Tracked<K, V> {
  /** The record, with the context in its headers. */
  readonly record: ProducerRecord<K, V>;
  /** Ends its span and counts it. Called once. */
  end(outcome: RecordOutcome): void;
}

/** Records of one call, with what is told of them together. */
export interface TrackedBatch<K, V> {
  /** The records, with contexts in their headers. */
  readonly records: ProducerRecord<K, V>[];
  /** Hears of each record; the span ends with the last of them. */
  end(index: number, outcome: RecordOutcome): void;
}

/** Makes the spans and metrics of one producer. */
export class SendTracer {
  readonly #tracer: Tracer;
  readonly #duration: Histogram;
  readonly #sent: Counter;
  readonly #leaders: Leaders;
  readonly #now: () => number;
  readonly #options: OtelOptions;
  readonly #common: Attributes;

  /** Takes checked options. */
  constructor(options: OtelOptions, leaders: Leaders, runtime: Pick<Runtime, "now">) {
    const { tracerProvider = trace, meterProvider = metrics, clientId } = options;
    this.#tracer = tracerProvider.getTracer(SCOPE) as Tracer;
    const meter = meterProvider.getMeter(SCOPE) as Meter;
    this.#duration = meter.createHistogram(DURATION, {
      description: "Duration of messaging operation initiated by a producer or consumer client.",
      unit: "s",
      advice: { explicitBucketBoundaries: BOUNDARIES },
    });
    this.#sent = meter.createCounter(SENT, {
      description: "Number of messages producer attempted to send to the broker.",
      unit: "{message}",
    });
    this.#leaders = leaders;
    this.#now = () => runtime.now();
    this.#options = options;
    this.#common = { [SYSTEM]: "kafka", ...(clientId === undefined ? {} : { [CLIENT_ID]: clientId }) };
  }

  /** Begins the span of a record, `send TOPIC`; undefined for what the producer will refuse. */
  send<K, V>(given: ProducerRecord<K, V>): Tracked<K, V> | undefined {
    const record = typeof given?.topic === "string" ? withPairs(given) : undefined;
    if (record === undefined) return undefined;
    const parent = context.active();
    const own = ownContext(record.headers);
    const span = this.#tracer.startSpan(`send ${record.topic}`, {
      kind: SpanKind.PRODUCER,
      attributes: { ...this.#common, ...SEND, ...this.#of(record) },
      links: linksTo(own),
    }, parent);
    if (!hasOwn(record.headers)) inject(trace.setSpan(parent, span), record.headers);
    const startMs = this.#now();
    return {
      record,
      end: (outcome) => {
        const where = this.#where(record.topic, outcome);
        this.#count(record.topic, outcome, where, startMs);
        span.setAttributes({ ...where, ...this.#arrived(outcome) });
        finish(span, "error" in outcome ? [outcome.error] : []);
      },
    };
  }

  /**
   * Begins the span of a batch call, kind CLIENT, which links to the spans to which its records belong: those that the
   * caller has set, and `create TOPIC` for each of the others if they are asked for.
   */
  sendBatch<K, V>(given: readonly ProducerRecord<K, V>[]): TrackedBatch<K, V> {
    const parent = context.active();
    const topics = new Set(given.map((record) => record?.topic));
    const [topic] = topics.size === 1 ? topics : [];
    const records = given.map((record) => (isObject(record) ? withPairs(record) : undefined) ?? record);
    const contexts = records.map((record) => Array.isArray(record?.headers) ? ownContext(record.headers) : undefined);
    if (this.#options.createSpans === true) {
      records.forEach((record, index) => contexts[index] ??= this.#create(record, parent));
    }
    const span = this.#tracer.startSpan(topic === undefined ? "send" : `send ${topic}`, {
      kind: SpanKind.CLIENT,
      attributes: {
        ...this.#common,
        ...SEND,
        [BATCH_COUNT]: given.length,
        ...(topic === undefined ? {} : { [DESTINATION]: topic }),
      },
      links: contexts.flatMap(linksTo),
    }, parent);
    for (const record of records) {
      const headers: unknown = record?.headers;
      if (Array.isArray(headers) && !hasOwn(headers)) inject(trace.setSpan(parent, span), headers);
    }
    const startMs = this.#now();
    const errors: unknown[] = [];
    let left = records.length;
    if (left === 0) span.end();
    return {
      records,
      end: (index, outcome) => {
        if ("error" in outcome) errors.push(outcome.error);
        const name = records[index]?.topic ?? "";
        this.#count(name, outcome, this.#where(name, outcome), startMs);
        if (--left === 0) finish(span, errors);
      },
    };
  }

  /** A span of no length, whose context the record carries. */
  #create<K, V>(record: ProducerRecord<K, V>, parent: Context): SpanContext | undefined {
    if (!Array.isArray(record?.headers)) return undefined;
    const span = this.#tracer.startSpan(`create ${record.topic}`, {
      kind: SpanKind.PRODUCER,
      attributes: { ...this.#common, ...CREATE, ...this.#of(record) },
    }, parent);
    inject(trace.setSpan(parent, span), record.headers);
    span.end();
    return span.spanContext();
  }

  /** What a record says of itself. */
  #of<K, V>({ topic, key, value, partition }: ProducerRecord<K, V>): Attributes {
    const text = this.#options.keys === false ? undefined : keyText(key);
    return {
      [DESTINATION]: topic,
      ...(text === undefined ? {} : { [KEY]: text }),
      ...(value === null ? { [TOMBSTONE]: true } : {}),
      ...(partition === undefined ? {} : { [PARTITION]: String(partition) }),
    };
  }

  /** Where the record has gone, or would have. */
  #where(topic: string, outcome: RecordOutcome): Attributes {
    const told = "metadata" in outcome ? outcome.metadata : outcome.error as { partition?: unknown; broker?: unknown };
    const partition = typeof told?.partition === "number" ? told.partition : undefined;
    const broker = "broker" in (told ?? {}) ? (told as { readonly broker?: unknown }).broker : undefined;
    const leader = partition === undefined ? undefined : this.#leaders.of(topic, partition);
    return {
      ...(partition === undefined ? {} : { [PARTITION]: String(partition) }),
      ...serverAttributes(typeof broker === "string" ? broker : leader),
    };
  }

  #arrived(outcome: RecordOutcome): Attributes {
    const { clusterId } = this.#leaders;
    const offset = "metadata" in outcome ? outcome.metadata.offset : -1n;
    return {
      ...(clusterId === undefined ? {} : { [CLUSTER_ID]: clusterId }),
      ...(offset >= 0n && offset <= Number.MAX_SAFE_INTEGER ? { [OFFSET]: Number(offset) } : {}),
    };
  }

  #count(topic: string, outcome: RecordOutcome, where: Attributes, startMs: number): void {
    const failure: Attributes = "error" in outcome ? { [ERROR_TYPE]: errorType(outcome.error) } : {};
    const attributes = { [SYSTEM]: "kafka", [OPERATION_NAME]: "send", [DESTINATION]: topic, ...where, ...failure };
    this.#duration.record((this.#now() - startMs) / 1_000, { ...attributes, [OPERATION_TYPE]: "send" });
    if (!("error" in outcome) || wasSent(outcome.error)) this.#sent.add(1, attributes);
  }
}

const SEND: Attributes = { [OPERATION_NAME]: "send", [OPERATION_TYPE]: "send" };
const CREATE: Attributes = { [OPERATION_NAME]: "create", [OPERATION_TYPE]: "create" };

function linksTo(own: SpanContext | undefined): { context: SpanContext }[] {
  return own === undefined ? [] : [{ context: own }];
}

function finish(span: Span, errors: readonly unknown[]): void {
  if (errors.length > 0) {
    const [error] = errors;
    span.setAttribute(ERROR_TYPE, errorType(error));
    span.recordException(error instanceof Error ? error : reasonOf(error));
    const others = errors.length === 1 ? "" : ` (and ${errors.length - 1} more)`;
    span.setStatus({ code: SpanStatusCode.ERROR, message: `${reasonOf(error)}${others}` });
  }
  span.end();
}
