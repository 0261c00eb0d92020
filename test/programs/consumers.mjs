/**
 * The package as its users have it: compiled, bundled, required, imported and tested with what they use.
 *
 *     node test/programs/consumers.mjs [part of a name] [tarball]
 *
 * What is tried is the tarball, unpacked into `test/consumers/node_modules`; it is packed unless one is given.
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmod, cp, mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { install } from "../../scripts/lib/install.mjs";
import { startProgram } from "../../scripts/lib/program.mjs";
import { cacheDir, root, run, runtimeBinary } from "../../scripts/lib/tools.mjs";
import { runWorker, workerConditions } from "../../scripts/lib/worker.mjs";

const folder = join(root, "test/consumers");
const modules = join(folder, "node_modules");
const work = join(folder, ".work");

/**
 * Runs all that have the words in their name; resolves to `{ name, ok, output }` for each.
 *
 * @param {{ filter?: string, tarball?: string, log?: (line: string) => void }} [options]
 */
export async function runConsumers({ filter = "", tarball, log = () => {} } = {}) {
  await install("test/consumers", log);
  await unpack(tarball ?? await pack());
  await rm(work, { recursive: true, force: true });
  await mkdir(work, { recursive: true });
  const results = [];
  for (const [name, attempt] of Object.entries({ ...compilers(), ...programs, ...testers, ...bundlers, ...workers })) {
    if (!name.includes(filter)) continue;
    const dir = join(work, name.replaceAll(/\W+/g, "-"));
    await mkdir(dir, { recursive: true });
    const [ok, output] = await attempt(dir).then(() => [true, ""], (error) => [false, String(error.message)]);
    log(`${ok ? "✓" : "✗"} ${name}`);
    results.push({ name, ok, output });
  }
  await rm(work, { recursive: true, force: true });
  return results;
}

/** Packs the project; resolves to the path of the tarball. */
export async function pack(cwd = root) {
  const dir = join(cacheDir, `pack-${process.pid}`);
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true });
  await succeed("npm", ["pack", "--loglevel=error", "--pack-destination", dir], { cwd });
  return join(dir, (await readdir(dir))[0]);
}

async function unpack(tarball) {
  const target = join(modules, "@sluice/kafka");
  await rm(target, { recursive: true, force: true });
  await mkdir(target, { recursive: true });
  await succeed("tar", ["-xzf", tarball, "-C", target, "--strip-components=1"]);
}

