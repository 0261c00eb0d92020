/**
 * Standard output as bytes: gathered, and no faster than it is read.
 *
 * @module
 */

import { join } from "./escapes.ts";
import type { CliIo } from "./io.ts";

/** While so many bytes wait to be written, nothing more should be printed. */
const HIGH_WATER_BYTES = 1 << 20;

/** What is printed. */
export class Output {
  readonly #io: Pick<CliIo, "write">;
  readonly #onGone: () => void;
  #parts: Uint8Array[] = [];
  #waitingBytes = 0;
  #pumping: Promise<void> | undefined;
  #isGone = false;

  /** Writes to standard output; calls back when nobody reads it any more. */
  constructor(io: Pick<CliIo, "write">, onGone: () => void = () => {}) {
    this.#io = io;
    this.#onGone = onGone;
  }

  /** Nobody reads it any more. */
  get isGone(): boolean {
    return this.#isGone;
  }

  /** So much waits that {@link flush} should be awaited before more is printed. */
  get isFull(): boolean {
    return this.#waitingBytes > HIGH_WATER_BYTES;
  }

  /** Prints parts one behind the other. They must not change afterwards. */
  print(parts: readonly Uint8Array[]): void {
    if (this.#isGone) return;
    for (const part of parts) {
      this.#parts.push(part);
      this.#waitingBytes += part.length;
    }
    this.#pumping ??= this.#pump();
  }

  /** Resolves when all that was printed is written, or nobody reads it. */
  async flush(): Promise<void> {
    while (this.#pumping !== undefined) await this.#pumping;
  }

  async #pump(): Promise<void> {
    await Promise.resolve(); // what else is printed in this turn goes along
    while (this.#parts.length > 0 && !this.#isGone) {
      const chunk = join(this.#parts);
      this.#parts = [];
      this.#isGone = !await this.#io.write(chunk);
      this.#waitingBytes -= chunk.length;
    }
    this.#pumping = undefined;
    if (!this.#isGone) return;
    this.#parts = [];
    this.#onGone();
  }
}
