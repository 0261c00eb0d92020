/**
 * Reads a whole topic back, from the embedded cluster or from a real Kafka, on any sockets.
 *
 * @module
 */

import { crc32c } from "../codec/crc32c.ts";
import { codecsById } from "../codec/codecs_by_id.ts";
import { ConfigError, ConnectionError, ProtocolError } from "../errors.ts";
import {
  type AnyApi,
  chooseVersion,
  decodeResponseFrame,
  encodeRequestFrame,
  type RequestInputOf,
  type ResponseOf,
} from "../protocol/api.ts";
import { brokerError } from "../protocol/error_codes.ts";
import { ApiVersions, Fetch, ListOffsets, Metadata } from "../protocol/messages/mod.ts";
import { readRecordBatches } from "../protocol/record_batch_reader.ts";
import type { Socket, SocketFactory } from "../runtime/runtime.ts";
import { FrameAssembler } from "../protocol/frame_assembler.ts";
import { withText } from "./record_text.ts";
import type { StoredRecord } from "./storage/stored_record.ts";

/** What to read, and from where. */
export interface ReadTopicOptions {
  /** Some of the cluster's brokers, as `host:port,…`. */
  readonly brokers: string;
  /** The topic. */
  readonly topic: string;
  /** Dials the brokers: `cluster.sockets`, or a runtime's own. */
  readonly sockets: SocketFactory;
  /** Bytes of one answer and of each partition in it. @default 8_388_608 */
  readonly maxBytes?: number;
  /** How long connecting may take, in ms. @default 10_000 */
  readonly connectTimeoutMs?: number;
  /** Gives up. */
  readonly signal?: AbortSignal;
}

/** The last version that names topics instead of telling their ids. */
const LAST_FETCH_WITH_NAMES = 12;
const LATEST = -1n;
const EARLIEST = -2n;
const MAX_FRAME_BYTES = 0x4000_0000;
const MAX_DECOMPRESSED_BYTES = 104_857_600;

/**
 * The records that a topic holds at the time of the call, partition by partition within each broker, in order.
 *
 * Fails with a `ConnectionError` when a broker goes away and with the broker's own error when it answers one.
 *
 * @example
 * ```ts
 * import { EmbeddedCluster, readTopic } from "@sluice/kafka/testing";
 *
 * const cluster = new EmbeddedCluster({ topics: { orders: 3 } });
 * let count = 0;
 * for await (const _ of readTopic({ brokers: cluster.bootstrap, topic: "orders", sockets: cluster.sockets })) count++;
 * console.assert(count === 0);
 * ```
 */
export async function* readTopic(options: ReadTopicOptions): AsyncGenerator<StoredRecord, void, undefined> {
  for (const [address, partitions] of await leadersOf(options)) {
    const connection = await Connection.open(address, options);
    try {
      yield* readPartitions(connection, partitions, options);
    } finally {
      connection.close();
    }
  }
}

/** The partitions of the topic by their leader's address. */
async function leadersOf(options: ReadTopicOptions): Promise<Map<string, number[]>> {
  const connection = await openAny(options);
  try {
    const { brokers, topics } = await connection.request(Metadata, {
      topics: [{ name: options.topic }],
      allowAutoTopicCreation: false,
    });
    const topic = topics.find(({ name }) => name === options.topic);
    check(topic?.errorCode ?? 3, "Metadata", options.topic);
    const leaders = new Map<string, number[]>();
    for (const { errorCode, leaderId, partitionIndex } of topic!.partitions) {
      check(errorCode, "Metadata", options.topic, partitionIndex);
      const leader = brokers.find(({ nodeId }) => nodeId === leaderId);
      if (leader === undefined) check(5, "Metadata", options.topic, partitionIndex);
      const address = `${leader!.host}:${leader!.port}`;
      leaders.set(address, [...leaders.get(address) ?? [], partitionIndex]);
    }
    return leaders;
  } finally {
    connection.close();
  }
}

async function openAny(options: ReadTopicOptions): Promise<Connection> {
  const reasons: string[] = [];
  for (const address of options.brokers.split(",").map((part) => part.trim()).filter((part) => part !== "")) {
    try {
      return await Connection.open(address, options);
    } catch (error) {
      reasons.push(error instanceof Error ? error.message : String(error));
    }
  }
  throw new ConnectionError(`Read topic "${options.topic}" failed, no broker could be reached: ${reasons.join(" ")}`);
}

async function* readPartitions(
  connection: Connection,
  partitions: readonly number[],
  { topic, maxBytes = 8_388_608 }: ReadTopicOptions,
): AsyncGenerator<StoredRecord, void, undefined> {
  const next = await offsets(connection, topic, partitions, EARLIEST);
  const ends = await offsets(connection, topic, partitions, LATEST);
  for (;;) {
    const unread = partitions.filter((partition) => next.get(partition)! < ends.get(partition)!);
    if (unread.length === 0) return;
    const { errorCode, responses } = await connection.request(Fetch, {
      maxWaitMs: 500,
      minBytes: 1,
      maxBytes,
      topics: [{
        topic,
        partitions: unread.map((partition) => (
          { partition, fetchOffset: next.get(partition)!, partitionMaxBytes: maxBytes }
        )),
      }],
    }, LAST_FETCH_WITH_NAMES);
    check(errorCode, "Fetch", topic);
    for (const { partitionIndex: partition, errorCode, records } of responses.flatMap((it) => it.partitions)) {
      check(errorCode, "Fetch", topic, partition);
      for await (const batch of readRecordBatches(records ?? new Uint8Array(0), { crc32c: checksum, decompress })) {
        const first = next.get(partition)!;
        next.set(partition, batch.header.baseOffset + BigInt(batch.header.lastOffsetDelta) + 1n);
        if (batch.header.isControl) continue;
        for (const record of batch.records) {
          if (record.offset < first || record.offset >= ends.get(partition)!) continue;
          yield withText({ ...record, topic, partition });
        }
      }
    }
  }
}

