/**
 * What the command line needs from the world, so that a test can stand in for it.
 *
 * @module
 */

/** Bytes to read, and a way to stop in the middle of them. */
export interface InputSource {
  /** The bytes, in order. A chunk is valid until the next one is asked for. */
  readonly chunks: AsyncIterable<Uint8Array>;
  /** How many bytes there are, when that is known beforehand. */
  readonly totalBytes: number | undefined;
  /** Stops reading. A read that waits ends. Idempotent. */
  close(): void;
}

/** The world. */
export interface CliIo {
  /** Environment variables. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The runtime's name and version, such as `"node 22.1.0"`. */
  readonly runtime: string;
  /** Whether standard error is a terminal. */
  readonly isTTY: boolean;
  /** Whether standard input is a terminal, on which somebody types. */
  readonly isInputTTY: boolean;
  /** Whether standard output is a terminal, which obeys what is written to it. */
  readonly isOutputTTY: boolean;
  /** How many columns the terminal has that shows standard output; undefined where it is none. */
  readonly columns?: number | undefined;
  /** Writes to standard output. */
  stdout(text: string): void;
  /** Writes to standard error. */
  stderr(text: string): void;
  /** Writes bytes to standard output. Resolves when there is room for more: false when nobody reads them any more. */
  write(bytes: Uint8Array): Promise<boolean>;
  /** Opens a file; `"-"` is standard input. Rejects when it can't be read. */
  open(file: string, options?: { readonly gunzip?: boolean }): Promise<InputSource>;
  /** The addresses of a host. Rejects when it has none. */
  resolve(host: string): Promise<readonly string[]>;
  /** Lets a turn of the event loop pass, in which sockets are read and written. */
  turn(): Promise<void>;
  /** Lets time pass, in ms. */
  sleep(durationMs: number): Promise<void>;
  /** Calls back when the user or the system asks to stop. Returns what undoes it. */
  onInterrupt(callback: () => void): () => void;
}
