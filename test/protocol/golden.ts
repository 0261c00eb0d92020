/**
 * The golden vectors of the Java classes, turned into what the message compiler takes and gives.
 *
 * @module
 */

import { type Field, fieldsOf } from "../../src/protocol/compile.ts";
import * as messages from "../../src/protocol/messages/mod.ts";
import { Reader } from "../../src/protocol/reader.ts";
import type { AnyApi } from "../../src/protocol/schema.ts";
import { Writer } from "../../src/protocol/writer.ts";
import AddOffsetsToTxn from "../golden/AddOffsetsToTxn.json" with { type: "json" };
import AddPartitionsToTxn from "../golden/AddPartitionsToTxn.json" with { type: "json" };
import ApiVersions from "../golden/ApiVersions.json" with { type: "json" };
import ConsumerGroupDescribe from "../golden/ConsumerGroupDescribe.json" with { type: "json" };
import CreatePartitions from "../golden/CreatePartitions.json" with { type: "json" };
import CreateTopics from "../golden/CreateTopics.json" with { type: "json" };
import DeleteGroups from "../golden/DeleteGroups.json" with { type: "json" };
import DeleteRecords from "../golden/DeleteRecords.json" with { type: "json" };
import DeleteTopics from "../golden/DeleteTopics.json" with { type: "json" };
import DescribeCluster from "../golden/DescribeCluster.json" with { type: "json" };
import DescribeConfigs from "../golden/DescribeConfigs.json" with { type: "json" };
import DescribeGroups from "../golden/DescribeGroups.json" with { type: "json" };
import DescribeProducers from "../golden/DescribeProducers.json" with { type: "json" };
import DescribeTransactions from "../golden/DescribeTransactions.json" with { type: "json" };
import EndTxn from "../golden/EndTxn.json" with { type: "json" };
import Fetch from "../golden/Fetch.json" with { type: "json" };
import FindCoordinator from "../golden/FindCoordinator.json" with { type: "json" };
import GetTelemetrySubscriptions from "../golden/GetTelemetrySubscriptions.json" with { type: "json" };
import Heartbeat from "../golden/Heartbeat.json" with { type: "json" };
import IncrementalAlterConfigs from "../golden/IncrementalAlterConfigs.json" with { type: "json" };
import InitProducerId from "../golden/InitProducerId.json" with { type: "json" };
import JoinGroup from "../golden/JoinGroup.json" with { type: "json" };
import LeaveGroup from "../golden/LeaveGroup.json" with { type: "json" };
import ListGroups from "../golden/ListGroups.json" with { type: "json" };
import ListOffsets from "../golden/ListOffsets.json" with { type: "json" };
import ListTransactions from "../golden/ListTransactions.json" with { type: "json" };
import Metadata from "../golden/Metadata.json" with { type: "json" };
import OffsetCommit from "../golden/OffsetCommit.json" with { type: "json" };
import OffsetDelete from "../golden/OffsetDelete.json" with { type: "json" };
import OffsetFetch from "../golden/OffsetFetch.json" with { type: "json" };
import OffsetForLeaderEpoch from "../golden/OffsetForLeaderEpoch.json" with { type: "json" };
import Produce from "../golden/Produce.json" with { type: "json" };
import PushTelemetry from "../golden/PushTelemetry.json" with { type: "json" };
import SaslAuthenticate from "../golden/SaslAuthenticate.json" with { type: "json" };
import SaslHandshake from "../golden/SaslHandshake.json" with { type: "json" };
import SyncGroup from "../golden/SyncGroup.json" with { type: "json" };
import TxnOffsetCommit from "../golden/TxnOffsetCommit.json" with { type: "json" };
import WriteTxnMarkers from "../golden/WriteTxnMarkers.json" with { type: "json" };

/** Request or response. */
export type Direction = "request" | "response";

/** One body as the Java class wrote it. */
export interface Vector {
  readonly type: string;
  readonly version: number;
  readonly case: string;
  readonly hex: string;
  readonly fields: Struct;
}

type Struct = { readonly [name: string]: unknown };
type GoldenFile = { readonly api: string; readonly key: number; readonly vectors: readonly Vector[] };

