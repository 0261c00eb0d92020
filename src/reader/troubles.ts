/**
 * What can't go on at the moment, as `onTrouble` is told, and what went on elsewhere, as `onOffsetReset` is.
 *
 * @module
 */

import { watchRejection } from "../call_options.ts";
import { KafkaError } from "../errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { ResolvedReaderOptions } from "./options.ts";
import type { OffsetReset } from "./record.ts";

/** Knows what is in trouble and why, and tells when the first trouble comes and when the last one has gone. */
export class Troubles {
  readonly #runtime: Runtime;
  readonly #onTrouble: ResolvedReaderOptions["onTrouble"];
  readonly #onOffsetReset: ResolvedReaderOptions["onOffsetReset"];
  readonly #errors = new Map<object, KafkaError>();
  #closed = false;

  /** Begins without any. */
  constructor(runtime: Runtime, { onOffsetReset, onTrouble }: ResolvedReaderOptions) {
    this.#runtime = runtime;
    this.#onTrouble = onTrouble;
    this.#onOffsetReset = onOffsetReset;
  }

  /** Something can't go on. The first one is told with its reason; what follows from the same is no news. */
  begin(what: object, error: unknown): void {
    const isFirst = this.#errors.size === 0;
    const trouble = error instanceof KafkaError ? error : new KafkaError("Reading failed.", { cause: error });
    this.#errors.set(what, trouble);
    if (isFirst) this.#tell(this.#onTrouble, trouble);
  }

  /** It goes on. */
  end(what: object): void {
    if (this.#errors.delete(what) && this.#errors.size === 0) this.#tell(this.#onTrouble, null);
  }

  /** Why something can't go on at the moment. */
  of(what: object): KafkaError | undefined {
    return this.#errors.get(what);
  }

  /** It goes on at another place than where it was. */
  reset(reset: OffsetReset): void {
    this.#tell(this.#onOffsetReset, reset);
  }

  /** Tells nothing more. */
  close(): void {
    this.#closed = true;
  }

  /** In a turn of its own: nothing that a listener does happens in the middle of something else. */
  #tell<T>(listener: ((news: T) => void) | undefined, news: T): void {
    if (listener === undefined || this.#closed) return;
    this.#runtime.defer(() => {
      try {
        watchRejection(listener(news), () => {});
      } catch {
        // A slip of the listener must not end the reading, nor the process.
      }
    });
  }
}
