/**
 * Which broker to ask first for metadata, and which after that.
 *
 * @module
 */

import type { Broker } from "./broker.ts";

/** Ranks, the first to be asked first. */
const CONNECTED = 0;
const DIALLED = 1;
const UNTRIED = 2;
const SERVER = 3;
const FAILED = 4;
const SERVER_BACKING_OFF = 5;
const BACKING_OFF = 6;
const HANGING = 7;

/** What the order goes by. */
export interface OrderCriteria {
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
export function orderToAsk(brokers: readonly Broker[], criteria: OrderCriteria): Broker[] {
  const { random, isServer } = criteria;
  const ranked = shuffled(brokers, random).map((broker) => ({ broker, rank: rankOf(broker, criteria) }));
  const load = ({ connection }: Broker): number => connection?.inFlight ?? 0;
  ranked.sort((a, b) => a.rank - b.rank || load(a.broker) - load(b.broker));
  return withServersAmong(ranked, (broker) => broker.nodeId < 0 || isServer(broker)).map(({ broker }) => broker);
}

function rankOf(broker: Broker, { isServer, isSilent }: OrderCriteria): number {
  if (broker.connection !== undefined) return isSilent(broker) ? HANGING : CONNECTED;
  if (broker.slow) return HANGING;
  if (broker.connecting && !broker.backingOff) return DIALLED;
  if (broker.backingOff) return isServer(broker) ? SERVER_BACKING_OFF : BACKING_OFF;
  if (broker.lastError === undefined) return broker.nodeId >= 0 ? UNTRIED : SERVER;
  return isServer(broker) ? SERVER : FAILED;
}

interface Ranked {
  readonly broker: Broker;
  readonly rank: number;
}

/** At most this many brokers that may be down are asked before the next bootstrap server. */
const STRANGERS_IN_A_ROW = 2;

/**
 * Moves bootstrap servers forward. Metadata may be wrong, or name hundreds of brokers that are gone; the servers that
 * the user has named are not asked behind all of them.
 */
function withServersAmong(ranked: readonly Ranked[], isServer: (broker: Broker) => boolean): Ranked[] {
  const isStranger = ({ rank }: Ranked): boolean => rank >= UNTRIED && rank < HANGING;
  const strangers = ranked.filter(isStranger);
  const servers = strangers.filter(({ broker }) => isServer(broker));
  const others = strangers.filter(({ broker }) => !isServer(broker));
  const order = ranked.filter(({ rank }) => rank < UNTRIED);
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
  return [...order, ...ranked.filter(({ rank }) => rank === HANGING)];
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const order = [...items];
  for (let last = order.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [order[last], order[other]] = [order[other]!, order[last]!];
  }
  return order;
}
