import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 19,
  name: "CreateTopics",
  versions: [2, 7],
  flexible: 5,
  request: {
    topics: {
      array: {
        name: "string",
        numPartitions: "int32",
        replicationFactor: "int16",
        assignments: { array: { partitionIndex: "int32", brokerIds: "int32[]" }, default: [] },
        configs: { array: { name: "string", value: "string?" }, default: [] },
      },
    },
    timeoutMs: { type: "int32", default: 60000 },
    validateOnly: { type: "bool", default: false },
  },
  response: {
    throttleTimeMs: { type: "int32", default: 0, bound: "throttle" },
    topics: {
      array: {
        name: "string",
        topicId: { type: "uuid", since: 7, ignorable: true },
        errorCode: "int16",
        errorMessage: { type: "string?", default: "" },
        topicConfigErrorCode: { type: "int16", since: 5, tag: 0, default: 0, ignorable: true },
        numPartitions: { type: "int32", since: 5, default: -1, ignorable: true, bound: "partitionCount" },
        replicationFactor: { type: "int16", since: 5, default: -1, ignorable: true, bound: "replicaCount" },
        configs: {
          array: {
            name: "string",
            value: "string?",
            readOnly: "bool",
            configSource: { type: "int8", default: -1 },
            isSensitive: "bool",
          },
          since: 5,
          nullable: 5,
          default: [],
          ignorable: true,
          bound: "names",
        },
      },
      bound: "entries",
    },
  },
} as const;

/** Creates topics (KIP-4); tells their ids from version 7. */
export const CreateTopics: Api<typeof declaration> = defineApi(declaration);
