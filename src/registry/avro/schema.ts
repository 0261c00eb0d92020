/**
 * Avro schemas (1.12), parsed: names resolved, so that a type that holds itself is one object.
 *
 * @module
 */

import { ConfigError } from "../../errors.ts";
import { show } from "../../show.ts";

/** The types that need no more than their name. */
export type PrimitiveName = "null" | "boolean" | "int" | "long" | "float" | "double" | "bytes" | "string";

/** A type. Logical types are what they are made of: a date is its int, a decimal its bytes. */
export type AvroType =
  | { readonly kind: PrimitiveName }
  | { readonly kind: "array" | "map"; items: AvroType }
  | { readonly kind: "union"; branches: readonly AvroType[] }
  | AvroRecord
  | AvroEnum
  | AvroFixed;

/** What types with a name of their own have in common. */
export interface AvroNamed {
  /** Its name with its namespace. */
  readonly name: string;
  /** Other names under which it may have been written. */
  readonly aliases: readonly string[];
}

/** A record. */
export interface AvroRecord extends AvroNamed {
  readonly kind: "record";
  fields: readonly AvroField[];
}

/** A field of a record. */
export interface AvroField {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly type: AvroType;
  /** What stands for it when it is left out, as JSON; undefined if nothing does, for null is a default too. */
  readonly fallback: unknown;
}

/** An enum. */
export interface AvroEnum extends AvroNamed {
  readonly kind: "enum";
  readonly symbols: readonly string[];
  /** The symbol that stands for those that the reader doesn't know. */
  readonly fallback: string | undefined;
}

/** Bytes of one size. */
export interface AvroFixed extends AvroNamed {
  readonly kind: "fixed";
  readonly size: number;
}

const PRIMITIVES: readonly string[] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
const FULL_NAME = /^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$/;
/** Bytes of one fixed; nobody has larger ones, and they are made before they are read. */
const MAX_FIXED_BYTES = 16 << 20;

type Json = Readonly<Record<string, unknown>>;

/** The types that are known by name. */
export type AvroNames = Map<string, AvroRecord | AvroEnum | AvroFixed>;

/**
 * Parses a schema.
 *
 * @param names the types of the schemas that it refers to; those that it defines are added
 * @throws {ConfigError} for what is no Avro schema
 */
export function parseAvro(schema: unknown, names: AvroNames = new Map()): AvroType {
  return parse(schema, "", names);
}

function parse(schema: unknown, namespace: string, names: AvroNames): AvroType {
  if (typeof schema === "string") return named(schema, namespace, names);
  if (Array.isArray(schema)) return union(schema, namespace, names);
  if (typeof schema !== "object" || schema === null) refuse(`${show(schema)} is no type`);
  const json = schema as Json;
  const { type } = json;
  switch (type) {
    case "record":
    case "error":
      return record(json, namespace, names);
    case "enum":
      return enumeration(json, namespace, names);
    case "fixed":
      return fixed(json, namespace, names);
    case "array":
      return { kind: "array", items: parse(json.items, namespace, names) };
    case "map":
      return { kind: "map", items: parse(json.values, namespace, names) };
    default:
      // { "type": "long", "logicalType": … }, and { "type": { … } }.
      return parse(type, namespace, names);
  }
}

function named(name: string, namespace: string, names: AvroNames): AvroType {
  if (PRIMITIVES.includes(name)) return { kind: name as PrimitiveName };
  const found = names.get(name.includes(".") || namespace === "" ? name : `${namespace}.${name}`) ?? names.get(name);
  return found ?? refuse(`nothing is called ${show(name)}`);
}

function union(branches: readonly unknown[], namespace: string, names: AvroNames): AvroType {
  const types = branches.map((branch) => parse(branch, namespace, names));
  if (types.some(({ kind }) => kind === "union")) refuse("a union stands directly in a union");
  const keys = types.map(branchName);
  const twice = keys.find((key, i) => keys.indexOf(key) !== i);
  if (twice !== undefined) refuse(`a union has ${show(twice)} twice`);
  return { kind: "union", branches: types };
}

