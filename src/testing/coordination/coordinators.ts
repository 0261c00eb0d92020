/**
 * Which broker coordinates a group or a transactional id, and what is answered while that changes.
 *
 * As in Kafka a name belongs to one of fifty partitions, and the leader of the partition is the coordinator. It stays
 * until its broker is lost or a test moves it.
 *
 * @module
 */

import { readOptions, refuse } from "../../call_options.ts";
import type { Broker } from "../broker/broker.ts";
import type { CoordinatorHost } from "./host.ts";
import { checkNumber } from "../check_number.ts";
import {
  COORDINATOR_LOAD_IN_PROGRESS,
  COORDINATOR_NOT_AVAILABLE,
  NOT_COORDINATOR,
} from "../../protocol/error_code_names.ts";

/** What is coordinated. */
export type CoordinatorType = "group" | "transaction";

/** How a coordinator moves. */
export interface MoveCoordinatorOptions {
  /** So long nobody is the coordinator: FindCoordinator is answered 15, all else 16. @default 0 */
  readonly unavailableMs?: number;
  /** So long the new one reads its log and answers 14. @default 0 */
  readonly loadingMs?: number;
}

/** Partitions of `__consumer_offsets` and `__transaction_state`. */
const PARTITIONS = 50;

interface Seat {
  brokerId: number;
  epoch: number;
  vacantUntilMs: number;
  loadedAtMs: number;
}

/** The coordinators of one cluster. */
export class Coordinators {
  readonly #cluster: CoordinatorHost;
  readonly #seats = new Map<string, Seat>();
  /** @internal Is told when a partition's coordinator has changed. */
  onMove: (type: CoordinatorType, partition: number) => void = () => {};

  /** For one cluster. */
  constructor(cluster: CoordinatorHost) {
    this.#cluster = cluster;
  }

  /** The broker that coordinates a name; undefined while there is none. */
  find(type: CoordinatorType, key: string): Broker | undefined {
    const { brokerId, vacantUntilMs } = this.#seat(type, key);
    return brokerId < 0 || vacantUntilMs > this.#cluster.clock.now() ? undefined : this.#cluster.broker(brokerId);
  }

  /** Why a broker doesn't serve requests about a name: 14, 15 or 16; 0 if it does. */
  refusalOf(broker: Broker, type: CoordinatorType, key: string): number {
    const { loadedAtMs } = this.#seat(type, key);
    const coordinator = this.find(type, key);
    // One that is cut off takes itself for the coordinator still, and can't write down what it decides.
    if (broker.isIsolated) return this.#cluster.brokers.length > 1 ? COORDINATOR_NOT_AVAILABLE : 0;
    if (coordinator !== broker) return NOT_COORDINATOR;
    return loadedAtMs > this.#cluster.clock.now() ? COORDINATOR_LOAD_IN_PROGRESS : 0;
  }

  /** Why no broker serves requests about a name; 0 if one does. */
  refusal(type: CoordinatorType, key: string): number {
    const coordinator = this.find(type, key);
    return coordinator?.isRunning ? this.refusalOf(coordinator, type, key) : COORDINATOR_NOT_AVAILABLE;
  }

  /** Grows whenever a name's coordinator changes. */
  epochOf(type: CoordinatorType, key: string): number {
    return this.#seat(type, key).epoch;
  }

  /** Makes another broker the coordinator of a name. */
  move(type: CoordinatorType, key: string, brokerId: number, options?: MoveCoordinatorOptions): void {
    if (type !== "group" && type !== "transaction") refuse("type", '"group" or "transaction"', type);
    if (typeof key !== "string") refuse("key", "a group or a transactional id", key);
    const { unavailableMs = 0, loadingMs = 0 } = readOptions("moveCoordinator", options, [
      "unavailableMs",
      "loadingMs",
    ]) as MoveCoordinatorOptions;
    checkNumber("unavailableMs", unavailableMs, 0);
    checkNumber("loadingMs", loadingMs, 0);
    const seat = this.#seat(type, key);
    seat.brokerId = this.#cluster.broker(brokerId).id;
    seat.epoch++;
    seat.vacantUntilMs = this.#cluster.clock.now() + unavailableMs;
    seat.loadedAtMs = seat.vacantUntilMs + loadingMs;
    this.onMove(type, coordinatorPartition(key));
  }

  /** The seat of a name's partition, with somebody on it who is alive if anybody is. */
  #seat(type: CoordinatorType, key: string): Seat {
    const partition = coordinatorPartition(key);
    const name = `${type} ${partition}`;
    let seat = this.#seats.get(name);
    if (seat === undefined) {
      seat = { brokerId: -1, epoch: -1, vacantUntilMs: 0, loadedAtMs: 0 };
      this.#seats.set(name, seat);
    }
    const { brokers, controller } = this.#cluster;
    const alive = controller.view.brokerIds;
    if (alive.includes(seat.brokerId)) return seat;
    const order = brokers.map((_, i) => brokers[(partition + i) % brokers.length]!.id);
    const next = order.find((id) => alive.includes(id)) ?? -1;
    if (next !== seat.brokerId) {
      const isNew = seat.epoch < 0;
      seat.brokerId = next;
      if (next >= 0) seat.epoch++;
      if (!isNew) this.onMove(type, partition);
    }
    return seat;
  }
}

/** The partition of the internal topic that a name belongs to: Java's hash of it, positive, by their number. */
export function coordinatorPartition(key: string): number {
  let hash = 0;
  for (let i = 0; i < key.length; i++) hash = (Math.imul(hash, 31) + key.charCodeAt(i)) | 0;
  return (hash & 0x7fff_ffff) % PARTITIONS;
}
