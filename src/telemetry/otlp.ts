/**
 * Metrics in OpenTelemetry's bytes: the few messages of protobuf that `MetricsData` (OTLP 1.x) needs, written by hand.
 *
 * @module
 */

/** One value at one time. */
export interface Metric {
  /** The whole name, as subscriptions select it. */
  readonly name: string;
  /** A sum only grows; a gauge is what it is. */
  readonly kind: "gauge" | "sum";
  /** One for each set of attributes. */
  readonly points: readonly Point[];
}

/** A value, and what it belongs to. */
export interface Point {
  /** The value. */
  readonly value: number;
  /** Names and values that tell it from the others of its metric. */
  readonly attributes?: Readonly<Record<string, string>>;
}

/** The time that values cover, in ms since the epoch, and how sums count. */
export interface Span {
  /** Since when. */
  readonly startMs: number;
  /** Until when. */
  readonly endMs: number;
  /** Sums count from `startMs` of this push (delta), or from the start of the client. */
  readonly isDelta: boolean;
}

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;

const DELTA = 1;
const CUMULATIVE = 2;
const NANOS_PER_MS = 1_000_000n;
const SCOPE = "@sluice/kafka";

const encoder = new TextEncoder();

/** `MetricsData` with one resource and one scope. */
export function encodeMetricsData(
  metrics: readonly Metric[],
  span: Span,
  resource: Readonly<Record<string, string>>,
): Uint8Array {
  const scope = message(1, text(1, SCOPE));
  const scopeMetrics = message(
    2,
    scope,
    ...metrics.map((metric) => encodeMetric(metric, span)),
  );
  return concat([
    message(1, message(1, ...attributes(1, resource)), scopeMetrics),
  ]);
}

function encodeMetric({ name, kind, points }: Metric, span: Span): Uint8Array {
  const data = points.map((point) => encodePoint(point, span));
  if (kind === "gauge") return message(2, text(1, name), message(5, ...data));
  const temporality = [
    tag(2, VARINT),
    varint(span.isDelta ? DELTA : CUMULATIVE),
  ];
  const monotonic = [tag(3, VARINT), varint(1)];
  return message(
    2,
    text(1, name),
    message(7, ...data, ...temporality, ...monotonic),
  );
}

function encodePoint(
  { value, attributes: labels = {} }: Point,
  { startMs, endMs }: Span,
): Uint8Array {
  return message(
    1,
    fixed(2, nanos(startMs)),
    fixed(3, nanos(endMs)),
    double(4, value),
    ...attributes(7, labels),
  );
}

function attributes(
  field: number,
  values: Readonly<Record<string, string>>,
): Uint8Array[] {
  return Object.entries(values).map(([key, value]) => message(field, text(1, key), message(2, text(1, value))));
}

function text(field: number, value: string): Uint8Array {
  return message(field, encoder.encode(value));
}

function message(field: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return concat([tag(field, LENGTH), varint(length), ...parts]);
}

function fixed(field: number, value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return concat([tag(field, FIXED64), bytes]);
}

function double(field: number, value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setFloat64(0, value, true);
  return concat([tag(field, FIXED64), bytes]);
}

function tag(field: number, type: number): Uint8Array {
  return varint(field << 3 | type);
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  for (let rest = value;; rest >>>= 7) {
    if (rest < 0x80) {
      bytes.push(rest);
      return Uint8Array.from(bytes);
    }
    bytes.push(rest & 0x7f | 0x80);
  }
}

function nanos(ms: number): bigint {
  return BigInt(Math.max(0, Math.round(ms))) * NANOS_PER_MS;
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(
    parts.reduce((sum, part) => sum + part.length, 0),
  );
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
