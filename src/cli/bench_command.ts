/**
 * What is meant by the words after `sluice bench`.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { type ConnectionIo, readConnection } from "./connection.ts";
import { acksOf, compressionOf } from "./produce_command.ts";
import { count, defined, number, oneOf, refuseMore, type Words } from "./words.ts";

/** `sluice bench`, understood. */
export interface BenchCommand {
  readonly topic: string;
  /** How many records. */
  readonly count: number;
  /** Bytes of each value. */
  readonly size: number;
  /** How many different keys; 0 for none. */
  readonly keys: number;
  /** Words, which a codec makes smaller, or bytes, which none does. */
  readonly payload: "words" | "random";
  /** At most so many records per second. */
  readonly rate: number | undefined;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly producer: Readonly<Record<string, unknown>>;
}

const MAX_SIZE = 100_000_000;

/** Understands the words after `sluice bench`. */
export async function parseBench(words: Words, io: ConnectionIo): Promise<BenchCommand> {
  refuseMore(words, 1, "one topic");
  const topic = words.one("topic") ?? words.positionals[0];
  if (!topic) throw new ConfigError("topic", "No topic is given, wanted the name of one that may be written to");
  const size = number(words, "size") ?? 100;
  if (size > MAX_SIZE) throw new ConfigError("size", `Option --size is "${size}", wanted at most ${MAX_SIZE}`);
  return {
    topic,
    count: count(words, "count") ?? 100_000,
    size,
    keys: number(words, "keys") ?? 0,
    payload: oneOf(words, "payload", ["words", "random"] as const) ?? "words",
    rate: count(words, "rate"),
    json: words.has("json"),
    quiet: words.has("quiet"),
    producer: {
      deliveryTimeoutMs: 60_000,
      maxBlockMs: Math.min(count(words, "timeout-ms") ?? 10_000, 10_000),
      ...await readConnection(words, io, "producer"),
      ...defined({
        deliveryTimeoutMs: count(words, "timeout-ms"),
        acks: acksOf(words.one("acks")),
        compression: compressionOf(words),
        lingerMs: number(words, "linger-ms"),
        batchSize: number(words, "batch-size"),
      }),
    },
  };
}
