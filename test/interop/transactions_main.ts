/** Entry of the transactions on Node, Deno and Bun: the address of the plan is the only argument. */
import process from "node:process";
import { runTransactions } from "./transactions.ts";

await runTransactions(process.argv[2] ?? "");
