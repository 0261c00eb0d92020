/**
 * The work of a group's leader: who is to read what, of topics that come, go and grow.
 *
 * @module
 */

import { isUsable } from "../../cluster/metadata.ts";
import { KafkaError } from "../../errors.ts";
import { readSubscription, writeAssignment } from "../../protocol/consumer_protocol.ts";
import { REBALANCE_IN_PROGRESS, UNKNOWN_TOPIC_OR_PARTITION } from "../../protocol/error_code_names.ts";
import { brokerError, errorOf } from "../../protocol/error_codes.ts";
import { show } from "../../show.ts";
import type { ReaderInner } from "../reader.ts";
import { type AssignorName, ASSIGNORS } from "./assignors.ts";
import type { Joined, MemberAssignment } from "./group_calls.ts";
import type { ResolvedGroupOptions } from "./options.ts";
import type { Verdict } from "./verdict.ts";

/** The assignor whose members give up no more than what moves. */
export const COOPERATIVE: AssignorName = "cooperative-sticky";
/** A topic that was just created isn't known everywhere yet. */
const ATTEMPTS_AT_METADATA = 3;

/** Divides the partitions where this member leads, and watches their number for as long. */
export class Leadership {
  readonly #inner: ReaderInner;
  readonly #options: ResolvedGroupOptions;
  readonly #verdict: Verdict;
  readonly #closing: AbortSignal;
  /** Partitions by topic when this member divided them; undefined for those who don't lead. */
  #counts: ReadonlyMap<string, number> | undefined;
  /** Stands for topics that aren't there where troubles are told. */
  readonly #missing: object = {};
  #isPartial = false;

  /** Leads nothing yet. */
  constructor(inner: ReaderInner, options: ResolvedGroupOptions, verdict: Verdict, closing: AbortSignal) {
    this.#inner = inner;
    this.#options = options;
    this.#verdict = verdict;
    this.#closing = closing;
  }

  /**
   * Partitions are nobody's, or may be: their owner is to give them up and join again. A static member that is killed
   * meanwhile and comes back doesn't know of it, so the leader sees to it.
   */
  get isPartial(): boolean {
    return this.#isPartial;
  }

  /** What to assign to each member, if this one leads; else nothing. */
  async divide(joined: Joined): Promise<readonly MemberAssignment[]> {
    if (joined.leader === joined.memberId) return await this.#divide(joined);
    this.#counts = undefined;
    this.#isPartial = false;
    return [];
  }

  /** A slip of the pen in a topic's name would be waited out in silence; the leader, who looks them up, tells it. */
  tellMissing(): void {
    const topic = this.#options.topics.find((name) => this.#counts?.get(name) === 0);
    if (topic === undefined) return this.tellNothing();
    const reason =
      `Topic ${show(topic)} of group ${show(this.#options.groupId)} isn't there, and is read as soon as it is. ` +
      "Look at the name, or create the topic.";
    const code = "UNKNOWN_TOPIC_OR_PARTITION";
    this.#inner.tell(
      this.#missing,
      new KafkaError(reason, { code, errorCode: UNKNOWN_TOPIC_OR_PARTITION, retriable: true, topic }),
    );
  }

  /** No topic is missing, or nobody is left who would read it. */
  tellNothing(): void {
    this.#inner.tell(this.#missing, null);
  }

  /** A leader watches the topics: partitions that are new to it are divided too. */
  onMetadata(): void {
    const { cluster } = this.#inner;
    for (const [topic, count] of this.#counts ?? []) {
      const metadata = cluster.topic(topic);
      if (metadata === undefined || !isUsable(metadata) || metadata.partitions.length === count) continue;
      this.#counts = undefined;
      this.#verdict.decide(brokerError(REBALANCE_IN_PROGRESS, { api: "Metadata", topic }));
      return;
    }
  }

  async #divide({ members, protocolName, skipAssignment }: Joined): Promise<readonly MemberAssignment[]> {
    const views = members.map(({ groupInstanceId, memberId, metadata }) => {
      return { ...readSubscription(metadata), groupInstanceId, memberId };
    });
    const counts = await this.#countsOf([...new Set(views.flatMap(({ topics }) => topics))]);
    this.#counts = counts;
    if (skipAssignment) {
      // It has come back as a static member, and what its predecessor has divided isn't told.
      this.#isPartial = protocolName === COOPERATIVE;
      return [];
    }
    const assignor = ASSIGNORS[protocolName as AssignorName];
    if (assignor === undefined) {
      throw new KafkaError(`The group divides by ${show(protocolName)}, which this member never offered.`);
    }
    const division = [...assignor(views, counts)];
    const sum = (numbers: Iterable<number>): number => [...numbers].reduce((total, each) => total + each, 0);
    this.#isPartial = sum(division.map(([, places]) => places.length)) < sum(counts.values());
    return division.map(([memberId, places]) => ({ memberId, assignment: writeAssignment(places) }));
  }

  /** Partitions by topic; a topic that isn't there has none, and the group divides anew when it is. */
  async #countsOf(topics: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const { cluster } = this.#inner;
    for (const topic of topics) {
      this.#inner.topics.add(topic);
      cluster.use(topic);
    }
    const unknown = (): string[] => topics.filter((topic) => !isUsable(cluster.use(topic)));
    for (let attempt = 0; attempt < ATTEMPTS_AT_METADATA && unknown().length > 0; attempt++) {
      const error = await cluster.requestUpdate();
      if (this.#closing.aborted) break;
      if (error !== undefined && !error.retriable) throw error;
      if (error !== undefined) attempt = 0;
    }
    for (const topic of unknown()) {
      const { errorCode } = cluster.use(topic);
      if (errorCode !== UNKNOWN_TOPIC_OR_PARTITION && !errorOf(errorCode).retriable && errorCode !== 0) {
        throw brokerError(errorCode, { api: "Metadata", topic });
      }
    }
    return new Map(topics.map((topic) => {
      const metadata = cluster.use(topic);
      return [topic, isUsable(metadata) ? metadata.partitions.length : 0];
    }));
  }
}
