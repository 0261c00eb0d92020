/**
 * What is known of topics: partitions, leaders, leader epochs. Merging never goes back in time.
 *
 * @module
 */

import { ZERO_UUID } from "../protocol/compile.ts";
import type { Metadata } from "../protocol/messages/metadata.ts";
import type { ResponseOf } from "../protocol/schema.ts";
import { LEADER_NOT_AVAILABLE } from "../protocol/error_code_names.ts";

/** The id of a topic whose id isn't known. */
export const ZERO_TOPIC_ID: string = ZERO_UUID;

/** Who leads a partition. */
export interface PartitionMetadata {
  /** Node id of the leader, −1 while there is none. */
  readonly leaderId: number;
  /** Counts the elections of the partition, −1 if the broker doesn't tell. */
  readonly leaderEpoch: number;
  /** Why there is no leader, or why it isn't told, as the broker says; left out if it says nothing. */
  readonly errorCode?: number;
  /** It was told by the answer to a Produce request (KIP-951), and not by metadata. */
  readonly isHint?: boolean;
  /**
   * Another number after every change, and never one that was used before: equal generations mean that the same broker
   * has led the partition of the same topic all the time, as far as was heard. Leader and epoch alone don't: a topic that
   * was created anew starts again at epoch 0. What a leader has proven (H1) holds for one generation.
   */
  readonly generation: number;
}

/** Of a partition of which nothing is known. */
export const NO_LEADER: PartitionMetadata = { leaderId: -1, leaderEpoch: -1, generation: 0 };

let lastGeneration = 0;

/** What is known of a partition from now on. */
export function newGeneration(facts: Omit<PartitionMetadata, "generation">): PartitionMetadata {
  return { ...facts, generation: ++lastGeneration };
}

/** What is known of a topic. */
export interface TopicMetadata {
  readonly name: string;
  /** 32 hexadecimal digits; {@link ZERO_TOPIC_ID} if the broker doesn't tell. */
  topicId: string;
  /** The broker's last word on the topic; 0 is none. */
  errorCode: number;
  /** By partition index. Kept through an error, so that leader epochs can't go back. */
  partitions: PartitionMetadata[];
  /** Set on use and cleared at each refresh: a topic that stays unused is forgotten. */
  touched: boolean;
  /** When the topic was last found touched, on the monotonic clock. */
  lastUsedMs: number;
  /** The next answer counts whatever its leader epochs are: what is known came from a snapshot or an earlier cluster. */
  unproven: boolean;
  /** The cluster doesn't keep it up to date any more: its holder has to ask for the topic again. */
  forgotten: boolean;
}

type TopicResponse = ResponseOf<typeof Metadata>["topics"][number];

/**
 * So many answers in a row that tell an older epoch than the one that is known, or know nothing of the partition, are
 * believed, unless its leader has taken a batch since. A broker that lags behind catches up; an epoch or a partition
 * that was a mistake would be known for ever.
 */
const CONTRADICTIONS = 3;

/** True when records can be routed: the topic exists and its partitions are known. */
export function isUsable(topic: TopicMetadata): boolean {
  return topic.partitions.length > 0 && (topic.errorCode === 0 || topic.errorCode === LEADER_NOT_AVAILABLE);
}

/** The topics that a client uses. */
export class MetadataCache {
  readonly #topics = new Map<string, TopicMetadata>();
  /** How often in a row answers have told older epochs. */
  readonly #contradicted: Contradictions = new WeakMap();

  /** The topic, whether it was answered for or not; undefined if it was never asked for. */
  get(name: string): TopicMetadata | undefined {
    return this.#topics.get(name);
  }

