/**
 * Avro for a registry: an encoder and a decoder that walk the schema, on every runtime.
 *
 * @module
 */

import { ConfigError, SerializationError } from "../../errors.ts";
import { reasonOf, show } from "../../show.ts";
import {
  type FetchedSchema,
  type Schema,
  type SchemaCodec,
  type SchemaFormat,
  type SchemaReference,
  textOfSchema,
} from "../codec.ts";
import { isByteArray } from "../../byte_arrays.ts";
import { avroDecoder, type LongAs } from "./decoder.ts";
import { avroEncoder } from "./encoder.ts";
import { type AvroNames, type AvroType, parseAvro } from "./schema.ts";

/** Options of {@link avro}. */
export interface AvroOptions {
  /** What the schema refers to, those first that others refer to: their texts, and where the registry has them. */
  readonly references?: readonly (SchemaReference & { readonly schema: string | object })[] | undefined;
}

/** Options of {@link avroFormat}. */
export interface AvroFormatOptions {
  /**
   * The schema that values are wanted in, whatever they were written with, by Avro's rules: fields that are missing get
   * their defaults, others are dropped, aliases are known, numbers become wider. @default the writer's
   */
  readonly schema?: string | object | undefined;
  /** How longs are handed out; as a number one that JavaScript can't hold exactly is an error. @default "bigint" */
  readonly longs?: LongAs | undefined;
}

/**
 * An Avro schema and the encoder that goes with it, for {@link SchemaRegistry.serializer}.
 *
 * A long is a bigint or a whole number that JavaScript holds exactly, bytes and fixed are a `Uint8Array`, a map is an
 * object or a `Map`, and a logical type is what it is made of. A field that is left out gets its default. A value of a
 * union is written as the first branch that it fits; `{ "com.example.Cat": { … } }` names one. What doesn't fit is a
 * `SerializationError` that says where.
 *
 * @throws {ConfigError} for what is no Avro schema
 *
 * @example
 * ```ts
 * import { avro } from "@sluice/kafka/schema-registry";
 *
 * const codec = avro<{ id: string; cents: number }>({
 *   type: "record",
 *   name: "Order",
 *   fields: [{ name: "id", type: "string" }, { name: "cents", type: "int", default: 0 }],
 * });
 * console.assert(codec.encode({ id: "a", cents: 1 }).join() === "2,97,2");
 * ```
 */
export function avro<T = unknown>(schema: string | object, options: AvroOptions = {}): SchemaCodec<T> {
  const names: AvroNames = new Map();
  const references = options.references ?? [];
  for (const reference of references) parseAvro(jsonOf(reference.schema), names);
  const type = parseAvro(jsonOf(schema), names);
  const encode = avroEncoder(type);
  return {
    schemaType: "AVRO",
    schema: textOfSchema(schema),
    ...(references.length === 0
      ? {}
      : { references: references.map(({ name, subject, version }) => ({ name, subject, version })) }),
    ...("name" in type ? { recordName: type.name } : {}),
    encode,
  };
}

/** Reads Avro by the schema that it was written with, for {@link SchemaRegistry.deserializer}. */
export function avroFormat(options: AvroFormatOptions = {}): SchemaFormat {
  const { longs = "bigint", schema } = options;
  if (longs !== "bigint" && longs !== "number") {
    throw new ConfigError("longs", `Set "longs" to "bigint" or "number": ${show(longs)} is not.`);
  }
  const wanted = schema === undefined ? undefined : parseAvro(jsonOf(schema));
  return {
    schemaType: "AVRO",
    decoder: (fetched) => {
      const writer = writerOf(fetched);
      return avroDecoder(writer, wanted ?? writer, longs);
    },
  };
}

/** What the registry has was taken by other clients; one that can't be read is no mistake of the caller. */
function writerOf({ resolved, schema }: FetchedSchema): AvroType {
  try {
    const names: AvroNames = new Map();
    for (const each of resolved) parseAvro(jsonOf(each.schema), names);
    return parseAvro(jsonOf(schema), names);
  } catch (cause) {
    throw new SerializationError(`Reading the schema of a value failed. ${reasonOf(cause)}`, { cause });
  }
}

function jsonOf(schema: Schema["schema"] | object): unknown {
  if (typeof schema !== "string" && !isByteArray(schema)) return schema;
  const text = textOfSchema(schema);
  // The bare name of a type is a schema too, and "null" would be another thing in JSON.
  if (/^[A-Za-z_][\w.]*$/.test(text)) return text;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ConfigError("schema", `Pass an Avro schema as JSON. ${reasonOf(cause)}`, { cause });
  }
}
