/**
 * A request on its way through a broker.
 *
 * @module
 */

import type { AnyApi, RequestOf, ResponseInputOf } from "../../protocol/api.ts";
import type { Broker } from "./broker.ts";
import type { ClusterView } from "../control/view.ts";
import type { BrokerHost } from "./host.ts";

/** A request that is being served. */
export interface Call<A extends AnyApi = AnyApi> {
  /** The cluster that the broker belongs to. */
  readonly cluster: BrokerHost;
  /** The broker that got it. */
  readonly broker: Broker;
  /** What the broker knows of the cluster, at the time of asking. */
  readonly view: ClusterView;
  /** How the client came: brokers' addresses are told accordingly. */
  readonly listener: string;
  /** What the client calls itself. */
  readonly clientId: string | null;
  /** The version in which it was asked and is to be answered. */
  readonly version: number;
  /** What is asked. */
  readonly request: RequestOf<A>;
  /** False once the broker has died: what it has begun is not finished. */
  readonly isAlive: boolean;
  /** Calls back when the connection ends before the answer, until the returned call. */
  onClose(callback: () => void): () => void;
}

/** Where the brokers of some ids are, as an answer tells it to who came through a listener. */
export function nodeEndpoints(
  { cluster, listener }: Call,
  ids: readonly (number | undefined)[],
): { nodeId: number; host: string; port: number; rack: string | null }[] {
  const brokers = cluster.brokers.filter((broker) => ids.includes(broker.id));
  return brokers.map((broker) => ({ nodeId: broker.id, ...broker.endpoint(listener), rack: broker.rack }));
}

/** The answer; or no answer but the next request; or the end of the connection; or no answer ever. */
export type Outcome<A extends AnyApi = AnyApi> = ResponseInputOf<A> | "nothing" | "close" | "silence";
