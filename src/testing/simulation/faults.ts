/**
 * Brings the faults of a plan about, each at its time, and heals them.
 *
 * @module
 */

import type { AnyApi, RequestOf, ResponseInputOf } from "../../protocol/api.ts";
import { Metadata } from "../../protocol/messages/metadata.ts";
import { UNKNOWN_TOPIC_OR_PARTITION } from "../../protocol/error_code_names.ts";
import type { EmbeddedCluster } from "../cluster.ts";
import type { ControlAction, RequestContext } from "../broker/control.ts";
import type { Partition, Topic } from "../control/topic.ts";
import type { ClusterView } from "../control/view.ts";
import type { VirtualRuntime } from "../doubles/virtual_runtime.ts";
import type { FaultPlan, Place, SimulationPlan, WorldFaultPlan } from "./plan.ts";
import { actionOf, describeEffect, RequestFault } from "./request_faults.ts";

/** Who is told of faults as they happen. */
export type FaultListener = (what: string, fault: FaultPlan) => void;

/** The faults of one run. */
export class Faults {
  /** Added to every latency at the moment, in ms. */
  slownessMs = 0;
  /** Followers copy nothing at the moment. */
  replicationStops = 0;
  /** Topics that were deleted, as they were. */
  readonly graveyard: Topic[] = [];
  readonly #plan: SimulationPlan;
  readonly #cluster: EmbeddedCluster;
  readonly #runtime: VirtualRuntime;
  readonly #listener: FaultListener;
  readonly #requests: RequestFault[] = [];
  readonly #hidden = new Map<string, number>();
  readonly #stale = new Map<number, ClusterView>();
  #healed = false;

  /** Puts every fault on the clock. */
  constructor(plan: SimulationPlan, cluster: EmbeddedCluster, runtime: VirtualRuntime, listener: FaultListener) {
    this.#plan = plan;
    this.#cluster = cluster;
    this.#runtime = runtime;
    this.#listener = listener;
    for (const fault of plan.faults) {
      if (fault.kind === "requests") this.#requests.push(new RequestFault(fault));
      else runtime.setTimer(() => this.#happen(fault), fault.atMs);
    }
    if (plan.faults.some(({ kind }) => kind === "topic is not in metadata" || kind === "metadata is stale")) {
      cluster.control(Metadata, (request, context) => this.#onMetadata(request, context));
    }
    for (const api of new Set(this.#requests.filter(({ isOnTheWay }) => !isOnTheWay).map(({ api }) => api))) {
      cluster.control(api, (_request, context) => this.#onRequest(api, context));
    }
  }

  /** Whether any request is to be cut on its way. */
  get cutsRequests(): boolean {
    return this.#requests.some(({ isOnTheWay }) => isOnTheWay);
  }

  /** The share of a request that is let through on its way, if it is to be cut. */
  onTheWay(api: AnyApi, address: string): number | undefined {
    const brokerId = this.#cluster.brokers.find(({ id }) => addressOf(id) === address)?.id ?? -1;
    const fault = this.#hit(api, brokerId, true);
    return fault?.plan.effect.do === "cut request" ? fault.plan.effect.share : undefined;
  }

  /** Ends all that is still going on. */
  heal(): void {
    this.#healed = true;
    this.slownessMs = 0;
    this.replicationStops = 0;
    this.#hidden.clear();
    this.#stale.clear();
    const cluster = this.#cluster;
    cluster.quotas.length = 0;
    for (const { id } of cluster.brokers) {
      cluster.startBroker(id);
      cluster.healBroker(id);
      cluster.network.heal(addressOf(id));
    }
    for (const { name } of this.#plan.cluster.topics) this.#create(name);
    for (const topic of cluster.topics) for (const partition of topic.partitions) this.#letFollow(partition);
    this.#wakeReplication();
  }

  #happen(fault: WorldFaultPlan): void {
    if (this.#healed) return;
    const heal = this.#begin(fault);
    if (heal === undefined || !("forMs" in fault)) return;
    this.#runtime.setTimer(() => {
      if (this.#healed) return;
      this.#listener("over", fault);
      heal();
    }, fault.forMs);
  }

  /** Does it, and returns how it ends. */
  #begin(fault: WorldFaultPlan): (() => void) | undefined {
    const cluster = this.#cluster;
    this.#listener("begins", fault);
    switch (fault.kind) {
      case "leader moves":
      case "leader is elected uncleanly": {
        const replicas = this.#partition(fault)?.replicas ?? [];
        const brokerId = replicas[fault.nth % replicas.length];
        const unclean = fault.kind === "leader is elected uncleanly";
        if (brokerId !== undefined) cluster.electLeader(fault.topic, fault.partition, brokerId, { unclean });
        return undefined;
      }
      case "broker stops":
        cluster.stopBroker(fault.brokerId);
        return () => cluster.startBroker(fault.brokerId);
      case "broker is killed":
        cluster.killBroker(fault.brokerId);
        return () => cluster.startBroker(fault.brokerId);
      case "broker is isolated":
        cluster.isolateBroker(fault.brokerId);
        return () => cluster.healBroker(fault.brokerId);
      case "all brokers stop":
      case "all brokers are killed":
        for (const { id } of cluster.brokers) {
          if (fault.kind === "all brokers stop") cluster.stopBroker(id);
          else cluster.killBroker(id);
        }
        return () => cluster.brokers.forEach(({ id }) => cluster.startBroker(id));
      case "connections are reset":
        cluster.network.reset(addressOf(fault.brokerId));
        return undefined;
      case "black hole":
        cluster.network.blackHole(addressOf(fault.brokerId));
        return () => cluster.network.heal(addressOf(fault.brokerId));
      case "slow network":
        this.slownessMs += fault.addMs;
        return () => this.slownessMs = Math.max(0, this.slownessMs - fault.addMs);
      case "replicas fall behind": {
        const partition = this.#partition(fault);
        if (partition === undefined || partition.leaderId < 0) return undefined;
        cluster.setIsr(fault.topic, fault.partition, [partition.leaderId]);
        return () => this.#letFollow(partition);
      }
      case "replication stops":
        this.replicationStops++;
        return () => {
          this.replicationStops--;
          this.#wakeReplication();
        };
      case "topic is not in metadata":
        this.#hidden.set(fault.topic, (this.#hidden.get(fault.topic) ?? 0) + 1);
        return () => this.#hidden.set(fault.topic, this.#hidden.get(fault.topic)! - 1);
      case "metadata is stale":
        this.#stale.set(fault.brokerId, cluster.broker(fault.brokerId).view);
        return () => this.#stale.delete(fault.brokerId);
      case "topic is created anew":
        return this.#delete(fault.topic);
      case "topic grows": {
        const topic = cluster.topic(fault.topic);
        if (topic !== undefined) cluster.addPartitions(fault.topic, topic.partitions.length + fault.by);
        return undefined;
      }
      case "producers are forgotten":
        cluster.expireProducers();
        return undefined;
      case "quota":
        return cluster.quota({ bytesPerSecond: fault.bytesPerSecond });
    }
  }

  #partition({ topic, partition }: Place): Partition | undefined {
    return this.#cluster.topic(topic)?.partitions[partition];
  }

  /** Lets all replicas copy again; they join the ISR when they have caught up. */
  #letFollow({ topic, index, replicas }: Partition): void {
    if (this.#cluster.topic(topic.name) === topic) this.#cluster.setIsr(topic.name, index, replicas);
  }

  /** Who waited for what never came asks again. */
  #wakeReplication(): void {
    this.#cluster.configure({});
  }

  #delete(name: string): (() => void) | undefined {
    const topic = this.#cluster.topic(name);
    if (topic === undefined) return undefined;
    this.graveyard.push(topic);
    this.#cluster.deleteTopic(name);
    return () => this.#create(name);
  }

