/**
 * Takes batches that are due to the brokers that lead their partitions, and their answers back.
 *
 * Each broker has a lane: a list of partitions whose first batch may be due, and a number of requests in flight. A
 * drain visits the lanes that have something and a free slot; a partition that must wait leaves the list, and the
 * event that ends its waiting puts it back. Cost follows ready partitions, not known ones.
 *
 * @module
 */

import { endsWaiting } from "../../cluster/advice.ts";
import type { Cluster } from "../../cluster/cluster.ts";
import { isKafkaError } from "../../error_like.ts";
import { KafkaError, type KafkaErrorOptions } from "../../errors.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { sentenceOf } from "../../show.ts";
import type { Accumulator } from "../accumulator/accumulator.ts";
import type { Agenda } from "../accumulator/agenda.ts";
import type { BufferMemory } from "../accumulator/buffer_memory.ts";
import type { Partition } from "../accumulator/partition.ts";
import { IN_FLIGHT } from "../accumulator/phase.ts";
import type { Schedule, Worker } from "../accumulator/schedule.ts";
import type { TurnClock } from "../accumulator/turn_clock.ts";
import type { WaitingRoom } from "../admission/waiting_room.ts";
import type { Stamping } from "../idempotence/stamping.ts";
import type { ResolvedOptions } from "../options/options.ts";
import { Drain } from "./drain.ts";
import { Exchange, type ExchangeListener } from "./exchange.ts";
import { Lane } from "./lane.ts";
import { Recovery } from "./recovery.ts";
import { Settlement, type SettlementParts } from "./settlement.ts";

/**
 * With at least this many ready partitions, and on average fewer than this many bytes in each, wait for the next answer
 * and let the batches grow.
 */
const SCATTERED_PARTITIONS = 64;
const SCATTERED_BYTES = 1_024;

/** What a sender works with. */
export interface SenderParts extends Omit<SettlementParts, "recovery"> {
  readonly agenda: Agenda;
  readonly clock: TurnClock;
  readonly memory: BufferMemory;
  readonly waitingRoom: WaitingRoom;
}

/** Fills the free slots of each broker with what the schedule offers. */
export class Sender implements Worker, ExchangeListener {
  readonly #runtime: Runtime;
  readonly #options: ResolvedOptions;
  readonly #cluster: Cluster;
  readonly #schedule: Schedule;
  readonly #accumulator: Accumulator;
  readonly #waitingRoom: WaitingRoom;
  readonly #memory: BufferMemory;
  readonly #agenda: Agenda;
  readonly #clock: TurnClock;
  readonly #stamping: Stamping;
  readonly #settlement: Settlement;
  readonly #drain: Drain;
  readonly #exchange: Exchange;
  readonly #lanes = new Map<number, Lane>();
  readonly #drainNow = (): void => this.drain();
  #acquiring = false;
  #closed = false;
  #fatal: KafkaError | undefined;

