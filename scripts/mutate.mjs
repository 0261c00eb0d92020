/**
 * Breaks lines of `src` by chance, one at a time, and runs the tests that reach them, nearest and shortest first: each
 * mutant must make one of them fail.
 *
 *     npm run mutate [-- --seed 1] [--count 200] [--minutes 60] [--only producer/batch] [--skip 20] [--list] [--verbose]
 *
 * The seed chooses the mutants; the same sources and the same seed give the same ones. They are made in a copy of the
 * repository under `.cache`, never in place. A mutant that is no change at all is listed in `mutate_equivalents.json`
 * with the reason. Exit code 1 when another one survives. When the time is over, the rest is left out and told.
 */

import { spawn } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { flagsOf } from "./lib/flags.mjs";
import { startServers } from "./lib/servers.mjs";
import { root } from "./lib/tools.mjs";

/** The command line and what tests are made of are tried otherwise: by programs, and by the simulator's own mutants. */
const leftOut = ["cli", "testing"];
/** A mutant that never ends is caught by that; on a busy machine tests take some minutes. */
const secondsOfOneRun = 600;
/** One that stands still, or runs in circles, is caught by that, and five times what its slowest file took before. */
const secondsOfSilence = 30;
/**
 * What is looked for in code, and what it becomes.
 *
 * @type {[RegExp, (found: string) => string][]}
 */
