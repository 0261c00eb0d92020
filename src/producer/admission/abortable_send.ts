/**
 * Sends that a signal can take back.
 *
 * One listener serves all sends that share a signal, and goes with the last of them. Sends without a signal pay nothing.
 *
 * @module
 */

import { isAborted, reasonOfSignal } from "../../call_options.ts";
import { AbortError, type KafkaError, type Persisted } from "../../errors.ts";
import type { Context } from "../../runtime/async_context.ts";
import { onAbort } from "../../runtime/on_abort.ts";
import type { QueuedBatch } from "../accumulator/partition.ts";
import type { Callbacks, Receipt, Resolve } from "../record/receipt.ts";
import type { WaitingRun } from "./waiting_run.ts";
import type { WaitingSend } from "./waiting_send.ts";
import type { RecordMetadata } from "../record/delivery.ts";

/** A signal in use, and who listens to it. */
interface Watch {
  readonly signal: AbortSignal;
  readonly sends: Set<AbortableSend>;
  /** Stops listening. */
  readonly ignore: () => void;
}

/** Stands in for the callbacks of a record, knows where the record is, and tells its outcome once. */
export class AbortableSend implements Callbacks {
  /** The promise of the record. */
  readonly resolve: Resolve | undefined;
  readonly promise: Callbacks["promise"];
  /** While it waits for memory or metadata. */
  waiting: WaitingSend | WaitingRun | undefined = undefined;
  /** The batch that took it, and its place there while the batch can still be changed. */
  batch: QueuedBatch | undefined = undefined;
  index = -1;

  readonly #callbacks: Callbacks;
  readonly #onSettled: (send: AbortableSend) => void;
  /** What the caller was told: the first outcome, and none after it. */
  #outcome: KafkaError | RecordMetadata | null | undefined = undefined;

  /** Stands in front of the caller's own receipt. */
  constructor(receipt: Receipt, onSettled: (send: AbortableSend) => void) {
    const callbacks: Callbacks = typeof receipt === "function" ? { resolve: receipt } : receipt ?? {};
    this.resolve = callbacks.resolve;
    this.promise = callbacks.promise;
    this.#callbacks = callbacks;
    this.#onSettled = onSettled;
  }

  /** Whose callbacks they are. */
  get context(): Context | undefined {
    return this.#callbacks.context;
  }

  /** True once the outcome is told. */
  get told(): boolean {
    return this.#outcome !== undefined;
  }

  /** The batch is the record's place now. */
  entered(batch: QueuedBatch, index: number): void {
    this.batch = batch;
    this.index = index;
    this.waiting = undefined;
  }

  /** The broker has refused it: it is not in its batch any more, and is told when its turn comes. */
  left(): void {
    this.index = -1;
  }

  /** True while the broker has refused it and it hasn't been told. */
  get isRefused(): boolean {
    return this.batch !== undefined && this.index < 0;
  }

  /** Always the first of the three that is called. */
  readonly onDelivery = (error: KafkaError | null, metadata: RecordMetadata | null): void => {
    if (this.#outcome !== undefined) return;
    this.#outcome = error ?? metadata;
    this.#onSettled(this);
    return this.#callbacks.onDelivery?.(error, metadata);
  };

  readonly onSuccess = (metadata: RecordMetadata): void => {
    if (metadata === this.#outcome) return this.#callbacks.onSuccess?.(metadata);
  };

  readonly onError = (error: KafkaError): void => {
    if (error === this.#outcome) return this.#callbacks.onError?.(error);
  };
}

/** The signals that sends of one producer listen to. */
export class AbortSignals {
  readonly #watches = new Map<AbortSignal, Watch>();
  readonly #onAbort: (send: AbortableSend, signal: AbortSignal) => void;

  /** Calls `onAbort` for each send of a signal that is aborted, in the order of the calls. */
  constructor(onAbort: (send: AbortableSend, signal: AbortSignal) => void) {
    this.#onAbort = onAbort;
  }

  /** Lets a send listen until it is told. */
  watch(signal: AbortSignal, receipt: Receipt): AbortableSend {
    let watch = this.#watches.get(signal);
    if (watch === undefined) {
      watch = { signal, sends: new Set(), ignore: onAbort(signal, () => this.#abort(signal)) };
      this.#watches.set(signal, watch);
    }
    const { sends } = watch;
    const send = new AbortableSend(receipt, (told) => {
      sends.delete(told);
      if (sends.size === 0) this.#forget(signal);
    });
    sends.add(send);
    return send;
  }

  #abort(signal: AbortSignal): void {
    const watch = this.#watches.get(signal);
    if (watch === undefined) return;
    for (const send of watch.sends) this.#onAbort(send, signal);
  }

  #forget(signal: AbortSignal): void {
    const watch = this.#watches.get(signal);
    if (watch === undefined) return;
    this.#watches.delete(signal);
    watch.ignore();
  }
}

/** Why a send with this signal takes nothing; undefined if it does. */
export function signalRefusal(signal: AbortSignal, topic: () => string | undefined): KafkaError | undefined {
  return isAborted(signal) ? abortError(signal, "no", topic()) : undefined;
}

/** What a send is told whose signal was aborted. */
export function abortError(
  signal: AbortSignal,
  persisted: Persisted,
  topic: string | undefined,
  partition?: number,
): AbortError {
  const message = persisted === "no"
    ? "The send was aborted before the record left; it is not in the log."
    : "The send was aborted after the record had left; its delivery goes on.";
  return new AbortError(message, { persisted, topic, partition, cause: reasonOfSignal(signal) });
}
