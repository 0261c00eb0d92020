/**
 * How followers copy their leaders, and who is in sync.
 *
 * As in Kafka it is the followers who fetch, what a leader knows of them comes from their fetches, and leader and
 * follower must be of one epoch. No timer runs while nothing is behind.
 *
 * @module
 */

import type { ClusterRuntime } from "../cluster_runtime.ts";
import type { FollowerProgress, Replica, ReplicatedPartition } from "../storage/replica.ts";

/** How long the parts of a cluster need to learn of each other; `configure` changes it while the cluster runs. */
export interface ReplicationOptions {
  /**
   * How long after an append a follower has copied it, in ms, or a function that is asked for each copy; `Infinity`
   * stops it. 0: at once, within the append. @default 0
   */
  readonly replicationLagMs?: number | ((followerId: number, leaderId: number) => number);
  /** After how long a follower that can't keep up leaves the ISR, `replica.lag.time.max.ms`. @default 30_000 */
  readonly replicaLagTimeMaxMs?: number;
  /** How long the controller takes to find out that a broker is dead or cut off. @default 0 */
  readonly sessionTimeoutMs?: number;
  /** How long news of topics, leaders and ISR need to a broker, in ms, or a function. @default 0 */
  readonly metadataLagMs?: number | ((brokerId: number) => number);
}

/** What replication asks of the rest of the cluster. */
export interface ReplicationHost {
  /** Time, and what can be configured. */
  readonly clock: ClusterRuntime;
  /** How fast it all goes. */
  readonly replicationOptions: Required<ReplicationOptions>;
  /** Whether two brokers can talk to each other. */
  canReach(one: number, other: number): boolean;
  /** Whether a broker may be in the ISR of a partition. */
  mayBeInSync(partition: ReplicatedPartition, brokerId: number): boolean;
  /** The leader wants another ISR; the controller decides. */
  alterIsr(leader: Replica, isr: readonly number[]): void;
}

/** Moves batches from leaders to followers. */
export class Replication {
  readonly #host: ReplicationHost;

  /** For one cluster. */
  constructor(host: ReplicationHost) {
    this.#host = host;
  }

  /** The leader's log has grown, or the followers may have something to fetch for another reason. */
  wakeFollowers(leader: Replica): void {
    if (!leader.isLeader) return;
    for (const id of [...leader.followers.keys()]) this.#schedule(leader, id);
    leader.advance();
  }

  /** A follower is there again, or has learnt of a leader. */
  wakeFollower(follower: Replica): void {
    const leader = follower.partition.replica(follower.state.leaderId);
    if (leader?.isLeader) this.#schedule(leader, follower.brokerId);
  }

  #schedule(leader: Replica, id: number): void {
    const progress = leader.followers.get(id);
    if (progress === undefined || progress.fetch !== undefined) return;
    const follower = this.#fetcher(leader, id);
    if (follower === undefined) return this.#losePatience(leader, id, progress);
    const { replicationLagMs, replicaLagTimeMaxMs } = this.#host.replicationOptions;
    const lagMs = typeof replicationLagMs === "number" ? replicationLagMs : replicationLagMs(id, leader.brokerId);
    if (lagMs >= replicaLagTimeMaxMs) this.#losePatience(leader, id, progress);
    progress.isPrompt = lagMs <= 0;
    if (progress.isPrompt) return this.#fetch(leader, follower, progress);
    if (lagMs === Infinity) return;
    progress.fetch = this.#host.clock.setTimer(() => {
      progress.fetch = undefined;
      if (leader.followers.get(id) !== progress) return;
      if (this.#fetcher(leader, id) === undefined) this.#losePatience(leader, id, progress);
      else this.#fetch(leader, follower, progress);
    }, lagMs);
  }

  /** The follower, if it can fetch now. */
  #fetcher(leader: Replica, id: number): Replica | undefined {
    const follower = leader.partition.replica(id);
    if (follower?.role !== "follower" || !this.#host.canReach(id, leader.brokerId)) return undefined;
    const isOfOneEpoch = follower.state.leaderEpoch === leader.state.leaderEpoch;
    return isOfOneEpoch && !leader.partition.isHeldBack(id) ? follower : undefined;
  }

  #fetch(leader: Replica, follower: Replica, progress: FollowerProgress): void {
    follower.follow(leader);
    progress.endOffset = follower.log.endOffset;
    progress.patience?.cancel();
    progress.patience = undefined;
    const { isr } = leader.state;
    const isCaughtUp = progress.endOffset >= leader.highWatermark && progress.endOffset >= leader.epochStartOffset;
    if (isCaughtUp && !isr.includes(follower.brokerId)) {
      if (this.#host.mayBeInSync(leader.partition, follower.brokerId)) {
        this.#host.alterIsr(leader, [...isr, follower.brokerId]);
      }
    }
    leader.advance();
    for (const [id, { isPrompt, endOffset }] of leader.followers) {
      if (isPrompt && endOffset >= 0n) this.#fetcher(leader, id)?.learnHighWatermark(leader);
    }
  }

  /** From now on the follower has so long to catch up. */
  #losePatience(leader: Replica, id: number, progress: FollowerProgress): void {
    if (progress.patience !== undefined || !leader.state.isr.includes(id)) return;
    if (progress.endOffset >= leader.log.endOffset) return;
    progress.patience = this.#host.clock.setTimer(() => {
      progress.patience = undefined;
      const { isr } = leader.state;
      if (leader.followers.get(id) !== progress || !isr.includes(id)) return;
      if (progress.endOffset >= leader.log.endOffset) return;
      this.#host.alterIsr(leader, isr.filter((member) => member !== id));
    }, this.#host.replicationOptions.replicaLagTimeMaxMs);
  }
}
