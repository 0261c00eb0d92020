/**
 * Runs the code in README.md and docs/, and the examples, each on the runtime that it is for, against `sluice broker`;
 * and looks whether the tests, commands and pages that they name are there.
 *
 *     node test/programs/readme.mjs [part of a name]
 *
 * `snippets.mjs` says how a block tells what runs it.
 */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { build } from "../../scripts/build.mjs";
import { readRecords, startBroker } from "../../scripts/lib/broker_process.mjs";
import { startProgram } from "../../scripts/lib/program.mjs";
import { findProgram } from "../../scripts/lib/runtimes.mjs";
import { runByHand, Tally } from "../../scripts/lib/tally.mjs";
import { listFiles, root } from "../../scripts/lib/tools.mjs";
import { blocksOf, dir, pages, post, runners, snippets, topicsOfPages } from "./snippets.mjs";

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
  const broker = await startBroker({ topics: [...topics, ...await topicsOfPages()] });
  const count = async (topic) => topic === undefined ? 0 : (await readRecords(broker.address, topic)).length;
  const runPiece = (piece) =>
    tally.run(piece.name, async () => {
      const before = await count(piece.topic);
      const reason = await piece.run(broker.address);
      if (reason !== undefined) return reason;
      const delivered = await count(piece.topic) - before;
      if (piece.topic !== undefined) assert.ok(delivered > 0, `no record reached the topic "${piece.topic}"`);
    });
  try {
    const all = [
      promises,
      deliveryTests,
      commands,
      links,
      whereabouts,
      contents,
      lengths,
      ...await snippets(),
      ...examples,
    ];
    const left = all.filter(({ name }) => name.includes(filter));
    assert.ok(left.length > 0, `nothing is called "${filter}"`);
    await Promise.all(Array.from({ length: Math.min(3, availableParallelism()) }, async () => {
      for (let piece = left.shift(); piece !== undefined; piece = left.shift()) await runPiece(piece);
    }));
  } finally {
    await broker.stop();
    await rm(dir, { recursive: true, force: true });
  }
  return tally.result();
}

/** @typedef {import("./snippets.mjs").Piece} Piece */

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
    const files = [...await pages(), ...await listFiles("docs", (path) => path.endsWith(".mjs"))];
    for (const folder of [".", "scripts", "test/interop", "test/programs"]) {
      const names = await readdir(join(root, folder));
      files.push(...names.filter((name) => /\.(md|mjs)$/.test(name)).map((name) => join(folder, name)));
    }
    for (const file of files) {
      const text = await readFile(join(root, file), "utf8");
      for (const [, script] of text.matchAll(/npm run ([\w:-]+)/g)) named.set(script, file);
    }
    assert.ok(named.size >= 5, `${named.size} commands were found`);
    for (const [script, where] of named) assert.ok(script in scripts, `npm run ${script}, named in ${where}`);
  },
};

/**
 * Each link to a file leads to one, and each link to a heading to a heading.
 *
 * @type {Piece}
 */
const links = {
  name: "links in README.md and docs",
  async run() {
    const broken = [];
    for (const page of await pages()) {
      const text = withoutCode(await readFile(join(root, page), "utf8"));
      for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^\w+:/.test(target)) continue;
        const [path, heading] = target.split("#");
        const file = path === "" ? join(root, page) : join(root, dirname(page), path);
        if (!existsSync(file)) broken.push(`${page}: ${target}`);
        else if (heading !== undefined && !(await headingsOf(file)).has(heading)) broken.push(`${page}: ${target}`);
      }
    }
    assert.deepEqual(broken, []);
  },
};

/**
 * Each row of docs/where.md leads to a section with code that is run.
 *
 * @type {Piece}
 */
const whereabouts = {
  name: "docs/where.md leads to code that is run",
  async run() {
    const rows = (await readFile(join(root, "docs/where.md"), "utf8")).split("\n")
      .filter((line) => line.startsWith("|") && !/^\| (what others show|-)/.test(line));
    assert.ok(rows.length > 40, `${rows.length} rows, wanted more than 40`);
    const idle = [];
    for (const row of rows) {
      const targets = [...row.matchAll(/\]\(([^)]+)\)/g)].map(([, target]) => target);
      const isRun = await Promise.all(targets.map(async (target) => {
        const [path, heading] = target.split("#");
        const blocks = blocksOf(sectionOf(await readFile(join(root, "docs", path), "utf8"), heading));
        return blocks.some(({ language, words }) =>
          language === "sh" ? words.includes("run") : words.some((word) => Object.hasOwn(runners, word))
        );
      }));
      if (targets.length === 0 || isRun.includes(false)) idle.push(row.replaceAll(/ +/g, " "));
    }
    assert.deepEqual(idle, []);
  },
};

