/**
 * The admin client: what there is in a cluster, and changes of it.
 *
 * @module
 */

import { readOptions } from "../call_options.ts";
import { nextTurn } from "../cluster/sleep.ts";
import { detached } from "../runtime/detached.ts";
import { Outstanding } from "../runtime/outstanding.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { selectRuntime, systemRuntime } from "../runtime/select.ts";
import { checkFlag, checkWord } from "./arguments.ts";
import { Call, CALL_OPTIONS, type CallOptions } from "./call.ts";
import { type ClusterDescription, describeCluster } from "./cluster_description.ts";
import {
  type ConfigChange,
  type ConfigDescription,
  type ConfigResource,
  describeConfigs,
  type DescribeConfigsOptions,
  incrementalAlterConfigs,
} from "./configs.ts";
import { Dispatcher } from "./dispatcher.ts";
import {
  deleteGroups,
  describeGroups,
  type GroupDescription,
  type GroupListing,
  listGroups,
  type ListGroupsOptions,
} from "./groups.ts";
import {
  alterConsumerGroupOffsets,
  type CommittedOffset,
  deleteConsumerGroupOffsets,
  type DeletedRecords,
  deleteRecords,
  type FoundOffset,
  type IsolationLevel,
  listConsumerGroupOffsets,
  listOffsets,
  type OffsetQuery,
  type OffsetSpec,
  type OffsetToCommit,
  type RecordsToDelete,
  resetConsumerGroupOffsets,
  type TopicPartition,
} from "./offsets.ts";
import { type AdminOptions, resolveAdminOptions } from "./options.ts";
import { type AdminResult, AdminResults } from "./results.ts";
import {
  type ChangeOptions,
  type CreatedTopic,
  createPartitions,
  createTopics,
  deleteTopics,
  describeTopics,
  listTopics,
  type ListTopicsOptions,
  type NewPartitions,
  type NewTopic,
  readChangeOptions,
  type TopicDescription,
  type TopicListing,
} from "./topics.ts";

/**
 * Looks at a cluster and changes it: topics, configs, offsets, groups.
 *
 * Calls that name several things answer for each of them (see {@link AdminResults}); calls go on through elections, lost
 * connections and throttles until `timeoutMs`, or `defaultApiTimeoutMs` of the client, is over. Connections are opened
 * when they are needed. Made by {@link createAdmin}.
 */
export class Admin {
  readonly #dispatcher: Dispatcher;
  readonly #closing = new AbortController();
  readonly #outstanding: Outstanding;

  /** @internal See {@link createAdmin}. */
  constructor(options: AdminOptions, runtime?: Runtime) {
    const resolved = resolveAdminOptions(options);
    const given = runtime ?? (resolved.connect === undefined ? selectRuntime() : systemRuntime(resolved.connect));
    this.#outstanding = new Outstanding(given);
    this.#dispatcher = new Dispatcher(detached(given), resolved, this.#closing.signal);
  }

