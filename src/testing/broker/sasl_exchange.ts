/**
 * The mechanisms of SASL from the broker's side: what a client's message leads to.
 *
 * @module
 */

import { presign } from "../../sasl/aws.ts";
import { base64, digest, fromBase64, type Hash, hmac, textOf, utf8 } from "../../sasl/bytes.ts";
import { saltedPassword } from "../../sasl/scram.ts";

/** Who may do what in an embedded cluster that wants to know its clients. */
export interface SaslOptions {
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

/** What comes of a message. */
export interface Step {
  readonly answer?: Uint8Array;
  /** Who it is: the exchange is over. */
  readonly user?: string;
  /** Why not: the exchange is over. */
  readonly refusal?: string;
}

type Exchange = (message: Uint8Array) => Promise<Step>;

/** The mechanisms that are on offer. */
export function mechanismsOf({ users, token, aws, mechanisms }: SaslOptions): readonly string[] {
  return mechanisms ?? [
    ...users === undefined ? [] : ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"],
    ...token === undefined ? [] : ["OAUTHBEARER"],
    ...aws === undefined ? [] : ["AWS_MSK_IAM"],
  ];
}

/** One exchange with one client. */
export class SaslExchange {
  readonly #options: SaslOptions;
  readonly #wallNow: () => number;
  #next: Exchange;

  /** Begins an exchange by a mechanism that is on offer. */
  constructor(mechanism: string, options: SaslOptions, wallNow: () => number) {
    this.#options = options;
    this.#wallNow = wallNow;
    this.#next = this.#begin(mechanism);
  }

  /** Takes the client's next message. */
  take(message: Uint8Array): Promise<Step> {
    const next = this.#next;
    return Promise.resolve().then(() => next(message)).catch(() => WRONG);
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
    const salted = await saltedPassword(hash, utf8(password), salt, iterations);
    const storedKey = await digest(hash, await hmac(hash, salted, utf8("Client Key")));
    const serverKey = await hmac(hash, salted, utf8("Server Key"));
    const challenge = `r=${nonce}${base64(salt.subarray(0, 12))},s=${base64(salt)},i=${iterations}`;
    this.#next = async (next) => {
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
    this.#next = () => Promise.resolve({ refusal: `{"status":"${status}"}` });
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
