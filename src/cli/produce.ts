/**
 * `sluice produce`: reads records, hands them to a producer as fast as it takes them, and tells what became of them.
 *
 * @module
 */

import { KafkaError } from "../errors.ts";
import { printableJson, reasonOf as showReason, show } from "../show.ts";
import type { ProduceCommand } from "./arguments.ts";
import { complain, explain } from "./complaint.ts";
import type { CliIo, InputSource } from "./io.ts";
import { Progress, progressState } from "./progress.ts";
import { type InputRecord, RecordParser } from "./records.ts";
import { formatSummary, summarize, type Traffic } from "./summary.ts";
import { type Delivery, Tally } from "./tally.ts";
import { Warnings } from "./warnings.ts";

/** A record on its way to the producer. */
export interface OutgoingRecord {
  readonly topic: string;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: readonly (readonly [string, string])[];
  readonly partition?: number;
}

/** What of a producer the command uses. */
export interface RecordSink {
  connect(): Promise<void>;
  partitionsFor(topic: string): Promise<unknown>;
  produce(record: OutgoingRecord, onDelivery: (error: unknown, metadata?: Delivery | null) => void): boolean;
  ready(): Promise<void>;
  flush(): Promise<void>;
  close(options?: { timeoutMs?: number }): Promise<void>;
  traffic(): Traffic;
}

/** How long an interrupted run may take to deliver what it has taken, in ms. */
const interruptedCloseMs = 5_000;

const interrupted = Symbol("interrupted");

/** Runs the command. Returns the exit code. */
export async function produce(
  command: ProduceCommand,
  io: CliIo,
  createSink: (options: Readonly<Record<string, unknown>>) => RecordSink,
): Promise<number> {
  const warnings = new Warnings(io, command.progress === "json");
  // `--property logger=…` is another wish.
  const sink = createSink({ logger: warnings.logger, ...command.producer });
  let source: InputSource;
  try {
    source = await io.open(command.file);
  } catch (error) {
    complain(
      io,
      `Cannot read ${show(command.file)}: ${reasonOf(error)}, wanted a readable file or - for standard input`,
    );
    await sink.close();
    return 2;
  }
  const run = new Run(command, io, sink, source, warnings);
  return await run.toTheEnd();
}

/** One run: from the first byte to the exit code. */
class Run {
  readonly #command: ProduceCommand;
  readonly #io: CliIo;
  readonly #sink: RecordSink;
  readonly #source: InputSource;
  readonly #warnings: Warnings;
  readonly #tally = new Tally();
  readonly #stop = new AbortController();
  readonly #headerBytes: number;
  #readBytes = 0;
  #startedMs = performance.now();
  #settledMs = 0;

  constructor(command: ProduceCommand, io: CliIo, sink: RecordSink, source: InputSource, warnings: Warnings) {
    this.#command = command;
    this.#io = io;
    this.#sink = sink;
    this.#source = source;
    this.#warnings = warnings;
    this.#headerBytes = command.headers.reduce((sum, [name, value]) => sum + byteLength(name) + byteLength(value), 0);
  }

  async toTheEnd(): Promise<number> {
    const { quiet, json, progress: when } = this.#command;
    const forget = this.#io.onInterrupt(() => this.#stop.abort(interrupted));
    const shown = !quiet && when !== "never" && (when !== "auto" || this.#io.isTTY);
    const progress = shown
      ? new Progress((text) => this.#io.stderr(text), when === "json", () => this.#progress())
      : undefined;
    let error: unknown;
    try {
      await this.#deliverAll();
    } catch (thrown) {
      error = thrown;
    }
    error = await this.#close(error);
    progress?.stop();
    this.#warnings.end();
    forget();
    this.#report(error, quiet, json);
    if (error === interrupted) return 130;
    if (error instanceof KafkaError && (error.code === "BAD_INPUT" || error.code === "CONFIG")) return 2;
    return error === undefined && this.#tally.failed === 0 ? 0 : 1;
  }

  async #deliverAll(): Promise<void> {
    await this.#untilStopped(this.#sink.connect());
    await this.#untilStopped(this.#sink.partitionsFor(this.#command.topic));
    this.#startedMs = performance.now();
    const parser = new RecordParser(this.#command.input);
    const chunks = this.#source.chunks[Symbol.asyncIterator]();
    for (;;) {
      const next = await this.#untilStopped(readNext(chunks, this.#command.file));
      if (next.done) break;
      this.#readBytes += next.value.length;
      await this.#handOver(parser.push(next.value));
      // Deno and Bun have the next chunk of a file at once; without a pause no answer would be read until the end.
      await this.#io.turn();
    }
    await this.#handOver(parser.end());
  }

  async #handOver(records: Iterable<InputRecord>): Promise<void> {
    for (const record of records) {
      while (!this.#offer(record)) await this.#untilStopped(this.#sink.ready());
      if (this.#stop.signal.aborted) throw this.#stop.signal.reason;
    }
  }

  /** False when the producer's buffer is full and the record was not taken. */
  #offer({ key: givenKey, value }: InputRecord): boolean {
    const { topic, headers, partition } = this.#command;
    const key = typeof givenKey === "string" ? encoder.encode(givenKey) : givenKey;
    const bytes = (key?.length ?? 0) + (value?.length ?? 0) + this.#headerBytes;
    const record = { topic, key, value, headers, ...(partition === undefined ? {} : { partition }) };
    const takenMs = performance.now();
    this.#tally.taken++; // before, because a refusal may be reported at once
    const taken = this.#sink.produce(record, (error, metadata) => {
      this.#settledMs = performance.now();
      if (metadata) return this.#tally.deliver(metadata, bytes, this.#settledMs - takenMs);
      this.#tally.fail(error);
      if (endsTheRun(error)) this.#stop.abort(error);
    });
    if (!taken) this.#tally.taken--;
    return taken;
  }

