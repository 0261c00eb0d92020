/**
 * How much of a Worker the client is: small programs, bundled as `wrangler deploy` does it, from the compiled package, and
 * compressed as it says in "Total Upload". Each has a limit of its own, so that growth is seen where it happens.
 *
 *     node scripts/lib/worker_size.mjs [--wrangler 4.164.0]
 *
 * wrangler is too large to be installed for each check. It bundles with esbuild and keeps the names of functions, and so
 * does this; `--wrangler` installs it with the packed package in a folder of its own, and compares what
 * `wrangler deploy --dry-run --outdir` writes of the same programs. It wants Node 22, which the test matrix has.
 */

import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "../build.mjs";
import { flagsOf } from "./flags.mjs";
import { workerConditions } from "./worker.mjs";
import { root, run, runtimeBinary } from "./tools.mjs";

const produce = `
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

const transact = `
export default {
  async fetch(request) {
    const sasl = scramSha256({ username: "u", password: "p" });
    const producer = new TransactionalProducer({ brokers: "localhost:9092", transactionalId: "t", tls: true, sasl });
    try {
      await producer.transaction(async (tx) => void tx.send({ topic: "orders", value: await request.text() }));
      return new Response("ok");
    } finally {
      await producer.close();
    }
  },
};
`;

/** Pages that tell the sizes, and how far from the truth a number may be until somebody corrects it, in KiB. */
const pages = ["docs/runtimes/bundlers.md", "docs/runtimes/workers.md"];
const slackKiB = 1.5;
/** How far wrangler's bundles may be from these. */
const mostApart = 0.01;

/**
 * The programs by name, the most bytes that each may have with `--minify`, and how the pages tell its size with that and
 * without.
 */
const programs = {
  "the core": {
    source: `import { Producer } from "./dist/workerd/core.js";${produce}`,
    // What a start on Node needn't load took the last bytes of 83.5.
    limit: 84 << 10,
    told: [/(\d+) KiB gzip with the core/, /without `--minify` (\d+),/],
  },
  "the full client": {
    source: `import { Producer } from "./dist/workerd/mod.js";${produce}`,
    // What refused credentials and authorities say to do took the last bytes of 95.
    limit: 95.5 * 1024,
    told: [/(\d+) with the full client/, /without `--minify` \d+, (\d+) and/],
  },
  "transactions and SCRAM": {
    source: `import { TransactionalProducer } from "./dist/workerd/mod.js";
