/**
 * How much of a Worker the client is: small programs, bundled as wrangler does it and compressed as Cloudflare counts it,
 * from the compiled package. Each has a limit of its own, so that growth is seen where it happens.
 *
 *     node scripts/lib/worker_size.mjs
 */

import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "../build.mjs";
import { workerConditions } from "./worker.mjs";
import { root } from "./tools.mjs";

/** The programs by name, with what they import, and the most bytes that each may have. */
const programs = {
  core: { entry: "./dist/esm/core.js", limit: 72_000 },
  full: { entry: "./dist/esm/mod.js", limit: 84_000 },
};

const program = (entry) =>
  `import { Producer } from "${entry}";
export default {
  async fetch(request) {
    const producer = new Producer({ brokers: "localhost:9092" });
    try {
      return Response.json(await producer.send({ topic: "orders", value: await request.text() }));
    } finally {
      await producer.close();
    }
  },
};
`;

/** Resolves to the size of a program in bytes, and to the largest of its modules with their sizes before compression. */
export async function measureWorker(name) {
  await build();
  const { build: esbuild } = await import("esbuild");
  const { outputFiles: [file], metafile } = await esbuild({
    absWorkingDir: root,
    stdin: { contents: program(programs[name].entry), resolveDir: root },
    outfile: "worker.mjs",
    write: false,
    metafile: true,
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    conditions: [...workerConditions, "import"],
    external: ["cloudflare:*", "node:*"],
    logLevel: "silent",
  });
  const modules = Object.entries(metafile.outputs["worker.mjs"].inputs)
    .map(([path, { bytesInOutput }]) => /** @type {const} */ ([path, bytesInOutput]))
    .sort(([, a], [, b]) => b - a);
  return { gzipBytes: gzipSync(file.contents, { level: 9 }).length, modules };
}

/** Resolves to the results of the check, one for each program: `{ name, status, detail }`. */
export async function checkWorkerSize() {
  const results = [];
  for (const [name, { limit }] of Object.entries(programs)) {
    const { gzipBytes, modules } = await measureWorker(name);
    const largest = modules.slice(0, 20).map(([path, bytes]) => `${bytes} ${path}`);
    results.push({
      name: `one bundle: a Worker with the ${name} client is smaller than ${limit / 1000} kB`,
      status: gzipBytes < limit ? "passed" : "failed",
      summary: `${name} ${gzipBytes} bytes with gzip, wanted less than ${limit}`,
      detail: `${gzipBytes} bytes with gzip, wanted less than ${limit}. Before it:\n${largest.join("\n")}`,
    });
  }
  return results;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  for (const { name, status, detail } of await checkWorkerSize()) {
    console.log(`${name}\n${detail}`);
    if (status === "failed") process.exitCode = 1;
  }
}
