/**
 * One group under the classic protocol: its members join a generation, the leader assigns, and they stay as long as
 * their heartbeats come.
 *
 * @module
 */

import { readSubscription } from "../../protocol/consumer_protocol.ts";
import type { Timer } from "../../runtime/runtime.ts";
import type { ClusterRuntime } from "../cluster_runtime.ts";
import { GroupOffsets } from "./group_offsets.ts";
import {
  FENCED_INSTANCE_ID,
  ILLEGAL_GENERATION,
  INCONSISTENT_GROUP_PROTOCOL,
  MEMBER_ID_REQUIRED,
  NOT_COORDINATOR,
  REBALANCE_IN_PROGRESS,
  UNKNOWN_MEMBER_ID,
  UNKNOWN_SERVER_ERROR,
} from "../../protocol/error_code_names.ts";

/** A group's state, in Kafka's words. */
export type GroupState = "Empty" | "PreparingRebalance" | "CompletingRebalance" | "Stable" | "Dead";

/** A way of assigning that a member knows, and what it says of itself in it. */
export interface GroupProtocol {
  readonly name: string;
  readonly metadata: Uint8Array;
}

/** What a member asks to join with. */
export interface JoinRequest {
  readonly memberId: string;
  readonly groupInstanceId: string | null;
  readonly clientId: string;
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  readonly protocolType: string;
  readonly protocols: readonly GroupProtocol[];
  /** Whether a new member must come again with the id that it is given (KIP-394). */
  readonly mustKnowItsId: boolean;
  /** Whether the leader may be told that there is nothing to assign (KIP-814). */
  readonly maySkipAssignment: boolean;
}

/** What a member is answered. */
export interface JoinAnswer {
  readonly errorCode: number;
  readonly generationId: number;
  readonly protocolType: string | null;
  readonly protocolName: string | null;
  readonly leader: string;
  readonly memberId: string;
  readonly skipAssignment: boolean;
  readonly members: readonly { memberId: string; groupInstanceId: string | null; metadata: Uint8Array }[];
}

/** A member's assignment, or why it has none. */
export interface SyncAnswer {
  readonly errorCode: number;
  readonly assignment: Uint8Array;
}

/** How groups work. */
export interface GroupOptions {
  /** `group.initial.rebalance.delay.ms`: so long an empty group waits for more members than the first. @default 0 */
  readonly initialRebalanceDelayMs?: number;
  /** `group.min.session.timeout.ms`. @default 6_000 */
  readonly minSessionTimeoutMs?: number;
  /** `group.max.session.timeout.ms`. @default 1_800_000 */
  readonly maxSessionTimeoutMs?: number;
}

const NOTHING = new Uint8Array(0);
/** The type of protocol in which members say what they read. */
const CONSUMER = "consumer";

interface Member {
  id: string;
  readonly instanceId: string | null;
  clientId: string;
  sessionTimeoutMs: number;
  rebalanceTimeoutMs: number;
  protocols: readonly GroupProtocol[];
  assignment: Uint8Array;
  /** Waits for the generation to be complete. */
  join: ((answer: JoinAnswer) => void) | undefined;
  /** Waits for the leader's assignment. */
  sync: ((answer: SyncAnswer) => void) | undefined;
  session: Timer | undefined;
}

/** What a group takes from its coordinator. */
export interface GroupHost {
  /** Time. */
  readonly clock: ClusterRuntime;
  /** How groups work. */
  readonly options: Required<GroupOptions>;
  /** Whether it is the coordinator that KIP-848 has brought. */
  readonly isNew: boolean;
  /** An id that no member has had. */
  newMemberId(prefix: string): string;
}

