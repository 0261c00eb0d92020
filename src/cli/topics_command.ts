/**
 * What is meant by the words after `sluice topics`.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { show } from "../show.ts";
import { type ConnectionIo, readConnection } from "./connection.ts";
import { TOPIC_ACTIONS } from "./options.ts";
import { count, defined, pair, type Words } from "./words.ts";

/** What can be done. */
export type TopicsAction = (typeof TOPIC_ACTIONS)[number];

/** `sluice topics`, understood. */
export interface TopicsCommand {
  readonly action: TopicsAction;
  /** The topics; none for a list. */
  readonly topics: readonly string[];
  readonly partitions: number | undefined;
  readonly replicationFactor: number | undefined;
  /** Configs to set. */
  readonly set: Readonly<Record<string, string>>;
  /** Configs that fall back to their default. */
  readonly unset: readonly string[];
  /** Kafka's own topics too, and configs that are as they were. */
  readonly all: boolean;
  /** It is no failure when a topic is there already, or gone. */
  readonly idempotent: boolean;
  readonly dryRun: boolean;
  readonly json: boolean;
  readonly quiet: boolean;
  /** The options of the admin client. */
  readonly admin: { readonly brokers: string; readonly [option: string]: unknown };
}

/** Options that only some actions have. */
const OPTIONS_OF_ACTIONS: Readonly<Record<TopicsAction, readonly string[]>> = {
  list: ["all"],
  describe: [],
  create: ["partitions", "replication-factor", "set", "if-not-exists", "dry-run"],
  delete: ["if-exists"],
  alter: ["partitions", "set", "unset", "dry-run"],
  configs: ["all"],
};

/** Understands the words after `sluice topics`. */
export async function parseTopics(words: Words, io: ConnectionIo): Promise<TopicsCommand> {
  const [word = "list", ...topics] = words.positionals;
  const action = TOPIC_ACTIONS.find((known) => known === word);
  if (action === undefined) {
    throw new ConfigError("action", `Unknown action ${show(word)}, wanted ${TOPIC_ACTIONS.join(", ")}`);
  }
  const names = Object.values(OPTIONS_OF_ACTIONS).flat();
  const foreign = names.find((name) => words.has(name) && !OPTIONS_OF_ACTIONS[action].includes(name));
  if (foreign !== undefined) {
    const actions = TOPIC_ACTIONS.filter((known) => OPTIONS_OF_ACTIONS[known].includes(foreign)).join(" or ");
    throw new ConfigError(foreign, `Option --${foreign} does not go with ${action}, but with ${actions}`);
  }
  if (action === "list" && topics.length > 0) {
    throw new ConfigError("topic", `Found ${show(topics[0])} behind list, wanted nothing, or describe`);
  }
  if (action !== "list" && topics.length === 0) {
    throw new ConfigError("topic", `No topic is given, wanted sluice topics ${action} NAME`);
  }
  const command: TopicsCommand = {
    action,
    topics,
    partitions: count(words, "partitions"),
    replicationFactor: count(words, "replication-factor"),
    set: Object.fromEntries(words.all("set").map((text) => pair("set", text))),
    unset: words.all("unset"),
    all: words.has("all"),
    idempotent: words.has("if-not-exists") || words.has("if-exists"),
    dryRun: words.has("dry-run"),
    json: words.has("json"),
    quiet: words.has("quiet"),
    admin: {
      clientId: "sluice",
      defaultApiTimeoutMs: 10_000,
      ...await readConnection(words, io, "admin"),
      ...defined({ defaultApiTimeoutMs: count(words, "timeout-ms") }),
    },
  };
  const changes = Object.keys(command.set).length + command.unset.length;
  if (action === "alter" && command.partitions === undefined && changes === 0) {
    throw new ConfigError("alter", "Nothing is to be changed, wanted --partitions N, --set NAME=VALUE or --unset NAME");
  }
  return command;
}
