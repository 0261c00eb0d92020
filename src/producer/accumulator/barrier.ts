/**
 * What a flush waits behind.
 *
 * @module
 */

/** Opens when all that it counts has been settled; later sends are not counted. */
export class Barrier {
  /** Resolves when nothing is left. */
  readonly opened: Promise<void>;
  #open!: () => void;
  #left = 1;

  /** Starts with one to count down, so that it can't open while it is being filled. */
  constructor() {
    this.opened = new Promise((resolve) => this.#open = resolve);
  }

  /** Counts one more. */
  add(): void {
    this.#left += 1;
  }

  /** Counts one down. */
  done(): void {
    this.#left -= 1;
    if (this.#left === 0) this.#open();
  }
}
