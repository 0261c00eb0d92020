/**
 * Who is in charge: creates topics, elects leaders, and tells the brokers what it has decided.
 *
 * As in Kafka the controller hears of a dead broker only when its session has ended, and brokers hear of elections
 * only when the news has come to them. With all lags at 0, the default, both happen within the call.
 *
 * @module
 */

import { isObject, readOptions, refuse } from "../../call_options.ts";
import { ConfigError } from "../../errors.ts";
import { show } from "../../show.ts";
import type { Timer } from "../../runtime/runtime.ts";
import type { Broker } from "../broker/broker.ts";
import type { ClusterRuntime } from "../cluster_runtime.ts";
import type { Replica, ReplicatedPartition } from "../storage/replica.ts";
import { Replication, type ReplicationHost, type ReplicationOptions } from "./replication.ts";
import { isTopicName, type Partition, Topic, type TopicDefaults, type TopicSpec } from "./topic.ts";
import { ClusterView } from "./view.ts";

/** What the controller takes from the cluster. */
export interface ControllerOptions {
  /** Time. */
  readonly clock: ClusterRuntime;
  /** How fast news and copies travel. */
  readonly replication: Required<ReplicationOptions>;
  /** What holds for every topic. */
  readonly topicDefaults: TopicDefaults;
  /** Gives ids of topics. */
  readonly newId: () => string;
}

const MAX_REPLICATION_FACTOR = 3;

/** The controller of one cluster, which is not one of the brokers and never fails. */
export class Controller implements ReplicationHost {
  readonly clock: ClusterRuntime;
  readonly #options: ControllerOptions;
  readonly #brokers: readonly Broker[];
  readonly #topics = new Map<string, Topic>();
  readonly #alive = new Set<number>();
  readonly #sessions = new Map<number, Timer>();
  readonly #replication: Replication;
  #replicationOptions: Required<ReplicationOptions>;
  #view: ClusterView;
  #changed = new Set<ReplicatedPartition>();
  #created = 0;

  /** All brokers are there. */
  constructor(brokers: readonly Broker[], options: ControllerOptions) {
    this.clock = options.clock;
    this.#brokers = brokers;
    this.#options = options;
    this.#replicationOptions = options.replication;
    this.#replication = new Replication(this);
    for (const { id } of brokers) this.#alive.add(id);
    this.#view = new ClusterView(0, this.#aliveIds(), this.#topics, []);
    for (const broker of brokers) broker.view = this.#view;
  }

  /** How fast it all goes. */
  get replicationOptions(): Required<ReplicationOptions> {
    return this.#replicationOptions;
  }

  /** What was decided last. */
  get view(): ClusterView {
    return this.#view;
  }

  /** The topics by their names, in the order of their creation. */
  get topics(): ReadonlyMap<string, Topic> {
    return this.#topics;
  }

  /** Changes speeds; whoever waited for what never comes at the old speed tries again. */
  configure(options: ReplicationOptions): void {
    this.#replicationOptions = { ...this.#replicationOptions, ...options };
    for (const partition of this.#partitions()) {
      for (const id of partition.replicas) this.#replication.wakeFollowers(partition.replica(id)!);
    }
  }

  /** Creates a topic; {@link publish} makes it known. */
  createTopic(name: string, spec: TopicSpec, defaultPartitions: number): Topic {
    if (!isTopicName(name) || this.#topics.has(name)) {
      throw new ConfigError("topics", `Create topic ${show(name)} under a legal name that is not taken.`);
    }
    // A plan of the simulator carries the name as well.
    const known = ["partitions", "replicationFactor", "assignments", "config", "id", "name"];
    const read = readOptions("createTopic", spec, known) as TopicSpec;
    const { config = {}, id } = read;
    if (!isObject(config)) refuse("config", "an object", config);
    if (id !== undefined && typeof id !== "string") refuse("id", "32 hexadecimal digits", id);
    const { newId, topicDefaults } = this.#options;
    const assignments = read.assignments === undefined
      ? this.#place(name, read, defaultPartitions)
      : this.#checkAssignments(read.assignments);
    const topic = new Topic(name, id ?? newId(), config, assignments, topicDefaults);
    this.#topics.set(name, topic);
    this.#announce(topic.partitions);
    return topic;
  }

  /** Deletes a topic; brokers that don't know it yet go on serving it. */
  deleteTopic(name: string): void {
    const topic = this.#topics.get(name);
    if (topic === undefined) return;
    this.#topics.delete(name);
    for (const partition of topic.partitions) this.#changed.add(partition);
    this.publish();
  }

  /** Adds partitions until the topic has so many. */
  addPartitions(topic: Topic, total: number, assignments?: readonly (readonly number[])[]): void {
    const count = topic.partitions.length;
    if (assignments !== undefined) this.#checkAssignments(assignments);
    const added = assignments ?? this.#assign(count, total - count, topic.partitions[0]!.replicas.length);
    this.#announce(topic.extend(added));
    this.publish();
  }

