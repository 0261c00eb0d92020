/** A stand-in for the process, its terminal and its files. */

import type { ProduceCommand } from "../../src/cli/arguments.ts";
import type { CliIo } from "../../src/cli/io.ts";

/** What can be asked of it afterwards. */
export interface World extends CliIo {
  /** What went to standard output. */
  out: string;
  /** What went to standard error. */
  err: string;
  /** Whether the input was closed. */
  closed: boolean;
  /** Presses Ctrl-C. */
  interrupt(): void;
}

/** A world that remembers what was written, and whose input is given in chunks. */
export function world(chunks: AsyncIterable<Uint8Array> | readonly string[]): World {
  const encoder = new TextEncoder();
  const listeners = new Set<() => void>();
  async function* encoded(texts: readonly string[]): AsyncIterable<Uint8Array> {
    for (const text of texts) yield await Promise.resolve(encoder.encode(text));
  }
  return {
    env: {},
    runtime: "test 1.0.0",
    isTTY: false,
    out: "",
    err: "",
    closed: false,
    stdout(text) {
      this.out += text;
    },
    stderr(text) {
      this.err += text;
    },
    open(file) {
      if (file === "missing") return Promise.reject(Object.assign(new TypeError("ENOENT: x"), { code: "ENOENT" }));
      return Promise.resolve({
        chunks: Array.isArray(chunks) ? encoded(chunks) : chunks as AsyncIterable<Uint8Array>,
        totalBytes: undefined,
        close: () => void (this.closed = true),
      });
    },
    turn: () => new Promise((resolve) => void setTimeout(resolve, 0)),
    onInterrupt(callback) {
      listeners.add(callback);
      return () => void listeners.delete(callback);
    },
    interrupt() {
      for (const listener of listeners) listener();
    },
  };
}

/** `sluice produce -b b:1 -t t`, understood, but for what is given; also where no words can be read. */
export function commandOf(given: Partial<ProduceCommand>): ProduceCommand {
  const input = { format: "lines", keySeparator: undefined, keyField: undefined, nullMarker: undefined } as const;
  const { producer, ...more } = given;
  return {
    topic: "t",
    file: "-",
    input,
    partition: undefined,
    headers: [],
    progress: "auto",
    quiet: false,
    json: false,
    ...more,
    producer: { brokers: "b:1", deliveryTimeoutMs: 60_000, maxBlockMs: 10_000, ...producer },
  };
}
