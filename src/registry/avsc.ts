/**
 * Avro by a type of the package `avsc`, for those who have one already.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import type { SchemaCodec } from "./codec.ts";

/** What is used of a type of avsc. */
export interface AvscTypeLike {
  /** Its full name; undefined for a type without one. */
  readonly name?: string | undefined;
  /** The schema. */
  schema(options?: { readonly exportAttrs?: boolean }): unknown;
  /** Makes bytes of a value. */
  toBuffer(value: never): Uint8Array;
}

/**
 * A type of avsc for {@link SchemaRegistry.serializer}. Not on Workers: avsc makes its code when it runs, which they don't
 * allow; use {@link avro} there, and wherever nothing needs avsc.
 *
 * @throws {ConfigError} for what is no type of avsc
 */
export function avsc<T = unknown>(type: AvscTypeLike): SchemaCodec<T> {
  if (typeof type?.toBuffer !== "function" || typeof type.schema !== "function") {
    throw new ConfigError(
      "type",
      "Pass a type of avsc, such as avsc.Type.forSchema(schema); not on Workers, use avro(…) there.",
    );
  }
  return {
    schemaType: "AVRO",
    schema: JSON.stringify(type.schema({ exportAttrs: true })),
    ...(type.name === undefined ? {} : { recordName: type.name }),
    encode: (value) => type.toBuffer(value as never),
  };
}
