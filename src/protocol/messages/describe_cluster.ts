import { checkHost, refuseTwice } from "../answer_checks.ts";
import { type Api, type Decoded, defineApi } from "../schema.ts";

const declaration = {
  key: 60,
  name: "DescribeCluster",
  versions: [0, 2],
  flexible: 0,
  request: {
    includeClusterAuthorizedOperations: "bool",
    endpointType: { type: "int8", since: 1, default: 1 },
    includeFencedBrokers: { type: "bool", since: 2, default: false },
  },
  response: {
    throttleTimeMs: { type: "int32", bound: "throttle" },
    errorCode: "int16",
    errorMessage: { type: "string", nullable: 0, default: null },
    endpointType: { type: "int8", since: 1, default: 1 },
    clusterId: "string",
    controllerId: { type: "int32", default: -1, bound: "nodeIdOrNone" },
    brokers: {
      array: {
        brokerId: { type: "int32", bound: "nodeId" },
        host: { type: "string", bound: "host" },
        port: { type: "int32", bound: "port" },
        rack: { type: "string", nullable: 0, default: null },
        isFenced: { type: "bool", since: 2, default: false },
      },
      bound: "brokers",
    },
    clusterAuthorizedOperations: { type: "int32", default: -2147483648 },
  },
} as const;

type Response = Decoded<(typeof declaration)["response"]>;

/** Asks for the brokers of the cluster, its id and its controller (KIP-700). */
export const DescribeCluster: Api<typeof declaration> = defineApi(declaration, checkCluster);

function checkCluster({ brokers }: Response): void {
  refuseTwice("brokers.brokerId", brokers.map(({ brokerId }) => brokerId));
  for (const { host } of brokers) checkHost("brokers.host", host);
}
