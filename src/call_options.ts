/**
 * Checks of what callers pass: to constructors, and by the same rules to methods. Each option is read once; what is
 * unknown, of the wrong type, or throws when it is read, is a `ConfigError` that says what to pass.
 *
 * @module
 */

import { isHarmless } from "./error_like.ts";
import { ConfigError } from "./errors.ts";
import { sentenceOf, show } from "./show.ts";

/** The largest number of 32 bits: more doesn't fit into a field of the wire. */
export const MAX_INT32 = 2_147_483_647;
/** Timers hold as much; a longer one would go off at once. */
export const MAX_TIMER_MS: number = MAX_INT32;

/** Neither null nor a primitive nor a function. */
export function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

/** Tells what an option should be, and what it is; then what else may help. */
export function refuse(name: string, wanted: string, value: unknown, hint: string = ""): never {
  throw new ConfigError(name, `Set "${name}" to ${wanted}: ${show(value)} is not.${hint}`);
}

/** Of a number among options: what it is unless given, and the least and the largest that it may be. */
export type NumberBounds = readonly [fallback: number | undefined, least: number, most: number];

/**
 * A whole number among options, or Infinity where that is the largest.
 *
 * @throws {ConfigError} for anything else
 */
export function checkNumber(name: string, value: unknown, [fallback, least, most]: NumberBounds): number | undefined {
  if (value === undefined) return fallback;
  const isWhole = Number.isSafeInteger(value) || value === Infinity;
  if (isWhole && value as number >= least && value as number <= most) return value as number;
  const unit = /Ms$/.test(name) ? " of ms" : /(Bytes|Size|Memory)$/.test(name) ? " of bytes" : "";
  refuse(name, `a whole number${unit} from ${least} to ${most}`, value);
}

/**
 * The options of a call, read once each.
 *
 * @param call what they are passed to, for messages
 * @param known the options that there are
 * @param hintFor what to say of an option that there isn't; unless given, all that there are
 */
export function readOptions<N extends string>(
  call: string,
  options: unknown,
  known: readonly N[],
  hintFor?: (name: string) => string,
): { readonly [name in N]?: unknown } {
  const values: { [name in N]?: unknown } = {};
  if (options === undefined) return values;
  const names = known.join(", ");
  if (!isObject(options) || isNoOptions(options, known)) {
    const wanted = hintFor === undefined ? `, with ${names}` : "";
    throw new ConfigError("options", `Pass an object with options to ${call}${wanted}: ${show(options)} is not.`);
  }
  let unknown: string | undefined;
  try {
    unknown = Object.keys(options).find((name) => !(known as readonly string[]).includes(name));
    for (const name of known) values[name] = (options as Readonly<Record<string, unknown>>)[name];
  } catch (error) {
    throw unreadable(call, error);
  }
  if (unknown === undefined) return values;
  const hint = hintFor === undefined ? ` Wanted ${names}.` : hintFor(unknown);
  throw new ConfigError(unknown, `Remove the option ${show(unknown)}: ${call} has no such option.${hint}`);
}

/** A list, a signal or another object that has nothing to do with options, though it has no unknown ones either. */
function isNoOptions(options: object, known: readonly string[]): boolean {
  try {
    if (Array.isArray(options) || isSignal(options) || isController(options)) return true;
    const prototype: unknown = Object.getPrototypeOf(options);
    // Of whatever realm: the one that has none itself.
    const isPlain = !isObject(prototype) || Object.getPrototypeOf(prototype) === null;
    return !isPlain && !known.some((name) => name in options);
  } catch {
    // Whoever reads it meets it again.
    return false;
  }
}

function unreadable(call: string, error: unknown): ConfigError {
  const message = `Pass plain options to ${call}: reading them failed. ${sentenceOf(error)}`;
  return new ConfigError("options", message, { cause: error });
}

