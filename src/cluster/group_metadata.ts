/**
 * What a member of a consumer group knows of itself.
 *
 * @module
 */

/** On whose behalf offsets are committed (KIP-447); what a member of a group knows of itself. */
export interface GroupMetadata {
  /** The consumer group. */
  readonly groupId: string;
  /** The member's id, which the coordinator has given; "" outside of a membership. */
  readonly memberId?: string | undefined;
  /** The generation of the group that the member belongs to, −1 outside of a membership. */
  readonly generationId?: number | undefined;
  /** The name of a static member (KIP-345). */
  readonly groupInstanceId?: string | undefined;
}
