/**
 * Mechanisms by name, as KafkaJS and Java write them.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { show } from "../show.ts";
import { checkFields, type SaslMechanism } from "./mechanism.ts";
import { mskIam } from "./msk.ts";
import { oauthBearer, type OAuthBearerOptions } from "./oauthbearer.ts";
import { plain, type PlainCredentials } from "./plain.ts";
import { type ScramCredentials, scramSha256, scramSha512 } from "./scram.ts";
import type { AwsOptions } from "./aws.ts";
import type { TokenProvider } from "./token.ts";

/** A mechanism by its name, in any case, with what it needs beside it. */
export type NamedSasl =
  | { readonly mechanism: "plain" | "PLAIN" } & PlainCredentials
  | { readonly mechanism: "scram-sha-256" | "SCRAM-SHA-256" | "scram-sha-512" | "SCRAM-SHA-512" } & ScramCredentials
  | { readonly mechanism: "oauthbearer" | "OAUTHBEARER" } & OAuthBearerOptions
  | { readonly mechanism: "oauthbearer" | "OAUTHBEARER"; readonly oauthBearerProvider: TokenProvider }
  | { readonly mechanism: "aws_msk_iam" | "AWS_MSK_IAM" } & AwsOptions;

type Make = (options: never) => SaslMechanism;

const MAKERS: Readonly<Record<string, Make>> = {
  "PLAIN": plain as Make,
  "SCRAM-SHA-256": scramSha256 as Make,
  "SCRAM-SHA-512": scramSha512 as Make,
  "OAUTHBEARER": ((options: Record<string, unknown>) => {
    // KafkaJS's word for it.
    const { oauthBearerProvider, ...rest } = options;
    return oauthBearer((oauthBearerProvider === undefined ? rest : { ...rest, token: oauthBearerProvider }) as never);
  }) as Make,
  "AWS_MSK_IAM": mskIam as Make,
};

/** The mechanism that an object with a name asks for. */
export function namedMechanism(sasl: NamedSasl): SaslMechanism {
  const { mechanism, ...options } = sasl as { readonly mechanism: unknown };
  const name = typeof mechanism === "string" ? mechanism.toUpperCase().replaceAll("_SHA_", "-SHA-") : "";
  const make = Object.hasOwn(MAKERS, name) ? MAKERS[name] : undefined;
  if (make === undefined) throw new ConfigError("sasl", unknownMechanism(mechanism, name));
  checkFields(`"sasl"`, options, Object.keys(options));
  return make(options as never);
}

function unknownMechanism(mechanism: unknown, name: string): string {
  const wanted = `Set "mechanism" of "sasl" to one of ${Object.keys(MAKERS).join(", ")}`;
  if (name === "GSSAPI" || name === "KERBEROS") {
    return `${wanted}: Kerberos (GSSAPI) isn't offered, for no implementation of it runs on all runtimes.`;
  }
  if (name === "AWS") return `${wanted}: "aws" of KafkaJS is a mechanism of its own; Amazon MSK speaks AWS_MSK_IAM.`;
  // RFC 4422 names them so; anything else may be a secret in the wrong place.
  const shown = typeof mechanism === "string" && /^[\w-]{1,20}$/.test(mechanism) ? show(mechanism) : typeof mechanism;
  return `${wanted}: ${shown} is none.`;
}