const swaps = [
  [/(?<![=!])===/g, () => "!=="],
  [/!==/g, () => "==="],
  [/ (<|>) (?=[\w#(-])/g, (found) => `${found.trimEnd()}= `],
  [/ (<|>)= /g, (found) => ` ${found[1]} `],
  [/ && /g, () => " || "],
  [/ \|\| /g, () => " && "],
  [/\b(true|false)\b(?=[;,)])/g, (found) => found === "true" ? "false" : "true"],
  [/Math\.(min|max)\(/g, (found) => found === "Math.min(" ? "Math.max(" : "Math.min("],
  [/ (\+|-) (?=1\b)/g, (found) => found === " + " ? " - " : " + "],
];

const { values } = flagsOf(import.meta.url, {
  options: {
    seed: { type: "string", default: "1" },
    count: { type: "string", default: "200" },
    minutes: { type: "string", default: "60" },
    only: { type: "string", default: "" },
    skip: { type: "string", default: "0" },
    list: { type: "boolean", default: false },
    verbose: { type: "boolean", default: false },
  },
});

/** Adapters that only their own runtimes load; the tests run on Node. */
const ofOthers = ["bun.ts", "deno.ts", "workerd.ts"];
const tookTooLong = "they took too long";
/** The test that failed last. */
let lastFailure = tookTooLong;
/**
 * What each file of tests reaches, by its path: how long it takes, and of each source what of it has run.
 *
 * @type {Map<string, { seconds: number, reached: Map<string, Uint8Array> }>}
 */
const reaches = new Map();
const equivalents = JSON.parse(readFileSync(new URL("./mutate_equivalents.json", import.meta.url), "utf8"));
const node = join(root, "test", "runtimes", "node_modules", "node24", "bin", "node");
const mutants = chosen(candidates(), Number(values.seed)).slice(0, Number(values.count)).slice(Number(values.skip));
if (values.list) { for (const mutant of mutants) console.log(describe(mutant)); }
else process.exitCode = await run();

/** Every change that can be made, in the order of files and lines. */
function candidates() {
  return filesIn("src", ".ts").filter((path) =>
    path.includes(values.only) && !path.endsWith("_module.ts") && !ofOthers.includes(path.split(sep).at(-1))
  ).flatMap((path) => changesOf(path, readFileSync(join(root, path), "utf8")));
}

/** Files below a folder, but for what is left out, as paths from the root. */
function filesIn(folder, ending) {
  return readdirSync(join(root, folder), { encoding: "utf8", recursive: true })
    .filter((name) => name.endsWith(ending) && !leftOut.includes(name.split(sep)[0])).sort()
    .map((name) => join(folder, name));
}

/** What can be written in place of what, on one line. */
function changesOf(file, source) {
  const changes = [];
  let start = 0;
  source.split("\n").forEach((text, index) => {
    const offset = start;
    start += text.length + 1;
    if (/^\s*(\*|\/\/|\/\*|import |export type|export interface|readonly|type |\||@)/.test(text)) return;
    const code = text.replace(/"[^"]*"|`[^`]*`|\/\/.*$/g, (quoted) => " ".repeat(quoted.length));
    const add = (at, length, replacement) => {
      const changed = text.slice(0, at) + replacement + text.slice(at + length);
      if (changed !== text) changes.push({ file, line: index + 1, offset: offset + text.search(/\S/), text, changed });
    };
    for (const [pattern, replacement] of swaps) {
      for (const match of code.matchAll(pattern)) add(match.index, match[0].length, replacement(match[0]));
    }
    // A call for its effect, or an assignment, is left out.
    if (/^\s+(void )?(this|[a-z]\w*)[\w.#?!()]*\(.*\);$/.test(code) && balanced(code)) add(0, text.length, "");
    if (/^\s+(this|[a-z]\w*)[\w.#!]* (=|\+=|-=) [^=].*;$/.test(code) && balanced(code)) add(0, text.length, "");
    if (/^\s+if \(.*\) (return|continue|break)\b.*;$/.test(code) && balanced(code)) add(0, text.length, "");
  });
  return changes;
}

function balanced(code) {
  let depth = 0;
  for (const character of code) {
    if ("([{".includes(character)) depth++;
    if (")]}".includes(character) && --depth < 0) return false;
  }
  return depth === 0;
}

/** All of them in the order of a seed. */
function chosen(all, seed) {
  let state = seed;
  const random = () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
  for (let skipped = 0; skipped < 10; skipped++) random();
  return all.map((mutant) => [random(), mutant]).sort(([a], [b]) => a - b).map(([, mutant]) => mutant);
}

/** The files of tests that reach a mutant: its own, those of its folder, all others; the shortest first. */
function testsOf({ file, offset }) {
  const [, ...inside] = file.split(sep);
  const own = join("test", inside.join(sep).replace(/\.ts$/, "_test.ts"));
  const groups = [[], [], []];
  const tests = [...reaches].filter(([, { reached }]) => reached.get(file)?.[offset] === 1)
    .sort(([, a], [, b]) => a.seconds - b.seconds);
  for (const [test] of tests) {
    groups[test === own ? 0 : test.split(sep)[1] === inside[0] ? 1 : 2].push(test);
  }
  return groups.filter((group) => group.length > 0);
}

async function run() {
  const copy = join(root, ".cache", `mutate-${process.pid}`);
  mkdirSync(copy, { recursive: true });
  const files = readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isFile()).map(({ name }) => name);
  for (const name of ["src", "test", ...files]) {
    cpSync(join(root, name), join(copy, name), {
      recursive: true,
      filter: (path) => !path.split(sep).includes("node_modules"),
    });
  }
  symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
  symlinkSync(join(root, "test", "runtimes", "node_modules"), join(copy, "test", "runtimes", "node_modules"));
  // The tests of src/runtime dial them.
  const servers = await startServers();
  process.env["SLUICE_TEST_SERVERS"] = JSON.stringify(servers.ports);
  const endMs = performance.now() + Number(values.minutes) * 60_000;
  let isSound = true;
  const count = { killed: 0, equivalent: 0, survived: 0, left: 0 };
  try {
    isSound = await checkTests(copy);
    for (const mutant of mutants) {
      const known = equivalents.find(({ file, text, changed }) =>
        file === mutant.file && text === mutant.text.trim() && changed === mutant.changed.trim()
      );
      if (known !== undefined) count.equivalent++;
      else if (performance.now() > endMs) count.left++;
      else if (await isKilled(copy, mutant)) {
        count.killed++;
        if (values.verbose) console.log(`${count.killed} ${mutant.file}:${mutant.line}: ${lastFailure}`);
        lastFailure = tookTooLong;
      } else {
        count.survived++;
        console.log(`✗ ${describe(mutant)}`);
      }
    }
  } finally {
    await servers.stop();
    rmSync(copy, { recursive: true, force: true });
  }
  const { killed, equivalent, survived, left } = count;
  console.log(`${killed} killed, ${equivalent} equivalent, ${survived} survived, ${left} left out`);
  return isSound && survived === 0 ? 0 : 1;
}

/** A test that fails by itself would kill every mutant. What runs meanwhile is what the test can find broken. */
async function checkTests(copy) {
  let isSound = true;
  const folder = join(copy, "coverage");
  for (const test of filesIn("test", "_test.ts")) {
    const startMs = performance.now();
    if (!await passes(copy, [test], { NODE_V8_COVERAGE: folder })) {
      console.log(`✗ ${test} fails without any mutant, and is left out: ${lastFailure}`);
      isSound = false;
      continue;
    }
    const seconds = (performance.now() - startMs) / 1_000;
    const reached = new Map();
    for (const name of readdirSync(folder)) {
      for (const { url, functions } of JSON.parse(readFileSync(join(folder, name), "utf8")).result) {
        const file = url.startsWith("file:") ? relative(copy, fileURLToPath(url)) : "";
        if (file.startsWith(`src${sep}`)) reached.set(file, ran(functions, reached.get(file)));
      }
    }
    rmSync(folder, { recursive: true });
    reaches.set(test, { seconds, reached });
    if (values.verbose) console.log(`${test}: ${seconds.toFixed(1)} s`);
  }
  return isSound;
}

/**
 * A byte for each character of a source, 1 where it has run: types are blanked out, so the places are the same.
 * What another thread of the test has run counts too.
 */
function ran(functions, elsewhere) {
  const ranges = functions.flatMap((one) => one.ranges).sort((a, b) =>
    a.startOffset - b.startOffset || b.endOffset - a.endOffset
  );
  const bytes = new Uint8Array(Math.max(...ranges.map(({ endOffset }) => endOffset)));
  for (const { startOffset, endOffset, count } of ranges) bytes.fill(count > 0 ? 1 : 0, startOffset, endOffset);
  return elsewhere === undefined ? bytes : bytes.map((one, at) => one | elsewhere[at]);
}

async function isKilled(copy, mutant) {
  const { file, line, changed } = mutant;
  const path = join(copy, file);
  const source = readFileSync(path, "utf8");
  const lines = source.split("\n");
  lines[line - 1] = changed;
  writeFileSync(path, lines.join("\n"));
  try {
    for (const tests of testsOf(mutant)) if (!await passes(copy, tests)) return true;
    return false;
  } finally {
    writeFileSync(path, source);
  }
}

/**
 * Whether all tests pass in time; the first that fails ends the run.
 *
 * @param {string} cwd
 * @param {string[]} tests
 * @param {Record<string, string>} env
 * @returns {Promise<boolean>}
 */
function passes(cwd, tests, env = { NODE_COMPILE_CACHE: join(cwd, "compiled") }) {
  const slowest = Math.max(...tests.map((test) => reaches.get(test)?.seconds ?? secondsOfOneRun));
  return new Promise((resolve) => {
    // In one process: to load the sources anew takes longer than the tests of most files.
    const child = spawn(node, ["--test", "--test-isolation=none", "--test-force-exit", ...tests], {
      cwd,
      env: { ...process.env, ...env },
      detached: true,
      stdio: ["ignore", "pipe", "ignore"],
    });
    let isOver = false;
    const end = (passed) => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      clearTimeout(silence);
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch {
        // It has ended by itself.
      }
      resolve(passed);
    };
    const timer = setTimeout(() => end(false), secondsOfOneRun * 1_000);
    const listen = () => setTimeout(() => end(false), (secondsOfSilence + 5 * slowest) * 1_000);
    let silence = listen();
    child.stdout.on("data", (chunk) => {
      if (isOver) return;
      clearTimeout(silence);
      silence = listen();
      lastFailure = /^(?:✖|not ok) .*/m.exec(chunk.toString())?.[0] ?? lastFailure;
      if (/^(✖|not ok) /m.test(chunk.toString())) end(false);
    });
    child.on("exit", (code) => end(code === 0));
  });
}

function describe({ file, line, text, changed }) {
  return `${file}:${line}\n    ${text.trim()}\n    ${changed.trim() || "(left out)"}`;
}
