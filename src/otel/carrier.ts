/**
 * A record's headers as the carrier of a context.
 *
 * @module
 */

import { type Context, propagation, ROOT_CONTEXT, type SpanContext, trace } from "@opentelemetry/api";
import { isByteArray } from "../byte_arrays.ts";
import { isObject } from "../call_options.ts";
import type { Headers, HeaderValue, ProducerRecord } from "../producer/record/record.ts";

/** The header that says to which trace a record belongs. */
const TRACEPARENT = "traceparent";

type Pairs = [string, HeaderValue | undefined][];

/** A record whose headers are pairs, which can be read again and added to; undefined if they can't be read. */
export function withPairs<K, V>(
  record: ProducerRecord<K, V>,
): (ProducerRecord<K, V> & { readonly headers: Pairs }) | undefined {
  const { headers } = record;
  if (headers === undefined || headers === null) return { ...record, headers: [] };
  const pairs = pairsOf(headers);
  return pairs && { ...record, headers: pairs };
}

function pairsOf(headers: Headers): Pairs | undefined {
  if (!isObject(headers)) return undefined;
  const pairs: unknown[] = Symbol.iterator in headers ? [...headers] : Object.entries(headers);
  // Whatever is none is refused by the producer.
  const isPair = (pair: unknown): pair is Pairs[number] => Array.isArray(pair) && typeof pair[0] === "string";
  return pairs.every(isPair) ? pairs : undefined;
}

/** The span to which a record belongs already, by the headers that its sender set; undefined without any. */
export function ownContext(pairs: Pairs): SpanContext | undefined {
  if (!hasOwn(pairs)) return undefined;
  const carrier = Object.fromEntries(pairs.map(([name, value]) => [name.toLowerCase(), textOf(value)]));
  return trace.getSpanContext(propagation.extract(ROOT_CONTEXT, carrier));
}

/** True if the sender has set a trace: then none of its headers is touched. */
export function hasOwn(pairs: Pairs): boolean {
  return pairs.some(([name, value]) => name.toLowerCase() === TRACEPARENT && value !== null && value !== undefined);
}

/** Adds the headers of a context: `traceparent`, `tracestate`, `baggage`, as the propagator of the application has them. */
export function inject(context: Context, pairs: Pairs): void {
  propagation.inject(context, pairs, {
    set: (carrier, name, value) => {
      // One of that name is the sender's own.
      if (!carrier.some(([own]) => own.toLowerCase() === name.toLowerCase())) carrier.push([name, value]);
    },
  });
}

function textOf(value: HeaderValue | undefined): string | undefined {
  return isByteArray(value) ? new TextDecoder().decode(value) : value ?? undefined;
}
