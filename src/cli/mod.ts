/**
 * The command line as a library: {@link main} runs `sluice` with injected words, input and output.
 *
 * @module
 */

export { main, version } from "./main.ts";
export type { CliIo, InputSource } from "./io.ts";
export type { ProduceSummary } from "./summary.ts";
