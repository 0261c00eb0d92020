/**
 * Requests to a registry over `fetch`, each with a limit of time, size and attempts.
 *
 * @module
 */

import { AuthenticationError, AuthorizationError, ConnectionError, KafkaError, TimeoutError } from "../errors.ts";
import { setTimer } from "../runtime/clock.ts";
import { readText } from "../runtime/fetch.ts";
import { onAbort } from "../runtime/on_abort.ts";
import { withoutSecrets } from "../sasl/bytes.ts";
import { excerpt, reasonOf, sentence } from "../show.ts";
import type { ResolvedRegistryOptions } from "./options.ts";

/** Schemas have some kilobytes; what is larger than this is no answer of a registry. */
export const MAX_BODY_BYTES: number = 16 << 20;

const CONTENT_TYPE = "application/vnd.schemaregistry.v1+json";
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 2_000;

/** One request. */
export interface RegistryRequest {
  readonly method: "GET" | "POST";
  /** The path behind the registry's own, its parts escaped. */
  readonly path: string;
  /** What is sent as JSON. */
  readonly body?: object;
  /** For messages: the action. */
  readonly what: string;
}

/** Asks a registry. */
export class Transport {
  readonly #options: ResolvedRegistryOptions;
  /** Which of the addresses answered last. */
  #current = 0;

  /** Takes addresses, credentials and limits. */
  constructor(options: ResolvedRegistryOptions) {
    this.#options = options;
  }

  /** Resolves to the JSON of an answer with a status from 200 to 299; rejects with the registry's own error. */
  async ask(request: RegistryRequest): Promise<Readonly<Record<string, unknown>>> {
    const { retries, urls } = this.#options;
    for (let attempt = 0;; attempt++) {
      try {
        return await this.#once(urls[this.#current % urls.length]!, request);
      } catch (error) {
        if (!(error instanceof KafkaError) || !error.retriable || attempt >= retries) throw error;
        // Somebody else may be there; where there is nobody else, later.
        this.#current += 1;
        const delayMs = Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** attempt);
        if (this.#current % urls.length === 0 || urls.length === 1) await pause(delayMs);
      }
    }
  }

  async #once(url: string, request: RegistryRequest): Promise<Readonly<Record<string, unknown>>> {
    const { requestTimeoutMs } = this.#options;
    const late = new AbortController();
    const timer = setTimer(() => late.abort(), requestTimeoutMs);
    try {
      // Also what heeds no signal comes to an end: a token that isn't given, a `fetch` of one's own.
      return await unlessAborted(late.signal, this.#exchange(url, request, late.signal));
    } catch (error) {
      if (!late.signal.aborted) throw error;
      throw new TimeoutError(`${request.what} took longer than requestTimeoutMs (${requestTimeoutMs} ms).`);
    } finally {
      timer.cancel();
    }
  }

  async #exchange(
    url: string,
    request: RegistryRequest,
    signal: AbortSignal,
  ): Promise<Readonly<Record<string, unknown>>> {
    const { fetch, headers } = this.#options;
    const { body, method, path, what } = request;
    const authorization = await this.#authorization(what);
    const secrets = [...this.#options.secrets, authorization?.replace(/^\w+ /, "")];
    let status: number;
    let text: string;
    try {
      const response = await fetch(`${url}${path}`, {
        method,
        headers: {
          ...headers,
          accept: `${CONTENT_TYPE}, application/json`,
          ...(body === undefined ? {} : { "content-type": CONTENT_TYPE }),
          ...(authorization === undefined ? {} : { authorization }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal,
        // Credentials go to the server that was named, and to none that it names.
        redirect: "manual",
      });
      status = response.status;
      const answer = await readText(response, MAX_BODY_BYTES);
      if (answer === undefined) {
        const message = `${what} was answered with more than ${MAX_BODY_BYTES} bytes.`;
        throw new KafkaError(message, { code: "SCHEMA_REGISTRY" });
      }
      text = answer;
    } catch (cause) {
      if (cause instanceof KafkaError) throw cause;
      // Node says "fetch failed", and what has failed in the cause.
      const inner = (cause as Error | undefined)?.cause;
      const words = inner instanceof Error ? `${reasonOf(cause)}: ${reasonOf(inner)}` : reasonOf(cause);
      const reason = withoutSecrets(words, secrets);
      // Not the cause itself: what an error of another library holds of the request isn't known.
      throw new ConnectionError(`${what} found no registry. ${sentence(reason)}`);
    }
    const json = parsed(text);
    if (status >= 200 && status < 300 && json !== undefined) return json;
    throw errorOf(what, status, json, secrets);
  }

  async #authorization(what: string): Promise<string | undefined> {
    try {
      return await this.#options.authorization();
    } catch (error) {
      if (error instanceof KafkaError) throw error;
      // What went wrong with a token may tell it.
      throw new AuthenticationError(`${what} failed: "bearer" gave no token, it threw.`, { code: "TOKEN_UNAVAILABLE" });
    }
  }
}

/** What the promise does, or a rejection as soon as the signal is aborted. */
function unlessAborted<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const ignore = onAbort(signal, () => reject(signal.reason));
    promise.then(resolve, reject).finally(ignore);
  });
}

/** The registry's own error, with its code. */
function errorOf(
  what: string,
  status: number,
  json: Readonly<Record<string, unknown>> | undefined,
  secrets: readonly (string | undefined)[],
): KafkaError {
  const { error_code: code, message } = json ?? {};
  const errorCode = Number.isSafeInteger(code) ? code as number : status;
  const words = typeof message === "string" ? excerpt(withoutSecrets(message, secrets)) : "";
  if (status >= 200 && status < 300) {
    return new KafkaError(`${what} was answered with something that is no JSON.`, { code: "SCHEMA_REGISTRY" });
  }
  // Other than those of success.
  if (status < 400) {
    const text = `${what} was answered with status ${status}: set "url" to where the registry is itself.`;
    return new KafkaError(text, { code: "SCHEMA_REGISTRY", errorCode: status });
  }
  const text = sentence(`${what} was answered with ${errorCode}${words === "" ? "" : `: ${words}`}`);
  const options = { code: "SCHEMA_REGISTRY", errorCode };
  if (status === 401) return new AuthenticationError(text, options);
  if (status === 403) return new AuthorizationError(text, options);
  return new KafkaError(text, { ...options, retriable: status === 408 || status === 429 || status >= 500 });
}

function parsed(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? value as Readonly<Record<string, unknown>>
      : undefined;
  } catch {
    return undefined;
  }
}

function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimer(resolve, delayMs));
}
