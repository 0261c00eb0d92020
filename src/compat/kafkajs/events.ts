/**
 * KafkaJS's instrumentation events of a producer.
 *
 * @module
 */

import { watchRejection } from "../../call_options.ts";
import type { RequestEvent as Requested, ResponseEvent } from "../../cluster/hooks.ts";
import { HOOK_NAMES, type ProducerHooks } from "../../producer/observe/hooks.ts";
import { KafkaJSNonRetriableError } from "./errors.ts";

/** The names of a producer's events. */
export type ProducerEvents = {
  /** `connect()` has succeeded. */
  CONNECT: "producer.connect";
  /** `disconnect()` has ended. */
  DISCONNECT: "producer.disconnect";
  /** A request was answered. */
  REQUEST: "producer.network.request";
  /** A request was not answered in time. */
  REQUEST_TIMEOUT: "producer.network.request_timeout";
  /** How many requests to a broker have no answer yet, told with each request. */
  REQUEST_QUEUE_SIZE: "producer.network.request_queue_size";
};

/** The names of a producer's events. */
export const EVENTS: Readonly<ProducerEvents> = Object.freeze({
  CONNECT: "producer.connect",
  DISCONNECT: "producer.disconnect",
  REQUEST: "producer.network.request",
  REQUEST_TIMEOUT: "producer.network.request_timeout",
  REQUEST_QUEUE_SIZE: "producer.network.request_queue_size",
});

type EventName = ProducerEvents[keyof ProducerEvents];

/** What a listener gets. */
export interface InstrumentationEvent<T> {
  /** Counts the events of the process. */
  id: string;
  /** The event's name. */
  type: string;
  /** When, in ms since the epoch. */
  timestamp: number;
  /** What happened. */
  payload: T;
}

/** Takes a listener away. */
export type RemoveInstrumentationEventListener<T> = () => void;

/** `connect()` has succeeded. */
export type ConnectEvent = InstrumentationEvent<null>;
/** `disconnect()` has ended. */
export type DisconnectEvent = InstrumentationEvent<null>;

/** A request was answered. */
export type RequestEvent = InstrumentationEvent<{
  /** The API's number. */
  apiKey: number;
  /** The API's name. */
  apiName: string;
  /** The version. */
  apiVersion: number;
  /** `host:port`. */
  broker: string;
  /** Who asked. */
  clientId: string;
  /** The request's number on its connection. */
  correlationId: number;
  /** When it was made, in ms since the epoch. */
  createdAt: number;
  /** From the sending to the answer, in ms. */
  duration: number;
  /** From the making to the sending, in ms: always 0, for nothing waits between them. */
  pendingDuration: number;
  /** When it was sent, in ms since the epoch. */
  sentAt: number;
  /** Bytes of the request; with KafkaJS, of the answer. */
  size: number;
}>;

/** A request was not answered in time. */
export type RequestTimeoutEvent = InstrumentationEvent<{
  /** The API's number. */
  apiKey: number;
  /** The API's name. */
  apiName: string;
  /** The version. */
  apiVersion: number;
  /** `host:port`. */
  broker: string;
  /** Who asked. */
  clientId: string;
  /** The request's number on its connection. */
  correlationId: number;
  /** When it was made, in ms since the epoch. */
  createdAt: number;
  /** From the making to the sending, in ms. */
  pendingDuration: number;
  /** When it was sent, in ms since the epoch. */
  sentAt: number;
}>;

/** How much waits. */
export type RequestQueueSizeEvent = InstrumentationEvent<{
  /** `host:port`. */
  broker: string;
  /** Who asks. */
  clientId: string;
  /** Requests to that broker that have no answer yet. */
  queueSize: number;
}>;

/** Is told of an event. */
export type Listener = (event: InstrumentationEvent<never>) => unknown;

let events = 0;

/** Who listens to what. */
export class Emitter {
  readonly #listeners = new Map<string, Set<{ readonly listener: Listener }>>();
  readonly #wallNow: () => number;
  readonly #onThrow: (eventName: string, error: unknown) => void;

  /** What a listener throws, or rejects with, goes to `onThrow`. */
  constructor(wallNow: () => number, onThrow: (eventName: string, error: unknown) => void) {
    this.#wallNow = wallNow;
    this.#onThrow = onThrow;
  }

  /** Adds a listener; the returned function takes it away. */
  on(eventName: string, listener: Listener): () => void {
    if (!(Object.values(EVENTS) as readonly string[]).includes(eventName)) {
      const names = Object.keys(EVENTS).map((name) => `producer.events.${name}`).join(", ");
      throw new KafkaJSNonRetriableError(`Event name should be one of ${names}`);
    }
    if (typeof listener !== "function") throw new KafkaJSNonRetriableError("Pass on() a function to call.");
    const entry = { listener };
    const listeners = this.#listeners.get(eventName) ?? new Set();
    this.#listeners.set(eventName, listeners.add(entry));
    return () => void listeners.delete(entry);
  }

