/**
 * The language in which a message is declared: one plain object per API that covers every version in both
 * directions, and the TypeScript types that follow from it.
 *
 * A declaration is data, written `as const`, so its types need no second writing and a test can walk it beside
 * Kafka's own schemas:
 *
 * ```ts ignore
 * const declaration = {
 *   key: 22,
 *   name: "InitProducerId",
 *   versions: [0, 5],
 *   flexible: 2,
 *   request: {
 *     transactionalId: "string?",
 *     transactionTimeoutMs: "int32",
 *     producerId: { type: "int64", since: 3, default: -1n },
 *   },
 *   response: { throttleTimeMs: "int32", errorCode: "int16" },
 * } as const;
 * export const InitProducerId: Api<typeof declaration> = defineApi(declaration);
 * ```
 *
 * @module
 */

import { type Codec, compileStruct } from "./compile.ts";
import type { ApiDeclaration, WireType, WireTypes } from "./declaration.ts";
import { ProtocolError } from "../errors.ts";
import { Reader } from "./reader.ts";
import type { Writer } from "./writer.ts";
import { UNSUPPORTED_VERSION } from "./error_code_names.ts";

/** What a type by its name is decoded to. */
export type NameOut<T> = T extends `${infer S extends WireType}?` ? WireTypes[S] | null
  : T extends `${infer S extends WireType}[]` ? readonly WireTypes[S][]
  : T extends WireType ? WireTypes[T]
  : never;

/** What a type by its name may be encoded from. */
export type NameIn<T> = T extends "records" ? Uint8Array | readonly Uint8Array[] | null : NameOut<T>;

/** Adds null for a field that some version allows to be null. */
export type OrNull<F, T> = F extends { readonly nullable: number } ? T | null : T;

/** What a field is decoded to. */
export type FieldOut<F> = F extends string ? NameOut<F>
  : OrNull<
    F,
    F extends { readonly type: infer T } ? NameOut<T>
      : F extends { readonly array: infer S } ? readonly Decoded<S>[]
      : F extends { readonly struct: infer S } ? Decoded<S>
      : never
  >;

/** What a field may be encoded from. */
export type FieldIn<F> = F extends string ? NameIn<F>
  : OrNull<
    F,
    F extends { readonly type: infer T } ? NameIn<T>
      : F extends { readonly array: infer S } ? readonly Encodable<S>[]
      : F extends { readonly struct: infer S } ? Encodable<S>
      : never
  >;

/** A field that may be left out when encoding. */
export type Omittable = { readonly default: unknown } | { readonly since: number } | { readonly until: number };

/** A struct as it is decoded: every field is there, those that the version lacks with their default. */
export type Decoded<S> = { readonly [K in keyof S]: FieldOut<S[K]> };

/** A struct as it may be given to be encoded: what has a default, or is not in every version, may be left out. */
export type Encodable<S> =
  & { readonly [K in keyof S as S[K] extends Omittable ? never : K]: FieldIn<S[K]> }
  & { readonly [K in keyof S as S[K] extends Omittable ? K : never]?: FieldIn<S[K]> | undefined };

/** The decoded request of an API. */
export type RequestOf<A extends AnyApi> = Decoded<A["declaration"]["request"]>;
/** The decoded response of an API. */
export type ResponseOf<A extends AnyApi> = Decoded<A["declaration"]["response"]>;
/** A request of an API as it may be given to be encoded. */
export type RequestInputOf<A extends AnyApi> = Encodable<A["declaration"]["request"]>;
/** A response of an API as it may be given to be encoded. */
export type ResponseInputOf<A extends AnyApi> = Encodable<A["declaration"]["response"]>;

/**
 * Looks at an answer as a whole, where each number by itself could be right; see `answers`.
 *
 * @throws {ProtocolError} that begins with the field's path
 */
export type AnswerCheck<D extends ApiDeclaration> = (
  answer: Decoded<D["response"]>,
  request: Encodable<D["request"]>,
  version: number,
) => void;

/** An API of which only the head is known. */
export interface AnyApi {
  /** What {@link defineApi} was given. */
  readonly declaration: ApiDeclaration;
  /** The number that stands in a request header. */
  readonly key: number;
  /** Kafka's name for it. */
  readonly name: string;
  /** First version that can be read and written. */
  readonly minVersion: number;
  /** Last version that can be read and written. */
  readonly maxVersion: number;
  /** First and last version that the client chooses by itself. */
  readonly clientVersions: readonly [number, number];
  /** First version with compact lengths and tag sections, Infinity if there is none. */
  readonly firstFlexible: number;
  /** Version of the header before a request: 1, or 2 with a tag section. */
  requestHeaderVersion(version: number): 1 | 2;
  /** Version of the header before a response: 0, or 1 with a tag section. */
  responseHeaderVersion(version: number): 0 | 1;
  /** Looks at an answer as a whole; undefined if there is nothing to see. */
  readonly check: ((answer: never, request: never, version: number) => void) | undefined;
  /** Writes a request body. */
  encodeRequest(writer: Writer, version: number, body: never): void;
  /** Writes a response body. */
  encodeResponse(writer: Writer, version: number, body: never): void;
  /** Reads a request body up to the end of the input. */
  decodeRequest(reader: Reader, version: number): unknown;
  /** Reads a response body up to the end of the input. */
  decodeResponse(reader: Reader, version: number): unknown;
  /** As {@link AnyApi.decodeResponse}, and holds each field to its bound. */
  decodeAnswer(reader: Reader, version: number): unknown;
}

