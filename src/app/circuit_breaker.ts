/**
 * A circuit breaker: while brokers are in trouble, calls fail at once instead of filling the buffer.
 *
 * @module
 */

import { isObject, MAX_TIMER_MS, readOptions, refuse } from "../call_options.ts";
import { isKafkaError } from "../error_like.ts";
import { KafkaError } from "../errors.ts";
import type { RecordMetadataLike, SendOptionsLike } from "../producer/producer_like.ts";
import type { ProducerRecord } from "../producer/record/record.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { selectRuntime } from "../runtime/select.ts";
import { show } from "../show.ts";
import { checkSends, quietly, sendBy, type Sends, withCallbacks } from "./sends.ts";

/** `"closed"`: calls go through; `"open"`: they fail at once; `"half-open"`: one goes through, to see. */
export type CircuitState = "closed" | "open" | "half-open";

/** A circuit has changed its state. */
export interface CircuitEvent {
  /** The circuit: a topic, say; "" if there is one for all. */
  readonly circuit: string;
  /** What it was. */
  readonly from: CircuitState;
  /** What it is. */
  readonly to: CircuitState;
  /** The failure that opened it. */
  readonly error?: unknown;
}

/** Settings of a {@link CircuitBreaker}. */
export interface CircuitBreakerOptions {
  /** So many failures in a row open it. @default 5 */
  readonly failureThreshold?: number | undefined;
  /** How long it is open before one call may try, in ms. @default 30_000 */
  readonly recoveryTimeoutMs?: number | undefined;
  /**
   * What counts as a failure. By default errors that can pass by themselves (`retriable`): lost connections, timeouts,
   * brokers without a leader or a quorum, a full buffer. What is the caller's own mistake says nothing of the brokers.
   */
  readonly isFailure?: ((error: unknown) => boolean) | undefined;
  /** Hears of every change. */
  readonly onStateChange?: ((event: CircuitEvent) => void) | undefined;
}

const OPTIONS = ["failureThreshold", "recoveryTimeoutMs", "isFailure", "onStateChange"] as const;

/**
 * One circuit. It has no timer: time is looked at when a call is made.
 *
 * @example
 * ```ts
 * import { TimeoutError } from "@sluice/kafka";
 * import { CircuitBreaker } from "@sluice/kafka/app";
 *
 * const breaker = new CircuitBreaker({ failureThreshold: 1, recoveryTimeoutMs: 10_000 });
 * await breaker.run(() => Promise.reject(new TimeoutError("No answer."))).catch(() => {});
 * const error = await breaker.run(() => Promise.resolve("never called")).catch((error) => error);
 * console.assert(breaker.state === "open" && error.code === "CIRCUIT_OPEN" && error.retriable);
 * ```
 */
export class CircuitBreaker {
  readonly #name: string;
  readonly #now: () => number;
  readonly #failureThreshold: number;
  readonly #recoveryTimeoutMs: number;
  readonly #options: CircuitBreakerOptions;
  #state: CircuitState = "closed";
  #failures = 0;
  /** When it opened, or when the call that tries was let through. */
  #sinceMs = 0;
  /** Calls of an earlier state tell nothing of this one. */
  #generation = 0;
  #lastError: unknown;

  /**
   * Makes a closed circuit.
   *
   * @param options all have defaults
   * @param runtime the clock; the runtime's own unless a test brings another
   * @param name for messages and events
   * @throws {ConfigError} for an option that is unknown or wrong
   */
  constructor(options?: CircuitBreakerOptions, runtime: Pick<Runtime, "now"> = selectRuntime(), name: string = "") {
    this.#options = checkBreakerOptions("CircuitBreaker", options);
    const { failureThreshold = 5, recoveryTimeoutMs = 30_000 } = this.#options;
    this.#failureThreshold = failureThreshold;
    this.#recoveryTimeoutMs = recoveryTimeoutMs;
    this.#now = () => runtime.now();
    this.#name = name;
  }

