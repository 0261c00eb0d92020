/**
 * What keeps a reader from reading, on standard error while it goes on trying: otherwise a broker that went away looks
 * like a topic to which nobody writes.
 *
 * @module
 */

import type { KafkaError } from "../errors.ts";
import type { OffsetReset } from "../reader/mod.ts";
import { printable, sentence } from "../show.ts";
import type { CliIo } from "./io.ts";
import { setSystemTimer, type SetTimer } from "./warnings.ts";

/** A leader that moves is back before that. */
const HOLD_MS = 2_000;

/**
 * Says whose answer is waited for if it isn't there soon, as when nobody listens at an address. What it returns ends that:
 * the answer is there.
 */
export function tellWaiting(
  io: Pick<CliIo, "stderr">,
  { brokers, quiet }: { readonly brokers: unknown; readonly quiet: boolean },
  setTimer: SetTimer = setSystemTimer,
): () => void {
  if (quiet) return () => {};
  return setTimer(() => {
    io.stderr(`sluice: waiting for an answer from ${printable(String(brokers))}; Ctrl-C ends\n`);
  }, HOLD_MS);
}

/** Tells of troubles, once each, and when they are over. */
export class Troubles {
  /** For the reader. */
  readonly onTrouble = (trouble: KafkaError | null): void => trouble === null ? this.#onEnd() : this.#onBegin(trouble);

  /** For the reader. */
  readonly onOffsetReset = ({ reason }: OffsetReset): void => {
    if (!this.#isOver) this.#io.stderr(`sluice: warning: ${printable(sentence(reason.message))}\n`);
  };

  readonly #io: Pick<CliIo, "stderr">;
  readonly #setTimer: SetTimer;
  /** Takes the line back that is held. */
  #cancel: (() => void) | undefined;
  #isTold = false;
  #isOver = false;

  /** Writes sentences to standard error. */
  constructor(io: Pick<CliIo, "stderr">, setTimer: SetTimer = setSystemTimer) {
    this.#io = io;
    this.#setTimer = setTimer;
  }

  /** The run has ended, and what is held is not told any more. */
  end(): void {
    this.#isOver = true;
    this.#cancel?.();
  }

  #onBegin({ message }: KafkaError): void {
    this.#cancel?.();
    if (this.#isOver) return;
    this.#cancel = this.#setTimer(() => {
      this.#isTold = true;
      this.#io.stderr(`sluice: warning: ${printable(sentence(message))} Still trying; Ctrl-C ends.\n`);
    }, HOLD_MS);
  }

  #onEnd(): void {
    this.#cancel?.();
    if (this.#isTold && !this.#isOver) this.#io.stderr("sluice: reading again\n");
    this.#isTold = false;
  }
}
