import { ProtocolError } from "../../errors.ts";
import { checkHost, refuseTwice } from "../answer_checks.ts";
import { type Api, type Decoded, defineApi } from "../schema.ts";

const declaration = {
  key: 3,
  name: "Metadata",
  versions: [0, 13],
  clientVersions: [4, 13],
  flexible: 9,
  request: {
    topics: {
      array: {
        topicId: { type: "uuid", since: 10, default: "00000000000000000000000000000000", ignorable: true },
        name: { type: "string", nullable: 10 },
      },
      nullable: 1,
    },
    allowAutoTopicCreation: { type: "bool", since: 4, default: true },
    includeClusterAuthorizedOperations: { type: "bool", since: 8, until: 10, default: false },
    includeTopicAuthorizedOperations: { type: "bool", since: 8, default: false },
  },
  response: {
    throttleTimeMs: { type: "int32", since: 3, default: 0, ignorable: true, bound: "throttle" },
    brokers: {
      array: {
        nodeId: { type: "int32", bound: "nodeId" },
        host: { type: "string", bound: "host" },
        port: { type: "int32", bound: "port" },
        rack: { type: "string", since: 1, nullable: 1, default: null, ignorable: true },
      },
      bound: "brokers",
    },
    clusterId: { type: "string", since: 2, nullable: 2, default: null, ignorable: true },
    controllerId: { type: "int32", since: 1, default: -1, ignorable: true, bound: "nodeIdOrNone" },
    topics: {
      array: {
        errorCode: "int16",
        name: { type: "string", nullable: 12 },
        topicId: { type: "uuid", since: 10, ignorable: true },
        isInternal: { type: "bool", since: 1, default: false, ignorable: true },
        partitions: {
          array: {
            errorCode: "int16",
            partitionIndex: { type: "int32", bound: "partition" },
            leaderId: { type: "int32", bound: "nodeIdOrNone" },
            leaderEpoch: { type: "int32", since: 7, default: -1, ignorable: true, bound: "leaderEpoch" },
            replicaNodes: "int32[]",
            isrNodes: "int32[]",
            offlineReplicas: { type: "int32[]", since: 5, default: [], ignorable: true },
          },
          bound: "partitions",
        },
        topicAuthorizedOperations: { type: "int32", since: 8, default: -2147483648 },
      },
      bound: "entries",
    },
    clusterAuthorizedOperations: { type: "int32", since: 8, until: 10, default: -2147483648 },
    errorCode: { type: "int16", since: 13, default: 0, ignorable: true },
  },
} as const;

type Response = Decoded<(typeof declaration)["response"]>;

/** Asks for brokers, topics, partitions and their leaders (KIP-516 topic ids from version 10). */
export const Metadata: Api<typeof declaration> = defineApi(declaration, checkMetadata);

function checkMetadata({ brokers, topics }: Response): void {
  refuseTwice("brokers.nodeId", brokers.map(({ nodeId }) => nodeId));
  for (const { host } of brokers) checkHost("brokers.host", host);
  refuseTwice("topics.name", topics.flatMap(({ name }) => name ?? []));
  for (const { partitions } of topics) {
    const seen = new Uint8Array(partitions.length);
    for (const { partitionIndex } of partitions) {
      // Brokers list all partitions of a topic, in any order: so many entries, so many indexes.
      if (partitionIndex >= seen.length || seen[partitionIndex] === 1) {
        const wanted = `wanted each of 0 to ${seen.length - 1} once, as there are ${seen.length} partitions`;
        throw new ProtocolError(`topics.partitions.partitionIndex: Reading "${partitionIndex}": ${wanted}.`);
      }
      seen[partitionIndex] = 1;
    }
  }
}