async function offsets(
  connection: Connection,
  topic: string,
  partitions: readonly number[],
  timestamp: bigint,
): Promise<Map<number, bigint>> {
  const { topics } = await connection.request(ListOffsets, {
    replicaId: -1,
    topics: [{ name: topic, partitions: partitions.map((partitionIndex) => ({ partitionIndex, timestamp })) }],
  });
  const found = topics.flatMap((it) => it.partitions);
  for (const { partitionIndex, errorCode } of found) check(errorCode, "ListOffsets", topic, partitionIndex);
  return new Map(found.map(({ partitionIndex, offset }) => [partitionIndex, offset]));
}

function check(errorCode: number, api: string, topic: string, partition?: number): void {
  if (errorCode !== 0) throw brokerError(errorCode, { api, topic, partition });
}

function checksum(bytes: Uint8Array): number {
  return crc32c(bytes);
}

const codecOf = codecsById();

function decompress(codecId: number, bytes: Uint8Array): Uint8Array | Promise<Uint8Array> {
  const codec = codecOf(codecId);
  if (codec === undefined) throw new ProtocolError(`Reading a batch of codec "${codecId}": wanted 0 to 4.`);
  return codec.decompress(bytes, MAX_DECOMPRESSED_BYTES);
}

/** One connection with one request at a time. */
class Connection {
  readonly #address: string;
  readonly #frames = new FrameAssembler(MAX_FRAME_BYTES, (frame) => this.#waiting?.resolve(frame));
  readonly #ranges = new Map<number, readonly [number, number]>();
  #socket!: Socket;
  #waiting: { resolve(frame: Uint8Array): void; reject(error: Error): void } | undefined;
  #correlationId = 0;
  #ended: Error | undefined;

  constructor(address: string) {
    this.#address = address;
  }

  static async open(address: string, options: ReadTopicOptions): Promise<Connection> {
    const colon = address.lastIndexOf(":");
    const [host, port] = [address.slice(0, colon).replace(/^\[|\]$/g, ""), Number(address.slice(colon + 1))];
    if (colon < 1 || !Number.isInteger(port)) {
      throw new ConfigError("brokers", `Broker "${address}" is no address, wanted host:port.`);
    }
    const connection = new Connection(address);
    connection.#socket = await options.sockets.connect(
      {
        host,
        port,
        timeoutMs: options.connectTimeoutMs ?? 10_000,
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      },
      { onData: (chunk) => connection.#receive(chunk), onClose: (error) => connection.#end(error) },
    );
    options.signal?.addEventListener("abort", () => connection.close(), { once: true });
    await connection.#negotiate();
    return connection;
  }

  /** Asks in the newest version that both sides know, up to `cap`. */
  async request<A extends AnyApi>(api: A, body: RequestInputOf<A>, cap?: number): Promise<ResponseOf<A>> {
    const range = this.#ranges.get(api.key) ?? [Infinity, -1];
    return await this.#exchange(api, chooseVersion(api, range[0], range[1], cap), body);
  }

  close(): void {
    this.#end();
    this.#socket.destroy();
  }

  async #negotiate(): Promise<void> {
    const { errorCode, apiKeys } = await this.#exchange(ApiVersions, 0, {});
    check(errorCode, "ApiVersions", "");
    for (const { apiKey, minVersion, maxVersion } of apiKeys) this.#ranges.set(apiKey, [minVersion, maxVersion]);
  }

  async #exchange<A extends AnyApi>(api: A, version: number, body: RequestInputOf<A>): Promise<ResponseOf<A>> {
    if (this.#ended !== undefined) throw this.#ended;
    const correlationId = this.#correlationId++;
    const answered = new Promise<Uint8Array>((resolve, reject) => this.#waiting = { resolve, reject });
    this.#socket.write(encodeRequestFrame(api, version, correlationId, "sluice-read-back", body));
    const response = decodeResponseFrame(api, version, await answered);
    if (response.correlationId !== correlationId) {
      throw new ProtocolError(`Reading ${api.name}: answer "${response.correlationId}", wanted ${correlationId}.`);
    }
    return response.body;
  }

  #receive(chunk: Uint8Array): void {
    try {
      this.#frames.push(chunk);
    } catch (error) {
      this.#end(error as Error);
      this.#socket.destroy();
    }
  }

  #end(error?: Error): void {
    this.#ended ??= error ??
      new ConnectionError(`Connection to "${this.#address}" was closed.`, { broker: this.#address });
    this.#waiting?.reject(this.#ended);
  }
}
