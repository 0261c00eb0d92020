/**
 * Typed events of one topic: an envelope around the data, the entity's id as key, JSON, and errors of the application's
 * own.
 *
 * @module
 */

import { isObject, readOptions, refuse } from "../call_options.ts";
import { SerializationError } from "../errors.ts";
import { encodeCloudEvent } from "../headers/cloud_event.ts";
import { type HeaderPair, type HeaderSource, pairsOf, textHeader } from "../headers/header.ts";
import { adaptLogger, CONSOLE, type Logger } from "../producer/observe/logger.ts";
import type { RecordMetadataLike } from "../producer/producer_like.ts";
import type { ProducerRecord } from "../producer/record/record.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { selectRuntime } from "../runtime/select.ts";
import { sentenceOf, show } from "../show.ts";
import { checkSends, sendBy, type Sends } from "./sends.ts";
import { randomUuid } from "./uuid.ts";

/** The data of each kind of event, by its name: `{ OrderPlaced: { id: string }; OrderShipped: { id: string } }`. */
export type EventMap = object;

/** An event: what the value holds as JSON, unless events are CloudEvents. */
export interface EventEnvelope<T extends string = string, D = unknown> {
  /** Names the event: a reader that has seen it before passes it over. */
  readonly eventId: string;
  /** What has happened. */
  readonly eventType: T;
  /** When, as ISO 8601. */
  readonly eventTime: string;
  /** The request, or the event, that led to it. */
  readonly correlationId?: string;
  /** To what it has happened, and how. */
  readonly data: D;
}

/** A record with everything in it: what an outbox keeps. */
export interface EventRecord extends ProducerRecord<string, string> {
  /** The id of the entity. */
  readonly key: string;
  /** JSON. */
  readonly value: string;
  /** Each with its bytes. */
  readonly headers: HeaderPair[];
}

/** What may be said of an event. */
export interface PublishOptions {
  /** Its id. @default a random UUID */
  readonly eventId?: string | undefined;
  /** When it happened. @default now */
  readonly eventTime?: Date | undefined;
  /** What led to it. @default nothing is said of that */
  readonly correlationId?: string | undefined;
  /** Further headers. */
  readonly headers?: HeaderSource | undefined;
  /** Takes the record back if it hasn't left yet. */
  readonly signal?: AbortSignal | undefined;
}

/** How events are published. */
export interface EventPublisherOptions<M extends EventMap> {
  /** The topic of all these events. */
  readonly topic: string;
  /** The entity that an event is about: its events stay in order. @default the data's `id` */
  readonly key?: ((data: M[keyof M], eventType: keyof M & string) => string | number | bigint) | undefined;
  /** `"json"`: the envelope as JSON; `"cloudevents"`: the data as JSON, and the rest in headers. @default "json" */
  readonly format?: "json" | "cloudevents" | undefined;
  /** The source of CloudEvents, such as `"/shop"`; needed for these alone. */
  readonly source?: string | undefined;
  /** Makes the application's own error of one that `publish` would reject with. @default the error itself */
  readonly mapError?: ((error: unknown, event: EventEnvelope) => unknown) | undefined;
  /**
   * The outbox: keeps a record that `publishSafe` could not deliver, to be sent later. A record whose error says
   * `persisted: "possibly"` may be in the topic already; its event id is the same.
   */
  readonly onFailure?: ((record: EventRecord, error: unknown) => unknown) | undefined;
  /** Hears `event_published` (info) and `event_not_published`, `outbox_failed` (error). @default nobody */
  readonly logger?: Logger | "console" | undefined;
  /** Makes event ids. @default random UUIDs */
  readonly newId?: (() => string) | undefined;
}

/** What has become of a `publishSafe`. */
export type SafeOutcome =
  | { readonly ok: true; readonly eventId: string; readonly metadata: RecordMetadataLike }
  | { readonly ok: false; readonly eventId: string | undefined; readonly error: unknown; readonly kept: boolean };

/** Publishes the events of one topic. */
export interface EventPublisher<M extends EventMap> {
  /** The topic. */
  readonly topic: string;
  /** The record of an event, without sending it: for an outbox that is written in the same transaction as the data. */
  record<T extends keyof M & string>(eventType: T, data: M[T], options?: PublishOptions): EventRecord;
  /** Publishes an event; rejects with what `mapError` makes of the error. */
  publish<T extends keyof M & string>(eventType: T, data: M[T], options?: PublishOptions): Promise<RecordMetadataLike>;
  /**
   * Publishes an event, and never rejects: the operation that it tells of has succeeded already. What can't be delivered
   * goes to `onFailure`, which is waited for; `kept` says whether that has taken it.
   */
  publishSafe<T extends keyof M & string>(eventType: T, data: M[T], options?: PublishOptions): Promise<SafeOutcome>;
}

