/**
 * Which features a cluster has finalized, as ApiVersions tells it.
 *
 * @module
 */

import { refuse } from "../../call_options.ts";
import { type Release, RELEASES } from "./release.ts";

/** Knows the level of each feature, and counts the changes. */
export class FinalizedFeatures {
  #levels: Readonly<Record<string, number>>;
  #epoch: bigint;

  /** Begins with what the release has, or with these levels. */
  constructor(release: Release, levels: Readonly<Record<string, number>> | undefined) {
    this.#levels = levels ?? RELEASES[release].finalizedFeatures;
    this.#epoch = RELEASES[release].featuresEpoch;
  }

  /** Levels by feature. */
  get levels(): Readonly<Record<string, number>> {
    return this.#levels;
  }

  /** How often features have been finalized; −1 where there is no such thing. */
  get epoch(): bigint {
    return this.#epoch;
  }

  /** Finalizes a feature at another level; 0 takes it away. @throws {ConfigError} */
  finalize(name: string, level: number): void {
    if (typeof name !== "string") refuse("name", 'a feature, such as "transaction.version"', name);
    if (!Number.isInteger(level) || level < 0) refuse("level", "a whole number from 0", level);
    const { [name]: _, ...others } = this.#levels;
    this.#levels = level === 0 ? others : { ...others, [name]: level };
    this.#epoch += 1n;
  }
}
