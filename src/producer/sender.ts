/**
 * Takes batches that are due to the brokers that lead their partitions, and their answers back.
 *
 * Each broker has a lane: a list of partitions whose first batch may be due, and a number of requests in flight. A
 * drain visits the lanes that have something and a free slot; a partition that must wait leaves the list, and the
 * event that ends its waiting puts it back. Cost follows ready partitions, not known ones.
 *
 * @module
 */

import { Backoff } from "../cluster/backoff.ts";
import type { Cluster } from "../cluster/cluster.ts";
import type { Connection } from "../cluster/connection.ts";
import { isUsable, type PartitionMetadata, ZERO_TOPIC_ID } from "../cluster/metadata.ts";
import { DeliveryTimeoutError, KafkaError, type Persisted, RecordTooLargeError } from "../errors.ts";
import { encodeRequestFrame, PRODUCE_WITH_TOPIC_NAMES, PRODUCE_WITH_ZSTD } from "../protocol/api.ts";
import { brokerError, errorOf, NONE, persistedAfter } from "../protocol/error_codes.ts";
import { Produce } from "../protocol/messages/produce.ts";
import type { RequestInputOf, ResponseOf } from "../protocol/schema.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Accumulator } from "./accumulator.ts";
import type { Batch } from "./batch.ts";
import type { Metrics } from "./metrics.ts";
import type { ResolvedOptions } from "./options.ts";
import type { Partition } from "./partition.ts";
import type { ProducerIdentity } from "./sequence.ts";
import type { Topic } from "./topic.ts";

type ProduceResponse = ResponseOf<typeof Produce>;
type PartitionResult = ProduceResponse["responses"][number]["partitionResponses"][number];

/** The way to one broker. */
interface Lane {
  readonly nodeId: number;
  ready: Partition[];
  inFlight: number;
  connecting: boolean;
}

/** How a failed attempt goes on. */
interface RetryOptions {
  /** Look who leads first. */
  readonly refresh: boolean;
  /** The broker has just told who leads: go there at once. */
  readonly hinted?: boolean;
  /** The attempt didn't reach the broker, so it isn't one. */
  readonly uncounted?: boolean;
}

/** A request is closed when it has so many bytes; a bigger batch travels alone. */
const REQUEST_BYTES = 1_048_576;
/** More than the bytes of a request beside its batches, topics' names and client id not counted. */
const REQUEST_OVERHEAD = 64;
const TOPIC_OVERHEAD = 32;
const PARTITION_OVERHEAD = 24;

const ZSTD = 4;

const CORRUPT_MESSAGE = 2;
const MAX_CORRUPT_ATTEMPTS = 3;
const NOT_LEADER_OR_FOLLOWER = 6;
const CLUSTER_AUTHORIZATION_FAILED = 31;
const UNSUPPORTED_VERSION = 35;
const OUT_OF_ORDER_SEQUENCE_NUMBER = 45;
const DUPLICATE_SEQUENCE_NUMBER = 46;
const UNKNOWN_PRODUCER_ID = 59;
const FENCED_LEADER_EPOCH = 74;
const UNSUPPORTED_COMPRESSION_TYPE = 76;

/** Drains the accumulator. */
export class Sender {
  readonly #runtime: Runtime;
  readonly #options: ResolvedOptions;
  readonly #cluster: Cluster;
  readonly #accumulator: Accumulator;
  readonly #identity: ProducerIdentity | undefined;
  readonly #metrics: Metrics;
  readonly #backoff: Backoff;
  readonly #lanes = new Map<number, Lane>();
  /** Partitions with batches and without a leader. */
  #stranded = new Set<Partition>();
  /** Partitions with a retry that waits for fresh metadata. */
  #awaitingMetadata = new Set<Partition>();
  #drainDeferred = false;
  #closed = false;
  #fatal: KafkaError | undefined;

