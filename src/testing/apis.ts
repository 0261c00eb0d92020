/**
 * What of the protocol a test names: the APIs, to control and to look at requests.
 *
 * @module
 */

import * as messages from "../protocol/messages/mod.ts";

/** Any API, as far as a test needs to know. */
export interface AnyApi {
  /** The number that stands in a request header. */
  readonly key: number;
  /** Kafka's name for it. */
  readonly name: string;
  /** First version that can be read and written. */
  readonly minVersion: number;
  /** Last version that can be read and written. */
  readonly maxVersion: number;
  /** Reads a request body. */
  decodeRequest(reader: never, version: number): unknown;
  /** Writes a response body. */
  encodeResponse(writer: never, version: number, body: never): void;
}

/** The decoded request of an API; every field is there, those that the version lacks with their default. */
export type RequestOf<A extends AnyApi> = ReturnType<A["decodeRequest"]>;

/** A response of an API as it may be given to be sent; fields with a default may be left out. */
export type ResponseInputOf<A extends AnyApi> = Parameters<A["encodeResponse"]>[2];

/**
 * The APIs by Kafka's names, with the names of their fields as in Kafka's schemas.
 *
 * @example
 * ```ts
 * import { apis } from "@sluice/kafka/testing";
 *
 * console.assert(apis.Produce.key === 0 && apis.Metadata.maxVersion >= 12);
 * ```
 */
export const apis: typeof import("../protocol/messages/mod.ts") = messages;
