/** Medians with their ranges: what is reported of several runs. */

/** The middle value, least and greatest; undefined for no values. */
export function spread(values) {
  const sorted = values.filter((value) => Number.isFinite(value)).sort((a, b) => a - b);
  if (sorted.length === 0) return undefined;
  const middle = (sorted.length - 1) / 2;
  const median = (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2;
  return { median, min: sorted[0], max: sorted.at(-1) };
}

/** "1.23 (1.10..1.40)", with as many digits as the size of the number needs. */
export function showSpread(values) {
  if (values === undefined) return "–";
  const whole = Object.values(values).every(Number.isInteger);
  const digits = whole || values.median >= 100 ? 0 : values.median >= 10 ? 1 : 2;
  const show = (value) => value.toFixed(digits);
  return `${show(values.median)} (${show(values.min)}..${show(values.max)})`;
}
