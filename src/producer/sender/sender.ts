/**
 * Takes batches that are due to the brokers that lead their partitions, and their answers back.
 *
 * Each broker has a lane: a list of partitions whose first batch may be due, and a number of requests in flight. A
 * drain visits the lanes that have something and a free slot; a partition that must wait leaves the list, and the
 * event that ends its waiting puts it back. Cost follows ready partitions, not known ones.
 *
 * @module
 */

import type { Cluster } from "../../cluster/cluster.ts";
import { type Connection, MAX_THROTTLE_MS } from "../../cluster/connection.ts";
import { endsWaiting } from "../../cluster/advice.ts";
import type { PartitionMetadata } from "../../cluster/metadata.ts";
import { ConnectionError, KafkaError, type KafkaErrorOptions, RecordTooLargeError } from "../../errors.ts";
import { PRODUCE_WITH_TOPIC_NAMES, PRODUCE_WITH_ZSTD } from "../../protocol/api.ts";
import { brokerError } from "../../protocol/error_codes.ts";
import { Produce } from "../../protocol/messages/produce.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { Accumulator } from "../accumulator/accumulator.ts";
import type { WaitingRoom } from "../admission/waiting_room.ts";
import type { BufferMemory } from "../accumulator/buffer_memory.ts";
import type { Schedule, Worker } from "../accumulator/schedule.ts";
import type { Agenda, Entry } from "../accumulator/agenda.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { ResolvedOptions } from "../options/options.ts";
import { ENCODING, IN_FLIGHT } from "../accumulator/phase.ts";
import type { Partition, QueuedBatch } from "../accumulator/partition.ts";
import { frameSize, frameSizeBound, overheadBound, produceRequest, resultsOf } from "./produce_request.ts";
import { Recovery } from "./recovery.ts";
import { RequestLimit } from "./request_limit.ts";
import type { Stamping } from "../idempotence/stamping.ts";
import { type Gate, gateOf, stampedGateOf } from "./gates.ts";
import { Settlement, type SettlementParts } from "./settlement.ts";

/** The way to one broker. It is on the agenda while the broker wants to be left alone (throttling). */
interface Lane extends Entry {
  readonly nodeId: number;
  ready: Partition[];
  /**
   * Partitions whose request may be too large. It goes when nothing else is in flight: what is sent behind it would be lost
   * with it.
   */
  large: Partition[];
  /** Such a request is in flight. */
  isTrying: boolean;
  inFlight: number;
  connecting: boolean;
  /** How large a request may be. */
  readonly limit: RequestLimit;
  /** The connection whose end was looked into last. */
  ended: Connection | undefined;
  /** The broker seems to have ended that one because of a request that it didn't want to read. */
  endedForSize: boolean;
}

/** No batch is added to a request that would exceed this many bytes; a bigger batch travels alone. */
const REQUEST_BYTES = 1_048_576;
/** A record fails after this many requests with it alone on which a broker has hung up that answers smaller ones. */
const HANG_UPS = 5;
/**
 * With at least this many ready partitions, and on average fewer than this many bytes in each, wait for the next answer
 * and let the batches grow.
 */
const SCATTERED_PARTITIONS = 64;
const SCATTERED_BYTES = 1_024;
const ZSTD = 4;
const UNSUPPORTED_COMPRESSION_TYPE = 76;

/** What a sender works with. */
export interface SenderParts extends Omit<SettlementParts, "recovery"> {
  readonly agenda: Agenda;
  readonly memory: BufferMemory;
  readonly waitingRoom: WaitingRoom;
}

/** Fills the free slots of each broker with what the schedule offers. */
export class Sender implements Worker {
  readonly #runtime: Runtime;
  readonly #options: ResolvedOptions;
  readonly #cluster: Cluster;
  readonly #schedule: Schedule;
  readonly #accumulator: Accumulator;
  readonly #waitingRoom: WaitingRoom;
  readonly #memory: BufferMemory;
  readonly #agenda: Agenda;
  readonly #stamping: Stamping;
  readonly #metrics: Metrics;
  readonly #settlement: Settlement;
  readonly #recovery: Recovery;
  readonly #lanes = new Map<number, Lane>();
  #drainDeferred = false;
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
    this.#stamping = parts.stamping;
    this.#metrics = parts.metrics;
    this.#recovery = new Recovery(parts.stamping);
    this.#settlement = new Settlement(options, { ...parts, recovery: this.#recovery });
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
    if (!this.#drainDeferred && lane.inFlight < this.#options.maxInFlight && !lane.connecting) this.#deferDrain();
  }

