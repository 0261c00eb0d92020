/**
 * Where the outcome of a record goes: the caller's promise, its callbacks, or both. Promises are settled and callbacks
 * called here and nowhere else.
 *
 * @module
 */

import { watchRejection } from "../../call_options.ts";
import type { KafkaError } from "../../errors.ts";
import { type Context, dropContext } from "../../runtime/async_context.ts";
import type { RecordMetadata } from "./delivery.ts";
import type { SendOptions } from "./record.ts";

/** Settles a record's promise; a rejected promise passed to it rejects. */
export type Resolve = (outcome: RecordMetadata | Promise<never>) => void;

/** What is called with the outcome of a record, in which asynchronous context, and the promise to settle after that. */
export interface Callbacks extends SendOptions {
  /** The context of the call that brought the record; if undefined, that of whatever completes it. */
  readonly context?: Context | undefined;
  readonly resolve?: Resolve | undefined;
  /** The promise itself, if its rejection is to be handled because the failure is told elsewhere as well. */
  readonly promise?: Promise<RecordMetadata> | undefined;
  /** Hears in which batch the record is, and at which place. */
  entered?(batch: unknown, index: number): void;
  /** Hears that the broker has refused the record by itself: it is out of its batch, and fails in its turn. */
  left?(): void;
}

/**
 * Where the outcome of a record goes. The resolve function of its promise stands for itself, so that a plain `send` needs
 * no further object; undefined for a record that nobody asks about.
 */
export type Receipt = Resolve | Callbacks | undefined;

/** Hears of what a callback throws, or of the reason with which its promise rejects. */
export type OnThrow = (error: unknown) => void;

/** Tells the callbacks of a record that it was delivered. */
export function deliver(receipt: Callbacks, metadata: RecordMetadata, onThrow: OnThrow): void {
  notify(receipt, null, metadata, onThrow);
  receipt.resolve?.(metadata);
}

/** Tells a record that it failed. `rejected` rejects with the error; records that fail together share it. */
export function fail(receipt: Receipt, error: KafkaError, rejected: Promise<never>, onThrow: OnThrow): void {
  if (receipt === undefined) return;
  if (typeof receipt === "function") return receipt(rejected);
  notify(receipt, error, null, onThrow);
  // Only now: a handler is another promise, and most records never need it.
  receipt.promise?.catch(ignore);
  receipt.resolve?.(rejected);
}

function ignore(): void {}

/**
 * A promise that rejects with the error. Its rejection is handled, because a runtime that looks at once (workerd) would
 * report it beside the caller's own promise; that of a promise that nobody watches is still reported.
 */
export function rejectedPromise(error: KafkaError): Promise<never> {
  const rejected = Promise.reject(error);
  rejected.catch(() => {});
  return rejected;
}

function notify(
  callbacks: Callbacks,
  error: KafkaError | null,
  metadata: RecordMetadata | null,
  onThrow: OnThrow,
): void {
  const { context } = callbacks;
  if (context === undefined) return notifyHere(callbacks, error, metadata, onThrow);
  context.runInAsyncScope(notifyHere, undefined, callbacks, error, metadata, onThrow);
  dropContext(context);
}

function notifyHere(
  callbacks: Callbacks,
  error: KafkaError | null,
  metadata: RecordMetadata | null,
  onThrow: OnThrow,
): void {
  const { onDelivery, onSuccess, onError } = callbacks;
  if (onDelivery) call(() => onDelivery(error, metadata), onThrow);
  if (metadata && onSuccess) call(() => onSuccess(metadata), onThrow);
  if (error && onError) call(() => onError(error), onThrow);
}

/** An async callback that rejects counts as one that throws: its promise is watched here only, and Node would end for it. */
function call(callback: () => unknown, onThrow: OnThrow): void {
  try {
    watchRejection(callback(), onThrow);
  } catch (thrown) {
    onThrow(thrown);
  }
}
