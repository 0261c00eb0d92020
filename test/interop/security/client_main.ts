/** The security cases from a process of their own: `<runtime> client_main.ts <address of the plan>`. */
import { runCases } from "./client.ts";

const { process } = globalThis as unknown as { process: { argv: string[] } };
await runCases(process.argv[2]!);
