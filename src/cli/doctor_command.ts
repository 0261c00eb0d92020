/**
 * What is meant by the words after `sluice doctor`.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { type ConnectionIo, readConnection } from "./connection.ts";
import { count, refuseMore, type Words } from "./words.ts";

/** `sluice doctor`, understood. */
export interface DoctorCommand {
  /** The topic to look at, if any. */
  readonly topic: string | undefined;
  /** Write a record to it. */
  readonly write: boolean;
  /** Print the findings as JSON. */
  readonly json: boolean;
  /** How long each step may take. */
  readonly timeoutMs: number;
  /** The options of the producer. */
  readonly client: { readonly brokers: string; readonly [option: string]: unknown };
}

/** Understands the words after `sluice doctor`. */
export async function parseDoctor(words: Words, io: ConnectionIo): Promise<DoctorCommand> {
  refuseMore(words, 1, "one topic");
  const topic = words.one("topic") ?? words.positionals[0];
  if (words.has("write") && !topic) {
    throw new ConfigError("write", "Option --write is given without a topic, wanted --topic NAME as well");
  }
  return {
    topic: topic || undefined,
    write: words.has("write"),
    json: words.has("json"),
    timeoutMs: count(words, "timeout-ms") ?? 5_000,
    client: await readConnection(words, io, "producer"),
  };
}
