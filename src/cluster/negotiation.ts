/**
 * What was learnt of how versions are negotiated with a server: which ApiVersions version it answers, and whether other
 * requests may come with it.
 *
 * @module
 */

import { ApiVersions } from "../protocol/messages/api_versions.ts";
import { type Address, formatAddress } from "./address.ts";
import type { VersionRange } from "./connection.ts";

/** The first version that says to whom the client believes to talk (KIP-1242, Kafka 4.4). */
export const API_VERSIONS_WITH_ADDRESSEE = 5;
/** The versions that are tried, the newest first: brokers before 2.4 know no 3, and Azure Event Hubs resets on 4. */
const VERSIONS: readonly number[] = [API_VERSIONS_WITH_ADDRESSEE, 4, 3, 0];
/** The newest for a server that has not answered yet: most brokers would refuse a newer one, which costs a round trip. */
const NEWEST_FOR_STRANGERS = 4;
/** A version that a server hung up on, though it offers it, is tried again after this time: it may have been restarting. */
const RECONSIDER_MS = 600_000;
/** Addresses come and go where brokers are containers; only this many are remembered, a table of versions (5 kB) with each. */
const MOST_ADDRESSES = 1_000;

/** How to begin with one address. Whatever it holds is overturned by the next answer. */
export class Negotiation {
  /** What the server offers, as it has told us, or somebody before us; undefined while nothing is known. */
  offers: ReadonlyMap<number, VersionRange> | undefined;
  /** It has hung up when other requests came with the handshake: none is sent along until it has answered. */
  refusesPipelining = false;
  /** The version that was answered last; undefined while none was. */
  #proven: number | undefined;
  /** How often in a row it has not answered. */
  #hangUps = 0;
  /** How often in a row an attempt has failed without a hang-up, which would have led to another version at once. */
  #failures = 0;
  #reconsiderAtMs = 0;
  readonly #negotiations: Negotiations;

  /** Begins as well as all that is known of the other servers allows. */
  constructor(negotiations: Negotiations = new Negotiations()) {
    this.#negotiations = negotiations;
  }

  /** The server has answered before. */
  get hasAnswered(): boolean {
    return this.#proven !== undefined;
  }

  /** The ApiVersions versions to try on the next attempt, one after the other, each on a connection of its own. */
  attempts(nowMs: number): number[] {
    const { newest } = this.#negotiations;
    const offered = newestOf(this.offers, newest);
    // A server that hangs up once on what it has answered before is going down; if it does so again, it has changed.
    if (this.#proven !== undefined && this.#hangUps === 0) {
      const isBetter = offered !== undefined && offered > this.#proven && nowMs >= this.#reconsiderAtMs;
      return isBetter ? [offered, this.#proven] : [this.#proven];
    }
    const first = [this.#proven ?? offered].filter((version) => version !== undefined);
    const ladder = VERSIONS.filter((version) =>
      version === this.#negotiations.expected || version < NEWEST_FOR_STRANGERS
    );
    const versions = [...new Set([...first, ...ladder])];
    // One version for each attempt that took a whole deadline, so that each gets its chance.
    const turn = Math.max(0, this.#failures - 1) % versions.length;
    return [...versions.slice(turn), ...versions.slice(0, turn)];
  }

  /** The handshake is done: this version was answered with this. */
  answered(version: number, offers: ReadonlyMap<number, VersionRange>): void {
    this.offers = offers;
    this.refusesPipelining = false;
    this.#proven = version;
    this.#negotiations.expected = Math.max(NEWEST_FOR_STRANGERS, newestOf(offers, this.#negotiations.newest) ?? 0);
    this.#hangUps = 0;
    this.#failures = 0;
  }

  /** Requests in guessed versions are why the connection has ended, or may be. */
  pipeliningRefused(): void {
    this.refusesPipelining = true;
    this.offers = undefined;
  }

  /** The server has ended the connection in place of an answer. */
  hungUp(nowMs: number): void {
    this.#hangUps += 1;
    this.#reconsiderAtMs = nowMs + RECONSIDER_MS;
  }

  /** The server has said nothing until the deadline, or asks for what it has just refused. */
  failed(nowMs: number): void {
    this.hungUp(nowMs);
    this.refusesPipelining = true;
    this.#failures += 1;
  }
}

/** The negotiations of one client, by address: a broker that is found under another number is still the same server. */
export class Negotiations {
  /** The newest version to use at all: without a check of the cluster there is nothing to say to whom one talks. */
  readonly newest: number;
  /** The version to begin with where nothing is known: brokers of one cluster are mostly of one release. */
  expected: number = NEWEST_FOR_STRANGERS;
  readonly #known = new Map<string, Negotiation>();

  /** Knows whether servers are to be told to whom the client believes to talk. */
  constructor(checksCluster = true) {
    this.newest = checksCluster ? API_VERSIONS_WITH_ADDRESSEE : NEWEST_FOR_STRANGERS;
  }

  /** How to begin with an address. */
  of(address: Address): Negotiation {
    const name = formatAddress(address);
    const negotiation = this.#known.get(name) ?? new Negotiation(this);
    // The one that was wanted last stands last.
    this.#known.delete(name);
    this.#known.set(name, negotiation);
    if (this.#known.size > MOST_ADDRESSES) this.#known.delete(this.#known.keys().next().value!);
    return negotiation;
  }
}

/** The newest ApiVersions version up to `newest` that a server offers; undefined if that isn't known. */
function newestOf(offers: ReadonlyMap<number, VersionRange> | undefined, newest: number): number | undefined {
  const range = offers?.get(ApiVersions.key);
  return range === undefined ? undefined : VERSIONS.find((version) => version <= Math.min(range.max, newest)) ?? 0;
}
