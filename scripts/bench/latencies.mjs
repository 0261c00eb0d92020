/** Collects latencies and tells their percentiles. */
export class Latencies {
  #values;
  #count = 0;

  constructor(capacity) {
    this.#values = new Float64Array(capacity);
  }

  add(ms) {
    if (this.#count < this.#values.length) this.#values[this.#count++] = ms;
  }

  summary() {
    const sorted = this.#values.subarray(0, this.#count).sort();
    const at = (share) =>
      sorted.length === 0 ? null : sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
    return { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1) };
  }
}
