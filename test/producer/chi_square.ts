/**
 * Whether choices by chance are even.
 *
 * @module
 */

/** Pearson's statistic of counts that should be even. */
export function chiSquare(counts: readonly number[]): number {
  const mean = counts.reduce((sum, count) => sum + count, 0) / counts.length;
  return counts.reduce((sum, count) => sum + (count - mean) ** 2 / mean, 0);
}

/** Above this with 11 degrees of freedom, evenness is off in one case of a thousand. */
export const CHI_SQUARE_11 = 31.26;