  /** Makes a broker the leader in a new epoch; false when it may not be. Unclean: whatever the others have is lost. */
  elect(partition: Partition, brokerId: number, unclean: boolean): boolean {
    const isInSync = partition.isr.includes(brokerId);
    if (!this.#alive.has(brokerId) || !this.#broker(brokerId).isRunning || (!isInSync && !unclean)) return false;
    this.#decide(partition, {
      leaderId: brokerId,
      leaderEpoch: partition.leaderEpoch + 1,
      isr: isInSync ? partition.isr : [brokerId],
    });
    this.publish();
    return true;
  }

  /** Sets by hand who may be in sync; the others don't copy until they are named again. */
  setIsr(partition: Partition, wanted: readonly number[]): void {
    partition.holdBack(partition.replicas.filter((id) => !wanted.includes(id)));
    const kept = partition.isr.filter((id) => wanted.includes(id));
    this.#decide(partition, { isr: kept.length > 0 ? kept : wanted });
    this.publish();
    this.#replication.wakeFollowers(partition.leader);
  }

  /** A leader's log has grown. */
  appended(leader: Replica): void {
    this.#replication.wakeFollowers(leader);
  }

  canReach(one: number, other: number): boolean {
    return this.#isConnected(one) && this.#isConnected(other);
  }

  mayBeInSync(partition: ReplicatedPartition, brokerId: number): boolean {
    return this.#alive.has(brokerId) && !partition.isHeldBack(brokerId);
  }

  alterIsr(leader: Replica, isr: readonly number[]): void {
    const { partition, brokerId, state } = leader;
    // A leader that doesn't know the last decision may not make the next: it would bring back replicas that have just
    // left. It asks once more when it has the news.
    if (!this.#isConnected(brokerId) || partition.state.partitionEpoch !== state.partitionEpoch) return;
    this.#decide(partition, { isr });
    // The leader has the answer before the others have the news.
    leader.learn(partition.state);
    this.publish();
  }

  /** A broker can't be heard any more. It is taken for dead when its session has ended. */
  lose(id: number): void {
    if (!this.#alive.has(id) || this.#sessions.has(id)) return;
    const { sessionTimeoutMs } = this.#replicationOptions;
    if (sessionTimeoutMs <= 0) this.fence(id);
    else this.#sessions.set(id, this.clock.setTimer(() => this.fence(id), sessionTimeoutMs));
  }

  /** A broker is no longer counted on: others lead where it did, and it leaves every ISR of more than one. */
  fence(id: number): void {
    this.#endSession(id);
    if (!this.#alive.delete(id)) return;
    for (const partition of this.#partitions()) {
      const others = partition.isr.filter((member) => member !== id);
      if (others.length < partition.isr.length && others.length > 0) this.#decide(partition, { isr: others });
      if (partition.leaderId === id) this.#replaceLeader(partition);
    }
    this.publish();
  }

  /** A broker is there again; it leads what nobody else may, and learns the rest. */
  welcome(id: number): void {
    this.#alive.add(id);
    for (const partition of this.#partitions()) {
      if (partition.leaderId < 0 && partition.replicas.includes(id)) this.#replaceLeader(partition);
    }
    this.publish();
    this.#learn(this.#broker(id), this.#view, true);
  }

  /** The session of a broker that was cut off for a moment goes on. */
  resume(id: number): void {
    if (!this.#alive.has(id)) return this.welcome(id);
    this.#endSession(id);
    this.#learn(this.#broker(id), this.#view, true);
  }

  /** A broker is no more: it neither leads nor follows nor fetches. */
  down(id: number): void {
    for (const partition of this.#broker(id).view.partitions) {
      const replica = partition.replica(id);
      replica?.goOffline();
      replica?.producers.reload(this.clock.wallNow());
    }
  }

  /** Tells every broker in reach what has been decided since the last call. */
  publish(): void {
    this.#view = new ClusterView(this.#view.version + 1, this.#aliveIds(), this.#topics, [...this.#changed]);
    this.#changed = new Set();
    const view = this.#view;
    const { metadataLagMs } = this.#replicationOptions;
    const prompt: Broker[] = [];
    for (const broker of this.#brokers) {
      if (!this.#isConnected(broker.id)) continue;
      const lagMs = typeof metadataLagMs === "number" ? metadataLagMs : metadataLagMs(broker.id);
      if (lagMs <= 0) prompt.push(broker);
      else this.clock.setTimer(() => this.#isConnected(broker.id) && this.#learn(broker, view), lagMs);
    }
    const wakes = prompt.map((broker) => this.#takeNote(broker, view, false));
    for (const replicas of wakes) this.#wake(replicas);
  }

  /** Cancels what would happen later. */
  close(): void {
    for (const { id } of this.#brokers) {
      this.#endSession(id);
      this.down(id);
    }
  }

  #learn(broker: Broker, view: ClusterView, everything = false): void {
    this.#wake(this.#takeNote(broker, view, everything));
  }

  /** Gives a broker a view; returns its replicas that have another role or epoch now. */
  #takeNote(broker: Broker, view: ClusterView, everything: boolean): Replica[] {
    const before = broker.view;
    if (!everything && before.version >= view.version) return [];
    broker.view = view;
    const isNext = !everything && before.version + 1 === view.version;
    const partitions = isNext ? view.changed : new Set([...before.partitions, ...view.partitions]);
    const changed: Replica[] = [];
    for (const partition of partitions) {
      const replica = partition.replica(broker.id);
      if (replica === undefined) continue;
      const state = view.stateOf(partition);
      if (state === undefined) replica.goOffline();
      else {
        const { isr } = replica.state;
        const isNew = replica.learn(state);
        // A leader that hears late that a replica has left the ISR, which may have caught up by now: it asks once more.
        if (isNew || everything || (replica.isLeader && state.isr !== isr)) changed.push(replica);
      }
    }
    return changed;
  }

  #wake(replicas: readonly Replica[]): void {
    for (const replica of replicas) {
      if (replica.isLeader) this.#replication.wakeFollowers(replica);
      else this.#replication.wakeFollower(replica);
    }
  }

  #replaceLeader(partition: Partition): void {
    const alive = partition.replicas.filter((id) => this.#alive.has(id));
    const clean = alive.find((id) => partition.isr.includes(id));
    const leaderEpoch = partition.leaderEpoch + 1;
    if (clean !== undefined) return this.#decide(partition, { leaderId: clean, leaderEpoch });
    const [unclean] = partition.topic.rules.electsUncleanly ? alive : [];
    if (unclean !== undefined) return this.#decide(partition, { leaderId: unclean, leaderEpoch, isr: [unclean] });
    if (partition.leaderId >= 0) this.#decide(partition, { leaderId: -1, leaderEpoch });
  }

  #decide(partition: ReplicatedPartition, change: Parameters<Partition["decide"]>[0]): void {
    partition.decide(change);
    this.#changed.add(partition);
  }

  /** New partitions are led by a broker that is there. */
  #announce(partitions: readonly Partition[]): void {
    for (const partition of partitions) {
      this.#changed.add(partition);
      const isr = partition.replicas.filter((id) => this.#alive.has(id));
      if (isr.length === partition.replicas.length) continue;
      this.#decide(partition, { leaderId: isr[0] ?? -1, isr: isr.length > 0 ? isr : partition.replicas });
    }
  }

  #place(name: string, spec: TopicSpec, defaultPartitions: number): number[][] {
    const { partitions = defaultPartitions } = spec;
    const replicas = spec.replicationFactor ?? Math.min(MAX_REPLICATION_FACTOR, this.#brokers.length);
    const isCount = (count: unknown): boolean => Number.isInteger(count) && count as number >= 1;
    if (!isCount(partitions) || !isCount(replicas) || replicas > this.#brokers.length) {
      throw new ConfigError(
        "topics",
        `Create topic ${show(name)} with at least 1 partition and at most ${this.#brokers.length} replicas: ` +
          `${show(partitions)} and ${show(replicas)} are not.`,
      );
    }
    return this.#assign(this.#created++, partitions, replicas);
  }

  #checkAssignments(assignments: readonly (readonly number[])[]): readonly (readonly number[])[] {
    const isBroker = (id: unknown): boolean => this.#brokers.some((broker) => broker.id === id);
    const isRight = Array.isArray(assignments) && assignments.length > 0 &&
      assignments.every((ids) => Array.isArray(ids) && ids.length > 0 && ids.every(isBroker));
    if (!isRight) refuse("assignments", "a list with a list of broker ids for each partition", assignments);
    return assignments;
  }

  /** Leaders take turns, and each topic starts at another broker. */
  #assign(from: number, count: number, replicas: number): number[][] {
    return Array.from(
      { length: Math.max(0, count) },
      (_, i) =>
        Array.from(
          { length: replicas },
          (_, replica) => this.#brokers[(from + i + replica) % this.#brokers.length]!.id,
        ),
    );
  }

  #isConnected(id: number): boolean {
    const broker = this.#broker(id);
    return broker.isRunning && !broker.isIsolated;
  }

  #broker(id: number): Broker {
    return this.#brokers.find((broker) => broker.id === id)!;
  }

  #aliveIds(): number[] {
    return this.#brokers.filter(({ id }) => this.#alive.has(id)).map(({ id }) => id);
  }

  #endSession(id: number): void {
    this.#sessions.get(id)?.cancel();
    this.#sessions.delete(id);
  }

  *#partitions(): Generator<Partition> {
    for (const topic of this.#topics.values()) yield* topic.partitions;
  }
}
