import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 12,
  name: "Heartbeat",
  versions: [0, 4],
  flexible: 4,
  request: {
    groupId: "string",
    generationId: "int32",
    memberId: "string",
    groupInstanceId: { type: "string", since: 3, nullable: 3, default: null },
  },
  response: {
    throttleTimeMs: { type: "int32", since: 1, default: 0, ignorable: true, bound: "throttle" },
    errorCode: "int16",
  },
} as const;

/** Tells the coordinator of a group that a member lives. */
export const Heartbeat: Api<typeof declaration> = defineApi(declaration);
