/**
 * JSON with a schema for a registry, by a validator that is passed in, such as that of `@cfworker/json-schema`: it
 * generates no code.
 *
 * @module
 */

import { ConfigError, SerializationError } from "../errors.ts";
import { excerpt, reasonOf, sentenceOf, show } from "../show.ts";
import { type SchemaCodec, type SchemaFormat, textOfSchema } from "./codec.ts";

/** What a validator answers, as that of `@cfworker/json-schema` does. */
export interface ValidationLike {
  /** Whether the value fits. */
  readonly valid: boolean;
  /** Why not. */
  readonly errors?: readonly { readonly instanceLocation?: string; readonly error?: string }[] | undefined;
}

/** What checks values; `new Validator(schema)` of `@cfworker/json-schema` makes one. */
export interface ValidatorLike {
  /** Checks a value. */
  validate(value: unknown): ValidationLike;
}

/** What a JSON Schema codec is made of. */
export interface JsonSchemaOptions {
  /** Makes a validator of a schema: `(schema) => new Validator(schema)`. @default values are written unchecked */
  readonly validator?: ((schema: never) => ValidatorLike) | undefined;
}

const decoder = new TextDecoder("utf-8", { fatal: true });
const encoder = new TextEncoder();

/** JSON by a schema, for {@link SchemaRegistry.serializer}. */
export function jsonSchema<T = unknown>(schema: string | object, options: JsonSchemaOptions = {}): SchemaCodec<T> {
  const text = textOfSchema(schema);
  const json = parse(schema);
  const { title } = json as { readonly title?: unknown };
  const check = checkerOf(json, options);
  return {
    schemaType: "JSON",
    schema: text,
    ...(typeof title === "string" && title !== "" ? { recordName: title } : {}),
    encode: (value) => {
      const text = written(value);
      if (text === undefined) {
        throw new SerializationError(`Pass something that has a JSON form: ${show(value)} has none.`);
      }
      // What is sent is checked: dates are texts by now, and what was undefined is gone.
      check(JSON.parse(text));
      return encoder.encode(text);
    },
  };
}

/** Reads JSON that was written with a schema, and checks it by that, for {@link SchemaRegistry.deserializer}. */
export function jsonSchemaFormat(options: JsonSchemaOptions = {}): SchemaFormat {
  return {
    schemaType: "JSON",
    decoder: ({ schema }) => {
      const check = checkerOf(parse(schema), options);
      return (bytes) => {
        let value: unknown;
        try {
          value = JSON.parse(decoder.decode(bytes));
        } catch (cause) {
          throw new SerializationError(`Reading a value as JSON failed. ${reasonOf(cause)}`, { cause });
        }
        check(value);
        return value;
      };
    },
  };
}

/** JSON; undefined where a value has none. A bigint and a circle have none either, and throw. */
function written(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch (cause) {
    throw new SerializationError(`Pass something that has a JSON form: writing it failed. ${sentenceOf(cause)}`, {
      cause,
    });
  }
}

function checkerOf(schema: unknown, { validator }: JsonSchemaOptions): (value: unknown) => void {
  if (validator === undefined) return () => {};
  if (typeof validator !== "function") {
    throw new ConfigError("validator", 'Set "validator" to a function that makes one.');
  }
  const made = validator(schema as never);
  return (value) => {
    const { errors = [], valid } = made.validate(value);
    if (valid) return;
    // The last one is the nearest to the cause.
    const { error = "it doesn't fit", instanceLocation = "#" } = errors.at(-1) ?? {};
    throw new SerializationError(`Pass a value that fits the JSON schema: ${excerpt(`${instanceLocation}: ${error}`)}`);
  };
}

/** What a schema is, as text or already parsed; true and false are schemas too. */
function parse(schema: string | object): object {
  try {
    const json: unknown = typeof schema === "string" ? JSON.parse(textOfSchema(schema)) : schema;
    if ((typeof json === "object" && json !== null) || typeof json === "boolean") return json as object;
  } catch {
    // Told below.
  }
  throw new ConfigError("schema", "Pass a JSON schema: this is none.");
}