  /** Delivers what was taken, whatever stopped the reading. Returns the error that counts. */
  async #close(error: unknown): Promise<unknown> {
    this.#source.close();
    let first = error;
    try {
      if (first !== interrupted) await this.#untilStopped(this.#sink.flush(), first !== undefined);
    } catch (thrown) {
      first ??= thrown;
    }
    try {
      await this.#sink.close(first === interrupted ? { timeoutMs: interruptedCloseMs } : {});
    } catch (thrown) {
      first ??= thrown;
    }
    return first;
  }

  /** Waits for the promise, or throws the reason as soon as the run is to stop. */
  async #untilStopped<T>(promise: Promise<T>, evenIfStopped = false): Promise<T> {
    const { signal } = this.#stop;
    if (signal.aborted && !evenIfStopped) {
      promise.catch(() => {});
      throw signal.reason;
    }
    // Not Promise.race with one long-lived promise: that would keep a reaction for every chunk ever read.
    let stop = () => {};
    try {
      return await new Promise<T>((resolve, reject) => {
        stop = () => reject(signal.reason);
        signal.addEventListener("abort", stop);
        promise.then(resolve, reject);
      });
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  #report(error: unknown, quiet: boolean, json: boolean): void {
    const tally = this.#tally;
    if (error !== undefined && error !== interrupted) {
      complain(this.#io, explain(error, this.#command.topic), tally);
    } else if (tally.failed > 0) {
      complain(this.#io, explain(new KafkaError(tally.failures[0]!.message, tally.failures[0]!)), tally);
    } else if (error === interrupted && quiet) {
      complain(this.#io, "Interrupted", tally);
    }
    if (quiet) return;
    const summary = summarize(tally, {
      topic: this.#command.topic,
      runtime: this.#io.runtime,
      compression: codecName(this.#command.producer["compression"]),
      elapsedMs: Math.max(0, (this.#settledMs || performance.now()) - this.#startedMs),
      interrupted: error === interrupted,
      traffic: this.#sink.traffic(),
    });
    if (json) this.#io.stdout(`${printableJson(summary)}\n`);
    else if (error === undefined || tally.delivered > 0) this.#io.stdout(formatSummary(summary));
  }

  #progress(): ReturnType<typeof progressState> {
    const input = { readBytes: this.#readBytes, totalBytes: this.#source.totalBytes };
    return progressState(this.#tally, input, performance.now() - this.#startedMs);
  }
}

const encoder = new TextEncoder();

function byteLength(text: string): number {
  return encoder.encode(text).length;
}

async function readNext(chunks: AsyncIterator<Uint8Array>, file: string): Promise<IteratorResult<Uint8Array>> {
  try {
    return await chunks.next();
  } catch (error) {
    const name = file === "-" ? "standard input" : show(file);
    throw new KafkaError(`Reading ${name} failed: ${reasonOf(error)}`, { code: "BAD_INPUT", cause: error });
  }
}

/** A record that is wrong by itself leaves the others deliverable; any other failure would repeat for each of them. */
function endsTheRun(error: unknown): boolean {
  const own = ["RECORD_TOO_LARGE", "MESSAGE_TOO_LARGE", "INVALID_RECORD", "SERIALIZATION"];
  return !(error instanceof KafkaError && own.includes(error.code));
}

function codecName(compression: unknown): string {
  if (typeof compression === "object" && compression !== null) {
    const { codec } = compression as { codec?: unknown };
    return typeof codec === "string" ? codec : show(codec);
  }
  return typeof compression === "string" ? compression : "none";
}

function reasonOf(error: unknown): string {
  const { code } = error as { code?: string };
  if (code === "ENOENT") return "no such file";
  if (code === "EACCES") return "permission denied";
  if (code === "EISDIR") return "it is a directory";
  return showReason(error);
}
