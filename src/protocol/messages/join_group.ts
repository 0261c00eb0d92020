import { ProtocolError } from "../../errors.ts";
import { refuseTwice } from "../answer_checks.ts";
import { type Api, type Decoded, defineApi } from "../schema.ts";

const declaration = {
  key: 11,
  name: "JoinGroup",
  versions: [0, 9],
  flexible: 6,
  request: {
    groupId: "string",
    sessionTimeoutMs: "int32",
    rebalanceTimeoutMs: { type: "int32", since: 1, default: -1, ignorable: true },
    memberId: "string",
    groupInstanceId: { type: "string", since: 5, nullable: 5, default: null },
    protocolType: "string",
    protocols: { array: { name: "string", metadata: "bytes" } },
    reason: { type: "string", since: 8, nullable: 8, default: null, ignorable: true },
  },
  response: {
    throttleTimeMs: { type: "int32", since: 2, default: 0, ignorable: true, bound: "throttle" },
    errorCode: "int16",
    generationId: { type: "int32", default: -1, bound: "generation" },
    protocolType: { type: "string", since: 7, nullable: 7, default: null, ignorable: true },
    protocolName: { type: "string", nullable: 7 },
    leader: "string",
    skipAssignment: { type: "bool", since: 9, default: false },
    memberId: "string",
    members: {
      array: {
        memberId: "string",
        groupInstanceId: { type: "string", since: 5, nullable: 5, default: null, ignorable: true },
        metadata: "bytes",
      },
      bound: "members",
    },
  },
} as const;

type Response = Decoded<(typeof declaration)["response"]>;

/** Enters a consumer group or a new generation of it (KIP-394, KIP-345). */
export const JoinGroup: Api<typeof declaration> = defineApi(declaration, checkJoin);

function checkJoin({ errorCode, generationId, members }: Response): void {
  if (errorCode === 0 && generationId < 0) {
    throw new ProtocolError(`generationId: Reading "${generationId}": wanted 0 or more, as there is no error.`);
  }
  refuseTwice("members.memberId", members.map(({ memberId }) => memberId));
}
