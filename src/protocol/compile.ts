/**
 * From a declaration to closures that read and write one version of it.
 *
 * Everything that depends on the version (which fields there are, how a length is coded, what may be null) is
 * decided once here, so that reading and writing only run down an array of functions.
 *
 * @module
 */

import { ProtocolError } from "../errors.ts";
import { type Bound, BOUNDS } from "./bounds.ts";
import type { Fields, FieldSpec, WireType } from "./declaration.ts";
import type { Reader } from "./reader.ts";
import { unfit, Writer } from "./writer.ts";

/** Reads and writes one type in one version. */
export interface Codec {
  /** Writes the value, or throws {@link ProtocolError} if the type can't carry it. */
  readonly write: (writer: Writer, value: unknown) => void;
  /** Reads a value. */
  readonly read: (reader: Reader) => unknown;
  /** The fewest bytes that a value takes. */
  readonly minSize: number;
}

/** A field's declaration with everything filled in. */
export interface Field {
  /** Kafka's name with a lower first letter. */
  readonly name: string;
  /** The type of the wire, or of the array's elements. */
  readonly type: WireType | "struct";
  /** The value is an array of `type`. */
  readonly isArray: boolean;
  /** The struct's fields. */
  readonly fields: readonly Field[];
  /** First version that has the field. */
  readonly since: number;
  /** Last version that has the field, Infinity if there is none. */
  readonly until: number;
  /** First version in which it may be null, Infinity if there is none. */
  readonly nullableSince: number;
  /** Its number in the tag section, or undefined. */
  readonly tag: number | undefined;
  /** The declared default, or the one of the type. */
  readonly defaultValue: unknown;
  /** The writer must be given a value in a version that has the field. */
  readonly isRequired: boolean;
  /** A value that the version can't carry is left out. */
  readonly ignorable: boolean;
  /** What a broker can answer; undefined for any value of the type. */
  readonly bound: Bound | undefined;
}

/** Fills in what a struct's declaration leaves open. */
export function fieldsOf(declaration: Fields): readonly Field[] {
  return Object.entries(declaration).map(([name, spec]) => fieldOf(name, spec));
}

/** Compiles a struct for one version; `bounded` holds what is read to the fields' bounds. */
export function compileStruct(
  declaration: Fields,
  version: number,
  flexible: boolean,
  bounded: boolean = false,
): Codec {
  return structCodec(fieldsOf(declaration), { version, flexible, bounded });
}

/** What a codec is compiled for. */
interface Target {
  readonly version: number;
  readonly flexible: boolean;
  readonly bounded: boolean;
}

type Struct = { readonly [name: string]: unknown };

/** A field as it is in one version: there, in the tag section, or not there. */
interface PlacedField {
  readonly name: string;
  readonly tag: number;
  readonly field: Field;
  readonly codec: Codec;
}

const NO_ELEMENTS: readonly never[] = Object.freeze([]);
const NO_BYTES = new Uint8Array(0);
/** How an id is written that isn't known. */
export const ZERO_UUID = "00000000000000000000000000000000";

const DEFAULTS: { readonly [type in WireType]: unknown } = {
  bool: false,
  int8: 0,
  int16: 0,
  int32: 0,
  int64: 0n,
  string: "",
  uuid: ZERO_UUID,
  bytes: NO_BYTES,
  records: null,
};

function fieldOf(name: string, spec: FieldSpec): Field {
  const full = typeof spec === "string" ? { type: spec } : spec;
  const typeName = "type" in full ? full.type : "struct";
  const isArray = "array" in full || typeName.endsWith("[]");
  const type = typeName.replace(/\?|\[\]/, "") as Field["type"];
  const fields = "array" in full ? fieldsOf(full.array) : "struct" in full ? fieldsOf(full.struct) : [];
  const { since = 0, until = Infinity, nullable = Infinity, tag, ignorable = false, bound } = full;
  return {
    name,
    type,
    isArray,
    fields,
    since,
    until,
    nullableSince: typeName.endsWith("?") || type === "records" ? 0 : nullable,
    tag,
    defaultValue: full.default ?? (full.default === null ? null : implicitDefault(type, isArray, fields)),
    isRequired: full.default === undefined && tag === undefined,
    ignorable,
    bound: bound === undefined ? undefined : BOUNDS[bound],
  };
}

function implicitDefault(type: Field["type"], isArray: boolean, fields: readonly Field[]): unknown {
  if (isArray) return NO_ELEMENTS;
  if (type !== "struct") return DEFAULTS[type];
  return Object.freeze(Object.fromEntries(fields.map((field) => [field.name, field.defaultValue])));
}