  /** Makes a sender; `identity` is there for an idempotent producer. */
  constructor(
    runtime: Runtime,
    options: ResolvedOptions,
    cluster: Cluster,
    accumulator: Accumulator,
    identity: ProducerIdentity | undefined,
    metrics: Metrics,
  ) {
    this.#runtime = runtime;
    this.#options = options;
    this.#cluster = cluster;
    this.#accumulator = accumulator;
    this.#identity = identity;
    this.#metrics = metrics;
    this.#backoff = new Backoff(options.retryBackoffMs, options.retryBackoffMaxMs, () => runtime.random());
  }

  /** What ended the producer; undefined while it lives. */
  get fatal(): KafkaError | undefined {
    return this.#fatal;
  }

  /** True while a partition with batches has no leader. */
  get wantsMetadata(): boolean {
    return this.#stranded.size > 0;
  }

  /** Puts a partition on the list of the broker that leads it; the drain decides whether it may go. */
  schedule(partition: Partition): void {
    if (partition.scheduled || partition.queue.length === 0 || this.#closed) return;
    const leader = leaderOf(partition);
    if (leader === undefined) {
      this.#stranded.add(partition);
      void this.#cluster.requestUpdate();
      return;
    }
    const lane = this.#lane(leader.leaderId);
    partition.scheduled = true;
    lane.ready.push(partition);
    // While all slots are taken nothing is to be done: the next answer drains, and batches grow until then.
    if (!this.#drainDeferred && lane.inFlight < this.#options.maxInFlight && !lane.connecting) this.#deferDrain();
  }

  /** Linger, backoff or delivery timeout of a partition: fails what is late, schedules the rest. */
  onDue(partition: Partition): void {
    const nowMs = this.#runtime.now();
    this.#expire(partition, nowMs);
    const head = partition.queue[0];
    const due = head !== undefined && this.#accumulator.isDue(head, nowMs) && nowMs >= partition.notBeforeMs;
    if (due) this.schedule(partition);
    this.#accumulator.watch(partition, nowMs);
  }

  /** Metadata was refreshed, or could not be: whoever waited for it goes on. */
  onMetadata(): void {
    const stranded = this.#stranded;
    this.#stranded = new Set();
    for (const partition of stranded) this.schedule(partition);
    const awaiting = this.#awaitingMetadata;
    this.#awaitingMetadata = new Set();
    for (const partition of awaiting) {
      partition.awaitingMetadata = false;
      const leader = leaderOf(partition);
      // A new leader has been elected since the attempt failed: there is nothing to back off from (KIP-951).
      if (leader !== undefined && leader.leaderEpoch > partition.sentTo.leaderEpoch) partition.notBeforeMs = 0;
      this.schedule(partition);
    }
    for (const lane of this.#lanes.values()) if (lane.connecting) this.#reroute(lane);
  }

  /** Sends what is ready. Called once in a turn, and when an answer has freed a slot. */
  drain(): void {
    if (this.#closed) return;
    const identity = this.#identity;
    if (identity !== undefined && !identity.held) {
      if (!this.#hasReady()) return;
      void this.#acquireIdentity(identity);
      // Meanwhile the leaders are dialled: a cold start waits for both at once.
      for (const lane of this.#lanes.values()) if (lane.ready.length > 0) this.#connectIfNeeded(lane);
      return;
    }
    for (const lane of this.#lanes.values()) if (lane.ready.length > 0) this.#drainLane(lane);
  }

  /** Fails everything that has no outcome, and stops. */
  abandon(reason: (persisted: "no" | "possibly") => KafkaError): void {
    this.#closed = true;
    for (const batch of [...this.#accumulator.incomplete]) {
      const fate = batch.partition.inFlight.includes(batch) || batch.persisted !== "no" ? "possibly" : "no";
      this.#conclude(batch, reason(fate));
    }
  }

  /** Stops. Nothing is left to be sent. */
  close(): void {
    this.#closed = true;
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
      lane = { nodeId, ready: [], inFlight: 0, connecting: false };
      this.#lanes.set(nodeId, lane);
    }
    return lane;
  }

  #hasReady(): boolean {
    for (const lane of this.#lanes.values()) if (lane.ready.length > 0) return true;
    return false;
  }

  async #acquireIdentity(identity: ProducerIdentity): Promise<void> {
    const error = await identity.acquire();
    if (this.#closed) return;
    if (error === undefined) return this.drain();
    // Refused for good: what waits is told. A later send asks again, for rights can be granted.
    for (const batch of [...this.#accumulator.incomplete]) if (!batch.drained) this.#conclude(batch, error);
  }

  #drainLane(lane: Lane): void {
    const connection = this.#cluster.broker(lane.nodeId)?.connection;
    if (connection === undefined) return this.#connect(lane);
    while (lane.ready.length > 0 && lane.inFlight < this.#options.maxInFlight) {
      const chosen = this.#choose(lane);
      if (chosen.length === 0) return;
      this.#dispatch(lane, connection, chosen);
    }
  }

  #connectIfNeeded(lane: Lane): void {
    if (this.#cluster.broker(lane.nodeId)?.connection === undefined) this.#connect(lane);
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
      for (const partition of lane.ready) noteError(partition, error);
      void this.#cluster.requestUpdate();
      if (lane.ready.length > 0) this.#connect(lane);
    });
  }

  /** Sends a lane's partitions to where they belong by now. */
  #reroute(lane: Lane): void {
    const partitions = lane.ready;
    lane.ready = [];
    for (const partition of partitions) {
      partition.scheduled = false;
      this.schedule(partition);
    }
  }

  /** The partitions whose first batch goes into the next request: at most one batch of each. */
  #choose(lane: Lane): Partition[] {
    const nowMs = this.#runtime.now();
    const chosen: Partition[] = [];
    const { ready } = lane;
    let bytes = 0;
    let visited = 0;
    for (; visited < ready.length; visited++) {
      const partition = ready[visited]!;
      partition.scheduled = false;
      const size = this.#sendableBytes(lane, partition, nowMs);
      if (size === 0) continue;
      if (chosen.length > 0 && bytes + size > REQUEST_BYTES) {
        partition.scheduled = true;
        break;
      }
      bytes += size;
      chosen.push(partition);
    }
    lane.ready = visited < ready.length ? ready.slice(visited) : [];
    return this.#withinMaxRequestSize(lane, chosen);
  }

  /** Bytes of the partition's first batch if it may be sent now, made ready to be; 0 if it must wait. */
  #sendableBytes(lane: Lane, partition: Partition, nowMs: number): number {
    const head = partition.queue[0];
    if (head === undefined) return 0;
    const leader = leaderOf(partition);
    if (leader === undefined || leader.leaderId !== lane.nodeId) {
      this.schedule(partition);
      return 0;
    }
    if (!this.#accumulator.isDue(head, nowMs)) return 0;
    const oneAtATime = this.#options.maxInFlight === 1;
    const gate = partition.gate(head, leader, nowMs, oneAtATime) ??
      (this.#identity && partition.idempotentGate(head, leader, this.#identity));
    if (gate !== undefined) {
      if (gate === "backoff") this.#accumulator.watch(partition, nowMs);
      return 0;
    }
    if (head.wire === undefined) this.#encode(partition, head);
    return head.wire?.length ?? 0;
  }

  #encode(partition: Partition, batch: Batch): void {
    batch.closed = true;
    let later: Promise<void> | undefined;
    try {
      later = batch.encode(partition.topic.codec);
    } catch (error) {
      this.#conclude(batch, error as KafkaError);
      this.schedule(partition);
      return;
    }
    if (later === undefined) return;
    batch.encoding = true;
    later.then(() => {
      batch.encoding = false;
      this.schedule(partition);
    }, (error) => {
      batch.encoding = false;
      this.#conclude(batch, error);
      this.schedule(partition);
    });
  }

  /** Leaves out what would make the frame too large; a batch that is too large by itself fails before any byte. */
  #withinMaxRequestSize(lane: Lane, chosen: Partition[]): Partition[] {
    const { maxRequestSize, clientId } = this.#options;
    while (chosen.length > 0) {
      let size = REQUEST_OVERHEAD + 3 * clientId.length;
      for (const { topic, queue } of chosen) {
        size += TOPIC_OVERHEAD + 3 * topic.name.length + PARTITION_OVERHEAD + queue[0]!.wire!.length;
      }
      if (size <= maxRequestSize) break;
      const frameSize = this.#frameSize(lane, chosen);
      if (frameSize <= maxRequestSize) break;
      const last = chosen.pop()!;
      if (chosen.length > 0) {
        last.scheduled = true;
        lane.ready.unshift(last);
        continue;
      }
      const batch = last.queue[0]!;
      this.#conclude(
        batch,
        new RecordTooLargeError(
          `Send smaller records or raise "maxRequestSize": the request takes ${frameSize} bytes, the limit is ` +
            `${maxRequestSize}.`,
          { topic: last.topic.name, partition: last.index },
        ),
      );
      this.schedule(last);
    }
    return chosen;
  }

  #frameSize(lane: Lane, chosen: readonly Partition[]): number {
    const connection = this.#cluster.broker(lane.nodeId)!.connection!;
    const [version, body] = this.#request(connection, chosen.map(({ queue }) => queue[0]!));
    const parts = encodeRequestFrame(Produce, version, 0, this.#options.clientId, body);
    return parts.reduce((sum, part) => sum + part.length, 0) - 4;
  }

  #request(connection: Connection, batches: readonly Batch[]): [number, RequestInputOf<typeof Produce>] {
    const topics = new Map<Topic, { index: number; records: Uint8Array }[]>();
    let idsKnown = true;
    for (const { partition: { topic, index }, wire } of batches) {
      let partitionData = topics.get(topic);
      if (partitionData === undefined) {
        partitionData = [];
        topics.set(topic, partitionData);
        if (topic.metadata.topicId === ZERO_TOPIC_ID) idsKnown = false;
      }
      partitionData.push({ index, records: wire! });
    }
    const version = connection.version(Produce, idsKnown ? undefined : PRODUCE_WITH_TOPIC_NAMES);
    const topicData = [...topics].map(([{ name, metadata }, partitionData]) => ({
      name,
      topicId: metadata.topicId,
      partitionData,
    }));
    const { acks, requestTimeoutMs } = this.#options;
    return [version, { acks, timeoutMs: requestTimeoutMs, topicData }];
  }

  #dispatch(lane: Lane, connection: Connection, partitions: readonly Partition[]): void {
    const batches: Batch[] = [];
    for (const partition of partitions) {
      const batch = partition.take(leaderOf(partition)!);
      if (!batch.drained) batch.seal(this.#stampFor(batch));
      batches.push(batch);
      if (partition.queue.length > 0) this.schedule(partition);
    }
    lane.inFlight += 1;
    this.#metrics.requestsInFlight += 1;
    const sentMs = this.#runtime.now();
    const landed = (): void => {
      lane.inFlight -= 1;
      this.#metrics.requestsInFlight -= 1;
    };
    this.#exchange(connection, batches).then((response) => {
      landed();
      this.#metrics.requestsAnswered += 1;
      this.#metrics.latencyMs += this.#runtime.now() - sentMs;
      this.#onAnswer(batches, response, connection);
      this.drain();
    }, (error) => {
      landed();
      for (const batch of batches) this.#onLost(batch, error);
      this.drain();
    });
  }

  /** Writes the request; resolves with the answer, or with undefined where there is none to wait for (acks 0). */
  async #exchange(connection: Connection, batches: readonly Batch[]): Promise<[number, ProduceResponse] | undefined> {
    const [version, body] = this.#request(connection, batches);
    if (version < PRODUCE_WITH_ZSTD && batches.some(({ partition }) => partition.topic.codec?.id === ZSTD)) {
      throw brokerError(UNSUPPORTED_COMPRESSION_TYPE, { api: "Produce" });
    }
    this.#metrics.requestsSent += 1;
    for (const batch of batches) this.#metrics.recordsRequested += batch.recordCount;
    if (this.#options.acks === 0) {
      await connection.send(Produce, version, body);
      return undefined;
    }
    return [version, await connection.request(Produce, version, body, this.#options.requestTimeoutMs)];
  }

  #stampFor(batch: Batch): Batch["stamp"] {
    if (this.#identity === undefined) return batch.stamp;
    return batch.partition.sequence.stamp(batch.recordCount);
  }

  /** Takes an answer apart, partition by partition. One that is missing is sent again, an invented one is ignored. */
  #onAnswer(
    batches: readonly Batch[],
    answer: [number, ProduceResponse] | undefined,
    connection: Connection,
  ): void {
    if (answer === undefined) {
      for (const batch of batches) this.#onAccepted(batch, -1n, -1, "unacknowledged");
      return;
    }
    const [version, response] = answer;
    const results = new Map<string, Map<number, PartitionResult>>();
    for (const topic of response.responses) {
      const key = version > PRODUCE_WITH_TOPIC_NAMES ? topic.topicId : topic.name;
      const byIndex = results.get(key) ?? new Map<number, PartitionResult>();
      results.set(key, byIndex);
      for (const result of topic.partitionResponses) if (!byIndex.has(result.index)) byIndex.set(result.index, result);
    }
    for (const batch of batches) {
      const { topic, index } = batch.partition;
      const key = version > PRODUCE_WITH_TOPIC_NAMES ? topic.metadata.topicId : topic.name;
      const result = results.get(key)?.get(index);
      if (result === undefined) {
        const error = new KafkaError("The broker's answer leaves this partition out.", {
          code: "MISSING_RESPONSE",
          retriable: true,
          persisted: "possibly",
        });
        this.#onLost(batch, error);
      } else {
        this.#onResult(batch, result, response, connection);
      }
    }
  }

  #onResult(batch: Batch, result: PartitionResult, response: ProduceResponse, connection: Connection): void {
    const { errorCode, baseOffset, logAppendTimeMs } = result;
    if (errorCode === NONE) {
      // For a duplicate the broker fills in the batch's own latest timestamp (broker-facts W1), which says nothing of
      // the other records; on a LogAppendTime topic it is the broker's clock.
      const appendTime = Number(logAppendTimeMs);
      const echoed = batch.attempts > 0 && appendTime === batch.maxTimestamp;
      this.#onAccepted(batch, baseOffset, echoed ? -1 : appendTime, echoed ? "duplicate" : "acked");
    } else if (errorCode === DUPLICATE_SEQUENCE_NUMBER) {
      this.#onAccepted(batch, -1n, -1, "duplicate");
    } else {
      this.#onRefused(batch, result, response, connection);
    }
  }

  #onAccepted(
    batch: Batch,
    baseOffset: bigint,
    appendTimeMs: number,
    delivery: "acked" | "duplicate" | "unacknowledged",
  ): void {
    const { partition } = batch;
    partition.landed(batch);
    partition.sequence.accepted(batch, partition.sentTo);
    if (batch.outcome === undefined) {
      const size = batch.wire!.length;
      this.#metrics.recordsSent += batch.recordCount;
      this.#metrics.batchesSent += 1;
      this.#metrics.bytesSent += size;
      this.#metrics.uncompressedBytes += batch.length;
      batch.outcome = { result: batch.resultOf(baseOffset, appendTimeMs, delivery) };
      this.#accumulator.tell(partition);
    }
    // The answer shows that the request has been read; without one (acks 0) the socket may still hold the bytes.
    if (delivery !== "unacknowledged") batch.recycle();
    this.schedule(partition);
  }

  #onRefused(batch: Batch, result: PartitionResult, response: ProduceResponse, connection: Connection): void {
    const { partition } = batch;
    const { errorCode, baseOffset, currentLeader, errorMessage } = result;
    const row = errorOf(errorCode);
    batch.persisted = worse(batch.persisted, persistedAfter(errorCode, baseOffset));
    const error = brokerError(errorCode, {
      topic: partition.topic.name,
      partition: partition.index,
      broker: `${connection.address.host}:${connection.address.port}`,
      detail: errorMessage,
      persisted: batch.persisted,
    });
    const hinted = (errorCode === NOT_LEADER_OR_FOLLOWER || errorCode === FENCED_LEADER_EPOCH) &&
      this.#cluster.applyLeaderHint(partition.topic.name, partition.index, currentLeader, response.nodeEndpoints);
    if (this.#identity !== undefined && isOutOfOrder(errorCode)) {
      this.#onOutOfOrder(batch, error);
    } else if (
      this.#identity !== undefined && (errorCode === CLUSTER_AUTHORIZATION_FAILED || errorCode === UNSUPPORTED_VERSION)
    ) {
      partition.landed(batch);
      this.#die(error);
    } else if (errorCode === CORRUPT_MESSAGE && batch.attempts + 1 >= MAX_CORRUPT_ATTEMPTS) {
      this.#failAttempt(batch, error);
    } else if (row.retriable) {
      if (hinted) void this.#cluster.requestUpdate();
      this.#retry(batch, error, { refresh: row.refreshMetadata, hinted });
    } else {
      this.#failAttempt(batch, error);
    }
    this.schedule(partition);
  }

  /**
   * The broker misses an earlier sequence (delivery rule I10). If an earlier batch is still to be answered, that is
   * why; if not, there is a gap in the log: this batch wasn't appended, and goes out again under a new epoch.
   */
  #onOutOfOrder(batch: Batch, error: KafkaError): void {
    const { partition } = batch;
    const { sequence, inFlight, queue } = partition;
    const earlier = [...inFlight, ...queue].some((other) => other.drained && other.ordinal < batch.ordinal);
    if (!earlier && batch.outcome === undefined && this.#identity!.held) {
      if (!sequence.unresolved) {
        this.#options.logger.warn?.("data_loss_suspected", {
          topic: partition.topic.name,
          partition: partition.index,
          baseSequence: batch.stamp.baseSequence,
        });
      }
      if (!sequence.rewrite && sequence.isAt(this.#identity!)) this.#identity!.bumpEpoch();
      sequence.rewrite = true;
    }
    this.#retry(batch, error, { refresh: false });
  }

  /** An attempt that got no answer: the connection ended, or the answer leaves the batch out. */
  #onLost(batch: Batch, reason: unknown): void {
    const { partition } = batch;
    const error = reason instanceof KafkaError ? reason : new KafkaError("The request failed.", { cause: reason });
    batch.persisted = worse(batch.persisted, error.persisted);
    if (this.#options.acks === 0) {
      partition.landed(batch);
      this.#conclude(batch, withFate(error, batch));
    } else if (error.retriable) {
      // Not a byte of it left: the broker can't have seen it, and it was no attempt (network rule N4).
      this.#retry(batch, error, { refresh: true, uncounted: error.persisted === "no" });
    } else {
      this.#failAttempt(batch, withFate(error, batch));
    }
    this.schedule(partition);
  }

  #retry(batch: Batch, error: KafkaError, { refresh, hinted = false, uncounted = false }: RetryOptions): void {
    const { partition } = batch;
    partition.landed(batch);
    partition.sequence.disturbed();
    batch.lastError = error;
    // Its deadline has passed while it was in flight: it has been told, and is not sent again.
    if (batch.outcome !== undefined) return;
    if (!uncounted) batch.attempts += 1;
    if (batch.attempts > this.#options.retries) {
      this.#endInDoubt(batch);
      this.#conclude(batch, withFate(error, batch));
      return;
    }
    this.#metrics.retries += 1;
    partition.putBack(batch);
    partition.notBeforeMs = hinted ? 0 : this.#runtime.now() + this.#backoff.delayMs(Math.max(1, batch.attempts));
    if (refresh && !hinted) {
      partition.awaitingMetadata = true;
      this.#awaitingMetadata.add(partition);
      void this.#cluster.requestUpdate();
    }
    this.#accumulator.watch(partition, this.#runtime.now());
  }

  #failAttempt(batch: Batch, error: KafkaError): void {
    batch.partition.landed(batch);
    if (batch.outcome !== undefined) return;
    this.#endInDoubt(batch);
    this.#conclude(batch, error);
  }

  /** Nobody may use its sequence again, and what comes after must not be sent as if nothing had happened. */
  #endInDoubt(batch: Batch): void {
    if (this.#identity !== undefined && batch.drained) batch.partition.sequence.doubt(batch);
  }

  /** Gives a batch its outcome, and tells all that can be told in order. */
  #conclude(batch: Batch, error: KafkaError): void {
    if (batch.outcome !== undefined) return;
    const { partition } = batch;
    batch.outcome = { error };
    partition.removeFromQueue(batch);
    if (!batch.drained) {
      partition.untold.push(batch);
      if (!batch.encoding) batch.recycle();
    }
    this.#accumulator.tell(partition);
  }

  /** Fails what is past its deadline, in order, whether it waits or is in flight. */
  #expire(partition: Partition, nowMs: number): void {
    for (const batch of [...partition.untold, ...partition.queue]) {
      if (batch.deadlineMs > nowMs || batch.outcome !== undefined) continue;
      const inFlight = partition.inFlight.includes(batch);
      if (inFlight) batch.persisted = worse(batch.persisted, "possibly");
      this.#endInDoubt(batch);
      this.#conclude(batch, this.#expiryError(batch, inFlight));
    }
    this.schedule(partition);
  }

  #expiryError(batch: Batch, inFlight: boolean): DeliveryTimeoutError {
    const { topic, index } = batch.partition;
    const where = inFlight ? "the answer was awaited" : batch.drained ? "it was to be sent again" : "it was never sent";
    const cause = batch.lastError ?? this.#identity?.lastError ?? this.#cluster.lastError;
    const fate = batch.persisted === "no" ? "not in the log" : "possibly in the log";
    return new DeliveryTimeoutError(
      `Gave up on a batch of ${batch.recordCount} for topic "${topic.name}" partition ${index} after ` +
        `${this.#options.deliveryTimeoutMs} ms (deliveryTimeoutMs) while ${where}; it is ${fate}.` +
        (cause === undefined ? "" : ` ${cause.message}`),
      { topic: topic.name, partition: index, persisted: batch.persisted, cause },
    );
  }

  /** The producer may not go on at all: everything that waits is told why. */
  #die(error: KafkaError): void {
    const { code, errorCode, topic, partition, broker, persisted } = error;
    this.#fatal = new KafkaError(error.message, {
      ...{ code, topic, partition, broker, persisted, fatal: true, cause: error },
      ...(errorCode === undefined ? {} : { errorCode }),
    });
    this.abandon((fate) => new KafkaError(this.#fatal!.message, { code, fatal: true, persisted: fate, cause: error }));
  }
}

