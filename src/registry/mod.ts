/**
 * Schema registries with Confluent's API: serializers for a producer and what reads their values back, on every runtime.
 *
 * @module
 */

export { avro, avroFormat, type AvroFormatOptions, type AvroOptions } from "./avro/codec.ts";
export type { LongAs } from "./avro/decoder.ts";
export { avsc, type AvscTypeLike } from "./avsc.ts";
export type { FetchedResponse, FetchLike } from "../runtime/fetch.ts";
export type { FetchedSchema, Schema, SchemaCodec, SchemaFormat, SchemaReference, SchemaType } from "./codec.ts";
export {
  jsonSchema,
  jsonSchemaFormat,
  type JsonSchemaOptions,
  type ValidationLike,
  type ValidatorLike,
} from "./json_schema.ts";
export type { SchemaRegistryOptions } from "./options.ts";
export {
  type MessageLike,
  protobuf,
  protobufFormat,
  type ProtobufFormatOptions,
  type ProtobufOptions,
} from "./protobuf.ts";
export {
  createSchemaRegistry,
  type DeserializerContext,
  type RegisteredSchema,
  type SchemaDeserializer,
  type SchemaRegistry,
  type SchemaSerializer,
  type SerializerOptions,
} from "./registry.ts";
export type { Part, SubjectStrategy } from "./subject.ts";
export type { WireFormat } from "./wire_format.ts";
