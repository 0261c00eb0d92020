/**
 * Whose request a client belongs to, where sockets and timers belong to requests: in Workers.
 *
 * @module
 */

import { KafkaError } from "../errors.ts";
import { reasonOf } from "../show.ts";
import type { Scope } from "./runtime.ts";

/** Something of workerd's that only the request which made it may look at; a Durable Object is one request for ever. */
interface WorkerdGlobals {
  readonly WebSocketPair?: new () => { readonly 0: { readonly readyState: number } };
}

const FOREIGN =
  "Make a producer in each request, or use a Durable Object for one that serves all: this producer belongs to one " +
  "request, the first that has used it, and workerd lets no other request use its connections.";
const UNBORN =
  "Call the producer in a handler: it may be made while a Worker's modules are loaded, but workerd lets nobody connect " +
  "before there is a request.";

/**
 * Notes the request that a client is first used in, and knows when it is used in another one. workerd itself would let
 * such a call hang: timers of a request that is over never fire, and its sockets throw.
 *
 * There is no name of a request to compare. But workerd refuses to let a request look at the state of a web socket that
 * another one has made, and tells that at once; it takes 0.2 µs.
 */
export class RequestScope implements Scope {
  #mark: { readonly readyState: number } | undefined;
  /** What was found out in this turn holds until its end: a turn belongs to one request. */
  #isHere = false;

  refusal(): KafkaError | undefined {
    if (this.#isHere) return undefined;
    const { WebSocketPair } = globalThis as WorkerdGlobals;
    if (WebSocketPair === undefined) return undefined;
    const isNew = this.#mark === undefined;
    try {
      this.#mark ??= new WebSocketPair()[0];
      void this.#mark.readyState;
    } catch (cause) {
      const isUnborn = isNew && /global scope/.test(reasonOf(cause));
      return new KafkaError(isUnborn ? UNBORN : FOREIGN, { code: "WRONG_REQUEST", cause });
    }
    this.#isHere = true;
    void Promise.resolve().then(() => this.#isHere = false);
    return undefined;
  }
}