/** What a branch of a union is called in Avro's JSON. */
export function branchName(type: AvroType): string {
  return "name" in type ? type.name : type.kind;
}

function record(json: Json, outer: string, names: AvroNames): AvroRecord {
  const { aliases, name, namespace } = nameOf(json, outer);
  const type: AvroRecord = { kind: "record", name, aliases, fields: [] };
  define(type, names);
  if (!Array.isArray(json.fields)) refuse(`record ${show(name)} has no list of fields`);
  type.fields = json.fields.map((field: unknown) => fieldOf(field, name, namespace, names));
  const seen = type.fields.map((field) => field.name);
  const twice = seen.find((each, i) => seen.indexOf(each) !== i);
  if (twice !== undefined) refuse(`record ${show(name)} has the field ${show(twice)} twice`);
  return type;
}

function fieldOf(json: unknown, owner: string, namespace: string, names: AvroNames): AvroField {
  const { aliases, default: fallback, name, type } = (json ?? {}) as Json;
  if (typeof name !== "string" || !NAME.test(name)) refuse(`a field of ${show(owner)} is called ${show(name)}`);
  return { name, aliases: texts(aliases), type: parse(type, namespace, names), fallback };
}

function enumeration(json: Json, outer: string, names: AvroNames): AvroEnum {
  const { aliases, name } = nameOf(json, outer);
  const symbols = texts(json.symbols);
  if (symbols.length === 0 || new Set(symbols).size < symbols.length || !symbols.every((each) => NAME.test(each))) {
    refuse(`enum ${show(name)} needs symbols, each a name and each once`);
  }
  const fallback = json.default as string | undefined;
  if (fallback !== undefined && !symbols.includes(fallback)) refuse(`the default of enum ${show(name)} is none of it`);
  return define({ kind: "enum", name, aliases, symbols, fallback }, names);
}

function fixed(json: Json, outer: string, names: AvroNames): AvroFixed {
  const { aliases, name } = nameOf(json, outer);
  const size = json.size as number;
  if (!Number.isSafeInteger(size) || size < 0 || size > MAX_FIXED_BYTES) {
    refuse(`fixed ${show(name)} has the size ${show(size)}, wanted 0 to ${MAX_FIXED_BYTES}`);
  }
  return define({ kind: "fixed", name, aliases, size }, names);
}

function define<T extends AvroRecord | AvroEnum | AvroFixed>(type: T, names: AvroNames): T {
  if (names.has(type.name)) refuse(`${show(type.name)} is defined twice`);
  names.set(type.name, type);
  return type;
}

function nameOf(json: Json, outer: string): { name: string; namespace: string; aliases: string[] } {
  const { name, namespace = outer } = json;
  if (typeof name !== "string" || !FULL_NAME.test(name)) refuse(`a type is called ${show(name)}`);
  if (typeof namespace !== "string" || (namespace !== "" && !FULL_NAME.test(namespace))) {
    refuse(`${show(name)} is in the namespace ${show(namespace)}`);
  }
  const inside = (given: string, space: string): string =>
    given.includes(".") || space === "" ? given : `${space}.${given}`;
  const full = inside(name, namespace);
  const own = full.includes(".") ? full.slice(0, full.lastIndexOf(".")) : "";
  return { name: full, namespace: own, aliases: texts(json.aliases).map((alias) => inside(alias, own)) };
}

function texts(value: unknown): string[] {
  if (value === undefined) return [];
  if (Array.isArray(value) && value.every((each) => typeof each === "string")) return value;
  return refuse(`${show(value)} is no list of names`);
}

function refuse(why: string): never {
  throw new ConfigError("schema", `Pass an Avro schema: ${why}.`);
}
