/**
 * Puts spans and metrics around a producer.
 *
 * @module
 */

import { isObject, readOptions, refuse, type SendCall } from "../call_options.ts";
import type { ClusterSnapshot } from "../cluster/snapshot.ts";
import { ConfigError, type KafkaError } from "../errors.ts";
import { copyOfRecords } from "../other_clients.ts";
import type { ProducerLike, RecordMetadataLike, SendOptionsLike } from "../producer/producer_like.ts";
import { fieldsOf, keep } from "../producer/record/kept_record.ts";
import type { ProducerRecord } from "../producer/record/record.ts";
import { TopicHandle } from "../producer/topic_handle.ts";
import { writableOf } from "../producer/writable.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { selectRuntime } from "../runtime/select.ts";
import { Leaders } from "./leaders.ts";
import { type OtelOptions, type RecordOutcome, SendTracer } from "./tracer.ts";

/** What can be instrumented: a producer, a transactional one, a transaction, a double. */
export interface Instrumentable {
  /** Sends a record; without it, what has `transaction` is instrumented inside. */
  send?(...args: never[]): Promise<RecordMetadataLike>;
  /** Runs a transaction. */
  transaction?(...args: never[]): Promise<unknown>;
}

const OPTIONS = ["tracerProvider", "meterProvider", "clientId", "createSpans", "keys"] as const;

type Record = ProducerRecord<unknown, unknown>;
type Call = SendCall<KafkaError, RecordMetadataLike>;
type Method = (...args: never[]) => unknown;

/** What of a producer is called. */
type Target =
  & Pick<ProducerLike<unknown, unknown>, "send" | "sendBatch" | "produce" | "ready" | "flush">
  & { readonly [name: string]: unknown };

/**
 * Gives a producer back with the same methods, of which those that send also make spans and metrics, by OpenTelemetry's
 * conventions for messaging. Everything else goes to the producer itself, also `close`.
 *
 * `send`, `produce` and `writable` make a span `send TOPIC` of kind PRODUCER for each record, as a child of the active
 * one, and put its context into the headers. `sendBatch` makes one of kind CLIENT for the call. A `traceparent` that the
 * caller has set is left alone: the span links to it. Transactions, by `transaction` and `begin`, are instrumented too, and
 * so are topics, by `topic`.
 *
 * @example
 * ```ts
 * import { Producer } from "@sluice/kafka";
 * import { instrument } from "@sluice/kafka/otel";
 * import { EmbeddedCluster } from "@sluice/kafka/testing";
 *
 * const cluster = new EmbeddedCluster({ topics: { orders: 1 } });
 * const producer = instrument(new Producer({ brokers: cluster.bootstrap, connect: cluster.sockets }), { clientId: "shop" });
 * await producer.send({ topic: "orders", value: "hello" });
 * await producer.close();
 * ```
 *
 * @param options all have defaults: the providers are those that the application has registered
 * @param runtime the clock; the runtime's own unless a test brings another
 * @throws {ConfigError} for an option that is unknown or wrong
 */
export function instrument<P extends Instrumentable>(
  producer: P,
  options?: OtelOptions,
  runtime: Pick<Runtime, "now"> = selectRuntime(),
): P {
  const isTarget = isObject(producer) &&
    (typeof producer.send === "function" || typeof producer.transaction === "function");
  if (!isTarget) refuse("producer", "a producer, for instrument", producer);
  const target = producer as unknown as Target;
  const snapshot = (): ClusterSnapshot | undefined => {
    const { snapshot: take } = target;
    return typeof take === "function" ? take.call(target) as ClusterSnapshot : undefined;
  };
  return around(producer, new SendTracer(checkOptions(options), new Leaders(snapshot, runtime), runtime));
}

function around<P extends object>(producer: P, tracer: SendTracer): P {
  const own = methodsOf(producer as unknown as Target, tracer, () => proxy);
  const bound = new Map<PropertyKey, [from: Method, to: Method]>();
  // Of a stand-in, for a proxy of what is frozen may not show other methods.
  const standIn = Object.create(Object.getPrototypeOf(producer)) as P;
  const proxy: P = new Proxy(standIn, {
    get(_, name) {
      const value: unknown = Reflect.get(producer, name, producer);
      if (typeof value !== "function" || name === "constructor") return value;
      const method = typeof name === "string" && Object.hasOwn(own, name) ? own[name] : undefined;
      if (method !== undefined) return method;
      // Private fields are the producer's own, and not this proxy's.
      const known = bound.get(name);
      if (known?.[0] === value) return known[1];
      const made: Method = value.bind(producer);
      bound.set(name, [value as Method, made]);
      return made;
    },
    set: (_, name, value) => Reflect.set(producer, name, value, producer),
    has: (_, name) => Reflect.has(producer, name),
  });
  return proxy;
}

