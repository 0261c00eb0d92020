/**
 * Bearer tokens: where they come from, and how long one serves.
 *
 * @module
 */

import { isHarmless } from "../error_like.ts";
import { AuthenticationError } from "../errors.ts";
import { fromBase64, textOf } from "./bytes.ts";
import type { SaslExchange } from "./mechanism.ts";

/** A token for OAUTHBEARER. */
export interface OAuthToken {
  /** The token as it is sent. */
  readonly value: string;
  /** When it ends, in ms since the epoch. @default the `exp` of a JWT; a token of unknown end serves once */
  readonly expiresAtMs?: number | undefined;
  /** Extensions (KIP-342) that go with this token, beside those of the mechanism. */
  readonly extensions?: Readonly<Record<string, string>> | undefined;
}

/** What a token provider may use. */
export interface TokenContext {
  /** Aborted when the time for the handshake is over. */
  readonly signal: AbortSignal;
  /** The broker that asks. */
  readonly host: string;
  /** The wall clock, in ms since the epoch. */
  wallNow(): number;
  /** Resolves after so many ms, or when the signal is aborted. */
  sleep(delayMs: number): Promise<void>;
}

/** Fetches a token. Called when there is none that serves; rejections reach `connect()` and the waiting records. */
export type TokenProvider = (context: TokenContext) => string | OAuthToken | Promise<string | OAuthToken>;

/** A token is fetched anew after this share of its life, give or take the jitter (as Java's client does). */
const REFRESH_SHARE = 0.8;
const REFRESH_JITTER = 0.05;
/** Not again so soon after the last time … */
const LEAST_REFRESH_MS = 60_000;
/** … and not so late that it could end on the way; both give way where a token lives too short for them. */
const BEFORE_END_MS = 300_000;

interface Held {
  readonly token: OAuthToken;
  readonly endMs: number;
  readonly refreshMs: number;
}

/** Keeps the token of one mechanism and fetches the next one in time. Connections that want one at once share it. */
export class TokenCache {
  readonly #provider: TokenProvider;
  #held: Held | undefined;
  #fetching: Promise<OAuthToken> | undefined;

  /** Takes tokens from the given provider. */
  constructor(provider: TokenProvider) {
    this.#provider = provider;
  }

  /** A token that serves now. If the next one can't be fetched, the one at hand does until its end. */
  async token(exchange: SaslExchange): Promise<OAuthToken> {
    const nowMs = exchange.wallNow();
    const held = this.#held;
    if (held !== undefined && nowMs < held.refreshMs) return held.token;
    try {
      return await this.#fetch(exchange);
    } catch (error) {
      if (held !== undefined && exchange.wallNow() < held.endMs) return held.token;
      throw error;
    }
  }

  /** The broker has refused the token: the next connection gets another one. */
  drop(token: OAuthToken): void {
    if (this.#held?.token === token) this.#held = undefined;
  }

  #fetch(exchange: SaslExchange): Promise<OAuthToken> {
    this.#fetching ??= this.#fetchOne(exchange).finally(() => this.#fetching = undefined);
    return this.#fetching;
  }

  async #fetchOne(exchange: SaslExchange): Promise<OAuthToken> {
    let given: string | OAuthToken;
    try {
      given = await this.#provider(exchange);
    } catch (error) {
      if (isHarmless(error)) throw error;
      throw new AuthenticationError("The token for OAUTHBEARER could not be fetched: its provider failed.", {
        code: "TOKEN_UNAVAILABLE",
        retriable: true,
        cause: error,
      });
    }
    const token = typeof given === "string" ? { value: given } : given;
    checkToken(token);
    const nowMs = exchange.wallNow();
    const endMs = token.expiresAtMs ?? endOfJwt(token.value);
    if (endMs === undefined) return token;
    if (endMs <= nowMs) {
      throw new AuthenticationError(
        `The token for OAUTHBEARER ended ${Math.round((nowMs - endMs) / 1_000)} s ago. Fetch a new one each time the ` +
          `provider is called, and compare the clocks.`,
        { code: "TOKEN_EXPIRED", retriable: true },
      );
    }
    this.#held = { token, endMs, refreshMs: refreshAt(nowMs, endMs, exchange.random()) };
    return token;
  }
}

/** @internal When to fetch the next token, between now and the end of this one. */
export function refreshAt(nowMs: number, endMs: number, random: number): number {
  const lifeMs = endMs - nowMs;
  const share = REFRESH_SHARE + (2 * random - 1) * REFRESH_JITTER;
  if (lifeMs <= LEAST_REFRESH_MS + BEFORE_END_MS) return nowMs + lifeMs * share;
  return Math.min(endMs - BEFORE_END_MS, Math.max(nowMs + LEAST_REFRESH_MS, nowMs + lifeMs * share));
}

/** RFC 6750: what can stand behind "Bearer". The token itself stands in no message. */
function checkToken(token: OAuthToken): void {
  const { value, expiresAtMs } = token ?? {};
  if (typeof value !== "string" || !/^[\w\-.~+/]+=*$/.test(value)) {
    throw new AuthenticationError(
      `Let the token provider return a token, as text or as { value, expiresAtMs }: what it returned is no bearer token.`,
      { code: "TOKEN_INVALID" },
    );
  }
  if (expiresAtMs !== undefined && !Number.isFinite(expiresAtMs)) {
    throw new AuthenticationError(`Let the token provider return "expiresAtMs" in ms since the epoch.`, {
      code: "TOKEN_INVALID",
    });
  }
}

/** The end that a JSON web token names, in ms; undefined if it is none or names none. */
function endOfJwt(value: string): number | undefined {
  const parts = value.split(".");
  if (parts.length !== 3) return undefined;
  try {
    const { exp } = JSON.parse(textOf(fromBase64(parts[1]!)));
    return typeof exp === "number" && Number.isFinite(exp) ? exp * 1_000 : undefined;
  } catch {
    return undefined;
  }
}