/** From a heading to the next one of its level or above. */
function sectionOf(text, anchor) {
  let level = Infinity;
  let isCode = false;
  const lines = [];
  for (const line of text.split("\n")) {
    if (line.startsWith("```")) isCode = !isCode;
    const [, marks, heading] = isCode ? [] : /^(#+) (.*)$/.exec(line) ?? [];
    if (marks !== undefined && level !== Infinity && marks.length <= level) break;
    if (marks !== undefined && anchorOf(heading) === anchor) level = marks.length;
    if (level !== Infinity) lines.push(line);
  }
  return lines.join("\n");
}

/**
 * Whoever looks for a page finds it in docs/README.md, but for those of the entry points, which `reference/api.md` lists.
 *
 * @type {Piece}
 */
const contents = {
  name: "every page is in docs/README.md",
  async run() {
    const text = await readFile(join(root, "docs/README.md"), "utf8");
    const listed = new Set([...text.matchAll(/\]\(([^)#\s]+)/g)].map(([, target]) => join("docs", target)));
    const missing = (await pages()).filter((page) =>
      page.startsWith("docs/") && !page.startsWith("docs/reference/api/") && page !== "docs/README.md" &&
      !listed.has(page)
    );
    assert.deepEqual(missing, []);
  },
};

const withoutCode = (text) => text.replace(/^```[^]*?^```$/gm, "").replace(/`[^`\n]*`/g, "");

/** As GitHub makes anchors of headings. */
function anchorOf(heading) {
  return heading.replace(/[`*]/g, "").trim().toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-");
}

async function headingsOf(file) {
  const text = (await readFile(file, "utf8")).replace(/^```[^]*?^```$/gm, "");
  const anchors = [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchorOf(heading));
  return new Set([...anchors, ...[...text.matchAll(/<a (?:id|name)="([^"]+)"/g)].map(([, id]) => id)]);
}

/**
 * What somebody new reads stays short.
 *
 * @type {Piece}
 */
const lengths = {
  name: "README.md is one page, and the code of a runtime's page fits a screen",
  async run() {
    const lines = async (page) => (await readFile(join(root, page), "utf8")).split("\n");
    assert.ok((await lines("README.md")).length <= 151, "README.md has more than 150 lines");
    for (const page of await pages()) {
      if (!page.startsWith("docs/runtimes/")) continue;
      const blocks = blocksOf((await lines(page)).join("\n")).filter(({ language }) => /^[jt]s$/.test(language));
      const code = blocks.reduce((sum, block) => sum + block.code.trimEnd().split("\n").length, 0);
      assert.ok(code > 0 && code <= 40, `${page} has ${code} lines of code, wanted 1 to 40`);
    }
  },
};

/**
 * Each sentence of the promises links to tests, and those are there.
 *
 * @type {Piece}
 */
const promises = {
  name: "docs/guarantees.md tests",
  async run() {
    const text = await readFile(join(root, "docs/guarantees.md"), "utf8");
    const sentences = text.split(/^- /m).slice(1);
    assert.ok(sentences.length >= 20, `there are ${sentences.length} promises, wanted at least 20`);
    for (const sentence of sentences) {
      const tests = [...sentence.matchAll(/\[([^\]]+)\]\(\.\.\/(test\/[^)]+)\)/g)];
      assert.ok(tests.length > 0, `no test is named for: ${sentence}`);
      for (const [, name, file] of tests) {
        const source = await readFile(join(root, file), "utf8");
        assert.ok(source.includes(`"${name.replace(/\s+/g, " ")}"`), `${file} has no test "${name}"`);
      }
    }
  },
};

/**
 * Each rule of delivery names tests, and those are there.
 *
 * @type {Piece}
 */
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

const example = (name) => join(root, "examples", name);

/** Runs an example as a block is run. @returns {(brokers: string) => Promise<string | void>} */
const as = (runner, name, ...more) => async (brokers) => {
  const { skipped } = await runners[runner](example(name), brokers, "ts", ...more);
  return skipped;
};

/** @type {Piece[]} */
const examples = [
  { name: "examples/node.ts", topic: "readings", run: as("node", "node.ts") },
  {
    name: "examples/deno.ts",
    topic: "lines",
    run: async (brokers) => as("deno", "deno.ts", await readFile(join(root, "README.md")))(brokers),
  },
  { name: "examples/bun.ts", topic: "posts", run: runBunServer },
  { name: "examples/deno_server.ts", topic: "notes", run: runDenoServer },
  { name: "examples/lambda.ts", topic: "events", run: runLambda },
  { name: "examples/worker.ts", topic: "hits", run: as("worker", "worker.ts") },
  {
    name: "examples/durable_object.ts",
    topic: "clicks",
    run: as("worker", "durable_object.ts", "durable_object"),
  },
];

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
  return (await runners.node(file, brokers, "ts")).skipped;
}

await runByHand(import.meta.url, runReadme);
