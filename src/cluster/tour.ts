/**
 * Asking one server after the other until one has answered.
 *
 * @module
 */

import { AuthenticationError, ConnectionError, type KafkaError } from "../errors.ts";
import type { Runtime, Timer } from "../runtime/runtime.ts";
import { formatAddress } from "./address.ts";
import type { Broker } from "./broker.ts";

/**
 * Starts with the first broker, goes on to the next when one fails or has kept silent for `staggerMs`, and resolves
 * with the first answer. Rejects, when all have failed, with an error that names each and why; without a retriable
 * cause (say, wrong credentials) the tour ends there.
 */
export function firstSuccess<T>(
  runtime: Runtime,
  brokers: readonly Broker[],
  ask: (broker: Broker) => Promise<T>,
  staggerMs: number,
  signal: AbortSignal,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const failures: { readonly broker: Broker; readonly error: unknown }[] = [];
    let started = 0;
    let ended = false;
    let timer: Timer | undefined;
    const end = (): void => {
      ended = true;
      timer?.cancel();
      signal.removeEventListener("abort", onAbort);
    };
    const fail = (): void => {
      end();
      reject(tourError(failures));
    };
    const onAbort = (): void => fail();
    const start = (): void => {
      timer?.cancel();
      if (ended || signal.aborted || started >= brokers.length) return;
      const broker = brokers[started++]!;
      if (started < brokers.length) timer = runtime.setTimer(start, staggerMs);
      ask(broker).then((answer) => {
        end();
        resolve(answer);
      }, (error) => {
        failures.push({ broker, error });
        const hopeless = error instanceof AuthenticationError;
        if (hopeless) {
          end();
          reject(error);
        } else if (failures.length === brokers.length) fail();
        else if (failures.length === started) start();
      });
    };
    if (brokers.length === 0) return fail();
    signal.addEventListener("abort", onAbort);
    start();
  });
}

function tourError(failures: readonly { readonly broker: Broker; readonly error: unknown }[]): KafkaError {
  const last = failures.at(-1)?.error;
  const reasons = failures.map(({ broker, error }) => `${formatAddress(broker.address)}: ${reasonOf(error)}`);
  return new ConnectionError(reasons.length === 0 ? "Nobody was asked." : `Tried ${reasons.join("; ")}`, {
    code: "BROKERS_UNREACHABLE",
    cause: last,
  });
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error && !error.message.includes(error.cause.message)
    ? ` (${error.cause.message})`
    : "";
  // The address stands in front of it already.
  return `${error.message.replace(/^Connecting to "[^"]*" failed: /, "")}${cause}`;
}
