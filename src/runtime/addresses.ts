/**
 * Hosts with several addresses: a dead one must not keep the others from being tried, nor a slow one be given up for
 * a dead one (RFC 8305).
 *
 * @module
 */

import { setTimer } from "./clock.ts";
import { isAddress } from "./dial.ts";
import { builtinModule } from "./builtin.ts";
import { onAbort } from "./on_abort.ts";
import type { Runtime, Timer } from "./runtime.ts";

/** What is opened, and given up when another was faster. */
interface Abandonable {
  abandon(): void;
}

/** Tries to open something, until it is cancelled. */
export type Attempt<T> = (cancelled: AbortSignal) => Promise<T>;

/** After so long the next address is tried beside those that have not answered. */
const ATTEMPT_DELAY_MS = 250;

/**
 * Opens with the first attempt that succeeds. The next one begins when one has failed, or has taken 250 ms; none is
 * given up for another before that one has succeeded. So each has all the time that is left.
 *
 * Rejects, when all have failed, with the reason; with several in an `AggregateError`.
 */
export function openFirst<T extends Abandonable>(
  attempts: readonly Attempt<T>[],
  cancelled: AbortSignal,
  startTimer: Runtime["setTimer"] = setTimer,
): Promise<T> {
  if (attempts.length === 1) return attempts[0]!(cancelled);
  return new Promise((resolve, reject) => {
    const waiting = [...attempts];
    const running = new Set<AbortController>();
    const errors: unknown[] = [];
    let timer: Timer | undefined;
    let ended = false;
    const end = (): void => {
      ended = true;
      timer?.cancel();
      ignore();
      for (const other of running) other.abort();
    };
    const next = (): void => {
      timer?.cancel();
      const attempt = waiting.shift();
      if (attempt === undefined) return;
      const controller = new AbortController();
      running.add(controller);
      if (waiting.length > 0) timer = startTimer(next, ATTEMPT_DELAY_MS);
      attempt(controller.signal).then((opened) => {
        running.delete(controller);
        if (ended) return opened.abandon();
        end();
        resolve(opened);
      }, (error) => {
        running.delete(controller);
        errors.push(error);
        if (ended) return;
        if (waiting.length > 0) return next();
        if (running.size > 0) return;
        end();
        const different = new Set(errors);
        reject(different.size === 1 ? error : new AggregateError(different, ""));
      });
    };
    const ignore = onAbort(cancelled, () => {
      end();
      reject(cancelled.reason);
    });
    next();
  });
}

/** The addresses of a host, in the order in which to try them: as the system sorts them, the families taking turns. */
export async function addressesOf(host: string): Promise<string[]> {
  if (isAddress(host)) return [host];
  const dns = builtinModule<typeof import("node:dns")>("node:dns"); // that alone reads files
  if (dns === undefined) return [host];
  const found = await new Promise<readonly { address: string; family: number }[]>((resolve, reject) => {
    dns.lookup(host, { all: true }, (error, addresses) => error ? reject(error) : resolve(addresses));
  });
  const first = found.filter(({ family }) => family === found[0]?.family);
  const others = found.filter(({ family }) => family !== found[0]?.family);
  const ordered = first.flatMap((address, index) => [address, ...others.slice(index, index + 1)]);
  ordered.push(...others.slice(first.length));
  return [...new Set(ordered.map(({ address }) => address))];
}
