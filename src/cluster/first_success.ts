/**
 * Asking one server after the other until one has answered.
 *
 * @module
 */

import { AuthenticationError, ConnectionError, type KafkaError } from "../errors.ts";
import { REBOOTSTRAP_REQUIRED } from "../protocol/error_code_names.ts";
import { connectFailed } from "../runtime/dial.ts";
import { onAbort } from "../runtime/on_abort.ts";
import type { Runtime, Timer } from "../runtime/runtime.ts";
import { sentence } from "../show.ts";
import { formatAddress } from "./address.ts";
import { endsWaiting, splitAdvertiser } from "./advice.ts";
import type { Broker } from "./broker.ts";

/** One server of several may be named by the wrong one of its ports. */
const WRONG_PORT: readonly string[] = ["TLS_PORT", "PLAIN_PORT"];

/**
 * Starts with the first broker, goes on to the next when one fails or has kept silent for `staggerMs`, and resolves
 * with the first answer. Rejects, when all have failed, with an error that names each and why; refused credentials and
 * the word of a broker that everything known is wrong (REBOOTSTRAP_REQUIRED) end it there. While some hang, those
 * that have failed are asked again, one after the other.
 */
export function firstSuccess<T>(
  runtime: Runtime,
  brokers: readonly Broker[],
  ask: (broker: Broker) => Promise<T>,
  staggerMs: number,
  signal: AbortSignal,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const failures = new Map<Broker, unknown>();
    const waiting = [...brokers];
    let pending = 0;
    let ended = false;
    let timer: Timer | undefined;
    let ignore = (): void => {};
    const end = (): void => {
      ended = true;
      timer?.cancel();
      ignore();
    };
    const fail = (error: unknown): void => {
      end();
      reject(error);
    };
    const giveUp = (): void => fail(nobodyAnswered(failures));
    const next = (): void => {
      timer?.cancel();
      if (ended || signal.aborted) return;
      timer = runtime.setTimer(next, staggerMs);
      const broker = waiting.shift();
      if (broker === undefined) return;
      pending++;
      ask(broker).then((answer) => {
        end();
        resolve(answer);
      }, (error) => {
        pending--;
        const isFirst = !failures.has(broker);
        failures.set(broker, error);
        const refused = error instanceof AuthenticationError && !WRONG_PORT.includes(error.code);
        const hopeless = refused || error?.errorCode === REBOOTSTRAP_REQUIRED;
        if (hopeless) {
          fail(error);
        } else if (failures.size === brokers.length) {
          giveUp();
        } else {
          // Others may hang for long: until they are done this one gets another chance.
          waiting.push(broker);
          if (isFirst && pending === 0) next();
        }
      });
    };
    // Of a signal that is aborted already nobody would hear.
    if (brokers.length === 0 || signal.aborted) return giveUp();
    ignore = onAbort(signal, giveUp);
    next();
  });
}

function nobodyAnswered(failures: ReadonlyMap<Broker, unknown>): KafkaError {
  const errors = [...failures.values()];
  const last = errors.at(-1);
  // What can't heal at any of them won't heal.
  if (endsWaiting(last) && errors.every(endsWaiting)) return last;
  const notes = new Set<string>();
  const reasons = [...failures].map(([broker, error]) => {
    const address = formatAddress(broker.address);
    const [reason, note] = splitAdvertiser(reasonOf(error, address));
    if (note !== "") notes.add(note);
    return `${address}: ${reason}`;
  });
  // One of them says it for all.
  const [note = ""] = notes;
  const tried = `Tried ${reasons.join("; ") || "nobody"}`;
  return new ConnectionError(note === "" ? tried : `${sentence(tried)}${note}`, {
    code: "BROKERS_UNREACHABLE",
    cause: last,
  });
}

function reasonOf(error: unknown, address: string): string {
  if (!(error instanceof Error)) return String(error);
  const [message, note] = splitAdvertiser(error.message);
  const cause = error.cause instanceof Error && !message.includes(splitAdvertiser(error.cause.message)[0])
    ? ` (${error.cause.message})`
    : "";
  // The address stands in front of it already.
  const told = `${connectFailed(address)}: `;
  return `${message.startsWith(told) ? message.slice(told.length) : message}${cause}${note}`;
}