import { scramSha256 } from "./dist/workerd/sasl.js";${transact}`,
    // Those errors and what a start needn't load took the last bytes of 105.5.
    limit: 106 << 10,
    told: [/full client, (\d+) with transactions/, /without `--minify` \d+, \d+ and (\d+)/],
  },
};

/** Resolves to the sizes of a program in bytes, and to the largest of its modules with theirs before compression. */
export async function measureWorker(name) {
  await build();
  const [plain, minified] = [await bundled(name, false), await bundled(name, true)];
  const modules = Object.entries(minified.metafile.outputs["worker.mjs"].inputs)
    .map(([path, { bytesInOutput }]) => /** @type {const} */ ([path, bytesInOutput]))
    .sort(([, a], [, b]) => b - a);
  return { gzipBytes: minified.gzipBytes, plainGzipBytes: plain.gzipBytes, modules };
}

/** As `wrangler` bundles. */
async function bundled(name, minify) {
  const { build: esbuild } = await import("esbuild");
  const { outputFiles: [file], metafile } = await esbuild({
    absWorkingDir: root,
    stdin: { contents: programs[name].source, resolveDir: root },
    outfile: "worker.mjs",
    write: false,
    metafile: true,
    bundle: true,
    minify,
    keepNames: true,
    format: "esm",
    target: "es2024",
    conditions: [...workerConditions, "import"],
    external: ["cloudflare:*", "node:*"],
    logLevel: "silent",
  });
  return { gzipBytes: gzipSync(file.contents).length, metafile };
}

/** Resolves to the results of the check, one for each program: `{ name, status, detail }`. */
export async function checkWorkerSize() {
  const results = [];
  for (const [name, { limit }] of Object.entries(programs)) {
    const { gzipBytes, plainGzipBytes, modules } = await measureWorker(name);
    const largest = modules.slice(0, 20).map(([path, bytes]) => `${bytes} ${path}`);
    const said = `${kib(gzipBytes)} with gzip and --minify (${kib(plainGzipBytes)} without), wanted less than ${
      kib(limit)
    }`;
    results.push({
      name: `one bundle: a Worker with ${name} is smaller than ${kib(limit)}`,
      status: gzipBytes < limit ? "passed" : "failed",
      summary: `${name}: ${said}`,
      detail: `${said}. Before it:\n${largest.join("\n")}`,
    });
    const wrong = wrongPages(name, [gzipBytes, plainGzipBytes]);
    results.push({
      name: `one bundle: what the pages say of a Worker with ${name} is so`,
      status: wrong.length === 0 ? "passed" : "failed",
      detail: `It has ${kib(gzipBytes)}, and ${kib(plainGzipBytes)} without --minify.\n${wrong.join("\n")}`,
    });
  }
  return results;
}

/** Resolves to the results of a comparison with a version of wrangler, as {@link checkWorkerSize} does. */
async function compareWithWrangler(version) {
  await build();
  const dir = await mkdtemp(join(tmpdir(), "worker-size-"));
  try {
    const tarball = await (await import("../../test/programs/consumers.mjs")).pack();
    await writeFile(join(dir, "package.json"), JSON.stringify({ private: true, type: "module" }));
    await execute("npm", ["install", "--no-audit", "--no-fund", `wrangler@${version}`, tarball], dir);
    const results = [];
    for (const name of Object.keys(programs)) {
      const { gzipBytes, plainGzipBytes } = await measureWorker(name);
      for (const [flags, ours] of /** @type {const} */ ([[["--minify"], gzipBytes], [[], plainGzipBytes]])) {
        const theirs = await deployed(dir, name, flags);
        results.push({
          name: `wrangler ${version}: a Worker with ${name}${flags.length > 0 ? ", --minify" : ""}`,
          status: Math.abs(theirs / ours - 1) <= mostApart ? "passed" : "failed",
          detail: `${theirs} bytes of wrangler, ${ours} of the check: ${(100 * (theirs / ours - 1)).toFixed(2)} %`,
        });
      }
    }
    return results;
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** Has wrangler bundle a program; resolves to its bytes after compression. */
async function deployed(dir, name, flags) {
  await writeFile(join(dir, "worker.mjs"), fromPackage(programs[name].source));
  const configuration = { name: "size", main: "worker.mjs", compatibility_date: "2025-06-01" };
  await writeFile(join(dir, "wrangler.json"), JSON.stringify(configuration));
  const node = runtimeBinary("node22");
  if (node === undefined) throw new Error("wrangler wants Node 22: install test/runtimes");
  const wrangler = join(dir, "node_modules/wrangler/bin/wrangler.js");
  await execute(node, [wrangler, "deploy", "--dry-run", "--outdir", "out", ...flags], dir);
  const written = ["worker.js", "worker.mjs"].map((file) => join(dir, "out", file)).find((file) => existsSync(file));
  const bytes = gzipSync(await readFile(written)).length;
  await rm(join(dir, "out"), { recursive: true });
  return bytes;
}

/** A program with the imports of its users. */
function fromPackage(source) {
  return source.replaceAll("./dist/workerd/mod.js", "@sluice/kafka").replaceAll(
    /\.\/dist\/workerd\/(\w+)\.js/g,
    "@sluice/kafka/$1",
  );
}

async function execute(command, args, cwd) {
  // wrangler starts further programs with the Node that it finds.
  const PATH = `${dirname(runtimeBinary("node22") ?? process.execPath)}${delimiter}${process.env.PATH}`;
  const env = { ...process.env, PATH, CI: "1", NO_COLOR: "1", WRANGLER_SEND_METRICS: "false" };
  const { code, output } = await run(command, args, { cwd, env });
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} ended with exit code ${code}\n${output.slice(-3_000)}`);
}

/** What is told otherwise, line by line. */
function wrongPages(name, sizes) {
  return pages.flatMap((page) => {
    const text = readFileSync(join(root, page), "utf8").replaceAll(/\s+/g, " ");
    return programs[name].told.flatMap((pattern, at) => {
      const told = Number(pattern.exec(text)?.[1]);
      return Math.abs(told - sizes[at] / 1024) <= slackKiB
        ? []
        : [`${page} says ${told} KiB, wanted ${kib(sizes[at])}`];
    });
  });
}

function kib(bytes) {
  return `${(bytes / 1024).toFixed(1)} KiB`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { values: { wrangler } } = flagsOf(import.meta.url, { options: { wrangler: { type: "string" } } });
  for (const { name, status, detail } of await (wrangler ? compareWithWrangler(wrangler) : checkWorkerSize())) {
    console.log(`${name}\n${detail}`);
    if (status === "failed") process.exitCode = 1;
  }
}
