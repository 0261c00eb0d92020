/**
 * How the schema of a value is told with the value: Confluent's two wire formats.
 *
 * Format 0 puts a zero byte and the schema's id before the payload. Format 1 leaves the payload as it is, and puts the
 * schema's GUID into a header.
 *
 * @module
 */

import { SerializationError } from "../errors.ts";
import type { Part } from "./subject.ts";

/** Where the id of the schema stands. */
export type WireFormat = "v0" | "v1";

/** Which schema a value was written with. */
export interface SchemaKey {
  /** The id of format 0. */
  readonly id?: number;
  /** The GUID of format 1, with dashes. */
  readonly guid?: string;
  /** What is left: Protobuf's message indexes and the payload. */
  readonly bytes: Uint8Array;
}

const MAGIC_V0 = 0;
const MAGIC_V1 = 1;
const ID_BYTES = 4;
const GUID_BYTES = 16;

/** The header of a part of a record. */
export function headerName(part: Part): string {
  return `__${part}_schema_id`;
}

/** Format 0: what goes before a payload. */
export function prefixV0(id: number, indexes: Uint8Array = new Uint8Array(0)): Uint8Array {
  const bytes = new Uint8Array(1 + ID_BYTES + indexes.length);
  bytes[0] = MAGIC_V0;
  new DataView(bytes.buffer).setInt32(1, id);
  bytes.set(indexes, 1 + ID_BYTES);
  return bytes;
}

/** Format 1: the value of the header, in which message indexes stand too. */
export function headerV1(guid: string, indexes: Uint8Array = new Uint8Array(0)): Uint8Array {
  const digits = guid.replaceAll("-", "");
  if (!/^[0-9a-fA-F]{32}$/.test(digits)) throw new SerializationError(`Reading a GUID of a schema: wanted 32 digits.`);
  const bytes = new Uint8Array(1 + GUID_BYTES + indexes.length);
  bytes[0] = MAGIC_V1;
  for (let i = 0; i < GUID_BYTES; i++) bytes[1 + i] = Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16);
  bytes.set(indexes, 1 + GUID_BYTES);
  return bytes;
}

/**
 * Which schema a value was written with: the header says it, else the first bytes.
 *
 * @throws {SerializationError} for what is in neither format
 */
export function readSchemaKey(bytes: Uint8Array, header: Uint8Array | null | undefined): SchemaKey {
  if (header !== null && header !== undefined) return fromHeader(header, bytes);
  if (bytes.length < 1 + ID_BYTES || bytes[0] !== MAGIC_V0) {
    const is = bytes.length < 1 + ID_BYTES ? `it has ${bytes.length} bytes` : `its first byte is ${bytes[0]}`;
    throw new SerializationError(
      `Read only what was written with a schema registry: ${is}, wanted 0 and a schema's id.`,
    );
  }
  const id = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getInt32(1);
  return { id, bytes: bytes.subarray(1 + ID_BYTES) };
}

function fromHeader(header: Uint8Array, payload: Uint8Array): SchemaKey {
  if (header[0] === MAGIC_V1 && header.length > GUID_BYTES) {
    const digits = Array.from(header.subarray(1, 1 + GUID_BYTES), (byte) => byte.toString(16).padStart(2, "0")).join(
      "",
    );
    const guid = digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
    return { guid, bytes: joined(header.subarray(1 + GUID_BYTES), payload) };
  }
  if (header[0] === MAGIC_V0 && header.length >= 1 + ID_BYTES) {
    const id = new DataView(header.buffer, header.byteOffset, header.byteLength).getInt32(1);
    return { id, bytes: joined(header.subarray(1 + ID_BYTES), payload) };
  }
  throw new SerializationError(`Reading a header of a schema: its first byte is ${header[0]}, wanted 1 and a GUID.`);
}

/** The bytes of both. */
export function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  if (first.length === 0) return second;
  const bytes = new Uint8Array(first.length + second.length);
  bytes.set(first);
  bytes.set(second, first.length);
  return bytes;
}
