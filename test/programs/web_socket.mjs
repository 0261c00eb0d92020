/**
 * Producers on every runtime with WebSockets, workerd included, through `sluice proxy` as a process of its own. A page in a
 * browser does the same in `browser.mjs`.
 *
 *     node test/programs/web_socket.mjs [part of a name]
 */

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "../../scripts/build.mjs";
import { readRecords, startBroker } from "../../scripts/lib/broker_process.mjs";
import { runProgram, startProgram } from "../../scripts/lib/program.mjs";
import { compiled } from "../../scripts/lib/runtimes.mjs";
import { runByHand, Tally } from "../../scripts/lib/tally.mjs";
import { root, runtimeBinary } from "../../scripts/lib/tools.mjs";
import { bundle, runWorker } from "../../scripts/lib/worker.mjs";

const caller = join(root, "test/programs/web_socket_caller.ts");
const flags = { node24: ["--disable-warning=ExperimentalWarning"], deno: ["run", "-A", "--no-check"], bun: ["run"] };

/**
 * Resolves to `{ passed, failed, skipped, tests }` with a `{ name, status, detail }` for each test.
 *
 * @param {{ log?: (line: string) => void, filter?: string }} [options]
 */
export async function runWebSocket({ log, filter = "" } = {}) {
  await build();
  const tally = new Tally(log);
  const names = [...Object.keys(flags), "workerd"].filter((name) => titleOf(name).includes(filter));
  const broker = await startBroker({ topics: names.map((name) => `through-${name}:3`) });
  const dir = await mkdtemp(join(tmpdir(), "sluice-proxy-"));
  try {
    const file = join(dir, "token.txt");
    await writeFile(file, "a token\n");
    const proxy = startProgram([
      ...[...compiled, "proxy", "--port", "0", "--allow", broker.address, "--token-file", file],
    ]);
    try {
      const url = await proxy.line(/^Listening on (\S+)\n/m);
      for (const name of names) {
        const program = runtimeBinary(name);
        if (program === undefined) tally.skip(titleOf(name), `${name} was not found`);
        else await tally.run(titleOf(name), () => deliver(name, program, { url, broker, dir }));
      }
    } finally {
      await proxy.stop();
    }
  } finally {
    await broker.stop();
    await rm(dir, { recursive: true, force: true });
  }
  return tally.result();
}

function titleOf(name) {
  return `a producer on ${name} delivers through a WebSocket and sluice proxy`;
}

async function deliver(name, program, { url, broker, dir }) {
  const topic = `through-${name}`;
  const { code, output } = name === "workerd"
    ? await startWorker(program, dir, [url, broker.address, topic])
    : await runProgram([program, ...flags[name], caller, url, broker.address, topic], { timeoutMs: 60_000 });
  assert.equal(code, 0, output);
  if (name !== "workerd") assert.match(output, /^100 acked$/m);
  const records = await readRecords(broker.address, topic);
  assert.equal(records.length, 100);
  for (const partition of [0, 1, 2]) {
    const numbers = records.filter((record) => record.partition === partition)
      .map(({ value }) => Number.parseInt(new TextDecoder().decode(value), 10));
    assert.deepEqual(numbers, [...numbers].sort((a, b) => a - b));
  }
}

async function startWorker(program, dir, args) {
  const entry = join(dir, "entry.mjs");
  const call = `send(${args.map((arg) => JSON.stringify(arg)).join(", ")})`;
  await writeFile(entry, `import { send } from ${JSON.stringify(caller)};\nexport default { test: () => ${call} };\n`);
  await bundle(entry, join(dir, "worker.mjs"));
  return await runWorker(program, dir, "worker.mjs", [], { timeoutMs: 60_000 });
}

await runByHand(import.meta.url, runWebSocket);
