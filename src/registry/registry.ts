/**
 * A schema registry: schemas registered and looked up, and what writes and reads values by them.
 *
 * @module
 */

import { isObject, readOptions, refuse } from "../call_options.ts";
import { ConfigError, KafkaError, SerializationError } from "../errors.ts";
import type { SerializerContext } from "../producer/record/serializer.ts";
import { show } from "../show.ts";
import {
  type FetchedSchema,
  type Schema,
  type SchemaCodec,
  type SchemaFormat,
  type SchemaReference,
  type SchemaType,
  textOfSchema,
} from "./codec.ts";
import { holdsLoneSurrogate } from "./lone_surrogate.ts";
import { resolveRegistryOptions, type SchemaRegistryOptions } from "./options.ts";
import { type Part, subjectOf, type SubjectStrategy } from "./subject.ts";
import { Transport } from "./transport.ts";
import { headerName, headerV1, joined, prefixV0, readSchemaKey, type WireFormat } from "./wire_format.ts";

/** A schema as the registry knows it. */
export interface RegisteredSchema {
  /** Its id: what stands before a payload in wire format 0. */
  readonly id: number;
  /** Its GUID, for wire format 1; undefined from registries before Confluent Platform 8. */
  readonly guid: string | undefined;
  /** Its version under the subject; undefined where the registry doesn't tell. */
  readonly version: number | undefined;
}

/** What makes a serializer. */
export interface SerializerOptions<T> {
  /** The schema and its encoder: `avro(…)`, `protobuf(…)`, `jsonSchema(…)`. */
  readonly codec: SchemaCodec<T>;
  /** The topic; it is not needed for the strategy `"recordName"`. */
  readonly topic?: string | undefined;
  /** Whether keys or values are written. @default "value" */
  readonly part?: Part | undefined;
  /** How the subject is named. @default "topicName" */
  readonly strategy?: SubjectStrategy | undefined;
  /** The subject itself, in place of a strategy. @default what the strategy says */
  readonly subject?: string | undefined;
  /** Register the schema if the registry hasn't it; else it must be there. @default true */
  readonly register?: boolean | undefined;
  /** Let the registry compare schemas in a normal form. @default false */
  readonly normalize?: boolean | undefined;
  /** Where the schema's id goes: before the payload, or into a header (Confluent Platform 8). @default "v0" */
  readonly format?: WireFormat | undefined;
}

/** A serializer for the producer, which knows its schema. */
export interface SchemaSerializer<T> {
  /** Makes the bytes of a key or a value; it asks nobody. */
  (value: T, context?: SerializerContext): Uint8Array;
  /** The schema as the registry knows it. */
  readonly schema: RegisteredSchema;
  /** The subject that it stands under. */
  readonly subject: string;
  /** Headers that each record must have: empty in format 0, the schema's GUID in format 1. */
  readonly headers: Readonly<Record<string, Uint8Array>>;
}

/** What a value that is to be read comes with. */
export interface DeserializerContext {
  /** Whether it is a key or a value. @default "value" */
  readonly part?: Part | undefined;
  /** The headers of the record, where format 1 has the schema. @default none */
  readonly headers?: Iterable<readonly [name: string, value: Uint8Array | null]> | undefined;
}

/** Reads what was written with a registry; null, a tombstone, stays null. */
export type SchemaDeserializer = (bytes: Uint8Array | null, context?: DeserializerContext) => Promise<unknown>;

/** Ids stand in records, and so come from anybody: no more schemas than this are kept. */
const MAX_SCHEMAS = 1_000;
/** Schemas that a schema refers to, in all. */
const MAX_REFERENCES = 100;
const MAX_ID = 2_147_483_647;
const TYPES: readonly string[] = ["AVRO", "PROTOBUF", "JSON"];
const MAX_TOPIC = 249;

