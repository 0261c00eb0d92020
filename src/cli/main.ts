/**
 * The command line, as a function from words to an exit code.
 *
 * @module
 */

import { Producer } from "../../mod.ts";
import { ConfigError } from "../errors.ts";
import { selectRuntime } from "../runtime/select.ts";
import { show } from "../show.ts";
import { createAdmin } from "../admin/mod.ts";
import { Reader } from "../reader/mod.ts";
import { bench } from "./bench.ts";
import { parseBench } from "./bench_command.ts";
import { runBroker } from "./broker.ts";
import { parseBroker } from "./broker_command.ts";
import { complain, explain } from "./complaint.ts";
import { completionFor } from "./completion.ts";
import { doctor } from "./doctor.ts";
import { parseDoctor } from "./doctor_command.ts";
import { fold } from "./fold.ts";
import type { CliIo } from "./io.ts";
import { foreignCommand } from "./foreign.ts";
import {
  benchSpec,
  brokerSpec,
  type CommandSpec,
  commandSpecs,
  completionSpec,
  doctorSpec,
  helpOf,
  overview,
  produceSpec,
  proxySpec,
  tailSpec,
  topicsSpec,
} from "./options.ts";
import { produce } from "./produce.ts";
import { parseProduce } from "./produce_command.ts";
import { type ClientKind, listProperties } from "./properties.ts";
import { runProxy } from "./proxy/command.ts";
import { drySink, producerSink } from "./sink.ts";
import { tail } from "./tail.ts";
import { parseTail } from "./tail_command.ts";
import { topics } from "./topics.ts";
import { parseTopics } from "./topics_command.ts";
import { distance, readWords, refuseMore, type Words } from "./words.ts";

/** The version of the command line, which is the package's. */
export const version = "0.1.0";

/**
 * Runs `sluice` with the given words (without the program's own name). Never throws.
 *
 * @param argv the words
 * @param io where it reads and writes; the process's own terminal and files unless given
 * @returns the exit code: 0 done, 1 not all delivered or no broker, 2 wrong usage or input, 130 interrupted
 *
 * @example
 * ```ts
 * import { main } from "@sluice/kafka/cli";
 *
 * const exitCode = await main(["--version"]);
 * console.assert(exitCode === 0);
 * ```
 */
export async function main(argv: readonly string[], io?: CliIo): Promise<number> {
  const world = io ?? (await import("./terminal.ts")).terminalIo();
  try {
    return await dispatch(argv, world);
  } catch (error) {
    complain(world, explain(error));
    return error instanceof ConfigError ? 2 : 1;
  }
}

async function dispatch(argv: readonly string[], io: CliIo): Promise<number> {
  const [name, ...rest] = argv;
  if (name === undefined) {
    io.stderr(overview(version));
    return 2;
  }
  if (name === "--help" || name === "-h" || name === "help") {
    io.stdout(fold(overview(version), io.columns));
    return 0;
  }
  if (name === "--version" || name === "-V") {
    io.stdout(`${version}\n`);
    return 0;
  }
  const spec = commandSpecs.find((candidate) => candidate.name === name) ?? refuseCommand(argv);
  const words = readWords(spec, rest);
  if (words.has("help")) {
    io.stdout(fold(helpOf(spec), io.columns));
    return 0;
  }
  const command = commands[spec.name]!;
  if (words.all("property").includes("list") && command.kind !== undefined) {
    io.stdout(listProperties(command.kind));
    return 0;
  }
  return await command.run(words, io);
}

function refuseCommand([name = "", ...rest]: readonly string[]): never {
  const kind = name.startsWith("-") ? "option" : "command";
  const names = commandSpecs.map((known) => known.name);
  const near = names.find((known) => distance(known, name) <= 2);
  // kcat is told anywhere what it is to do.
  const kcat = name.startsWith("-") ? rest.find((word) => /^-[A-Z]$/.test(word) && foreignCommand(word)) : undefined;
  const wanted = foreignCommand(kcat ?? name) ??
    `${names.slice(0, -1).join(", ")} or ${names.at(-1)} (see sluice --help)`;
  const hint = near === undefined ? `wanted ${wanted}` : `did you mean ${near}?`;
  throw new ConfigError(kind, `Unknown ${kind} ${show(name)}, ${hint}`);
}

interface Command {
  /** The kind of client that the properties are of. */
  readonly kind?: ClientKind;
  run(words: Words, io: CliIo): Promise<number>;
}

const commands: Readonly<Record<CommandSpec["name"], Command>> = {
  [produceSpec.name]: {
    kind: "producer",
    run: async (words, io) => {
      const command = await parseProduce(words, io);
      return await produce(command, io, (options) => {
        return (command.dryRun ? drySink : producerSink)(new Producer(options as never));
      });
    },
  },
  [tailSpec.name]: {
    kind: "reader",
    run: async (words, io) => await tail(await parseTail(words, io, Date.now()), io, (options) => new Reader(options)),
  },
  [topicsSpec.name]: {
    kind: "admin",
    run: async (words, io) => await topics(await parseTopics(words, io), io, createAdmin),
  },
  [doctorSpec.name]: {
    kind: "producer",
    run: async (words, io) => {
      const createProducer = (options: unknown) => new Producer(options as never);
      return await doctor(await parseDoctor(words, io), io, { runtime: selectRuntime(), createProducer });
    },
  },
  [benchSpec.name]: {
    kind: "producer",
    run: async (words, io) =>
      await bench(await parseBench(words, io), io, (options) => producerSink(new Producer(options as never))),
  },
  [completionSpec.name]: {
    run(words, io) {
      refuseMore(words, 1, "one shell");
      io.stdout(completionFor(words.positionals[0]));
      return Promise.resolve(0);
    },
  },
  [brokerSpec.name]: { run: (words, io) => runBroker(parseBroker(words), io) },
  [proxySpec.name]: { run: runProxy },
};