const OPTIONS = ["topic", "key", "format", "source", "mapError", "onFailure", "logger", "newId"] as const;
const PUBLISH_OPTIONS = ["eventId", "eventTime", "correlationId", "headers", "signal"] as const;

/**
 * Makes a publisher of typed events.
 *
 * @example
 * ```ts
 * import { createEventPublisher } from "@sluice/kafka/app";
 * import { RecordingProducer } from "@sluice/kafka/testing";
 *
 * interface OrderEvents {
 *   OrderPlaced: { id: string; total: number };
 *   OrderShipped: { id: string };
 * }
 *
 * const producer = new RecordingProducer();
 * const events = createEventPublisher<OrderEvents>(producer, { topic: "int.order-update.event" });
 * await events.publish("OrderPlaced", { id: "o-1", total: 5 });
 * const { ok } = await events.publishSafe("OrderShipped", { id: "o-1" });
 * console.assert(ok && producer.records()[0]?.key === "o-1");
 * ```
 *
 * @param runtime the clock; the runtime's own unless a test brings another
 * @throws {ConfigError} for an option that is missing, unknown or wrong
 */
export function createEventPublisher<M extends EventMap>(
  producer: Sends<string, string>,
  options: EventPublisherOptions<M>,
  runtime: Pick<Runtime, "wallNow"> = selectRuntime(),
): EventPublisher<M> {
  checkSends("createEventPublisher", producer);
  const { topic, key, format, source, mapError, onFailure, logger, newId } = checkOptions(options);

  const envelopeOf = (eventType: string, data: unknown, given: PublishOptions): EventEnvelope => {
    const { eventId = newId(), eventTime = new Date(runtime.wallNow()), correlationId } = given;
    if (typeof eventId !== "string" || eventId === "") refuse("eventId", "text that isn't empty", eventId);
    if (!(eventTime instanceof Date) || Number.isNaN(eventTime.getTime())) refuse("eventTime", "a Date", eventTime);
    if (typeof eventType !== "string" || eventType === "") refuse("eventType", "the name of an event", eventType);
    const isRight = correlationId === undefined || (typeof correlationId === "string" && correlationId !== "");
    if (!isRight) refuse("correlationId", "text that isn't empty", correlationId);
    const told = correlationId === undefined ? {} : { correlationId };
    return { eventId, eventType, eventTime: eventTime.toISOString(), ...told, data };
  };

  const recordOf = (event: EventEnvelope, headers: HeaderSource | undefined): EventRecord => {
    const { eventId, eventType, eventTime, correlationId, data } = event;
    const entity = keyOf(key, event);
    const own = pairsOf(headers);
    if (format === "cloudevents") {
      const attributes = { id: eventId, source, type: eventType, time: eventTime, partitionkey: entity };
      const told = correlationId === undefined ? {} : { correlationid: correlationId };
      const type = "application/json";
      const { headers: made } = encodeCloudEvent({ ...attributes, ...told, datacontenttype: type });
      return { topic, key: entity, value: jsonOf(data), headers: [...made, ...own] };
    }
    const made = [
      ...textHeader("content-type", "application/json"),
      ...textHeader("event-id", eventId),
      ...textHeader("event-type", eventType),
      ...textHeader("correlation-id", correlationId),
    ];
    return { topic, key: entity, value: jsonOf(event), headers: [...made, ...own] };
  };

  const prepare = (call: string, eventType: string, data: unknown, given: PublishOptions | undefined) => {
    const read = readOptions(call, given, PUBLISH_OPTIONS) as PublishOptions;
    const event = envelopeOf(eventType, data, read);
    return { event, record: recordOf(event, read.headers), signal: read.signal };
  };

  const send = async (
    { event, record, signal }: ReturnType<typeof prepare>,
    promise: () => Promise<unknown>,
  ): Promise<RecordMetadataLike> => {
    const { eventId, eventType } = event;
    try {
      const metadata = await sendBy(producer, record, signal, promise);
      const { partition, offset } = metadata;
      logger.info?.("event_published", { eventId, eventType, topic, partition, offset });
      return metadata;
    } catch (error) {
      logger.error?.("event_not_published", { eventId, eventType, topic, error });
      throw error;
    }
  };

  const keep = async (record: EventRecord, error: unknown, eventId: string): Promise<boolean> => {
    if (onFailure === undefined) return false;
    try {
      await onFailure(record, error);
      return true;
    } catch (reason) {
      logger.error?.("outbox_failed", { eventId, topic, error: reason });
      return false;
    }
  };

  return {
    topic,
    record: (eventType, data, given) => prepare("record", eventType, data, given).record,
    publish(eventType, data, given) {
      const outcome: Promise<RecordMetadataLike> = (async () => {
        const prepared = prepare("publish", eventType, data, given);
        try {
          return await send(prepared, () => outcome);
        } catch (error) {
          throw mapError === undefined ? error : mapError(error, prepared.event);
        }
      })();
      return outcome;
    },
    async publishSafe(eventType, data, given) {
      let prepared: ReturnType<typeof prepare>;
      try {
        prepared = prepare("publishSafe", eventType, data, given);
      } catch (error) {
        // There is no record to keep: the data is wrong, and would be the next time.
        logger.error?.("event_not_published", { eventType, topic, error });
        return { ok: false, eventId: undefined, error, kept: false };
      }
      const { event: { eventId }, record } = prepared;
      try {
        return { ok: true, eventId, metadata: await send(prepared, () => Promise.resolve()) };
      } catch (error) {
        return { ok: false, eventId, error, kept: await keep(record, error, eventId) };
      }
    },
  };
}

