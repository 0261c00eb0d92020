/**
 * From values to Avro's bytes, by walking the schema: nothing is generated, so that it runs where no code may be.
 *
 * @module
 */

import { SerializationError } from "../../errors.ts";
import { show } from "../../show.ts";
import { isByteArray } from "../../byte_arrays.ts";
import { type AvroField, type AvroRecord, type AvroType, branchName, type PrimitiveName } from "./schema.ts";
import { Sink } from "./sink.ts";

type Write = (sink: Sink, value: unknown) => void;

const MAX_INT = 0x7fff_ffff;
const MAX_LONG = 2n ** 63n - 1n;

/** Makes the function that encodes values of a type; its bytes are new ones with each call. */
export function avroEncoder(type: AvroType): (value: unknown) => Uint8Array {
  const write = new Encoders().of(type);
  return (value) => {
    const sink = new Sink();
    try {
      write(sink, value);
    } catch (error) {
      if (error instanceof Mismatch) throw error.told();
      // It holds itself, or the stack is too short for it.
      if (error instanceof RangeError) {
        throw new SerializationError("Pass a value that is not nested so deep.", { cause: error });
      }
      throw error;
    }
    return sink.finish();
  };
}

/** One encoder for each type, so that a type that holds itself has one. */
class Encoders {
  readonly #known = new Map<AvroType, Write>();

  of(type: AvroType): Write {
    const known = this.#known.get(type);
    if (known !== undefined) return known;
    // Found by the types inside before it is there.
    this.#known.set(type, (sink, value) => write(sink, value));
    const write = this.#make(type);
    this.#known.set(type, write);
    return write;
  }

  #make(type: AvroType): Write {
    switch (type.kind) {
      case "array":
        return this.#array(this.of(type.items));
      case "map":
        return this.#map(this.of(type.items));
      case "union":
        return this.#union(type.branches);
      case "record":
        return this.#record(type);
      case "enum":
        return (sink, value) => {
          const index = type.symbols.indexOf(value as string);
          if (index < 0) refuse(`one of ${type.symbols.map(show).join(", ")}`, value);
          sink.int(index);
        };
      case "fixed":
        return (sink, value) => {
          if (!isByteArray(value) || value.length !== type.size) refuse(`${type.size} bytes`, value);
          sink.raw(value);
        };
      default:
        return PRIMITIVES[type.kind];
    }
  }

  #array(write: Write): Write {
    return (sink, value) => {
      if (!Array.isArray(value)) refuse("a list", value);
      if (value.length > 0) sink.int(value.length);
      for (const [index, item] of value.entries()) {
        try {
          write(sink, item);
        } catch (error) {
          throw inside(error, `[${index}]`);
        }
      }
      sink.byte(0);
    };
  }

  #map(write: Write): Write {
    return (sink, value) => {
      const entries = value instanceof Map
        ? [...value]
        : isPlain(value)
        ? Object.entries(value)
        : refuse("a map", value);
      if (entries.length > 0) sink.int(entries.length);
      for (const [key, item] of entries) {
        if (typeof key !== "string") refuse("a map with text for keys", value);
        sink.string(key);
        try {
          write(sink, item);
        } catch (error) {
          throw inside(error, `[${show(key)}]`);
        }
      }
      sink.byte(0);
    };
  }

  #record(type: AvroRecord): Write {
    const fields = type.fields.map((field) => ({ field, write: this.of(field.type), fallback: fallbackOf(field) }));
    return (sink, value) => {
      if (!isPlain(value)) refuse(`a record ${show(type.name)}`, value);
      for (const { fallback, field, write } of fields) {
        try {
          const given = (value as Readonly<Record<string, unknown>>)[field.name];
          if (given === undefined && fallback !== undefined) this.#fallback(sink, field.type, fallback);
          else write(sink, given);
        } catch (error) {
          throw inside(error, `.${field.name}`);
        }
      }
    };
  }

  #fallback(sink: Sink, type: AvroType, { branch, json }: Fallback): void {
    if (type.kind === "union") sink.int(type.branches.indexOf(branch));
    this.of(branch)(sink, fromJson(branch, json));
  }

  #union(branches: readonly AvroType[]): Write {
    const writes = branches.map((branch) => this.of(branch));
    return (sink, value) => {
      const [index, inner] = chooseBranch(branches, value);
      sink.int(index);
      writes[index]!(sink, inner);
    };
  }
}

const PRIMITIVES = {
  null: (_: Sink, value: unknown): void => {
    // A field that is left out.
    if (value !== null && value !== undefined) refuse("null", value);
  },
  boolean: (sink: Sink, value: unknown): void => {
    if (typeof value !== "boolean") refuse("true or false", value);
    sink.byte(value ? 1 : 0);
  },
  int: (sink: Sink, value: unknown): void => {
    if (!isInt(value)) refuse("a whole number of 32 bits", value);
    sink.int(Number(value));
  },
  long: (sink: Sink, value: unknown): void => {
    if (typeof value === "number" && Number.isSafeInteger(value)) sink.int(value);
    else if (isLong(value)) sink.long(value as bigint);
    else refuse("a bigint of 64 bits, or a whole number that JavaScript holds exactly", value);
  },
  float: (sink: Sink, value: unknown): void => {
    if (typeof value !== "number") refuse("a number", value);
    sink.float(value);
  },
  double: (sink: Sink, value: unknown): void => {
    if (typeof value !== "number") refuse("a number", value);
    sink.double(value);
  },
  bytes: (sink: Sink, value: unknown): void => {
    if (!isByteArray(value)) refuse("a Uint8Array", value);
    sink.int(value.length);
    sink.raw(value);
  },
  string: (sink: Sink, value: unknown): void => {
    if (typeof value !== "string") refuse("text", value);
    sink.string(value);
  },
} as const;