function structCodec(fields: readonly Field[], target: Target): Codec {
  const { version, flexible } = target;
  const present: PlacedField[] = [];
  const tagged: PlacedField[] = [];
  const absent: Field[] = [];
  const template: { [name: string]: unknown } = {};
  for (const field of fields) {
    template[field.name] = field.defaultValue;
    if (version < field.since || version > field.until) {
      if (!field.ignorable) absent.push(field);
      continue;
    }
    const codec = fieldCodec(field, target);
    const placed = { name: field.name, tag: field.tag ?? -1, field, codec };
    (field.tag === undefined ? present : tagged).push(placed);
  }
  tagged.sort((a, b) => a.tag - b.tag);
  const minSize = present.reduce((sum, { codec }) => sum + codec.minSize, flexible ? 1 : 0);

  function write(writer: Writer, value: unknown): void {
    if (typeof value !== "object" || value === null) throw unfit(value, "an object");
    const struct = value as Struct;
    for (const field of absent) refuseValue(writer, field, struct[field.name], version);
    let name = "";
    try {
      // By index, here and in read: every request goes through, and an iterator is more code for the engine to compile.
      for (let at = 0; at < present.length; at++) {
        const { name: key, field, codec } = present[at]!;
        name = key;
        const given = struct[key];
        if (given !== undefined) codec.write(writer, given);
        else if (field.isRequired) throw new ProtocolError(`Leaving it out: v${version} needs a value.`);
        else codec.write(writer, field.defaultValue);
      }
      if (flexible) {
        name = "";
        writeTags(writer, tagged, struct);
      }
    } catch (error) {
      writer.path = joined(name, writer.path);
      throw error;
    }
  }

  function read(reader: Reader): unknown {
    // A copy of the template gives all objects of a type one shape.
    const struct = { ...template };
    let name = "";
    try {
      for (let at = 0; at < present.length; at++) {
        const { name: key, codec } = present[at]!;
        name = key;
        struct[key] = codec.read(reader);
      }
      if (flexible) {
        name = "";
        readTags(reader, tagged, struct);
      }
    } catch (error) {
      reader.path = joined(name, reader.path);
      throw error;
    }
    return struct;
  }

  return { write, read, minSize };
}

function writeTags(writer: Writer, tagged: readonly PlacedField[], struct: Struct): void {
  const given = tagged.length === 0 ? tagged : tagged.filter(({ name, field }) => !isDefault(field, struct[name]));
  writer.uvarint(given.length);
  for (const { name, tag, codec } of given) {
    const inner = new Writer();
    try {
      codec.write(inner, struct[name]);
    } catch (error) {
      writer.path = joined(name, inner.path);
      throw error;
    }
    const { parts, byteLength } = inner.finish();
    writer.uvarint(tag);
    writer.uvarint(byteLength);
    writer.raw(parts);
  }
}

function readTags(reader: Reader, tagged: readonly PlacedField[], struct: { [name: string]: unknown }): void {
  for (let left = reader.uvarint(); left > 0; left--) {
    const tag = reader.uvarint();
    const size = reader.uvarint();
    const known = tagged.find((field) => field.tag === tag);
    const start = reader.offset;
    if (known === undefined) {
      reader.raw(size);
      continue;
    }
    try {
      struct[known.name] = known.codec.read(reader);
    } catch (error) {
      reader.path = joined(known.name, reader.path);
      throw error;
    }
    if (reader.offset - start !== size) {
      throw new ProtocolError(`Reading tag ${tag}: its ${size} bytes hold a value of ${reader.offset - start} bytes.`);
    }
  }
}

/** A value other than the default would be lost without a word, so it is an error. */
function refuseValue(writer: Writer, field: Field, value: unknown, version: number): void {
  if (isDefault(field, value)) return;
  writer.path = field.name;
  const versions = field.until === Infinity ? `${field.since} or later` : `${field.since} to ${field.until}`;
  throw new ProtocolError(`Version ${version} can't carry a value other than the default: wanted v${versions}.`);
}

function isDefault(field: Field, value: unknown): boolean {
  const { defaultValue } = field;
  if (value === undefined || value === defaultValue) return true;
  if (value === null || defaultValue === null) return false;
  if (field.isArray || field.type === "bytes") return (value as ArrayLike<unknown>).length === 0;
  if (field.type !== "struct") return false;
  return field.fields.every((inner) => isDefault(inner, (value as Struct)[inner.name]));
}

function fieldCodec(field: Field, target: Target): Codec {
  const { version, flexible } = target;
  const nullable = version >= field.nullableSince;
  const bound = target.bounded ? field.bound : undefined;
  if (!field.isArray) {
    if (field.type !== "struct") {
      const codec = scalarCodec(field.type, nullable, flexible);
      return bound === undefined ? codec : boundedCodec(codec, bound);
    }
    const codec = structCodec(field.fields, target);
    return nullable ? nullableStructCodec(codec) : codec;
  }
  const element = field.type === "struct"
    ? structCodec(field.fields, target)
    : scalarCodec(field.type, false, flexible);
  return arrayCodec(element, nullable, flexible, bound);
}

