/**
 * Protobuf for a registry, by `@bufbuild/protobuf`, whose functions are passed in: it generates no code.
 *
 * @module
 */

import { ConfigError, SerializationError } from "../errors.ts";
import { type SchemaCodec, type SchemaFormat, type SchemaReference, textOfSchema } from "./codec.ts";
import { Sink } from "./avro/sink.ts";
import { Source } from "./avro/source.ts";

/** What is used of a description of a message. */
export interface MessageLike {
  /** Its full name. */
  readonly typeName: string;
  /** The message that it stands in, if any. */
  readonly parent?: MessageLike | undefined;
  /** The file that it stands in. */
  readonly file?: { readonly messages: readonly MessageLike[] } | undefined;
  /** The messages that stand in it. */
  readonly nestedMessages?: readonly MessageLike[] | undefined;
}

/** What a Protobuf codec is made of. */
export interface ProtobufOptions<D extends MessageLike, M> {
  /** The description of the message: `OrderSchema` of the generated file. */
  readonly message: D;
  /** `toBinary` of `@bufbuild/protobuf`. */
  readonly toBinary: (message: D, value: M) => Uint8Array;
  /** The text of the `.proto` file, which the registry keeps. */
  readonly schema: string;
  /** The files that it imports. @default none */
  readonly references?: readonly SchemaReference[] | undefined;
}

/** What a Protobuf format is made of. */
export interface ProtobufFormatOptions<D extends MessageLike> {
  /** The messages that may come; the one is told by its place in its file. */
  readonly messages: readonly D[];
  /** `fromBinary` of `@bufbuild/protobuf`. */
  readonly fromBinary: (message: D, bytes: Uint8Array) => unknown;
}

/** Messages are nested a few levels deep. */
const MAX_INDEXES = 100;

/** A Protobuf message for {@link SchemaRegistry.serializer}. */
export function protobuf<D extends MessageLike, M>(options: ProtobufOptions<D, M>): SchemaCodec<M> {
  const { message, references = [], schema, toBinary } = options;
  if (typeof toBinary !== "function") throw new ConfigError("toBinary", 'Pass "toBinary" of @bufbuild/protobuf.');
  if (typeof schema !== "string") throw new ConfigError("schema", 'Set "schema" to the text of the .proto file.');
  return {
    schemaType: "PROTOBUF",
    schema: textOfSchema(schema),
    references,
    recordName: message.typeName,
    prefix: writeIndexes(indexesOf(message)),
    encode: (value) => toBinary(message, value),
  };
}

/** Reads Protobuf messages, for {@link SchemaRegistry.deserializer}. */
export function protobufFormat<D extends MessageLike>(options: ProtobufFormatOptions<D>): SchemaFormat {
  const { fromBinary, messages } = options;
  if (typeof fromBinary !== "function") throw new ConfigError("fromBinary", 'Pass "fromBinary" of @bufbuild/protobuf.');
  if (!Array.isArray(messages) || messages.length === 0) {
    throw new ConfigError("messages", 'Set "messages" to a list of the messages that may come.');
  }
  return {
    schemaType: "PROTOBUF",
    decoder: ({ schema }) => {
      // Messages of several files may have the same place: the file that was written with declares its package.
      const space = /^\s*package\s+([\w.]+)\s*;/m.exec(schema)?.[1] ?? "";
      const known = messages.filter(({ typeName }) => typeName.startsWith(space === "" ? "" : `${space}.`));
      return (bytes) => {
        const { indexes, rest } = readIndexes(bytes);
        const wanted = indexes.join();
        const found = known.filter((message) => indexesOf(message).join() === wanted);
        const message = found.find(({ typeName }) => declares(schema, typeName)) ?? found[0];
        if (message !== undefined) return fromBinary(message, rest);
        throw new SerializationError(`Add the message at place ${wanted} of its file to "messages": a value is of it.`);
      };
    },
  };
}

/** Where a message stands in its file: its number, or those of the messages around it and its own. */
export function indexesOf(message: MessageLike): number[] {
  const { file, parent } = message;
  const siblings = parent === undefined ? file?.messages : parent.nestedMessages;
  const index = siblings?.findIndex(({ typeName }) => typeName === message.typeName) ?? 0;
  return [...(parent === undefined ? [] : indexesOf(parent)), Math.max(0, index)];
}

/** Message indexes as they stand before a payload: their number and themselves; the first message alone is one zero. */
export function writeIndexes(indexes: readonly number[]): Uint8Array {
  const sink = new Sink();
  if (indexes.length === 1 && indexes[0] === 0) sink.byte(0);
  else for (const value of [indexes.length, ...indexes]) sink.int(value);
  return sink.finish();
}

/** @throws {SerializationError} when there are none */
export function readIndexes(bytes: Uint8Array): { readonly indexes: readonly number[]; readonly rest: Uint8Array } {
  const source = new Source(bytes);
  const count = source.int();
  if (count < 0 || count > MAX_INDEXES) {
    throw new SerializationError(
      `Reading ${count} message indexes: wanted 0 to ${MAX_INDEXES}, nothing is nested deeper.`,
    );
  }
  const indexes = count === 0 ? [0] : Array.from({ length: count }, () => source.int());
  return { indexes, rest: bytes.subarray(bytes.length - source.remaining) };
}

function declares(schema: string, typeName: string): boolean {
  return new RegExp(`\\bmessage\\s+${typeName.slice(typeName.lastIndexOf(".") + 1)}\\b`).test(schema);
}
