/**
 * One entry of a configuration, as brokers tell it.
 *
 * @module
 */

/** Where the value of an entry comes from, under Kafka's names. */
export type ConfigSource =
  | "UNKNOWN"
  | "DYNAMIC_TOPIC_CONFIG"
  | "DYNAMIC_BROKER_CONFIG"
  | "DYNAMIC_DEFAULT_BROKER_CONFIG"
  | "STATIC_BROKER_CONFIG"
  | "DEFAULT_CONFIG"
  | "DYNAMIC_BROKER_LOGGER_CONFIG"
  | "DYNAMIC_CLIENT_METRICS_CONFIG"
  | "DYNAMIC_GROUP_CONFIG";

/** What the value of an entry is, under Kafka's names; it comes as text whatever it is. */
export type ConfigType =
  | "UNKNOWN"
  | "BOOLEAN"
  | "STRING"
  | "INT"
  | "SHORT"
  | "LONG"
  | "DOUBLE"
  | "LIST"
  | "CLASS"
  | "PASSWORD";

/** An entry that stands behind another: what would hold if that were deleted. */
export interface ConfigSynonym {
  /** Its name, which may be the broker's, such as `log.retention.ms`. */
  readonly name: string;
  /** Its value; null where it has none, or it is secret. */
  readonly value: string | null;
  /** Where it comes from. */
  readonly source: ConfigSource;
}

/** One entry of a configuration. */
export interface ConfigEntry {
  /** Its name, such as `retention.ms`. */
  readonly name: string;
  /** Its value; null where it has none, or it is secret. */
  readonly value: string | null;
  /** Where the value comes from. */
  readonly source: ConfigSource;
  /** Nobody has set it: it is Kafka's own default. */
  readonly isDefault: boolean;
  /** It can't be changed while the broker runs. */
  readonly isReadOnly: boolean;
  /** The broker never tells its value. */
  readonly isSensitive: boolean;
  /** What the value is; `"UNKNOWN"` from brokers before Kafka 2.6. */
  readonly type: ConfigType;
  /** What it means, in Kafka's words; null unless `includeDocumentation` asks for it. */
  readonly documentation: string | null;
  /** The entries behind it, nearest first, itself included; empty unless `includeSynonyms` asks for them. */
  readonly synonyms: readonly ConfigSynonym[];
}

const SOURCES: readonly ConfigSource[] = [
  "UNKNOWN",
  "DYNAMIC_TOPIC_CONFIG",
  "DYNAMIC_BROKER_CONFIG",
  "DYNAMIC_DEFAULT_BROKER_CONFIG",
  "STATIC_BROKER_CONFIG",
  "DEFAULT_CONFIG",
  "DYNAMIC_BROKER_LOGGER_CONFIG",
  "DYNAMIC_CLIENT_METRICS_CONFIG",
  "DYNAMIC_GROUP_CONFIG",
];

const TYPES: readonly ConfigType[] = [
  "UNKNOWN",
  "BOOLEAN",
  "STRING",
  "INT",
  "SHORT",
  "LONG",
  "DOUBLE",
  "LIST",
  "CLASS",
  "PASSWORD",
];

/** What is on the wire. */
interface WireEntry {
  readonly name: string;
  readonly value: string | null;
  readonly readOnly: boolean;
  readonly configSource: number;
  readonly isSensitive: boolean;
  readonly configType?: number;
  readonly documentation?: string | null;
  readonly synonyms?: readonly { readonly name: string; readonly value: string | null; readonly source: number }[];
}

/** An entry of an answer; a number that a later Kafka has added is `"UNKNOWN"`. */
export function configEntry(entry: WireEntry): ConfigEntry {
  const { configSource, configType = 0, documentation = null, isSensitive, name, readOnly, synonyms = [] } = entry;
  const source = sourceOf(configSource);
  return {
    name,
    value: isSensitive ? null : entry.value,
    source,
    isDefault: source === "DEFAULT_CONFIG",
    isReadOnly: readOnly,
    isSensitive,
    type: TYPES[configType] ?? "UNKNOWN",
    documentation: documentation || null,
    synonyms: synonyms.map((each) => (
      { name: each.name, value: isSensitive ? null : each.value, source: sourceOf(each.source) }
    )),
  };
}

function sourceOf(number: number): ConfigSource {
  return SOURCES[number] ?? "UNKNOWN";
}
