/**
 * The Produce request of a few batches, and its answer taken apart.
 *
 * @module
 */

import type { Connection } from "../../cluster/connection.ts";
import { ZERO_TOPIC_ID } from "../../cluster/metadata.ts";
import { encodeRequestFrame, PRODUCE_WITH_TOPIC_NAMES } from "../../protocol/api.ts";
import { Produce } from "../../protocol/messages/produce.ts";
import type { RequestInputOf, ResponseOf } from "../../protocol/schema.ts";
import type { Batch } from "../accumulator/batch.ts";
import type { Stamping } from "../idempotence/stamping.ts";
import type { Topic } from "../accumulator/topic.ts";

/** A request, and the version in which it is written. */
export interface ProduceRequest {
  readonly version: number;
  readonly body: RequestInputOf<typeof Produce>;
}

/** An answer, and the version in which it came. */
export interface ProduceAnswer {
  readonly version: number;
  readonly response: ResponseOf<typeof Produce>;
  /** When it came: the clock is asked once for all its batches. */
  readonly nowMs: number;
}

interface TopicData {
  readonly name: string;
  readonly topicId: string;
  readonly partitionData: { readonly index: number; readonly records: Uint8Array }[];
}

/** What a broker says of one partition. */
export type PartitionResult = ProduceAnswer["response"]["responses"][number]["partitionResponses"][number];

/** More than the bytes of a request beside its batches; the names of topics and the client id not counted. */
const REQUEST_OVERHEAD = 64;
const TOPIC_OVERHEAD = 32;
const PARTITION_OVERHEAD = 24;
const LENGTH_PREFIX = 4;
/** Bytes of UTF-8 that a character of a JavaScript string takes at most. */
const MAX_UTF8_BYTES = 3;

/**
 * The request that carries these batches, in the newest version that the connection and the topics allow.
 *
 * @throws {UnsupportedVersionError} when broker and client share none
 */
export function produceRequest(
  connection: Connection,
  batches: readonly Batch[],
  acks: number,
  timeoutMs: number,
  { transactionalId, produceCap }: Pick<Stamping, "transactionalId" | "produceCap">,
): ProduceRequest {
  const topics = new Map<Topic, TopicData>();
  let idsKnown = true;
  let last: Topic | undefined;
  let data: TopicData | undefined;
  for (const { partition: { topic, index }, wire } of batches) {
    // Most requests carry batches of one topic, or of one after the other.
    if (topic !== last) data = topics.get(topic);
    last = topic;
    if (data === undefined) {
      const { name, metadata: { topicId } } = topic;
      data = { name, topicId, partitionData: [] };
      topics.set(topic, data);
      if (topicId === ZERO_TOPIC_ID) idsKnown = false;
    }
    data.partitionData.push({ index, records: wire! });
  }
  const cap = idsKnown ? produceCap : Math.min(produceCap ?? Infinity, PRODUCE_WITH_TOPIC_NAMES);
  const version = connection.version(Produce, cap);
  return { version, body: { transactionalId, acks, timeoutMs, topicData: [...topics.values()] } };
}

/** The bytes of the request's frame without its length prefix, which is what brokers and `maxRequestSize` count. */
export function frameSize({ version, body }: ProduceRequest, clientId: string): number {
  const parts = encodeRequestFrame(Produce, version, 0, clientId, body);
  return parts.reduce((sum, part) => sum + part.length, -LENGTH_PREFIX);
}

/** More than the bytes of a request with one batch that aren't the batch's own. */
export function overheadBound(topic: string, clientId: string): number {
  return REQUEST_OVERHEAD + MAX_UTF8_BYTES * clientId.length + TOPIC_OVERHEAD + MAX_UTF8_BYTES * topic.length +
    PARTITION_OVERHEAD;
}

/** More than {@link frameSize} of these batches, without encoding anything. */
export function frameSizeBound(batches: readonly Batch[], clientId: string): number {
  let size = REQUEST_OVERHEAD + MAX_UTF8_BYTES * clientId.length;
  for (const { partition: { topic }, wire } of batches) {
    size += TOPIC_OVERHEAD + MAX_UTF8_BYTES * topic.name.length + PARTITION_OVERHEAD + wire!.length;
  }
  return size;
}

/** What an answer says of each batch, in their order; undefined where it says nothing. Inventions are left out. */
export function resultsOf(
  request: ProduceRequest,
  response: ProduceAnswer["response"],
  batches: readonly Batch[],
): (PartitionResult | undefined)[] {
  return resultsInOrder(request, response, batches) ?? resultsByName(request, response, batches);
}

/** The results if they come in the order of the batches, without a search; undefined if they don't. */
function resultsInOrder(
  { version }: ProduceRequest,
  { responses }: ProduceAnswer["response"],
  batches: readonly Batch[],
): PartitionResult[] | undefined {
  const results: PartitionResult[] = [];
  for (const { name, topicId, partitionResponses } of responses) {
    for (const result of partitionResponses) {
      const batch = batches[results.length];
      if (batch === undefined || batch.partition.index !== result.index) return undefined;
      const { topic } = batch.partition;
      // A topic that was created anew since the request was written has another id: that takes the search.
      if (version > PRODUCE_WITH_TOPIC_NAMES ? topic.metadata.topicId !== topicId : topic.name !== name) {
        return undefined;
      }
      results.push(result);
    }
  }
  return results.length === batches.length ? results : undefined;
}

function resultsByName(
  { version, body }: ProduceRequest,
  response: ProduceAnswer["response"],
  batches: readonly Batch[],
): (PartitionResult | undefined)[] {
  // By the ids of the request: the topic may have been created anew since.
  const names = new Map(body.topicData.map(({ topicId, name }) => [topicId, name]));
  const topics = new Map<string | undefined, Map<number, PartitionResult>>();
  for (const topic of response.responses) {
    const name = version <= PRODUCE_WITH_TOPIC_NAMES ? topic.name : names.get(topic.topicId);
    const results = topics.get(name) ?? new Map<number, PartitionResult>();
    topics.set(name, results);
    for (const result of topic.partitionResponses) if (!results.has(result.index)) results.set(result.index, result);
  }
  return batches.map(({ partition: { topic, index } }) => topics.get(topic.name)?.get(index));
}
