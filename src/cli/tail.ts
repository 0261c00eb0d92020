/**
 * `sluice tail`: prints the records of a topic.
 *
 * @module
 */

import { ConfigError, type KafkaError } from "../errors.ts";
import type { Position, ReadBatch, Reader, TopicPartition, TopicPartitionOffset } from "../reader/mod.ts";
import { show } from "../show.ts";
import { complain, explain } from "./complaint.ts";
import { tellWaiting, Troubles } from "./troubles.ts";
import type { SetTimer } from "./warnings.ts";
import { formatEnvelope } from "./envelope.ts";
import { compileTemplate, type Printer } from "./escapes.ts";
import type { CliIo } from "./io.ts";
import { Output } from "./output.ts";
import { printOptions } from "./printing.ts";
import type { Place, TailCommand } from "./tail_command.ts";

/** What of a reader the command uses. */
export type TailReader = Pick<Reader, "partitionsOf" | "offsetsOf" | "assign" | "pause" | "batches" | "close">;

/** Runs the command. Returns the exit code. */
export async function tail(
  command: TailCommand,
  io: CliIo,
  createReader: (options: TailCommand["reader"]) => TailReader,
  setTimer?: SetTimer,
): Promise<number> {
  const print = printerOf(command, io);
  const troubles = new Troubles(io, setTimer);
  const onTrouble = (trouble: KafkaError | null): void => {
    // Why it can't go on says more than that it is waited for.
    answered();
    troubles.onTrouble(trouble);
  };
  const { onOffsetReset } = troubles;
  const reader = createReader(command.quiet ? command.reader : { ...command.reader, onOffsetReset, onTrouble });
  const answered = tellWaiting(io, { brokers: command.reader.brokers, quiet: command.quiet }, setTimer);
  let isInterrupted = false;
  const forget = io.onInterrupt(() => {
    isInterrupted = true;
    // All that waits for the reader ends with it.
    void reader.close();
  });
  const output = new Output(io, () => void reader.close());
  try {
    const ended = await new Tail(command, io, { reader, output, print, answered }).toTheEnd();
    await output.flush();
    return ended || output.isGone || !hasEnd(command) ? 0 : 130;
  } catch (error) {
    troubles.end();
    await output.flush();
    if (isInterrupted) return 130;
    complain(io, explain(error, command.topic, true));
    return error instanceof ConfigError ? 2 : 1;
  } finally {
    forget();
    answered();
    troubles.end();
    await reader.close();
  }
}

function hasEnd({ to, count }: TailCommand): boolean {
  return to !== undefined || count !== undefined;
}

/** One partition, from where to where. */
interface Stretch extends TopicPartition {
  readonly start: bigint;
  /** The offset to stop before; undefined to go on. */
  readonly stop: bigint | undefined;
}

/** What a run works with. */
interface TailParts {
  readonly reader: TailReader;
  readonly output: Output;
  readonly print: Printer;
  /** Hears that the cluster has answered. */
  readonly answered: () => void;
}

/** One run. */
class Tail {
  readonly #command: TailCommand;
  readonly #io: CliIo;
  readonly #reader: TailReader;
  readonly #output: Output;
  readonly #print: Printer;
  readonly #answered: () => void;
  #printed = 0;

  constructor(command: TailCommand, io: CliIo, { reader, output, print, answered }: TailParts) {
    this.#command = command;
    this.#io = io;
    this.#reader = reader;
    this.#output = output;
    this.#print = print;
    this.#answered = answered;
  }