/** The leader of a partition, as far as it is known. */
function leaderOf(partition: Partition): PartitionMetadata | undefined {
  const { metadata } = partition.topic;
  if (!isUsable(metadata)) return undefined;
  const leader = metadata.partitions[partition.index];
  return leader === undefined || leader.leaderId < 0 ? undefined : leader;
}

function noteError(partition: Partition, error: unknown): void {
  const head = partition.queue[0];
  if (head !== undefined && error instanceof KafkaError) head.lastError = error;
}

function isOutOfOrder(errorCode: number): boolean {
  return errorCode === OUT_OF_ORDER_SEQUENCE_NUMBER || errorCode === UNKNOWN_PRODUCER_ID;
}

/** Once a record may be in the log, nothing makes it certain that it is not. */
function worse(a: Persisted, b: Persisted): Persisted {
  return a === "no" ? b : a;
}

/** The error that ends a batch, with what is known of the batch as a whole. */
function withFate(error: KafkaError, batch: Batch): KafkaError {
  const { topic, index } = batch.partition;
  if (error.persisted === batch.persisted && error.topic !== undefined) return error;
  const Class = error.constructor as new (message: string, options: object) => KafkaError;
  return new Class(error.message, {
    code: error.code,
    errorCode: error.errorCode,
    retriable: error.retriable,
    persisted: batch.persisted,
    topic: topic.name,
    partition: index,
    broker: error.broker,
    cause: error,
  });
}
