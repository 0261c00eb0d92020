/**
 * From Avro's bytes to values: written with one schema, read with the same or, by Avro's rules of resolution, another.
 *
 * @module
 */

import { SerializationError } from "../../errors.ts";
import { show } from "../../show.ts";
import { fallbackOf, fromJson } from "./encoder.ts";
import {
  type AvroEnum,
  type AvroField,
  type AvroRecord,
  type AvroType,
  branchName,
  type PrimitiveName,
} from "./schema.ts";
import { Source } from "./source.ts";

type Read = (source: Source) => unknown;

/** How a long is handed out. */
export type LongAs = "bigint" | "number";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** What each primitive may also be read as. */
const PROMOTIONS: Readonly<Partial<Record<PrimitiveName, readonly PrimitiveName[]>>> = {
  int: ["long", "float", "double"],
  long: ["float", "double"],
  float: ["double"],
  string: ["bytes"],
  bytes: ["string"],
};

/**
 * Makes the function that decodes values.
 *
 * @param writer the schema that they were written with
 * @param reader the one that they are wanted in
 * @throws {SerializationError} when the one can't be read as the other, and, from the function, for bytes that are no such
 * value
 */
export function avroDecoder(writer: AvroType, reader: AvroType, longAs: LongAs): (bytes: Uint8Array) => unknown {
  const read = new Decoders(longAs).of(writer, reader);
  return (bytes) => {
    const source = new Source(bytes);
    let value: unknown;
    try {
      value = read(source);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new SerializationError("Decoding a value that is nested too deep.", { cause: error });
    }
    if (source.remaining === 0) return value;
    throw new SerializationError(`Decoding a value: ${source.remaining} bytes are left behind it.`);
  };
}

/** One decoder for each pair of types, so that a type that holds itself has one. */
class Decoders {
  readonly #longAs: LongAs;
  readonly #known = new Map<AvroType, Map<AvroType, Read>>();

  constructor(longAs: LongAs) {
    this.#longAs = longAs;
  }

  of(writer: AvroType, reader: AvroType): Read {
    const known = this.#known.get(writer) ?? new Map<AvroType, Read>();
    this.#known.set(writer, known);
    const found = known.get(reader);
    if (found !== undefined) return found;
    // Found by the types inside before it is there.
    known.set(reader, (source) => read(source));
    const read = this.#make(writer, reader);
    known.set(reader, read);
    return read;
  }

