/**
 * Interceptors (KIP-42): see each record before it is serialized and partitioned, and each outcome.
 *
 * @module
 */

import { ignoreRejection, isObject, isThenable, watchRejection } from "../../call_options.ts";
import { ConfigError, type KafkaError } from "../../errors.ts";
import { callersContext } from "../../runtime/async_context.ts";
import type { Callbacks, Receipt } from "./receipt.ts";
import { fieldsOf } from "./kept_record.ts";
import type { Logger } from "../observe/logger.ts";
import type { ProducerRecord } from "./record.ts";
import type { RecordMetadata } from "./delivery.ts";

/** Looks at records on their way. All methods are optional; what they throw is logged and ignored. */
export interface ProducerInterceptor<K = string | Uint8Array, V = string | Uint8Array> {
  /**
   * Called in the caller's turn, before serializers and partitioner. The record it returns goes on to the next
   * interceptor; it may change the copy that it is given. After a throw the next one sees the record as it was.
   */
  onSend?(record: ProducerRecord<K, V>): ProducerRecord<K, V>;
  /**
   * Called exactly once for each `onSend`, before the caller's own callbacks: with metadata, or with an error (also
   * for records that were refused at once). It can't change the outcome.
   *
   * The record is the one that the last interceptor has let go, with whatever fields they gave it (a symbol's, say). Its
   * bytes are the caller's own, who may have used them again since.
   */
  onAcknowledgement?(
    metadata: RecordMetadata | null,
    error: KafkaError | null,
    record: ProducerRecord<K, V>,
  ): void;
  /** Called once, when the producer has been closed. */
  close?(): void | Promise<void>;
}

/** The interceptors of one producer, in order. */
export class InterceptorChain {
  readonly #interceptors: readonly ProducerInterceptor<never, never>[];
  readonly #logger: Logger;

  /** Takes the interceptors in the order in which they are called. */
  constructor(interceptors: readonly ProducerInterceptor<never, never>[], logger: Logger) {
    this.#interceptors = interceptors;
    this.#logger = logger;
  }

  /** False saves everybody the detour. */
  get isEmpty(): boolean {
    return this.#interceptors.length === 0;
  }

  /** The record as the interceptors want it; the given one itself if it can't be read, and none of them has seen it. */
  onSend<K, V>(record: ProducerRecord<K, V>): ProducerRecord<K, V> {
    let latest: ProducerRecord<K, V>;
    try {
      latest = fieldsOf(record);
    } catch {
      return record;
    }
    for (const interceptor of this.#interceptors as readonly ProducerInterceptor<K, V>[]) {
      this.#isolated("onSend", () => {
        // A copy, so that half a change is lost together with the interceptor that threw.
        const changed: unknown = interceptor.onSend?.(fieldsOf(latest));
        if (isThenable(changed)) {
          ignoreRejection(changed);
          throw new ConfigError("interceptors", '"onSend" returned a promise, wanted a record.');
        }
        if (isObject(changed)) latest = fieldsOf(changed as ProducerRecord<K, V>);
      });
    }
    return latest;
  }

  /** The caller's receipt for a record that {@link onSend} has returned, with the interceptors before it. */
  around(receipt: Receipt, record: ProducerRecord<unknown, unknown>): Callbacks {
    const own: Callbacks = typeof receipt === "function" ? { resolve: receipt } : receipt ?? {};
    const { onDelivery, onSuccess, onError, resolve, promise } = own;
    return {
      onSuccess,
      onError,
      resolve,
      promise,
      // What they are told belongs to the call that brought the record, too.
      context: callersContext(),
      onDelivery: (error, metadata) => {
        for (const interceptor of this.#interceptors) {
          this.#isolated("onAcknowledgement", () => interceptor.onAcknowledgement?.(metadata, error, record as never));
        }
        // Returned, for an async callback may reject.
        return onDelivery?.(error, metadata);
      },
    };
  }

  /** Tells all that the producer is closed. */
  async close(): Promise<void> {
    for (const interceptor of this.#interceptors) {
      try {
        await interceptor.close?.();
      } catch (error) {
        this.#logger.error?.("interceptor_threw", { method: "close", error });
      }
    }
  }

  #isolated(method: string, call: () => unknown): void {
    const complain = (error: unknown): void => this.#logger.error?.("interceptor_threw", { method, error });
    try {
      watchRejection(call(), complain);
    } catch (error) {
      complain(error);
    }
  }
}