/** A list, or another iterable, of things that each pass a check. */
export function readList<T>(option: string, value: unknown, wanted: string, each: (item: unknown) => T): T[] {
  let items: unknown[] | undefined;
  try {
    if (isObject(value) && typeof (value as Partial<Iterable<unknown>>)[Symbol.iterator] === "function") {
      items = [...value as Iterable<unknown>];
    }
  } catch (error) {
    throw new ConfigError(option, `Pass a list of ${wanted}: reading it failed. ${sentenceOf(error)}`, {
      cause: error,
    });
  }
  if (items === undefined) throw new ConfigError(option, `Pass a list of ${wanted}: ${show(value)} is none.`);
  return items.map((item) => each(item));
}

/** A time limit in ms, if any. */
export function checkTimeoutMs(value: unknown): number | undefined {
  if (value === undefined || value === Infinity) return value;
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= MAX_TIMER_MS) return value;
  refuse("timeoutMs", `a whole number of ms from 0 to ${MAX_TIMER_MS}, or to Infinity`, value);
}

/** True for what can be used as an `AbortSignal`, also one of another realm or of a polyfill. */
export function isSignal(value: unknown): value is AbortSignal {
  try {
    const { aborted, addEventListener, removeEventListener } = value as AbortSignal;
    return typeof aborted === "boolean" && typeof addEventListener === "function" &&
      typeof removeEventListener === "function";
  } catch {
    // Such as Object.create(AbortSignal.prototype), whose getters throw.
    return false;
  }
}

function isController(value: object): boolean {
  const { abort, signal } = value as AbortController;
  return typeof abort === "function" && isSignal(signal);
}

/** A signal, if anything. */
export function checkSignal(value: unknown): AbortSignal | undefined {
  if (value === undefined || isSignal(value)) return value;
  let hint = "";
  try {
    if (isObject(value) && isController(value)) hint = ' Pass the controller\'s own "signal".';
  } catch {
    // It is no controller either.
  }
  refuse("signal", "an AbortSignal", value, hint);
}

/** The reason of a signal; what its getter throws, if it does. */
export function reasonOfSignal(signal: AbortSignal): unknown {
  try {
    return signal.reason;
  } catch (error) {
    return error;
  }
}

/** Whether a signal is aborted; one that doesn't tell any more isn't. */
export function isAborted(signal: AbortSignal): boolean {
  try {
    return signal.aborted;
  } catch {
    return false;
  }
}

/** For a promise where none was wanted: the error says that already, so that its rejection is nobody's business. */
export function ignoreRejection(value: unknown): void {
  try {
    watchRejection(value, () => {});
  } catch {
    // It isn't one.
  }
}

/** Whether something has a `then`: a promise of this realm or another, or what a library has in place of one. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  try {
    return isObject(value) && typeof (value as PromiseLike<unknown>).then === "function";
  } catch {
    // A proxy, or a getter that throws; nobody can wait for it.
    return false;
  }
}

/**
 * Watches what a caller's function has returned: if that is a promise, of whatever kind, its rejection is told. Throws what
 * its `then` throws.
 */
export function watchRejection(returned: unknown, onRejected: (error: unknown) => void): void {
  // Within this turn: workerd reports at once what nobody has asked for.
  if (isThenable(returned)) void returned.then(undefined, onRejected);
}

/** A function that is called back, if any; null is none. */
type Callback<A extends unknown[]> = ((...args: A) => unknown) | undefined;

/** Options that belong to the producer, and that other clients have in each call. */
const PRODUCER_OPTIONS = ["acks", "compression", "timeout", "timeoutMs"];