async function succeed(command, args, options = {}) {
  const env = { ...process.env, NO_COLOR: "1", CI: "1", ...options.env };
  const { code, output } = await run(command, args, { cwd: folder, timeoutMs: 300_000, ...options, env });
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} ended with exit code ${code}\n${output.slice(-3000)}`);
  return output;
}

const bin = (name) => join(modules, name);

/** Every TypeScript with every way to resolve modules, with and without the DOM's types, and nothing skipped. */
function compilers() {
  const ways = [
    ["commonjs", "node10", "commonjs", ["es2020"]],
    ["es2022", "node10", "module", ["es2020"]],
    ["node16", "node16", "commonjs", ["es2020"]],
    ["node16", "node16", "module", ["es2022", "dom"]],
    ["nodenext", "nodenext", "module", ["es2020"]],
    ["esnext", "bundler", "module", ["es2022", "dom"]],
    ["esnext", "bundler", "commonjs", ["es2020"]],
  ];
  const found = {};
  for (const version of ["5.2", "5.9", "7"]) {
    for (const [module, moduleResolution, type, lib] of ways) {
      if (version === "7" && moduleResolution === "node10") continue; // it has none any more
      found[`TypeScript ${version}: module ${module}, ${moduleResolution}, type ${type}`] = async (dir) => {
        await write(dir, "package.json", { type });
        await cp(join(folder, "types.ts"), join(dir, "types.ts"));
        const compilerOptions = {
          module,
          moduleResolution,
          target: "es2022",
          lib,
          types: [],
          strict: true,
          exactOptionalPropertyTypes: true,
          skipLibCheck: false,
          noEmit: true,
        };
        await write(dir, "tsconfig.json", { compilerOptions, files: ["types.ts"] });
        await succeed(process.execPath, [bin(`typescript${version}/bin/tsc`), "-p", dir]);
      };
    }
  }
  found["TypeScript 5.9: for workerd, by its condition"] = async (dir) => {
    await write(dir, "package.json", { type: "module" });
    await cp(join(folder, "types.ts"), join(dir, "types.ts"));
    const compilerOptions = {
      ...{ module: "esnext", moduleResolution: "bundler", customConditions: workerConditions, target: "es2022" },
      ...{ lib: ["es2022"], types: [], strict: true, skipLibCheck: false, noEmit: true },
    };
    await write(dir, "tsconfig.json", { compilerOptions, files: ["types.ts"] });
    await succeed(process.execPath, [bin("typescript5.9/bin/tsc"), "-p", dir]);
  };
  for (const [version, types] of [["5.2", "DOM"], ["5.9", "DOM"], ["7", "DOM"], ["5.9", "Node"], ["7", "Node"]]) {
    found[`TypeScript ${version}: streams of the types of ${types}`] = async (dir) => {
      await write(dir, "package.json", { type: "module" });
      await cp(join(folder, "streams.ts"), join(dir, "streams.ts"));
      const where = types === "DOM"
        ? { lib: ["es2022", "dom", "dom.iterable"], types: [] }
        : { lib: ["es2022"], types: ["node"], typeRoots: [join(root, "node_modules/@types")], skipLibCheck: true };
      const compilerOptions = { module: "nodenext", target: "es2022", strict: true, noEmit: true, ...where };
      await write(dir, "tsconfig.json", { compilerOptions, files: ["streams.ts"] });
      await succeed(process.execPath, [bin(`typescript${version}/bin/tsc`), "-p", dir]);
    };
  }
  /** As Nest's template has it. */
  found["TypeScript 5.9: Nest's template"] = async (dir) => {
    await write(dir, "package.json", {});
    await cp(join(folder, "types.ts"), join(dir, "types.ts"));
    const compilerOptions = {
      module: "commonjs",
      declaration: true,
      removeComments: true,
      emitDecoratorMetadata: true,
      experimentalDecorators: true,
      allowSyntheticDefaultImports: true,
      target: "ES2023",
      sourceMap: true,
      outDir: "./out",
      baseUrl: "./",
      incremental: true,
      skipLibCheck: false,
      strictNullChecks: true,
      types: [],
    };
    await write(dir, "tsconfig.json", { compilerOptions, files: ["types.ts"] });
    await succeed(process.execPath, [bin("typescript5.9/bin/tsc"), "-p", dir]);
    const output = await succeed(process.execPath, ["-e", 'require("./out/types.js").go().then(console.log)'], {
      cwd: dir,
    });
    assert.match(output, /^0n$/m);
  };
  return found;
}

/** What both kinds of modules do: deliver a record with every codec, and know each other's classes. */
const check = `
  const assert = (truth, what) => { if (!truth) throw new Error(what); };
  async function deliver({ Producer, validateConfig }, { EmbeddedCluster }) {
    const codecs = ["gzip", "snappy", "lz4", "zstd"];
    const cluster = new EmbeddedCluster({ topics: Object.fromEntries(codecs.map((codec) => [codec, 1])) });
    for (const source of ["auto", "portable"]) {
      for (const codec of codecs) {
        const producer = new Producer({
          brokers: cluster.bootstrap, connect: cluster.sockets, compression: codec, codecs: source,
        });
        const value = "to be or not to be ".repeat(1000);
        await producer.send({ topic: codec, value });
        await producer.close();
        const [record] = await cluster.records(codec);
        assert(new TextDecoder().decode(record.value) === value, codec + " " + source);
      }
    }
    return "delivered";
  }
