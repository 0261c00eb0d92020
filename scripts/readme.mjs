/**
 * Runs the code in README.md, and the examples, each on the runtime that it is for, against `sluice broker`.
 *
 *     node scripts/readme.mjs [part of a name]
 *
 * A fenced block is run when its language is followed by `node`, `deno`, `bun` or `worker`.
 */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { build } from "./build.mjs";
import { compiled, findProgram } from "./demo/runtimes.mjs";
import { cacheDir, listFiles, root, runtimeBinary } from "./lib/tools.mjs";

const dir = join(cacheDir, "readme");
const topics = ["orders:3", "readings:4", "lines:1", "posts:1", "hits:1"];

/**
 * Resolves to `{ passed, failed, skipped, tests }` with a `{ name, status, detail }` for each piece; what has no runtime
 * here is skipped.
 */
export async function runReadme({ log = console.log, filter = "" } = {}) {
  await build();
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true });
  const tests = [];
  const broker = await startBroker();
  try {
    for (const piece of [optionsTable, promises, deliveryTests, commands, ...await snippets(), ...examples]) {
      if (!piece.name.includes(filter)) continue;
      const { name } = piece;
      try {
        const before = await countRecords(broker.address, piece.topic);
        const reason = await piece.run(broker.address);
        const delivered = await countRecords(broker.address, piece.topic) - before;
        if (reason === undefined && piece.topic !== undefined) {
          assert.ok(delivered > 0, `no record reached the topic "${piece.topic}"`);
        }
        if (reason !== undefined) log(`- ${name}: ${reason}`);
        tests.push({ name, status: reason === undefined ? "passed" : "skipped", detail: reason });
      } catch (error) {
        log(`✗ ${name}\n${String(error.stack).replace(/^/gm, "    ")}`);
        tests.push({ name, status: "failed", detail: error.message });
      }
    }
  } finally {
    await broker.stop();
    await rm(dir, { recursive: true, force: true });
  }
  const count = (status) => tests.filter((test) => test.status === status).length;
  return { passed: count("passed"), failed: count("failed"), skipped: count("skipped"), tests };
}

/** Whatever README.md, the documents and the programs' own help tell to run is there. */
const commands = {
  name: "commands that the documents name",
  async run() {
    const { scripts } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
    const named = new Map();
    for (const dir of [".", "docs", "scripts", "test/interop"]) {
      for (const file of await readdir(join(root, dir))) {
        if (!/\.(md|mjs)$/.test(file)) continue;
        const text = await readFile(join(root, dir, file), "utf8");
        for (const [, script] of text.matchAll(/npm run ([\w:]+)/g)) named.set(script, `${dir}/${file}`);
      }
    }
    assert.ok(named.size >= 5, `${named.size} commands were found`);
    for (const [script, where] of named) assert.ok(script in scripts, `npm run ${script}, named in ${where}`);
  },
};

