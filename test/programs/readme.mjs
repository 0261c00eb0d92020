/**
 * Runs the code in README.md, and the examples, each on the runtime that it is for, against `sluice broker`.
 *
 *     node test/programs/readme.mjs [part of a name]
 *
 * A fenced block is run when its language is followed by `node`, `deno`, `bun` or `worker`.
 */

import assert from "node:assert/strict";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { build } from "../../scripts/build.mjs";
import { readRecords, startBroker } from "../../scripts/lib/broker_process.mjs";
import { freePort, runProgram, startProgram } from "../../scripts/lib/program.mjs";
import { findProgram } from "../../scripts/lib/runtimes.mjs";
import { runByHand, Tally } from "../../scripts/lib/tally.mjs";
import { cacheDir, listFiles, root, runtimeBinary } from "../../scripts/lib/tools.mjs";
import { bundle } from "../../scripts/lib/worker.mjs";

const dir = join(cacheDir, "readme");
const topics = ["orders:3", "readings:4", "lines:1", "posts:1", "notes:1", "events:1", "hits:1", "clicks:1"];

/**
 * Resolves to `{ passed, failed, skipped, tests }` with a `{ name, status, detail }` for each piece; what has no runtime
 * here is skipped.
 *
 * @param {{ log?: (line: string) => void, filter?: string }} [options]
 */
export async function runReadme({ log, filter = "" } = {}) {
  await build();
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true });
  const tally = new Tally(log);
  const broker = await startBroker({ topics });
  const count = async (topic) => topic === undefined ? 0 : (await readRecords(broker.address, topic)).length;
  try {
    for (
      const piece
        of /** @type {Piece[]} */ ([optionsTable, promises, deliveryTests, commands, ...await snippets(), ...examples])
    ) {
      if (!piece.name.includes(filter)) continue;
      await tally.run(piece.name, async () => {
        const before = await count(piece.topic);
        const reason = await piece.run(broker.address);
        if (reason !== undefined) return reason;
        const delivered = await count(piece.topic) - before;
        if (piece.topic !== undefined) assert.ok(delivered > 0, `no record reached the topic "${piece.topic}"`);
      });
    }
  } finally {
    await broker.stop();
    await rm(dir, { recursive: true, force: true });
  }
  return tally.result();
}

/** @typedef {{ name: string, topic?: string, run: (brokers: string) => Promise<string | void> }} Piece */

/**
 * Whatever README.md, the documents and the programs' own help tell to run is there.
 *
 * @type {Piece}
 */
const commands = {
  name: "commands that the documents name",
  async run() {
    const { scripts } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
    const named = new Map();
    for (const dir of [".", "docs", "scripts", "test/interop", "test/programs"]) {
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

/** The blocks of README.md and docs/transactions.md that name a runtime; what they send goes to the broker of the tests. */
async function snippets() {
  return [...await snippetsOf("README.md", 4), ...await snippetsOf("docs/transactions.md", 1)];
}

async function snippetsOf(page, least) {
  const text = await readFile(join(root, page), "utf8");
  const found = [...text.matchAll(/^```(js|ts) (?:ignore )?(node|deno|bun|worker)\n([^]*?)^```$/gm)];
  assert.ok(found.length >= least, `${page} has ${found.length} blocks that can be run, wanted at least ${least}`);
  return found.map(([, language, runtime, code], index) => {
    const file = join(dir, `${page.replace(/\W/g, "-")}-${runtime}-${index + 1}.${language === "js" ? "mjs" : "ts"}`);
    return {
      name: `${page} block ${index + 1} (${runtime})`,
      topic: /localhost:9092[^]*topic: "orders"/.test(code) && page === "README.md" ? "orders" : undefined,
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
  { name: "examples/deno_server.ts", topic: "notes", run: runDenoServer },
  { name: "examples/lambda.ts", topic: "events", run: runLambda },
  { name: "examples/worker.ts", topic: "hits", run: (brokers) => runners.worker(example("worker.ts"), brokers) },
  {
    name: "examples/durable_object.ts",
    topic: "clicks",
    run: (brokers) => runners.worker(example("durable_object.ts"), brokers, "ts", "durable_object"),
  },
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

  /** Bundles the worker, serves it and posts to it, one request after the other and several at once. */
  async worker(file, brokers, _language, name = "worker") {
    const program = runtimeBinary("workerd");
    if (program === undefined) return "workerd was not found";
    await bundle(file, join(dir, `${name}.js`));
    const config = await readFile(join(root, "examples", `${name}.capnp`), "utf8");
    await writeFile(
      join(dir, `${name}.capnp`),
      config.replace("../.cache/", "").replace("127.0.0.1:9092", brokers),
    );
    const port = await freePort();
    const address = `127.0.0.1:${port}`;
    const server = startProgram([program, "serve", join(dir, `${name}.capnp`), `--socket-addr=http=${address}`]);
    const deliver = async (value) => {
      const response = await post(`http://${address}/`, value, server);
      const body = await response.text();
      assert.equal(response.status, 200, body);
      assert.equal(JSON.parse(body).delivery, "acked");
    };
    try {
      for (const value of ["1", "2", "3"]) await deliver(value);
      await Promise.all(["4", "5", "6", "7", "8"].map(deliver));
    } finally {
      await server.stop();
    }
  },
};

async function runBunServer(brokers) {
  const program = findProgram("bun");
  if (program === undefined) return "Bun was not found";
  await runServer([program, "run", example("bun.ts")], brokers);
}

async function runDenoServer(brokers) {
  const program = findProgram("deno");
  if (program === undefined) return "Deno was not found";
  const flags = ["--no-prompt", "--no-lock", "--config", join(root, "deno.json"), "--allow-net", "--allow-env"];
  await runServer([program, "run", ...flags, example("deno_server.ts")], brokers);
}

async function runServer(command, brokers) {
  const server = startProgram(command, { env: { KAFKA_BROKERS: brokers, PORT: "0" } });
  try {
    const url = await server.line(/^Listening on (http\S+)$/m);
    const responses = await Promise.all(["1", "2", "3"].map((key) => post(`${url}${key}`, "hello", server)));
    for (const response of responses) assert.equal((await response.json()).delivery, "acked");
  } finally {
    assert.equal(await server.stop(), 0, "the server did not end well");
  }
}

/** Calls the handler as often as Lambda would, and lets the process end by itself. */
async function runLambda(brokers) {
  const program = runtimeBinary("node24") ?? runtimeBinary("node22");
  if (program === undefined) return "no Node that runs TypeScript was found";
  const file = join(dir, "lambda.mjs");
  await writeFile(
    file,
    `import assert from "node:assert/strict";
import { handler } from ${JSON.stringify(example("lambda.ts"))};
for (const call of [1, 2, 3]) {
  const Records = ["a", "b"].map((name) => ({ messageId: name + call, body: "hello" }));
  assert.deepEqual(await handler({ Records }), { batchItemFailures: [] });
}
const poison = { messageId: "poison", body: undefined };
assert.deepEqual(await handler({ Records: [poison] }), { batchItemFailures: [{ itemIdentifier: "poison" }] });
`,
  );
  await runners.node(file, brokers, "ts");
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
  const input = stdin === undefined ? undefined : await readFile(stdin);
  const { code, output } = await runProgram([program, ...args], { env, input, timeoutMs: 60_000 });
  assert.equal(code, 0, `exit code ${code}\n${output}`);
}

await runByHand(import.meta.url, runReadme);