/** One group. */
export class Group {
  /** Its name. */
  readonly id: string;
  /** What it has committed. */
  readonly offsets: GroupOffsets = new GroupOffsets();
  readonly #host: GroupHost;
  readonly #members = new Map<string, Member>();
  /** Members that were given an id and haven't come with it yet. */
  readonly #pending = new Map<string, Timer>();
  #state: GroupState = "Empty";
  #generationId = 0;
  #protocolType: string | undefined;
  #protocolName: string | null = null;
  #leaderId: string | null = null;
  /** What the members of the last generation read; undefined if they don't tell it in words that are known. */
  #subscribed: ReadonlySet<string> | undefined;
  #rebalance: Timer | undefined;
  /** Whether the first generation still waits for more members. */
  #isDelayed = true;

  /** @internal An empty group. */
  constructor(host: GroupHost, id: string) {
    this.#host = host;
    this.id = id;
  }

  /** Where it stands. */
  get state(): GroupState {
    return this.#state;
  }

  /** Counts the rebalances. */
  get generationId(): number {
    return this.#generationId;
  }

  /** `consumer`, or what its members call it; "" before there were any. */
  get protocolType(): string {
    return this.#protocolType ?? "";
  }

  /** The way of assigning that was agreed on; "" while there is none. */
  get protocolName(): string {
    return this.#state === "Stable" ? this.#protocolName ?? "" : "";
  }

