/**
 * Options for hosted brokers: what each service wants is in its documentation, and is easily missed.
 *
 * The mechanisms stand here by their names, so that a bundle has only those that it uses; with the core, which knows no
 * names, put a mechanism of `@sluice/kafka/sasl` behind the preset.
 *
 * @module
 */

import { ConfigError } from "../../errors.ts";
import type { AwsOptions } from "../../sasl/aws.ts";
import type { TokenProvider } from "../../sasl/token.ts";
import type { ProducerOptions } from "./options.ts";

/** What a preset for hosted brokers sets, `brokers` included. */
export type HostedPreset = Partial<Omit<ProducerOptions, "brokers" | "keySerializer" | "valueSerializer">> & {
  readonly brokers: string | readonly string[];
};

/** How to sign in to Confluent Cloud: with an API key, or with tokens of an identity provider. */
export type ConfluentCloudOptions =
  | {
    /** The bootstrap server, as the console shows it. */
    readonly brokers: string | readonly string[];
    /** The API key. */
    readonly apiKey: string;
    /** Its secret. */
    readonly apiSecret: string;
  }
  | {
    /** The bootstrap server, as the console shows it. */
    readonly brokers: string | readonly string[];
    /** Fetches tokens, such as `oidc({ … })` of `@sluice/kafka/sasl`. */
    readonly token: TokenProvider;
    /** The cluster's id, such as `"lkc-abc123"`. */
    readonly logicalCluster: string;
    /** The identity pool, where the identity provider has several. */
    readonly identityPoolId?: string | undefined;
  };

/** How to sign in to Amazon MSK: with an identity of AWS, or with a user of SCRAM. */
export type MskOptions =
  | AwsOptions & {
    /** The bootstrap servers. Port 9098 unless it is written. */
    readonly brokers: string | readonly string[];
  }
  | {
    /** The bootstrap servers. Port 9096 unless it is written. */
    readonly brokers: string | readonly string[];
    /** A user whose secret is associated with the cluster. */
    readonly username: string;
    /** The password. */
    readonly password: string;
  };

const EVENT_HUBS_PORT = 9093;
/** What Event Hubs hangs up on without a word is a little above. */
const EVENT_HUBS_REQUEST_BYTES = 1_000_000;
/** Load balancers of Azure forget a connection after four minutes. */
const CLOUD_IDLE_MS = 180_000;
const [MSK_IAM_PORT, MSK_SCRAM_PORT] = [9098, 9096];
const CONFLUENT_PORT = 9092;
const API_KEY = ["apiKey", "apiSecret"];
const TOKENS = ["token", "logicalCluster"];

/** Azure Event Hubs, by the connection string that the portal shows. */
export function eventHubs(connectionString: string): HostedPreset {
  const wanted = `"Endpoint=sb://NAME.servicebus.windows.net/;SharedAccessKeyName=…;SharedAccessKey=…"`;
  const refuse = (what: string): never => {
    throw new ConfigError("sasl", `Pass presets.eventHubs() a connection string like ${wanted}: ${what}.`);
  };
  if (connectionString === undefined) {
    return refuse(`there is none, and the portal has it under "Shared access policies"`);
  }
  if (typeof connectionString !== "string") return refuse(`a value of type ${typeof connectionString} is none`);
  const fields = new Map(
    connectionString.split(";").map((field) => {
      const at = field.indexOf("=");
      return [field.slice(0, Math.max(0, at)).trim().toLowerCase(), field.slice(at + 1).trim()] as const;
    }),
  );
  // The key itself stands in no message.
  const host = /^sb:\/\/([\w.-]+)\/?$/i.exec(fields.get("endpoint") ?? "")?.[1];
  if (host === undefined) return refuse(`it has no "Endpoint" of that form`);
  if (fields.get("sharedaccesssignature") === undefined) {
    for (const name of ["SharedAccessKeyName", "SharedAccessKey"]) {
      if (!fields.get(name.toLowerCase())) return refuse(`it has no "${name}"`);
    }
  }
  return {
    brokers: `${host}:${EVENT_HUBS_PORT}`,
    tls: true,
    sasl: { mechanism: "plain", username: "$ConnectionString", password: connectionString },
    maxRequestSize: EVENT_HUBS_REQUEST_BYTES,
    requestTimeoutMs: 60_000,
    connectionMaxIdleMs: CLOUD_IDLE_MS,
    metadataMaxAgeMs: CLOUD_IDLE_MS,
  };
}

