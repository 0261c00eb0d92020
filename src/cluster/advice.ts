/**
 * What to do when a broker can't be connected to: why it may be so, in words for whoever runs the program.
 *
 * @module
 */

import { AuthenticationError, ConfigError, type KafkaError, ProtocolError } from "../errors.ts";
import { sentence } from "../show.ts";

/** True for an error that no waiting mends: options that can't be honoured, credentials or certificates that are refused. */
export function endsWaiting(error: unknown): error is ConfigError | AuthenticationError {
  return error instanceof ConfigError || error instanceof AuthenticationError;
}

/** How the address that can't be connected to is known. */
export interface Origin {
  /** Node id; below 0 for a server of the `brokers` option. */
  readonly nodeId: number;
  /** Who advertises the address, as `host:port`; undefined for a server of the `brokers` option. */
  readonly advertisedBy: string | undefined;
  /** There has been a connection to this address: it is right, so the broker must be down. */
  readonly wasReached: boolean;
}

const UNRESOLVED =
  /ENOTFOUND|EAI_AGAIN|ENODATA|getaddrinfo|failed to lookup|name or service not known|resolve|DNSException|no such host/i;
const REFUSED = /ECONNREFUSED|refused|EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL|unreachable/i;
const TOO_LONG = /connectTimeoutMs|took longer|ETIMEDOUT|timed out|no answer came/i;

/** True if whatever is at the address has not been reached at all. */
export function neverArrived(error: KafkaError): boolean {
  const text = textOf(error);
  return [UNRESOLVED, REFUSED, TOO_LONG].some((pattern) => pattern.test(text));
}

/** One sentence: what to do next. */
export function connectAdvice(error: KafkaError, { nodeId, advertisedBy, wasReached }: Origin): string {
  const text = textOf(error);
  if (error instanceof ConfigError) return "No attempt will succeed before that is changed.";
  if (error instanceof AuthenticationError) {
    return 'Check "tls" (ca, cert, key, serverName), and whether this port of the broker speaks TLS.';
  }
  if (error instanceof ProtocolError) {
    return 'Check the port, and "tls": what answers there is no Kafka listener of the kind that is dialled.';
  }
  if (wasReached) return "Look whether the broker is up; it is dialled until it is back.";
  const listeners = `Set advertised.listeners of broker ${nodeId} to`;
  if (UNRESOLVED.test(text)) {
    return advertisedBy === undefined
      ? 'Correct the host name in "brokers", or the DNS of this machine.'
      : `${listeners} a name that this machine can resolve.`;
  }
  if (advertisedBy !== undefined) {
    return `${listeners} an address that leads to it from here, or start it if it is down.`;
  }
  if (REFUSED.test(text)) return 'Start a broker there, or correct host and port in "brokers".';
  if (TOO_LONG.test(text)) return 'Check host and port in "brokers", and firewalls on the way.';
  return 'Check that "brokers" names a Kafka listener, and whether it wants TLS ("tls").';
}

/** What is the same for all attempts that fail for the same reason; ports, times and counts differ. */
export function causeKeyOf(error: KafkaError): string {
  const root = rootOf(error) as { readonly code?: unknown; readonly message?: unknown };
  const code = typeof root.code === "string" ? root.code : "";
  const isTelling = code !== "" && root !== error;
  return `${error.name} ${error.code} ${isTelling ? code : String(root.message).replace(/\d+/g, "0")}`;
}

function textOf(error: KafkaError): string {
  const root = rootOf(error) as { readonly code?: unknown; readonly message?: unknown };
  return `${error.message} ${String(root.message)} ${String(root.code)}`;
}

/** The first of all causes; of several at once (a name with several addresses) the first. */
function rootOf(error: unknown): object {
  let root = error as object;
  for (let depth = 0; depth < 10; depth++) {
    const { cause, errors } = root as { readonly cause?: unknown; readonly errors?: unknown };
    const next: unknown = Array.isArray(errors) && errors.length > 0 ? errors[0] : cause;
    if (typeof next !== "object" || next === null) break;
    root = next;
  }
  return root;
}

const NOTE = / The broker at \S+ advertises this address for node -?\d+ \(advertised\.listeners\)\.$/;

/** A message that says who advertises the address that it is about. */
export function withAdvertiser(message: string, nodeId: number, advertisedBy: string): string {
  return `${sentence(message)} The broker at ${advertisedBy} advertises this address for node ${nodeId} ` +
    "(advertised.listeners).";
}

/** A message without what {@link withAdvertiser} has added, and that. */
export function splitAdvertiser(message: string): [message: string, note: string] {
  const note = NOTE.exec(message)?.[0] ?? "";
  return [message.slice(0, message.length - note.length), note];
}
