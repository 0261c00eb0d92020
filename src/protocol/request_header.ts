/**
 * Which API a request is of: what a broker reads first. It knows every API there is, and a producer doesn't need it.
 *
 * @module
 */

import * as messages from "./messages/mod.ts";
import { Reader } from "./reader.ts";
import type { AnyApi } from "./schema.ts";

/** Every API by its number. */
export const API_BY_KEY: ReadonlyMap<number, AnyApi> = new Map(
  Object.values(messages).map((api): [number, AnyApi] => [api.key, api]),
);

/** What stands before the body of a request. */
export interface RequestHeader {
  /** Number of the API. */
  readonly apiKey: number;
  /** The API, undefined for one that is not spoken here. */
  readonly api: AnyApi | undefined;
  /** Version in which the body is written. */
  readonly apiVersion: number;
  /** Comes back in the response. */
  readonly correlationId: number;
  /** Who asks, for the broker's log and quotas. */
  readonly clientId: string | null;
  /** Stands at the first byte of the body. */
  readonly reader: Reader;
}

/** Reads the header of a request frame without its length; the body is left to `api.decodeRequest(reader, …)`. */
export function decodeRequestHeader(frame: Uint8Array): RequestHeader {
  const reader = new Reader(frame);
  const apiKey = reader.int16();
  const apiVersion = reader.int16();
  const correlationId = reader.int32();
  const clientId = reader.nullableString();
  const api = API_BY_KEY.get(apiKey);
  if (api !== undefined && api.requestHeaderVersion(apiVersion) >= 2) reader.skipTags();
  return { apiKey, api, apiVersion, correlationId, clientId, reader };
}
