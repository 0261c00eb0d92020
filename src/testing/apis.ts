/**
 * What of the protocol a test names: the APIs, to control and to look at requests.
 *
 * @module
 */

import * as messages from "../protocol/messages/mod.ts";

/** Any API. */
export type AnyApi = import("../protocol/api.ts").AnyApi;

/** The decoded request of an API; every field is there, those that the version lacks with their default. */
export type RequestOf<A extends AnyApi> = import("../protocol/api.ts").RequestOf<A>;

/** A response of an API as it may be given to be sent; fields with a default may be left out. */
export type ResponseInputOf<A extends AnyApi> = import("../protocol/api.ts").ResponseInputOf<A>;

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