  #create(name: string): void {
    const plan = this.#plan.cluster.topics.find((topic) => topic.name === name);
    if (plan !== undefined && this.#cluster.topic(name) === undefined) this.#cluster.createTopic(name, plan);
  }

  #hit(api: AnyApi, brokerId: number, isOnTheWay: boolean): RequestFault | undefined {
    if (this.#healed) return undefined;
    const nowMs = this.#runtime.now();
    const fault = this.#requests.find((each) =>
      each.api === api && each.isOnTheWay === isOnTheWay && each.hits(brokerId, nowMs)
    );
    if (fault !== undefined) {
      this.#listener(`${api.name} to broker ${brokerId}: ${describeEffect(fault.plan.effect)}`, fault.plan);
    }
    return fault;
  }

  #onRequest(api: AnyApi, context: RequestContext): ControlAction | undefined {
    const fault = this.#hit(api, context.brokerId, false);
    return fault && actionOf(fault.plan.effect, context);
  }

  #onMetadata(
    request: RequestOf<typeof Metadata>,
    { brokerId }: RequestContext,
  ): ControlAction<typeof Metadata> | undefined {
    const view = this.#stale.get(brokerId);
    const isHidden = (name: string | null): boolean => name !== null && (this.#hidden.get(name) ?? 0) > 0;
    const hides = request.topics?.some(({ name }) => isHidden(name)) === true;
    if (view === undefined && !hides) return undefined;
    return {
      ...(view === undefined ? {} : { view }),
      transform: (body) => hides ? withoutTopics(body, isHidden) : body,
    };
  }
}

function withoutTopics(
  body: ResponseInputOf<typeof Metadata>,
  isHidden: (name: string | null) => boolean,
): ResponseInputOf<typeof Metadata> {
  return {
    ...body,
    topics: body.topics.map((topic) =>
      isHidden(topic.name ?? null)
        ? { errorCode: UNKNOWN_TOPIC_OR_PARTITION, name: topic.name ?? null, topicId: "0".repeat(32), partitions: [] }
        : topic
    ),
  };
}

/** Where a broker of the cluster listens. */
export function addressOf(brokerId: number): string {
  return `broker-${brokerId}.test:9092`;
}
