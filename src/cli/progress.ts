/**
 * The one line that tells how far a run has come: rewritten in place on a terminal, or a line of JSON each time.
 *
 * @module
 */

import { WIPE } from "./fold.ts";
import { formatBytes, formatCount, formatRecords } from "./summary.ts";
import type { Tally } from "./tally.ts";

/** How far a run has come. */
export interface ProgressState {
  /** Records acknowledged. */
  readonly delivered: number;
  /** Records whose outcome isn't known yet. */
  readonly pending: number;
  /** Records that failed. */
  readonly failed: number;
  /** Bytes acknowledged. */
  readonly bytes: number;
  /** Bytes read from the input. */
  readonly readBytes: number;
  /** The size of the input, when it is known. */
  readonly totalBytes: number | undefined;
  /** Since the start. */
  readonly elapsedMs: number;
}

/** Shows the state now and then. */
export class Progress {
  readonly #write: (text: string) => void;
  readonly #asJson: boolean;
  readonly #state: () => ProgressState;
  readonly #timer: ReturnType<typeof setInterval>;

  /** Starts to show the state, every 100 ms on a terminal and every 250 ms as JSON. */
  constructor(write: (text: string) => void, asJson: boolean, state: () => ProgressState) {
    this.#write = write;
    this.#asJson = asJson;
    this.#state = state;
    this.#timer = setInterval(() => this.#show(), asJson ? 250 : 100);
  }

  /** Stops, and takes the line away from a terminal. */
  stop(): void {
    clearInterval(this.#timer);
    if (!this.#asJson) this.#write(WIPE);
  }

  #show(): void {
    const state = this.#state();
    this.#write(this.#asJson ? `${JSON.stringify(state)}\n` : `\r${formatProgress(state)}\x1b[K`);
  }
}

/** Reads the state of a run out of its tally. */
export function progressState(
  tally: Tally,
  input: { readonly readBytes: number; readonly totalBytes: number | undefined },
  elapsedMs: number,
): ProgressState {
  return {
    delivered: tally.delivered,
    pending: tally.pending,
    failed: tally.failed,
    bytes: tally.deliveredBytes,
    readBytes: input.readBytes,
    totalBytes: input.totalBytes,
    elapsedMs: Math.round(elapsedMs),
  };
}

/** The state as one line of at most 80 columns. */
export function formatProgress(state: ProgressState): string {
  const rate = state.elapsedMs > 0 ? Math.round(state.delivered * 1000 / state.elapsedMs) : 0;
  const parts = [
    formatRecords(state.delivered),
    formatBytes(state.bytes),
    `${formatCount(rate)}/s`,
    `${formatCount(state.pending)} pending`,
  ];
  if (state.failed > 0) parts.push(`${formatCount(state.failed)} failed`);
  return `${bar(state)}${parts.join(" · ")}`;
}

/** How much of the input has been delivered, judged by what was read and what of it is still pending. */
function bar({ readBytes, totalBytes, delivered, pending, failed }: ProgressState): string {
  if (totalBytes === undefined || totalBytes === 0) return "";
  const taken = delivered + pending + failed;
  const settled = taken === 0 ? 0 : (delivered + failed) / taken;
  const share = Math.min(1, (readBytes / totalBytes) * settled);
  const filled = Math.floor(share * 16);
  return `${"█".repeat(filled)}${"░".repeat(16 - filled)} ${String(Math.floor(share * 100)).padStart(3)} % `;
}
