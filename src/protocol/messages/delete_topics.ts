import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 20,
  name: "DeleteTopics",
  versions: [1, 6],
  flexible: 4,
  request: {
    topics: { array: { name: { type: "string", nullable: 6, default: null }, topicId: "uuid" }, since: 6 },
    topicNames: { type: "string[]", until: 5, default: [], ignorable: true },
    timeoutMs: "int32",
  },
  response: {
    throttleTimeMs: { type: "int32", bound: "throttle" },
    responses: {
      array: {
        name: { type: "string", nullable: 6 },
        topicId: { type: "uuid", since: 6, ignorable: true },
        errorCode: "int16",
        errorMessage: { type: "string", since: 5, nullable: 5, default: null, ignorable: true },
      },
      bound: "entries",
    },
  },
} as const;

/** Deletes topics, by name or (from version 6 on) by id. */
export const DeleteTopics: Api<typeof declaration> = defineApi(declaration);
