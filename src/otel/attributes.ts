/**
 * Names and values of OpenTelemetry's conventions for messaging (semantic conventions 1.44), as the instrumentation of
 * KafkaJS has them too.
 *
 * @module
 */

import type { Attributes } from "@opentelemetry/api";
import { isByteArray } from "../byte_arrays.ts";
import { isKafkaError } from "../error_like.ts";

export const SYSTEM = "messaging.system";
export const OPERATION_NAME = "messaging.operation.name";
export const OPERATION_TYPE = "messaging.operation.type";
export const DESTINATION = "messaging.destination.name";
export const PARTITION = "messaging.destination.partition.id";
export const CLIENT_ID = "messaging.client.id";
export const BATCH_COUNT = "messaging.batch.message_count";
export const CLUSTER_ID = "messaging.kafka.cluster.id";
export const OFFSET = "messaging.kafka.offset";
export const KEY = "messaging.kafka.message.key";
export const TOMBSTONE = "messaging.kafka.message.tombstone";
export const ERROR_TYPE = "error.type";
export const SERVER_ADDRESS = "server.address";
export const SERVER_PORT = "server.port";

/** What an error is called: by the broker, by its class, or not at all. */
export function errorType(error: unknown): string {
  if (isKafkaError(error)) return error.errorCode === undefined ? error.name : error.code;
  try {
    const { name } = error as { readonly name?: unknown };
    if (error instanceof Error && typeof name === "string" && name !== "") return name;
  } catch {
    // A proxy; then nobody knows.
  }
  return "_OTHER";
}

/** Whether anything of a record has left: what never did is not counted as sent. */
export function wasSent(error: unknown): boolean {
  return isKafkaError(error) && (error.persisted !== "no" || error.errorCode !== undefined);
}

/** `host:port` as attributes. */
export function serverAttributes(server: string | undefined): Attributes {
  const at = server?.lastIndexOf(":") ?? -1;
  if (server === undefined || at <= 0) return {};
  const port = Number(server.slice(at + 1));
  const address = server.slice(0, at).replace(/^\[(.*)\]$/, "$1");
  return { [SERVER_ADDRESS]: address, ...(Number.isInteger(port) ? { [SERVER_PORT]: port } : {}) };
}

/** A key as text; undefined for bytes that are none, and for anything that a serializer is for. */
export function keyText(key: unknown): string | undefined {
  if (typeof key === "string") return key;
  if (!isByteArray(key)) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(key);
  } catch {
    return undefined;
  }
}
