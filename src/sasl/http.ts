/**
 * The few requests that token providers make, over `fetch`, each with a limit of time, size and attempts.
 *
 * @module
 */

import { AuthenticationError } from "../errors.ts";
import { type FetchedResponse, type FetchLike, readText } from "../runtime/fetch.ts";
import { withoutSecrets } from "./bytes.ts";
import type { TokenContext } from "./token.ts";

/** One request. */
export interface HttpRequest {
  readonly url: string;
  readonly method: "GET" | "POST";
  readonly headers: Record<string, string>;
  readonly body?: string;
  /** For messages: what is asked, without secrets. */
  readonly what: string;
  /** What the endpoint is told and must not get into messages, whatever it answers. */
  readonly secrets?: readonly (string | undefined)[];
  /** How long all attempts together may take, in ms. */
  readonly timeoutMs: number;
  readonly fetch?: FetchLike | undefined;
}

const FIRST_BACKOFF_MS = 100;
const MOST_ATTEMPTS = 4;
/** Tokens have some kilobytes at most. */
const MOST_BYTES = 1 << 20;

/**
 * Asks until there is an answer with status 200, and resolves to its JSON. Statuses from 400 on are final, but for 408,
 * 429 and what is the server's own fault (5xx): that, and a server that can't be reached, is tried again after a pause.
 */
export async function askJson(request: HttpRequest, context: TokenContext): Promise<Record<string, unknown>> {
  const { what, timeoutMs } = request;
  const startMs = context.wallNow();
  for (let attempt = 1;; attempt++) {
    const { json, failure, final } = await askOnce(request, context);
    if (json !== undefined) return json;
    const backoffMs = FIRST_BACKOFF_MS * 2 ** (attempt - 1);
    const isLast = final || attempt === MOST_ATTEMPTS || context.signal.aborted ||
      context.wallNow() - startMs + backoffMs >= timeoutMs;
    if (isLast) {
      const times = attempt === 1 ? "" : ` (${attempt} attempts)`;
      throw new AuthenticationError(`${what} gave no token${times}: ${failure!.reason}`, {
        code: "TOKEN_UNAVAILABLE",
        retriable: !final,
        ...(failure!.cause === undefined ? {} : { cause: failure!.cause }),
      });
    }
    await context.sleep(backoffMs);
  }
}

interface Attempt {
  readonly json?: Record<string, unknown>;
  readonly failure?: { readonly reason: string; readonly cause?: unknown };
  readonly final: boolean;
}

async function askOnce(request: HttpRequest, { signal }: TokenContext): Promise<Attempt> {
  const { url, method, headers, body, timeoutMs } = request;
  const ask = request.fetch ?? (globalThis as unknown as { fetch?: FetchLike }).fetch;
  if (ask === undefined) return { final: true, failure: { reason: "this runtime has no fetch." } };
  const time = AbortSignal.timeout(timeoutMs);
  let response: FetchedResponse;
  let text: string | undefined;
  try {
    response = await ask(url, {
      method,
      headers,
      ...(body === undefined ? {} : { body }),
      signal: AbortSignal.any([signal, time]),
      // Not followed: it would get the secret. "error" is a word that workerd refuses.
      redirect: "manual",
    });
    text = await readText(response, MOST_BYTES);
  } catch (cause) {
    if (time.aborted) return { final: false, failure: { reason: `it didn't answer within ${timeoutMs} ms.` } };
    return { final: false, failure: { reason: "it can't be reached.", cause } };
  }
  if (text === undefined) {
    return { final: false, failure: { reason: `it answered with more than ${MOST_BYTES} bytes.` } };
  }
  return verdictOn(response.status, text, request);
}

/** Browsers say 0. */
function isRedirect(status: number): boolean {
  return status === 0 || (status >= 300 && status < 400);
}

/** What an answer means. */
function verdictOn(status: number, text: string, request: HttpRequest): Attempt {
  const json = parsed(text);
  if (status === 200 && json !== undefined) return { json, final: false };
  if (status === 200) {
    return { final: false, failure: { reason: "it answered with something that is no JSON object." } };
  }
  if (isRedirect(status)) {
    return { final: true, failure: { reason: `it redirects (status ${status}), and the secret goes nowhere else.` } };
  }
  const words = [json?.error, json?.error_description].filter((part) => typeof part === "string").join(": ");
  const said = withoutSecrets(words, request.secrets ?? []);
  const reason = `it answered with status ${status}${said === "" ? "" : `, ${JSON.stringify(said.slice(0, 200))}`}.`;
  return { final: status >= 400 && status < 500 && status !== 408 && status !== 429, failure: { reason } };
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
