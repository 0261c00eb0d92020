/**
 * Which cluster a command speaks to and as whom: options that all commands share, properties, and a file of them.
 *
 * @module
 */

import { ConfigError, KafkaError } from "../errors.ts";
import { reasonOf, show } from "../show.ts";
import { join } from "./escapes.ts";
import type { CliIo } from "./io.ts";
import { type ClientKind, optionsOf, parseProperties, type Property } from "./properties.ts";
import { pair, type Words } from "./words.ts";

/** Files of properties and certificates are smaller; what is larger is another file by mistake. */
const MAX_TEXT_BYTES = 1 << 20;

/** What of the world is needed. */
export type ConnectionIo = Pick<CliIo, "env" | "open">;

/**
 * The options of a client: those of `--config` or `SLUICE_CONFIG`, then those of `-X`, and `brokers` from the first of
 * `--brokers`, `-X`, the file and `KAFKA_BROKERS` that names some.
 *
 * @throws {ConfigError} for a property that is unknown or wrong, a file that can't be read, or no brokers
 */
export async function readConnection(
  words: Words,
  io: ConnectionIo,
  kind: ClientKind,
): Promise<{ readonly brokers: string; readonly [option: string]: unknown }> {
  const file = words.one("config") ?? io.env["SLUICE_CONFIG"];
  const properties: Property[] = file ? parseProperties(await readText(io, "config", file), file) : [];
  for (const text of words.all("property")) {
    const [name, value] = pair("property", text);
    properties.push({ name, value, source: "command line" });
  }
  const options = await optionsOf(properties, kind, (path) => readText(io, "property", path));
  const clientId = words.one("client-id");
  const given = words.one("brokers") ?? options["brokers"] ?? io.env["KAFKA_BROKERS"];
  const brokers = Array.isArray(given) ? given.join(",") : given;
  if (typeof brokers !== "string" || brokers === "") {
    throw new ConfigError("brokers", "No brokers are given, wanted --brokers HOST:PORT or KAFKA_BROKERS");
  }
  const port = brokers.split(",").find((server) => /^\s*:?\d{1,5}\s*$/.test(server))?.trim();
  if (port !== undefined) {
    const advice = `--brokers localhost:${port.replace(":", "")} for one on this machine`;
    throw new ConfigError("brokers", `${show(port)} is a port without a host, wanted HOST:PORT: ${advice}`);
  }
  return { ...options, ...clientId === undefined ? {} : { clientId }, brokers };
}

async function readText(io: ConnectionIo, option: string, file: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    const source = await io.open(file);
    try {
      for await (const chunk of source.chunks) {
        bytes += chunk.length;
        if (bytes > MAX_TEXT_BYTES) throw new KafkaError(`it is larger than ${MAX_TEXT_BYTES} bytes`);
        chunks.push(new Uint8Array(chunk));
      }
      return textOf(join(chunks), option);
    } finally {
      source.close();
    }
  } catch (error) {
    const isProperty = option === "config" && file.includes("=");
    const hint = isProperty ? " (a property by itself is -X NAME=VALUE, the config of a topic --set NAME=VALUE)" : "";
    const message = `Cannot read ${show(file)}: ${fileReasonOf(error)}, wanted a file of text${hint}`;
    throw new ConfigError(option, message, { cause: error });
  }
}

/** UTF-8; what can't be that among properties is ISO-8859-1, as Java reads all of them. */
function textOf(bytes: Uint8Array, option: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    // A zero stands in UTF-16, archives and keystores.
    if (option !== "config" || bytes.includes(0)) throw error;
    return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  }
}

/** Why a file can't be read, or not be written. */
export function fileReasonOf(error: unknown): string {
  const { code } = error as { code?: string };
  if (code === "ENOENT") return "no such file";
  if (code === "EACCES") return "permission denied";
  if (code === "EISDIR") return "it is a directory";
  if (code === "Z_BUF_ERROR") return "it is packed, and ends in the middle";
  if (code === "Z_DATA_ERROR") return `it is no gzip file, or damaged: ${reasonOf(error)}`;
  if (code === "ENOSPC" || /os error 28/.test(String(error))) return "no space is left";
  return reasonOf(error);
}