  /** Names to ask for. */
  names(): string[] {
    return [...this.#topics.keys()];
  }

  /** Puts a topic on the list of those to ask for. */
  add(name: string, nowMs: number): TopicMetadata {
    const topic: TopicMetadata = {
      name,
      topicId: ZERO_TOPIC_ID,
      errorCode: 0,
      partitions: [],
      touched: true,
      lastUsedMs: nowMs,
      unproven: false,
      forgotten: false,
    };
    this.#topics.set(name, topic);
    return topic;
  }

  /** The node ids of all leaders. */
  leaders(): Set<number> {
    const leaders = new Set<number>();
    for (const { partitions } of this.#topics.values()) for (const { leaderId } of partitions) leaders.add(leaderId);
    return leaders;
  }

  /** Every topic. */
  values(): Iterable<TopicMetadata> {
    return this.#topics.values();
  }

  /**
   * Forgets who leads, for a start from the bootstrap servers. Leader epochs are kept as far as topic ids tell whether
   * they still count: the cluster may have been built anew.
   */
  forgetLeaders(): void {
    for (const topic of this.#topics.values()) {
      if (topic.topicId === ZERO_TOPIC_ID) topic.unproven = true;
      topic.partitions = topic.partitions.map(({ leaderEpoch }) => newGeneration({ leaderId: -1, leaderEpoch }));
    }
  }

  /** Forgets topics that nobody has used for `maxIdleMs`, unless `inUse` says otherwise. */
  expire(nowMs: number, maxIdleMs: number, inUse: (name: string) => boolean): void {
    for (const topic of this.#topics.values()) {
      if (topic.touched || inUse(topic.name)) {
        topic.touched = false;
        topic.lastUsedMs = nowMs;
      } else if (nowMs - topic.lastUsedMs >= maxIdleMs) {
        topic.forgotten = true;
        this.#topics.delete(topic.name);
      }
    }
  }

  /** A leader has shown that it is one. */
  confirm(leader: PartitionMetadata): void {
    this.#contradicted.delete(leader);
  }

  /** Takes in a response. True if it brought anything new. Brokers before Metadata 9 may tell stale leader epochs. */
  merge(topics: readonly TopicResponse[], hasEpochs: boolean = true): boolean {
    let changed = false;
    for (const answer of topics) {
      const topic = answer.name === null ? undefined : this.#topics.get(answer.name);
      if (topic !== undefined && mergeTopic(topic, answer, hasEpochs, this.#contradicted)) changed = true;
    }
    return changed;
  }
}

type Contradictions = WeakMap<PartitionMetadata, number>;

function mergeTopic(
  topic: TopicMetadata,
  answer: TopicResponse,
  hasEpochs: boolean,
  contradicted: Contradictions,
): boolean {
  let changed = topic.errorCode !== answer.errorCode;
  topic.errorCode = answer.errorCode;
  if (answer.errorCode !== 0) return changed;

  const recreated = answer.topicId !== ZERO_TOPIC_ID && topic.topicId !== ZERO_TOPIC_ID &&
    answer.topicId !== topic.topicId;
  const anew = recreated || topic.unproven;
  topic.unproven = false;
  if (topic.topicId !== answer.topicId) changed = true;
  topic.topicId = answer.topicId;
  // A new topic under an old name starts its epochs anew, and may have fewer partitions.
  const known = anew ? [] : topic.partitions;
  // An answer lists all partitions (see checkAnswer), so there are as many as it has entries. A topic never loses
  // partitions; a broker that names fewer lags behind. Without ids it may be another topic.
  const { partitions } = answer;
  let count = Math.max(partitions.length, answer.topicId === ZERO_TOPIC_ID ? 0 : known.length);
  // Nor did it ever have them, if nobody else has heard of them.
  for (let index = partitions.length; index < count; index++) contradict(known[index]!, contradicted);
  while (count > partitions.length && isMistaken(known[count - 1]!, contradicted)) count -= 1;
  const merged = Array.from({ length: count }, (_, index) => known[index] ?? newGeneration(NO_LEADER));
  for (const partition of partitions) {
    const current = merged[partition.partitionIndex]!;
    const leaderEpoch = hasEpochs ? partition.leaderEpoch : -1;
    if (isOlder(leaderEpoch, current)) {
      contradict(current, contradicted);
      if (!isMistaken(current, contradicted)) continue;
    } else {
      contradicted.delete(current);
    }
    const { leaderId, errorCode } = partition;
    const isMoved = current.leaderId !== leaderId || current.leaderEpoch !== leaderEpoch;
    if (isMoved) changed = true;
    if (!isMoved && (current.errorCode ?? 0) === errorCode) continue;
    merged[partition.partitionIndex] = newGeneration({
      leaderId,
      leaderEpoch,
      ...(errorCode === 0 ? {} : { errorCode }),
    });
  }
  if (topic.partitions.length !== count) changed = true;
  topic.partitions = merged;
  return changed;
}

function contradict(known: PartitionMetadata, contradicted: Contradictions): void {
  contradicted.set(known, (contradicted.get(known) ?? 0) + 1);
}

function isMistaken(known: PartitionMetadata, contradicted: Contradictions): boolean {
  return (contradicted.get(known) ?? 0) >= CONTRADICTIONS;
}

/** A broker that lags behind must not move a partition back to an earlier leader. */
function isOlder(leaderEpoch: number, current: PartitionMetadata): boolean {
  return leaderEpoch >= 0 && leaderEpoch < current.leaderEpoch;
}
