import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 14,
  name: "SyncGroup",
  versions: [0, 5],
  flexible: 4,
  request: {
    groupId: "string",
    generationId: "int32",
    memberId: "string",
    groupInstanceId: { type: "string", since: 3, nullable: 3, default: null },
    protocolType: { type: "string", since: 5, nullable: 5, default: null, ignorable: true },
    protocolName: { type: "string", since: 5, nullable: 5, default: null, ignorable: true },
    assignments: { array: { memberId: "string", assignment: "bytes" } },
  },
  response: {
    throttleTimeMs: { type: "int32", since: 1, default: 0, ignorable: true, bound: "throttle" },
    errorCode: "int16",
    protocolType: { type: "string", since: 5, nullable: 5, default: null, ignorable: true },
    protocolName: { type: "string", since: 5, nullable: 5, default: null, ignorable: true },
    assignment: "bytes",
  },
} as const;

/** Gives the members of a generation their assignments; the leader sends them. */
export const SyncGroup: Api<typeof declaration> = defineApi(declaration);