/**
 * The branch of a union that a value belongs to, and the value of it: the first that takes the value as it is, or the one
 * that is named around it, `{ "com.example.Cat": { … } }`, as in Avro's JSON.
 */
export function chooseBranch(branches: readonly AvroType[], value: unknown): readonly [number, unknown] {
  if (isPlain(value)) {
    const keys = Object.keys(value);
    const named = keys.length === 1 ? branches.findIndex((branch) => branchName(branch) === keys[0]) : -1;
    const inner = named < 0 ? undefined : (value as Readonly<Record<string, unknown>>)[keys[0]!];
    if (named >= 0 && fits(branches[named]!, inner)) return [named, inner];
  }
  const index = branches.findIndex((branch) => fits(branch, value));
  return index >= 0 ? [index, value] : refuse(`one of ${branches.map(branchName).map(show).join(", ")}`, value);
}

/** Whether a value can be written as a type: of records and lists what is in them counts too. */
function fits(type: AvroType, value: unknown): boolean {
  switch (type.kind) {
    case "enum":
      return type.symbols.includes(value as string);
    case "fixed":
      return isByteArray(value) && value.length === type.size;
    case "array":
      return Array.isArray(value) && value.every((item) => fits(type.items, item));
    case "map":
      return value instanceof Map || (isPlain(value) && Object.values(value).every((item) => fits(type.items, item)));
    case "union":
      return type.branches.some((branch) => fits(branch, value));
    case "record":
      return isPlain(value) && fitsRecord(type, value as Readonly<Record<string, unknown>>);
    default:
      return FITS[type.kind](value);
  }
}

const isNumber = (value: unknown): boolean => typeof value === "number";

const FITS: Readonly<Record<PrimitiveName, (value: unknown) => boolean>> = {
  null: (value) => value === null || value === undefined,
  boolean: (value) => typeof value === "boolean",
  int: (value) => isInt(value),
  long: (value) => isLong(value) || Number.isSafeInteger(value),
  float: isNumber,
  double: isNumber,
  bytes: (value) => isByteArray(value),
  string: (value) => typeof value === "string",
};

function fitsRecord({ fields }: AvroRecord, value: Readonly<Record<string, unknown>>): boolean {
  const isField = (name: string): boolean => fields.some((field) => field.name === name);
  return Object.keys(value).every(isField) && fields.every(({ fallback, name, type }) => {
    const given = value[name];
    return given === undefined && fallback !== undefined ? true : fits(type, given);
  });
}

function isInt(value: unknown): boolean {
  if (typeof value === "bigint") return value >= -BigInt(MAX_INT) - 1n && value <= BigInt(MAX_INT);
  return Number.isInteger(value) && value as number >= -MAX_INT - 1 && value as number <= MAX_INT;
}

function isLong(value: unknown): boolean {
  return typeof value === "bigint" && value >= -MAX_LONG - 1n && value <= MAX_LONG;
}

function isPlain(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !isByteArray(value) &&
    !(value instanceof Map);
}

/** A default, and the type that it is of. */
export interface Fallback {
  readonly branch: AvroType;
  readonly json: unknown;
}

/** A field's default; Avro 1.12 lets that of a union be of any branch. */
export function fallbackOf({ fallback, type }: AvroField): Fallback | undefined {
  if (fallback === undefined) return undefined;
  if (type.kind !== "union") return { branch: type, json: fallback };
  const branch = type.branches.find((each) => fits(each, fromJson(each, fallback)));
  return { branch: branch ?? type.branches[0]!, json: fallback };
}

/** A default as a value: JSON has no bytes, so they stand in it as the characters of Latin-1. */
export function fromJson(type: AvroType, json: unknown): unknown {
  switch (type.kind) {
    case "bytes":
    case "fixed":
      return typeof json === "string" ? Uint8Array.from(json, (character) => character.charCodeAt(0)) : json;
    case "array":
      return Array.isArray(json) ? json.map((item) => fromJson(type.items, item)) : json;
    case "map":
      return isPlain(json)
        ? Object.fromEntries(Object.entries(json).map(([key, item]) => [key, fromJson(type.items, item)]))
        : json;
    case "record": {
      if (!isPlain(json)) return json;
      const given = json as Readonly<Record<string, unknown>>;
      const present = type.fields.filter(({ name }) => given[name] !== undefined);
      return Object.fromEntries(present.map((field) => [field.name, fromJson(field.type, given[field.name])]));
    }
    case "union": {
      const branch = type.branches.find((each) => fits(each, fromJson(each, json)));
      return branch === undefined ? json : fromJson(branch, json);
    }
    default:
      return json;
  }
}

/** Says where in the value it was. */
function inside(error: unknown, step: string): unknown {
  if (error instanceof Mismatch) error.path = `${step}${error.path}`;
  return error;
}

/** What doesn't fit, and where: an error only when it is told, as a value may be tried for many branches. */
class Mismatch {
  path = "";
  readonly #wanted: string;
  readonly #value: unknown;

  constructor(wanted: string, value: unknown) {
    this.#wanted = wanted;
    this.#value = value;
  }

  /** The error to be thrown on. */
  told(): SerializationError {
    const where = this.path === "" ? "the value" : `"${this.path.replace(/^\./, "")}"`;
    return new SerializationError(`Set ${where} to ${this.#wanted}: ${show(this.#value)} is not.`);
  }
}

function refuse(wanted: string, value: unknown): never {
  throw new Mismatch(wanted, value);
}
