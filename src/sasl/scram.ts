/**
 * SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802, RFC 7677, KIP-84): both sides prove that they know the password, and it
 * never crosses the wire.
 *
 * @module
 */

import { AuthenticationError, ConfigError } from "../errors.ts";
import { randomBytes } from "../runtime/random_bytes.ts";
import { base64, type Bytes, digest, fromBase64, type Hash, hmac, hmacKey, sign, textOf, utf8 } from "./bytes.ts";
import { checkFields, checkText, type Provided, provided, type SaslExchange, type SaslMechanism } from "./mechanism.ts";

/** What SCRAM needs to know. */
export interface ScramCredentials {
  /** Who authenticates. Kafka's brokers know ASCII names only. */
  readonly username: string;
  /** The password, hashed as the UTF-8 bytes that it has, as Kafka's tools do. */
  readonly password: string;
  /** As whom to act, if not as oneself. */
  readonly authorizationId?: string | undefined;
  /** The user name and the password are those of a delegation token (KIP-48). @default false */
  readonly delegationToken?: boolean | undefined;
}

/** Kafka's own least number; fewer would make a stolen exchange cheap to guess a password from. */
const LEAST_ITERATIONS = 4_096;
/** A hostile server could otherwise keep a processor busy for as long as it likes. */
const MOST_ITERATIONS = 1_000_000;
/** Kafka's salts have 20 to 30 bytes. */
const MOST_SALT_BYTES = 1_024;
const MOST_MESSAGE_BYTES = 16_384;
const NONCE_BYTES = 18;

/** What a password, a salt and a number of iterations lead to. */
interface Keys {
  readonly source: string;
  readonly clientKey: Bytes;
  readonly storedKey: Bytes;
  readonly serverKey: Bytes;
}

/**
 * SCRAM-SHA-256.
 *
 * @param credentials the credentials, or a function that fetches them for each connection
 * @throws {ConfigError} for credentials that can't be right
 * @example
 * ```ts
 * import { Producer } from "@sluice/kafka";
 * import { scramSha256 } from "@sluice/kafka/sasl";
 *
 * const sasl = scramSha256({ username: "app", password: "secret" });
 * const producer = new Producer({ brokers: "kafka.example:9093", tls: true, sasl });
 * await producer.close();
 * ```
 */
export function scramSha256(credentials: Provided<ScramCredentials>): SaslMechanism {
  return scram("SHA-256", credentials);
}

/** SCRAM-SHA-512, otherwise as {@link scramSha256}; the one that Amazon MSK offers. */
export function scramSha512(credentials: Provided<ScramCredentials>): SaslMechanism {
  return scram("SHA-512", credentials);
}

/** @internal With a nonce of the test's own. */
export function scram(
  hash: Hash,
  credentials: Provided<ScramCredentials>,
  nonceOf: () => string = freshNonce,
): SaslMechanism {
  const name = `SCRAM-${hash}`;
  if (typeof credentials !== "function") check(credentials);
  // Thousands of rounds of hashing: once for all connections, as long as the broker's salt is the same.
  let keys: Keys | undefined;
  const keysFor = async (password: string, salt: string, iterations: number): Promise<Keys> => {
    const source = `${iterations},${salt},${password}`;
    if (keys?.source !== source) keys = await derive(hash, source, utf8(password), fromBase64(salt), iterations);
    return keys;
  };
  return {
    name,
    messages: 2,
    async authenticate(exchange: SaslExchange): Promise<void> {
      const given = await provided(credentials);
      check(given);
      const { username, password, authorizationId, delegationToken } = given;
      const nonce = nonceOf();
      const header = `n,${authorizationId === undefined ? "" : `a=${escaped(authorizationId)}`},`;
      const first = `n=${escaped(username)},r=${nonce}${delegationToken ? ",tokenauth=true" : ""}`;
      const challenge = read(name, exchange, await exchange.send(utf8(header + first)));
      const { serverNonce, salt, iterations } = parseChallenge(name, exchange, challenge, nonce);
      const { clientKey, storedKey, serverKey } = await keysFor(password, salt, iterations);
      const bare = `c=${base64(utf8(header))},r=${serverNonce}`;
      const signed = utf8(`${first},${challenge},${bare}`);
      const signature = await hmac(hash, storedKey, signed);
      const proof = clientKey.map((byte, index) => byte ^ signature[index]!);
      const last = read(name, exchange, await exchange.send(utf8(`${bare},p=${base64(proof)}`)));
      const wanted = base64(await hmac(hash, serverKey, signed));
      const { v, e } = attributesOf(last);
      if (e !== undefined) throw refused(name, exchange, `The broker says: ${quoted(e)}.`);
      // Who doesn't know the password can't have signed: this is not the broker that it claims to be.
      if (v === undefined || !isEqual(v, wanted)) {
        throw refused(name, exchange, "The broker's signature is wrong: it doesn't know the password.");
      }
    },
  };
}

