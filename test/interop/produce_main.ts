/** Entry of the interop tests on Node, Deno and Bun: the address of the plan is the only argument. */
import process from "node:process";
import { produceAll } from "./produce.ts";

await produceAll(process.argv[2] ?? "");
