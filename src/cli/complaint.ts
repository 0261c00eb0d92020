/**
 * One line on standard error: what went wrong, what was delivered all the same, and what to do next.
 *
 * @module
 */

import { KafkaError, TimeoutError } from "../errors.ts";
import { excerpt, printable, reasonOf, show } from "../show.ts";
import { ADVICE } from "./advice.ts";
import type { CliIo } from "./io.ts";
import { formatCount, formatRecords } from "./summary.ts";
import type { Tally } from "./tally.ts";

/** Prints a complaint, and the counts of the run when there was one. */
export function complain(io: Pick<CliIo, "stderr">, complaint: string, tally?: Tally, dryRun: boolean = false): void {
  const counts = tally === undefined
    ? ""
    : ` ${dryRun ? `Read ${formatRecords(tally.delivered)}, sent none.` : countsOf(tally)}`;
  // Topics, hosts, files and what a broker says may hold what a terminal obeys.
  io.stderr(`sluice: ${printable(`${sentence(complaint)}${counts}`)}\n`);
}

/** What an error says, and what can be done about it. */
export function explain(error: unknown, topic?: string, isReading: boolean = false): string {
  // That time is up says less than what it was spent on.
  if (isReading && error instanceof TimeoutError && error.cause instanceof KafkaError) {
    return explain(error.cause, topic, isReading);
  }
  if (!(error instanceof KafkaError)) {
    return `Unexpected ${error instanceof Error ? `${excerpt(error.name)}: ` : ""}${reasonOf(error)}`;
  }
  const advice = adviceFor(error, topic, isReading);
  return advice === "" ? error.message : `${sentence(error.message)} ${advice}`;
}

function adviceFor(error: KafkaError, topic: string | undefined, isReading: boolean): string {
  switch (error.code) {
    case "UNKNOWN_TOPIC_OR_PARTITION":
      if (isReading) return "Look at the name, or create the topic: sluice topics create NAME";
      if (error.message.includes("allowAutoTopicCreation")) {
        return "Here that is --property allowAutoTopicCreation=true";
      }
      return `Create the topic${
        topic === undefined ? "" : ` ${show(topic)}`
      } (sluice topics create NAME), or let the ` +
        "broker do it with --property allowAutoTopicCreation=true";
    case "NETWORK_EXCEPTION":
    case "BROKER_NOT_AVAILABLE":
    case "BROKERS_UNREACHABLE":
      return "Check --brokers, or start a broker to try with: sluice broker";
    case "DELIVERY_TIMEOUT":
      return "Look at the broker, or raise --timeout-ms";
    case "RECORD_TOO_LARGE":
    case "MESSAGE_TOO_LARGE":
      return "Make the record smaller, or raise max.message.bytes of the topic";
    default:
      return Object.hasOwn(ADVICE, error.code) ? ADVICE[error.code]! : "";
  }
}

function countsOf(tally: Tally): string {
  const parts = [`Delivered ${formatRecords(tally.delivered)}`];
  if (tally.failed > 0) parts.push(`${formatCount(tally.failed)} not delivered`);
  const possibly = tally.failures.reduce((sum, failure) => sum + failure.possiblyPersisted, 0);
  if (possibly > 0) parts.push(`${formatCount(possibly)} of them possibly in the log`);
  return sentence(parts.join(", "));
}

function sentence(text: string): string {
  const line = text.replace(/\s*\n\s*/g, " ").trim();
  return /[.?!]$/.test(line) ? line : `${line}.`;
}
