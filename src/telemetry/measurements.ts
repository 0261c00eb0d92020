/**
 * What is measured between two pushes, and the names that Kafka has for it (KIP-714).
 *
 * @module
 */

import type { Metric, Point } from "./otlp.ts";

const PREFIX = "org.apache.kafka.producer.";

/** How many, how much in all, and the largest. */
class Durations {
  count = 0;
  sumMs = 0;
  maxMs = 0;

  add(count: number, sumMs: number, maxMs: number): void {
    this.count += count;
    this.sumMs += sumMs;
    this.maxMs = Math.max(this.maxMs, maxMs);
  }
}

/** What was measured since the last push that a broker has taken. */
export class Measurements {
  /** Since when, in ms since the epoch. */
  readonly sinceMs: number;
  /** Connections that were made. */
  connections = 0;
  /** From a Produce request to its answer. */
  readonly latency: Durations = new Durations();
  /** The same, by the broker's `host:port`. */
  readonly latencies: Map<string, Durations> = new Map();
  /** From the opening of a batch to the request that carries it. */
  readonly queueTime: Durations = new Durations();
  /** What answers to Produce requests asked for; those that asked for nothing count as well. */
  readonly throttle: Durations = new Durations();

  /** Begins now. */
  constructor(sinceMs: number) {
    this.sinceMs = sinceMs;
  }

  /** A Produce request was answered. */
  answered(broker: string, latencyMs: number): void {
    this.latency.add(1, latencyMs, latencyMs);
    let own = this.latencies.get(broker);
    if (own === undefined) this.latencies.set(broker, own = new Durations());
    own.add(1, latencyMs, latencyMs);
  }

  /** Begins earlier: with what nobody has taken. */
  after(earlier: Measurements): Measurements {
    const all = new Measurements(earlier.sinceMs);
    for (const part of [earlier, this]) {
      all.connections += part.connections;
      all.latency.add(
        part.latency.count,
        part.latency.sumMs,
        part.latency.maxMs,
      );
      all.queueTime.add(
        part.queueTime.count,
        part.queueTime.sumMs,
        part.queueTime.maxMs,
      );
      all.throttle.add(
        part.throttle.count,
        part.throttle.sumMs,
        part.throttle.maxMs,
      );
      for (const [broker, { count, sumMs, maxMs }] of part.latencies) {
        let own = all.latencies.get(broker);
        if (own === undefined) all.latencies.set(broker, own = new Durations());
        own.add(count, sumMs, maxMs);
      }
    }
    return all;
  }

  /**
   * What the subscription selects: a metric whose name begins with one of the prefixes. What was never measured is left
   * out; the metrics of single brokers stand last.
   *
   * @param nowMs ms since the epoch
   * @param connectionsBefore what a cumulative sum begins with
   * @param nodeIdOf the id of the broker at an address, as text; undefined if it has none any more
   */
  metrics(
    prefixes: readonly string[],
    nowMs: number,
    connectionsBefore: number,
    nodeIdOf: (broker: string) => string | undefined,
  ): Metric[] {
    const seconds = Math.max(1, nowMs - this.sinceMs) / 1_000;
    const nodes = [...this.latencies].flatMap(([broker, durations]) => {
      const id = nodeIdOf(broker);
      return id === undefined ? [] : [{ attributes: { node_id: id }, durations }];
    });
    return [
      metric("connection.creation.rate", [{
        value: this.connections / seconds,
      }]),
      metric("connection.creation.total", [{
        value: connectionsBefore + this.connections,
      }], "sum"),
      ...averages("produce.throttle.time", [{ durations: this.throttle }]),
      ...averages("record.queue.time", [{ durations: this.queueTime }]),
      ...averages("request.latency", [{ durations: this.latency }]),
      ...averages("node.request.latency", nodes),
    ].filter(({ name, points }) => points.length > 0 && prefixes.some((prefix) => name.startsWith(prefix)));
  }
}

interface Measured {
  readonly durations: Durations;
  readonly attributes?: Readonly<Record<string, string>>;
}

function averages(name: string, all: readonly Measured[]): Metric[] {
  const measured = all.filter(({ durations }) => durations.count > 0);
  const points = (valueOf: (durations: Durations) => number): Point[] =>
    measured.map(({ durations, ...labels }) => ({
      value: valueOf(durations),
      ...labels,
    }));
  return [
    metric(`${name}.avg`, points(({ sumMs, count }) => sumMs / count)),
    metric(`${name}.max`, points(({ maxMs }) => maxMs)),
  ];
}

function metric(
  name: string,
  points: readonly Point[],
  kind: Metric["kind"] = "gauge",
): Metric {
  return { name: PREFIX + name, kind, points };
}