/** Of numbers and texts. */
function boundedCodec(codec: Codec, bound: Bound): Codec {
  return {
    ...codec,
    read(reader): unknown {
      const value = codec.read(reader);
      const size = typeof value === "string" ? value.length : value;
      if (size !== null) checkBound(reader, bound, size as number | bigint, typeof value === "string");
      return value;
    },
  };
}

function checkBound(reader: Reader, bound: Bound, size: number | bigint, isLength: boolean): void {
  const { least = 0, why } = bound;
  const most = typeof bound.most === "string" ? reader.limits[bound.most] : bound.most;
  if (size >= least && size <= most) return;
  const what = isLength ? `a length of ${size}` : `"${size}"`;
  throw new ProtocolError(`Reading ${what}: wanted ${least} to ${most}, ${why}.`);
}

/** Elements of an array for which room is made before one of them is read: a wrong count costs no more than this. */
const MOST_ROOM_AT_ONCE = 1_024;

function arrayCodec(element: Codec, nullable: boolean, flexible: boolean, bound: Bound | undefined): Codec {
  const minElementSize = Math.max(element.minSize, 1);
  return {
    minSize: flexible ? 1 : 4,
    write(writer, value): void {
      if (value === null && nullable) {
        writer.length(-1, flexible);
        return;
      }
      if (!Array.isArray(value)) throw unfit(value, "an array");
      writer.length(value.length, flexible);
      for (let i = 0; i < value.length; i++) element.write(writer, value[i]);
    },
    read(reader): unknown {
      const count = reader.arrayLength(minElementSize, flexible);
      if (count === -1) {
        if (nullable) return null;
        throw new ProtocolError("Reading null: wanted an array.");
      }
      // Before the first element is read: what is beyond the bound costs nothing.
      if (bound !== undefined && count > 0) checkBound(reader, bound, count, true);
      // There are bytes for that many, as the reader has checked; room for more than a few is made as they are read.
      const elements = new Array<unknown>(Math.min(count, MOST_ROOM_AT_ONCE));
      for (let i = 0; i < count; i++) elements[i] = element.read(reader);
      return elements;
    },
  };
}

function nullableStructCodec(struct: Codec): Codec {
  return {
    minSize: 1,
    write(writer, value): void {
      writer.int8(value === null ? -1 : 1);
      if (value !== null) struct.write(writer, value);
    },
    read(reader): unknown {
      const marker = reader.int8();
      return marker < 0 ? null : struct.read(reader);
    },
  };
}

function scalarCodec(type: WireType, nullable: boolean, flexible: boolean): Codec {
  if (type === "string") return (nullable ? NULLABLE_STRINGS : STRINGS)[Number(flexible)]!;
  if (type === "bytes" || type === "records") return (nullable ? NULLABLE_BYTES : BYTES)[Number(flexible)]!;
  return SCALARS[type];
}

function scalar<T>(
  minSize: number,
  write: (writer: Writer, value: T) => void,
  read: (reader: Reader) => T,
): Codec {
  return { minSize, write: write as Codec["write"], read };
}

const SCALARS = {
  bool: scalar<boolean>(1, (w, v) => w.bool(v), (r) => r.bool()),
  int8: scalar<number>(1, (w, v) => w.int8(v), (r) => r.int8()),
  int16: scalar<number>(2, (w, v) => w.int16(v), (r) => r.int16()),
  int32: scalar<number>(4, (w, v) => w.int32(v), (r) => r.int32()),
  int64: scalar<bigint>(8, (w, v) => w.int64(v), (r) => r.int64()),
  uuid: scalar<string>(16, (w, v) => w.uuid(v), (r) => r.uuid()),
};

/** With the long form of a length, and with the compact one. */
const FORMS = [false, true] as const;
const STRINGS = FORMS.map((compact) => {
  return scalar<string>(compact ? 1 : 2, (w, v) => w.string(v, compact), (r) => r.string(compact));
});
const NULLABLE_STRINGS = FORMS.map((compact) => {
  return scalar<string | null>(
    compact ? 1 : 2,
    (w, v) => w.nullableString(v, compact),
    (r) => r.nullableString(compact),
  );
});
const BYTES = FORMS.map((compact) => {
  return scalar<Uint8Array>(compact ? 1 : 4, (w, v) => w.bytes(v, compact), (r) => r.byteField(compact));
});
const NULLABLE_BYTES = FORMS.map((compact) => {
  return scalar<Uint8Array | null>(
    compact ? 1 : 4,
    (w, v) => w.nullableBytes(v, compact),
    (r) => r.nullableBytes(compact),
  );
});

function joined(name: string, inner: string): string {
  return name === "" || inner === "" ? name + inner : `${name}.${inner}`;
}