/** A schema registry with Confluent's API. Made by {@link createSchemaRegistry}; there is nothing to close. */
export class SchemaRegistry {
  readonly #transport: Transport;
  /** What was registered or looked up, or is about to be, by subject and schema. */
  readonly #registered = new Map<string, Promise<RegisteredSchema>>();
  /** The last request of each subject: there is one at a time. */
  readonly #turns = new Map<string, Promise<unknown>>();
  /** Schemas by id or GUID, the oldest first. */
  readonly #schemas = new Map<string, Promise<FetchedSchema>>();

  /** @internal See {@link createSchemaRegistry}. */
  constructor(options: SchemaRegistryOptions) {
    this.#transport = new Transport(resolveRegistryOptions(options));
  }

  /**
   * Registers a schema under a subject, or finds it there. Asks once for each pair of both.
   *
   * @throws {KafkaError} SCHEMA_REGISTRY with the registry's own code as `errorCode`, such as 409 for a schema that isn't
   * compatible with the one before, or 42201 for one that is none
   */
  register(
    subject: string,
    schema: Schema,
    options: { readonly normalize?: boolean | undefined } = {},
  ): Promise<RegisteredSchema> {
    return this.#ofSubject("register", subject, schema, options);
  }

  /** Finds a schema under a subject; one that isn't there is 40403, and a subject that isn't there 40401. */
  lookup(
    subject: string,
    schema: Schema,
    options: { readonly normalize?: boolean | undefined } = {},
  ): Promise<RegisteredSchema> {
    return this.#ofSubject("lookup", subject, schema, options);
  }

  /** The schema of a version, or the latest one. */
  async version(subject: string, version: number | "latest" = "latest"): Promise<Schema & RegisteredSchema> {
    checkText("subject", subject);
    if (version !== "latest" && !isCount(version, 1)) refuse("version", 'a number from 1 on, or to "latest"', version);
    const what = `Asking for version ${version} of subject ${show(subject)}`;
    const path = `/subjects/${encodeURIComponent(subject)}/versions/${version}`;
    const json = await this.#transport.ask({ method: "GET", path, what });
    return { ...readSchema(json, what), ...readRegistered(json, what) };
  }

  /** The schema of an id, with all that it refers to. Asked for once. */
  schemaById(id: number): Promise<FetchedSchema> {
    if (!isCount(id, 0)) {
      return Promise.reject(new ConfigError("id", `Set "id" to a number from 0 on: ${show(id)} is not.`));
    }
    return this.#schema(`id ${id}`, `/schemas/ids/${id}`);
  }

  /** The schema of a GUID (Confluent Platform 8), with all that it refers to. Asked for once. */
  schemaByGuid(guid: string): Promise<FetchedSchema> {
    if (typeof guid !== "string" || !/^[0-9a-fA-F-]{32,36}$/.test(guid)) {
      return Promise.reject(new ConfigError("guid", `Set "guid" to a GUID: ${show(guid)} is not.`));
    }
    return this.#schema(`GUID ${guid.toLowerCase()}`, `/schemas/guids/${guid.toLowerCase()}`);
  }

