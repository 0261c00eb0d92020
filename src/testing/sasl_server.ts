/**
 * The broker's side of authentication: who is who, and until when.
 *
 * As Kafka does: before a client has authenticated it may ask for versions and nothing else, or the connection ends;
 * a refusal is answered after a pause, then the connection ends; a session that has a limit must be renewed within it by
 * the same user (KIP-368).
 *
 * @module
 */

import type { ResponseInputOf } from "../protocol/api.ts";
import type { SaslAuthenticate, SaslHandshake } from "../protocol/messages/mod.ts";
import { presign } from "../sasl/aws.ts";
import { base64, type Bytes, digest, fromBase64, type Hash, hmac, textOf, utf8 } from "../sasl/bytes.ts";
import { pbkdf2 } from "../sasl/scram.ts";

/** Who may do what in an embedded cluster that wants to know its clients. */
export interface EmbeddedSaslOptions {
  /** Passwords by user name, for PLAIN and SCRAM; what is changed here holds for the next authentication. */
  readonly users?: Readonly<Record<string, string>>;
  /**
   * Decides about a token for OAUTHBEARER: the status of a refusal, such as `"invalid_token"`, or undefined if it is
   * good. Without it the mechanism isn't offered.
   */
  readonly token?: (token: string, extensions: Readonly<Record<string, string>>) => string | undefined;
  /** The identity that AWS_MSK_IAM knows; without it the mechanism isn't offered. */
  readonly aws?: { readonly accessKeyId: string; readonly secretAccessKey: string; readonly sessionToken?: string };
  /** The mechanisms on offer. @default all for which there are users or identities */
  readonly mechanisms?: readonly string[];
  /** `connections.max.reauth.ms`: how long a session lives; 0 for as long as the connection. @default 0 */
  readonly maxReauthMs?: number;
  /** The rounds of SCRAM. @default 4096 */
  readonly iterations?: number;
  /** `connection.failed.authentication.delay.ms`. @default 100 */
  readonly failureDelayMs?: number;
}

const UNSUPPORTED_SASL_MECHANISM = 33;
const ILLEGAL_SASL_STATE = 34;
const SASL_AUTHENTICATION_FAILED = 58;
const NOTHING: Bytes = new Uint8Array(0);

type Authenticated = ResponseInputOf<typeof SaslAuthenticate>;

/** What comes of a message. */
interface Step {
  readonly answer?: Uint8Array;
  /** Who it is: the exchange is over. */
  readonly user?: string;
  /** Why not: the exchange is over. */
  readonly refusal?: string;
}

/** The rest of an exchange. */
type Exchange = (message: Uint8Array) => Promise<Step>;

/** One connection's authentication. */
export class SaslServer {
  readonly #options: EmbeddedSaslOptions;
  readonly #wallNow: () => number;
  #exchange: Exchange | undefined;
  #user: string | undefined;
  #endsAtMs = Infinity;

  /** Nobody has authenticated yet. */
  constructor(options: EmbeddedSaslOptions, wallNow: () => number) {
    this.#options = options;
    this.#wallNow = wallNow;
  }

  /** Whether other requests are served now. */
  get isOpen(): boolean {
    return this.#user !== undefined && this.#exchange === undefined && this.#wallNow() < this.#endsAtMs;
  }

  /** Whether a SaslAuthenticate request makes sense. */
  get isUnderWay(): boolean {
    return this.#exchange !== undefined;
  }

  /** Begins an exchange. */
  shake(mechanism: string): ResponseInputOf<typeof SaslHandshake> {
    const mechanisms = this.#mechanisms();
    if (!mechanisms.includes(mechanism)) return { errorCode: UNSUPPORTED_SASL_MECHANISM, mechanisms };
    this.#exchange = this.#begin(mechanism);
    return { errorCode: 0, mechanisms };
  }