function methodsOf(target: Target, tracer: SendTracer, traced: () => object): { readonly [name: string]: Method } {
  // Its commit tells of a record that has failed, so that nobody need await the record itself.
  const isTransaction = typeof target["commit"] === "function";

  const send = (given: Record, options?: SendOptionsLike): Promise<RecordMetadataLike> => {
    const record = fieldsOrItself(given);
    const tracked = quietly(() => tracer.send(record));
    if (tracked === undefined) return target.send(record, options);
    // What was thrown by a double that is none of ours goes on to its caller.
    const outcome = target.send(tracked.record, options).then((metadata) => {
      quietly(() => tracked.end({ metadata }));
      return metadata;
    }, (error) => {
      quietly(() => tracked.end({ error }));
      throw error;
    });
    if (isTransaction || hasCallback(options)) outcome.catch(() => {});
    return outcome;
  };

  const sendBatch = (given: Iterable<Record>, options?: SendOptionsLike): unknown => {
    // A copy: an iterator can be read only once, and may yield one object again and again.
    const copies = copyOfRecords(given, keep);
    // What is thrown while it is read isn't thrown a second time by an iterator, which has ended.
    if (copies instanceof ConfigError) {
      return target.sendBatch(isIterable(given) ? broken(copies.cause) : given, options);
    }
    const records = copies.map(fieldsOrItself);
    const tracked = quietly(() => tracer.sendBatch(records));
    const delivery = target.sendBatch(tracked?.records ?? records, options);
    const end = (index: number, outcome: RecordOutcome): void => quietly(() => tracked?.end(index, outcome));
    delivery.promises.forEach((promise, index) => {
      promise.then((metadata) => end(index, { metadata }), (error) => end(index, { error }));
    });
    return delivery;
  };

  const produce = (given: Record, onDelivery?: Call["onDelivery"]): boolean => {
    const isCallback = onDelivery === undefined || onDelivery === null || typeof onDelivery === "function";
    // What is refused because the buffer is full is offered again: headers that can be read once must be there then.
    if (!isCallback || isForOnce(given)) return target.produce(given, onDelivery as never);
    const record = fieldsOrItself(given);
    const tracked = quietly(() => tracer.send(record));
    if (tracked === undefined) return target.produce(record, onDelivery as never);
    return target.produce(tracked.record, (error, metadata) => {
      quietly(() => tracked.end(error === null ? { metadata: metadata! } : { error }));
      return onDelivery?.(error, metadata);
    });
  };

  const writable = (topic?: string): unknown => {
    const stream = { produce, ready: () => target.ready(), flush: () => target.flush() };
    return topic === undefined
      ? writableOf(stream as never, (record: Record) => record as never)
      : writableOf(stream as never, (value: unknown) => ({ topic, value }) as never);
  };

  const transaction = (run: (tx: object) => unknown, options?: unknown): unknown => {
    const traced = typeof run === "function" ? (tx: object): unknown => run(around(tx, tracer)) : run;
    return (target["transaction"] as Method).call(target, traced as never, options as never);
  };

  const begin = async (...args: never[]): Promise<unknown> => {
    const tx = await (target["begin"] as Method).apply(target, args);
    return isObject(tx) ? around(tx, tracer) : tx;
  };

  const topic = (name: string, serializers?: unknown): unknown => {
    const handle = (target["topic"] as Method).call(target, name as never, serializers as never);
    // One that sends by somebody else may have a topic, or serializers, that are none of this call.
    return handle instanceof TopicHandle ? handle.around(target, traced()) : handle;
  };

  const own = { send, sendBatch, produce, writable, transaction, begin, topic };
  return own as unknown as { readonly [name: string]: Method };
}

function isIterable(value: unknown): boolean {
  return quietly(() => isObject(value) && Symbol.iterator in value) === true;
}

/** A list of records that can't be read, and why. */
function broken(reason: unknown): Iterable<never> {
  return {
    [Symbol.iterator]: () => {
      throw reason;
    },
  };
}

/** The fields of a record, each read once. What can't be read is left to the producer, which says why. */
function fieldsOrItself(record: Record): Record {
  try {
    return isObject(record) ? fieldsOf(record) : record;
  } catch {
    return record;
  }
}

/** True if the headers are an iterator. */
function isForOnce(record: Record): boolean {
  try {
    const headers: unknown = record.headers;
    if (!isObject(headers) || !(Symbol.iterator in headers)) return false;
    return (headers as { [Symbol.iterator](): unknown })[Symbol.iterator]() === headers;
  } catch {
    return true;
  }
}

function hasCallback(options: SendOptionsLike | undefined): boolean {
  const { onDelivery, onSuccess, onError } = options ?? {};
  return typeof onDelivery === "function" || typeof onSuccess === "function" || typeof onError === "function";
}

/** Whatever goes wrong with a span, the record goes on. */
function quietly<T>(call: () => T): T | undefined {
  try {
    return call();
  } catch {
    return undefined;
  }
}

function checkOptions(options: OtelOptions | undefined): OtelOptions {
  const read = readOptions("instrument", options, OPTIONS);
  const { clientId } = read;
  if (clientId !== undefined && (typeof clientId !== "string" || clientId === "")) {
    refuse("clientId", "text that isn't empty", clientId);
  }
  for (const [name, method] of [["tracerProvider", "getTracer"], ["meterProvider", "getMeter"]] as const) {
    const { [name]: provider } = read;
    const isProvider = provider === undefined ||
      (isObject(provider) && typeof (provider as { readonly [method: string]: unknown })[method] === "function");
    if (!isProvider) refuse(name, `a provider of OpenTelemetry, with a method ${method}`, provider);
  }
  for (const name of ["createSpans", "keys"] as const) {
    const { [name]: value } = read;
    if (value !== undefined && typeof value !== "boolean") refuse(name, "true or false", value);
  }
  return read as OtelOptions;
}
