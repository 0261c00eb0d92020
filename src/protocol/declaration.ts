/**
 * What a declaration of an API can say: the types of the wire, the fields of a struct, the versions that have them.
 *
 * @module
 */

import type { BoundName } from "./bounds.ts";

/** What each type of the wire that a message here has is in TypeScript. A uuid is 32 lower-case hexadecimal digits. */
export interface WireTypes {
  /** One byte; any value but 0 is true. */
  bool: boolean;
  /** Signed, 8 bits. */
  int8: number;
  /** Signed, 16 bits. */
  int16: number;
  /** Signed, 32 bits. */
  int32: number;
  /** Signed, 64 bits. */
  int64: bigint;
  /** UTF-8. */
  string: string;
  /** 16 bytes. */
  uuid: string;
  /** Bytes; decoded as a view of the frame. */
  bytes: Uint8Array;
  /** Record batches, or null; decoded as a view of the frame, written by reference. */
  records: Uint8Array | null;
}

/** The name of a type of the wire. */
export type WireType = keyof WireTypes;

/** A type as written in a declaration: `int32`, `string?` (nullable in every version), `int32[]`. */
export type TypeName = WireType | `${WireType}?` | `${WireType}[]`;

/** What a field's declaration can say besides its type. */
export interface FieldModifiers {
  /** First version that has the field. */
  readonly since?: number;
  /** Last version that has the field. */
  readonly until?: number;
  /** First version in which the field may be null. */
  readonly nullable?: number;
  /** The field's number in its struct's tag section, from version `since` on. */
  readonly tag?: number;
  /** The value where a version has no such field, and where the writer is given none. */
  readonly default?: unknown;
  /** A value that a version can't carry is left out; without this it is a {@link ProtocolError}. */
  readonly ignorable?: true;
  /** What a broker can answer; any value of the type without it. */
  readonly bound?: BoundName;
}

/** One field of a struct. */
export type FieldSpec =
  | TypeName
  | (FieldModifiers & { readonly type: TypeName })
  | (FieldModifiers & { readonly array: Fields })
  | (FieldModifiers & { readonly struct: Fields });

/** The fields of a struct by name, in the order of the wire. */
export type Fields = { readonly [name: string]: FieldSpec };

/** One API: every version, both directions. */
export interface ApiDeclaration {
  /** The number that stands in a request header. */
  readonly key: number;
  /** Kafka's name for it. */
  readonly name: string;
  /** First and last version that can be read and written. */
  readonly versions: readonly [number, number];
  /** First and last version that the client chooses by itself. @default versions */
  readonly clientVersions?: readonly [number, number];
  /** First version with compact lengths and tag sections; null for an API that never has them. */
  readonly flexible: number | null;
  /** Body of the request. */
  readonly request: Fields;
  /** Body of the response. */
  readonly response: Fields;
}
