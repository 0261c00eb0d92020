/**
 * What a member asks its coordinator: to join, to sync, to leave.
 *
 * @module
 */

import type { Coordinator } from "../../cluster/coordinator.ts";
import type { GroupMetadata } from "../../cluster/group_metadata.ts";
import type { KafkaError } from "../../errors.ts";
import { readAssignment, writeSubscription } from "../../protocol/consumer_protocol.ts";
import { ILLEGAL_GENERATION, MEMBER_ID_REQUIRED, UNKNOWN_MEMBER_ID } from "../../protocol/error_code_names.ts";
import { JoinGroup } from "../../protocol/messages/join_group.ts";
import { LeaveGroup } from "../../protocol/messages/leave_group.ts";
import { SyncGroup } from "../../protocol/messages/sync_group.ts";
import type { ResponseOf } from "../../protocol/schema.ts";
import { onAbort } from "../../runtime/on_abort.ts";
import type { ReaderInner } from "../reader.ts";
import type { TopicPartition } from "../record.ts";
import { groupError } from "./group_error.ts";
import type { Pulse } from "./heart.ts";
import type { ResolvedGroupOptions } from "./options.ts";

/** How the coordinator has answered a join. */
export type Joined = ResponseOf<typeof JoinGroup>;

/** What the leader assigns to one member. */
export interface MemberAssignment {
  readonly memberId: string;
  readonly assignment: Uint8Array;
}

const PROTOCOL_TYPE = "consumer";
/** The coordinator answers a join when the rebalance is over, and that may take a little longer than it is allowed to. */
const JOIN_GRACE_MS = 5_000;
const NO_GENERATION = -1;
/** From this version on several members leave with one request, so that they are a list. */
const LEAVE_WITH_MEMBERS = 3;

/** Owns the id and the generation under which the coordinator knows the member. */
export class GroupCalls {
  readonly #inner: ReaderInner;
  readonly #coordinator: Coordinator;
  readonly #options: ResolvedGroupOptions;
  readonly #closing: AbortSignal;
  #memberId = "";
  #generationId = NO_GENERATION;
  /** What the last generation that was joined knows of this member; kept when it is lost, for it is refused then. */
  #metadata: GroupMetadata | undefined;

  /** A member that the coordinator doesn't know yet. */
  constructor(inner: ReaderInner, coordinator: Coordinator, options: ResolvedGroupOptions, closing: AbortSignal) {
    this.#inner = inner;
    this.#coordinator = coordinator;
    this.#options = options;
    this.#closing = closing;
  }

  /** What the member knows of itself; of the last generation while there is none. */
  get metadata(): GroupMetadata | undefined {
    return this.#metadata;
  }

  /** What heartbeats of the present generation say. */
  get pulse(): Pulse {
    const { groupId, groupInstanceId } = this.#options;
    return { groupId, groupInstanceId, memberId: this.#memberId, generationId: this.#generationId };
  }

  /** Asks to join. */
  async join(owned: readonly TopicPartition[]): Promise<Joined> {
    const { assignors, groupId, groupInstanceId, rebalanceTimeoutMs, sessionTimeoutMs, topics } = this.#options;
    for (const topic of topics) this.#inner.topics.add(topic);
    for (let isAgain = false;; isAgain = true) {
      const connection = await this.#coordinator.connection();
      const version = connection.version(JoinGroup);
      const metadata = writeSubscription({ topics, owned, generationId: this.#generationId });
      const answer = await this.#interruptible(connection.request(JoinGroup, version, {
        ...{ groupId, sessionTimeoutMs, rebalanceTimeoutMs, memberId: this.#memberId, groupInstanceId },
        protocolType: PROTOCOL_TYPE,
        protocols: assignors.map((name) => ({ name, metadata })),
      }, this.#rebalanceMs()));
      if (answer.errorCode === MEMBER_ID_REQUIRED && answer.memberId !== "" && !isAgain) {
        this.#memberId = answer.memberId;
        continue;
      }
      if (answer.errorCode === UNKNOWN_MEMBER_ID && groupInstanceId !== null && this.#memberId !== "") {
        // Nobody has its name now.
        this.#memberId = "";
        continue;
      }
      if (answer.errorCode !== 0) throw groupError(answer.errorCode, "JoinGroup");
      this.#memberId = answer.memberId;
      this.#generationId = answer.generationId;
      return answer;
    }
  }

  /** Asks for what this member is to read, and as the leader says what each reads. */
  async sync({ protocolName }: Joined, assignments: readonly MemberAssignment[]): Promise<TopicPartition[]> {
    const { groupId, groupInstanceId, topics } = this.#options;
    const connection = await this.#coordinator.connection();
    const version = connection.version(SyncGroup);
    const answer = await this.#interruptible(connection.request(SyncGroup, version, {
      ...{ groupId, memberId: this.#memberId, generationId: this.#generationId, groupInstanceId, assignments },
      ...{ protocolType: PROTOCOL_TYPE, protocolName },
    }, this.#rebalanceMs()));
    if (answer.errorCode !== 0) throw groupError(answer.errorCode, "SyncGroup");
    this.#metadata = {
      ...{ groupId, memberId: this.#memberId, generationId: this.#generationId },
      ...(groupInstanceId === null ? {} : { groupInstanceId }),
    };
    // A leader of another make may not know what this member reads.
    return readAssignment(answer.assignment).filter(({ topic }) => topics.includes(topic));
  }

  /** Leaves the group; a static member stays in it for as long as its session lasts. */
  async leave(): Promise<void> {
    const { groupId, groupInstanceId } = this.#options;
    const memberId = this.#memberId;
    this.#memberId = "";
    this.#generationId = NO_GENERATION;
    if (memberId === "" || groupInstanceId !== null) return;
    try {
      const connection = await this.#coordinator.connection();
      const version = connection.version(LeaveGroup);
      const body = version < LEAVE_WITH_MEMBERS ? { groupId, memberId } : { groupId, members: [{ memberId }] };
      await connection.request(LeaveGroup, version, body as never, this.#inner.options.requestTimeoutMs);
    } catch {
      // It is out when its session is over.
    }
  }

  /**
   * The generation is nobody's any more. Throws a verdict after which there can't be another one. A static member keeps its
   * id until a join with it is refused: one without an id would fence whoever has its name by then.
   */
  reset(verdict: KafkaError): void {
    const { errorCode } = verdict;
    if (errorCode !== ILLEGAL_GENERATION && errorCode !== UNKNOWN_MEMBER_ID) throw verdict;
    if (errorCode !== ILLEGAL_GENERATION && this.#options.groupInstanceId === null) this.#memberId = "";
    this.#generationId = NO_GENERATION;
  }

  /** For how long an answer may be waited for that comes when the slowest member has come. */
  #rebalanceMs(): number {
    return Math.max(this.#inner.options.requestTimeoutMs, this.#options.rebalanceTimeoutMs + JOIN_GRACE_MS);
  }

  /** Resolves with the answer; closing doesn't wait for it, for a join takes as long as the slowest member. */
  #interruptible<T>(request: Promise<T>): Promise<T> {
    const ignore = onAbort(this.#closing, () => this.#coordinator.forget());
    return request.finally(ignore);
  }
}
