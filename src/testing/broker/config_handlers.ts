/**
 * DescribeConfigs and IncrementalAlterConfigs: the configs of topics.
 *
 * @module
 */

import type { RequestOf, ResponseInputOf } from "../../protocol/api.ts";
import type { DescribeConfigs, IncrementalAlterConfigs } from "../../protocol/messages/mod.ts";
import {
  INVALID_CONFIG,
  INVALID_REQUEST,
  INVALID_TOPIC_EXCEPTION,
  UNKNOWN_TOPIC_OR_PARTITION,
} from "../../protocol/error_code_names.ts";
import { KafkaError } from "../../errors.ts";
import { isTopicName, type Topic } from "../control/topic.ts";
import { topicRules } from "../storage/topic_config.ts";
import { checkTopicConfig, CONFIG_TYPES, listOf, topicConfigs } from "../storage/topic_config_table.ts";
import type { Call } from "./call.ts";
import type { BrokerHost } from "./host.ts";

type Change = RequestOf<typeof IncrementalAlterConfigs>["resources"][number];
type Configs = Readonly<Record<string, string>>;
type Described = ResponseInputOf<typeof DescribeConfigs>["results"][number];

/** Why something isn't done. */
interface Refusal {
  readonly errorCode: number;
  readonly errorMessage: string | null;
}

const TOPIC = 2;
const SET = 0;
const DELETE = 1;
const APPEND = 2;
const SUBTRACT = 3;
const DYNAMIC_TOPIC_CONFIG = 1;
const DEFAULT_CONFIG = 5;
const NOT_SERVED: Refusal = {
  errorCode: INVALID_REQUEST,
  errorMessage: "The embedded broker has configs of topics only.",
};
const UNKNOWN_TOPIC: Refusal = { errorCode: UNKNOWN_TOPIC_OR_PARTITION, errorMessage: null };

/** Serves DescribeConfigs. */
export function serveDescribeConfigs(call: Call<typeof DescribeConfigs>): ResponseInputOf<typeof DescribeConfigs> {
  const { cluster, request, view } = call;
  return {
    throttleTimeMs: 0,
    results: request.resources.map(({ configurationKeys, resourceName, resourceType }): Described => {
      const topic = view.topic(resourceName);
      const body = { resourceType, resourceName, configs: [] };
      if (resourceType !== TOPIC) return { ...body, ...NOT_SERVED };
      if (!isTopicName(resourceName)) {
        return {
          ...body,
          errorCode: INVALID_TOPIC_EXCEPTION,
          errorMessage: `Topic name '${resourceName}' is invalid.`,
        };
      }
      if (topic === undefined) return { ...body, ...UNKNOWN_TOPIC };
      const entries = describeTopicConfigs(cluster, configOf(topic), request.includeSynonyms);
      const isAsked = ({ name }: { readonly name: string }): boolean => configurationKeys?.includes(name) ?? true;
      return { ...body, errorCode: 0, errorMessage: null, configs: entries.filter(isAsked) };
    }),
  };
}

/** Every config of a topic as it is told: those that are set, and the others at their defaults. */
export function describeTopicConfigs(
  { release }: BrokerHost,
  set: Configs,
  includeSynonyms: boolean,
): Described["configs"][number][] {
  return [...topicConfigs(release).values()].map(({ fallback, name, type }) => {
    const isSet = Object.hasOwn(set, name);
    const value = isSet ? set[name]! : fallback;
    const synonyms = [
      ...(isSet ? [{ name, value, source: DYNAMIC_TOPIC_CONFIG }] : []),
      { name, value: fallback, source: DEFAULT_CONFIG },
    ];
    return {
      ...{ name, value, readOnly: false, isSensitive: false, documentation: null },
      configSource: isSet ? DYNAMIC_TOPIC_CONFIG : DEFAULT_CONFIG,
      configType: CONFIG_TYPES[type],
      synonyms: includeSynonyms ? synonyms : [],
    };
  });
}

/** Serves IncrementalAlterConfigs. */
export function serveIncrementalAlterConfigs(
  { cluster, request }: Call<typeof IncrementalAlterConfigs>,
): ResponseInputOf<typeof IncrementalAlterConfigs> {
  const keys = request.resources.map(({ resourceName, resourceType }) => `${resourceType} ${resourceName}`);
  return {
    throttleTimeMs: 0,
    responses: request.resources.map((change, i) => {
      const { resourceName, resourceType } = change;
      const isTwice = keys.indexOf(keys[i]!) !== keys.lastIndexOf(keys[i]!);
      const refusal = isTwice
        ? { errorCode: INVALID_REQUEST, errorMessage: "Each resource must appear at most once." }
        : alter(cluster, change, request.validateOnly);
      return { resourceType, resourceName, errorCode: 0, errorMessage: null, ...refusal };
    }),
  };
}

function alter(cluster: BrokerHost, change: Change, validateOnly: boolean): Refusal | undefined {
  if (change.resourceType !== TOPIC) return NOT_SERVED;
  const names = change.configs.map(({ name }) => name);
  if (new Set(names).size < names.length) {
    return { errorCode: INVALID_REQUEST, errorMessage: "Error due to duplicate config keys" };
  }
  const topic = cluster.topic(change.resourceName);
  const config = { ...(topic === undefined ? {} : configOf(topic)) };
  try {
    for (const entry of change.configs) {
      const refusal = changeEntry(cluster, config, entry);
      if (refusal !== undefined) return refusal;
    }
    topicRules(config, cluster.release);
  } catch (error) {
    if (!(error instanceof KafkaError)) throw error;
    return { errorCode: INVALID_CONFIG, errorMessage: error.message };
  }
  if (topic === undefined) {
    return { ...UNKNOWN_TOPIC, errorMessage: `The topic '${change.resourceName}' does not exist.` };
  }
  if (!validateOnly) topic.configure(config);
  return undefined;
}

function changeEntry(
  { release }: BrokerHost,
  config: Record<string, string>,
  { configOperation, name, value }: Change["configs"][number],
): Refusal | undefined {
  if (configOperation === DELETE) {
    delete config[name];
    return undefined;
  }
  if (value === null) return { errorCode: INVALID_REQUEST, errorMessage: `Null value not supported for : ${name}` };
  const entry = topicConfigs(release).get(name);
  if (configOperation !== SET && entry !== undefined && entry.type !== "LIST") {
    const what = configOperation === APPEND ? "APPEND to" : "SUBTRACT from";
    return { errorCode: INVALID_CONFIG, errorMessage: `Can't ${what} key ${name} because its type is not LIST.` };
  }
  const old = listOf(config[name] ?? entry?.fallback ?? "");
  const parts = listOf(value);
  const next = configOperation === APPEND
    ? [...old, ...parts.filter((part) => !old.includes(part))].join(",")
    : configOperation === SUBTRACT
    ? old.filter((part) => !parts.includes(part)).join(",")
    : value;
  checkTopicConfig(release, name, next);
  config[name] = next;
  return undefined;
}

function configOf({ config }: Topic): Configs {
  return Object.fromEntries(Object.entries(config).map(([name, value]) => [name, String(value)]));
}
