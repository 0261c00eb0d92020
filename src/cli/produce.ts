/**
 * `sluice produce`: reads records, hands them to a producer as fast as it takes them, and tells what became of them.
 *
 * @module
 */

import { KafkaError } from "../errors.ts";
import { printableJson, show } from "../show.ts";
import { complain, explain } from "./complaint.ts";
import { fileReasonOf } from "./connection.ts";
import { compileTemplate, type Printer } from "./escapes.ts";
import { fold } from "./fold.ts";
import type { InputRecord } from "./input_record.ts";
import type { CliIo, InputSource } from "./io.ts";
import { Output } from "./output.ts";
import { printOptions } from "./printing.ts";
import type { InputFile, ProduceCommand } from "./produce_command.ts";
import { Progress, progressState } from "./progress.ts";
import { RecordParser } from "./records.ts";
import { formatSummary, summarize, type Traffic } from "./summary.ts";
import { type Delivery, Tally } from "./tally.ts";
import { Warnings } from "./warnings.ts";

/** A record on its way to the producer. */
export interface OutgoingRecord {
  readonly topic: string;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: readonly (readonly [string, string | Uint8Array | null])[];
  readonly partition?: number;
  readonly timestamp?: number;
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

/** Runs the command, with records that are made up if there is no input. Returns the exit code. */
export async function produce(
  command: ProduceCommand,
  io: CliIo,
  createSink: (options: Readonly<Record<string, unknown>>) => RecordSink,
  makeRecords?: () => Iterator<InputRecord>,
): Promise<number> {
  const printer = printerOf(command, io);
  // Records that are made up, and those of files, are typed by nobody.
  const isTyped = io.isInputTTY && command.files.some(({ name }) => name === "-");
  const { isTTY } = io;
  const warnings = new Warnings({ stderr: (text) => io.stderr(text), isTTY, isTyped }, command.progress === "json");
  // `--property logger=…` is another wish.
  const sink = createSink({ logger: warnings.logger, ...command.producer });
  const sources: InputSource[] = [];
  for (const { name, gunzip } of command.files) {
    try {
      sources.push(await io.open(name, { gunzip }));
    } catch (error) {
      const wanted = "wanted a readable file or - for standard input";
      complain(io, `Cannot read ${show(name)}: ${fileReasonOf(error)}, ${wanted}`);
      for (const source of sources) source.close();
      await sink.close();
      return 2;
    }
  }
  const run = new Run({ command, io, isTyped, sink, sources, warnings, printer, made: makeRecords?.() });
  return await run.toTheEnd();
}

/** What is printed of a delivered record, if that was asked for. */
function printerOf({ output }: ProduceCommand, io: CliIo): Printer | undefined {
  return output === undefined ? undefined : compileTemplate("output", output, printOptions(io, ""));
}

interface RunParts {
  readonly command: ProduceCommand;
  readonly io: CliIo;
  /** Somebody types the records. */
  readonly isTyped: boolean;
  readonly sink: RecordSink;
  readonly sources: readonly InputSource[];
  readonly warnings: Warnings;
  readonly printer: Printer | undefined;
  readonly made: Iterator<InputRecord> | undefined;
}

const lineEnd = Uint8Array.of(0x0a);

/** So many records that are made up are handed over in one turn. */
const MADE_IN_A_TURN = 200;

/** The next ones. */
function* some<T>(from: Iterator<T>): Iterable<T> {
  for (let left = MADE_IN_A_TURN; left > 0; left--) {
    const { done, value } = from.next();
    if (done) return;
    yield value;
  }
}

/** One run: from the first byte to the exit code. */
class Run {
  readonly #command: ProduceCommand;
  readonly #io: CliIo;
  readonly #isTyped: boolean;
  readonly #sink: RecordSink;
  readonly #sources: readonly InputSource[];
  readonly #warnings: Warnings;
  readonly #printer: Printer | undefined;
  readonly #output: Output;
  readonly #made: Iterator<InputRecord> | undefined;
  readonly #tally = new Tally();
  readonly #stop = new AbortController();
  readonly #headerBytes: number;
  readonly #key: Uint8Array | null;
  #readBytes = 0;
  #startedMs = performance.now();
  #settledMs = 0;

