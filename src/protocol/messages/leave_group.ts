import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 13,
  name: "LeaveGroup",
  versions: [0, 5],
  flexible: 4,
  request: {
    groupId: "string",
    memberId: { type: "string", until: 2 },
    members: {
      array: {
        memberId: "string",
        groupInstanceId: { type: "string", nullable: 3, default: null },
        reason: { type: "string", since: 5, nullable: 5, default: null, ignorable: true },
      },
      since: 3,
    },
  },
  response: {
    throttleTimeMs: { type: "int32", since: 1, default: 0, ignorable: true, bound: "throttle" },
    errorCode: "int16",
    members: { array: { memberId: "string", groupInstanceId: "string?", errorCode: "int16" }, since: 3 },
  },
} as const;

/** Takes members out of a group; several at once from version 3 on (KIP-345). */
export const LeaveGroup: Api<typeof declaration> = defineApi(declaration);