  /**
   * Registers the schema of a codec, and makes the serializer of a producer, which asks nobody any more.
   *
   * @throws {ConfigError} for options that are unknown or wrong
   *
   * @example
   * ```ts
   * import { Producer } from "@sluice/kafka";
   * import { avro, createSchemaRegistry } from "@sluice/kafka/schema-registry";
   *
   * async function producerOf(brokers: string, url: string) {
   *   const registry = createSchemaRegistry({ url });
   *   const codec = avro<{ id: string }>({ type: "record", name: "Order", fields: [{ name: "id", type: "string" }] });
   *   return new Producer({ brokers, valueSerializer: await registry.serializer({ topic: "orders", codec }) });
   * }
   * ```
   */
  async serializer<T>(options: SerializerOptions<T>): Promise<SchemaSerializer<T>> {
    const read = readSerializerOptions(options);
    const { codec, format, part, strategy, topic } = read;
    const { prefix, recordName, schemaType } = codec;
    const subject = read.subject ?? subjectOf(strategy, { topic, part, recordName });
    const schema: Schema = { schemaType, schema: codec.schema, references: codec.references };
    const found = await (read.register ? this.register : this.lookup).call(this, subject, schema, read);
    if (format === "v1" && found.guid === undefined) {
      throw new ConfigError(
        "format",
        `Use the format "v0": the registry tells no GUID, as it does from Confluent Platform 8 on.`,
      );
    }
    const start = format === "v0" ? prefixV0(found.id, prefix) : new Uint8Array(0);
    const headers = format === "v0" ? {} : { [headerName(part)]: headerV1(found.guid!, prefix) };
    const isBound = read.subject === undefined && strategy !== "recordName";
    const serialize = (value: T, context?: SerializerContext): Uint8Array => {
      if (isBound && context !== undefined && (context.topic !== topic || context.part !== part)) {
        throw new SerializationError(
          `Make another serializer for the ${context.part}s of topic ${
            show(context.topic)
          }: this one is for the ${part}s of ` +
            `${show(topic)}, whose subject is ${show(subject)}.`,
        );
      }
      // Two different keys would become one; JSON has an escape for it.
      if (part === "key" && schemaType !== "JSON" && holdsLoneSurrogate(value)) {
        throw new SerializationError(
          "Pass a key of well-formed text: it holds a lone surrogate, which UTF-8 can't carry.",
        );
      }
      return joined(start, codec.encode(value));
    };
    return Object.assign(serialize, { schema: found, subject, headers });
  }

  /**
   * Makes what reads keys and values that were written with a registry, whatever their schema: it is asked for when the
   * first value comes that was written with it.
   *
   * @example
   * ```ts
   * import type { Reader } from "@sluice/kafka/reader";
   * import { avroFormat, createSchemaRegistry } from "@sluice/kafka/schema-registry";
   *
   * async function print(reader: Reader, url: string) {
   *   const deserialize = createSchemaRegistry({ url }).deserializer({ formats: [avroFormat()] });
   *   for await (const { headers, value } of reader) console.log(await deserialize(value, { headers }));
   * }
   * ```
   */
  deserializer(options: { readonly formats: Iterable<SchemaFormat> }): SchemaDeserializer {
    const { formats: given } = readOptions("deserializer", options, ["formats"]);
    const formats = new Map<SchemaType, SchemaFormat>();
    for (const format of readFormats(given)) formats.set(format.schemaType, format);
    // By the schema itself: it is the same object for as long as it is kept.
    const decoders = new WeakMap<FetchedSchema, (bytes: Uint8Array) => unknown>();
    return async (bytes, context) => {
      if (bytes === null) return null;
      // Of whatever realm, which is another one in Jest.
      if (!ArrayBuffer.isView(bytes)) {
        throw new SerializationError(`Pass the bytes of a key or a value, or null: ${show(bytes)} is neither.`);
      }
      const { headers, part = "value" } = context ?? {};
      const header = [...headers ?? []].findLast(([name]) => name === headerName(part))?.[1];
      const { bytes: rest, guid, id } = readSchemaKey(bytes, header);
      const schema = guid === undefined ? await this.schemaById(id!) : await this.schemaByGuid(guid);
      let decode = decoders.get(schema);
      if (decode === undefined) {
        const format = formats.get(schema.schemaType);
        if (format === undefined) {
          throw new SerializationError(
            `Pass a format for ${schema.schemaType} to deserializer(): a value was written with such a schema.`,
          );
        }
        decode = format.decoder(schema);
        decoders.set(schema, decode);
      }
      return decode(rest);
    };
  }

