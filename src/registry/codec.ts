/**
 * What a registry is told of a way to write values, and what it needs to read them.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { isByteArray } from "../byte_arrays.ts";

/** The kinds of schemas that registries know. */
export type SchemaType = "AVRO" | "PROTOBUF" | "JSON";

/** A schema that another one refers to. */
export interface SchemaReference {
  /** How the schema calls it: the full name of a type, a file, a URL. */
  readonly name: string;
  /** Under which subject the registry has it. */
  readonly subject: string;
  /** In which version. */
  readonly version: number;
}

/** A schema as registries keep it. */
export interface Schema {
  /** Its kind. */
  readonly schemaType: SchemaType;
  /** Its text. */
  readonly schema: string;
  /** What it refers to. @default nothing */
  readonly references?: readonly SchemaReference[] | undefined;
}

/** Turns values into bytes by one schema; made by {@link avro}, {@link protobuf}, {@link jsonSchema}, or by hand. */
export interface SchemaCodec<T> extends Schema {
  /** The full name of the record, for the subject strategies that go by it; undefined if it has none. */
  readonly recordName?: string | undefined;
  /** What stands between the schema's id and the payload: Protobuf's message indexes. @default nothing */
  readonly prefix?: Uint8Array | undefined;
  /** Makes bytes of a value; throws for one that doesn't fit the schema. */
  encode(value: T): Uint8Array;
}

/** A schema that was read from a registry, with all that it refers to, by the names under which it does. */
export interface FetchedSchema extends Schema {
  /** The schemas that it refers to, those that others refer to first. */
  readonly resolved: readonly (Schema & { readonly name: string })[];
}

/** Turns bytes into values by whatever schema they were written with. */
export interface SchemaFormat {
  /** The kind of schemas that it reads. */
  readonly schemaType: SchemaType;
  /** Makes what decodes the bytes behind a schema's id, message indexes included. */
  decoder(schema: FetchedSchema): (bytes: Uint8Array) => unknown;
}

/**
 * The text of a schema that is text or an object, without the byte order mark that a file may begin with.
 *
 * @throws {ConfigError} for the bytes of a file
 */
export function textOfSchema(schema: string | object): string {
  if (typeof schema === "string") return schema.replace(/^\ufeff/, "");
  if (isByteArray(schema)) {
    const advice = "Decode them: new TextDecoder().decode(bytes).";
    throw new ConfigError("schema", `Pass a schema as text or as an object: these are bytes. ${advice}`);
  }
  return JSON.stringify(schema);
}
