/**
 * What is meant by the words after `sluice broker`.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { show } from "../show.ts";
import { type Fault, parseFault } from "./fault.ts";
import { brokerSpec } from "./options.ts";
import { number, pair, readWords, refuseMore, type Words } from "./words.ts";

/** `sluice broker`, understood. */
export interface BrokerCommand {
  /** Port of the first broker. */
  readonly port: number;
  /** Address to listen on. */
  readonly host: string;
  /** How many brokers. */
  readonly brokers: number;
  /** Topics to create. */
  readonly topics: readonly { readonly name: string; readonly partitions: number }[];
  /** Create a topic when it is asked for. */
  readonly autoCreate: boolean;
  /** Speak TLS. */
  readonly tls: boolean;
  /** Passwords by user; with some, everybody has to authenticate. */
  readonly users: Readonly<Record<string, string>>;
  /** What brokers do in place of serving requests. */
  readonly faults: readonly Fault[];
  /** Print this of each record that arrives. */
  readonly print: string | undefined;
}

/** Understands the words after `sluice broker`. */
export function parseBroker(words: Words): BrokerCommand {
  refuseMore(words, 0, "options only");
  const port = number(words, "port") ?? 9092;
  if (port > 65_535) throw new ConfigError("port", `Option --port is "${port}", wanted a number up to 65535`);
  const brokers = number(words, "brokers") ?? 1;
  if (brokers < 1 || brokers > 100) {
    throw new ConfigError("brokers", `Option --brokers is "${brokers}", wanted 1 to 100`);
  }
  if (port > 0 && port + brokers - 1 > 65_535) {
    throw new ConfigError("port", `Option --port is "${port}", wanted room for ${brokers} ports up to 65535`);
  }
  return {
    port,
    host: words.one("host") ?? "127.0.0.1",
    brokers,
    topics: words.all("topic").map(topicOf),
    autoCreate: words.has("auto-create"),
    tls: words.has("tls"),
    users: Object.fromEntries(words.all("user").map(userOf)),
    faults: words.all("fault").map(parseFault),
    print: words.one("format") ?? (words.has("print") ? "%t [%p] at %o: %k %s\\n" : undefined),
  };
}

/** Understands the words after `sluice broker` straight from the command line. */
export function brokerCommand(args: readonly string[]): BrokerCommand {
  return parseBroker(readWords(brokerSpec, args));
}

function topicOf(text: string): { name: string; partitions: number } {
  const match = /^([A-Za-z0-9._-]{1,249})(?::([1-9]\d{0,4}))?$/.exec(text);
  if (match !== null) return { name: match[1]!, partitions: Number(match[2] ?? 1) };
  throw new ConfigError("topic", `Option --topic is ${show(text)}, wanted NAME or NAME:PARTITIONS`);
}

/** The text isn't shown: it may be a password. */
function userOf(text: string): readonly [string, string] {
  const [name, password] = text.includes("=") ? pair("user", text) : ["", ""];
  if (name !== "" && password !== "") return [name, password];
  throw new ConfigError("user", 'Option --user is without name, "=" or password, wanted NAME=PASSWORD');
}