  /** What it is now: half-open also before anybody has tried, once the time has come. */
  get state(): CircuitState {
    return this.#state === "open" && this.retryAfterMs === 0 ? "half-open" : this.#state;
  }

  /** Failures in a row. */
  get failures(): number {
    return this.#failures;
  }

  /** How long until a call may try, in ms; 0 if one may now. */
  get retryAfterMs(): number {
    if (this.#state === "closed") return 0;
    return Math.max(0, this.#sinceMs + this.#recoveryTimeoutMs - this.#now());
  }

  /**
   * Calls the function, unless the circuit is open, and watches what becomes of its promise.
   *
   * @throws {KafkaError} with the code `CIRCUIT_OPEN`, retriable, persisted "no": the function was not called
   */
  async run<T>(call: () => Promise<T> | T): Promise<T> {
    if (typeof call !== "function") refuse("call", "a function", call);
    this.#admit();
    const generation = this.#generation;
    try {
      const result = await call();
      if (generation === this.#generation) this.#succeeded();
      return result;
    } catch (error) {
      if (generation === this.#generation) this.#failed(error);
      throw error;
    }
  }

  #admit(): void {
    if (this.#state === "closed") return;
    const retryAfterMs = this.retryAfterMs;
    if (retryAfterMs > 0) throw this.#refusal(retryAfterMs);
    // One goes through. If it never ends, another one may try after the same time.
    this.#sinceMs = this.#now();
    this.#change("half-open");
  }

  #refusal(retryAfterMs: number): KafkaError {
    const circuit = this.#name === "" ? "The circuit" : `The circuit of ${show(this.#name)}`;
    const why = this.#state === "open"
      ? `is open after ${this.#failures} failures`
      : "is half-open, and one call is trying";
    const message = `${circuit} ${why}: nothing was sent. Try again in ${Math.ceil(retryAfterMs)} ms.`;
    return new KafkaError(message, { code: "CIRCUIT_OPEN", retriable: true, cause: this.#lastError });
  }

  #succeeded(): void {
    this.#failures = 0;
    this.#lastError = undefined;
    if (this.#state !== "closed") this.#change("closed");
  }

  #failed(error: unknown): void {
    if (!this.#isFailure(error)) {
      // It tells nothing of the brokers: the next call may try.
      if (this.#state === "half-open") this.#sinceMs = -Infinity;
      return;
    }
    this.#failures += 1;
    this.#lastError = error;
    if (this.#state === "closed" && this.#failures < this.#failureThreshold) return;
    this.#sinceMs = this.#now();
    this.#change("open", error);
  }

  #isFailure(error: unknown): boolean {
    const { isFailure } = this.#options;
    if (isFailure === undefined) return isKafkaError(error) && error.retriable && error.code !== "CIRCUIT_OPEN";
    try {
      return isFailure(error) === true;
    } catch {
      return true;
    }
  }

  #change(to: CircuitState, error?: unknown): void {
    const from = this.#state;
    this.#state = to;
    this.#generation += 1;
    if (from === to) return;
    quietly(() => this.#options.onStateChange?.({ circuit: this.#name, from, to, ...(error ? { error } : {}) }));
  }
}

/** Which circuit a record belongs to: one for all, one for each topic, or by a name of the caller's. */
export type CircuitScope<K, V> = "all" | "topic" | ((record: ProducerRecord<K, V>) => string);

/**
 * A producer behind circuits.
 *
 * @example
 * ```ts
 * import { CircuitBreakers } from "@sluice/kafka/app";
 * import { RecordingProducer } from "@sluice/kafka/testing";
 *
 * const producer = new RecordingProducer();
 * const orders = new CircuitBreakers(producer, { scope: "topic", failureThreshold: 3 });
 * await orders.send({ topic: "orders", value: "hello" });
 * console.assert(orders.stateOf("orders") === "closed");
 * ```
 */
export class CircuitBreakers<K = string | Uint8Array, V = string | Uint8Array> {
  readonly #producer: Sends<K, V>;
  readonly #scopeOf: (record: ProducerRecord<K, V>) => string;
  readonly #options: CircuitBreakerOptions;
  readonly #runtime: Pick<Runtime, "now">;
  /** Those that have something to remember, and how many calls each has under way. */
  readonly #circuits = new Map<string, { readonly breaker: CircuitBreaker; calls: number }>();

  /**
   * Stands before a producer.
   *
   * @param options those of a {@link CircuitBreaker}, and `scope`: what has a circuit of its own (default "all")
   * @param runtime the clock; the runtime's own unless a test brings another
   * @throws {ConfigError} for an option that is unknown or wrong
   */
  constructor(
    producer: Sends<K, V>,
    options?: CircuitBreakerOptions & { readonly scope?: CircuitScope<K, V> | undefined },
    runtime: Pick<Runtime, "now"> = selectRuntime(),
  ) {
    checkSends("CircuitBreakers", producer);
    const { scope = "all", ...own } = readOptions("CircuitBreakers", options, [...OPTIONS, "scope"]);
    if (scope !== "all" && scope !== "topic" && typeof scope !== "function") {
      refuse("scope", '"all", "topic" or a function that names the circuit of a record', scope);
    }
    this.#producer = producer;
    this.#runtime = runtime;
    this.#options = checkBreakerOptions("CircuitBreakers", own);
    this.#scopeOf = typeof scope === "function"
      ? scope as (record: ProducerRecord<K, V>) => string
      : scope === "topic"
      ? (record) => isObject(record) ? record.topic : ""
      : () => "";
  }

  /** Sends a record as the producer does, or rejects with `CIRCUIT_OPEN` at once. */
  send(record: ProducerRecord<K, V>, options?: SendOptionsLike): Promise<RecordMetadataLike> {
    const outcome: Promise<RecordMetadataLike> = withCallbacks(options, async (signal) => {
      const name = String(this.#scopeOf(record));
      const circuit = this.#circuits.get(name) ??
        { breaker: new CircuitBreaker(this.#options, this.#runtime, name), calls: 0 };
      this.#circuits.set(name, circuit);
      circuit.calls += 1;
      try {
        return await circuit.breaker.run(() => sendBy(this.#producer, record, signal, () => outcome));
      } finally {
        circuit.calls -= 1;
        // A healthy circuit is like a new one; there may be any number of names.
        const isNew = circuit.calls === 0 && circuit.breaker.state === "closed" && circuit.breaker.failures === 0;
        if (isNew) this.#circuits.delete(name);
      }
    });
    return outcome;
  }

  /** The state of a circuit by its name; that of the only one without. */
  stateOf(circuit: string = ""): CircuitState {
    return this.#circuits.get(circuit)?.breaker.state ?? "closed";
  }

  /** All circuits that aren't closed, by name. */
  troubled(): Record<string, CircuitState> {
    const states = Array.from(this.#circuits, ([name, { breaker }]) => [name, breaker.state] as const);
    return Object.fromEntries(states.filter(([, state]) => state !== "closed"));
  }
}

/** Options of a breaker, checked. */
export function checkBreakerOptions(call: string, options: unknown): CircuitBreakerOptions {
  const read = readOptions(call, options, OPTIONS);
  const { failureThreshold = 5, recoveryTimeoutMs = 30_000, isFailure, onStateChange } = read;
  checkWhole("failureThreshold", failureThreshold, 1, 1_000_000);
  checkWhole("recoveryTimeoutMs", recoveryTimeoutMs, 1, MAX_TIMER_MS);
  for (const [name, value] of Object.entries({ isFailure, onStateChange })) {
    if (value !== undefined && typeof value !== "function") refuse(name, "a function", value);
  }
  return read as CircuitBreakerOptions;
}

/** Refuses what is no whole number between two others. */
export function checkWhole(name: string, value: unknown, min: number, max: number): void {
  if (typeof value === "number" && Number.isInteger(value) && value >= min && value <= max) return;
  refuse(name, `a whole number from ${min} to ${max}`, value);
}