function keyOf<M extends EventMap>(key: EventPublisherOptions<M>["key"], { data, eventType }: EventEnvelope): string {
  const id: unknown = key === undefined
    ? isObject(data) ? (data as { readonly id?: unknown }).id : undefined
    : key(data as M[keyof M], eventType as keyof M & string);
  if (typeof id === "number" || typeof id === "bigint") return String(id);
  if (typeof id === "string" && id !== "") return id;
  const what = key === undefined
    ? 'Give the data an "id", or say by the option "key" which entity it is about'
    : "Return an id from the option key";
  throw new SerializationError(`${what}: ${show(id)} is none.`);
}

function jsonOf(value: unknown): string {
  try {
    const json: unknown = JSON.stringify(value);
    if (typeof json === "string") return json;
  } catch (error) {
    throw new SerializationError(`Give the event data that JSON can carry. ${sentenceOf(error)}`, { cause: error });
  }
  throw new SerializationError(`Give the event data that JSON can carry: ${show(value)} is nothing there.`);
}

function checkOptions<M extends EventMap>(
  options: EventPublisherOptions<M>,
): Pick<EventPublisherOptions<M>, "key" | "mapError" | "onFailure"> & {
  readonly topic: string;
  readonly format: "json" | "cloudevents";
  readonly source: string;
  readonly logger: Logger;
  readonly newId: () => string;
} {
  const read = readOptions("createEventPublisher", options, OPTIONS);
  const { topic, format = "json", source, newId = randomUuid } = read;
  if (typeof topic !== "string" || topic === "") refuse("topic", "the name of a topic", topic);
  if (format !== "json" && format !== "cloudevents") refuse("format", '"json" or "cloudevents"', format);
  for (const name of ["key", "mapError", "onFailure", "newId"] as const) {
    const { [name]: value } = read;
    if (value !== undefined && typeof value !== "function") refuse(name, "a function", value);
  }
  return {
    ...(read as Pick<EventPublisherOptions<M>, "key" | "mapError" | "onFailure">),
    ...{ topic, format, source: checkSource(source, format), newId: newId as () => string },
    logger: checkLogger(read.logger),
  };
}

function checkSource(source: unknown, format: "json" | "cloudevents"): string {
  if (source === undefined && format === "json") return "";
  if (typeof source === "string" && source !== "") return source;
  refuse("source", 'a URI reference such as "/shop", which CloudEvents need,', source);
}

function checkLogger(logger: unknown): Logger {
  const isRight = logger === undefined || logger === CONSOLE || isObject(logger);
  if (!isRight) refuse("logger", 'an object with functions like "error", or "console"', logger);
  return adaptLogger(logger as Logger | typeof CONSOLE | undefined);
}
