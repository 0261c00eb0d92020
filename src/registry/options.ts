/**
 * What a schema registry may be asked with.
 *
 * @module
 */

import { isObject, readOptions, refuse } from "../call_options.ts";
import { ConfigError } from "../errors.ts";
import type { FetchLike } from "../runtime/fetch.ts";
import { show } from "../show.ts";

/** Options of a registry; only `url` must be given. */
export interface SchemaRegistryOptions {
  /**
   * Where it is: `"https://registry.example.com"`, with the path of its API if it has one, as Apicurio's
   * `/apis/ccompat/v7`, or a `URL`. Of several the next is asked when one can't be reached.
   */
  readonly url: string | { readonly href: string } | readonly (string | { readonly href: string })[];
  /** Name and password, or API key and secret (Basic). @default nobody */
  readonly basic?: { readonly username: string; readonly password: string } | undefined;
  /** A token, or what gives one for each request (Bearer). @default none */
  readonly bearer?: string | (() => string | Promise<string>) | undefined;
  /** More headers for each request. @default none */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** How long one request may take, in ms. @default 30_000 */
  readonly requestTimeoutMs?: number | undefined;
  /** How often a request is sent again that found nobody, or somebody who was too busy (429, 5xx). @default 3 */
  readonly retries?: number | undefined;
  /** Asks, as the platform's `fetch` does: a proxy, a service binding, a test. @default the runtime's own */
  readonly fetch?: FetchLike | undefined;
}

/** Options with their defaults. */
export interface ResolvedRegistryOptions {
  readonly urls: readonly string[];
  readonly authorization: () => Promise<string | undefined>;
  readonly headers: Readonly<Record<string, string>>;
  readonly requestTimeoutMs: number;
  readonly retries: number;
  readonly fetch: FetchLike;
  /** What must not stand in any message. */
  readonly secrets: readonly string[];
}

const KNOWN = ["url", "basic", "bearer", "headers", "requestTimeoutMs", "retries", "fetch"] as const;
const MAX_TIMEOUT_MS = 2_147_483_647;
const MOST_RETRIES = 100;

/** Options with their defaults. @throws {ConfigError} for the first that is unknown or wrong */
export function resolveRegistryOptions(given: SchemaRegistryOptions): ResolvedRegistryOptions {
  if (!isObject(given)) {
    throw new ConfigError("options", `Pass an object with at least "url": ${typeof given} is not.`);
  }
  const options = readOptions("createSchemaRegistry", given, KNOWN);
  const { requestTimeoutMs = 30_000, retries = 3 } = options;
  const isCount = (value: unknown, least: number, most: number): boolean =>
    Number.isSafeInteger(value) && value as number >= least && value as number <= most;
  if (!isCount(requestTimeoutMs, 1, MAX_TIMEOUT_MS)) {
    refuse("requestTimeoutMs", `a whole number of ms from 1 to ${MAX_TIMEOUT_MS}`, requestTimeoutMs);
  }
  if (!isCount(retries, 0, MOST_RETRIES)) refuse("retries", `a whole number from 0 to ${MOST_RETRIES}`, retries);
  const { authorization, secrets } = credentials(options.basic, options.bearer);
  const headers = checkHeaders(options.headers);
  return {
    urls: checkUrls(options.url),
    authorization,
    headers,
    requestTimeoutMs: requestTimeoutMs as number,
    retries: retries as number,
    fetch: checkFetch(options.fetch),
    secrets: [...secrets, ...Object.values(headers)],
  };
}

function checkUrls(value: unknown): string[] {
  const given = typeof value === "string" ? value.split(",").map((part) => part.trim()) : value;
  const texts = (Array.isArray(given) ? given : [given]).map((each) =>
    isObject(each) && "href" in each ? each.href : each
  );
  if (texts.length === 0 || !texts.every((text) => typeof text === "string" && text !== "")) {
    throw new ConfigError("url", 'Set "url" to where the registry is, such as "http://localhost:8081".');
  }
  return texts.map((text: string, i) => {
    const which = texts.length === 1 ? "it" : `entry ${i + 1}`;
    let url: URL;
    try {
      url = new URL(text);
    } catch {
      // Not shown: a password may be in it.
      throw new ConfigError("url", `Set "url" to an address with http:// or https://: ${which} is none.`);
    }
    if (url.protocol !== "http:" && url.protocol !== "https:") {
      throw new ConfigError("url", `Set "url" to an address with http:// or https://: ${which} is none.`);
    }
    if (url.username !== "" || url.password !== "") {
      throw new ConfigError("url", 'Pass name and password as "basic", not in "url".');
    }
    if (url.search !== "" || url.hash !== "") {
      throw new ConfigError("url", `Leave out what is behind ? and # in "url": ${which} has it.`);
    }
    return url.href.replace(/\/+$/, "");
  });
}

function credentials(
  basic: unknown,
  bearer: unknown,
): { readonly authorization: () => Promise<string | undefined>; readonly secrets: readonly string[] } {
  if (basic !== undefined && bearer !== undefined) {
    throw new ConfigError("bearer", 'Pass either "basic" or "bearer": a request can prove one thing only.');
  }
  if (basic !== undefined) {
    const { password, username } = isObject(basic) ? basic as { username?: unknown; password?: unknown } : {};
    if (typeof username !== "string" || typeof password !== "string" || username.includes(":")) {
      throw new ConfigError("basic", 'Set "basic" to { username, password }, both texts, the first without a colon.');
    }
    const token = btoa(String.fromCharCode(...new TextEncoder().encode(`${username}:${password}`)));
    return { authorization: () => Promise.resolve(`Basic ${token}`), secrets: [password, token] };
  }
  if (bearer === undefined) return { authorization: () => Promise.resolve(undefined), secrets: [] };
  if (typeof bearer === "string" && bearer !== "") {
    return { authorization: () => Promise.resolve(`Bearer ${bearer}`), secrets: [bearer] };
  }
  if (typeof bearer !== "function") {
    throw new ConfigError("bearer", 'Set "bearer" to a token, or to a function that gives one.');
  }
  return {
    authorization: async () => {
      const token: unknown = await bearer();
      if (typeof token === "string" && token !== "") return `Bearer ${token}`;
      throw new ConfigError("bearer", '"bearer" gave no token: return a text that isn\'t empty.');
    },
    secrets: [],
  };
}

function checkHeaders(value: unknown): Readonly<Record<string, string>> {
  if (value === undefined) return {};
  if (!isObject(value) || !Object.values(value).every((each) => typeof each === "string")) {
    throw new ConfigError("headers", 'Set "headers" to an object of texts.');
  }
  return { ...value as Readonly<Record<string, string>> };
}

function checkFetch(value: unknown): FetchLike {
  if (typeof value === "function") return value as FetchLike;
  if (value !== undefined) throw new ConfigError("fetch", `Set "fetch" to a function: ${show(value)} is not.`);
  // Asked for with each request, and called as the platform's: it may be replaced, and takes no other `this`.
  return (url, init) => (globalThis as unknown as { fetch: FetchLike }).fetch(url, init);
}
