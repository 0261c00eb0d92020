/**
 * Choices by chance that a seed repeats.
 *
 * @module
 */

import { seededRandom } from "../doubles/random.ts";

/** Throws dice. */
export class Dice {
  readonly #random: () => number;

  /** The same seed throws the same numbers. */
  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  /** A whole number from 0 to below the limit. */
  below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  /** A whole number from `least` to `most`, both included. */
  between(least: number, most: number): number {
    return least + this.below(most - least + 1);
  }

  /** True once in so many throws. */
  oneIn(count: number): boolean {
    return this.below(count) === 0;
  }

  /** One of the items. */
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /** One of the items, each as probable as its weight says. */
  weighted<T>(items: readonly (readonly [weight: number, item: T])[]): T {
    let rest = this.below(items.reduce((sum, [weight]) => sum + weight, 0));
    for (const [weight, item] of items) {
      rest -= weight;
      if (rest < 0) return item;
    }
    return items[items.length - 1]![1];
  }

  /** A seed for dice of their own. */
  seed(): number {
    return this.below(0x7fff_ffff);
  }
}
