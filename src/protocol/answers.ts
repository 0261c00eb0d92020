/**
 * What no broker answers, though each number by itself could be right: a partition twice, a record that wasn't sent.
 *
 * What a client only passes over is left alone (topics and partitions that it didn't ask for): it costs nothing and
 * teaches nothing, and a broker that adds something of its own stays usable.
 *
 * @module
 */

import { ProtocolError } from "../errors.ts";
import { type RequestLimits, STRAYS } from "./bounds.ts";
import { ApiVersions } from "./messages/api_versions.ts";
import type { DescribeCluster } from "./messages/describe_cluster.ts";
import { InitProducerId } from "./messages/init_producer_id.ts";
import type { JoinGroup } from "./messages/join_group.ts";
import { Metadata } from "./messages/metadata.ts";
import { Produce } from "./messages/produce.ts";
import { PRODUCE_WITH_TOPIC_NAMES } from "./negotiation.ts";
import { RECORDS_COUNT } from "./record_batch_layout.ts";
import type { AnyApi, RequestInputOf, ResponseOf } from "./schema.ts";

type ProduceInput = RequestInputOf<typeof Produce>;
type Batches = ProduceInput["topicData"][number]["partitionData"][number]["records"];

/** By their numbers: modules of messages that producers never send stay out of their bundles. */
const JOIN_GROUP = 11;
const DESCRIBE_CLUSTER = 60;

/** What the request tells of its answer. */
export function limitsOf(api: AnyApi, request: unknown): RequestLimits {
  if (api.key === Produce.key) return new ProduceLimits(request as ProduceInput);
  return new AskedLimits(request as object);
}

/** Counted when they are asked for: most answers have no lists. */
class AskedLimits implements RequestLimits {
  readonly records: number = Infinity;
  readonly #request: object;
  #entries: number | undefined;

  constructor(request: object) {
    this.#request = request;
  }

  get entries(): number {
    return this.#entries ??= entriesOf(this.#request) + STRAYS;
  }
}

/** What asks for all that there are when it is null; null elsewhere leaves a default to the broker. */
const ALL = ["topics", "groups"];

/** How many elements the lists of a request have in all: no answer names more of what it was asked for. */
function entriesOf(request: object): number {
  let sum = 0;
  for (const [name, value] of Object.entries(request)) {
    if (value === null && ALL.includes(name)) return Infinity;
    if (!Array.isArray(value)) continue;
    sum += value.length;
    for (const each of value) {
      if (typeof each !== "object") break;
      sum += entriesOf(each);
    }
  }
  return sum;
}

/** Counted when they are asked for: few answers list record errors. */
class ProduceLimits implements RequestLimits {
  readonly #request: ProduceInput;
  #entries: number | undefined;
  #records: number | undefined;

  constructor(request: ProduceInput) {
    this.#request = request;
  }

  get entries(): number {
    return this.#entries ??= this.#request.topicData.reduce((sum, topic) => sum + topic.partitionData.length, STRAYS);
  }

  get records(): number {
    if (this.#records !== undefined) return this.#records;
    let most = 0;
    for (const { partitionData } of this.#request.topicData) {
      for (const { records } of partitionData) most = Math.max(most, recordCount(records));
    }
    return this.#records = most;
  }
}

/**
 * Looks at an answer as a whole.
 *
 * @throws {ProtocolError} naming the field, the value, and what is wanted, when it can't be right
 */
export function checkAnswer(api: AnyApi, version: number, request: unknown, answer: unknown): void {
  try {
    switch (api.key) {
      case ApiVersions.key:
        return checkVersions(answer as ResponseOf<typeof ApiVersions>);
      case Metadata.key:
        return checkMetadata(answer as ResponseOf<typeof Metadata>);
      case JOIN_GROUP:
        return checkJoin(answer as ResponseOf<typeof JoinGroup>);
      case DESCRIBE_CLUSTER:
        return checkCluster(answer as ResponseOf<typeof DescribeCluster>);
      case InitProducerId.key:
        return checkProducerId(answer as ResponseOf<typeof InitProducerId>);
      case Produce.key:
        return checkProduce(version, request as ProduceInput, answer as ResponseOf<typeof Produce>);
    }
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw new ProtocolError(`Decoding ${api.name} v${version} response, field ${error.message}`, { cause: error });
  }
}

function checkVersions({ apiKeys, supportedFeatures, finalizedFeatures }: ResponseOf<typeof ApiVersions>): void {
  refuseTwice("apiKeys.apiKey", apiKeys.map(({ apiKey }) => apiKey));
  for (const { minVersion, maxVersion } of apiKeys) checkRange("apiKeys.minVersion", minVersion, maxVersion);
  for (const { minVersion, maxVersion } of supportedFeatures) {
    checkRange("supportedFeatures.minVersion", minVersion, maxVersion);
  }
  for (const { minVersionLevel, maxVersionLevel } of finalizedFeatures) {
    checkRange("finalizedFeatures.minVersionLevel", minVersionLevel, maxVersionLevel);
  }
}

function checkRange(field: string, least: number, most: number): void {
  if (least > most) throw new ProtocolError(`${field}: Reading "${least}": wanted at most ${most}, the last version.`);
}

function checkMetadata({ brokers, topics }: ResponseOf<typeof Metadata>): void {
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

function checkProducerId({ errorCode, producerId, producerEpoch }: ResponseOf<typeof InitProducerId>): void {
  if (errorCode !== 0) return;
  const wanted = "wanted 0 or more, as there is no error";
  if (producerId < 0n) throw new ProtocolError(`producerId: Reading "${producerId}": ${wanted}.`);
  if (producerEpoch < 0) throw new ProtocolError(`producerEpoch: Reading "${producerEpoch}": ${wanted}.`);
}

function checkJoin({ errorCode, generationId, members }: ResponseOf<typeof JoinGroup>): void {
  if (errorCode === 0 && generationId < 0) {
    throw new ProtocolError(`generationId: Reading "${generationId}": wanted 0 or more, as there is no error.`);
  }
  refuseTwice("members.memberId", members.map(({ memberId }) => memberId));
}

function checkCluster({ brokers }: ResponseOf<typeof DescribeCluster>): void {
  refuseTwice("brokers.brokerId", brokers.map(({ brokerId }) => brokerId));
  for (const { host } of brokers) checkHost("brokers.host", host);
}

function checkProduce(
  version: number,
  request: ProduceInput,
  { responses, nodeEndpoints }: ResponseOf<typeof Produce>,
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

function checkHost(field: string, host: string): void {
  if (!/[\0-\x20\x7f/\\@]/.test(host)) return;
  throw new ProtocolError(`${field}: Reading ${JSON.stringify(host)}: wanted a host's name or address.`);
}

function refuseTwice(field: string, values: readonly (number | string)[]): void {
  if (new Set(values).size === values.length) return;
  const seen = new Set<number | string>();
  const twice = values.find((value) => seen.has(value) || !seen.add(value));
  throw new ProtocolError(`${field}: Reading "${twice}" a second time: wanted each once.`);
}

function recordCount(records: Batches): number {
  const bytes = records instanceof Uint8Array ? records : records?.[0];
  if (bytes === undefined || bytes.length < RECORDS_COUNT + 4) return 0;
  return new DataView(bytes.buffer, bytes.byteOffset + RECORDS_COUNT, 4).getInt32(0);
}
