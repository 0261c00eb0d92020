/**
 * Configs of topics, brokers and groups: described, and changed entry by entry.
 *
 * @module
 */

import { readList, readOptions } from "../call_options.ts";
import { BrokerError, ConfigError, KafkaError } from "../errors.ts";
import { brokerError } from "../protocol/error_codes.ts";
import { DescribeConfigs } from "../protocol/messages/describe_configs.ts";
import { IncrementalAlterConfigs } from "../protocol/messages/incremental_alter_configs.ts";
import { show } from "../show.ts";
import { checkConfigs, checkFlag, checkName, checkWord, readDistinct, readFields } from "./arguments.ts";
import { ATTEMPTS_AT_NEW_TOPICS, type Call, CALL_OPTIONS, type CallOptions } from "./call.ts";
import { type ConfigEntry, configEntry } from "./config_entry.ts";
import { type Dispatcher, pushTo, type Target } from "./dispatcher.ts";
import type { AdminResult } from "./results.ts";
import { answered } from "./topics.ts";

/** What can be configured, in Kafka's words. */
export type ConfigResourceType = "topic" | "broker" | "broker_logger" | "client_metrics" | "group";

/** Something that can be configured. */
export interface ConfigResource {
  /** What it is. */
  readonly type: ConfigResourceType;
  /** Its name: of a broker its id as text, `""` for what holds for all brokers. */
  readonly name: string;
}

/** A resource with its configuration. */
export interface ConfigDescription extends ConfigResource {
  /** Its entries, by name. */
  readonly configs: readonly ConfigEntry[];
}

/** Changes of a resource; what isn't named stays as it is. */
export interface ConfigChange extends ConfigResource {
  /** Entries that get another value. */
  readonly set?: Readonly<Record<string, string | number | bigint | boolean>> | undefined;
  /** Entries that fall back to their default. */
  readonly delete?: Iterable<string> | undefined;
  /** Entries that are lists, and what is added to them, with commas between. */
  readonly append?: Readonly<Record<string, string>> | undefined;
  /** Entries that are lists, and what is taken out of them, with commas between. */
  readonly subtract?: Readonly<Record<string, string>> | undefined;
}

/** Options of a description of configs. */
export interface DescribeConfigsOptions extends CallOptions {
  /** Only the entries of these names. @default all */
  readonly names?: Iterable<string> | undefined;
  /** What stands behind each entry too. @default false */
  readonly includeSynonyms?: boolean | undefined;
  /** What each entry means too, from brokers since Kafka 2.6. @default false */
  readonly includeDocumentation?: boolean | undefined;
}

const TYPE_NUMBERS: Readonly<Record<ConfigResourceType, number>> = {
  topic: 2,
  broker: 4,
  broker_logger: 8,
  client_metrics: 16,
  group: 32,
};
const TYPES = Object.keys(TYPE_NUMBERS) as ConfigResourceType[];

const SET = 0;
const DELETE = 1;
const APPEND = 2;
const SUBTRACT = 3;

/** From this version on DescribeConfigs has documentation. */
const DESCRIBE_WITH_DOCUMENTATION = 3;

/** Describes configs. */
export async function describeConfigs(
  dispatcher: Dispatcher,
  newCall: (options: { readonly timeoutMs?: unknown; readonly signal?: unknown }) => Call,
  given: unknown,
  options: unknown,
): Promise<AdminResult<ConfigDescription>[]> {
  const known = ["names", "includeSynonyms", "includeDocumentation", ...CALL_OPTIONS] as const;
  const read = readOptions("describeConfigs", options, known);
  const includeSynonyms = checkFlag("includeSynonyms", read.includeSynonyms, false);
  const includeDocumentation = checkFlag("includeDocumentation", read.includeDocumentation, false);
  const names = read.names === undefined
    ? null
    : readList("names", read.names, "names of configs", (name) => checkName("names", name));
  const resources = readDistinct(
    "resources",
    given,
    "resources",
    (item) => readResource(readFields("a resource", item, ["type", "name"])),
    keyOf,
  );
  const call = newCall(read);
  return await byBroker(dispatcher, call, resources, async (target, asked) => {
    const { results } = await dispatcher.ask(call, target, DescribeConfigs, (version) => ({
      resources: asked.map((each) => ({ ...wireOf(each), configurationKeys: names })),
      includeSynonyms,
      includeDocumentation: includeDocumentation && version >= DESCRIBE_WITH_DOCUMENTATION,
    }));
    return answered(asked, (resource) => {
      const result = results.find((each) => isOf(each, resource));
      if (result === undefined) return undefined;
      if (result.errorCode !== 0) return errorOf(result, resource);
      const configs = result.configs.map(configEntry).sort((a, b) => a.name < b.name ? -1 : 1);
      return { ...resource, configs };
    });
  }, { unknownTopicAttempts: ATTEMPTS_AT_NEW_TOPICS });
}