/** An API with the types of its bodies. Whatever can't be read or written is a {@link ProtocolError}. */
export interface Api<D extends ApiDeclaration> extends AnyApi {
  /** What {@link defineApi} was given. */
  readonly declaration: D;
  /** Writes a request body. */
  encodeRequest(writer: Writer, version: number, body: Encodable<D["request"]>): void;
  /** Writes a response body. */
  encodeResponse(writer: Writer, version: number, body: Encodable<D["response"]>): void;
  /** Reads a request body up to the end of the input. */
  decodeRequest(reader: Reader, version: number): Decoded<D["request"]>;
  /** Reads a response body up to the end of the input; an ApiVersions error 35 in version 0, whatever was asked. */
  decodeResponse(reader: Reader, version: number): Decoded<D["response"]>;
  /** As {@link Api.decodeResponse}, and holds each field to its bound. */
  decodeAnswer(reader: Reader, version: number): Decoded<D["response"]>;
}

/**
 * Turns a declaration into readers and writers; each version is compiled when it is first used.
 *
 * @param check looks at an answer as a whole
 */
export function defineApi<const D extends ApiDeclaration>(declaration: D, check?: AnswerCheck<D>): Api<D> {
  return new CompiledApi(declaration, check as AnyApi["check"]) as AnyApi as Api<D>;
}

const API_VERSIONS_KEY = 18;

type Direction = "request" | "response";

/** How a body is coded: an answer is a response whose fields are held to their bounds. */
type Form = Direction | "answer";

class CompiledApi implements AnyApi {
  readonly declaration: ApiDeclaration;
  readonly key: number;
  readonly name: string;
  readonly minVersion: number;
  readonly maxVersion: number;
  readonly clientVersions: readonly [number, number];
  readonly firstFlexible: number;
  readonly check: AnyApi["check"];
  readonly #codecs: Readonly<Record<Form, Codec[]>> = { request: [], response: [], answer: [] };

  constructor(declaration: ApiDeclaration, check: AnyApi["check"]) {
    this.declaration = declaration;
    this.check = check;
    this.key = declaration.key;
    this.name = declaration.name;
    [this.minVersion, this.maxVersion] = declaration.versions;
    this.clientVersions = declaration.clientVersions ?? declaration.versions;
    this.firstFlexible = declaration.flexible ?? Infinity;
  }

  requestHeaderVersion(version: number): 1 | 2 {
    return version >= this.firstFlexible ? 2 : 1;
  }

  responseHeaderVersion(version: number): 0 | 1 {
    // A client must be able to read the answer before it knows what the broker speaks (KIP-511).
    return version >= this.firstFlexible && this.key !== API_VERSIONS_KEY ? 1 : 0;
  }

  encodeRequest(writer: Writer, version: number, body: unknown): void {
    this.#encode(writer, "request", version, body);
  }

  encodeResponse(writer: Writer, version: number, body: unknown): void {
    this.#encode(writer, "response", version, body);
  }

  decodeRequest(reader: Reader, version: number): unknown {
    return this.#decode(reader, "request", version);
  }

  decodeResponse(reader: Reader, version: number): unknown {
    return this.#decodeResponse(reader, "response", version);
  }

  decodeAnswer(reader: Reader, version: number): unknown {
    return this.#decodeResponse(reader, "answer", version);
  }

  #decodeResponse(reader: Reader, form: Form, version: number): unknown {
    if (this.key === API_VERSIONS_KEY && version > 0 && reader.remaining >= 2) {
      // A broker that doesn't know the version answers in the oldest one (KIP-511).
      const errorCode = new Reader(reader.bytes, reader.offset, reader.end).int16();
      if (errorCode === UNSUPPORTED_VERSION) return this.#decode(reader, form, 0);
    }
    return this.#decode(reader, form, version);
  }

  #encode(writer: Writer, direction: Direction, version: number, body: unknown): void {
    const codec = this.#codec(direction, version);
    writer.path = "";
    try {
      codec.write(writer, body);
    } catch (error) {
      throw this.#described(error, `Encoding ${this.name} v${version} ${direction}`, writer.path);
    }
  }

  #decode(reader: Reader, form: Form, version: number): unknown {
    const codec = this.#codec(form, version);
    reader.path = "";
    try {
      const body = codec.read(reader);
      reader.expectEnd();
      return body;
    } catch (error) {
      const direction = form === "request" ? form : "response";
      throw this.#described(error, `Decoding ${this.name} v${version} ${direction}`, reader.path);
    }
  }

  #codec(form: Form, version: number): Codec {
    const compiled = this.#codecs[form];
    const known = compiled[version];
    if (known !== undefined) return known;
    if (!Number.isInteger(version) || version < this.minVersion || version > this.maxVersion) {
      throw new ProtocolError(
        `Using ${this.name} v"${version}": wanted a version from ${this.minVersion} to ${this.maxVersion}.`,
      );
    }
    const direction = form === "request" ? form : "response";
    const flexible = version >= this.firstFlexible;
    const codec = compileStruct(this.declaration[direction], version, flexible, form === "answer");
    compiled[version] = codec;
    return codec;
  }

  #described(error: unknown, action: string, path: string): unknown {
    if (!(error instanceof ProtocolError)) return error;
    const where = path === "" ? "" : `, field ${path}`;
    return new ProtocolError(`${action}${where}: ${error.message}`, { cause: error });
  }
}
