/**
 * What a cluster with a metrics plugin asks of its clients, and what they push (KIP-714).
 *
 * @module
 */

import { isList, readOptions, refuse } from "../../call_options.ts";
import type { RequestOf, ResponseInputOf } from "../../protocol/api.ts";
import { ZERO_UUID } from "../../protocol/compile.ts";
import {
  INVALID_RECORD,
  INVALID_REQUEST,
  TELEMETRY_TOO_LARGE,
  THROTTLING_QUOTA_EXCEEDED,
  UNKNOWN_SUBSCRIPTION_ID,
  UNSUPPORTED_COMPRESSION_TYPE,
} from "../../protocol/error_code_names.ts";
import type { GetTelemetrySubscriptions, PushTelemetry } from "../../protocol/messages/mod.ts";
import { checkNumber } from "../check_number.ts";
import type { Decompress } from "../storage/log.ts";

/** What clients are asked for. */
export interface ClientMetricsOptions {
  /** Beginnings of the names of metrics: `[""]` is all, `[]` none. @default [""] */
  readonly metrics?: readonly string[];
  /** How often. @default 300_000 */
  readonly pushIntervalMs?: number;
  /** Sums count from one push to the next, not from the start. @default true */
  readonly deltaTemporality?: boolean;
  /** `telemetry.max.bytes`. @default 1_048_576 */
  readonly maxBytes?: number;
  /** Numbers of the codecs that are accepted, the favourite first. @default [4, 3, 1, 2] */
  readonly compressionTypes?: readonly number[];
}

/** Metrics that a client has pushed. */
export interface TelemetryPush {
  /** What the cluster calls the client: 32 hex digits. */
  readonly clientInstanceId: string;
  /** The client's own name for itself. */
  readonly clientId: string | null;
  /** Node id of the broker that took them. */
  readonly nodeId: number;
  /** The client is about to end. */
  readonly terminating: boolean;
  /** The number of the codec; 0 is none. */
  readonly compressionType: number;
  /** `MetricsData` of OpenTelemetry, decompressed. */
  readonly metrics: Uint8Array;
}

/** Who asks. */
export interface TelemetryClient {
  readonly nodeId: number;
  readonly clientId: string | null;
  readonly nowMs: number;
}

interface Instance {
  askedAtMs: number;
  pushedAtMs: number;
  /** Its last push was refused for that: it may ask at once. */
  isOutdated: boolean;
  isEnding: boolean;
}

const OPTIONS = ["metrics", "pushIntervalMs", "deltaTemporality", "maxBytes", "compressionTypes"] as const;
const DEFAULTS: Required<ClientMetricsOptions> = {
  metrics: [""],
  pushIntervalMs: 300_000,
  deltaTemporality: true,
  maxBytes: 1_048_576,
  compressionTypes: [4, 3, 1, 2],
};
const LAST_CODEC = 4;

/** The subscription of a cluster, if it has one. */
export function clientMetrics(
  options: ClientMetricsOptions | undefined,
  newId: () => string,
  decompress: Decompress,
): ClientMetrics | undefined {
  return options === undefined ? undefined : new ClientMetrics(options, newId, decompress);
}

/** The subscription of all clients, and what came of it. */
export class ClientMetrics {
  /** What was taken, in order. */
  readonly pushes: TelemetryPush[] = [];
  readonly #newId: () => string;
  readonly #decompress: Decompress;
  readonly #instances = new Map<string, Instance>();
  #options: Required<ClientMetricsOptions> = DEFAULTS;
  #subscriptionId = 0;

  /** @internal */
  constructor(options: ClientMetricsOptions, newId: () => string, decompress: Decompress) {
    this.#newId = newId;
    this.#decompress = decompress;
    this.subscribe(options);
  }