  /** Linger, backoff or delivery timeout of a partition: fails what is late, schedules the rest. */
  onDue(partition: Partition): void {
    const nowMs = this.#runtime.now();
    this.#settlement.expire(partition, nowMs);
    const head = partition.queue[0];
    const due = head !== undefined && this.#schedule.isDue(head, nowMs) && nowMs >= partition.notBeforeMs;
    if (due) this.#schedule.add(partition);
    this.#schedule.watch(partition, nowMs);
  }

  /** Metadata was refreshed, or could not be: what waited for it goes on. */
  onMetadata(): void {
    for (const partition of this.#schedule.takeStranded()) {
      this.#settlement.onRefreshed(partition);
      this.#schedule.add(partition);
    }
    for (const partition of this.#schedule.takeAwaiting()) {
      partition.awaitingMetadata = false;
      this.#settlement.onRefreshed(partition);
      const leader = partition.leader;
      // A new leader has been elected since the attempt failed: there is nothing to back off from (KIP-951).
      if (leader !== undefined && leader.leaderEpoch > partition.sentTo.leaderEpoch) partition.notBeforeMs = 0;
      this.#schedule.add(partition);
    }
    // Also where no slot is free: a broker that has gone silent must not keep what another one leads by now.
    for (const lane of this.#lanes.values()) this.#reroute(lane);
  }

  /** The connection to a broker has ended, and what the broker wished on it is forgotten. */
  onDisconnect(nodeId: number): void {
    const lane = this.#lanes.get(nodeId);
    if (lane === undefined || lane.heapIndex < 0 || this.#closed) return;
    this.#agenda.remove(lane);
    if (!this.#drainDeferred) this.#deferDrain();
  }

  /** Sends what is ready. Called once in a turn, and when an answer has freed a slot. */
  drain(): void {
    if (this.#closed) return;
    if (this.#lacksIdentity) return this.#drainLater();
    for (const lane of this.#lanes.values()) if (lane.ready.length > 0) this.#drainLane(lane);
  }

  /** There is no producer id yet. */
  #drainLater(): void {
    const ready = [...this.#lanes.values()].filter((lane) => lane.ready.length > 0);
    // The leaders are dialled meanwhile, and first: one of them is asked for the id, so that it takes no other broker.
    for (const lane of ready) if (this.#cluster.broker(lane.nodeId)?.connection === undefined) this.#connect(lane);
    if (ready.length > 0) void this.#ensureIdentity();
  }

  /** Fails everything that has no outcome, and stops. */
  abandon(reason: (persisted: "no" | "possibly", partition: Partition) => KafkaError): void {
    this.#closed = true;
    this.#schedule.serve(undefined);
    for (const batch of [...this.#accumulator.incomplete]) {
      const fate = batch.phase === IN_FLIGHT || batch.persisted !== "no" ? "possibly" : "no";
      this.#settlement.completeExceptionally(batch, reason(fate, batch.partition));
    }
  }

  /** Fails all records that have not been drained; what was drained goes on. */
  failUndrained(error: KafkaError): void {
    // First, or they would enter batches with the memory that the others give back.
    this.#waitingRoom.dropAll(error);
    for (const batch of [...this.#accumulator.incomplete]) {
      if (!batch.drained) this.#settlement.failQueued(batch, error);
    }
  }

  #deferDrain(): void {
    this.#drainDeferred = true;
    this.#runtime.defer(() => {
      this.#drainDeferred = false;
      this.drain();
    });
  }

  #lane(nodeId: number): Lane {
    let lane = this.#lanes.get(nodeId);
    if (lane === undefined) {
      const onDue = (): void => this.drain();
      const limit = new RequestLimit();
      lane = {
        nodeId,
        ready: [],
        large: [],
        isTrying: false,
        inFlight: 0,
        connecting: false,
        limit,
        ended: undefined,
        endedForSize: false,
        heapIndex: -1,
        dueMs: 0,
        onDue,
      };
      this.#lanes.set(nodeId, lane);
    }
    return lane;
  }

  /** True while batches must wait for a producer id. */
  get #lacksIdentity(): boolean {
    return this.#stamping.stamps && this.#stamping.identity === undefined;
  }

  async #ensureIdentity(): Promise<void> {
    if (this.#acquiring) return;
    this.#acquiring = true;
    const error = await this.#stamping.ensure();
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
      const chosen = this.#choose(lane);
      if (chosen.length > 0) this.#dispatch(lane, connection, chosen);
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
    const partitions = lane.ready;
    lane.ready = [];
    for (const partition of partitions) {
      partition.scheduled = false;
      for (const batch of [...partition.queue]) this.#settlement.failQueued(batch, error);
      this.#schedule.add(partition);
    }
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

  /** The partitions whose first batch goes into the next request: at most one batch of each. */
  #choose(lane: Lane): Partition[] {
    const nowMs = this.#runtime.now();
    const chosen: Partition[] = [];
    const { ready } = lane;
    // What was learnt of the broker is the size of whole requests.
    const limitBytes = lane.limit.bytes(nowMs);
    let bytes = 0;
    let overhead = 0;
    let visited = 0;
    for (; visited < ready.length; visited++) {
      const partition = ready[visited]!;
      partition.scheduled = false;
      const size = this.#sendableBytes(lane, partition, nowMs);
      if (size === 0) continue;
      // Until it is dispatched: a callback that sends meanwhile must not put it on the list a second time.
      partition.scheduled = true;
      const isLarge = this.#isLarge(lane, partition, size, nowMs);
      if (isLarge && chosen.length === 0 && lane.inFlight > 0) {
        lane.large.push(partition);
        visited += 1;
        break;
      }
      const more = overheadBound(partition.topic.name, this.#options.clientId);
      const isFull = bytes + size > REQUEST_BYTES || bytes + overhead + size + more > limitBytes;
      if (chosen.length > 0 && (isLarge || isFull)) break;
      bytes += size;
      overhead += more;
      chosen.push(partition);
    }
    lane.ready = visited < ready.length ? ready.slice(visited) : [];
    const stillReady = chosen.filter((partition) => this.#isStillReady(partition));
    // Hardly ever not: the limit is a hundred times as much as a request of several batches.
    return bytes + overhead <= this.#options.maxRequestSize ? stillReady : this.#withinMaxRequestSize(lane, stillReady);
  }

  /** False when a callback of a batch that failed while others were chosen has taken records back (see `signal`). */
  #isStillReady(partition: Partition): boolean {
    if (partition.queue[0]?.wire !== undefined) return true;
    partition.scheduled = false;
    this.#schedule.add(partition);
    return false;
  }

  /** Bytes of the partition's first batch if it may be sent now, made ready to be; 0 if it must wait. */
  #sendableBytes(lane: Lane, partition: Partition, nowMs: number): number {
    const head = partition.queue[0];
    if (head === undefined) return 0;
    const leader = partition.leader;
    if (leader === undefined || leader.leaderId !== lane.nodeId) {
      this.#schedule.add(partition);
      return 0;
    }
    if (!this.#schedule.isDue(head, nowMs)) {
      // It may have come to the front just now, and nothing else would remember when its linger ends.
      this.#schedule.watch(partition, nowMs);
      return 0;
    }
    const gate = this.#gate(partition, head, leader, nowMs);
    if (gate !== undefined) {
      if (gate === "backoff") this.#schedule.watch(partition, nowMs);
      // The epochs of the last id are used up, and the partition waits for a new one.
      if (this.#lacksIdentity) void this.#ensureIdentity();
      return 0;
    }
    if (head.wire === undefined) this.#encode(partition, head);
    const { wire } = head;
    if (wire === undefined) return 0;
    if (!this.#isLarge(lane, partition, wire.length, nowMs) || !this.#settlement.divide(head)) return wire.length;
    return this.#sendableBytes(lane, partition, nowMs);
  }

  #gate(partition: Partition, head: QueuedBatch, leader: PartitionMetadata, nowMs: number): Gate | undefined {
    const gate = gateOf({
      isEncoding: head.phase === ENCODING,
      nowMs,
      notBeforeMs: partition.notBeforeMs,
      awaitsMetadata: partition.awaitingMetadata,
      inFlight: partition.inFlight.length,
      sentToId: partition.sentTo.leaderId,
      leaderId: leader.leaderId,
      oneAtATime: this.#options.maxInFlight === 1,
    });
    if (gate !== undefined || !this.#stamping.stamps) return gate;
    this.#settlement.advance(partition);
    if (partition.queue[0] !== head) {
      // It couldn't get a new stamp and has failed.
      this.#schedule.add(partition);
      return "unresolved";
    }
    return stampedGateOf(this.#recovery.attempt(partition, head, leader)) ?? this.#registration(partition, head);
  }

  /** What is left to wait for when a partition's own state lets its batch go. */
  #registration(partition: Partition, head: QueuedBatch): Gate | undefined {
    if (head.drained) return undefined;
    const admitted = this.#stamping.admit(partition.topic.name, partition.index);
    if (admitted === undefined) return undefined;
    void admitted.then(() => this.#schedule.add(partition));
    return "registration";
  }

  /** True when a request with nothing but this batch is as large as those on which the broker hangs up. */
  #isLarge({ limit }: Lane, { topic }: Partition, bytes: number, nowMs: number): boolean {
    return bytes + overheadBound(topic.name, this.#options.clientId) >= limit.cutBytes(nowMs);
  }

  #encode(partition: Partition, batch: QueuedBatch): void {
    let later: Promise<void> | undefined;
    try {
      later = batch.encode(partition.topic.codec, this.#stamping.attributes);
    } catch (error) {
      this.#settlement.failQueued(batch, error as KafkaError);
      this.#schedule.add(partition);
      return;
    }
    if (later === undefined) return;
    later.then(() => {
      this.#accumulator.tidy(batch);
      this.#schedule.add(partition);
    }, (error) => {
      this.#settlement.failQueued(batch, error);
      this.#schedule.add(partition);
    });
  }

  /** Leaves out what would make the frame too large; a batch that is too large by itself fails before any byte. */
  #withinMaxRequestSize(lane: Lane, chosen: Partition[]): Partition[] {
    const { maxRequestSize, clientId, acks, requestTimeoutMs } = this.#options;
    while (chosen.length > 0) {
      const batches = chosen.map(({ queue }) => queue[0]!);
      if (frameSizeBound(batches, clientId) <= maxRequestSize) break;
      const connection = this.#cluster.broker(lane.nodeId)!.connection!;
      let size: number;
      try {
        size = frameSize(produceRequest(connection, batches, acks, requestTimeoutMs, this.#stamping), clientId);
      } catch {
        break; // broker and client share no version: the batches fail where the request is made
      }
      if (size <= maxRequestSize) break;
      const last = chosen.pop()!;
      if (chosen.length > 0) {
        lane.ready.unshift(last);
        continue;
      }
      last.scheduled = false;
      const { topic, index } = last;
      const message =
        `Send a smaller record or raise "maxRequestSize": the request takes ${size} bytes, the limit is ` +
        `${maxRequestSize}.`;
      this.#settlement.failQueued(
        batches[0]!,
        new RecordTooLargeError(message, { topic: topic.name, partition: index }),
      );
      this.#schedule.add(last);
    }
    return chosen;
  }

  #dispatch(lane: Lane, connection: Connection, partitions: readonly Partition[]): void {
    const batches: QueuedBatch[] = [];
    for (const partition of partitions) {
      partition.scheduled = false;
      const batch = partition.take(partition.leader!, this.#stamping.stamps);
      batch.seal();
      batches.push(batch);
      if (partition.queue.length > 0) this.#schedule.add(partition);
    }
    lane.isTrying = lane.limit.cuts > 0 &&
      this.#isLarge(lane, partitions[0]!, batches[0]!.wire!.length, this.#runtime.now());
    lane.inFlight += 1;
    this.#metrics.requestsInFlight += 1;
    const lost = (reason: unknown): void => {
      this.#freeSlot(lane);
      const isBehind = lane.ended === connection && lane.endedForSize;
      const error = this.#cutError(lane, connection, batches, reason) ?? reason;
      for (const batch of batches) this.#settlement.onLost(batch, error, isBehind);
      this.drain();
    };
    try {
      this.#exchange(lane, connection, batches, lost);
    } catch (error) {
      // Later, as if a broker had said so: a drain isn't prepared for callbacks that send again.
      void Promise.resolve(error).then(lost);
    }
  }

  /** Writes the request. When it ends, its slot is freed and its batches are settled. */
  #exchange(lane: Lane, connection: Connection, batches: readonly QueuedBatch[], lost: (error: unknown) => void): void {
    const { acks, requestTimeoutMs } = this.#options;
    const request = produceRequest(connection, batches, acks, requestTimeoutMs, this.#stamping);
    const { version, body } = request;
    if (version < PRODUCE_WITH_ZSTD && batches.some(({ partition }) => partition.topic.codec?.id === ZSTD)) {
      throw brokerError(UNSUPPORTED_COMPRESSION_TYPE, { api: "Produce" });
    }
    const sentMs = this.#runtime.now();
    let records = 0;
    let queueMs = 0;
    let longestQueueMs = 0;
    for (const batch of batches) {
      batch.sentByName = version <= PRODUCE_WITH_TOPIC_NAMES;
      records += batch.recordCount;
      const waitedMs = sentMs - batch.createdMs;
      queueMs += waitedMs;
      longestQueueMs = Math.max(longestQueueMs, waitedMs);
    }
    this.#metrics.requested(batches.length, records, queueMs, longestQueueMs, sentMs);
    if (acks === 0) {
      connection.send(Produce, version, body, requestTimeoutMs).then((flushed) => {
        this.#freeSlot(lane);
        const nowMs = this.#runtime.now();
        this.#metrics.answered(nowMs - sentMs, 0, nowMs);
        for (const batch of batches) this.#settlement.onAccepted(batch, -1n, -1, "unacknowledged", flushed);
        this.drain();
      }, lost);
      return;
    }
    connection.request(Produce, version, body, requestTimeoutMs).then((response) => {
      this.#freeSlot(lane);
      const nowMs = this.#runtime.now();
      if (lane.limit.cuts > 0) lane.limit.onAnswer(frameSizeBound(batches, this.#options.clientId));
      this.#metrics.answered(nowMs - sentMs, Math.min(response.throttleTimeMs, MAX_THROTTLE_MS), nowMs);
      const answer = { version, response };
      const results = resultsOf(request, response, batches);
      batches.forEach((batch, index) => {
        const fatal = this.#settlement.onResult(batch, results[index], answer, connection.address);
        if (fatal !== undefined) this.#die(fatal);
      });
      this.drain();
    }, lost);
  }

  /**
   * The error of a request that was the first without an answer when the broker ended the connection; undefined if that
   * is not how it was lost. The broker serves one request at a time, so this is the one that it hung up on.
   */
  #cutError(
    lane: Lane,
    connection: Connection,
    batches: readonly QueuedBatch[],
    reason: unknown,
  ): KafkaError | undefined {
    if (!connection.endedByPeer || lane.ended === connection) return undefined;
    lane.ended = connection;
    lane.endedForSize = false;
    // With acks 0 there are no answers: an end is all that a broker says of any error.
    if (this.#options.acks === 0 || !(reason instanceof ConnectionError) || reason.persisted === "no") return undefined;
    const nowMs = this.#runtime.now();
    const bytes = frameSizeBound(batches, this.#options.clientId);
    const isNews = lane.limit.onCut(bytes, nowMs);
    if (bytes < lane.limit.cutBytes(nowMs)) return undefined;
    lane.endedForSize = true;
    const { broker } = reason;
    const [batch] = batches;
    const isProven = batches.length === 1 && ++batch!.hangUps >= HANG_UPS && lane.limit.isProven;
    if (isProven && batch!.recordCount === 1) {
      const message =
        `Send a smaller record or raise "socket.request.max.bytes" of the broker at ${broker}: it has hung ` +
        `up ${batch!.hangUps} times on a request of about ${bytes} bytes with nothing but this record, and answers ` +
        `smaller ones.`;
      return new RecordTooLargeError(message, {
        ...reason as KafkaErrorOptions,
        code: "RECORD_TOO_LARGE",
        retriable: false,
        cause: reason,
      });
    }
    if (isNews) this.#options.logger.warn?.("request_cut", { broker, bytes, cuts: lane.limit.cuts });
    const message =
      `${reason.message} That has happened ${lane.limit.cuts} times, now to a request of about ${bytes} bytes. If that is too ` +
      `much for the broker, send smaller records, set "batchSize" or "maxRequestSize" to less, or raise ` +
      `"socket.request.max.bytes" there.`;
    return new ConnectionError(message, { ...reason as KafkaErrorOptions, cause: reason });
  }

  #freeSlot(lane: Lane): void {
    lane.inFlight -= 1;
    if (lane.inFlight === 0) {
      lane.ready.unshift(...lane.large.splice(0));
      lane.isTrying = false;
    }
    this.#metrics.requestsInFlight -= 1;
  }

  /** The producer can't go on: everything that waits fails. */
  #die(error: KafkaError): void {
    const reason = (persisted: "no" | "possibly", of?: Partition): KafkaError => {
      const own = { fatal: true, persisted, topic: of?.topic.name, partition: of?.index, cause: error };
      return new KafkaError(error.message, { ...error as KafkaErrorOptions, ...own });
    };
    this.#fatal = reason("no");
    this.#closed = true;
    this.#schedule.serve(undefined);
    this.#waitingRoom.dropAll(this.#fatal);
    this.abandon(reason);
  }
}
