import { ProtocolError } from "../../errors.ts";
import { checkHost, refuseTwice } from "../answer_checks.ts";
import { PRODUCE_WITH_TOPIC_NAMES } from "../negotiation.ts";
import { RECORDS_COUNT } from "../record_batch_layout.ts";
import { type Api, type Decoded, defineApi, type Encodable } from "../schema.ts";

const declaration = {
  key: 0,
  name: "Produce",
  versions: [3, 13],
  flexible: 9,
  request: {
    transactionalId: { type: "string?", default: null },
    acks: "int16",
    timeoutMs: "int32",
    topicData: {
      array: {
        name: { type: "string", until: 12, ignorable: true },
        topicId: { type: "uuid", since: 13, ignorable: true },
        partitionData: { array: { index: "int32", records: "records" } },
      },
    },
  },
  response: {
    responses: {
      array: {
        name: { type: "string", until: 12, ignorable: true },
        topicId: { type: "uuid", since: 13, ignorable: true },
        partitionResponses: {
          array: {
            index: { type: "int32", bound: "partition" },
            errorCode: "int16",
            baseOffset: { type: "int64", bound: "offset" },
            logAppendTimeMs: { type: "int64", default: -1n, bound: "timestamp" },
            logStartOffset: { type: "int64", since: 5, default: -1n, ignorable: true, bound: "offset" },
            recordErrors: {
              bound: "recordErrors",
              array: {
                batchIndex: { type: "int32", bound: "record" },
                batchIndexErrorMessage: { type: "string?", default: null },
              },
              since: 8,
              default: [],
              ignorable: true,
            },
            errorMessage: { type: "string", since: 8, nullable: 8, default: null, ignorable: true },
            currentLeader: {
              struct: {
                leaderId: { type: "int32", default: -1, bound: "nodeIdOrNone" },
                leaderEpoch: { type: "int32", default: -1, bound: "leaderEpoch" },
              },
              since: 10,
              tag: 0,
            },
          },
          bound: "entries",
        },
      },
      bound: "entries",
    },
    throttleTimeMs: { type: "int32", default: 0, bound: "throttle" },
    nodeEndpoints: {
      array: {
        nodeId: { type: "int32", bound: "nodeId" },
        host: { type: "string", bound: "host" },
        port: { type: "int32", bound: "port" },
        rack: { type: "string?", default: null },
      },
      bound: "brokers",
      since: 10,
      tag: 0,
    },
  },
} as const;

type Response = Decoded<(typeof declaration)["response"]>;
type Request = Encodable<(typeof declaration)["request"]>;
type Batches = Request["topicData"][number]["partitionData"][number]["records"];

/** Appends record batches to partitions; version 13 names topics by id, 12 in a transaction means KIP-890. */
export const Produce: Api<typeof declaration> = defineApi(declaration, checkProduce);

function checkProduce(
  { responses, nodeEndpoints }: Response,
  request: Request,
  version: number,
): void {
  if (nodeEndpoints.length > 0) {
    refuseTwice("nodeEndpoints.nodeId", nodeEndpoints.map(({ nodeId }) => nodeId));
    for (const { host } of nodeEndpoints) checkHost("nodeEndpoints.host", host);
  }
  for (const { name, topicId, partitionResponses } of responses) {
    for (const { index, recordErrors } of partitionResponses) {
      if (recordErrors.length === 0) continue;
      const topic = request.topicData.find((asked) =>
        version > PRODUCE_WITH_TOPIC_NAMES ? asked.topicId === topicId : asked.name === name
      );
      const asked = topic?.partitionData.find((partition) => partition.index === index);
      if (asked !== undefined) checkRecordErrors(recordErrors, recordCount(asked.records));
    }
  }
}

function checkRecordErrors(errors: readonly { readonly batchIndex: number }[], records: number): void {
  const field = "responses.partitionResponses.recordErrors.batchIndex";
  for (const { batchIndex } of errors) {
    if (batchIndex < records) continue;
    throw new ProtocolError(`${field}: Reading "${batchIndex}": wanted 0 to ${records - 1}, a record of the batch.`);
  }
  refuseTwice(field, errors.map(({ batchIndex }) => batchIndex));
}

/** How many records a batch of a request says that it holds. */
export function recordCount(records: Batches): number {
  const bytes = records instanceof Uint8Array ? records : records?.[0];
  if (bytes === undefined || bytes.length < RECORDS_COUNT + 4) return 0;
  return new DataView(bytes.buffer, bytes.byteOffset + RECORDS_COUNT, 4).getInt32(0);
}
