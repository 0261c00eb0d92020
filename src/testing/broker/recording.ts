/**
 * The requests that a cluster has got, for assertions.
 *
 * @module
 */

import type { AnyApi, RequestOf } from "./apis.ts";
import type { RequestContext } from "./control.ts";

/** A request as a broker got it. */
export interface RecordedRequest<A extends AnyApi = AnyApi> extends RequestContext {
  /** What was asked. */
  readonly api: A;
  /** The decoded body. */
  readonly body: RequestOf<A>;
  /** The whole request without its length. */
  readonly frame: Uint8Array;
}

/** Frames that are kept, in bytes; the oldest requests go first. */
const KEPT_BYTES = 256 * 1024 * 1024;

/** Requests in order of their coming, as many as there is room for. */
export class Recording {
  readonly #limit: number;
  #requests: RecordedRequest[] = [];
  #bytes = 0;

  /** Keeps at most `limit` requests. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** The requests, oldest first. */
  get requests(): readonly RecordedRequest[] {
    return this.#requests;
  }

  /** Adds a request, and drops the older half when there are too many. */
  add(request: RecordedRequest): void {
    if (this.#limit <= 0) return;
    this.#requests.push(request);
    this.#bytes += request.frame.length;
    if (this.#requests.length <= this.#limit && this.#bytes <= KEPT_BYTES) return;
    this.#requests = this.#requests.slice(Math.ceil(this.#requests.length / 2));
    this.#bytes = this.#requests.reduce((sum, { frame }) => sum + frame.length, 0);
  }

  /** The requests of one API, oldest first. */
  of<A extends AnyApi>(api: A): RecordedRequest<A>[] {
    return this.#requests.filter((request) => request.api.key === api.key) as unknown as RecordedRequest<A>[];
  }

  /** Forgets what there is. */
  clear(): void {
    this.#requests = [];
    this.#bytes = 0;
  }
}