  /** Asks for something else; what isn't named is as it was at first. Clients learn of it at their next push. */
  subscribe(options?: ClientMetricsOptions): void {
    const read: { readonly [N in (typeof OPTIONS)[number]]?: unknown } = readOptions("clientMetrics", options, OPTIONS);
    checkNumber("pushIntervalMs", read.pushIntervalMs, 1);
    checkNumber("maxBytes", read.maxBytes, 0);
    for (const name of ["metrics", "compressionTypes"] as const) {
      if (read[name] !== undefined && !isList(read[name])) refuse(name, "a list", read[name]);
    }
    if (read.deltaTemporality !== undefined && typeof read.deltaTemporality !== "boolean") {
      refuse("deltaTemporality", "true or false", read.deltaTemporality);
    }
    const given = Object.fromEntries(Object.entries(read).filter(([, value]) => value !== undefined));
    this.#options = { ...DEFAULTS, ...given };
    this.#subscriptionId += 1;
  }

  /** @internal */
  subscriptionFor(
    request: RequestOf<typeof GetTelemetrySubscriptions>,
    { nowMs }: TelemetryClient,
  ): ResponseInputOf<typeof GetTelemetrySubscriptions> {
    const { metrics, pushIntervalMs, deltaTemporality, maxBytes, compressionTypes } = this.#options;
    const isNew = request.clientInstanceId === ZERO_UUID;
    const id = isNew ? this.#newId() : request.clientInstanceId;
    const instance = this.#instanceOf(id);
    const isEarly = nowMs - Math.max(instance.askedAtMs, instance.pushedAtMs) < pushIntervalMs;
    const errorCode = instance.isEnding
      ? INVALID_REQUEST
      : isEarly && !instance.isOutdated
      ? THROTTLING_QUOTA_EXCEEDED
      : 0;
    if (errorCode === 0) Object.assign(instance, { askedAtMs: nowMs, isOutdated: false });
    return {
      throttleTimeMs: 0,
      errorCode,
      clientInstanceId: id,
      subscriptionId: this.#subscriptionId,
      acceptedCompressionTypes: compressionTypes,
      pushIntervalMs,
      telemetryMaxBytes: maxBytes,
      deltaTemporality,
      requestedMetrics: metrics,
    };
  }

  /** @internal */
  async push(
    request: RequestOf<typeof PushTelemetry>,
    client: TelemetryClient,
  ): Promise<ResponseInputOf<typeof PushTelemetry>> {
    return { throttleTimeMs: 0, errorCode: await this.#take(request, client) };
  }

  async #take(request: RequestOf<typeof PushTelemetry>, client: TelemetryClient): Promise<number> {
    const { clientInstanceId, compressionType, terminating } = request;
    const { pushIntervalMs, maxBytes } = this.#options;
    if (clientInstanceId === ZERO_UUID) return INVALID_REQUEST;
    const instance = this.#instanceOf(clientInstanceId);
    if (instance.isEnding) return INVALID_REQUEST;
    const isEarly = client.nowMs - instance.pushedAtMs < pushIntervalMs && instance.askedAtMs <= instance.pushedAtMs;
    if (isEarly && !terminating) return THROTTLING_QUOTA_EXCEEDED;
    const isKnown = request.subscriptionId === this.#subscriptionId;
    const isReadable = compressionType >= 0 && compressionType <= LAST_CODEC;
    instance.isOutdated = !isKnown || !isReadable;
    if (!isKnown) return UNKNOWN_SUBSCRIPTION_ID;
    if (!isReadable) return UNSUPPORTED_COMPRESSION_TYPE;
    if (request.metrics.length > maxBytes) return TELEMETRY_TOO_LARGE;
    instance.pushedAtMs = client.nowMs;
    instance.isEnding = terminating;
    try {
      const metrics = compressionType === 0
        ? request.metrics.slice()
        : (await this.#decompress(compressionType as 1, request.metrics)).slice();
      const { nodeId, clientId } = client;
      this.pushes.push({ clientInstanceId, clientId, nodeId, terminating, compressionType, metrics });
      return 0;
    } catch {
      return INVALID_RECORD;
    }
  }

  /** A broker that hasn't met a client takes its id from it. */
  #instanceOf(id: string): Instance {
    let instance = this.#instances.get(id);
    if (instance === undefined) {
      instance = { askedAtMs: -Infinity, pushedAtMs: -Infinity, isOutdated: false, isEnding: false };
      this.#instances.set(id, instance);
    }
    return instance;
  }
}
