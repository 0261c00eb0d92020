import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 16,
  name: "ListGroups",
  versions: [0, 5],
  flexible: 3,
  request: {
    statesFilter: { type: "string[]", since: 4, default: [] },
    typesFilter: { type: "string[]", since: 5, default: [] },
  },
  response: {
    throttleTimeMs: { type: "int32", since: 1, default: 0, ignorable: true, bound: "throttle" },
    errorCode: "int16",
    groups: {
      array: {
        groupId: "string",
        protocolType: "string",
        groupState: { type: "string", since: 4, ignorable: true },
        groupType: { type: "string", since: 5, ignorable: true },
      },
      bound: "groups",
    },
  },
} as const;

/** Lists the groups that a broker coordinates. */
export const ListGroups: Api<typeof declaration> = defineApi(declaration);