  #ofSubject(
    action: "register" | "lookup",
    subject: string,
    given: Schema,
    options: { readonly normalize?: boolean | undefined },
  ): Promise<RegisteredSchema> {
    let body: ReturnType<typeof wireOf>;
    let isNormal: boolean;
    try {
      checkText("subject", subject);
      body = wireOf(given);
      isNormal = flag("normalize", options?.normalize, false);
    } catch (error) {
      return Promise.reject(error);
    }
    const key = JSON.stringify([action, isNormal, subject, body]);
    const known = this.#registered.get(key);
    if (known !== undefined) return known;
    const what = action === "register"
      ? `Registering a schema for subject ${show(subject)}`
      : `Looking up a schema of subject ${show(subject)}`;
    const path = `/subjects/${encodeURIComponent(subject)}${action === "register" ? "/versions" : ""}` +
      (isNormal ? "?normalize=true" : "");
    const found = this.#inTurn(
      subject,
      async () => readRegistered(await this.#transport.ask({ method: "POST", path, body, what }), what),
    );
    this.#registered.set(key, found);
    found.catch(() => this.#registered.delete(key));
    return found;
  }

  /** One request of a subject after the other: two schemas at once would race for the next version. */
  #inTurn<T>(subject: string, ask: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(subject) ?? Promise.resolve();
    const turn = before.then(ask, ask);
    this.#turns.set(subject, turn);
    const forget = (): void => {
      if (this.#turns.get(subject) === turn) this.#turns.delete(subject);
    };
    turn.then(forget, forget);
    return turn;
  }

  #schema(name: string, path: string): Promise<FetchedSchema> {
    const known = this.#schemas.get(name);
    if (known !== undefined) return known;
    const found = this.#fetchSchema(name, path);
    this.#schemas.set(name, found);
    found.catch(() => this.#schemas.delete(name));
    if (this.#schemas.size > MAX_SCHEMAS) this.#schemas.delete(this.#schemas.keys().next().value!);
    return found;
  }

  async #fetchSchema(name: string, path: string): Promise<FetchedSchema> {
    const what = `Asking for the schema of ${name}`;
    const schema = readSchema(await this.#transport.ask({ method: "GET", path, what }), what);
    const resolved = new Map<string, Schema & { readonly name: string }>();
    await this.#resolve(schema.references ?? [], resolved, { left: MAX_REFERENCES });
    return { ...schema, resolved: [...resolved.values()] };
  }

  /** Fetches what a schema refers to, what that refers to first. */
  async #resolve(
    references: readonly SchemaReference[],
    resolved: Map<string, Schema & { readonly name: string }>,
    budget: { left: number },
  ): Promise<void> {
    for (const { name, subject, version } of references) {
      const key = JSON.stringify([subject, version]);
      if (resolved.has(key)) continue;
      budget.left -= 1;
      if (budget.left < 0) {
        throw new KafkaError(`Reading a schema that refers to more than ${MAX_REFERENCES} others.`, {
          code: "SCHEMA_REGISTRY",
        });
      }
      const schema = await this.version(subject, version);
      await this.#resolve(schema.references ?? [], resolved, budget);
      resolved.set(key, { ...schema, name });
    }
  }
}

/**
 * Makes a client of a schema registry; nothing is asked yet.
 *
 * @throws {ConfigError} for an option that is unknown or wrong
 */
export function createSchemaRegistry(options: SchemaRegistryOptions): SchemaRegistry {
  return new SchemaRegistry(options);
}

const SERIALIZER_OPTIONS = [
  "codec",
  "topic",
  "part",
  "strategy",
  "subject",
  "register",
  "normalize",
  "format",
] as const;

interface ReadSerializerOptions<T> {
  readonly codec: SchemaCodec<T>;
  readonly topic: string | undefined;
  readonly part: Part;
  readonly strategy: SubjectStrategy;
  readonly subject: string | undefined;
  readonly register: boolean;
  readonly normalize: boolean;
  readonly format: WireFormat;
}

function readSerializerOptions<T>(options: SerializerOptions<T>): ReadSerializerOptions<T> {
  const read = readOptions("serializer", options, SERIALIZER_OPTIONS);
  const { codec, subject, topic } = read;
  const { encode, schema, schemaType } = isObject(codec) ? codec as Partial<SchemaCodec<T>> : {};
  if (typeof encode !== "function" || typeof schema !== "string" || !TYPES.includes(schemaType as string)) {
    refuse("codec", "what avro(…), protobuf(…) or jsonSchema(…) returns", codec);
  }
  if (topic !== undefined && (typeof topic !== "string" || topic === "" || topic.length > MAX_TOPIC)) {
    refuse("topic", "the name of a topic", topic);
  }
  if (subject !== undefined) checkText("subject", subject);
  return {
    codec: codec as SchemaCodec<T>,
    topic: topic as string | undefined,
    part: choice("part", read.part, ["value", "key"]),
    strategy: choice("strategy", read.strategy, ["topicName", "recordName", "topicRecordName"]),
    subject: subject as string | undefined,
    register: flag("register", read.register, true),
    normalize: flag("normalize", read.normalize, false),
    format: choice("format", read.format, ["v0", "v1"]),
  };
}