/** What was said with a record: read once, for a callback is needed when the caller's object may have changed. */
export class SendCall<E, M, C = unknown> {
  readonly onDelivery: Callback<[error: E | null, metadata: M | null]>;
  readonly onSuccess: Callback<[metadata: M]>;
  readonly onError: Callback<[error: E]>;
  readonly signal: AbortSignal | undefined;
  /** The asynchronous context in which the callbacks are called; whoever keeps account of those sets it. */
  context: C | undefined = undefined;
  /** The promise of the record, settled after the callbacks; set by the producer. */
  resolve: ((outcome: M | Promise<never>) => void) | undefined = undefined;
  /** Why the record is refused; undefined if it isn't. */
  readonly refusal: ConfigError | undefined;

  /** Reads the options of a call by its name. Never throws. */
  constructor(call: string, options: object) {
    let refusal: ConfigError | undefined;
    let onDelivery: unknown;
    let onSuccess: unknown;
    let onError: unknown;
    let signal: unknown;
    try {
      // By hand, not by `readOptions`: this is done for each record that has options.
      ({ onDelivery, onSuccess, onError, signal } = options as Record<string, unknown>);
      for (const name in options) {
        if (name === "onDelivery" || name === "onSuccess" || name === "onError" || name === "signal") continue;
        if (Object.hasOwn(options, name)) refusal = unknownSendOption(call, name);
      }
      if (signal !== undefined) checkSignal(signal);
    } catch (error) {
      refusal = refusalOf(call, error);
    }
    // Those that are right are told of the refusal.
    this.onDelivery = typeof onDelivery === "function" ? onDelivery as this["onDelivery"] : undefined;
    this.onSuccess = typeof onSuccess === "function" ? onSuccess as this["onSuccess"] : undefined;
    this.onError = typeof onError === "function" ? onError as this["onError"] : undefined;
    this.signal = refusal === undefined ? signal as AbortSignal | undefined : undefined;
    this.refusal = refusal ?? refusedCallback({ onDelivery, onSuccess, onError });
  }

  /** True if somebody is called back, who will handle the error. */
  get hasCallback(): boolean {
    return this.onDelivery !== undefined || this.onSuccess !== undefined || this.onError !== undefined;
  }
}

/** Reads the options of a send; undefined if there are none. Never throws. */
export function readSendOptions<E, M, C>(call: string, options: unknown): SendCall<E, M, C> | undefined {
  if (options === undefined || options === null) return undefined;
  if (typeof options === "object" && !isList(options)) return new SendCall(call, options);
  const hint = typeof options === "function" ? " Pass a callback as { onDelivery }." : "";
  const wanted = "with onDelivery, onSuccess, onError, signal";
  return refusedCall(
    new ConfigError("options", `Pass an object to ${call}, ${wanted}: ${show(options)} is not.${hint}`),
  );
}

/** `Array.isArray`, which throws for a proxy that was revoked. */
export function isList(value: unknown): value is unknown[] {
  try {
    return Array.isArray(value);
  } catch {
    // Whoever reads it meets it again.
    return false;
  }
}

/** A check of ours has refused them, or reading them has failed. */
function refusalOf(call: string, error: unknown): ConfigError {
  return isHarmless(error) && error instanceof ConfigError ? error : unreadable(call, error);
}

function refusedCall<E, M, C>(refusal: ConfigError): SendCall<E, M, C> {
  return Object.assign(new SendCall<E, M, C>("", {}), { refusal });
}

function unknownSendOption(call: string, name: string): ConfigError {
  const hint = PRODUCER_OPTIONS.includes(name)
    ? " It holds for all records: set it when the producer is made."
    : " Wanted onDelivery, onSuccess, onError, signal.";
  return new ConfigError(name, `Remove the option ${show(name)}: ${call} has no such option.${hint}`);
}

function refusedCallback(callbacks: Readonly<Record<string, unknown>>): ConfigError | undefined {
  for (const name of ["onDelivery", "onSuccess", "onError"]) {
    const value = callbacks[name];
    if (value === undefined || value === null || typeof value === "function") continue;
    return new ConfigError(name, `Set "${name}" to a function: ${show(value)} is not.`);
  }
  return undefined;
}
