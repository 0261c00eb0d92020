/**
 * `sluice bench`: how many records a second a cluster takes, and how long each is on its way.
 *
 * It is a run of `sluice produce` whose input is made up, so what is measured is what that command does.
 *
 * @module
 */

import type { BenchCommand } from "./bench_command.ts";
import type { CliIo } from "./io.ts";
import { produce, type RecordSink } from "./produce.ts";
import type { ProduceCommand } from "./produce_command.ts";

/** So many values are made beforehand: making them takes longer than sending them. */
const POOL_BYTES = 1 << 22;
const MAX_POOL = 1_000;

/** Runs the command. Returns the exit code. */
export async function bench(
  command: BenchCommand,
  io: CliIo,
  createSink: (options: Readonly<Record<string, unknown>>) => RecordSink,
): Promise<number> {
  const { topic, keys, producer, json, quiet, rate } = command;
  const values = poolOf(command);
  const names = Array.from({ length: Math.min(keys, 100_000) }, (_, index) => new TextEncoder().encode(`key-${index}`));
  const made: ProduceCommand = {
    ...{ topic, count: command.count, rate, producer, json, quiet },
    files: [],
    key: undefined,
    partition: undefined,
    headers: [],
    dryRun: false,
    tee: false,
    output: undefined,
    progress: "auto",
  };
  return await produce(made, io, createSink, function* () {
    for (let index = 0;; index++) {
      yield { key: keys === 0 ? null : names[index % names.length]!, value: values[index % values.length]! };
    }
  });
}

/** Values of the size that was asked for. */
function poolOf({ size, payload, count }: BenchCommand): Uint8Array[] {
  const length = Math.max(1, Math.min(MAX_POOL, count, Math.floor(POOL_BYTES / Math.max(1, size))));
  return Array.from({ length }, () => payload === "random" ? randomBytes(size) : words(size));
}

function randomBytes(size: number): Uint8Array {
  return Uint8Array.from({ length: size }, () => Math.floor(Math.random() * 256));
}

const SYLLABLES = [
  "ka",
  "no",
  "ri",
  "ste",
  "lum",
  "or",
  "den",
  "via",
  "pe",
  "tra",
  "mo",
  "sil",
  "ba",
  "che",
  "un",
  "ix",
];

/** Something like text: it has as much to compress as text has. */
function words(size: number): Uint8Array {
  let text = "";
  while (text.length < size) {
    text += SYLLABLES[Math.floor(Math.random() * SYLLABLES.length)]!;
    if (Math.random() < 0.3) text += " ";
  }
  return new TextEncoder().encode(text.slice(0, size));
}
