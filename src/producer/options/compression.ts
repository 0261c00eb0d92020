/**
 * The options `compression` and `codecs`: which codec the batches of a topic get.
 *
 * @module
 */

import type { Address } from "../../cluster/address.ts";
import { isObject, refuse } from "../../call_options.ts";
import { type Codec, COMPRESSION_IDS, type CompressionType, type Compressor } from "../../codec/codec.ts";
import { type CodecSource, type CompressorByName, compressorOf } from "../../codec/guarded_compressor.ts";
import { ConfigError } from "../../errors.ts";
import { show } from "../../show.ts";
import { refuseUnknownIn } from "../../cluster/security.ts";

const EVENT_HUBS_HOST = /\.servicebus\.(windows\.net|chinacloudapi\.cn|usgovcloudapi\.net|cloudapi\.de)$/i;

/** A codec with its level. */
export interface CompressionSpec {
  /** The codec. */
  readonly codec: CompressionType;
  /** gzip: 1 to 9, zstd: −7 to 22; the others have none. */
  readonly level?: number | undefined;
}

/** A codec for some topics, and one for the rest. */
export interface TopicCompression {
  /** By topic name. */
  readonly topics: Readonly<Record<string, CompressionType | CompressionSpec | Codec>>;
  /** For every other topic. @default "none" */
  readonly default?: CompressionType | CompressionSpec | Codec | undefined;
}

/** The codec of each topic, and all codecs that there are. */
export function resolveCompression(
  options: { readonly compression?: unknown; readonly codecs?: unknown },
  byName: CompressorByName,
): [(topic: string) => Compressor | undefined, Compressor[]] {
  const { codecs = "auto", compression = "none" } = options;
  const custom = isObject(codecs) ? codecs as Record<string, Codec> : undefined;
  if (custom !== undefined) refuseUnknownIn("codecs", custom, Object.keys(COMPRESSION_IDS));
  const source = custom === undefined ? codecs as CodecSource : "auto";
  const resolve = (spec: unknown): Compressor | undefined => {
    if (isCodec(spec)) return withoutNone(compressorOf(spec));
    const { codec, level } = checkCompression(spec);
    return withoutNone(byName(codec, { codecs: source, level, custom }));
  };
  if (!isObject(compression) || !("topics" in compression)) {
    const codec = resolve(compression);
    return [() => codec, codec === undefined ? [] : [codec]];
  }
  refuseUnknownIn("compression", compression, ["topics", "default"]);
  const { topics, default: rest = "none" } = compression as TopicCompression;
  if (!isObject(topics)) {
    throw new ConfigError("compression", `Set the topics of "compression" to an object: ${show(topics)} is not.`);
  }
  const fallback = resolve(rest);
  const byTopic = new Map(Object.entries(topics).map(([topic, spec]) => [topic, resolve(spec)]));
  const all = [fallback, ...byTopic.values()].filter((codec) => codec !== undefined);
  return [(topic) => byTopic.has(topic) ? byTopic.get(topic) : fallback, all];
}

/**
 * Event Hubs takes gzip or nothing; another codec comes back as an error for each batch.
 *
 * @throws {ConfigError} for another codec with brokers of that name
 */
export function checkHosted(brokers: readonly Address[], codecs: readonly Pick<Compressor, "name">[]): void {
  if (!brokers.some(({ host }) => EVENT_HUBS_HOST.test(host))) return;
  const other = codecs.find(({ name }) => name !== "gzip" && name !== "none");
  if (other === undefined) return;
  throw new ConfigError(
    "compression",
    `Set "compression" to "gzip" or "none": Event Hubs doesn't take "${other.name}".`,
  );
}

/** No compression is no codec. */
function withoutNone(codec: Compressor): Compressor | undefined {
  return codec.id === 0 ? undefined : codec;
}

/** A codec itself, in place of its name. */
function isCodec(spec: unknown): spec is Codec {
  return isObject(spec) && "compress" in spec;
}

function checkCompression(spec: unknown): { codec: CompressionType; level?: number | undefined } {
  if (typeof spec === "string") return { codec: spec as CompressionType };
  if (isObject(spec) && typeof (spec as CompressionSpec).codec === "string") {
    refuseUnknownIn("compression", spec, ["codec", "level"]);
    return spec as CompressionSpec;
  }
  refuse("compression", "a codec or the name of one", spec);
}
