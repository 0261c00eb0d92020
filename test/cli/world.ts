/** A stand-in for the process, its terminal and its files. */

import assert from "node:assert/strict";
import { ConfigError } from "../../src/errors.ts";
import type { InputOptions } from "../../src/cli/records.ts";
import type { ProduceCommand } from "../../src/cli/produce_command.ts";
import type { CliIo } from "../../src/cli/io.ts";
import type { SetTimer } from "../../src/cli/warnings.ts";

/** What can be asked of it afterwards. */
export interface World extends CliIo {
  /** What went to standard output. */
  out: string;
  /** What went to standard error. */
  err: string;
  /** How long it was told to sleep, each time, in ms. */
  slept: number[];
  /** Whether the input was closed. */
  closed: boolean;
  /** Presses Ctrl-C. */
  interrupt(): void;
}

/** A world that remembers what was written, and whose input is given in chunks. */
export function world(chunks: AsyncIterable<Uint8Array> | readonly string[]): World {
  const encoder = new TextEncoder();
  const decoder = new TextDecoder();
  const listeners = new Set<() => void>();
  async function* encoded(texts: readonly string[]): AsyncIterable<Uint8Array> {
    for (const text of texts) yield await Promise.resolve(encoder.encode(text));
  }
  return {
    env: {},
    runtime: "test 1.0.0",
    isTTY: false,
    isInputTTY: false,
    isOutputTTY: false,
    slept: [],
    out: "",
    err: "",
    closed: false,
    stdout(text) {
      this.out += text;
    },
    stderr(text) {
      this.err += text;
    },
    write(bytes) {
      this.out += decoder.decode(bytes);
      return Promise.resolve(true);
    },
    open(file) {
      if (file.startsWith("missing")) {
        return Promise.reject(Object.assign(new TypeError("ENOENT: x"), { code: "ENOENT" }));
      }
      return Promise.resolve({
        chunks: Array.isArray(chunks) ? encoded(chunks) : chunks as AsyncIterable<Uint8Array>,
        totalBytes: undefined,
        close: () => void (this.closed = true),
      });
    },
    sleep(durationMs) {
      this.slept.push(durationMs);
      return Promise.resolve();
    },
    resolve(host) {
      if (host.startsWith("unknown")) return Promise.reject(new TypeError(`getaddrinfo ENOTFOUND ${host}`));
      return Promise.resolve(["192.0.2.1"]);
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

/** Timers that go off when a test says so. */
export class HandTimers {
  /** What is waited for: in how many ms, and what is done then. */
  readonly waiting: Map<() => void, number> = new Map();

  readonly set: SetTimer = (callback, delayMs) => {
    this.waiting.set(callback, delayMs);
    return () => void this.waiting.delete(callback);
  };

  /** Lets all go off. */
  goOff(): void {
    for (const callback of this.waiting.keys()) callback();
    this.waiting.clear();
  }
}

/** `sluice produce -b b:1 -t t`, understood, but for what is given; also where no words can be read. */
export function commandOf(given: Partial<ProduceCommand> & { input?: InputOptions; file?: string }): ProduceCommand {
  const { producer, input = { format: "lines" }, file = "-", ...more } = given;
  return {
    topic: "t",
    files: [{ name: file, input, gunzip: false }],
    key: undefined,
    partition: undefined,
    headers: [],
    count: undefined,
    rate: undefined,
    dryRun: false,
    tee: false,
    output: undefined,
    progress: "auto",
    quiet: false,
    json: false,
    ...more,
    producer: { brokers: "b:1", deliveryTimeoutMs: 60_000, maxBlockMs: 10_000, ...producer },
  };
}

/** The message of the `ConfigError` that a call ends with: one line. */
export async function refusal(call: () => unknown): Promise<string> {
  try {
    await call();
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    assert.doesNotMatch(error.message, /\n/);
    return error.message;
  }
  assert.fail("accepted, wanted a ConfigError");
}
