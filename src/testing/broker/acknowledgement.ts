/**
 * How a Produce request with `acks=all` waits until the high watermark has passed what it appended.
 *
 * @module
 */

import type { ResponseInputOf } from "../../protocol/api.ts";
import type { Produce } from "../../protocol/messages/produce.ts";
import {
  NOT_LEADER_OR_FOLLOWER,
  REQUEST_TIMED_OUT,
  UNKNOWN_TOPIC_OR_PARTITION,
} from "../../protocol/error_code_names.ts";
import type { Call } from "./call.ts";
import type { Replica } from "../storage/replica.ts";

type PartitionBody = ResponseInputOf<typeof Produce>["responses"][number]["partitionResponses"][number];

/** A partition's answer, and what it has to wait for. */
export interface Served {
  /** What is answered when all is well, or why it isn't. */
  readonly body: PartitionBody;
  /** The leader that has appended the batch, or had it already. */
  readonly leader?: Replica;
  /** Where the high watermark must be. */
  readonly endOffset?: bigint;
}

const FIRST_VERSION_WITH_HINTS = 10;

/**
 * The answers of a request's partitions when there is nothing left to wait for, or after the request's timeout.
 *
 * An error that comes now keeps the offset: the batch is in the log of this leader, but it is not known to be safe.
 */
export function acknowledged(
  call: Call<typeof Produce>,
  all: readonly Served[],
): readonly PartitionBody[] | Promise<readonly PartitionBody[]> {
  if (call.request.acks !== -1 || all.every(isSafe)) return all.map(({ body }) => body);
  return new Promise((resolve) => {
    const finish = (): void => {
      timer.cancel();
      forget();
      for (const unwatch of unwatches) unwatch();
      resolve(all.map((served) => settle(call, served)));
    };
    const check = (): void => {
      if (all.every((served) => isSafe(served) || served.leader?.isLeader === false)) finish();
    };
    const timer = call.cluster.clock.setTimer(finish, Math.max(0, call.request.timeoutMs));
    const forget = call.onClose(finish);
    const unwatches = all.flatMap(({ leader }) => leader === undefined ? [] : [leader.watch(check)]);
  });
}

function isSafe({ leader, endOffset }: Served): boolean {
  return leader === undefined || (leader.isLeader && leader.highWatermark >= endOffset!);
}

function settle(call: Call<typeof Produce>, served: Served): PartitionBody {
  const { body, leader } = served;
  if (leader === undefined || isSafe(served)) return body;
  if (leader.isLeader) return { ...body, errorCode: REQUEST_TIMED_OUT };
  const state = call.view.stateOf(leader.partition);
  if (state === undefined) return { ...body, errorCode: UNKNOWN_TOPIC_OR_PARTITION };
  const refused = { ...body, errorCode: NOT_LEADER_OR_FOLLOWER };
  const { leaderEpoch, leaderId } = state;
  return call.version < FIRST_VERSION_WITH_HINTS ? refused : { ...refused, currentLeader: { leaderId, leaderEpoch } };
}
