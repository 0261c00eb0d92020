/**
 * What a test can make a broker do in place of serving a request.
 *
 * @module
 */

import { isObject, readOptions, refuse } from "../../call_options.ts";
import { ConfigError } from "../../errors.ts";
import type { AnyApi, RequestOf, ResponseInputOf } from "./apis.ts";
import type { ClusterView } from "../control/view.ts";

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
 *
 * @example Answers that can't be right
 * ```ts
 * import { EmbeddedCluster, Produce } from "@sluice/kafka/testing";
 *
 * const cluster = new EmbeddedCluster({ topics: { orders: 1 } });
 * cluster.control(Produce, (_, { correlationId }) => ({ correlationId: correlationId + 1 }), { times: 1 });
 * cluster.control(Produce, { cutAfterBytes: 10 }, { times: 1 }); // half an answer, then the end
 * cluster.control(Produce, { splitBytes: 1 }, { times: 1 });
 * cluster.control(Produce, {
 *   rewrite: (frame) => frame.map((byte, at) => at === 20 ? byte ^ 0xff : byte),
 * }, { times: 1 });
 * cluster.control(Produce, {
 *   transform: (body) => ({
 *     ...body,
 *     // One partition is left out; `concat` would invent one, or tell it twice.
 *     responses: body.responses.map((topic) => (
 *       { ...topic, partitionResponses: topic.partitionResponses.slice(1) }
 *     )),
 *   }),
 * }, { times: 1 });
 * ```
 */
export interface ControlAction<A extends AnyApi = AnyApi> {
  /** Waits before anything else; the connection serves nothing meanwhile, as in Kafka. */
  readonly delayMs?: number;
  /** Waits between serving and answering. */
  readonly answerDelayMs?: number;
  /** Serves it as if this were what the broker knows of the cluster: metadata of yesterday. */
  readonly view?: ClusterView;
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
  /** Changes the answer, whatever it is, before it is written. */
  readonly transform?: (body: ResponseInputOf<A>) => ResponseInputOf<A>;
  /** Answers under this correlation id. */
  readonly correlationId?: number;
  /** Changes the bytes of the answer, length and header included. */
  readonly rewrite?: (frame: Uint8Array) => Uint8Array;
  /** Sends so many bytes of the answer, then closes the connection. */
  readonly cutAfterBytes?: number;
  /** Sends the answer in pieces of so many bytes. */
  readonly splitBytes?: number;
  /** Waits between the pieces. @default 0 */
  readonly splitDelayMs?: number;
  /** Closes the connection behind the answer. */
  readonly closeAfter?: boolean;
}

const ACTION: Readonly<Record<keyof ControlAction, true>> = {
  ...{
    delayMs: true,
    answerDelayMs: true,
    view: true,
    respond: true,
    error: true,
    drop: true,
    silence: true,
    close: true,
  },
  ...{ bytes: true, apply: true, transform: true, correlationId: true, rewrite: true, cutAfterBytes: true },
  ...{ splitBytes: true, splitDelayMs: true, closeAfter: true },
};
const ACTION_NAMES = Object.keys(ACTION) as (keyof ControlAction)[];

/** A slip in an action would be a fault that never happens, and a test that proves nothing. */
function checkAction(action: unknown): void {
  const { drop, error } = readOptions("an action", action, ACTION_NAMES);
  if (drop !== undefined && drop !== "before" && drop !== "after") refuse("drop", '"before" or "after"', drop);
  if (error !== undefined && !Number.isInteger(error)) refuse("error", "the number of an error", error);
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

/** What is kept of the caller's is a declaration of an API, which has a number. */
function isApi(api: unknown): api is AnyApi {
  try {
    return isObject(api) && typeof (api as Partial<AnyApi>).key === "number";
  } catch {
    return false;
  }
}

/** The controls of a cluster. The one that was added last is asked first. */
export class Controls {
  readonly #controls: Control[] = [];

  /** Adds a control; the returned call takes it back. */
  add<A extends AnyApi>(
    api: A,
    control: ControlFunction<A> | ControlAction<A>,
    options?: ControlOptions,
  ): () => void {
    const { times = Infinity, brokerId } = readOptions("control", options, ["times", "brokerId"]);
    if (typeof times !== "number" || !(times >= 1)) refuse("times", "1 or more", times);
    if (brokerId !== undefined && typeof brokerId !== "number") refuse("brokerId", "a broker's id", brokerId);
    if (!isApi(api)) {
      refuse("api", "one of the APIs of @sluice/kafka/testing, such as Produce", api);
    }
    if (typeof control !== "function") {
      if (!isObject(control)) refuse("control", "a function or an action", control);
      checkAction(control);
    }
    const decide = typeof control === "function" ? control : () => control;
    const added: Control = {
      api,
      decide: decide as unknown as ControlFunction<AnyApi>,
      brokerId,
      left: times,
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
      if (action instanceof Promise) {
        throw new ConfigError("control", "Answer at once: the function returned a promise, wanted an action.");
      }
      checkAction(action);
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
