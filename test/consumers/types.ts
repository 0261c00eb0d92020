/** What users compile, with every entry point in it: `test/programs/consumers.mjs` does so with old and new TypeScript. */

import {
  type Delivery,
  jsonSerializer,
  KafkaError,
  type Partitioner,
  presets,
  Producer,
  type ProducerInterceptor,
  type ProducerLike,
  type ProducerOptions,
  type RecordMetadata,
  RetryPolicy,
  TimeoutError,
  validateConfig,
} from "@sluice/kafka";
import type { Producer as CoreProducer } from "@sluice/kafka/core";
import { type Codec, crc32c, gzip, lz4, resolveCodec, zstdFromModule } from "@sluice/kafka/codecs";
import { nodeSockets, selectRuntime, type SocketFactory } from "@sluice/kafka/sockets";
import {
  CompressionTypes,
  type EachMessagePayload,
  Kafka,
  KafkaJSProtocolError,
  logLevel,
} from "@sluice/kafka/compat/kafkajs";
import { type Admin, createAdmin } from "@sluice/kafka/admin";
import { createEventPublisher, type EventPublisher } from "@sluice/kafka/app";
import { type CloudEvent, encodeCloudEvent } from "@sluice/kafka/headers";
import { instrument } from "@sluice/kafka/otel";
import { GroupReader, Reader } from "@sluice/kafka/reader";
import { plain, type SaslMechanism, scramSha256 } from "@sluice/kafka/sasl";
import { avro, createSchemaRegistry, type SchemaSerializer } from "@sluice/kafka/schema-registry";
import { clientTelemetry } from "@sluice/kafka/telemetry";
import { EmbeddedCluster, RecordingProducer, VirtualRuntime } from "@sluice/kafka/testing";
import { simulate } from "@sluice/kafka/testing/simulation";
import { main } from "@sluice/kafka/cli";

const sasl: SaslMechanism = scramSha256({ username: "app", password: "secret" });
const options: ProducerOptions = { brokers: "localhost:9092", compression: lz4(), ...presets.durable() };
validateConfig(options);
const given: { readonly clientId?: string } = {};
const passedOn: ProducerOptions = { ...options, clientId: given.clientId, tls: { ca: given.clientId } };
validateConfig(passedOn);
use(sasl, plain, Reader);
const kafka = new Kafka({ brokers: ["localhost:9092"], logLevel: logLevel.NOTHING });
const told = (error: unknown): string | undefined => error instanceof KafkaJSProtocolError ? error.type : undefined;
const textOf = ({ message }: EachMessagePayload): string | undefined => message.value?.toString("utf8");
use(kafka.producer({ idempotent: true }).send, CompressionTypes.ZSTD, told, textOf);
const cluster = new EmbeddedCluster({ topics: { orders: 1 } });
const sockets: SocketFactory = cluster.sockets;
const producer: Producer<string, { a: number }> = new Producer<string, { a: number }>({
  brokers: cluster.bootstrap,
  connect: sockets,
  valueSerializer: jsonSerializer(),
});

export async function go(): Promise<bigint> {
  const metadata: RecordMetadata = await producer.send({ topic: "orders", key: "k", value: { a: 1 } });
  const writer = producer.writable("orders").getWriter();
  await writer.write({ a: 2 });
  await writer.close();
  const codec: Codec = resolveCodec("gzip");
  const bytes: Uint8Array = await codec.compress(new Uint8Array(10));
  use(crc32c(bytes), gzip().name, main, simulate, nodeSockets, selectRuntime, VirtualRuntime, zstdFromModule);
  // The classes of all entry points are the same ones.
  const core: CoreProducer<string, { a: number }> = producer;
  const like: ProducerLike = new RecordingProducer();
  await like.close();
  try {
    await core.flush();
  } catch (error) {
    if (error instanceof TimeoutError || (error instanceof KafkaError && error.retriable)) throw error;
  }
  await new RetryPolicy({ retries: 1 }).run(async () => await core.close());
  return metadata.offset;
}

interface Events {
  OrderPlaced: { id: string };
}

export async function around(): Promise<number> {
  await using own = new EmbeddedCluster({ topics: { orders: 1 } });
  const traced: Producer = instrument(new Producer({ brokers: own.bootstrap, connect: own.sockets }));
  const admin: Admin = createAdmin({ brokers: own.bootstrap, connect: own.sockets });
  const key = ({ id }: { id: string }): string => id;
  const publisher: EventPublisher<Events> = createEventPublisher<Events>(traced, { topic: "orders", key });
  const registry = createSchemaRegistry({ url: "http://localhost:8081" });
  const codec = avro<{ id: string }>({ type: "record", name: "Order", fields: [{ name: "id", type: "string" }] });
  const serializer: Promise<SchemaSerializer<{ id: string }>> = registry.serializer({ topic: "orders", codec });
  const event: CloudEvent = { id: "1", source: "/shop", type: "placed" };
  return use(admin, publisher, serializer.catch(() => {}), encodeCloudEvent(event), clientTelemetry(), GroupReader);
}

function use(...values: unknown[]): number {
  return values.length;
}

export type { Delivery, Partitioner, ProducerInterceptor };
