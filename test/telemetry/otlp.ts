/**
 * Reads OpenTelemetry's `MetricsData`, by the numbers of its fields.
 *
 * @module
 */

/** A metric as it stands in the bytes. */
export interface ReadMetric {
  readonly name: string;
  readonly kind: "gauge" | "sum";
  /** 1 is delta, 2 cumulative. */
  readonly temporality: number;
  readonly isMonotonic: boolean;
  readonly points: readonly ReadPoint[];
}

/** A point of a metric. */
export interface ReadPoint {
  readonly value: number;
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Readonly<Record<string, string>>;
}

type Fields = Map<number, (number | bigint | Uint8Array)[]>;

/** The metrics, and the attributes of the resource. */
export function readMetricsData(
  bytes: Uint8Array,
): { metrics: ReadMetric[]; resource: Record<string, string>; scope: string } {
  const resourceMetrics = message(fields(bytes), 1);
  const scopeMetrics = message(resourceMetrics, 2);
  return {
    metrics: all(scopeMetrics, 2).map(readMetric),
    resource: attributes(message(resourceMetrics, 1), 1),
    scope: text(message(scopeMetrics, 1), 1),
  };
}

function readMetric(metric: Fields): ReadMetric {
  const kind = metric.has(5) ? "gauge" : "sum";
  const data = message(metric, kind === "gauge" ? 5 : 7);
  return {
    name: text(metric, 1),
    kind,
    temporality: Number(data.get(2)?.[0] ?? 0),
    isMonotonic: data.get(3)?.[0] === 1,
    points: all(data, 1).map((point) => ({
      value: new DataView(new BigUint64Array([point.get(4)![0] as bigint]).buffer).getFloat64(0, true),
      startMs: Number(point.get(2)![0] as bigint / 1_000_000n),
      endMs: Number(point.get(3)![0] as bigint / 1_000_000n),
      attributes: attributes(point, 7),
    })),
  };
}

function attributes(of: Fields, field: number): Record<string, string> {
  return Object.fromEntries(all(of, field).map((pair) => [text(pair, 1), text(message(pair, 2), 1)]));
}

function all(of: Fields, field: number): Fields[] {
  return (of.get(field) ?? []).map((bytes) => fields(bytes as Uint8Array));
}

function message(of: Fields, field: number): Fields {
  return fields(of.get(field)![0] as Uint8Array);
}

function text(of: Fields, field: number): string {
  return new TextDecoder().decode(of.get(field)![0] as Uint8Array);
}

function fields(bytes: Uint8Array): Fields {
  const found: Fields = new Map();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0;; shift += 7) {
      const byte = bytes[at++]!;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    let value: number | bigint | Uint8Array;
    if ((tag & 7) === 0) value = varint();
    else if ((tag & 7) === 1) {
      value = view.getBigUint64(at, true);
      at += 8;
    } else {
      const length = varint();
      value = bytes.subarray(at, at += length);
    }
    found.set(tag >>> 3, [...found.get(tag >>> 3) ?? [], value]);
  }
  return found;
}
