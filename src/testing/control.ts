/**
 * What a test can make a broker do in place of serving a request.
 *
 * @module
 */

import type { AnyApi, RequestOf, ResponseInputOf } from "./apis.ts";

/** Which request is about to be served. */
export interface RequestContext {
  /** The broker that got it. */
  readonly brokerId: number;
  /** The connection that it came by, unique in the cluster. */
  readonly connectionId: number;
  /** The version in which it was written. */
  readonly version: number;
  /** Comes back in the answer. */
  readonly correlationId: number;
  /** Who asks. */
  readonly clientId: string | null;
  /** The cluster's clock, in ms. */
  readonly atMs: number;
}

/**
 * What happens to a request. Without `respond`, `error`, `drop`, `silence`, `close` and `bytes` it is served as usual,
 * after the delay.
 */
export interface ControlAction<A extends AnyApi = AnyApi> {
  /** Waits before anything else; the connection serves nothing meanwhile, as in Kafka. */
  readonly delayMs?: number;
  /** Waits between serving and answering. */
  readonly answerDelayMs?: number;
  /** Answers this. */
  readonly respond?: ResponseInputOf<A>;
  /**
   * Answers this error: for every partition (Produce, Fetch, ListOffsets), topic (Metadata, CreateTopics) or for the
   * request. With `apply` a Produce answer keeps the offsets, as Kafka's does with 7 and sometimes 6.
   */
  readonly error?: number;
  /** Closes the connection: `"before"` serving the request or `"after"` it, in both cases without an answer. */
  readonly drop?: "before" | "after";
  /** Never answers; the connection stays open and serves nothing more. */
  readonly silence?: boolean;
  /** Closes the connection without serving the request, as `drop: "before"`. */
  readonly close?: boolean;
  /** Sends these bytes in place of the answer, length and header included. */
  readonly bytes?: Uint8Array;
  /** With `respond`, `error`, `silence` and `bytes`: serves the request all the same. @default false */
  readonly apply?: boolean;
}

/** Decides about a request; undefined lets it pass. */
export type ControlFunction<A extends AnyApi> = (
  request: RequestOf<A>,
  context: RequestContext,
) => ControlAction<A> | undefined | void;

/** How long a control stays. */
export interface ControlOptions {
  /** After how many actions it goes. @default Infinity */
  readonly times?: number;
  /** Only requests to this broker. */
  readonly brokerId?: number;
}

interface Control {
  readonly api: AnyApi;
  readonly decide: ControlFunction<AnyApi>;
  readonly brokerId: number | undefined;
  left: number;
}

/** The controls of a cluster. The one that was added last is asked first. */
export class Controls {
  readonly #controls: Control[] = [];

  /** Adds a control; the returned call takes it back. */
  add<A extends AnyApi>(
    api: A,
    control: ControlFunction<A> | ControlAction<A>,
    options: ControlOptions = {},
  ): () => void {
    const decide = typeof control === "function" ? control : () => control;
    const added: Control = {
      api,
      decide: decide as unknown as ControlFunction<AnyApi>,
      brokerId: options.brokerId,
      left: options.times ?? Infinity,
    };
    this.#controls.unshift(added);
    return () => this.#remove(added);
  }

  /** Takes all of them back. */
  clear(): void {
    this.#controls.length = 0;
  }

  /** What is to happen to a request. */
  decide(api: AnyApi, request: unknown, context: RequestContext): ControlAction | undefined {
    for (const control of [...this.#controls]) {
      if (control.api.key !== api.key || (control.brokerId ?? context.brokerId) !== context.brokerId) continue;
      const action = control.decide(request as never, context);
      if (!action) continue;
      if (--control.left <= 0) this.#remove(control);
      return action;
    }
    return undefined;
  }

  #remove(control: Control): void {
    const index = this.#controls.indexOf(control);
    if (index >= 0) this.#controls.splice(index, 1);
  }
}