  /** True when it came to its end, false when the reader was closed before. */
  async toTheEnd(): Promise<boolean> {
    const { count } = this.#command;
    const stretches = await this.#stretches();
    this.#answered();
    const open = new Map(
      stretches.filter(({ start, stop }) => stop === undefined || start < stop).map((stretch) => {
        return [stretch.partition, stretch];
      }),
    );
    if (open.size === 0) return true;
    this.#reader.assign(open.values());
    for await (const batch of this.#reader.batches()) {
      const stop = open.get(batch.partition)?.stop;
      this.#printBatch(batch, stop);
      if (stop !== undefined && batch.nextOffset >= stop) {
        open.delete(batch.partition);
        this.#reader.pause([batch]);
      }
      if (this.#output.isFull) await this.#output.flush();
      if (open.size === 0 || this.#printed === count || this.#output.isGone) return true;
    }
    return false;
  }

  #printBatch({ records }: ReadBatch, stop: bigint | undefined): void {
    for (const record of records) {
      if (this.#printed === this.#command.count || (stop !== undefined && record.offset >= stop)) return;
      this.#output.print(this.#print(record));
      this.#printed++;
    }
  }

  /** Where each partition begins and ends. */
  async #stretches(): Promise<Stretch[]> {
    const { topic, partitions: wanted, from, to, quiet } = this.#command;
    const partitionCount = await this.#reader.partitionsOf(topic);
    const absent = wanted?.find((partition) => partition >= partitionCount);
    if (absent !== undefined) {
      throw new ConfigError(
        "partition",
        `Partition ${absent} of topic ${show(topic)} isn't there, wanted 0 to ${partitionCount - 1}`,
      );
    }
    const partitions = (wanted ?? Array.from({ length: partitionCount }, (_, partition) => partition))
      .map((partition) => ({ topic, partition }));
    const log = {
      beginnings: await this.#offsets(partitions, "beginning"),
      ends: await this.#offsets(partitions, "end"),
    };
    const starts = await this.#placeOf(partitions, from, log);
    const stops = to === undefined ? undefined : await this.#placeOf(partitions, to, log);
    const stretches = partitions.map(({ partition }, index) => ({
      topic,
      partition,
      start: starts[index]!,
      stop: stops?.[index],
    }));
    if (typeof from === "object" && "offset" in from && !quiet) this.#tellBehind(from.offset, log.ends);
    const isAtEnd = stretches.every(({ start }, index) => start >= log.ends[index]!);
    if (isAtEnd && to === undefined && !quiet && this.#io.isTTY) {
      this.#io.stderr(`sluice: waiting for records of ${show(topic)}; Ctrl-C ends\n`);
    }
    return stretches;
  }

  /** An offset that no partition has yet is clamped to their ends; whoever mistook a number sees it. */
  #tellBehind(offset: bigint, ends: readonly bigint[]): void {
    const most = ends.reduce((most, end) => end > most ? end : most, 0n);
    if (offset <= most) return;
    const { to, topic } = this.#command;
    const next = to === undefined ? "; what is written next is printed" : "";
    this.#io.stderr(`sluice: ${show(topic)} has no offset ${offset} yet, its end is ${most}${next}\n`);
  }

  /** The offset of a place in each partition, within its log. */
  async #placeOf(
    partitions: readonly TopicPartition[],
    place: Place,
    { beginnings, ends }: { readonly beginnings: readonly bigint[]; readonly ends: readonly bigint[] },
  ): Promise<readonly bigint[]> {
    if (place === "beginning") return beginnings;
    if (place === "end") return ends;
    if ("timestamp" in place) {
      const offsets = await this.#offsets(partitions, place);
      return offsets.map((offset, index) => clamp(offset, beginnings[index]!, ends[index]!));
    }
    return partitions.map((_, index) => {
      const offset = "offset" in place ? place.offset : ends[index]! - place.last;
      return clamp(offset, beginnings[index]!, ends[index]!);
    });
  }

  async #offsets(partitions: readonly TopicPartition[], position: Position): Promise<bigint[]> {
    const found: TopicPartitionOffset[] = await this.#reader.offsetsOf(partitions, position);
    return found.map(({ offset }) => offset);
  }
}

/** Retention may have taken what was asked for, and nothing can be read of what isn't written yet. */
function clamp(offset: bigint, least: bigint, most: bigint): bigint {
  return offset < least ? least : offset > most ? most : offset;
}

const encoder = new TextEncoder();

/** What is printed of a record. What a terminal would obey is escaped where one reads it. */
export function printerOf(command: TailCommand, io: Pick<CliIo, "isOutputTTY">): Printer {
  if (command.json) return (record) => [encoder.encode(formatEnvelope(record))];
  const options = printOptions(io, command.nullText);
  if (command.template !== undefined) return compileTemplate("format", command.template, options);
  const { keySeparator, delimiter } = command;
  const shown = (bytes: Uint8Array | null): Uint8Array => bytes === null ? options.nullText : options.guard(bytes);
  return ({ key, value }) =>
    keySeparator === undefined ? [shown(value), delimiter] : [shown(key), keySeparator, shown(value), delimiter];
}
