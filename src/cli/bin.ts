#!/usr/bin/env node
/**
 * The `sluice` command.
 *
 * @module
 */

import { program } from "./program.ts";

await program();