`;

const programs = {
  ...Object.fromEntries(["node20", "node22", "node24", "node26", "bun"].map((name) => [
    `${name}: require and import`,
    async (dir) => {
      await write(dir, "both.cjs", both);
      const program = runtimeBinary(name);
      if (program === undefined) return;
      assert.match(await succeed(program, ["both.cjs"], { cwd: dir }), /^delivered twice$/m);
    },
  ])),
  "Deno: require and import": async (dir) => {
    await write(dir, "both.cjs", both);
    // Deno 2.9 keeps compiled code of CommonJS by its path, also when another package has come to lie there.
    const args = ["run", "--no-code-cache", "--no-prompt", "--no-lock", "--node-modules-dir=manual", "-A", "both.cjs"];
    assert.match(await succeed(runtimeBinary("deno"), args, { cwd: dir }), /^delivered twice$/m);
  },
  "Node: npx sluice": (dir) => commandLine(dir, ["npx", "--no-install", "sluice"], [process.execPath, program]),
  "Bun: bunx @sluice/kafka": (dir) => {
    const bun = runtimeBinary("bun");
    return commandLine(dir, [bun, "x", "--bun", "@sluice/kafka"], [bun, program]);
  },
  "Deno: npm:@sluice/kafka": (dir) => commandLine(dir, denoRun("npm:@sluice/kafka")),
  "Deno: npm:@sluice/kafka/cli": (dir) => commandLine(dir, denoRun("npm:@sluice/kafka/cli")),
  "a start on Node loads nothing of Node that it doesn't need": async (dir) => {
    const code = `const before = new Set(process.moduleLoadList);
const { Producer } = await import("@sluice/kafka");
new Producer({ brokers: "127.0.0.1:1" });
console.log(process.moduleLoadList.filter((name) => !before.has(name)).join("\\n"));
process.exit();`;
    await write(dir, "start.mjs", code);
    const loaded = await succeed(runtimeBinary("node24"), ["start.mjs"], { cwd: dir });
    assert.match(loaded, /^NativeModule net$/m);
    assert.doesNotMatch(loaded, /navigator|perf_hooks|crypto|zlib|tls|http|worker|dns$/m);
  },
  "the stack of an error names what it leads through": async (dir) => {
    const code = `import { Producer } from "@sluice/kafka";