  /** Makes a sender without anything to send, which serves the schedule. */
  constructor(options: ResolvedOptions, parts: SenderParts) {
    this.#options = options;
    this.#runtime = parts.runtime;
    this.#cluster = parts.cluster;
    this.#schedule = parts.schedule;
    this.#accumulator = parts.accumulator;
    this.#waitingRoom = parts.waitingRoom;
    this.#memory = parts.memory;
    this.#agenda = parts.agenda;
    this.#clock = parts.clock;
    this.#stamping = parts.stamping;
    const recovery = new Recovery(parts.stamping);
    this.#settlement = new Settlement(options, { ...parts, recovery });
    const more = { ...parts, recovery, settlement: this.#settlement };
    this.#drain = new Drain(options, more, this);
    this.#exchange = new Exchange(options, more, this);
    this.#schedule.serve(this);
  }

  /** What ended the producer; undefined while it lives. */
  get fatal(): KafkaError | undefined {
    return this.#fatal;
  }

  /** Puts a partition on the list of the broker that leads it; the drain decides whether it may go. */
  onWork(partition: Partition, leaderId: number): void {
    const lane = this.#lane(leaderId);
    lane.ready.push(partition);
    // While all slots are taken nothing is to be done: the next answer drains, and batches grow until then.
    if (lane.inFlight < this.#options.maxInFlight && !lane.connecting) this.#deferDrain();
  }

  /** Linger, backoff or delivery timeout of a partition: fails what is late, schedules the rest. */
  onDue(partition: Partition): void {
    this.guard(() => {
      const nowMs = this.#runtime.now();
      if (!this.#agenda.truce.isOn(nowMs)) this.#settlement.expire(partition, nowMs);
      const head = partition.queue[0];
      const due = head !== undefined && this.#schedule.isDue(head, nowMs) && nowMs >= partition.notBeforeMs;
      if (due) this.#schedule.add(partition);
      this.#schedule.watch(partition, nowMs);
    });
  }

  /** Metadata was refreshed, or could not be: what waited for it goes on. */
  onMetadata(): void {
    this.guard(() => {
      for (const partition of this.#schedule.takeWaiting()) {
        partition.awaitingMetadata = false;
        this.#settlement.onRefreshed(partition);
        const leader = partition.leader;
        // A new leader has been elected since the attempt failed: there is nothing to back off from (KIP-951).
        if (leader !== undefined && leader.leaderEpoch > partition.sentTo.leaderEpoch) partition.notBeforeMs = 0;
        this.#schedule.add(partition);
      }
      // Also where no slot is free: a broker that has gone silent must not keep what another one leads by now.
      for (const lane of this.#lanes.values()) this.#reroute(lane);
    });
  }

  /** The connection to a broker has ended, and what the broker wished on it is forgotten. */
  onDisconnect(nodeId: number): void {
    const lane = this.#lanes.get(nodeId);
    if (lane === undefined || lane.heapIndex < 0 || this.#closed) return;
    this.#agenda.remove(lane);
    this.#deferDrain();
  }

  /** Sends what is ready. Called once in a turn, and when an answer has freed a slot. */
  drain(): void {
    this.guard(() => {
      if (this.#closed) return;
      if (!this.#lacksIdentity) {
        for (const lane of this.#lanes.values()) if (lane.ready.length > 0) this.#drainLane(lane);
        return;
      }
      const ready = [...this.#lanes.values()].filter((lane) => lane.ready.length > 0);
      // The leaders are dialled meanwhile, and first: one of them is asked for the id, so that it takes no other broker.
      for (const lane of ready) if (this.#cluster.broker(lane.nodeId)?.connection === undefined) this.#connect(lane);
      if (ready.length > 0) this.#ensureIdentity();
    });
  }

  /** What is thrown ends the producer, and not the process, whose timers and answers lead here. */
  guard(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#onFatal(error);
    }
  }

  /** Fails everything that has no outcome, and stops. */
  abandon(reason: (persisted: "no" | "possibly", partition?: Partition) => KafkaError): void {
    this.#closed = true;
    this.#schedule.serve(undefined);
    // First, or they would enter batches with the memory that the others give back.
    this.#waitingRoom.dropAll(reason("no"));
    for (const batch of [...this.#accumulator.incomplete]) {
      const fate = batch.phase === IN_FLIGHT || batch.persisted !== "no" ? "possibly" : "no";
      this.#settlement.completeExceptionally(batch, reason(fate, batch.partition));
    }
  }

  /** Fails all records that have not been drained; what was drained goes on. */
  failUndrained(error: KafkaError): void {
    this.guard(() => {
      // First, as above.
      this.#waitingRoom.dropAll(error);
      for (const batch of [...this.#accumulator.incomplete]) {
        if (!batch.drained) this.#settlement.failQueued(batch, error);
      }
    });
  }

  #deferDrain(): void {
    this.#clock.afterTurn(this.#drainNow);
  }

  #lane(nodeId: number): Lane {
    let lane = this.#lanes.get(nodeId);
    if (lane === undefined) {
      lane = new Lane(nodeId, this.#drainNow);
      this.#lanes.set(nodeId, lane);
    }
    return lane;
  }

  /** True while batches must wait for a producer id. */
  get #lacksIdentity(): boolean {
    return this.#stamping.stamps && this.#stamping.identity === undefined;
  }

  #ensureIdentity(): void {
    if (this.#acquiring) return;
    this.#acquiring = true;
    this.#stamping.ensure().then((error) =>
      this.guard(() => {
        this.#acquiring = false;
        if (this.#closed) return;
        if (error === undefined) {
          for (const batch of this.#accumulator.incomplete) this.#schedule.add(batch.partition);
          return this.drain();
        }
        // Refused for good: what waits fails. A later send asks again, for rights can be granted (I1).
        for (const batch of [...this.#accumulator.incomplete]) {
          if (batch.phase !== IN_FLIGHT) this.#settlement.failQueued(batch, error);
        }
        for (const lane of this.#lanes.values()) this.#reroute(lane);
      }), (error) => this.#onFatal(error));
  }

  #drainLane(lane: Lane): void {
    const connection = this.#cluster.broker(lane.nodeId)?.connection;
    if (connection === undefined) return this.#connect(lane);
    const { throttledUntilMs } = connection;
    // Most brokers never throttle, and to ask for the time costs more than the rest of this.
    if (throttledUntilMs > 0 && throttledUntilMs > this.#runtime.now()) return this.#agenda.set(lane, throttledUntilMs);
    while (
      lane.ready.length > 0 && lane.large.length === 0 && !lane.isTrying &&
      lane.inFlight < this.#options.maxInFlight && !this.#isScattered(lane)
    ) {
      // Nothing chosen though there is something left: a batch was too large for any request, and has failed.
      const chosen = this.#drain.choose(lane, connection);
      // The epochs of the last id are used up, and a partition waits for a new one.
      if (this.#lacksIdentity) this.#ensureIdentity();
      if (chosen.length > 0) this.#exchange.begin(lane, connection, chosen);
    }
  }

  /**
   * True when many partitions have a record or two each, and an answer will come that drains again. As Nagle's
   * algorithm does for bytes: what a batch costs, here and even more at the broker, hardly depends on its size.
   */
  #isScattered(lane: Lane): boolean {
    const { incomplete } = this.#accumulator;
    const { totalBytes, availableBytes } = this.#memory;
    return lane.inFlight > 0 && lane.ready.length >= SCATTERED_PARTITIONS &&
      totalBytes - availableBytes < SCATTERED_BYTES * incomplete.size;
  }

  #connect(lane: Lane): void {
    if (lane.connecting) return;
    // With acks 0 a closed connection is all that a broker says of an error; it may not lead any more.
    if (this.#options.acks === 0) void this.#cluster.requestUpdate();
    const broker = this.#cluster.broker(lane.nodeId);
    if (broker === undefined) return this.#reroute(lane);
    lane.connecting = true;
    broker.connect().then(() => {
      lane.connecting = false;
      this.drain();
    }, (error) => {
      lane.connecting = false;
      if (this.#closed) return;
      for (const { queue: [head] } of lane.ready) if (head && error instanceof KafkaError) head.lastError = error;
      if (endsWaiting(error)) this.#refuseLane(lane, error);
      void this.#cluster.requestUpdate();
      if (lane.ready.length > 0) this.#connect(lane);
    });
  }

  /** No attempt to connect will ever succeed, or none with these credentials: what waits for the broker fails. */
  #refuseLane(lane: Lane, error: KafkaError): void {
    this.guard(() => {
      for (const { queue } of [...lane.ready]) {
        for (const batch of [...queue]) this.#settlement.failQueued(batch, error);
      }
      this.#reroute(lane);
    });
  }

  /** Sends a lane's partitions to where they belong by now. */
  #reroute(lane: Lane): void {
    const partitions = [...lane.large.splice(0), ...lane.ready];
    lane.ready = [];
    for (const partition of partitions) {
      partition.scheduled = false;
      this.#schedule.add(partition);
    }
  }

  /** An exchange has ended, and its slot is free. */
  onEnd(): void {
    // With acks 0 it may have ended in the turn that wrote it: a callback that sends again must not starve I/O.
    if (this.#options.acks === 0) this.#deferDrain();
    else this.drain();
  }

  /** The producer can't go on: everything that waits fails. */
  #onFatal(error: unknown): void {
    const message = isKafkaError(error)
      ? error.message
      : `Make a new producer, and please report it: this is an error in the client. ${sentenceOf(error)}`;
    const reason = (persisted: "no" | "possibly", of?: Partition): KafkaError => {
      const own = { fatal: true, persisted, topic: of?.topic.name, partition: of?.index, cause: error };
      return new KafkaError(message, { code: "UNEXPECTED", ...error as KafkaErrorOptions, ...own });
    };
    // The first is told, whatever other answers still come.
    this.#fatal ??= reason("no");
    this.abandon(reason);
  }
}
