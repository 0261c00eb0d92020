/**
 * What a coordinator's refusals mean to whoever wants to be a member.
 *
 * @module
 */

import type { KafkaError } from "../../errors.ts";
import {
  FENCED_INSTANCE_ID,
  GROUP_MAX_SIZE_REACHED,
  INCONSISTENT_GROUP_PROTOCOL,
  INVALID_SESSION_TIMEOUT,
} from "../../protocol/error_code_names.ts";
import { brokerError } from "../../protocol/error_codes.ts";

/** What to do about it; only members meet these codes, so they stand here and not in the table of all. */
const ADVICE: Readonly<Record<number, string>> = {
  [INCONSISTENT_GROUP_PROTOCOL]:
    'no way to divide partitions is known to all members: name one of theirs in "assignors"',
  [INVALID_SESSION_TIMEOUT]:
    'set "sessionTimeoutMs" to what the broker allows: 6000 to 1800000, unless group.min.session.timeout.ms or ' +
    "group.max.session.timeout.ms say otherwise",
  [GROUP_MAX_SIZE_REACHED]: "it has as many members as group.max.size of the broker allows",
  [FENCED_INSTANCE_ID]: 'another member has joined as this "groupInstanceId": give each instance one of its own',
};

/** The error for a code that a coordinator has answered a member with. */
export function groupError(errorCode: number, api: string): KafkaError {
  return brokerError(errorCode, { api, detail: ADVICE[errorCode] });
}
