/**
 * Ways to divide partitions among the members of a group, under the names that Java and KafkaJS use on the wire.
 *
 * @module
 */

import { keyOf, type TopicPartition } from "../record.ts";
import type { Subscription } from "../../protocol/consumer_protocol.ts";

/**
 * How partitions are divided: `"cooperative-sticky"` leaves partitions where they are as far as it is fair, and only
 * those that move stop being read meanwhile (KIP-429); `"range"` gives each member neighbouring partitions of every
 * topic; `"roundrobin"` deals all of them out in turn. `"RoundRobinAssigner"` is the same by KafkaJS's name.
 */
export type AssignorName = "cooperative-sticky" | "range" | "roundrobin" | "RoundRobinAssigner";

/** A member as the leader sees it. */
export interface GroupMemberView extends Subscription {
  /** Given by the coordinator. */
  readonly memberId: string;
  /** Given by the user to a static member. */
  readonly groupInstanceId: string | null;
}

/** What each member is to read, by its id. */
export type Division = Map<string, TopicPartition[]>;

/** Divides the partitions of topics, given by how many there are of each. */
export type Assignor = (members: readonly GroupMemberView[], counts: ReadonlyMap<string, number>) => Division;

/** Every assignor by its name. */
export const ASSIGNORS: Readonly<Record<AssignorName, Assignor>> = {
  "cooperative-sticky": cooperativeSticky,
  "range": range,
  "roundrobin": roundRobin,
  "RoundRobinAssigner": roundRobin,
};

function range(members: readonly GroupMemberView[], counts: ReadonlyMap<string, number>): Division {
  const division = emptyDivision(members);
  for (const [topic, count] of counts) {
    const readers = inOrder(members.filter(({ topics }) => topics.includes(topic)));
    readers.forEach(({ memberId }, i) => {
      const share = Math.floor(count / readers.length);
      const extra = count % readers.length;
      const first = share * i + Math.min(i, extra);
      const length = share + (i < extra ? 1 : 0);
      for (let partition = first; partition < first + length; partition++) {
        division.get(memberId)!.push({ topic, partition });
      }
    });
  }
  return division;
}

function roundRobin(members: readonly GroupMemberView[], counts: ReadonlyMap<string, number>): Division {
  const division = emptyDivision(members);
  const ordered = inOrder(members);
  let turn = 0;
  for (const place of allPartitions(counts)) {
    if (!ordered.some(({ topics }) => topics.includes(place.topic))) continue;
    while (!ordered[turn % ordered.length]!.topics.includes(place.topic)) turn++;
    division.get(ordered[turn++ % ordered.length]!.memberId)!.push(place);
  }
  return division;
}

/**
 * Members keep what they have. What nobody has goes to whoever has least; then partitions move from who has most to who
 * has at least two less. One that its owner has not given up yet is assigned to nobody in this round: the owner gives it
 * up, joins again, and the next round assigns it.
 */
function cooperativeSticky(members: readonly GroupMemberView[], counts: ReadonlyMap<string, number>): Division {
  const ordered = inOrder(members);
  const owners = ownersOf(ordered);
  const shares = new Map(ordered.map((member) => [member.memberId, new Share(member)]));
  const homeless: TopicPartition[] = [];
  for (const place of allPartitions(counts)) {
    const share = shares.get(owners.get(keyOf(place))!);
    if (share?.wants.has(place.topic)) share.add(place);
    else homeless.push(place);
  }
  const idlest = (topic: string): Share | undefined => {
    let best: Share | undefined;
    for (const share of shares.values()) {
      if (share.wants.has(topic) && (best === undefined || share.size < best.size)) best = share;
    }
    return best;
  };
  for (const place of homeless) idlest(place.topic)?.add(place);
  while (moveOne([...shares.values()], idlest));
  return new Map([...shares].map(([memberId, { byTopic }]) => {
    return [
      memberId,
      [...byTopic.values()].flat().filter((place) => (owners.get(keyOf(place)) ?? memberId) === memberId),
    ];
  }));
}

/** What a member is to read, by topic: the leader holds up its group for as long as it takes to divide. */
class Share {
  readonly wants: ReadonlySet<string>;
  readonly byTopic: Map<string, TopicPartition[]> = new Map();
  size = 0;

  constructor({ topics }: GroupMemberView) {
    this.wants = new Set(topics);
  }

  add(place: TopicPartition): void {
    const places = this.byTopic.get(place.topic);
    if (places === undefined) this.byTopic.set(place.topic, [place]);
    else places.push(place);
    this.size += 1;
  }

  takeLast(topic: string): TopicPartition {
    const places = this.byTopic.get(topic)!;
    const place = places.pop()!;
    if (places.length === 0) this.byTopic.delete(topic);
    this.size -= 1;
    return place;
  }
}

/** Moves a partition to a member that has at least two less; false if there is none. */
function moveOne(shares: Share[], idlest: (topic: string) => Share | undefined): boolean {
  for (const share of shares.sort((a, b) => b.size - a.size)) {
    for (const topic of share.byTopic.keys()) {
      const other = idlest(topic);
      if (other === undefined || other.size > share.size - 2) continue;
      other.add(share.takeLast(topic));
      return true;
    }
  }
  return false;
}

/** Who reads what. Of two that claim the same the one of the later generation does, and of equals neither. */
function ownersOf(members: readonly GroupMemberView[]): Map<string, string> {
  const claims = new Map<string, { memberId: string | undefined; generationId: number }>();
  for (const { generationId, memberId, owned } of members) {
    for (const place of owned) {
      const claim = claims.get(keyOf(place));
      if (claim === undefined || generationId > claim.generationId) {
        claims.set(keyOf(place), { memberId, generationId });
      } else if (generationId === claim.generationId) claim.memberId = undefined;
    }
  }
  return new Map(
    [...claims].flatMap(([key, { memberId }]) => memberId === undefined ? [] : [[key, memberId] as const]),
  );
}

function allPartitions(counts: ReadonlyMap<string, number>): TopicPartition[] {
  const topics = [...counts].sort(([a], [b]) => a < b ? -1 : 1);
  return topics.flatMap(([topic, count]) => Array.from({ length: count }, (_, partition) => ({ topic, partition })));
}

/** Static members first, by their names; the others by their ids. */
function inOrder(members: readonly GroupMemberView[]): GroupMemberView[] {
  const rank = ({ groupInstanceId, memberId }: GroupMemberView): string =>
    groupInstanceId === null ? `1${memberId}` : `0${groupInstanceId}`;
  return [...members].sort((a, b) => rank(a) < rank(b) ? -1 : rank(a) > rank(b) ? 1 : 0);
}

function emptyDivision(members: readonly GroupMemberView[]): Division {
  return new Map(members.map(({ memberId }) => [memberId, []]));
}