/** Confluent Cloud. */
export function confluentCloud(options: ConfluentCloudOptions): HostedPreset {
  const given = checkFields("confluentCloud", options, ["brokers", ...API_KEY, ...TOKENS, "identityPoolId"]);
  const common = {
    brokers: withPort(given["brokers"], CONFLUENT_PORT, "the console has them in the cluster's settings"),
    tls: true,
    connectionMaxIdleMs: CLOUD_IDLE_MS,
    metadataMaxAgeMs: CLOUD_IDLE_MS,
  } as const;
  if ("token" in given || "logicalCluster" in given && !("apiKey" in given)) {
    needs("confluentCloud", given, TOKENS, API_KEY);
    const { token, logicalCluster, identityPoolId } = given as Extract<ConfluentCloudOptions, { token: unknown }>;
    const extensions = { logicalCluster, ...(identityPoolId === undefined ? {} : { identityPoolId }) };
    return { ...common, sasl: { mechanism: "oauthbearer", token, extensions } };
  }
  needs("confluentCloud", given, API_KEY, ["logicalCluster", "identityPoolId"]);
  const { apiKey, apiSecret } = given as Extract<ConfluentCloudOptions, { apiKey: unknown }>;
  return { ...common, sasl: { mechanism: "plain", username: apiKey, password: apiSecret } };
}

/** Amazon MSK. */
export function msk(options: MskOptions): HostedPreset {
  const given = checkFields("msk", options, ["brokers", "credentials", "region", "username", "password"]);
  const from = "aws kafka get-bootstrap-brokers prints them";
  if ("username" in given || "password" in given) {
    needs("msk", given, ["username", "password"], ["credentials", "region"]);
    const { brokers, username, password } = given as Extract<MskOptions, { username: string }>;
    return {
      brokers: withPort(brokers, MSK_SCRAM_PORT, from),
      tls: true,
      sasl: { mechanism: "scram-sha-512", username, password },
    };
  }
  const { brokers, ...identity } = given;
  return { brokers: withPort(brokers, MSK_IAM_PORT, from), tls: true, sasl: { mechanism: "aws_msk_iam", ...identity } };
}

function withPort(brokers: unknown, port: number, from: string): string[] {
  const texts: unknown[] = typeof brokers === "string" ? [brokers] : Array.isArray(brokers) ? brokers : [];
  // The others are variables of the environment that aren't set.
  const servers = texts.filter((text) => text !== undefined)
    .flatMap((text) => String(text).split(",")).map((text) => text.trim()).filter((text) => text !== "");
  if (servers.length === 0) {
    throw new ConfigError("brokers", `Set "brokers" to the bootstrap servers of the cluster: ${from}.`);
  }
  return servers.map((server) => /:\d+$/.test(server) ? server : `${server}:${port}`);
}

/** What was given; what is undefined, as a variable of the environment that isn't set, wasn't. */
function checkFields(preset: string, options: unknown, known: readonly string[]): Readonly<Record<string, unknown>> {
  if (typeof options !== "object" || options === null) {
    throw new ConfigError("options", `Pass presets.${preset}() an object with "brokers" and who you are.`);
  }
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    const wanted = known.map((name) => `"${name}"`).join(", ");
    throw new ConfigError(
      "options",
      `Take "${unknown.slice(0, 40)}" out of presets.${preset}(), which knows ${wanted}.`,
    );
  }
  const fields = known.map((name) => [name, (options as Readonly<Record<string, unknown>>)[name]] as const);
  return Object.fromEntries(fields.filter(([, value]) => value !== undefined));
}

/** Where it comes from, by the preset's fields. */
const SOURCES: Readonly<Record<string, string>> = {
  apiKey: "the console makes both, and so does confluent api-key create",
  token: "oidc({ … }) of @sluice/kafka/sasl fetches tokens, the console has the cluster's id",
  username: "the secret of AWS Secrets Manager that is associated with the cluster has both",
};

function needs(
  preset: string,
  given: Readonly<Record<string, unknown>>,
  wanted: readonly string[],
  others: readonly string[],
): void {
  const missing = wanted.find((name) => !(name in given));
  if (missing !== undefined) {
    const which = wanted.some((name) => name in given)
      ? `"${missing}" too`
      : wanted.map((name) => `"${name}"`).join(" and ");
    throw new ConfigError("sasl", `Give presets.${preset}() ${which}: ${SOURCES[wanted[0]!]}.`);
  }
  const other = others.find((name) => name in given);
  if (other !== undefined) {
    throw new ConfigError("sasl", `Take "${other}" out of presets.${preset}(): it doesn't go with "${wanted[0]}".`);
  }
}