  /** The members, in the order in which they came. */
  get members(): readonly {
    readonly memberId: string;
    readonly groupInstanceId: string | null;
    readonly clientId: string;
    readonly metadata: Uint8Array;
    readonly assignment: Uint8Array;
  }[] {
    return [...this.#members.values()].map((member) => ({
      memberId: member.id,
      groupInstanceId: member.instanceId,
      clientId: member.clientId,
      metadata: this.#state === "Stable" ? this.#metadataOf(member) : NOTHING,
      assignment: this.#state === "Stable" || this.#host.isNew ? member.assignment : NOTHING,
    }));
  }

  /** Whether a member reads the topic, or may: not all say it in words that are known. */
  subscribesTo(topic: string): boolean {
    return this.#protocolType === CONSUMER && (this.#subscribed?.has(topic) ?? true);
  }

  /** Whether nobody is in it, or about to be; who was told to come again doesn't count. */
  get hasNobody(): boolean {
    return this.#state === "Empty";
  }

  /** @internal A member joins, for the first time or for another generation. */
  join(request: JoinRequest): JoinAnswer | Promise<JoinAnswer> {
    if (!this.#takesProtocols(request)) return refusedJoin(INCONSISTENT_GROUP_PROTOCOL, request.memberId);
    if (request.memberId === "") return this.#joinAnew(request);
    const pending = this.#pending.get(request.memberId);
    if (pending !== undefined) {
      // Kafka stumbles: static members are never told to come again.
      if (request.groupInstanceId !== null) return refusedJoin(UNKNOWN_SERVER_ERROR, "");
      this.#forgetPending(request.memberId);
      return this.#addMember(request.memberId, request);
    }
    const problem = this.#problemWith(request.memberId, request.groupInstanceId);
    if (problem !== 0) return refusedJoin(problem, request.memberId);
    const member = this.#members.get(request.memberId)!;
    if (this.#state === "Empty" || this.#state === "Dead") return refusedJoin(UNKNOWN_MEMBER_ID, request.memberId);
    const isUnchanged = matches(member.protocols, request.protocols);
    const isDone = this.#state === "CompletingRebalance" || (this.#state === "Stable" && member.id !== this.#leaderId);
    this.#update(member, request);
    if (isUnchanged && isDone) return this.#joinedAs(member);
    return this.#awaitGeneration(member);
  }

  /** @internal A member asks for its assignment; the leader brings those of all. */
  sync(
    { assignments, generationId, groupInstanceId, memberId, protocolName, protocolType }: {
      readonly memberId: string;
      readonly groupInstanceId: string | null;
      readonly generationId: number;
      readonly protocolType: string | null;
      readonly protocolName: string | null;
      readonly assignments: readonly { readonly memberId: string; readonly assignment: Uint8Array }[];
    },
  ): SyncAnswer | Promise<SyncAnswer> {
    const problem = this.#problemWith(memberId, groupInstanceId) || this.#generationProblem(generationId);
    if (problem !== 0) return refusedSync(problem);
    const isOther = (protocolType !== null && protocolType !== this.#protocolType) ||
      (protocolName !== null && protocolName !== this.#protocolName);
    if (isOther) return refusedSync(INCONSISTENT_GROUP_PROTOCOL);
    const member = this.#members.get(memberId)!;
    if (this.#state === "PreparingRebalance") return refusedSync(REBALANCE_IN_PROGRESS);
    if (this.#state === "Stable") {
      this.#keepAlive(member);
      return { errorCode: 0, assignment: member.assignment };
    }
    return new Promise((resolve) => {
      // Asked again: as in Kafka the one who asked before is never answered.
      member.sync = resolve;
      member.session?.cancel();
      if (memberId === this.#leaderId) this.#assign(assignments);
    });
  }

  /** @internal A member lives. */
  heartbeat(memberId: string, groupInstanceId: string | null, generationId: number): number {
    const problem = this.#problemWith(memberId, groupInstanceId) || this.#generationProblem(generationId);
    if (problem !== 0) return problem;
    this.#keepAlive(this.#members.get(memberId)!);
    return this.#state === "PreparingRebalance" ? REBALANCE_IN_PROGRESS : 0;
  }

  /** @internal A member leaves; one with an instance id may be named by that alone. */
  leave(memberId: string, groupInstanceId: string | null): number {
    return this.leaveAll([{ memberId, groupInstanceId }])[0]!;
  }

  /** @internal Members leave, and the others divide anew once; who is named twice is out by the second time. */
  leaveAll(members: readonly { readonly memberId: string; readonly groupInstanceId: string | null }[]): number[] {
    let hasLeft = false;
    const codes = members.map(({ groupInstanceId, memberId }) => {
      const isPending = this.#pending.has(memberId);
      const byName = memberId === "" && groupInstanceId !== null;
      const named = byName ? this.#instance(groupInstanceId)?.id ?? "" : memberId;
      const problem = isPending ? 0 : this.#problemWith(named, groupInstanceId);
      if (problem !== 0) return problem;
      if (isPending) this.#forgetPending(memberId);
      else this.#drop(this.#members.get(named)!);
      // The new coordinator has a group divide again even after one that wasn't a member yet.
      hasLeft ||= !isPending || this.#host.isNew;
      return 0;
    });
    if (hasLeft) this.#afterLoss();
    else this.#completeIfAllJoined();
    return codes;
  }

  /** @internal Why offsets may not be committed; 0 if they may. */
  commitProblem(
    memberId: string,
    groupInstanceId: string | null,
    generationId: number,
    isTransactional: boolean,
  ): number {
    if (generationId < 0 && this.#state === "Empty") return 0;
    if (generationId < 0 && memberId === "" && groupInstanceId === null) return isTransactional ? 0 : UNKNOWN_MEMBER_ID;
    const problem = this.#problemWith(memberId, groupInstanceId) || this.#generationProblem(generationId);
    if (problem !== 0) return problem;
    this.#keepAlive(this.#members.get(memberId)!);
    return !isTransactional && this.#state === "CompletingRebalance" ? REBALANCE_IN_PROGRESS : 0;
  }

  /** @internal Another broker coordinates it: whoever waits has to ask there, and sessions begin anew. */
  moved(): void {
    this.#rebalance?.cancel();
    for (const member of this.#members.values()) {
      const { join, sync } = member;
      member.join = member.sync = undefined;
      join?.(refusedJoin(NOT_COORDINATOR, member.id));
      sync?.(refusedSync(NOT_COORDINATOR));
      this.#keepAlive(member);
    }
    // What was agreed on and not handed out is agreed on again.
    if (this.#state === "PreparingRebalance" || this.#state === "CompletingRebalance") this.#prepare();
  }

  /** @internal Cancels what would happen later. */
  close(): void {
    this.#rebalance?.cancel();
    for (const timer of this.#pending.values()) timer.cancel();
    for (const member of this.#members.values()) member.session?.cancel();
  }

  #joinAnew(request: JoinRequest): JoinAnswer | Promise<JoinAnswer> {
    const { clientId, groupInstanceId } = request;
    const id = this.#host.newMemberId(groupInstanceId ?? clientId);
    const before = groupInstanceId === null ? undefined : this.#instance(groupInstanceId);
    if (before !== undefined) return this.#replace(before, id, request);
    if (groupInstanceId !== null || !request.mustKnowItsId) return this.#addMember(id, request);
    this.#pending.set(
      id,
      this.#later(() => {
        this.#forgetPending(id);
        this.#completeIfAllJoined();
      }, request.sessionTimeoutMs),
    );
    return refusedJoin(MEMBER_ID_REQUIRED, id);
  }

  /** A static member is back under another id: it goes on with what it had, if it wants no other protocol. */
  #replace(member: Member, id: string, request: JoinRequest): JoinAnswer | Promise<JoinAnswer> {
    const oldId = member.id;
    member.join?.(refusedJoin(FENCED_INSTANCE_ID, oldId));
    member.sync?.(refusedSync(FENCED_INSTANCE_ID));
    member.join = member.sync = undefined;
    this.#members.delete(oldId);
    member.id = id;
    this.#members.set(id, member);
    const isLeader = this.#leaderId === oldId;
    if (isLeader) this.#leaderId = id;
    this.#update(member, request);
    // What it says of itself in the protocol doesn't count.
    if (this.#state !== "Stable" || this.#chooseProtocol() !== this.#protocolName) return this.#awaitGeneration(member);
    const answer = this.#joinedAs(member);
    if (!isLeader) return answer;
    // A leader would assign anew: it is told to skip that, or that somebody else leads.
    return request.maySkipAssignment ? { ...answer, skipAssignment: true } : { ...answer, leader: oldId, members: [] };
  }

  #addMember(id: string, request: JoinRequest): Promise<JoinAnswer> {
    const member: Member = {
      id,
      instanceId: request.groupInstanceId,
      clientId: request.clientId,
      sessionTimeoutMs: request.sessionTimeoutMs,
      rebalanceTimeoutMs: request.rebalanceTimeoutMs,
      protocols: request.protocols,
      assignment: NOTHING,
      ...{ join: undefined, sync: undefined, session: undefined },
    };
    this.#members.set(id, member);
    this.#protocolType = request.protocolType;
    this.#leaderId ??= id;
    return this.#awaitGeneration(member);
  }

  #update(member: Member, { clientId, protocols, rebalanceTimeoutMs, sessionTimeoutMs }: JoinRequest): void {
    Object.assign(member, { clientId, protocols, rebalanceTimeoutMs, sessionTimeoutMs });
    this.#keepAlive(member);
  }

  #awaitGeneration(member: Member): Promise<JoinAnswer> {
    return new Promise((resolve) => {
      // Asked again: as in Kafka the one who asked before is never answered.
      member.join = resolve;
      // Whoever waits for an answer needs no heartbeats.
      member.session?.cancel();
      if (this.#state !== "PreparingRebalance") this.#prepare();
      else this.#completeIfAllJoined();
    });
  }

  #prepare(): void {
    const isFirst = this.#state === "Empty";
    const isUndone = this.#state === "CompletingRebalance";
    for (const member of this.#members.values()) {
      // What each had before is nobody's: the leader didn't come to divide it anew.
      if (isUndone) member.assignment = NOTHING;
      const { sync } = member;
      member.sync = undefined;
      if (sync === undefined) continue;
      sync(refusedSync(REBALANCE_IN_PROGRESS));
      this.#keepAlive(member);
    }
    this.#state = "PreparingRebalance";
    this.#rebalance?.cancel();
    const { initialRebalanceDelayMs } = this.#host.options;
    if (isFirst && initialRebalanceDelayMs > 0) {
      this.#rebalance = this.#later(() => this.#complete(), initialRebalanceDelayMs);
      return;
    }
    this.#rebalance = this.#later(() => this.#complete(), this.#rebalanceTimeoutMs());
    this.#isDelayed = false;
    // The first generation is complete when its delay is over, whoever was told to come again.
    if (isFirst) this.#complete();
    else this.#completeIfAllJoined();
  }

  #completeIfAllJoined(): void {
    if (this.#state !== "PreparingRebalance" || this.#isDelayed || this.#pending.size > 0) return;
    if ([...this.#members.values()].every(({ join }) => join !== undefined)) this.#complete();
  }

  /** Whoever has not come is out, but for static members, who have their session's time. */
  #complete(): void {
    this.#rebalance?.cancel();
    this.#isDelayed = true;
    for (const member of this.#members.values()) {
      if (member.join === undefined && member.instanceId === null) this.#drop(member);
    }
    if (this.#members.size === 0) {
      this.#generationId++;
      this.#state = "Empty";
      this.#protocolName = null;
      this.#subscribed = new Set();
      return;
    }
    const joined = [...this.#members.values()].filter(({ join }) => join !== undefined);
    if (!joined.some(({ id }) => id === this.#leaderId)) {
      // Static members alone are left, and none has come: the next round may be complete.
      if (joined.length === 0) return this.#prepareAgain();
      this.#leaderId = joined[0]!.id;
    }
    this.#generationId++;
    this.#protocolName = this.#chooseProtocol();
    this.#subscribed = this.#subscriptions();
    this.#state = "CompletingRebalance";
    for (const member of joined) {
      const { join } = member;
      member.join = undefined;
      this.#keepAlive(member);
      join!(this.#joinedAs(member));
    }
    const generation = this.#generationId;
    this.#rebalance = this.#later(() => {
      if (this.#state !== "CompletingRebalance" || this.#generationId !== generation) return;
      for (const member of [...this.#members.values()]) if (member.sync === undefined) this.#drop(member);
      this.#afterLoss();
    }, this.#rebalanceTimeoutMs());
  }

  #prepareAgain(): void {
    this.#isDelayed = false;
    this.#rebalance = this.#later(() => this.#complete(), this.#rebalanceTimeoutMs());
  }

  #rebalanceTimeoutMs(): number {
    return Math.max(0, ...[...this.#members.values()].map((member) => member.rebalanceTimeoutMs));
  }

  #assign(assignments: readonly { readonly memberId: string; readonly assignment: Uint8Array }[]): void {
    this.#rebalance?.cancel();
    const byMember = new Map(assignments.map(({ assignment, memberId }) => [memberId, assignment]));
    this.#state = "Stable";
    for (const member of this.#members.values()) {
      member.assignment = byMember.get(member.id)?.slice() ?? NOTHING;
      const { sync } = member;
      member.sync = undefined;
      if (sync === undefined) continue;
      this.#keepAlive(member);
      sync({ errorCode: 0, assignment: member.assignment });
    }
  }

  /** The protocol that all members know and most of them like best. */
  #chooseProtocol(): string {
    const members = [...this.#members.values()];
    const common = members[0]!.protocols.map(({ name }) => name).filter((name) =>
      members.every(({ protocols }) => protocols.some((protocol) => protocol.name === name))
    );
    const votes = new Map<string, number>(common.map((name) => [name, 0]));
    for (const { protocols } of members) {
      const { name } = protocols.find((protocol) => votes.has(protocol.name))!;
      votes.set(name, votes.get(name)! + 1);
    }
    return [...votes].reduce((best, next) => next[1] > best[1] ? next : best)[0];
  }

  #joinedAs(member: Member): JoinAnswer {
    return {
      errorCode: 0,
      generationId: this.#generationId,
      protocolType: this.#protocolType ?? null,
      protocolName: this.#protocolName,
      leader: this.#leaderId ?? "",
      memberId: member.id,
      skipAssignment: false,
      members: member.id !== this.#leaderId ? [] : [...this.#members.values()].map((each) => (
        { memberId: each.id, groupInstanceId: each.instanceId, metadata: this.#metadataOf(each) }
      )),
    };
  }

  #subscriptions(): ReadonlySet<string> | undefined {
    try {
      return new Set(
        [...this.#members.values()].flatMap((member) => readSubscription(this.#metadataOf(member)).topics),
      );
    } catch {
      return undefined;
    }
  }

  #metadataOf({ protocols }: Member): Uint8Array {
    return protocols.find(({ name }) => name === this.#protocolName)?.metadata ?? NOTHING;
  }

  /** What the member itself said before counts as well: who wants something else altogether has to leave first. */
  #takesProtocols({ protocols, protocolType }: JoinRequest): boolean {
    if (protocols.length === 0 || protocolType === "") return false;
    const members = [...this.#members.values()];
    if (members.length === 0) return true;
    return protocolType === this.#protocolType &&
      protocols.some(({ name }) =>
        members.every((member) => member.protocols.some((protocol) => protocol.name === name))
      );
  }

  /** Why a request is not one of a member's; 0 if it is. */
  #problemWith(memberId: string, groupInstanceId: string | null): number {
    if (groupInstanceId !== null) {
      const member = this.#instance(groupInstanceId);
      if (member === undefined) return UNKNOWN_MEMBER_ID;
      return member.id === memberId ? 0 : FENCED_INSTANCE_ID;
    }
    return this.#members.has(memberId) ? 0 : UNKNOWN_MEMBER_ID;
  }

  #generationProblem(generationId: number): number {
    return generationId === this.#generationId ? 0 : ILLEGAL_GENERATION;
  }

  #instance(groupInstanceId: string): Member | undefined {
    return [...this.#members.values()].find(({ instanceId }) => instanceId === groupInstanceId);
  }

  #keepAlive(member: Member): void {
    member.session?.cancel();
    member.session = this.#later(() => {
      // Who waits for an answer is there.
      if (member.join === undefined && member.sync === undefined) this.#remove(member);
    }, member.sessionTimeoutMs);
  }

  #remove(member: Member): void {
    this.#drop(member);
    this.#afterLoss();
  }

  /** A group that has lost its last member waits for those who were told to come again, too. */
  #afterLoss(): void {
    if (this.#state === "Stable" || this.#state === "CompletingRebalance") this.#prepare();
    else this.#completeIfAllJoined();
  }

  #drop(member: Member): void {
    member.session?.cancel();
    member.join?.(refusedJoin(UNKNOWN_MEMBER_ID, ""));
    member.sync?.(refusedSync(UNKNOWN_MEMBER_ID));
    member.join = member.sync = undefined;
    this.#members.delete(member.id);
    if (this.#leaderId === member.id) this.#leaderId = [...this.#members.keys()][0] ?? null;
  }

  #forgetPending(id: string): void {
    this.#pending.get(id)?.cancel();
    this.#pending.delete(id);
  }

  #later(callback: () => void, delayMs: number): Timer {
    const timer = this.#host.clock.setTimer(callback, delayMs);
    timer.unref?.();
    return timer;
  }
}

function matches(one: readonly GroupProtocol[], other: readonly GroupProtocol[]): boolean {
  return one.length === other.length && one.every(({ metadata, name }, i) => {
    const { metadata: bytes, name: itsName } = other[i]!;
    return name === itsName && metadata.length === bytes.length && metadata.every((byte, at) => byte === bytes[at]);
  });
}

/** What a join is refused with. */
export function refusedJoin(errorCode: number, memberId: string): JoinAnswer {
  return {
    ...{ errorCode, memberId },
    ...{ generationId: -1, protocolType: null, protocolName: null, leader: "", skipAssignment: false, members: [] },
  };
}

/** What a sync is refused with. */
export function refusedSync(errorCode: number): SyncAnswer {
  return { errorCode, assignment: NOTHING };
}