function choice<W extends string>(name: string, value: unknown, words: readonly [W, ...W[]]): W {
  if (value === undefined) return words[0];
  if ((words as readonly unknown[]).includes(value)) return value as W;
  refuse(name, words.map(show).join(" or "), value);
}

function flag(name: string, value: unknown, fallback: boolean): boolean {
  if (value === undefined || typeof value === "boolean") return value ?? fallback;
  refuse(name, "true or false", value);
}

function readFormats(given: unknown): SchemaFormat[] {
  const wanted = "a list of formats, such as [avroFormat()]";
  if (!isObject(given) || typeof (given as Partial<Iterable<unknown>>)[Symbol.iterator] !== "function") {
    refuse("formats", wanted, given);
  }
  const formats = [...given as Iterable<unknown>];
  const isFormat = (it: unknown): boolean =>
    isObject(it) && typeof (it as Partial<SchemaFormat>).decoder === "function" &&
    TYPES.includes((it as Partial<SchemaFormat>).schemaType as string);
  if (formats.length === 0 || !formats.every(isFormat)) refuse("formats", wanted, given);
  return formats as SchemaFormat[];
}

/** A schema as it is sent: the type of Avro's is left out, as registries have it. */
function wireOf(given: Schema): { schema: string; schemaType?: string; references?: readonly SchemaReference[] } {
  const { references = [], schema, schemaType } = isObject(given) ? given : {} as Partial<Schema>;
  if (typeof schema !== "string" || !TYPES.includes(schemaType as string)) {
    throw new ConfigError(
      "schema",
      `Pass { schemaType: "AVRO", "PROTOBUF" or "JSON", schema } with the schema's text.`,
    );
  }
  return {
    schema: textOfSchema(schema),
    ...(schemaType === "AVRO" ? {} : { schemaType: schemaType! }),
    ...(references.length === 0
      ? {}
      : { references: references.map(({ name, subject, version }) => ({ name, subject, version })) }),
  };
}

type Json = Readonly<Record<string, unknown>>;

function readRegistered({ guid, id, version }: Json, what: string): RegisteredSchema {
  if (!isCount(id, 0)) throw strange(what, "id", id);
  return {
    id,
    guid: typeof guid === "string" && guid !== "" ? guid : undefined,
    version: isCount(version, 1) ? version : undefined,
  };
}

function readSchema({ references, schema, schemaType = "AVRO" }: Json, what: string): Schema {
  if (typeof schema !== "string") throw strange(what, "schema", schema);
  if (!TYPES.includes(schemaType as string)) throw strange(what, "schemaType", schemaType);
  const list = references ?? [];
  if (!Array.isArray(list) || !list.every(isReference)) throw strange(what, "references", references);
  return { schema, schemaType: schemaType as SchemaType, references: list };
}

function isReference(value: unknown): value is SchemaReference {
  const { name, subject, version } = isObject(value) ? value as Partial<SchemaReference> : {};
  return typeof name === "string" && typeof subject === "string" && subject !== "" && isCount(version, 1);
}

function isCount(value: unknown, least: number): value is number {
  return Number.isSafeInteger(value) && value as number >= least && value as number <= MAX_ID;
}

function strange(what: string, field: string, value: unknown): KafkaError {
  return new KafkaError(`${what} was answered with ${show(value)} for "${field}".`, { code: "SCHEMA_REGISTRY" });
}

function checkText(name: string, value: unknown): void {
  if (typeof value !== "string" || value === "") refuse(name, "text that isn't empty", value);
}
