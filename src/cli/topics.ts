/**
 * `sluice topics`: looks at topics and changes them.
 *
 * @module
 */

import type { Admin, AdminResult, ConfigEntry, TopicDescription } from "../admin/mod.ts";
import { ConfigError, KafkaError } from "../errors.ts";
import { printable, printableJson, sentence, show } from "../show.ts";
import { complain, explain } from "./complaint.ts";
import type { CliIo } from "./io.ts";
import { formatTable } from "./summary.ts";
import type { TopicsCommand } from "./topics_command.ts";
import { tellWaiting } from "./troubles.ts";
import type { SetTimer } from "./warnings.ts";

/** What of an admin client the command uses. */
export type TopicsAdmin = Pick<
  Admin,
  | "listTopics"
  | "describeTopics"
  | "createTopics"
  | "createPartitions"
  | "deleteTopics"
  | "describeConfigs"
  | "incrementalAlterConfigs"
  | "close"
>;

/** Runs the command. Returns the exit code. */
export async function topics(
  command: TopicsCommand,
  io: CliIo,
  createAdmin: (options: TopicsCommand["admin"]) => TopicsAdmin,
  setTimer?: SetTimer,
): Promise<number> {
  const admin = createAdmin(command.admin);
  const answered = tellWaiting(io, { brokers: command.admin.brokers, quiet: command.quiet }, setTimer);
  const stop = new AbortController();
  const forget = io.onInterrupt(() => stop.abort(new KafkaError("Interrupted", { code: "INTERRUPTED" })));
  try {
    return await ACTIONS[command.action]({ command, io, admin, signal: stop.signal });
  } catch (error) {
    if (stop.signal.aborted) return 130;
    complain(io, explain(error, command.topics[0], true));
    return error instanceof ConfigError ? 2 : 1;
  } finally {
    forget();
    answered();
    await admin.close();
  }
}

interface Work {
  readonly command: TopicsCommand;
  readonly io: CliIo;
  readonly admin: TopicsAdmin;
  readonly signal: AbortSignal;
}

