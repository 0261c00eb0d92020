/**
 * What the four adapters do alike when they connect: the time limit, giving up, and errors that name the address.
 *
 * @module
 */

import { isHarmless } from "../error_like.ts";
import { AuthenticationError, ConfigError, ConnectionError, type KafkaError } from "../errors.ts";
import { excerpt, sentence } from "../show.ts";
import { monotonicNow, setTimer } from "./clock.ts";
import type { ConnectOptions, Socket, SocketFactory, Timer } from "./runtime.ts";
import { checkTls } from "./tls.ts";
import { tlsMeaning } from "./tls_refusal.ts";
import { setDeadline } from "./truce.ts";

/**
 * After so long without a byte the system begins to ask whether the peer is still there. Load balancers forget a
 * connection after four to six minutes, and say so to nobody; the systems' own default is two hours.
 */
export const KEEP_ALIVE_MS = 60_000;

/** Host and port as one reads and writes them, with brackets around an IPv6 address. */
export function formatAddress({ host, port }: Pick<ConnectOptions, "host" | "port">): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether a host is an address already: TLS sends no server name for one. */
export function isAddress(host: string): boolean {
  return host.includes(":") || /^\d{1,3}(\.\d{1,3}){3}$/.test(host);
}

/**
 * Runs one attempt to connect under `timeoutMs` and `signal`. `open` frees what it has when `cancelled` is aborted;
 * if it comes up with a socket in spite of that, the socket is abandoned. `isTlsRefusal` tells what no second attempt
 * will change.
 */
export async function dial(
  factory: SocketFactory,
  options: ConnectOptions,
  open: (cancelled: AbortSignal) => Promise<Socket & { abandon(): void }>,
  isTlsRefusal?: (cause: unknown) => boolean,
): Promise<Socket> {
  checkTls(factory, options.tls);
  const { signal, timeoutMs } = options;
  const address = formatAddress(options);
  const abandoned = (): ConnectionError =>
    new ConnectionError(`Connecting to "${address}" was given up`, { broker: address, cause: signal?.reason });
  if (signal?.aborted) throw abandoned();

  const attempt = new AbortController();
  let timer: Pick<Timer, "cancel"> | undefined;
  let giveUp: (() => void) | undefined;
  const interrupted = new Promise<never>((_, reject) => {
    if (timeoutMs !== undefined) {
      const tooLong = (): void =>
        reject(
          new ConnectionError(`Connecting to "${address}" took longer than ${timeoutMs} ms`, { broker: address }),
        );
      timer = setDeadline({ now: monotonicNow, setTimer }, tooLong, timeoutMs);
    }
    giveUp = () => reject(abandoned());
    signal?.addEventListener("abort", giveUp, { once: true });
  });
  // What it throws at once must not get past the clean-up either.
  const opened = (async () => await open(attempt.signal))();
  try {
    return await Promise.race([opened, interrupted]);
  } catch (error) {
    opened.then((socket) => socket.abandon(), () => {});
    attempt.abort(error);
    throw isHarmless(error) ? error : failure(connectFailed(address), address, error, isTlsRefusal);
  } finally {
    timer?.cancel();
    signal?.removeEventListener("abort", giveUp!);
  }
}

/** What the message of a failed attempt to connect begins with, before its reason. */
export function connectFailed(address: string): string {
  return `Connecting to "${address}" failed`;
}

/** The error of a connection that was open, for `onClose`. */
export function lostError(
  options: ConnectOptions,
  cause: unknown,
  isTlsRefusal?: (cause: unknown) => boolean,
): KafkaError {
  const broker = formatAddress(options);
  return failure(`Connection to "${broker}" was lost`, broker, cause, isTlsRefusal);
}

/** The error of a connection that the peer closed before it was ready. */
export function closedError(options: ConnectOptions): KafkaError {
  const broker = formatAddress(options);
  return new ConnectionError(`${connectFailed(broker)}: the peer closed the connection`, { broker });
}

function failure(
  what: string,
  broker: string,
  cause: unknown,
  isTlsRefusal: ((cause: unknown) => boolean) | undefined,
): KafkaError {
  const permission = missingPermission(cause, broker);
  if (permission !== undefined) {
    return new ConfigError("connect", sentence(`${permission} ${what}: ${reason(cause)}`), { broker, cause });
  }
  // Of several addresses one may have been reached that TLS refuses, and the others not at all.
  const refusal = isTlsRefusal && [cause, ...(cause instanceof AggregateError ? cause.errors : [])].find(isTlsRefusal);
  if (refusal !== undefined) {
    const [meaning, said] = [tlsMeaning(refusal), excerpt(reason(refusal))];
    const why = meaning === undefined ? said : `${meaning}. (${said})`;
    return new AuthenticationError(`TLS with "${broker}" failed: ${why}`, { broker, cause: refusal });
  }
  return new ConnectionError(`${what}: ${reason(cause)}`, { broker, cause });
}

/** What the program needs to be allowed, if that is why it may not connect: no second attempt would succeed. */
function missingPermission(cause: unknown, broker: string): string | undefined {
  if (cause instanceof AggregateError) {
    const permissions = cause.errors.map((error) => missingPermission(error, broker));
    return permissions.includes(undefined) ? undefined : permissions[0];
  }
  const { name, code } = (cause ?? {}) as { readonly name?: unknown; readonly code?: unknown };
  if (name === "NotCapable") return `Start Deno with --allow-net, or with "${broker}" among the hosts behind it.`;
  if (code === "ERR_ACCESS_DENIED") return "Start Node with --allow-net, or without --permission.";
  return undefined;
}

function reason(cause: unknown): string {
  // Node reports one error per address that a name resolves to, under an outer one without a message.
  if (cause instanceof AggregateError && cause.message === "") return cause.errors.map(reason).join(", ");
  const { message, code } = cause as { message?: string; code?: unknown };
  if (typeof code !== "string" || message?.includes(code)) return message || String(cause);
  return message ? `${message} (${code})` : code;
}
