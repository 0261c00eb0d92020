/**
 * What the metadata knows of a partition that is read: who leads it, and the id of its topic.
 *
 * @module
 */

import type { Cluster } from "../cluster/cluster.ts";
import { isUsable, type PartitionMetadata, ZERO_TOPIC_ID } from "../cluster/metadata.ts";
import type { TopicPartition } from "./record.ts";

/** Who leads a partition; undefined while that, or the address of the leader, isn't known. */
export function leaderOf(cluster: Cluster, { topic, partition }: TopicPartition): PartitionMetadata | undefined {
  const metadata = cluster.topic(topic) ?? cluster.use(topic);
  metadata.touched = true;
  if (!isUsable(metadata)) return undefined;
  const leader = metadata.partitions[partition];
  if (leader === undefined || leader.leaderId < 0 || cluster.broker(leader.leaderId) === undefined) return undefined;
  return leader;
}

/** The id of a topic; all zeros while it isn't known. */
export function topicIdOf(cluster: Cluster, topic: string): string {
  return cluster.topic(topic)?.topicId ?? ZERO_TOPIC_ID;
}
