/**
 * Asking one server after the other until one has answered.
 *
 * @module
 */

import { AuthenticationError, ConnectionError, type KafkaError } from "../errors.ts";
import { onAbort } from "../runtime/on_abort.ts";
import type { Runtime, Timer } from "../runtime/runtime.ts";
import { sentence } from "../show.ts";
import { formatAddress } from "./address.ts";
import { endsWaiting, splitAdvertiser } from "./advice.ts";
import type { Broker } from "./broker.ts";
import { REBOOTSTRAP_REQUIRED } from "../protocol/error_code_names.ts";

/** One server of several may be named by the wrong one of its ports. */
const WRONG_PORT: readonly string[] = ["TLS_PORT", "PLAIN_PORT"];

/** What the order of a tour goes by. */
export interface TourCriteria {
  readonly random: () => number;
  /** True for the address of a bootstrap server. */
  readonly isServer: (broker: Broker) => boolean;
  /** True for a broker that owes an answer and says nothing. */
  readonly isSilent: (broker: Broker) => boolean;
}

/**
 * The order in which to ask: connected brokers, the least loaded first; those that are being dialled; those that
 * nobody has tried yet; then the bootstrap servers, before any broker that has failed; last those that hang. So when
 * all known brokers have gone, the bootstrap servers come first (KIP-899). However many have not been tried, of three
 * that are asked one is a bootstrap server.
 */
export function tourOrder(brokers: readonly Broker[], { random, isServer, isSilent }: TourCriteria): Broker[] {
  const rank = (broker: Broker): number => {
    if (broker.connection !== undefined) return isSilent(broker) ? 7 : 0;
    if (broker.slow) return 7;
    if (broker.connecting && !broker.backingOff) return 1;
    if (broker.backingOff) return isServer(broker) ? 5 : 6;
    if (broker.lastError === undefined) return broker.nodeId >= 0 ? 2 : 3;
    return isServer(broker) ? 3 : 4;
  };
  const ranked = shuffled(brokers, random).map((broker) => ({ broker, rank: rank(broker) }));
  const load = ({ connection }: Broker): number => connection?.inFlight ?? 0;
  ranked.sort((a, b) => a.rank - b.rank || load(a.broker) - load(b.broker));
  return withServersAmong(ranked, (broker) => broker.nodeId < 0 || isServer(broker)).map(({ broker }) => broker);
}

interface Ranked {
  readonly broker: Broker;
  readonly rank: number;
}

/** Before the next bootstrap server is asked, so many brokers are at most of which nobody knows whether they live. */
const STRANGERS_IN_A_ROW = 2;
/** Ranks from untried to backing off. */
const [FIRST_STRANGER, LAST_STRANGER] = [2, 6];

/**
 * Moves bootstrap servers forward. Metadata may be wrong, or name hundreds of brokers that are gone; the servers that
 * the user has named are not asked behind all of them.
 */
function withServersAmong(ranked: readonly Ranked[], isServer: (broker: Broker) => boolean): Ranked[] {
  const isStranger = ({ rank }: Ranked): boolean => rank >= FIRST_STRANGER && rank <= LAST_STRANGER;
  const strangers = ranked.filter(isStranger);
  const servers = strangers.filter(({ broker }) => isServer(broker));
  const others = strangers.filter(({ broker }) => !isServer(broker));
  const order = ranked.filter(({ rank }) => rank < FIRST_STRANGER);
  let inARow = 0;
  for (let server = 0, other = 0; server < servers.length || other < others.length;) {
    const due = other === others.length || inARow === STRANGERS_IN_A_ROW ||
      (servers[server] !== undefined && servers[server]!.rank < others[other]!.rank);
    if (due && server < servers.length) {
      order.push(servers[server++]!);
      inARow = 0;
    } else {
      order.push(others[other++]!);
      inARow += 1;
    }
  }
  return [...order, ...ranked.filter(({ rank }) => rank > LAST_STRANGER)];
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const order = [...items];
  for (let last = order.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [order[last], order[other]] = [order[other]!, order[last]!];
  }
  return order;
}

/**
 * Starts with the first broker, goes on to the next when one fails or has kept silent for `staggerMs`, and resolves
 * with the first answer. Rejects, when all have failed, with an error that names each and why; refused credentials and
 * the word of a broker that everything known is wrong (REBOOTSTRAP_REQUIRED) end the tour there. While some hang, those
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
    const giveUp = (): void => fail(tourError(failures));
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

function tourError(failures: ReadonlyMap<Broker, unknown>): KafkaError {
  const errors = [...failures.values()];
  const last = errors.at(-1);
  // What can't heal at any of them won't heal.
  if (endsWaiting(last) && errors.every(endsWaiting)) return last;
  const notes = new Set<string>();
  const reasons = [...failures].map(([broker, error]) => {
    const [reason, note] = splitAdvertiser(reasonOf(error));
    if (note !== "") notes.add(note);
    return `${formatAddress(broker.address)}: ${reason}`;
  });
  // One of them says it for all.
  const [note = ""] = notes;
  const tried = `Tried ${reasons.join("; ") || "nobody"}`;
  return new ConnectionError(note === "" ? tried : `${sentence(tried)}${note}`, {
    code: "BROKERS_UNREACHABLE",
    cause: last,
  });
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const [message, note] = splitAdvertiser(error.message);
  const cause = error.cause instanceof Error && !message.includes(splitAdvertiser(error.cause.message)[0])
    ? ` (${error.cause.message})`
    : "";
  // The address stands in front of it already.
  return `${message.replace(/^Connecting to "[^"]*" failed: /, "")}${cause}${note}`;
}
