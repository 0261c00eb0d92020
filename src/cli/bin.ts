#!/usr/bin/env node
/**
 * The `sluice` command.
 *
 * @module
 */

import process from "node:process";
import { main } from "./main.ts";

process.exitCode = await main(process.argv.slice(2));
// Deno stays alive for a read of standard input that was given up.
if (process.stdin.destroyed) process.exit();