function check(credentials: ScramCredentials): void {
  const known = ["username", "password", "authorizationId", "delegationToken"];
  checkFields("scramSha256() or scramSha512()", credentials, known);
  checkText("username", credentials.username);
  checkText("password", credentials.password);
  if (credentials.authorizationId !== undefined) checkText("authorizationId", credentials.authorizationId);
  if (credentials.delegationToken !== undefined && typeof credentials.delegationToken !== "boolean") {
    throw new ConfigError("sasl", `Set "delegationToken" of "sasl" to true or false.`);
  }
}

function freshNonce(): string {
  return base64(randomBytes(NONCE_BYTES));
}

/** A comma and an equals sign have a meaning in SCRAM's messages. */
function escaped(name: string): string {
  return name.replaceAll("=", "=3D").replaceAll(",", "=2C");
}

function read(name: string, exchange: SaslExchange, bytes: Uint8Array): string {
  if (bytes.length === 0 || bytes.length > MOST_MESSAGE_BYTES) {
    const wanted = `1 to ${MOST_MESSAGE_BYTES}`;
    throw refused(name, exchange, `The broker's message has ${bytes.length} bytes, wanted ${wanted}.`);
  }
  try {
    return textOf(bytes);
  } catch {
    throw refused(name, exchange, "The broker's message is no text.");
  }
}

function attributesOf(message: string): Readonly<Record<string, string | undefined>> {
  return Object.fromEntries(message.split(",").map((part) => [part.slice(0, part.indexOf("=")), part.slice(2)]));
}

function parseChallenge(
  name: string,
  exchange: SaslExchange,
  challenge: string,
  nonce: string,
): { serverNonce: string; salt: string; iterations: number } {
  const { r, s, i, e, m } = attributesOf(challenge);
  if (e !== undefined) throw refused(name, exchange, `The broker says: ${quoted(e)}.`);
  if (m !== undefined) throw refused(name, exchange, "The broker demands an extension that isn't known here.");
  if (r === undefined || r.length <= nonce.length || !r.startsWith(nonce)) {
    throw refused(
      name,
      exchange,
      "The broker's nonce doesn't begin with ours: this may be an old exchange played again.",
    );
  }
  const iterations = /^[1-9]\d{0,9}$/.test(i ?? "") ? Number(i) : NaN;
  if (!(iterations >= LEAST_ITERATIONS && iterations <= MOST_ITERATIONS)) {
    const wanted = `${LEAST_ITERATIONS} to ${MOST_ITERATIONS}`;
    throw refused(name, exchange, `The broker asks for ${quoted(i ?? "no")} iterations, wanted ${wanted}.`);
  }
  const salt = s ?? "";
  let saltBytes = 0;
  try {
    saltBytes = fromBase64(salt).length;
  } catch {
    // told below
  }
  if (saltBytes === 0 || saltBytes > MOST_SALT_BYTES) {
    throw refused(name, exchange, `The broker's salt can't be right, wanted 1 to ${MOST_SALT_BYTES} bytes in base64.`);
  }
  return { serverNonce: r, salt, iterations };
}

async function derive(hash: Hash, source: string, password: Bytes, salt: Bytes, iterations: number): Promise<Keys> {
  const salted = await saltedPassword(hash, password, salt, iterations);
  const clientKey = await hmac(hash, salted, utf8("Client Key"));
  const serverKey = await hmac(hash, salted, utf8("Server Key"));
  return { source, clientKey, storedKey: await digest(hash, clientKey), serverKey };
}

/** @internal PBKDF2 (RFC 8018): by the runtime, as far as it does so many iterations. */
export async function saltedPassword(hash: Hash, password: Bytes, salt: Bytes, iterations: number): Promise<Bytes> {
  const bits = hash === "SHA-256" ? 256 : 512;
  try {
    const key = await crypto.subtle.importKey("raw", password, "PBKDF2", false, ["deriveBits"]);
    return new Uint8Array(await crypto.subtle.deriveBits({ name: "PBKDF2", hash, salt, iterations }, key, bits));
  } catch {
    // Cloudflare's Workers refuse more than 100,000 iterations in one call.
    return await pbkdf2(hash, password, salt, iterations);
  }
}

/** @internal One block of PBKDF2 (RFC 8018), hash by hash. */
export async function pbkdf2(hash: Hash, password: Bytes, salt: Bytes, iterations: number): Promise<Bytes> {
  const key = await hmacKey(hash, password);
  const block = new Uint8Array(salt.length + 4);
  block.set(salt);
  block[salt.length + 3] = 1;
  let round = await sign(key, block);
  const result = round.slice();
  for (let i = 1; i < iterations; i++) {
    round = await sign(key, round);
    for (let at = 0; at < result.length; at++) result[at]! ^= round[at]!;
  }
  return result;
}

/** In the same time wherever they differ. */
function isEqual(a: string, b: string): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < b.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i);
  return difference === 0;
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 200));
}

function refused(name: string, { host, port }: SaslExchange, why: string): AuthenticationError {
  const broker = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  return new AuthenticationError(`${name} with ${broker} failed. ${why}`, { broker });
}