  #make(writer: AvroType, reader: AvroType): Read {
    if (writer.kind === "union") return this.#fromUnion(writer.branches, reader);
    if (reader.kind === "union") {
      const branch = reader.branches.find((each) => isSame(writer, each)) ??
        reader.branches.find((each) => isReadable(writer, each));
      return branch === undefined ? refuse(writer, reader) : this.of(writer, branch);
    }
    if (!isReadable(writer, reader)) refuse(writer, reader);
    switch (writer.kind) {
      case "array":
        return this.#array(writer.items, (reader as typeof writer).items);
      case "map":
        return this.#map(writer.items, (reader as typeof writer).items);
      case "record":
        return this.#record(writer, reader as AvroRecord);
      case "enum":
        return readEnum(writer, reader as AvroEnum);
      case "fixed":
        return (source) => source.raw(writer.size);
      default:
        return this.#primitive(writer.kind, reader.kind as PrimitiveName);
    }
  }

  #primitive(writer: PrimitiveName, reader: PrimitiveName): Read {
    const isBig = reader === "long" && this.#longAs === "bigint";
    if (writer === "long" && reader === "long") return isBig ? (source) => source.long() : readNumber;
    if (writer === "int" && isBig) return (source) => BigInt(source.int());
    if (writer === "bytes" && reader === "string") return (source) => decoder.decode(source.bytes());
    if (writer === "string" && reader === "bytes") return (source) => encoder.encode(source.string());
    return READS[writer];
  }

  /** A branch that can't be read is an error only when it comes. */
  #fromUnion(branches: readonly AvroType[], reader: AvroType): Read {
    const reads = branches.map((branch): Read => {
      try {
        return this.of(branch, reader);
      } catch (error) {
        return () => {
          throw error;
        };
      }
    });
    return (source) => {
      const index = source.int();
      const read = reads[index];
      if (read === undefined) throw new SerializationError(`Reading branch ${index} of a union of ${reads.length}.`);
      return read(source);
    };
  }

  #array(writer: AvroType, reader: AvroType): Read {
    const read = this.of(writer, reader);
    return (source) => {
      const items: unknown[] = [];
      const least = leastBytes(writer);
      for (let count = source.blockCount(least); count > 0; count = source.blockCount(least)) {
        for (; count > 0; count--) items.push(read(source));
        if (least === 0 && items.length > MAX_EMPTY) {
          throw new SerializationError("Reading a list without bytes: it is too long.");
        }
      }
      return items;
    };
  }

  #map(writer: AvroType, reader: AvroType): Read {
    const read = this.of(writer, reader);
    return (source) => {
      const entries: [string, unknown][] = [];
      for (let count = source.blockCount(1); count > 0; count = source.blockCount(1)) {
        for (; count > 0; count--) entries.push([source.string(), read(source)]);
      }
      // Not by assignment: a key may be "__proto__".
      return Object.fromEntries(entries);
    };
  }

  #record(writer: AvroRecord, reader: AvroRecord): Read {
    const steps = writer.fields.map((field) => {
      const wanted = reader.fields.find((each) => each.name === field.name || each.aliases.includes(field.name));
      return { name: wanted?.name, read: this.of(field.type, wanted?.type ?? field.type) };
    });
    const present = steps.map(({ name }) => name);
    const missing = reader.fields.filter(({ name }) => !present.includes(name)).map((field) => (
      { name: field.name, valueOf: this.#missing(field, reader) }
    ));
    // In the order of the reader's fields, whatever the writer's was.
    const order = reader.fields.map(({ name }) => name);
    return (source) => {
      const values = new Map<string, unknown>();
      for (const { name, read } of steps) {
        const value = read(source);
        if (name !== undefined) values.set(name, value);
      }
      for (const { name, valueOf } of missing) values.set(name, valueOf());
      return Object.fromEntries(order.map((name) => [name, values.get(name)]));
    };
  }

  #missing(field: AvroField, { name }: AvroRecord): () => unknown {
    const fallback = fallbackOf(field);
    if (fallback === undefined) {
      throw new SerializationError(
        `Give field ${show(field.name)} of ${
          show(name)
        } a default: the schema that the value was written with lacks it.`,
      );
    }
    return () => this.#asRead(fallback.branch, fromJson(fallback.branch, fallback.json));
  }

  /** A default in the form of what is read: longs as they are handed out, and the defaults inside of records. */
  #asRead(type: AvroType, value: unknown): unknown {
    if (type.kind === "long" && this.#longAs === "bigint" && typeof value === "number") return BigInt(value);
    if (type.kind === "array") return (value as unknown[]).map((item) => this.#asRead(type.items, item));
    if (type.kind === "map") {
      const entries = Object.entries(value as object).map(([key, item]) => [key, this.#asRead(type.items, item)]);
      return Object.fromEntries(entries);
    }
    if (type.kind !== "record") return value;
    const given = value as Readonly<Record<string, unknown>>;
    return Object.fromEntries(type.fields.map((field) => {
      const inner = given[field.name];
      return [field.name, inner === undefined ? this.#missing(field, type)() : this.#asRead(field.type, inner)];
    }));
  }
}

/** As in `source`: elements that take no bytes are bounded by nothing else. */
const MAX_EMPTY = 1_000_000;

/** As numbers, where the reader wants floats. */
const READS: Readonly<Record<PrimitiveName, Read>> = {
  null: () => null,
  boolean: readBoolean,
  int: (source) => source.int(),
  long: (source) => Number(source.long()),
  float: (source) => source.float(),
  double: (source) => source.double(),
  bytes: (source) => source.bytes(),
  string: (source) => source.string(),
};

function readEnum(writer: AvroEnum, reader: AvroEnum): Read {
  return (source) => {
    const symbol = writer.symbols[source.int()];
    if (symbol === undefined) throw new SerializationError(`Reading a symbol that enum ${show(writer.name)} hasn't.`);
    if (reader.symbols.includes(symbol)) return symbol;
    if (reader.fallback !== undefined) return reader.fallback;
    throw new SerializationError(`Reading ${show(symbol)}: enum ${show(reader.name)} hasn't it, nor a default.`);
  };
}

function readBoolean(source: Source): boolean {
  const byte = source.byte();
  if (byte > 1) throw new SerializationError(`Reading ${byte}: wanted 0 or 1.`);
  return byte === 1;
}

function readNumber(source: Source): number {
  const value = source.long();
  const number = Number(value);
  if (Number.isSafeInteger(number)) return number;
  throw new SerializationError(`Read longs as bigints: ${value} is no number that JavaScript holds exactly.`);
}

/** How many bytes a value takes at least: 0 or 1 is all that a bound needs. */
function leastBytes(type: AvroType, seen: readonly AvroType[] = []): 0 | 1 {
  if (type.kind === "null") return 0;
  if (type.kind === "fixed") return type.size === 0 ? 0 : 1;
  if (type.kind !== "record") return 1;
  if (seen.includes(type)) return 0;
  return type.fields.some((field) => leastBytes(field.type, [...seen, type]) === 1) ? 1 : 0;
}

function isSame(writer: AvroType, reader: AvroType): boolean {
  return writer.kind === reader.kind && (!("name" in reader) || isNamed(writer as typeof reader, reader));
}

function isReadable(writer: AvroType, reader: AvroType): boolean {
  if (writer.kind === "union" || reader.kind === "union") return true;
  if (writer.kind !== reader.kind) {
    return PROMOTIONS[writer.kind as PrimitiveName]?.includes(reader.kind as PrimitiveName) === true;
  }
  if (writer.kind === "fixed") {
    return writer.size === (reader as typeof writer).size && isNamed(writer, reader as typeof writer);
  }
  return !("name" in writer) || isNamed(writer, reader as typeof writer);
}

/** The same name without its namespace, or an alias of it: Java compares no namespaces either. */
function isNamed(
  writer: { readonly name: string },
  reader: { readonly name: string; readonly aliases: readonly string[] },
): boolean {
  const short = (name: string): string => name.slice(name.lastIndexOf(".") + 1);
  return short(writer.name) === short(reader.name) || reader.aliases.includes(writer.name);
}

function refuse(writer: AvroType, reader: AvroType): never {
  throw new SerializationError(`Reading ${show(branchName(writer))} as ${show(branchName(reader))} is not possible.`);
}
