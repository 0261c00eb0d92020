/**
 * The command line, with the words and the exit code of this process.
 *
 * @module
 */

import process from "node:process";
import { main } from "./main.ts";

/** Runs `sluice` as this process was asked to. */
export async function program(): Promise<void> {
  process.exitCode = await main(process.argv.slice(2));
  // Deno stays alive for a read of standard input that was given up.
  if (process.stdin.destroyed) process.exit();
}
