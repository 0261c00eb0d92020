/**
 * Under which subject a schema stands.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { show } from "../show.ts";

/**
 * Confluent's strategies: by the topic (`orders-value`), by the record (`com.example.Order`), or by both
 * (`orders-com.example.Order`), so that a topic may hold records of several kinds.
 */
export type SubjectStrategy = "topicName" | "recordName" | "topicRecordName";

/** The part of a record that a schema is for. */
export type Part = "key" | "value";

/** The subject of a schema. @throws {ConfigError} when the strategy needs a name that there isn't */
export function subjectOf(
  strategy: SubjectStrategy,
  { part, recordName, topic }: {
    readonly topic: string | undefined;
    readonly part: Part;
    readonly recordName: string | undefined;
  },
): string {
  const needsTopic = strategy !== "recordName";
  if (needsTopic && topic === undefined) {
    throw new ConfigError("topic", `Name the topic for the strategy ${show(strategy)}, or the "subject" itself.`);
  }
  if (strategy === "topicName") return `${topic}-${part}`;
  if (recordName === undefined) {
    throw new ConfigError(
      "strategy",
      `Use "topicName", or name the "subject" itself: the schema has no name of a record.`,
    );
  }
  return strategy === "recordName" ? recordName : `${topic}-${recordName}`;
}
