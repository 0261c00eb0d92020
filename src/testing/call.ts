/**
 * A request on its way through a broker.
 *
 * @module
 */

import type { AnyApi, RequestOf, ResponseInputOf } from "../protocol/api.ts";
import type { Broker } from "./broker.ts";
import type { EmbeddedCluster } from "./cluster.ts";

/** A request that is being served. */
export interface Call<A extends AnyApi = AnyApi> {
  /** The cluster that the broker belongs to. */
  readonly cluster: EmbeddedCluster;
  /** The broker that got it. */
  readonly broker: Broker;
  /** How the client came: brokers' addresses are told accordingly. */
  readonly listener: string;
  /** The version in which it was asked and is to be answered. */
  readonly version: number;
  /** What is asked. */
  readonly request: RequestOf<A>;
  /** Calls back when the connection ends before the answer, until the returned call. */
  onClose(callback: () => void): () => void;
}

/** The answer; or no answer but the next request; or the end of the connection; or no answer ever. */
export type Outcome<A extends AnyApi = AnyApi> = ResponseInputOf<A> | "nothing" | "close" | "silence";
