/**
 * `sluice proxy`: leads producers that have WebSockets only to brokers.
 *
 * @module
 */

import { MAX_TIMER_MS } from "../../call_options.ts";
import { ConfigError } from "../../errors.ts";
import { show } from "../../show.ts";
import type { Words } from "../words.ts";
import type { CliIo } from "../io.ts";
import { listenProxy, type ProxyOptions } from "./server.ts";

const ADDRESS = /^(?:\*\.[^:[\]\s/@*]+|\[[\da-fA-F:.]+\]|[^:[\]\s/@*]+):(\d{1,5})$/;
const DEFAULT_PORT = 8080;
const DEFAULT_CONNECTIONS = 100;
const DEFAULT_IDLE_MS = 600_000;
const CONNECT_TIMEOUT_MS = 10_000;
/** Nobody's token or certificate is larger. */
const MAX_FILE_BYTES = 1 << 20;

/** Runs until it is interrupted, which is its regular end. Returns the exit code. */
export async function runProxy(words: Words, io: CliIo): Promise<number> {
  const options = await proxyOptions(words, io);
  // Before listening, so that who reads the first line may already ask to stop.
  const interrupted = new Promise<void>((resolve) => void io.onInterrupt(resolve));
  const proxy = await listenProxy(options);
  io.stdout(`Listening on ${proxy.url}\n`);
  await interrupted;
  await proxy.close();
  return 0;
}

/** Understands the words after `sluice proxy`, and reads the files that they name. */
export async function proxyOptions(
  words: Words,
  io: CliIo,
): Promise<ProxyOptions> {
  const allow = allowedBrokers(words);
  const host = words.one("host") ?? "127.0.0.1";
  const token = await tokenOf(words, io);
  if (
    token === undefined && !/^(127\.|::1$|localhost$)/.test(host) &&
    !words.has("without-token")
  ) {
    throw new ConfigError(
      "token-file",
      `Everybody who reaches ${show(host)} would get to the brokers, wanted --token-file FILE, or --without-token`,
    );
  }
  const [certificate, ca] = await Promise.all([certificateOf(words, io), fileOf(words, io, "broker-ca")]);
  const brokerTls = words.has("broker-tls") || ca !== undefined;
  return {
    host,
    port: number(words, "port", 65_535) ?? DEFAULT_PORT,
    allow,
    token,
    origins: words.all("origin"),
    certificate,
    brokerTls: brokerTls ? (ca === undefined ? {} : { ca }) : undefined,
    maxConnections: number(words, "max-connections") ?? DEFAULT_CONNECTIONS,
    maxBytes: number(words, "max-bytes") ?? Infinity,
    maxIdleMs: number(words, "max-idle-ms", MAX_TIMER_MS) ?? DEFAULT_IDLE_MS,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    onRefused: words.has("verbose") ? (reason) => io.stderr(`A client was refused: ${reason}\n`) : () => {},
  };
}

function allowedBrokers(words: Words): string[] {
  if (words.positionals.length > 0) {
    throw new ConfigError(
      "file",
      `Found ${words.positionals.map(show).join(", ")}, wanted options only`,
    );
  }
  const allow = words.all("allow").flatMap((text) => text.split(","));
  if (allow.length === 0) {
    throw new ConfigError(
      "allow",
      "No broker is allowed, wanted --allow HOST:PORT",
    );
  }
  const wrong = allow.find((text) => !isAddress(text));
  if (wrong !== undefined) {
    throw new ConfigError(
      "allow",
      `Option --allow is ${show(wrong)}, wanted HOST:PORT or *.DOMAIN:PORT`,
    );
  }
  return allow;
}

async function certificateOf(words: Words, io: CliIo): Promise<ProxyOptions["certificate"]> {
  const [cert, key] = await Promise.all([fileOf(words, io, "cert"), fileOf(words, io, "key")]);
  if (cert !== undefined && key !== undefined) return { cert, key };
  if (cert === undefined && key === undefined) return undefined;
  throw new ConfigError("cert", "Options --cert and --key go together, wanted both or neither");
}

function isAddress(text: string): boolean {
  const port = Number(ADDRESS.exec(text)?.[1] ?? 0);
  return port >= 1 && port <= 65_535;
}

async function tokenOf(words: Words, io: CliIo): Promise<string | undefined> {
  const text = await fileOf(words, io, "token-file") ??
    io.env["SLUICE_PROXY_TOKEN"];
  if (text === undefined) return undefined;
  const token = text.trim();
  if (token !== "") return token;
  throw new ConfigError(
    "token-file",
    "The token is empty, wanted a text that nobody can guess",
  );
}

async function fileOf(
  words: Words,
  io: CliIo,
  name: string,
): Promise<string | undefined> {
  const file = words.one(name);
  if (file === undefined) return undefined;
  const decoder = new TextDecoder();
  let text = "";
  try {
    for await (const chunk of (await io.open(file)).chunks) {
      text += decoder.decode(chunk, { stream: true });
      if (text.length > MAX_FILE_BYTES) {
        throw new ConfigError(name, "it is too large");
      }
    }
  } catch (cause) {
    const message = `Cannot read ${show(file)} of --${name}, wanted a file of text`;
    throw new ConfigError(name, message, { cause });
  }
  return text;
}

function number(
  words: Words,
  name: string,
  most = Number.MAX_SAFE_INTEGER,
): number | undefined {
  const text = words.one(name);
  if (text === undefined) return undefined;
  const value = /^\d{1,15}$/.test(text) ? Number(text) : -1;
  const least = name === "port" ? 0 : 1;
  if (value >= least && value <= most) return value;
  throw new ConfigError(
    name,
    `Option --${name} is ${show(text)}, wanted a whole number from ${least} to ${most}`,
  );
}
