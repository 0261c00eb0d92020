import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 32,
  name: "DescribeConfigs",
  versions: [1, 4],
  flexible: 4,
  request: {
    resources: {
      array: { resourceType: "int8", resourceName: "string", configurationKeys: { type: "string[]", nullable: 1 } },
    },
    includeSynonyms: { type: "bool", default: false },
    includeDocumentation: { type: "bool", since: 3, default: false },
  },
  response: {
    throttleTimeMs: { type: "int32", bound: "throttle" },
    results: {
      array: {
        errorCode: "int16",
        errorMessage: "string?",
        resourceType: "int8",
        resourceName: "string",
        configs: {
          array: {
            name: "string",
            value: "string?",
            readOnly: "bool",
            configSource: { type: "int8", default: -1 },
            isSensitive: "bool",
            synonyms: { array: { name: "string", value: "string?", source: "int8" }, bound: "names" },
            configType: { type: "int8", since: 3, default: 0, ignorable: true },
            documentation: { type: "string", since: 3, nullable: 1, ignorable: true },
          },
          bound: "names",
        },
      },
      bound: "entries",
    },
  },
} as const;

/** Asks for the configuration of topics and brokers (KIP-133). */
export const DescribeConfigs: Api<typeof declaration> = defineApi(declaration);