  /** Whether anybody listens. */
  has(eventName: EventName): boolean {
    return (this.#listeners.get(eventName)?.size ?? 0) > 0;
  }

  /** Tells the listeners. */
  emit(type: EventName, payload: unknown): void {
    for (const { listener } of [...this.#listeners.get(type) ?? []]) {
      const event = { id: events++, type, timestamp: this.#wallNow(), payload };
      try {
        // As in KafkaJS the id is a number, though its types say otherwise.
        const returned: unknown = listener(event as unknown as InstrumentationEvent<never>);
        watchRejection(returned, (error) => this.#onThrow(type, error));
      } catch (error) {
        this.#onThrow(type, error);
      }
    }
  }
}

/** The numbers of the APIs that a producer uses. */
const API_KEYS: Readonly<Record<string, number>> = {
  Produce: 0,
  Metadata: 3,
  FindCoordinator: 10,
  SaslHandshake: 17,
  ApiVersions: 18,
  InitProducerId: 22,
  AddPartitionsToTxn: 24,
  AddOffsetsToTxn: 25,
  EndTxn: 26,
  TxnOffsetCommit: 28,
  SaslAuthenticate: 36,
  GetTelemetrySubscriptions: 71,
  PushTelemetry: 72,
};

/** The number of an API; −1 of one that no producer was known to use. */
function apiKeyOf(name: string): number {
  return API_KEYS[name] ?? -1;
}

/** Tells of the requests of one producer of this package. */
export class RequestWatch {
  readonly #emitter: Emitter;
  readonly #clientId: string;
  readonly #wallNow: () => number;
  /** With acks 0 nobody answers Produce: it is done when it is sent. */
  readonly #answersProduce: boolean;
  /** Requests that have no answer yet, by broker and number. */
  readonly #underWay = new Map<string, Map<number, { readonly bytes: number; readonly sentAt: number }>>();

  /** Tells the emitter. */
  constructor(emitter: Emitter, clientId: string, wallNow: () => number, answersProduce: boolean) {
    this.#emitter = emitter;
    this.#clientId = clientId;
    this.#wallNow = wallNow;
    this.#answersProduce = answersProduce;
  }

  /** The hooks with those of the caller's own. */
  hooks(given: ProducerHooks | undefined): ProducerHooks {
    const own = given ?? {};
    // Those of a class stand on its prototype, and want their object.
    const methods = HOOK_NAMES.flatMap((name) => typeof own[name] === "function" ? [[name, own[name].bind(own)]] : []);
    return {
      ...own,
      ...Object.fromEntries(methods),
      // What they throw, or reject with, is the producer's to log.
      onRequest: (event) => {
        this.#onRequest(event);
        return own.onRequest?.(event);
      },
      onResponse: (event) => {
        this.#onResponse(event);
        return own.onResponse?.(event);
      },
    };
  }

  #onRequest(event: Requested): void {
    const { broker, correlationId, bytes, api } = event;
    const sentAt = this.#wallNow();
    const underWay = this.#underWay.get(broker) ?? new Map();
    this.#underWay.set(broker, underWay);
    const queueSize = underWay.size + 1;
    if (api === "Produce" && !this.#answersProduce) {
      this.#tell(EVENTS.REQUEST, { ...event, latencyMs: 0 }, sentAt, bytes);
    } else underWay.set(correlationId, { bytes, sentAt });
    if (!this.#emitter.has(EVENTS.REQUEST_QUEUE_SIZE)) return;
    this.#emitter.emit(EVENTS.REQUEST_QUEUE_SIZE, { broker, clientId: this.#clientId, queueSize });
  }

  #onResponse(event: ResponseEvent): void {
    const { broker, correlationId, error, latencyMs } = event;
    const underWay = this.#underWay.get(broker);
    const sent = underWay?.get(correlationId);
    underWay?.delete(correlationId);
    if (underWay?.size === 0) this.#underWay.delete(broker);
    const { sentAt, bytes } = sent ?? { sentAt: this.#wallNow() - Math.round(latencyMs), bytes: 0 };
    if (error === undefined) this.#tell(EVENTS.REQUEST, event, sentAt, bytes);
    else if (error.code === "REQUEST_TIMED_OUT") this.#tell(EVENTS.REQUEST_TIMEOUT, event, sentAt);
  }

  #tell(type: EventName, event: ResponseEvent, sentAt: number, size?: number): void {
    if (!this.#emitter.has(type)) return;
    const { broker, correlationId, api, version, latencyMs } = event;
    this.#emitter.emit(type, {
      broker,
      clientId: this.#clientId,
      correlationId,
      createdAt: sentAt,
      sentAt,
      pendingDuration: 0,
      ...(size === undefined ? {} : { duration: Math.round(latencyMs), size }),
      apiName: api,
      apiKey: apiKeyOf(api),
      apiVersion: version,
    });
  }
}
