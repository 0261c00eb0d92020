/**
 * Which version of an API to speak, as pure functions.
 *
 * @module
 */

import { UnsupportedVersionError } from "../errors.ts";
import { ApiVersions } from "./messages/api_versions.ts";
import type { AnyApi, ResponseOf } from "./schema.ts";
import { INVALID_REQUEST, UNSUPPORTED_VERSION } from "./error_code_names.ts";

/**
 * The highest version that the client, the broker and `cap` allow; undefined when there is none.
 *
 * A broker's minimum can be lower than what it takes (Kafka 4 advertises Produce from 0 and refuses 0 to 2,
 * KAFKA-18659), so it can only raise the client's own.
 */
export function sharedVersion(
  api: AnyApi,
  broker: { readonly min: number; readonly max: number } | undefined,
  cap: number = Infinity,
): number | undefined {
  if (broker === undefined) return undefined;
  const [clientMin, clientMax] = api.clientVersions;
  const version = Math.min(clientMax, broker.max, cap);
  return version >= Math.max(clientMin, broker.min) ? version : undefined;
}

/** That there is no {@link sharedVersion}, with the ranges of both ends. */
export function versionError(
  api: AnyApi,
  range: { readonly min: number; readonly max: number } | undefined,
  cap: number = Infinity,
  { broker, retriable = false }: { readonly broker?: string; readonly retriable?: boolean } = {},
): UnsupportedVersionError {
  const [clientMin, clientMax] = api.clientVersions;
  return new UnsupportedVersionError(
    range === undefined
      ? `Use another broker: ${broker} doesn't offer ${api.name} at all.`
      : `Use another release of the broker or of this client: the broker speaks ${api.name} ${range.min} to ` +
        `${range.max}, wanted one of ${clientMin} to ${Math.min(clientMax, cap)}.`,
    { broker, retriable },
  );
}

/**
 * The {@link sharedVersion}.
 *
 * @throws UnsupportedVersionError naming the API and both ranges, when there is none
 */
export function chooseVersion(api: AnyApi, min: number, max: number, cap?: number): number {
  const version = sharedVersion(api, { min, max }, cap);
  if (version === undefined) throw versionError(api, { min, max }, cap);
  return version;
}

/**
 * The version in which ApiVersions is to be asked again on the same connection after an error, or undefined when
 * the connection is to be closed.
 *
 * Always lower than `sent`, so the exchange ends. A broker that refuses the version tells its own range (KIP-511);
 * one that dislikes the software name (42) is asked in version 0, which has none.
 */
export function nextApiVersionsVersion(
  sent: number,
  body: Pick<ResponseOf<typeof ApiVersions>, "errorCode" | "apiKeys">,
): number | undefined {
  if (sent <= 0) return undefined;
  if (body.errorCode === INVALID_REQUEST) return 0;
  if (body.errorCode !== UNSUPPORTED_VERSION) return undefined;
  const hint = body.apiKeys.find(({ apiKey }) => apiKey === ApiVersions.key);
  const next = hint === undefined ? 0 : Math.min(ApiVersions.maxVersion, hint.maxVersion);
  return next >= 0 && next < sent ? next : undefined;
}

/**
 * The version caps of a transaction without KIP-890's second version: a higher one means to the broker that the
 * producer follows the new rules, and one wrong request can wedge the transactional id.
 */
export const TRANSACTION_V1_CAPS: { readonly Produce: 11; readonly TxnOffsetCommit: 4; readonly EndTxn: 4 } = {
  Produce: 11,
  TxnOffsetCommit: 4,
  EndTxn: 4,
};

/** The last Produce version that names topics; later ones need the topic id of every topic in the request. */
export const PRODUCE_WITH_TOPIC_NAMES = 12;

/** The first Produce version that takes zstd (KIP-110). */
export const PRODUCE_WITH_ZSTD = 7;
