/**
 * How much of a Worker the client is: the smallest program, bundled as wrangler does it and compressed as Cloudflare
 * counts it, from the compiled package.
 *
 *     node scripts/lib/worker_size.mjs
 */

import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "../build.mjs";
import { root } from "./tools.mjs";

const limit = 50_000;

const program = `import { Producer } from "./dist/mod.js";
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

/** Resolves to the size in bytes, and to the largest of the modules with their sizes before compression. */
export async function measureWorker() {
  await build();
  const { build: esbuild } = await import("esbuild");
  const { outputFiles: [file], metafile } = await esbuild({
    absWorkingDir: root,
    stdin: { contents: program, resolveDir: root },
    outfile: "worker.mjs",
    write: false,
    metafile: true,
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    conditions: ["workerd", "worker", "import"],
    external: ["cloudflare:*", "node:*"],
    logLevel: "silent",
  });
  const modules = Object.entries(metafile.outputs["worker.mjs"].inputs)
    .map(([path, { bytesInOutput }]) => [path, bytesInOutput])
    .sort(([, a], [, b]) => b - a);
  return { gzipBytes: gzipSync(file.contents, { level: 9 }).length, modules };
}

/** Resolves to the result of the check: `{ name, status, detail }`. */
export async function checkWorkerSize() {
  const { gzipBytes, modules } = await measureWorker();
  const largest = modules.slice(0, 20).map(([path, bytes]) => `${bytes} ${path}`);
  const detail = `${gzipBytes} bytes with gzip, wanted less than ${limit}. Before it:\n${largest.join("\n")}`;
  return {
    name: "one bundle: a minimal Worker is smaller than 50 kB",
    status: gzipBytes < limit ? "passed" : "failed",
    detail,
  };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { status, detail } = await checkWorkerSize();
  console.log(detail);
  if (status === "failed") process.exitCode = 1;
}
