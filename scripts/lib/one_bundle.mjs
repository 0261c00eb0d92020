/**
 * One bundle of the client loads and dials on every runtime. In workerd it does so without `nodejs_compat`, which
 * the suite itself needs for its assertions, and so does the bundle that is made for workerd alone.
 */

import { writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { legDir } from "./legs.mjs";
import { startServers } from "./servers.mjs";
import { root, run, runtimeBinary } from "./tools.mjs";
import { bundle, runWorker } from "./worker.mjs";
import { checkWorkerSize } from "./worker_size.mjs";

/** Runs the bundle on each runtime; resolves to one result per runtime: `{ name, status, detail }`. */
export async function runOneBundle({ timeoutMs = 60_000 } = {}) {
  const servers = await startServers();
  try {
    const dir = await legDir("one-bundle");
    const from = (path) => JSON.stringify(relative(dir, join(root, path)));
    await writeFile(
      join(dir, "entry.mjs"),
      `import * as sluice from ${from("mod.ts")};
import { selectRuntime } from ${from("src/runtime/mod.ts")};
import { resolveCodec } from ${from("src/codec/registry.ts")};
import { wasmKernels } from ${from("src/codec/wasm.ts")};
import { zstdFromModule } from ${from("src/codec/zstd_module.ts")};
import zstdBytes from ${from("node_modules/@bokuweb/zstd-wasm/dist/web/zstd.wasm")};

const zstdModule = new WebAssembly.Module(zstdBytes); // while modules are evaluated: workerd allows it no more later

export async function check() {
  if (typeof sluice.Producer !== "function") throw new Error("mod.ts exports no Producer");
  const runtime = selectRuntime();
  let heard;
  const answer = new Promise((resolve, reject) => {
    heard = { onData: (chunk) => resolve(new TextDecoder().decode(chunk)), onClose: reject };
  });
  const socket = await runtime.sockets.connect({ host: "127.0.0.1", port: ${servers.ports.echo} }, heard);
  socket.write(new TextEncoder().encode("hello"));
  if (await answer !== "hello") throw new Error("the echo differs");
  socket.destroy();
  // Asked for the first time, and not while modules are evaluated.
  if (wasmKernels() === undefined) throw new Error("the kernels' module isn't compiled");
  const zstd = resolveCodec("zstd", { custom: { zstd: zstdFromModule(zstdModule) }, level: 3 });
  const text = new TextEncoder().encode("to be or not to be ".repeat(100_000));
  const frame = await zstd.compress(text);
  const back = await zstd.decompress(frame, text.length);
  if (frame.length > 1000 || new TextDecoder().decode(back) !== new TextDecoder().decode(text)) {
    throw new Error("zstd from its module differs");
  }
  return runtime.name;
}

export default { test: check };
`,
    );
    await writeFile(
      join(dir, "run.mjs"),
      `import { check } from "./bundle.mjs";
console.log("@@ran", await check());
`,
    );
    try {
      await bundle(join(dir, "entry.mjs"), join(dir, "bundle.mjs"), ["worker", "browser"]);
      await bundle(join(dir, "entry.mjs"), join(dir, "worker.mjs"));
    } catch (error) {
      return [{ name: "one bundle: esbuild bundles mod.ts", status: "failed", detail: error.message }];
    }
    const file = relative(root, join(dir, "run.mjs"));
    /** @type {Record<string, [string, string[]]>} */
    const programs = {
      node: [process.execPath, [file]],
      deno: [runtimeBinary("deno"), ["run", "--no-prompt", "--allow-net=127.0.0.1", "--allow-read=.", file]],
      bun: [runtimeBinary("bun"), [file]],
    };
    const results = [];
    for (const [name, [command, args]] of Object.entries(programs)) {
      const { code, output } = await run(command, args, { timeoutMs });
      results.push(result(name, code === 0 && output.includes(`@@ran ${name}`), output));
    }
    for (const [file, made] of [["bundle.mjs", ""], ["worker.mjs", ", made for it,"]]) {
      const { code, output } = await runWorker(runtimeBinary("workerd"), dir, file, [], { timeoutMs });
      results.push(result(`workerd${made} without nodejs_compat`, code === 0, output));
    }
    return [...results, ...await checkWorkerSize()];
  } finally {
    await servers.stop();
  }
}

function result(runtime, passed, output) {
  return { name: `one bundle: loads and dials on ${runtime}`, status: passed ? "passed" : "failed", detail: output };
}
