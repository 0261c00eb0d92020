/** Entry of the programs of the ETL test: the step, as JSON, is the only argument. */
import process from "node:process";
import { runStep } from "./etl.ts";

await runStep(JSON.parse(process.argv[2] ?? ""));