const FILES = {
  AddOffsetsToTxn,
  AddPartitionsToTxn,
  ApiVersions,
  ConsumerGroupDescribe,
  CreatePartitions,
  CreateTopics,
  DeleteGroups,
  DeleteRecords,
  DeleteTopics,
  DescribeCluster,
  DescribeConfigs,
  DescribeGroups,
  DescribeProducers,
  DescribeTransactions,
  EndTxn,
  Fetch,
  FindCoordinator,
  GetTelemetrySubscriptions,
  Heartbeat,
  IncrementalAlterConfigs,
  InitProducerId,
  JoinGroup,
  LeaveGroup,
  ListGroups,
  ListOffsets,
  ListTransactions,
  Metadata,
  OffsetCommit,
  OffsetDelete,
  OffsetFetch,
  OffsetForLeaderEpoch,
  Produce,
  PushTelemetry,
  SaslAuthenticate,
  SaslHandshake,
  SyncGroup,
  TxnOffsetCommit,
  WriteTxnMarkers,
} as unknown as { readonly [name: string]: GoldenFile };

/** Every API that is spoken. */
export const APIS: readonly AnyApi[] = Object.values(messages);

/** The vectors of one API and direction in the versions that it declares. */
export function vectorsOf(api: AnyApi, direction: Direction): readonly Vector[] {
  const vectors = FILES[api.name]?.vectors ?? [];
  return vectors.filter(({ type, version }) => type === direction && version <= api.maxVersion);
}

/** Encodes a body of either direction. */
export function encode(api: AnyApi, direction: Direction, version: number, body: unknown): Uint8Array {
  const writer = new Writer();
  if (direction === "request") api.encodeRequest(writer, version, body as never);
  else api.encodeResponse(writer, version, body as never);
  return bytesOf(writer);
}

/** Decodes a body of either direction. */
export function decode(api: AnyApi, direction: Direction, version: number, bytes: Uint8Array): unknown {
  const reader = new Reader(bytes);
  return direction === "request" ? api.decodeRequest(reader, version) : api.decodeResponse(reader, version);
}

/** A vector's fields as input of the writer: those that the vector has. */
export function inputOf(api: AnyApi, direction: Direction, vector: Vector): Struct {
  return structOf(fieldsOf(api.declaration[direction]), vector.fields, false);
}

/** A vector's fields as the reader gives them: those that the version lacks have their default. */
export function outputOf(api: AnyApi, direction: Direction, vector: Vector): Struct {
  return structOf(fieldsOf(api.declaration[direction]), vector.fields, true);
}

/** Bytes from hexadecimal digits. */
export function fromHex(hex: string): Uint8Array {
  const bytes = new Uint8Array(hex.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = parseInt(hex.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

/** Bytes as hexadecimal digits. */
export function toHex(bytes: Uint8Array): string {
  let hex = "";
  for (const byte of bytes) hex += byte.toString(16).padStart(2, "0");
  return hex;
}

/** Pieces put together. */
export function concatenated(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** What a writer has written. */
export function bytesOf(writer: Writer): Uint8Array {
  const { parts, byteLength } = writer.finish();
  const bytes = concatenated(parts);
  if (bytes.length !== byteLength) throw new Error(`${byteLength} bytes are told, and ${bytes.length} written`);
  return bytes;
}

function structOf(fields: readonly Field[], golden: Struct, withDefaults: boolean): Struct {
  const known = new Set(fields.map(({ name }) => name));
  const unknown = Object.keys(golden).filter((name) => !known.has(name));
  if (unknown.length > 0) throw new TypeError(`The declaration lacks ${unknown.join(", ")}.`);
  const struct: { [name: string]: unknown } = {};
  for (const field of fields) {
    const value = golden[field.name];
    if (value !== undefined) struct[field.name] = valueOf(field, value, withDefaults);
    else if (withDefaults) struct[field.name] = field.defaultValue;
  }
  return struct;
}

function valueOf(field: Field, value: unknown, withDefaults: boolean): unknown {
  if (value === null) return null;
  if (field.isArray) return (value as readonly unknown[]).map((element) => elementOf(field, element, withDefaults));
  return elementOf(field, value, withDefaults);
}

function elementOf(field: Field, value: unknown, withDefaults: boolean): unknown {
  if (field.type === "struct") return structOf(field.fields, value as Struct, withDefaults);
  if (field.type === "int64") return BigInt(value as string);
  if (field.type === "bytes" || field.type === "records") return fromHex((value as string).slice("hex:".length));
  return value;
}