try { new Producer({ brokers: 7 }); } catch (error) { console.log(error.stack); }`;
    await write(dir, "stack.mjs", code);
    assert.match(await succeed(process.execPath, ["stack.mjs"], { cwd: dir }), /dist\/esm\/lib\/producer\.js:\d+/);
  },
};

const both = `${check}
const entries = require(require.resolve("@sluice/kafka").replace(/dist.*$/, "package.json")).exports;
const paths = Object.keys(entries).filter((path) => path !== "./package.json").map((path) => path.slice(1));
if (paths.length < 16) throw new Error("only " + paths);
(async () => {
  for (const path of paths) {
    const [required, imported] = [require("@sluice/kafka" + path), await import("@sluice/kafka" + path)];
    const names = (module) => Object.keys(module).filter((key) => key !== "module.exports" && key !== "default").sort().join();
    assert(names(imported) === names(required), "the names of " + path);
    for (const [name, mine] of Object.entries(required)) {
      const theirs = imported[name];
      assert(theirs.name === mine.name, path + " " + name + " is called " + theirs.name);
      if (!/^class\\b/.test(String(mine))) continue;
      assert(mine.name === name, path + " " + name + " is called " + mine.name);
      assert(Object.create(mine.prototype) instanceof theirs, path + " " + name + " is another class");
      assert(Object.create(theirs.prototype) instanceof mine, path + " " + name + " is another class");
      assert(!({} instanceof mine) && !(null instanceof mine), path + " " + name + " is everything");
    }
  }
  const { KafkaError, TimeoutError, ConfigError, AbortError } = require("@sluice/kafka");
  const sluice = await import("@sluice/kafka");
  const late = new sluice.TimeoutError("late");
  assert(late instanceof TimeoutError && late instanceof KafkaError && late instanceof Error, "a TimeoutError is none");
  assert(!(late instanceof ConfigError) && !(late instanceof AbortError), "a TimeoutError is too much");
  class Own extends KafkaError {}
  assert(!(late instanceof Own) && new Own("own") instanceof sluice.KafkaError && new Own("own") instanceof Own, "Own");
  await deliver(require("@sluice/kafka"), await import("@sluice/kafka/testing"));
  await deliver(await import("@sluice/kafka"), require("@sluice/kafka/testing"));
  console.log("delivered twice");
})().catch((error) => { console.error(error); process.exit(1); });
`;

/** What a package manager makes of the package's `bin`. */
const program = "node_modules/.bin/sluice";

function denoRun(name) {
  return [runtimeBinary("deno"), "run", "--no-prompt", "--no-lock", "-A", name];
}

/**
 * A broker, records into it and out of it by a command; `lasting` is how the broker is started where the command is not
 * the program itself, and would leave it behind.
 *
 * @param {string} dir
 * @param {string[]} command
 * @param {string[]} [lasting]
 */
async function commandLine(dir, command, lasting = command) {
  const [first, ...words] = command;
  await installInto(dir);
  const ask = (args, input = "") => {
    const { stdout, stderr, status } = spawnSync(first, [...words, ...args], {
      ...{ cwd: dir, input, encoding: "utf8", timeout: 60_000, env: { ...process.env, NO_COLOR: "1" } },
    });
    assert.equal(status, 0, `${args.join(" ")}: ${stderr}`);
    return stdout;
  };
  assert.match(ask(["--version"]), /^\d+\.\d+\.\d+\n$/);
  const broker = startProgram([...lasting, "broker", "--port", "0", "--topic", "orders:1"], { cwd: dir });
  try {
    const brokers = await broker.line(/^Listening on (\S+)\n/m);
    ask(["produce", "-b", brokers, "-t", "orders", "-K", ":"], "o-1:hello\no-2:world\n");
    const tail = ["tail", "-b", brokers, "orders", "--from", "beginning", "--exit", "--format", "%o %k %s\\n"];
    assert.equal(ask(tail), "0 o-1 hello\n1 o-2 world\n");
  } finally {
    await broker.stop();
  }
}

/** As a package manager leaves it: packages of its own, and a program for each `bin`. */
async function installInto(dir) {
  await write(dir, "package.json", { type: "module", dependencies: { "@sluice/kafka": "*" } });
  for (const name of ["@sluice/kafka", "fflate"]) {
    await cp(join(modules, name), join(dir, "node_modules", name), { recursive: true });
  }
  const { bin: programs } = JSON.parse(await readFile(join(dir, "node_modules/@sluice/kafka/package.json"), "utf8"));
  await mkdir(join(dir, "node_modules/.bin"));
  for (const [name, path] of Object.entries(programs)) {
    await chmod(join(dir, "node_modules/@sluice/kafka", path), 0o755);
    await symlink(join("../@sluice/kafka", path), join(dir, "node_modules/.bin", name));
  }
}

/** What is the same for each runner of tests in TypeScript: in memory and on a port, with `await using`. */
const ownTests = (test, equal) => `
import { Producer } from "@sluice/kafka";
import { EmbeddedCluster } from "@sluice/kafka/testing";

${test}("in memory", async () => {
  await using cluster = new EmbeddedCluster({ topics: { orders: 3 } });
  await using producer = new Producer({ brokers: cluster.bootstrap, connect: cluster.sockets });
  await producer.send({ topic: "orders", key: "o-1", value: "hello" });
  const [record] = await cluster.records("orders", { count: 1 });
  ${equal("record?.text()", '"hello"')};
});

${test}("on a port", async () => {
  await using cluster = new EmbeddedCluster({ topics: { orders: 3 } });
  const { address } = await cluster.listen();
  await using producer = new Producer({ brokers: address });
  await producer.send({ topic: "orders", value: JSON.stringify({ cents: 5 }) });
  const [record] = await cluster.records("orders", { count: 1 });
  ${equal("JSON.stringify(record?.json())", `'{"cents":5}'`)};
});
`;

const testers = {
  "bun test: its defaults": async (dir) => {
    await installInto(dir);
    const code = ownTests("test", (is, wanted) => `expect(${is}).toBe(${wanted})`);
    await write(dir, "orders.test.ts", `import { expect, test } from "bun:test";${code}`);
    assert.match(await succeed(runtimeBinary("bun"), ["test"], { cwd: dir }), /\b2 pass\b/);
  },
  "deno test: its defaults, which check types, count what is left open, and grant the network alone": async (dir) => {
    await installInto(dir);
    const code = ownTests("Deno.test", (is, wanted) => `if (${is} !== ${wanted}) throw new Error(String(${is}))`);
    await write(dir, "orders_test.ts", code);
    const args = ["test", "--no-prompt", "--no-lock", "--allow-net"];
    assert.match(await succeed(runtimeBinary("deno"), args, { cwd: dir }), /\b2 passed\b/);
  },
  "Jest: its defaults, CommonJS": async (dir) => {
    await write(dir, "package.json", {});
    await write(
      dir,
      "sluice.test.js",
      `${check}
