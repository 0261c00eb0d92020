/** The shortest program there is with a client: one record, awaited. start.mjs '<plan as JSON>' */
import { Buffer } from "node:buffer";
import process from "node:process";

const plan = JSON.parse(process.argv[2]);
const { open } = await import(plan.adapter);
const client = await open(plan);
await client.send(null, plan.text ? "x".repeat(100) : Buffer.alloc(100, "x"));
const elapsedMs = performance.timeOrigin + performance.now() - plan.spawnedMs;
const cpu = process.cpuUsage();
const result = { sent: 1, settled: 1, failed: 0, acknowledged: 1, elapsedMs, cpuMs: (cpu.user + cpu.system) / 1000 };
await client.close();
await new Promise((done) => process.stdout.write(`@@result ${JSON.stringify(result)}\n`, done));
process.exit(0);
