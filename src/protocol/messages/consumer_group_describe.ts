import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 69,
  name: "ConsumerGroupDescribe",
  versions: [0, 1],
  flexible: 0,
  request: { groupIds: "string[]", includeAuthorizedOperations: { type: "bool", default: false } },
  response: {
    throttleTimeMs: { type: "int32", bound: "throttle" },
    groups: {
      array: {
        errorCode: "int16",
        errorMessage: { type: "string", nullable: 0, default: null },
        groupId: "string",
        groupState: "string",
        groupEpoch: "int32",
        assignmentEpoch: "int32",
        assignorName: "string",
        members: {
          array: {
            memberId: "string",
            instanceId: { type: "string", nullable: 0, default: null },
            rackId: { type: "string", nullable: 0, default: null },
            memberEpoch: "int32",
            clientId: "string",
            clientHost: "string",
            subscribedTopicNames: "string[]",
            subscribedTopicRegex: { type: "string", nullable: 0, default: null },
            assignment: {
              struct: {
                topicPartitions: {
                  array: { topicId: "uuid", topicName: "string", partitions: "int32[]" },
                  bound: "partitions",
                },
              },
            },
            targetAssignment: {
              struct: {
                topicPartitions: {
                  array: { topicId: "uuid", topicName: "string", partitions: "int32[]" },
                  bound: "partitions",
                },
              },
            },
            memberType: { type: "int8", since: 1, default: -1, ignorable: true },
          },
          bound: "members",
        },
        authorizedOperations: { type: "int32", default: -2147483648 },
      },
      bound: "entries",
    },
  },
} as const;

/** Tells the state and the members of groups with the protocol of KIP-848. */
export const ConsumerGroupDescribe: Api<typeof declaration> = defineApi(declaration);