  constructor({ command, io, isTyped, sink, sources, warnings, printer, made }: RunParts) {
    this.#command = command;
    this.#io = io;
    this.#isTyped = isTyped;
    this.#sink = sink;
    this.#sources = sources;
    this.#warnings = warnings;
    this.#printer = printer;
    this.#made = made;
    this.#output = new Output(io);
    this.#headerBytes = bytesOf(command.headers);
    this.#key = command.key === undefined ? null : encoder.encode(command.key);
  }

  async toTheEnd(): Promise<number> {
    const { quiet, json, progress: when } = this.#command;
    const forget = this.#io.onInterrupt(() => this.#stop.abort(interrupted));
    // Where somebody types, nothing may overwrite it.
    const isAsked = when === "auto" ? this.#io.isTTY && !this.#isTyped : when !== "never";
    const progress = !quiet && isAsked
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
    await this.#output.flush();
    forget();
    this.#report(error, quiet, json);
    if (error === interrupted) return 130;
    if (error instanceof KafkaError && (error.code === "BAD_INPUT" || error.code === "CONFIG")) return 2;
    return error === undefined && this.#tally.failed === 0 ? 0 : 1;
  }

  async #deliverAll(): Promise<void> {
    const { topic, files } = this.#command;
    await this.#untilStopped(this.#sink.connect());
    if (topic !== undefined) await this.#untilStopped(this.#sink.partitionsFor(topic));
    this.#startedMs = performance.now();
    while (this.#made !== undefined && !this.#isEnough) {
      await this.#handOver(some(this.#made));
      await this.#io.turn();
    }
    for (const [index, file] of files.entries()) {
      try {
        await this.#deliver(file, this.#sources[index]!);
      } catch (error) {
        const isUnnamed = error instanceof KafkaError && error.code === "BAD_INPUT" && error.cause === undefined;
        if (files.length === 1 || !isUnnamed) throw error;
        throw new KafkaError(`In ${show(file.name)}: ${error.message}`, { code: "BAD_INPUT", cause: error });
      }
      if (this.#isEnough) return;
    }
  }

  async #deliver({ name, input }: InputFile, source: InputSource): Promise<void> {
    const parser = new RecordParser(input);
    const chunks = source.chunks[Symbol.asyncIterator]();
    for (;;) {
      const next = await this.#untilStopped(readNext(chunks, name));
      if (next.done) break;
      this.#readBytes += next.value.length;
      await this.#handOver(parser.push(next.value));
      if (this.#isEnough) return;
      // Deno and Bun have the next chunk of a file at once; without a pause no answer would be read until the end.
      await this.#io.turn();
      if (this.#output.isFull) await this.#untilStopped(this.#output.flush());
    }
    await this.#handOver(parser.end());
  }

  get #isEnough(): boolean {
    return this.#tally.taken === this.#command.count;
  }

