/**
 * KafkaJS's SASL: by name, its own mechanism `aws`, and mechanisms of the caller's own.
 *
 * @module
 */

import type { SaslExchange, SaslMechanism } from "../../sasl/mechanism.ts";
import type { NamedSasl } from "../../sasl/named.ts";
import { KafkaJSNonRetriableError } from "./errors.ts";
import { nodeBytes } from "./compression.ts";
import type { Logger } from "./logger.ts";
import type { KafkaConfig, Mechanism, SaslAuthenticateArgs } from "./types.ts";

/** Bytes before a message that tell its length. */
const PREFIX_BYTES = 4;

/** The mechanism in the form that a producer takes. */
export function saslOf(sasl: NonNullable<KafkaConfig["sasl"]>, logger: Logger): NamedSasl | SaslMechanism {
  const { mechanism } = sasl;
  if (typeof mechanism !== "string") throw new KafkaJSNonRetriableError(`Set "mechanism" of "sasl" to its name.`);
  if (typeof (sasl as Mechanism).authenticationProvider === "function") return ownMechanism(sasl as Mechanism, logger);
  return mechanism.toLowerCase() === "aws" ? awsOf(sasl as AwsSasl) : sasl as NamedSasl;
}

type AwsSasl = Extract<KafkaConfig["sasl"], { mechanism: "aws" }>;

/** KafkaJS's `aws`: what a user is and knows, in one message. */
function awsOf({ authorizationIdentity, accessKeyId, secretAccessKey, sessionToken = "" }: AwsSasl): SaslMechanism {
  for (const [name, value] of Object.entries({ authorizationIdentity, accessKeyId, secretAccessKey })) {
    if (typeof value !== "string" || value === "") throw new KafkaJSNonRetriableError(`SASL AWS-IAM: Missing ${name}`);
  }
  const message = [authorizationIdentity, accessKeyId, secretAccessKey, sessionToken].join("\0");
  return {
    name: "AWS",
    messages: 1,
    sendsPassword: true,
    authenticate: async ({ send }) => void await send(new TextEncoder().encode(message)),
  };
}

/** A mechanism of the caller's own, whose messages and answers have their length before them. */
function ownMechanism({ mechanism, authenticationProvider }: Mechanism, logger: Logger): SaslMechanism {
  const name = mechanism.toUpperCase();
  return {
    name,
    // What it sends nobody knows; KafkaJS sends it through any line.
    authenticate: async (exchange) => {
      const { host, port } = exchange;
      const saslAuthenticate = <T>(args: SaslAuthenticateArgs<T>) => converse(exchange, args);
      const own = logger.namespace(`SaslAuthenticator-${name}`);
      await authenticationProvider({ host, port, logger: own, saslAuthenticate }).authenticate();
    },
  };
}

async function converse<T>(
  { send }: SaslExchange,
  { request, response }: SaslAuthenticateArgs<T>,
): Promise<T | void> {
  const answer = await send(withoutPrefix(await request.encode()));
  if (response === undefined) return;
  return response.parse(await response.decode(nodeBytes(withPrefix(answer))));
}

function withoutPrefix(message: Uint8Array): Uint8Array {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  const hasPrefix = message.length >= PREFIX_BYTES && view.getInt32(0) === message.length - PREFIX_BYTES;
  if (hasPrefix) return message.subarray(PREFIX_BYTES);
  throw new KafkaJSNonRetriableError("Let encode() return the message with its length before it, in four bytes.");
}

function withPrefix(answer: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(PREFIX_BYTES + answer.length);
  new DataView(bytes.buffer).setInt32(0, answer.length);
  bytes.set(answer, PREFIX_BYTES);
  return bytes;
}
