/**
 * What a user may want to be told of connections: plain objects, made only when somebody listens.
 *
 * @module
 */

import type { KafkaError } from "../errors.ts";

/** A connection can be used: TCP, TLS and handshake are done. */
export interface ConnectEvent {
  /** `host:port`. */
  readonly broker: string;
}

/**
 * A broker can't be connected to. Told once for each broker and cause, until a connection is made; the attempts go on
 * and are counted.
 */
export interface ConnectFailedEvent {
  /** `host:port`. */
  readonly broker: string;
  /** Node id, if the address was advertised for one. */
  readonly nodeId?: number;
  /** Who advertises the address (`advertised.listeners`), as `host:port`; undefined for a server of `brokers`. */
  readonly advertisedBy?: string;
  /** How many attempts in a row have failed, this one included. */
  readonly failures: number;
  /** Why. */
  readonly error: KafkaError;
  /** What to do about it. */
  readonly advice: string;
}

/** A connection that could be used has ended. */
export interface DisconnectEvent {
  /** `host:port`. */
  readonly broker: string;
  /** Why. */
  readonly error: KafkaError;
}

/** A request was handed to the socket. */
export interface RequestEvent {
  /** `host:port`. */
  readonly broker: string;
  /** Kafka's name of the API, such as `"Produce"`. */
  readonly api: string;
  /** The version of the API. */
  readonly version: number;
  /** Joins request and response; unique on its connection. */
  readonly correlationId: number;
  /** Size of the frame. */
  readonly bytes: number;
}

/** A request was answered, or its connection has ended before. */
export interface ResponseEvent {
  /** `host:port`. */
  readonly broker: string;
  /** Kafka's name of the API, such as `"Produce"`. */
  readonly api: string;
  /** The version of the API. */
  readonly version: number;
  /** Joins request and response; unique on its connection. */
  readonly correlationId: number;
  /** Ms since the request. */
  readonly latencyMs: number;
  /** Why there is no answer; undefined if there is one. What the answer says is another matter. */
  readonly error?: KafkaError;
}

/** A broker asks to be left alone for a while (KIP-219). */
export interface ThrottleEvent {
  /** `host:port`. */
  readonly broker: string;
  /** The API whose answer says so. */
  readonly api: string;
  /** For how long, in ms. */
  readonly throttleMs: number;
}

/** Called when something happens to a connection. */
export interface ConnectionHooks {
  /** A connection can be used. */
  onConnect?(event: ConnectEvent): void;
  /** A broker can't be connected to: once for each broker and cause. */
  onConnectFailed?(event: ConnectFailedEvent): void;
  /** A connection has ended. */
  onDisconnect?(event: DisconnectEvent): void;
  /** A request was handed to the socket. */
  onRequest?(event: RequestEvent): void;
  /** A request was answered, or never will be. */
  onResponse?(event: ResponseEvent): void;
  /** A broker asks to be left alone. */
  onThrottle?(event: ThrottleEvent): void;
}
