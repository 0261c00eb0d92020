/**
 * Where a broker listens, and how callers write it down.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { formatAddress } from "../runtime/dial.ts";
import { show } from "../show.ts";

export { formatAddress } from "../runtime/dial.ts";

/** A host and a port. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

const DEFAULT_PORT = 9092;

/**
 * Reads the `brokers` option: a list, or one string with commas between the servers. The port defaults to 9092.
 *
 * @throws {ConfigError} when there is no server or one of them can't be read
 */
export function parseAddresses(brokers: string | readonly string[]): Address[] {
  const texts = typeof brokers === "string" ? [brokers] : [...brokers];
  const parts = texts.flatMap((text) => text.split(",")).map((part) => part.trim()).filter((part) => part !== "");
  if (parts.length === 0) {
    throw new ConfigError("brokers", 'Set "brokers" to at least one server, such as "localhost:9092".');
  }
  const seen = new Map<string, Address>();
  for (const [at, part] of parts.entries()) {
    const address = parseAddress(part);
    if (address === undefined) {
      const what = texts.some(mayHoldSecret)
        ? `server ${at + 1} of ${parts.length}, which may hold a secret,`
        : show(part);
      throw new ConfigError(
        "brokers",
        `Write each server of "brokers" as host:port or [IPv6]:port, up to 65535, without scheme, user and path: ` +
          `${what} is not.`,
      );
    }
    seen.set(formatAddress(address), address);
  }
  return [...seen.values()];
}

/** An URL with a user or a query, or a connection string. Passwords may have commas, so all of the text is judged. */
function mayHoldSecret(text: string): boolean {
  return /[?=;]/.test(text) || (text.includes("@") && !/^[\w.-]+@[\w.-]+(:\d+)?$/.test(text));
}

function parseAddress(text: string): Address | undefined {
  // A name in any script, but nothing that stands in URLs and connection strings: these may hold a secret.
  const match = /^(?:\[([0-9a-fA-F:.]+(?:%[\w.-]+)?)\]|([^:[\]\s/@;=?&#%"'`<>\\]+))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = match?.[3] === undefined ? DEFAULT_PORT : Number(match[3]);
  if (host === undefined || port < 1 || port > 65_535) return undefined;
  return { host, port };
}
