/**
 * PLAIN (RFC 4616): user name and password as they are.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { utf8 } from "./bytes.ts";
import { checkFields, checkText, type Provided, provided, type SaslMechanism } from "./mechanism.ts";

/** What PLAIN says. */
export interface PlainCredentials {
  /** Who authenticates. */
  readonly username: string;
  /** The password. */
  readonly password: string;
  /** As whom to act, if not as oneself. */
  readonly authorizationId?: string | undefined;
}

/**
 * PLAIN: for Confluent Cloud, Event Hubs, and brokers with a list of users. The password crosses the wire as it is, so
 * without TLS it is refused, unless `securityProtocol: "sasl_plaintext"` asks for that in words.
 *
 * @param credentials the credentials, or a function that fetches them for each connection
 * @throws {ConfigError} for credentials that can't be right
 * @example
 * ```ts
 * import { Producer } from "@sluice/kafka";
 * import { plain } from "@sluice/kafka/sasl";
 *
 * const sasl = plain({ username: "app", password: "secret" });
 * const producer = new Producer({ brokers: "kafka.example:9093", tls: true, sasl });
 * await producer.close();
 * ```
 */
export function plain(credentials: Provided<PlainCredentials>): SaslMechanism {
  if (typeof credentials !== "function") messageOf(credentials);
  return {
    name: "PLAIN",
    sendsPassword: true,
    messages: 1,
    async authenticate({ send }) {
      await send(messageOf(await provided(credentials)));
    },
  };
}

function messageOf(credentials: PlainCredentials): Uint8Array {
  checkFields("plain()", credentials, ["username", "password", "authorizationId"]);
  const { username, password, authorizationId = "" } = credentials;
  checkText("username", username);
  checkText("password", password);
  if (authorizationId !== "") checkText("authorizationId", authorizationId);
  const parts = [authorizationId, username, password];
  if (parts.some((part) => part.includes("\0"))) {
    throw new ConfigError(
      "sasl",
      "Take the NUL characters out of the credentials: PLAIN separates its fields by them.",
    );
  }
  return utf8(parts.join("\0"));
}
