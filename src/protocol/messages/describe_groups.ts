import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 15,
  name: "DescribeGroups",
  versions: [0, 6],
  flexible: 5,
  request: { groups: "string[]", includeAuthorizedOperations: { type: "bool", since: 3, default: false } },
  response: {
    throttleTimeMs: { type: "int32", since: 1, default: 0, ignorable: true, bound: "throttle" },
    groups: {
      array: {
        errorCode: "int16",
        errorMessage: { type: "string", since: 6, nullable: 6, default: null },
        groupId: "string",
        groupState: "string",
        protocolType: "string",
        protocolData: "string",
        members: {
          array: {
            memberId: "string",
            groupInstanceId: { type: "string", since: 4, nullable: 4, default: null, ignorable: true },
            clientId: "string",
            clientHost: "string",
            memberMetadata: "bytes",
            memberAssignment: "bytes",
          },
          bound: "members",
        },
        authorizedOperations: { type: "int32", since: 3, default: -2147483648 },
      },
      bound: "entries",
    },
  },
} as const;

/** Tells the state and the members of groups with the classic protocol. */
export const DescribeGroups: Api<typeof declaration> = defineApi(declaration);