/** The table of options names every option that there is, with its default. */
const optionsTable = {
  name: "README.md options",
  async run() {
    const [source, readme] = await Promise.all(
      ["src/producer/options/options.ts", "README.md"].map((file) => readFile(join(root, file), "utf8")),
    );
    const declared = new Map();
    const body = /^export interface ProducerOptions[^]*?^}/m.exec(source)[0];
    for (const [, comment, name] of body.matchAll(/\/\*\*([^]*?)\*\/\s*readonly (\w+)\??:/g)) {
      declared.set(name, /@default (\S+)/.exec(comment)?.[1]);
    }
    const table = /^## Options$[^]*?^\|[^]*?\n\n/m.exec(readme)[0];
    const written = new Map();
    for (const [, names, defaults] of table.matchAll(/^\| *(`.*?`) *\| *(.*?) *\|/gm)) {
      const values = defaults.split(/, /).map((value) => value.replace(/[`,]/g, ""));
      [...names.matchAll(/`(\w+)`/g)].forEach(([, name], index) => written.set(name, values[index]));
    }
    assert.deepEqual([...written.keys()].sort(), [...declared.keys()].sort());
    for (const [name, value] of declared) {
      if (/^(\d+|Infinity|true|false|".*")$/.test(value)) assert.equal(written.get(name), value, name);
    }
  },
};

/** Each sentence of the promises links to tests, and those are there. */
const promises = {
  name: "README.md promises",
  async run() {
    const readme = await readFile(join(root, "README.md"), "utf8");
    const section = /^## What we promise$([^]*?)^## /m.exec(readme)[1];
    const sentences = section.split(/^- /m).slice(1);
    assert.ok(sentences.length >= 10, `there are ${sentences.length} promises, wanted at least 10`);
    for (const sentence of sentences) {
      const links = [...sentence.matchAll(/\[([^\]]+)\]\((test\/[^)]+)\)/g)];
      assert.ok(links.length > 0, `no test is named for: ${sentence}`);
      for (const [, name, file] of links) {
        const source = await readFile(join(root, file), "utf8");
        assert.ok(source.includes(`"${name.replace(/\s+/g, " ")}"`), `${file} has no test "${name}"`);
      }
    }
  },
};

/** Each rule of delivery names tests, and those are there. */
const deliveryTests = {
  name: "docs/delivery.md tests",
  async run() {
    const text = await readFile(join(root, "docs", "delivery.md"), "utf8");
    const names = [...text.matchAll(/_Tests?:_([^]*?)(?:\n\n|$)/g)]
      .flatMap(([, list]) => [...list.matchAll(/`([^`]+)`/g)].map(([, name]) => name.replace(/\s+/g, " ")));
    assert.ok(names.length >= 40, `${names.length} tests are named, wanted at least 40`);
    const files = await listFiles("test", (path) => path.endsWith("_test.ts") && !path.includes("node_modules"));
    const sources = await Promise.all(files.map((file) => readFile(join(root, file), "utf8")));
    const missing = names.filter((name) => !sources.some((source) => source.includes(JSON.stringify(name))));
    assert.deepEqual(missing, []);
  },
};

/** The blocks of README.md that name a runtime; what they send goes to the broker of the tests. */
async function snippets() {
  const text = await readFile(join(root, "README.md"), "utf8");
  const found = [...text.matchAll(/^```(js|ts) (?:ignore )?(node|deno|bun|worker)\n([^]*?)^```$/gm)];
  assert.ok(found.length >= 4, `README.md has ${found.length} blocks that can be run, wanted at least 4`);
  return found.map(([, language, runtime, code], index) => {
    const file = join(dir, `${runtime}-${index + 1}.${language === "js" ? "mjs" : "ts"}`);
    return {
      name: `README.md block ${index + 1} (${runtime})`,
      topic: /localhost:9092[^]*topic: "orders"/.test(code) ? "orders" : undefined,
      async run(brokers) {
        await writeFile(file, code.replaceAll("localhost:9092", brokers));
        return await runners[runtime](file, brokers, language);
      },
    };
  });
}

const example = (name) => join(root, "examples", name);

const examples = [
  { name: "examples/node.ts", topic: "readings", run: (brokers) => runners.node(example("node.ts"), brokers, "ts") },
  { name: "examples/deno.ts", topic: "lines", run: (brokers) => runners.deno(example("deno.ts"), brokers) },
  { name: "examples/bun.ts", topic: "posts", run: runBunServer },
  { name: "examples/worker.ts", topic: "hits", run: (brokers) => runners.worker(example("worker.ts"), brokers) },
];

/** Each resolves to why it could not run, or to nothing when it ran well. */
const runners = {
  async node(file, brokers, language) {
    const program = language === "js" ? process.execPath : runtimeBinary("node24") ?? runtimeBinary("node22");
    if (program === undefined) return "no Node that runs TypeScript was found";
    await succeed(program, ["--disable-warning=ExperimentalWarning", file], { KAFKA_BROKERS: brokers });
  },

  async deno(file, brokers) {
    const program = findProgram("deno");
    if (program === undefined) return "Deno was not found";
    const flags = ["--no-prompt", "--no-lock", "--config", join(root, "deno.json"), "--allow-net", "--allow-env"];
    await succeed(program, ["run", ...flags, file], { KAFKA_BROKERS: brokers }, join(root, "README.md"));
  },

  async bun(file, brokers) {
    const program = findProgram("bun");
    if (program === undefined) return "Bun was not found";
    await succeed(program, ["run", file], { KAFKA_BROKERS: brokers });
  },

  /** Bundles the worker, serves it and posts to it. */
  async worker(file, brokers) {
    const program = runtimeBinary("workerd");
    if (program === undefined) return "workerd was not found";
    await bundle(file, join(dir, "worker.js"));
    const config = await readFile(join(root, "examples", "worker.capnp"), "utf8");
    await writeFile(
      join(dir, "worker.capnp"),
      config.replace("../.cache/worker.js", "worker.js").replace("127.0.0.1:9092", brokers),
    );
    const port = await freePort();
    const address = `127.0.0.1:${port}`;
    const server = start(program, ["serve", join(dir, "worker.capnp"), `--socket-addr=http=${address}`]);
    try {
      const response = await post(`http://${address}/`, "hello", server);
      const body = await response.text();
      assert.equal(response.status, 200, body);
      assert.equal(JSON.parse(body).delivery, "acked");
    } finally {
      await server.stop();
    }
  },
};

async function runBunServer(brokers) {
  const program = findProgram("bun");
  if (program === undefined) return "Bun was not found";
  const server = start(program, ["run", example("bun.ts")], { KAFKA_BROKERS: brokers, PORT: "0" });
  try {
    const url = await server.line(/^Listening on (http\S+)$/m);
    const response = await post(`${url}key-1`, "hello", server);
    assert.equal((await response.json()).delivery, "acked");
  } finally {
    assert.equal(await server.stop(), 0, "the server did not end well");
  }
}

async function bundle(entry, outfile) {
  const { build: esbuild } = await import("esbuild");
  await esbuild({
    absWorkingDir: root,
    entryPoints: [entry],
    outfile,
    bundle: true,
    format: "esm",
    conditions: ["workerd"],
    alias: { "@sluice/kafka": "./mod.ts" },
    external: ["node:*", "cloudflare:*"],
    logLevel: "silent",
  });
}

/** Posts as soon as the server answers. */
async function post(url, body, server) {
  for (let attempt = 1;; attempt++) {
    try {
      return await fetch(url, { method: "POST", body, signal: AbortSignal.timeout(20_000) });
    } catch (error) {
      if (attempt === 50) throw new Error(`${url} does not answer: ${server.output()}`, { cause: error });
      await sleep(100);
    }
  }
}

async function succeed(program, args, env, stdin) {
  const child = start(program, args, env, stdin);
  const timer = setTimeout(() => child.stop("SIGKILL"), 60_000);
  const code = await child.closed;
  clearTimeout(timer);
  assert.equal(code, 0, `exit code ${code}\n${child.output()}`);
}

/** Starts a program in the project's folder. */
function start(program, args, env = {}, stdin) {
  const child = spawn(program, args, { cwd: root, env: { ...process.env, NO_COLOR: "1", ...env } });
  let output = "";
  const waiting = new Set();
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text) => {
      output += text;
      for (const check of waiting) check();
    });
  }
  child.stdin.on("error", () => {}); // it may end without reading all
  if (stdin === undefined) child.stdin.end();
  else readFile(stdin).then((bytes) => child.stdin.end(bytes));
  const closed = new Promise((resolve) => {
    child.once("error", (error) => resolve(String(error)));
    child.once("close", (code, signal) => resolve(code ?? signal));
  });
  return {
    closed,
    output: () => output,
    /** What the first line that fits says. */
    line: (pattern) =>
      new Promise((resolve, reject) => {
        const check = () => {
          const match = pattern.exec(output);
          if (match !== null) resolve(match[1]);
        };
        waiting.add(check);
        check();
        closed.then((code) => reject(new Error(`${program} ended with exit code ${code}: ${output}`)));
      }),
    async stop(signal = "SIGTERM") {
      child.kill(signal);
      const timer = setTimeout(() => child.kill("SIGKILL"), 5_000);
      const code = await closed;
      clearTimeout(timer);
      return code;
    },
  };
}

async function startBroker() {
  const [program, ...args] = compiled;
  const broker = start(program, [...args, "broker", "--port", "0", ...topics.flatMap((topic) => ["--topic", topic])]);
  return { address: await broker.line(/^Listening on (\S+)$/m), stop: () => broker.stop() };
}

async function countRecords(brokers, topic) {
  if (topic === undefined) return 0;
  const { readTopic } = await import("../dist/src/testing/mod.js");
  const { selectSockets } = await import("../dist/src/runtime/mod.js");
  let count = 0;
  for await (const _ of readTopic({ brokers, topic, sockets: selectSockets() })) count++;
  return count;
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { passed, failed, skipped } = await runReadme({ filter: process.argv[2] });
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  process.exitCode = failed > 0 ? 1 : 0;
}
