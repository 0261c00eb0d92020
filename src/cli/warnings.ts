/**
 * What the producer warns of, on standard error while the run goes on: otherwise a wrong address is a minute of silence.
 *
 * @module
 */

import type { LogFields, Logger } from "../../mod.ts";
import { printable, printableJson, sentence } from "../show.ts";
import { WIPE } from "./fold.ts";
import type { CliIo } from "./io.ts";

/** Failed records are told at the end of the run, with the counts. */
const SHOWN = ["connect_failed", "topic_missing", "waiting", "rebootstrap", "data_loss_suspected"];

/** When no server answers, or no topic is there, the run may end soon, and its last line tells that. */
const HELD = ["connect_failed", "topic_missing"];
const HOLD_MS = 2_000;

/** Calls back after so many ms; what it returns takes that back. */
export type SetTimer = (callback: () => void, delayMs: number) => () => void;

/** By the clock. */
export const setSystemTimer: SetTimer = (callback, delayMs) => {
  const timer = setTimeout(callback, delayMs);
  return () => clearTimeout(timer);
};

/** What of the world is needed. */
export interface WarningsIo extends Pick<CliIo, "stderr" | "isTTY"> {
  /** Somebody types on the terminal. */
  readonly isTyped: boolean;
}

/** Shows warnings until the run ends. */
export class Warnings {
  /** For the producer. */
  readonly logger: Logger = { warn: (event, fields) => this.#onEvent(event, fields) };

  readonly #io: WarningsIo;
  readonly #asJson: boolean;
  readonly #setTimer: SetTimer;
  /** Each takes a warning back that is held. */
  readonly #held: Set<() => void> = new Set();

  /** Writes to standard error: sentences, or lines of JSON where progress is told in JSON. */
  constructor(io: WarningsIo, asJson: boolean, setTimer: SetTimer = setSystemTimer) {
    this.#io = io;
    this.#setTimer = setTimer;
    this.#asJson = asJson;
  }

  /** The run has ended: what is held back is not told any more. */
  end(): void {
    for (const cancel of this.#held) cancel();
    this.#held.clear();
  }

  #onEvent(event: string, fields: LogFields): void {
    if (!SHOWN.includes(event)) return;
    if (!HELD.includes(event)) return this.#show(event, fields);
    const cancel = this.#setTimer(() => {
      this.#held.delete(cancel);
      this.#show(event, fields);
    }, HOLD_MS);
    this.#held.add(cancel);
  }

  #show(event: string, fields: LogFields): void {
    if (this.#asJson) return this.#io.stderr(`${printableJson({ warning: event, ...fields })}\n`);
    const { reason, advice, error } = fields as { reason?: string; advice?: string; error?: { message?: string } };
    const parts = [reason ?? error?.message, advice].filter((part) => part !== undefined && part !== "");
    const text = parts.map((part) => sentence(part!)).join(" ") || event;
    // The line of progress is written anew a moment later; where somebody types there is none.
    const wipe = this.#io.isTTY && !this.#io.isTyped ? WIPE : "";
    this.#io.stderr(`${wipe}sluice: warning: ${printable(text)}\n`);
  }
}
