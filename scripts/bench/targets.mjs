/**
 * What Sluice is to reach, in µs of client CPU per record unless said otherwise.
 *
 * The figures are of another machine, where the best JavaScript client took `best`: `floor` and `aim` count as shares
 * of that, and are compared with the share of the best one here.
 */
export const targets = [
  { work: "A", best: 25, floor: 25, aim: 15 },
  { work: "B", best: 3.5, floor: 1.3, aim: 0.6 },
  { work: "C", best: 12, floor: 9, aim: 5 },
  { work: "D", best: 5.3, floor: 1.8, aim: 1.2 },
  { work: "Dw", best: 5.3, floor: 0.7, aim: 0.42 },
  { work: "E-none", best: 5.7, floor: 2.4, aim: 1.5 },
  { work: "E-lz4", best: 8.2, floor: 3.2, aim: 2.3 },
  { work: "E-snappy", best: 7.7, floor: 3.5, aim: 2.8 },
  { work: "E-zstd", best: 9.1, floor: 5.5, aim: 3.6 },
  { work: "E-gzip", best: 31.5, floor: 26, aim: 7 },
  { work: "F", best: 5.1, floor: 0.9, aim: 0.4 },
  { work: "I1000", best: 9, floor: 3.5, aim: 1.5 },
  { work: "I5000", best: 11, floor: 5, aim: 3 },
  { work: "J", measure: "elapsedMs", unit: "ms", best: 87, floor: 75, aim: 60 },
  { work: "K", measure: "gzipBytes", unit: "B", best: 59_000, floor: 50_000, aim: 35_000 },
];