const sluice = require("@sluice/kafka");
const testing = require("@sluice/kafka/testing");
test("delivers", async () => {
  expect(await deliver(sluice, testing)).toBe("delivered");
  expect(new sluice.TimeoutError("late")).toBeInstanceOf(sluice.KafkaError);
});
`,
    );
    await succeed(process.execPath, [bin("jest/bin/jest.js"), "--rootDir", dir], { cwd: dir });
  },
  "Vitest: its defaults": async (dir) => {
    await write(dir, "package.json", { type: "module" });
    await write(
      dir,
      "sluice.test.js",
      `import { expect, test } from "vitest";
import * as sluice from "@sluice/kafka";
import * as testing from "@sluice/kafka/testing";
${check}
test("delivers", async () => expect(await deliver(sluice, testing)).toBe("delivered"));
`,
    );
    await succeed(process.execPath, [bin("vitest/vitest.mjs"), "run", "--root", dir], { cwd: dir });
  },
};

const bundled = `import * as sluice from "@sluice/kafka";
import * as testing from "@sluice/kafka/testing";
${check}
deliver(sluice, testing).then(console.log);
`;

/** Each bundles a program that uses every codec, without a warning, and the oldest Node runs it. */
const bundlers = {
  "esbuild: one file for Node": (dir) =>
    bundle(
      dir,
      `import { build } from "esbuild";
for (const [format, ext] of [["esm", "mjs"], ["cjs", "cjs"]]) {
  const { warnings } = await build({ entryPoints: ["program.mjs"], bundle: true, platform: "node", format, outfile: "out." + ext });
  if (warnings.length > 0) throw new Error(JSON.stringify(warnings));
}`,
      ["out.mjs", "out.cjs"],
    ),
  "webpack: its defaults for Node": (dir) =>
    bundle(
      dir,
      `import { createRequire } from "node:module";
const webpack = createRequire(import.meta.url)("webpack");
const stats = await new Promise((resolve, reject) => webpack({
  context: import.meta.dirname, mode: "production", target: "node", entry: "./program.mjs",
  output: { path: import.meta.dirname + "/out", filename: "out.cjs" },
}, (error, stats) => error ? reject(error) : resolve(stats)));
const { errors, warnings } = stats.toJson({ all: false, errors: true, warnings: true });
if (errors.length + warnings.length > 0) throw new Error(JSON.stringify([...errors, ...warnings]));`,
      ["out/out.cjs"],
    ),
  "rollup: no plugin but node-resolve": (dir) =>
    bundle(
      dir,
      `import { rollup } from "rollup";
import resolve from "@rollup/plugin-node-resolve";
const bundle = await rollup({
  input: "program.mjs", plugins: [resolve()], external: [/^node:/], onwarn(warning) { throw new Error(warning.message); },
});
await bundle.write({ dir: "out", format: "es", entryFileNames: "out.mjs", chunkFileNames: "[name].mjs" });`,
      ["out/out.mjs"],
    ),
  "Vite: a library for servers": (dir) =>
    bundle(
      dir,
      `import { build } from "vite";
const lines = [];
await build({
  root: import.meta.dirname, configFile: false, logLevel: "warn",
  customLogger: { info() {}, clearScreen() {}, hasWarned: false, hasErrorLogged: () => false,
    warn: (line) => lines.push(line), warnOnce: (line) => lines.push(line), error: (line) => lines.push(line) },
  ssr: { noExternal: true },
  build: { ssr: "program.mjs", outDir: "out", rollupOptions: { output: { entryFileNames: "out.mjs" } } },
});
if (lines.length > 0) throw new Error(lines.join("\\n"));`,
      ["out/out.mjs"],
    ),
};

/** What workerd doesn't need: sockets of others, threads of zlib, and kernels for where there is no WebAssembly. */
const ofOthers = ["nodeSockets", "denoSockets", "bunSockets", "function zlibThreads(", "function compressLz4Block("];

/** Bundles for workerd are smaller than those for all, and workerd runs them. */
const workers = {
  "esbuild: the condition workerd leaves out what others need": (dir) =>
    bundlesForWorkers(
      dir,
      (entry, outfile, conditions) =>
        `import { build } from "esbuild";
