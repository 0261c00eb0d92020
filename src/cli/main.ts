/**
 * The command line, as a function from words to an exit code.
 *
 * @module
 */

import { Producer } from "../../mod.ts";
import { ConfigError } from "../errors.ts";
import { show } from "../show.ts";
import { parseBroker, parseProduce, readWords } from "./arguments.ts";
import { runBroker } from "./broker.ts";
import { complain, explain } from "./complaint.ts";
import type { CliIo } from "./io.ts";
import { brokerSpec, type CommandSpec, commandSpecs, helpOf, overview, produceSpec, proxySpec } from "./options.ts";
import { produce } from "./produce.ts";
import { runProxy } from "./proxy/command.ts";
import { producerSink } from "./sink.ts";

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
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    (name === undefined ? io.stderr : io.stdout).call(io, overview(version));
    return name === undefined ? 2 : 0;
  }
  if (name === "--version" || name === "-V") {
    io.stdout(`${version}\n`);
    return 0;
  }
  const spec = commandSpecs.find((candidate) => candidate.name === name);
  if (spec === undefined) {
    const kind = name.startsWith("-") ? "option" : "command";
    const wanted = commandSpecs.map((known) => known.name).join(" or ");
    throw new ConfigError(kind, `Unknown ${kind} ${show(name)}, wanted ${wanted} (see sluice --help)`);
  }
  const words = readWords(spec, rest);
  if (words.has("help")) {
    io.stdout(helpOf(spec));
    return 0;
  }
  return await commands[spec.name]!(words, io);
}

type Command = (words: ReturnType<typeof readWords>, io: CliIo) => Promise<number>;

const commands: Readonly<Record<CommandSpec["name"], Command>> = {
  [produceSpec.name]: (words, io) =>
    produce(parseProduce(words, io.env), io, (options) => producerSink(new Producer(options as never))),
  [brokerSpec.name]: (words, io) => runBroker(parseBroker(words), io),
  [proxySpec.name]: runProxy,
};
