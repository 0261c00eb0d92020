/**
 * The cluster as a whole: its id, its brokers, its controller.
 *
 * @module
 */

import { brokerError } from "../protocol/error_codes.ts";
import { DescribeCluster } from "../protocol/messages/describe_cluster.ts";
import type { Call } from "./call.ts";
import type { Dispatcher } from "./dispatcher.ts";

/** A cluster. */
export interface ClusterDescription {
  /** Its id. */
  readonly clusterId: string;
  /**
   * The node id of the broker that takes what the controller is to do; −1 while there is none. In a cluster with KRaft
   * that is any broker, which passes it on.
   */
  readonly controllerId: number;
  /** Its brokers, by id. */
  readonly brokers: readonly BrokerDescription[];
}

/** A broker of the cluster. */
export interface BrokerDescription {
  /** Its node id. */
  readonly nodeId: number;
  /** Where it listens for clients like this one. */
  readonly host: string;
  /** On which port. */
  readonly port: number;
  /** Where it stands, if it tells. */
  readonly rack: string | undefined;
  /** It is registered and takes no requests (Kafka 4.0); such brokers are told with `includeFencedBrokers` only. */
  readonly isFenced: boolean;
}

/** From this version on DescribeCluster tells of fenced brokers (KIP-1073). */
const DESCRIBE_WITH_FENCED = 2;

/** Describes the cluster; brokers before Kafka 2.8 are asked by Metadata. */
export async function describeCluster(
  dispatcher: Dispatcher,
  call: Call,
  includeFencedBrokers: boolean,
): Promise<ClusterDescription> {
  return await call.one(async () => {
    const connection = await dispatcher.connection("any");
    if (!connection.versions.has(DescribeCluster.key)) return await fromMetadata(dispatcher, call);
    const version = connection.version(DescribeCluster);
    const answer = await connection.request(DescribeCluster, version, {
      includeClusterAuthorizedOperations: false,
      ...(version >= DESCRIBE_WITH_FENCED ? { includeFencedBrokers } : {}),
    }, call.requestTimeoutMs);
    if (answer.errorCode !== 0) {
      throw brokerError(answer.errorCode, { api: "DescribeCluster", detail: answer.errorMessage });
    }
    const { brokers, clusterId, controllerId } = answer;
    return {
      ...{ clusterId, controllerId },
      brokers: inOrder(brokers.map(({ brokerId: nodeId, host, isFenced, port, rack }) => (
        { nodeId, host, port, rack: rack ?? undefined, isFenced }
      ))),
    };
  });
}

async function fromMetadata(dispatcher: Dispatcher, call: Call): Promise<ClusterDescription> {
  const { brokers, clusterId, controllerId } = await dispatcher.metadata(call, []);
  return {
    ...{ clusterId: clusterId ?? "", controllerId },
    brokers: inOrder(brokers.map(({ host, nodeId, port, rack }) => (
      { nodeId, host, port, rack: rack ?? undefined, isFenced: false }
    ))),
  };
}

function inOrder(brokers: readonly BrokerDescription[]): BrokerDescription[] {
  return [...brokers].sort((a, b) => a.nodeId - b.nodeId);
}