/** Changes configs entry by entry. */
export function incrementalAlterConfigs(
  dispatcher: Dispatcher,
  call: Call,
  given: unknown,
  validateOnly: boolean,
): Promise<AdminResult<ConfigResource>[]> {
  const changes = readDistinct("resources", given, "resources", readChange, keyOf);
  return byBroker(dispatcher, call, changes, async (target, asked) => {
    const { responses } = await dispatcher.ask(call, target, IncrementalAlterConfigs, {
      resources: asked.map((change) => ({ ...wireOf(change), configs: change.configs })),
      validateOnly,
    });
    return answered(asked, (change) => {
      const response = responses.find((each) => isOf(each, change));
      if (response === undefined) return undefined;
      return response.errorCode === 0 ? { type: change.type, name: change.name } : errorOf(response, change);
    });
  }, { isChange: true });
}

/** A broker tells and changes what is its own; the rest is anybody's business. */
function byBroker<R extends ConfigResource, T extends object>(
  dispatcher: Dispatcher,
  call: Call,
  resources: readonly R[],
  ask: (target: Target, resources: readonly R[]) => Promise<ReadonlyMap<R, T | KafkaError>>,
  options: { readonly isChange?: boolean; readonly unknownTopicAttempts?: number },
): Promise<AdminResult<T>[]> {
  return call.each(resources, async (left) => {
    const byTarget = new Map<Target, R[]>();
    for (const resource of left) pushTo(byTarget, targetOf(resource), resource);
    const strangers = await unlisted(dispatcher, call, [...byTarget.keys()]);
    const answers = new Map<R, T | KafkaError>();
    await Promise.all([...byTarget].map(async ([target, asked]) => {
      try {
        if (strangers.includes(target)) throw noSuchBroker(target);
        for (const [resource, answer] of await ask(target, asked)) answers.set(resource, answer);
      } catch (error) {
        if (!(error instanceof KafkaError)) throw error;
        for (const resource of asked) answers.set(resource, error);
      }
    }));
    return answers;
  }, options);
}

async function unlisted(dispatcher: Dispatcher, call: Call, targets: readonly Target[]): Promise<Target[]> {
  const ids = targets.filter((target) => typeof target === "number");
  if (ids.length === 0) return [];
  const { brokers } = await dispatcher.metadata(call, []);
  return ids.filter((id) => !brokers.some(({ nodeId }) => nodeId === id));
}

function noSuchBroker(target: Target): BrokerError {
  return new BrokerError(`Name a broker of the cluster: there is no broker ${target}.`, {
    code: "BROKER_NOT_AVAILABLE",
  });
}

function targetOf({ name, type }: ConfigResource): Target {
  return (type === "broker" || type === "broker_logger") && name !== "" ? Number(name) : "any";
}

function readResource({ name, type }: { readonly name?: unknown; readonly type?: unknown }): ConfigResource {
  const checked = checkWord("type", type, TYPES);
  if (checked === "broker" && name === "") return { type: checked, name: "" };
  const isBroker = checked === "broker" || checked === "broker_logger";
  if (isBroker && !(typeof name === "string" && /^\d{1,10}$/.test(name))) {
    throw new ConfigError("name", `Name a broker by its id as text, such as "1": ${show(name)} is none.`);
  }
  return { type: checked, name: checkName("name", name) };
}

function readChange(item: unknown): ConfigResource & { readonly configs: readonly WireChange[] } {
  const read = readFields("a change", item, ["type", "name", "set", "delete", "append", "subtract"]);
  const resource = readResource(read);
  const deleted = read.delete === undefined
    ? []
    : readList("delete", read.delete, "names of configs", (name) => checkName("delete", name));
  const configs = [
    ...checkConfigs("set", read.set).map((entry) => ({ ...entry, configOperation: SET })),
    ...deleted.map((name) => ({ name, value: null, configOperation: DELETE })),
    ...checkConfigs("append", read.append).map((entry) => ({ ...entry, configOperation: APPEND })),
    ...checkConfigs("subtract", read.subtract).map((entry) => ({ ...entry, configOperation: SUBTRACT })),
  ];
  if (configs.length > 0) return { ...resource, configs };
  const message = `Say what is to change of ${nameOf(resource)}: set, delete, append or subtract.`;
  throw new ConfigError("resources", message);
}

interface WireChange {
  readonly name: string;
  readonly value: string | null;
  readonly configOperation: number;
}

function wireOf({ name, type }: ConfigResource): { readonly resourceType: number; readonly resourceName: string } {
  return { resourceType: TYPE_NUMBERS[type], resourceName: name };
}

function isOf(
  answer: { readonly resourceType: number; readonly resourceName: string },
  { name, type }: ConfigResource,
): boolean {
  return answer.resourceType === TYPE_NUMBERS[type] && answer.resourceName === name;
}

function errorOf(
  { errorCode, errorMessage }: { readonly errorCode: number; readonly errorMessage: string | null },
  resource: ConfigResource,
): KafkaError {
  const { name, type } = resource;
  const detail = errorMessage;
  return type === "topic"
    ? brokerError(errorCode, { topic: name, detail })
    : brokerError(errorCode, { api: `Config of ${nameOf(resource)}`, detail });
}

function keyOf({ name, type }: ConfigResource): string {
  return `${type} ${name}`;
}

function nameOf({ name, type }: ConfigResource): string {
  return `${type} ${show(name)}`;
}
