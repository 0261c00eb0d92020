import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 42,
  name: "DeleteGroups",
  versions: [0, 3],
  flexible: 2,
  request: { groupsNames: "string[]" },
  response: {
    throttleTimeMs: { type: "int32", bound: "throttle" },
    results: {
      array: {
        groupId: "string",
        errorCode: "int16",
        errorMessage: { type: "string", since: 3, nullable: 3, default: null, ignorable: true },
      },
      bound: "entries",
    },
  },
} as const;

/** Deletes groups without members (KIP-229). */
export const DeleteGroups: Api<typeof declaration> = defineApi(declaration);
