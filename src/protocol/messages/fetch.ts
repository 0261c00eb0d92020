import { type Api, defineApi } from "../schema.ts";

const declaration = {
  key: 1,
  name: "Fetch",
  versions: [4, 18],
  flexible: 12,
  request: {
    clusterId: { type: "string", since: 12, nullable: 12, tag: 0, default: null, ignorable: true },
    replicaId: { type: "int32", until: 14, default: -1 },
    replicaState: {
      struct: { replicaId: { type: "int32", default: -1 }, replicaEpoch: { type: "int64", default: -1n } },
      since: 15,
      tag: 1,
    },
    maxWaitMs: "int32",
    minBytes: "int32",
    maxBytes: { type: "int32", default: 0x7fffffff },
    isolationLevel: { type: "int8", default: 0 },
    sessionId: { type: "int32", since: 7, default: 0, ignorable: true },
    sessionEpoch: { type: "int32", since: 7, default: -1, ignorable: true },
    topics: {
      array: {
        topic: { type: "string", until: 12, ignorable: true },
        topicId: { type: "uuid", since: 13, ignorable: true },
        partitions: {
          array: {
            partition: "int32",
            currentLeaderEpoch: { type: "int32", since: 9, default: -1, ignorable: true },
            fetchOffset: "int64",
            lastFetchedEpoch: { type: "int32", since: 12, default: -1 },
            logStartOffset: { type: "int64", since: 5, default: -1n, ignorable: true },
            partitionMaxBytes: "int32",
            replicaDirectoryId: { type: "uuid", since: 17, tag: 0, ignorable: true },
            highWatermark: { type: "int64", since: 18, tag: 1, default: 9223372036854775807n, ignorable: true },
          },
        },
      },
    },
    forgottenTopicsData: {
      array: {
        topic: { type: "string", until: 12, ignorable: true },
        topicId: { type: "uuid", since: 13, ignorable: true },
        partitions: "int32[]",
      },
      since: 7,
      default: [],
    },
    rackId: { type: "string", since: 11, default: "", ignorable: true },
  },
  response: {
    throttleTimeMs: { type: "int32", default: 0, bound: "throttle" },
    errorCode: { type: "int16", since: 7, default: 0, ignorable: true },
    sessionId: { type: "int32", since: 7, default: 0 },
    responses: {
      array: {
        topic: { type: "string", until: 12, ignorable: true },
        topicId: { type: "uuid", since: 13, ignorable: true },
        partitions: {
          array: {
            partitionIndex: { type: "int32", bound: "partition" },
            errorCode: "int16",
            highWatermark: { type: "int64", bound: "offset" },
            lastStableOffset: { type: "int64", default: -1n },
            logStartOffset: { type: "int64", since: 5, default: -1n, ignorable: true },
            divergingEpoch: {
              struct: { epoch: { type: "int32", default: -1 }, endOffset: { type: "int64", default: -1n } },
              since: 12,
              tag: 0,
            },
            currentLeader: {
              struct: { leaderId: { type: "int32", default: -1 }, leaderEpoch: { type: "int32", default: -1 } },
              since: 12,
              tag: 1,
            },
            snapshotId: {
              struct: { endOffset: { type: "int64", default: -1n }, epoch: { type: "int32", default: -1 } },
              since: 12,
              tag: 2,
            },
            abortedTransactions: {
              array: {
                producerId: { type: "int64", bound: "producerId" },
                firstOffset: { type: "int64", bound: "offset" },
              },
              nullable: 4,
              default: [],
            },
            preferredReadReplica: { type: "int32", since: 11, default: -1 },
            records: "records",
          },
          bound: "entries",
        },
      },
      bound: "entries",
    },
    nodeEndpoints: {
      array: { nodeId: "int32", host: "string", port: "int32", rack: { type: "string?", default: null } },
      since: 16,
      tag: 0,
    },
  },
} as const;

/** Reads record batches from partitions (KIP-227 sessions, KIP-516 topic ids from version 13). */
export const Fetch: Api<typeof declaration> = defineApi(declaration);
