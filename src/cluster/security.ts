/**
 * Who a client is and how its bytes travel: `tls`, `sasl`, `securityProtocol` and `connect`, which must go together.
 *
 * @module
 */

import { isObject, refuse } from "../call_options.ts";
import { ConfigError } from "../errors.ts";
import { optionHint } from "../other_clients.ts";
import { isConnect, socketsOf } from "../runtime/connectable.ts";
import type { SocketFactory, TlsOptions } from "../runtime/runtime.ts";
import { checkTls } from "../runtime/tls.ts";
import type { SaslMechanism } from "../sasl/mechanism.ts";
import type { NamedSasl } from "../sasl/named.ts";
import { show } from "../show.ts";

const TLS_OPTIONS = ["ca", "cert", "key", "passphrase", "serverName", "verify"];
const TLS_TEXTS = ["cert", "key", "passphrase", "serverName"] as const;
const VERIFIES: readonly unknown[] = ["full", "ca", "none"];

/** Kafka's names for what a port speaks. */
export type SecurityProtocol = "plaintext" | "ssl" | "sasl_plaintext" | "sasl_ssl";

/** Finds a mechanism by its name. */
export type MechanismByName = (sasl: NamedSasl) => SaslMechanism;

const PROTOCOLS: readonly string[] = ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"];

/** What a caller may have given. */
interface Given {
  readonly tls?: unknown;
  readonly sasl?: unknown;
  readonly securityProtocol?: unknown;
}

/** What is meant. */
export interface Security {
  readonly tls: boolean | TlsOptions;
  readonly sasl: SaslMechanism | undefined;
}

/**
 * TLS options and the mechanism. `securityProtocol`, where it is given, says the same in Kafka's words.
 *
 * @throws {ConfigError} for options that contradict each other, or that would send a password through an open line
 */
export function checkSecurity(
  { tls: givenTls, sasl: givenSasl, securityProtocol: given }: Given,
  sockets: SocketFactory | undefined,
  byName: MechanismByName,
): Security {
  const protocol = typeof given === "string" ? given.toLowerCase() : given;
  if (protocol !== undefined && !PROTOCOLS.includes(protocol as string)) {
    const wanted = PROTOCOLS.map((name) => `"${name}"`).join(", ");
    throw new ConfigError("securityProtocol", `Set "securityProtocol" to one of ${wanted}: ${show(given)} is none.`);
  }
  const sasl = checkSasl(givenSasl, byName);
  const wantsTls = protocol === "ssl" || protocol === "sasl_ssl";
  const tls = checkTlsOption(givenTls === undefined ? wantsTls : givenTls, sockets);
  if (protocol === undefined) {
    if (sasl?.sendsPassword === true && tls === false) {
      throw new ConfigError(
        "sasl",
        `Set "tls" to true, or ask for an open line by securityProtocol: "sasl_plaintext": ${sasl.name} sends the ` +
          `password as it is.`,
      );
    }
    return { tls, sasl };
  }
  const actual = `${sasl === undefined ? "" : "sasl_"}${tls === false ? "plaintext" : "ssl"}`;
  if (actual !== protocol) {
    throw new ConfigError(
      "securityProtocol",
      `Make "securityProtocol" (${show(given)}) agree with "tls" and "sasl", or leave it out: they mean "${actual}".`,
    );
  }
  return { tls, sasl };
}

function checkSasl(value: unknown, byName: MechanismByName): SaslMechanism | undefined {
  if (value === undefined || value === null) return undefined;
  const { name, authenticate, mechanism } = typeof value === "object"
    ? value as Partial<SaslMechanism & NamedSasl>
    : {};
  if (typeof authenticate === "function" && typeof name === "string" && name !== "") return value as SaslMechanism;
  if (mechanism !== undefined) return byName(value as NamedSasl);
  throw new ConfigError(
    "sasl",
    `Set "sasl" to a mechanism such as scramSha256({ … }) of "@sluice/kafka/sasl", or to an object with "mechanism".`,
  );
}

/** Refuses what an option that is an object doesn't have. */
export function refuseUnknownIn(option: string, value: object, known: readonly string[]): void {
  const name = Object.keys(value).find((key) => !known.includes(key));
  if (name === undefined) return;
  const wanted = `wanted ${known.map(show).join(", ")}.${optionHint(name, known)}`;
  const message = `Remove ${show(name)} from "${option}": there is no such option, ${wanted}`;
  throw new ConfigError(option, message);
}

/** TLS options that make sense, on the given sockets if these are known. */
export function checkTlsOption(value: unknown, sockets: SocketFactory | undefined): boolean | TlsOptions {
  if (value === undefined || typeof value === "boolean") return value ?? false;
  if (!isObject(value)) {
    refuseSecret("tls", "true, false or an object", value);
  }
  refuseUnknownIn("tls", value, TLS_OPTIONS);
  const tls = value as TlsOptions;
  if (tls.verify !== undefined && !VERIFIES.includes(tls.verify)) {
    const wanted = VERIFIES.map(show).join(", ");
    refuseSecret("tls.verify", wanted, tls.verify);
  }
  for (const name of TLS_TEXTS) checkText(`tls.${name}`, tls[name]);
  if (Array.isArray(tls.ca)) {
    for (const [at, entry] of tls.ca.entries()) checkAuthority(`tls.ca[${at}]`, entry ?? null);
  } else checkAuthority("tls.ca", tls.ca);
  checkTls(sockets, tls);
  return tls;
}

/** Longer text than any word that could be meant may be a key in the wrong place. */
const LONGEST_WORD = 12;

function refuseSecret(option: string, wanted: string, value: unknown): never {
  if (typeof value !== "string" || value.length <= LONGEST_WORD) refuse(option, wanted, value);
  throw new ConfigError(option, `Set "${option}" to ${wanted}: text of ${value.length} characters is not.`);
}

/** Text in PEM or a name, if anything. It may be secret, so its type is shown only. */
function checkText(option: string, value: unknown): void {
  if (value === undefined || typeof value === "string") return;
  const hint = value instanceof Uint8Array ? " Decode the bytes: new TextDecoder().decode(bytes)." : "";
  refuse(option, "text", value, hint);
}

/**
 * Node takes any text for an authority and trusts nobody then: each broker would be refused, and the error send its
 * reader to an option that is set. Keys and certificates of our own are complained of by every runtime.
 */
function checkAuthority(option: string, value: unknown): void {
  checkText(option, value);
  const text = value as string | undefined;
  if (text === undefined || text.includes("-----BEGIN ")) return;
  throw new ConfigError(
    option,
    `Set "${option}" to certificates in PEM, which begin with "-----BEGIN CERTIFICATE-----": text of ${text.length} ` +
      'characters is not. Where it is the name of a file, pass what is in it: await readFile(name, "utf8").',
  );
}

/** A factory of sockets, if anything. */
export function checkConnect(value: unknown): SocketFactory | undefined {
  if (value === undefined) return undefined;
  if (isConnect(value)) return socketsOf(value);
  refuse("connect", 'a function that connects, or an object with a function "connect"', value);
}