  /** Takes a message of an exchange; `ends` says that the connection is to be closed behind the answer. */
  async take(message: Uint8Array): Promise<{ readonly body: Authenticated; readonly ends: boolean }> {
    if (this.#exchange === undefined) {
      const errorMessage = "SaslAuthenticate request received after successful authentication";
      return { body: { errorCode: ILLEGAL_SASL_STATE, errorMessage, authBytes: NOTHING }, ends: false };
    }
    const { answer = NOTHING, user, refusal } = await this.#exchange(message).catch((): Step => ({
      refusal: "Authentication failed: the message can't be read",
    }));
    const isOther = user !== undefined && this.#user !== undefined && user !== this.#user;
    const errorMessage = isOther ? `Cannot change principals during re-authentication` : refusal;
    if (errorMessage !== undefined) {
      return { body: { errorCode: SASL_AUTHENTICATION_FAILED, errorMessage, authBytes: NOTHING }, ends: true };
    }
    if (user === undefined) return { body: { errorCode: 0, errorMessage: null, authBytes: answer }, ends: false };
    const { maxReauthMs = 0 } = this.#options;
    this.#exchange = undefined;
    this.#user = user;
    this.#endsAtMs = maxReauthMs > 0 ? this.#wallNow() + maxReauthMs : Infinity;
    const body = { errorCode: 0, errorMessage: null, authBytes: answer, sessionLifetimeMs: BigInt(maxReauthMs) };
    return { body, ends: false };
  }

  #mechanisms(): readonly string[] {
    const { users, token, aws, mechanisms } = this.#options;
    return mechanisms ?? [
      ...users === undefined ? [] : ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"],
      ...token === undefined ? [] : ["OAUTHBEARER"],
      ...aws === undefined ? [] : ["AWS_MSK_IAM"],
    ];
  }

  #begin(mechanism: string): Exchange {
    switch (mechanism) {
      case "PLAIN":
        return (message) => Promise.resolve(this.#plain(message));
      case "OAUTHBEARER":
        return (message) => Promise.resolve(this.#bearer(message));
      case "AWS_MSK_IAM":
        return (message) => this.#aws(message);
      default:
        return (message) => this.#scram(mechanism.endsWith("512") ? "SHA-512" : "SHA-256", message);
    }
  }

  #plain(message: Uint8Array): Step {
    const [authorizationId, user, password] = textOf(message).split("\0");
    if (user === undefined || password === undefined || this.#passwordOf(user) !== password) return WRONG;
    if (authorizationId !== "" && authorizationId !== user) return WRONG;
    return { user };
  }

  async #scram(hash: Hash, message: Uint8Array): Promise<Step> {
    const first = textOf(message);
    const [, , bare] = /^n,(a=[^,]*)?,(.*)$/.exec(first) ?? [];
    const [, escaped, nonce] = /^n=([^,]*),r=([^,]+)/.exec(bare ?? "") ?? [];
    if (bare === undefined || escaped === undefined || nonce === undefined) return WRONG;
    const user = escaped.replaceAll("=2C", ",").replaceAll("=3D", "=");
    const password = this.#passwordOf(user);
    if (password === undefined) return WRONG;
    const { iterations = 4_096 } = this.#options;
    const salt = await digest("SHA-256", utf8(`salt of ${user}`));
    const salted = await pbkdf2(hash, utf8(password), salt, iterations);
    const storedKey = await digest(hash, await hmac(hash, salted, utf8("Client Key")));
    const serverKey = await hmac(hash, salted, utf8("Server Key"));
    const challenge = `r=${nonce}${base64(salt.subarray(0, 12))},s=${base64(salt)},i=${iterations}`;
    this.#exchange = async (next) => {
      const [, final, proof] = /^(c=[^,]*,r=[^,]*),p=(.*)$/.exec(textOf(next)) ?? [];
      if (final === undefined || proof === undefined) return WRONG;
      const signed = utf8(`${bare},${challenge},${final}`);
      const signature = await hmac(hash, storedKey, signed);
      const clientKey = fromBase64(proof).map((byte, index) => byte ^ signature[index]!);
      if (base64(await digest(hash, clientKey)) !== base64(storedKey)) return WRONG;
      return { user, answer: utf8(`v=${base64(await hmac(hash, serverKey, signed))}`) };
    };
    return { answer: utf8(challenge) };
  }

  #bearer(message: Uint8Array): Step {
    const [, ...pairs] = textOf(message).split("\x01").filter((part) => part !== "");
    const extensions = Object.fromEntries(pairs.map((pair) => {
      const at = pair.indexOf("=");
      return [pair.slice(0, at), pair.slice(at + 1)];
    }));
    const { auth, ...rest } = extensions;
    const token = auth?.replace(/^Bearer /, "") ?? "";
    const status = this.#options.token?.(token, rest);
    if (status === undefined) return { user: `token ${token}` };
    // The client confirms that it has read the reason, then it is refused.
    this.#exchange = () => Promise.resolve({ refusal: `{"status":"${status}"}` });
    return { answer: utf8(JSON.stringify({ status })) };
  }

  async #aws(message: Uint8Array): Promise<Step> {
    const { version, host, "user-agent": _, "x-amz-signature": signature, ...fields } = JSON.parse(textOf(message));
    const { aws } = this.#options;
    const [accessKeyId, , region, service] = String(fields["x-amz-credential"]).split("/");
    const date = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(fields["x-amz-date"])!.slice(1).map(Number);
    const [year, month, day, hour, minute, second] = date as [number, number, number, number, number, number];
    const nowMs = Date.UTC(year, month - 1, day, hour, minute, second);
    if (version !== "2020_10_22" || service !== "kafka-cluster" || accessKeyId !== aws?.accessKeyId) {
      return { refusal: "Access denied" };
    }
    if (Math.abs(this.#wallNow() - nowMs) > 900_000) return { refusal: "Signature expired" };
    const wanted = await presign({
      host,
      path: "/",
      service,
      region: region!,
      credentials: aws!,
      nowMs,
      expiresS: Number(fields["x-amz-expires"]),
      query: { Action: fields.action },
    });
    if (wanted["X-Amz-Signature"] !== signature) return { refusal: "Access denied" };
    return { user: accessKeyId!, answer: utf8(`{"version":"2020_10_22","request-id":"1"}`) };
  }

  #passwordOf(user: string): string | undefined {
    const { users = {} } = this.#options;
    return Object.hasOwn(users, user) ? users[user] : undefined;
  }
}

const WRONG: Step = { refusal: "Authentication failed: Invalid username or password" };
