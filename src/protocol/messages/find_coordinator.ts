import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 10,
  name: "FindCoordinator",
  versions: [0, 6],
  clientVersions: [1, 6],
  flexible: 3,
  request: {
    key: { type: "string", until: 3 },
    keyType: { type: "int8", since: 1, default: 0 },
    coordinatorKeys: { type: "string[]", since: 4 },
  },
  response: {
    throttleTimeMs: { type: "int32", since: 1, default: 0, ignorable: true, bound: "throttle" },
    errorCode: { type: "int16", until: 3 },
    errorMessage: { type: "string", since: 1, until: 3, nullable: 1, default: "", ignorable: true },
    nodeId: { type: "int32", until: 3 },
    host: { type: "string", until: 3 },
    port: { type: "int32", until: 3 },
    coordinators: {
      array: {
        key: "string",
        nodeId: { type: "int32", bound: "nodeIdOrNone" },
        host: "string",
        port: "int32",
        errorCode: "int16",
        errorMessage: { type: "string?", default: "" },
      },
      since: 4,
      bound: "entries",
    },
  },
} as const;

/** Asks who coordinates a transactional id (key type 1) or a group (0); many keys from version 4 (KIP-699). */
export const FindCoordinator: Api<typeof declaration> = defineApi(declaration);
