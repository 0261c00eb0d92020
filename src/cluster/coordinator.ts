/**
 * The broker that coordinates a group or a transactional id, and a connection of our own to it.
 *
 * @module
 */

import { ConnectionError, ProtocolError } from "../errors.ts";
import { COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR } from "../protocol/error_code_names.ts";
import { brokerError } from "../protocol/error_codes.ts";
import { FindCoordinator } from "../protocol/messages/find_coordinator.ts";
import { show } from "../show.ts";
import type { Broker } from "./broker.ts";
import type { Cluster } from "./cluster.ts";
import type { Connection } from "./connection.ts";

/** What is coordinated: the numbers of FindCoordinator's key types. */
export const COORDINATED = { group: 0, transaction: 1 } as const;

/** Errors of a broker that coordinates this no more, or not yet: another one may. */
export const ELSEWHERE_ERRORS: readonly number[] = [COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR];

/** From this version on FindCoordinator asks for many keys at once (KIP-699). */
const VERSION_WITH_KEYS = 4;
const MAX_PORT = 65_535;

/** Finds the coordinator of one key and keeps to it until it is told that another broker coordinates by now. */
export class Coordinator {
  readonly #cluster: Cluster;
  readonly #keyType: 0 | 1;
  readonly #key: string;
  readonly #requestTimeoutMs: number;
  #broker: Broker | undefined;
  #finding: Promise<Broker> | undefined;

  /** Makes a coordinator that isn't known yet. */
  constructor(cluster: Cluster, kind: keyof typeof COORDINATED, key: string, requestTimeoutMs: number) {
    this.#cluster = cluster;
    this.#keyType = COORDINATED[kind];
    this.#key = key;
    this.#requestTimeoutMs = requestTimeoutMs;
  }

  /** The connection to the coordinator, if it is known and connected. */
  get ready(): Connection | undefined {
    return this.#finding === undefined ? this.#broker?.connection : undefined;
  }

  /**
   * A ready connection to the coordinator. Calls share the search. Rejects with a retriable error while there is none
   * (COORDINATOR_NOT_AVAILABLE) or it can't be reached, with the broker's own when it refuses.
   */
  async connection(): Promise<Connection> {
    this.#finding ??= this.#broker === undefined ? this.#find().finally(() => this.#finding = undefined) : undefined;
    const broker = this.#finding === undefined ? this.#broker! : await this.#finding;
    try {
      return await broker.connect();
    } catch (error) {
      // It may have moved because its broker is gone.
      if (this.#broker === broker) this.forget();
      throw error;
    }
  }

  /** The next call looks for the coordinator anew (NOT_COORDINATOR, COORDINATOR_NOT_AVAILABLE, a lost connection). */
  forget(): void {
    this.#broker?.close();
    this.#broker = undefined;
  }

  async #find(): Promise<Broker> {
    const connection = await this.#cluster.anyConnection();
    const version = connection.version(FindCoordinator);
    const body = version < VERSION_WITH_KEYS
      ? { key: this.#key, keyType: this.#keyType }
      : { keyType: this.#keyType, coordinatorKeys: [this.#key] };
    const answer = await connection.request(FindCoordinator, version, body as never, this.#requestTimeoutMs);
    const found = version < VERSION_WITH_KEYS ? answer : answer.coordinators.find(({ key }) => key === this.#key);
    if (found === undefined) throw new ProtocolError(`FindCoordinator left out the key that it was asked for.`);
    const { errorCode, errorMessage, nodeId, host, port } = found;
    if (errorCode !== 0) {
      const kind = this.#keyType === COORDINATED.group ? "group" : "transactional id";
      throw brokerError(errorCode, { api: `FindCoordinator of ${kind} ${show(this.#key)}`, detail: errorMessage });
    }
    if (nodeId < 0 || host === "" || port < 1 || port > MAX_PORT) {
      throw new ConnectionError("FindCoordinator named no broker.", { code: "COORDINATOR_NOT_AVAILABLE" });
    }
    // A connection of its own: a coordinator may take its time, and what is behind it on a connection waits.
    return this.#broker = this.#cluster.separate(nodeId, { host, port });
  }
}
