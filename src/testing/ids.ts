/**
 * Numbers and ids that nobody has had.
 *
 * @module
 */

import { seededRandom } from "./doubles/random.ts";

const FIRST_PRODUCER_ID = 1000n;
const ID_DIGITS = 32;
/** Hexadecimal digits that are drawn at a time. */
const DRAWN_DIGITS = 4;

/** Makes the ids of one cluster: the same seed, the same ids. */
export class Ids {
  readonly #random: () => number;
  #connections = 0;
  #producerId = FIRST_PRODUCER_ID;

  /** Makes ids of topics, clusters and client instances from a seed. */
  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  /** 32 hexadecimal digits. */
  newId(): string {
    let id = "";
    while (id.length < ID_DIGITS) {
      id += Math.floor(this.#random() * 16 ** DRAWN_DIGITS).toString(16).padStart(DRAWN_DIGITS, "0");
    }
    return id;
  }

  /** A number that no connection has had, from 1. */
  nextConnectionId(): number {
    return ++this.#connections;
  }

  /** A producer id. */
  nextProducerId(): bigint {
    return this.#producerId++;
  }
}
