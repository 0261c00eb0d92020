/**
 * The command line as a library: {@link main} runs `sluice` with injected words, input and output. Run as a program, this
 * module is the command: `deno run -A jsr:@sluice/kafka/cli --help`.
 *
 * @module
 */

import { program } from "./program.ts";

export { main, version } from "./main.ts";
export type { CliIo, InputSource } from "./io.ts";
export type { ProduceSummary } from "./summary.ts";

if (import.meta.main) void program();
