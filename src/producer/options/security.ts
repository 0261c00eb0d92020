/**
 * Who the producer is and how its bytes travel: `tls`, `sasl` and `securityProtocol`, which must go together.
 *
 * @module
 */

import { type CompressorByName, valuesOnly } from "../../codec/guarded_compressor.ts";
import { ConfigError } from "../../errors.ts";
import type { SocketFactory, TlsOptions } from "../../runtime/runtime.ts";
import type { SaslMechanism } from "../../sasl/mechanism.ts";
import type { NamedSasl } from "../../sasl/named.ts";
import { show } from "../../show.ts";
import { checkTlsOption } from "./option_checks.ts";

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

/** What is found by its name: everything in `mod.ts`, nothing in the core. */
export interface Names {
  /** The codec of a name. */
  readonly compressor: CompressorByName;
  /** The SASL mechanism of a name. */
  readonly mechanism: MechanismByName;
}

/** The core knows values only, so that a bundle has what it imports and nothing more. */
export const NO_NAMES: Names = { compressor: valuesOnly, mechanism: mechanismsAreValues };

function mechanismsAreValues({ mechanism }: NamedSasl): never {
  throw new ConfigError(
    "sasl",
    `Set "sasl" to a mechanism from "@sluice/kafka/sasl", such as plain({ … }): the core knows none by its name ` +
      `(${show(mechanism)}).`,
  );
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