const { warnings } = await build({
  entryPoints: ["${entry}"], bundle: true, format: "esm", platform: "browser", outfile: "${outfile}",
  conditions: ${JSON.stringify(conditions)}, external: ["cloudflare:*", "node:*"],
});
if (warnings.length > 0) throw new Error(JSON.stringify(warnings));`,
    ),
  "Vite: the condition workerd leaves out what others need": (dir) =>
    bundlesForWorkers(
      dir,
      (entry, outfile, conditions) =>
        `import { build } from "vite";
await build({
  root: import.meta.dirname, configFile: false, logLevel: "warn",
  ssr: { target: "webworker", noExternal: true, resolve: { conditions: ${JSON.stringify([...conditions, "module"])} } },
  build: {
    ssr: "${entry}", outDir: ".", emptyOutDir: false, minify: false,
    rollupOptions: { external: [/^node:/, /^cloudflare:/], output: { entryFileNames: "${outfile}", codeSplitting: false } },
  },
});`,
    ),
};

async function bundlesForWorkers(dir, builderOf) {
  await write(dir, "package.json", { type: "module" });
  await write(dir, "small.mjs", 'import { Producer } from "@sluice/kafka";\nexport default Producer;\n');
  const delivers = bundled.replace(
    /^deliver\(.*$/m,
    "export default { async test() { console.log(await deliver(sluice, testing)); } };",
  );
  await write(dir, "delivers.mjs", delivers.replace('"lz4", "zstd"', '"lz4"'));
  for (const conditions of [workerConditions, workerConditions.slice(1)]) {
    await write(dir, "build.mjs", builderOf("small.mjs", "small.js", conditions));
    await succeed(process.execPath, ["build.mjs"], { cwd: dir });
    const code = await readFile(join(dir, "small.js"), "utf8");
    const found = ofOthers.filter((words) => code.includes(words));
    assert.deepEqual(found, conditions.includes("workerd") ? [] : ofOthers, `with ${conditions}`);
  }
  await write(dir, "build.mjs", builderOf("delivers.mjs", "delivers.js", workerConditions));
  await succeed(process.execPath, ["build.mjs"], { cwd: dir });
  const binary = runtimeBinary("workerd");
  if (binary === undefined) return;
  const { code, output } = await runWorker(binary, dir, "delivers.js", [], { cwd: dir, timeoutMs: 60_000 });
  assert.equal(code, 0, output);
  assert.match(output, /^delivered$/m);
}

/** What is made must run where there is no package beside it. */
async function bundle(dir, builder, files) {
  await write(dir, "package.json", { type: "module" });
  await write(dir, "program.mjs", bundled);
  await write(dir, "build.mjs", builder);
  await succeed(process.execPath, ["build.mjs"], { cwd: dir });
  const apart = join(cacheDir, `apart-${process.pid}`);
  try {
    for (const file of files) {
      await rm(apart, { recursive: true, force: true });
      await cp(join(dir, file, ".."), apart, { recursive: true, filter: (path) => !path.endsWith("package.json") });
      const program = runtimeBinary("node20") ?? process.execPath;
      const output = await succeed(program, [join(apart, file.split("/").at(-1))], { cwd: apart });
      assert.match(output, /^delivered$/m, file);
    }
  } finally {
    await rm(apart, { recursive: true, force: true });
  }
}

async function write(dir, name, contents) {
  await writeFile(join(dir, name), typeof contents === "string" ? contents : JSON.stringify(contents));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const results = await runConsumers({
    filter: process.argv[2],
    tarball: process.argv[3],
    log: (line) => console.log(line),
  });
  const failed = results.filter(({ ok }) => !ok);
  for (const { name, output } of failed) console.log(`\n${name}\n${output.replace(/^/gm, "    ")}`);
  console.log(`${results.length - failed.length} passed, ${failed.length} failed`);
  if (failed.length > 0) process.exitCode = 1;
}