const ACTIONS: Readonly<Record<TopicsCommand["action"], (work: Work) => Promise<number>>> = {
  async list({ command, io, admin, signal }) {
    const listings = await admin.listTopics({ includeInternal: command.all, signal });
    const found = [...listings].sort((left, right) => left.topic < right.topic ? -1 : 1);
    if (command.json) found.forEach((topic) => io.stdout(`${printableJson(topic)}\n`));
    else if (found.length > 0) {
      print(io, [["partitions", "topic"], ...found.map((each) => [`${each.partitions}`, each.topic])]);
    } else if (!command.quiet) io.stderr("sluice: there are no topics; sluice topics create NAME makes one\n");
    return 0;
  },

  async describe({ command, io, admin, signal }) {
    const results = await admin.describeTopics(command.topics, { signal });
    return settle(command, io, results, (topic) => {
      if (command.json) return io.stdout(`${printableJson(topic)}\n`);
      io.stdout(`${printable(topic.topic)}${topic.topicId === undefined ? "" : ` (${topic.topicId})`}\n`);
      print(io, partitionRows(topic), "  ");
    });
  },

  async create({ command, io, admin, signal }) {
    const { topics: names, partitions, replicationFactor, set: configs, dryRun: validateOnly } = command;
    const wanted = names.map((topic) => ({ topic, partitions, replicationFactor, configs }));
    const results = await admin.createTopics(wanted, { validateOnly, signal });
    return settle(command, io, results, (topic) => {
      if (command.json) return io.stdout(`${printableJson(topic)}\n`);
      const what = topic.partitions < 0 ? "" : `: partitions ${topic.partitions}, replicas ${topic.replicationFactor}`;
      said(command, io, `${validateOnly ? "Could create" : "Created"} ${show(topic.topic)}${what}`);
    }, { code: "TOPIC_ALREADY_EXISTS", advice: "To go on with it as it is: --if-not-exists" });
  },

  async delete({ command, io, admin, signal }) {
    const results = await admin.deleteTopics(command.topics, { signal });
    return settle(command, io, results, (topic) => {
      if (command.json) return io.stdout(`${printableJson(topic)}\n`);
      said(command, io, `Deleted ${show(topic.topic)}`);
    }, { code: "UNKNOWN_TOPIC_OR_PARTITION", advice: "Look at the name, or take its absence as done: --if-exists" });
  },

  async alter({ command, io, admin, signal }) {
    const { topics: names, partitions, set, unset, dryRun: validateOnly } = command;
    const options = { validateOnly, signal };
    let exitCode = 0;
    if (partitions !== undefined) {
      const wanted = names.map((topic) => ({ topic, partitions }));
      const results = await admin.createPartitions(wanted, options);
      exitCode = settle(command, io, results, ({ topic }) => {
        if (command.json) return io.stdout(`${printableJson({ topic, partitions })}\n`);
        said(command, io, `${validateOnly ? "Could give" : "Gave"} ${show(topic)} ${partitions} partitions`);
      });
    }
    if (Object.keys(set).length + unset.length === 0) return exitCode;
    const changes = names.map((name) => ({ type: "topic" as const, name, set, delete: unset }));
    const results = await admin.incrementalAlterConfigs(changes, options);
    const changed = settle(command, io, results, ({ name: topic }) => {
      if (command.json) return io.stdout(`${printableJson({ topic, set, unset })}\n`);
      said(command, io, `${validateOnly ? "Could change" : "Changed"} the configs of ${show(topic)}`);
    });
    return Math.max(exitCode, changed);
  },

  async configs({ command, io, admin, signal }) {
    const resources = command.topics.map((name) => ({ type: "topic" as const, name }));
    const results = await admin.describeConfigs(resources, { signal });
    return settle(command, io, results, ({ name: topic, configs }) => {
      const shown = configs.filter(({ source }) => command.all || source === "DYNAMIC_TOPIC_CONFIG");
      if (command.json) return io.stdout(`${printableJson({ topic, configs: shown })}\n`);
      io.stdout(
        `${printable(topic)}${shown.length === 0 ? ": no config of its own; --all shows those that hold" : ""}\n`,
      );
      if (shown.length > 0) print(io, configRows(shown), "  ");
    });
  },
};

/** The failure that an option of the action takes as done, and what is said of it without the option. */
interface Harmless {
  readonly code: string;
  readonly advice: string;
}

/** Tells each outcome; the exit code is 1 when one of them is a failure. */
function settle<T>(
  command: TopicsCommand,
  io: CliIo,
  results: readonly AdminResult<T>[],
  tell: (value: T) => void,
  harmless?: Harmless,
): number {
  let exitCode = 0;
  for (const [index, result] of results.entries()) {
    if (result.status === "fulfilled") {
      tell(result.value);
      continue;
    }
    const { reason } = result;
    const known = reason.code === harmless?.code ? harmless : undefined;
    if (known !== undefined && command.idempotent) continue;
    complain(
      io,
      known === undefined
        ? explain(reason, command.topics[index], true)
        : `${sentence(reason.message)} ${known.advice}`,
    );
    exitCode = 1;
  }
  return exitCode;
}

function said({ quiet }: TopicsCommand, io: CliIo, text: string): void {
  if (!quiet) io.stdout(`${printable(text)}\n`);
}

function partitionRows({ partitions }: TopicDescription): string[][] {
  const list = (nodes: readonly number[]): string => nodes.join(",") || "none";
  return [
    ["partition", "leader", "replicas", "in sync"],
    ...partitions.map(({ partition, leader, replicas, isr }) => {
      return [`${partition}`, leader < 0 ? "none" : `${leader}`, list(replicas), list(isr)];
    }),
  ];
}

function configRows(configs: readonly ConfigEntry[]): string[][] {
  return [["config", "value"], ...configs.map(({ name, value }) => [name, value ?? "not told"])];
}

/** Columns, the last one to the left. What a broker said is printed as text. */
function print(io: CliIo, rows: readonly (readonly string[])[], indent = ""): void {
  for (const line of formatTable(rows.map((row) => row.map(printable)))) io.stdout(`${indent}${line}\n`);
}