  /** Lists the topics that the principal may describe, by name; Kafka's own with `includeInternal` only. */
  listTopics(options: ListTopicsOptions = {}): Promise<TopicListing[]> {
    return this.#call("listTopics", async (name) => {
      const { includeInternal, ...rest } = readOptions(name, options, ["includeInternal", ...CALL_OPTIONS]);
      const isWanted = checkFlag("includeInternal", includeInternal, false);
      return await listTopics(this.#dispatcher, this.#newCall(name, rest), isWanted);
    });
  }

  /**
   * Describes topics: partitions, leaders, replicas. A topic that isn't there is UNKNOWN_TOPIC_OR_PARTITION (after three
   * attempts: one that was just created isn't known to all brokers yet).
   */
  describeTopics(topics: Iterable<string>, options: CallOptions = {}): AdminResults<TopicDescription> {
    return this.#each("describeTopics", (name) => {
      const call = this.#newCall(name, readOptions(name, options, CALL_OPTIONS));
      return describeTopics(this.#dispatcher, call, topics);
    });
  }

  /**
   * Creates topics, or, with `validateOnly`, says whether that could be done (KIP-4). One that is there already is
   * TOPIC_ALREADY_EXISTS.
   */
  createTopics(topics: Iterable<NewTopic>, options: ChangeOptions = {}): AdminResults<CreatedTopic> {
    return this.#each("createTopics", (name) => {
      const { validateOnly, ...rest } = readChangeOptions(name, options);
      return createTopics(this.#dispatcher, this.#newCall(name, rest), topics, validateOnly);
    });
  }

  /** Gives topics more partitions (KIP-195); `partitions` is how many there are to be in all. Keys move to other ones. */
  createPartitions(
    topics: Iterable<NewPartitions>,
    options: ChangeOptions = {},
  ): AdminResults<{ readonly topic: string; readonly partitions: number }> {
    return this.#each("createPartitions", (name) => {
      const { validateOnly, ...rest } = readChangeOptions(name, options);
      return createPartitions(this.#dispatcher, this.#newCall(name, rest), topics, validateOnly);
    });
  }

  /** Deletes topics with all that is in them. */
  deleteTopics(topics: Iterable<string>, options: CallOptions = {}): AdminResults<{ readonly topic: string }> {
    return this.#each("deleteTopics", (name) => {
      const call = this.#newCall(name, readOptions(name, options, CALL_OPTIONS));
      return deleteTopics(this.#dispatcher, call, topics);
    });
  }

  /**
   * Describes the configuration of topics, brokers, groups and more (KIP-133). What is a broker's own is asked of that
   * broker; secrets are told by nobody.
   */
  describeConfigs(
    resources: Iterable<ConfigResource>,
    options: DescribeConfigsOptions = {},
  ): AdminResults<ConfigDescription> {
    return this.#each("describeConfigs", (name) => {
      return describeConfigs(this.#dispatcher, (rest) => this.#newCall(name, rest), resources, options);
    });
  }

  /**
   * Changes configs entry by entry (KIP-339): what isn't named stays as it is. Of several changes of one resource either
   * all are made or none.
   */
  incrementalAlterConfigs(
    resources: Iterable<ConfigChange>,
    options: ChangeOptions = {},
  ): AdminResults<ConfigResource> {
    return this.#each("incrementalAlterConfigs", (name) => {
      const { validateOnly, ...rest } = readChangeOptions(name, options);
      return incrementalAlterConfigs(this.#dispatcher, this.#newCall(name, rest), resources, validateOnly);
    });
  }

  /** Deletes the records before an offset of each partition (KIP-107), for every reader. */
  deleteRecords(partitions: Iterable<RecordsToDelete>, options: CallOptions = {}): AdminResults<DeletedRecords> {
    return this.#each("deleteRecords", (name) => {
      return deleteRecords(this.#dispatcher, this.#newCall(name, readOptions(name, options, CALL_OPTIONS)), partitions);
    });
  }

  /**
   * Looks offsets up: of the first record, behind the last one, at a time, or of the latest timestamp (Kafka 3.0). With
   * `isolation: "read_committed"` the log ends at the first open transaction. @default isolation "read_uncommitted"
   */
  listOffsets(
    partitions: Iterable<OffsetQuery>,
    options: CallOptions & { readonly isolation?: IsolationLevel | undefined } = {},
  ): AdminResults<FoundOffset> {
    return this.#each("listOffsets", (name) => {
      const { isolation = "read_uncommitted", ...rest } = readOptions(name, options, ["isolation", ...CALL_OPTIONS]);
      const level = checkWord("isolation", isolation, ["read_uncommitted", "read_committed"]);
      return listOffsets(this.#dispatcher, this.#newCall(name, rest), partitions, level);
    });
  }

  /** Describes the cluster: its id, brokers and controller; those that are fenced with `includeFencedBrokers` (Kafka 4). */
  describeCluster(
    options: CallOptions & { readonly includeFencedBrokers?: boolean | undefined } = {},
  ): Promise<ClusterDescription> {
    return this.#call("describeCluster", (name) => {
      const { includeFencedBrokers, ...rest } = readOptions(name, options, ["includeFencedBrokers", ...CALL_OPTIONS]);
      const isWanted = checkFlag("includeFencedBrokers", includeFencedBrokers, false);
      return describeCluster(this.#dispatcher, this.#newCall(name, rest), isWanted);
    });
  }

  /** Lists the groups of all brokers; rejects when one of these can't be asked, as the list would lack some. */
  listGroups(options: ListGroupsOptions = {}): Promise<GroupListing[]> {
    return this.#call("listGroups", (name) => {
      return listGroups(this.#dispatcher, (rest) => this.#newCall(name, rest), options);
    });
  }

  /**
   * Describes groups: state, members, who reads what; of the classic protocol and of the newer one (KIP-848). One that
   * isn't there is GROUP_ID_NOT_FOUND since Kafka 4, and in the state `"Dead"` before.
   */
  describeGroups(groups: Iterable<string>, options: CallOptions = {}): AdminResults<GroupDescription> {
    return this.#each("describeGroups", (name) => {
      return describeGroups(this.#dispatcher, this.#newCall(name, readOptions(name, options, CALL_OPTIONS)), groups);
    });
  }

  /** Deletes groups and their offsets (KIP-229); one with members is NON_EMPTY_GROUP. */
  deleteGroups(groups: Iterable<string>, options: CallOptions = {}): AdminResults<{ readonly groupId: string }> {
    return this.#each("deleteGroups", (name) => {
      return deleteGroups(this.#dispatcher, this.#newCall(name, readOptions(name, options, CALL_OPTIONS)), groups);
    });
  }

  /**
   * What a group has committed: of the `partitions` that are named, or of all. Partitions without an offset are left out.
   * With `requireStable` it waits for transactions that may still change it (KIP-447). @default requireStable false
   */
  listConsumerGroupOffsets(
    groupId: string,
    options: CallOptions & {
      readonly partitions?: Iterable<TopicPartition> | undefined;
      readonly requireStable?: boolean | undefined;
    } = {},
  ): Promise<CommittedOffset[]> {
    return this.#call("listConsumerGroupOffsets", (name) => {
      const known = ["partitions", "requireStable", ...CALL_OPTIONS] as const;
      const { partitions, requireStable, ...rest } = readOptions(name, options, known);
      const isStable = checkFlag("requireStable", requireStable, false);
      return listConsumerGroupOffsets(this.#dispatcher, this.#newCall(name, rest), groupId, partitions, isStable);
    });
  }

  /** Commits offsets for a group that nobody is in; while there are members it is UNKNOWN_MEMBER_ID. */
  alterConsumerGroupOffsets(
    groupId: string,
    offsets: Iterable<OffsetToCommit>,
    options: CallOptions = {},
  ): AdminResults<TopicPartition & { readonly offset: bigint }> {
    return this.#each("alterConsumerGroupOffsets", (name) => {
      const call = this.#newCall(name, readOptions(name, options, CALL_OPTIONS));
      return alterConsumerGroupOffsets(this.#dispatcher, call, groupId, offsets);
    });
  }

  /**
   * Sends a group that nobody is in to another place: of the `partitions` that are named, or of all for which it has
   * committed. Where no record is as late as `to`, behind the last one.
   */
  resetConsumerGroupOffsets(
    groupId: string,
    options: CallOptions & { readonly to: OffsetSpec; readonly partitions?: Iterable<TopicPartition> | undefined },
  ): AdminResults<TopicPartition & { readonly offset: bigint }> {
    return this.#each("resetConsumerGroupOffsets", (name) => {
      const { partitions, to, ...rest } = readOptions(name, options, ["to", "partitions", ...CALL_OPTIONS]);
      return resetConsumerGroupOffsets(this.#dispatcher, this.#newCall(name, rest), groupId, { to, partitions });
    });
  }

  /** Forgets offsets of a group (KIP-496); of topics that a member reads it is GROUP_SUBSCRIBED_TO_TOPIC. */
  deleteConsumerGroupOffsets(
    groupId: string,
    partitions: Iterable<TopicPartition>,
    options: CallOptions = {},
  ): AdminResults<TopicPartition> {
    return this.#each("deleteConsumerGroupOffsets", (name) => {
      const call = this.#newCall(name, readOptions(name, options, CALL_OPTIONS));
      return deleteConsumerGroupOffsets(this.#dispatcher, call, groupId, partitions);
    });
  }

  /** Ends calls and closes every connection: what was asked may happen all the same. Idempotent. */
  close(): Promise<void> {
    if (!this.#closing.signal.aborted) {
      this.#closing.abort();
      this.#dispatcher.close();
      this.#outstanding.close();
    }
    return Promise.resolve();
  }

  /** Closes, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #newCall(name: string, options: { readonly timeoutMs?: unknown; readonly signal?: unknown }): Call {
    return new Call(this.#dispatcher, name, options);
  }

  /** Nothing that a call begins with throws: it rejects. */
  #call<T>(name: string, begin: (name: string) => Promise<T>): Promise<T> {
    return this.#outstanding.during((async () => {
      // In a turn of its own: the caller may call again whatever it is told.
      if (this.#closing.signal.aborted) await nextTurn(this.#dispatcher.runtime);
      return await begin(name);
    })());
  }

  #each<T>(name: string, begin: (name: string) => Promise<AdminResult<T>[]>): AdminResults<T> {
    return new AdminResults(this.#call(name, begin));
  }
}

/**
 * Makes an admin client; no connection is opened yet.
 *
 * @throws {ConfigError} for an option that is unknown or wrong
 *
 * @example
 * ```ts
 * import { createAdmin } from "@sluice/kafka/admin";
 * import { EmbeddedCluster } from "@sluice/kafka/testing";
 *
 * const cluster = new EmbeddedCluster();
 * await using admin = createAdmin({ brokers: cluster.bootstrap, connect: cluster.sockets });
 * await admin.createTopics([{ topic: "orders", partitions: 3 }]).all();
 * const topics = await admin.listTopics();
 * console.assert(topics[0]?.topic === "orders" && topics[0].partitions === 3);
 * ```
 */
export function createAdmin(options: AdminOptions): Admin {
  return new Admin(options);
}