  async #handOver(records: Iterable<InputRecord>): Promise<void> {
    for (const input of records) {
      await this.#pace();
      const record = this.#recordOf(input);
      while (!this.#offer(record)) await this.#untilStopped(this.#sink.ready());
      if (this.#command.tee) this.#output.print(record.value === null ? [lineEnd] : [copy(record.value), lineEnd]);
      if (this.#stop.signal.aborted) throw this.#stop.signal.reason;
      if (this.#isEnough) return;
    }
  }

  /** Waits until it is the next record's turn, with `--rate`. */
  async #pace(): Promise<void> {
    const { rate } = this.#command;
    if (rate === undefined) return;
    const dueMs = this.#startedMs + this.#tally.taken * 1000 / rate;
    const earlyMs = dueMs - performance.now();
    if (earlyMs > 1) await this.#untilStopped(this.#io.sleep(earlyMs));
  }

  #recordOf({ key: givenKey, value, headers: own, topic: ownTopic, ...input }: InputRecord): OutgoingRecord {
    const { topic = ownTopic, headers, partition = input.partition } = this.#command;
    if (topic === undefined) {
      const message = "A record has no topic, wanted one in its envelope, or --topic NAME";
      throw new KafkaError(message, { code: "BAD_INPUT" });
    }
    const key = typeof givenKey === "string" ? encoder.encode(givenKey) : givenKey ?? this.#key;
    return {
      topic,
      key,
      value,
      headers: own === undefined ? headers : [...own, ...headers],
      ...(typeof partition === "number" ? { partition } : {}),
      ...(input.timestamp === undefined ? {} : { timestamp: input.timestamp }),
    };
  }

  /** False when the producer's buffer is full and the record was not taken. */
  #offer(record: OutgoingRecord): boolean {
    const { key, value, headers } = record;
    const headerBytes = headers === this.#command.headers ? this.#headerBytes : bytesOf(headers);
    const bytes = (key?.length ?? 0) + (value?.length ?? 0) + headerBytes;
    const print = this.#printer && printing(this.#printer, record);
    const takenMs = performance.now();
    this.#tally.taken++; // before, because a refusal may be reported at once
    const taken = this.#sink.produce(record, (error, metadata) => {
      this.#settledMs = performance.now();
      if (metadata) {
        this.#tally.deliver(metadata, bytes, this.#settledMs - takenMs);
        if (print !== undefined) this.#output.print(print(metadata));
        return;
      }
      this.#tally.fail(error);
      if (endsTheRun(error)) this.#stop.abort(error);
    });
    if (!taken) this.#tally.taken--;
    return taken;
  }

  /** Delivers what was taken, whatever stopped the reading. Returns the error that counts. */
  async #close(error: unknown): Promise<unknown> {
    for (const source of this.#sources) source.close();
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
    this.#complain(error);
    if (quiet) return;
    const { topic, dryRun, tee, producer } = this.#command;
    const summary = summarize(tally, {
      topic: topic ?? null,
      runtime: this.#io.runtime,
      compression: codecName(producer["compression"]),
      elapsedMs: Math.max(0, (this.#settledMs || performance.now()) - this.#startedMs),
      interrupted: error === interrupted,
      dryRun,
      traffic: this.#sink.traffic(),
    });
    // Standard output is the records' where they are printed.
    const { columns } = this.#io;
    const print = (text: string): void =>
      tee || this.#printer ? this.#io.stderr(text) : this.#io.stdout(fold(text, columns));
    if (json) print(`${printableJson(summary)}\n`);
    else if (error === undefined || error === interrupted || tally.delivered > 0) print(formatSummary(summary));
  }

  #complain(error: unknown): void {
    const tally = this.#tally;
    const { topic, dryRun, quiet } = this.#command;
    const isInterrupted = error === interrupted;
    if (error !== undefined && !isInterrupted) {
      complain(this.#io, explain(error, topic), tally, dryRun);
    } else if (tally.failed > 0) {
      complain(this.#io, explain(new KafkaError(tally.failures[0]!.message, tally.failures[0]!)), tally);
    } else if (isInterrupted && quiet) {
      complain(this.#io, "Interrupted", tally, dryRun);
    }
  }

  #progress(): ReturnType<typeof progressState> {
    const sizes = this.#sources.map(({ totalBytes }) => totalBytes);
    const totalBytes = sizes.includes(undefined) ? undefined : sizes.reduce<number>((sum, size) => sum + size!, 0);
    return progressState(this.#tally, { readBytes: this.#readBytes, totalBytes }, performance.now() - this.#startedMs);
  }
}

const encoder = new TextEncoder();

function bytesOf(headers: OutgoingRecord["headers"]): number {
  return headers.reduce((sum, [name, value]) => sum + byteLength(name) + byteLength(value), 0);
}

function byteLength(content: string | Uint8Array | null): number {
  if (content === null) return 0;
  return typeof content === "string" ? encoder.encode(content).length : content.length;
}

/** The bytes of a record are the input's, and are others when it has been delivered. */
function copy(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

/** What will be printed of a record when its offset is known. */
function printing(printer: Printer, record: OutgoingRecord): (metadata: Delivery) => readonly Uint8Array[] {
  const { topic, key, value, headers } = record;
  const kept = {
    topic,
    key: key && copy(key),
    value: value && copy(value),
    headers: headers.map(([name, content]) => {
      return [name, typeof content === "string" ? encoder.encode(content) : content] as const;
    }),
  };
  return ({ partition, offset, timestamp = record.timestamp ?? -1 }) =>
    printer({ ...kept, partition, offset, timestamp });
}

async function readNext(chunks: AsyncIterator<Uint8Array>, file: string): Promise<IteratorResult<Uint8Array>> {
  try {
    return await chunks.next();
  } catch (error) {
    // Named here, so that it isn't again where one of several files is told.
    const name = file === "-" ? "standard input" : show(file);
    throw new KafkaError(`Reading ${name} failed: ${fileReasonOf(error)}`, { code: "BAD_INPUT", cause: error });
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
