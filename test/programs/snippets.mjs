/**
 * The code in README.md and docs/, and how each block is run.
 *
 * A fenced block of `js` or `ts` names what runs it behind the language: `node`, `deno`, `bun`, `worker`, `test` (Node's
 * own test runner), `jest`, `vitest`, `bun-test`, `deno-test`, `lambda` or `next`; `ignore` alone is for what only shows
 * something, and behind one of these for what Deno can't check; `cjs` makes CommonJS of it. A
 * block `sh run` goes through a shell in which `npx @sluice/kafka` is the one that is built here. A block `text prints`
 * right behind a block is what that one prints, where `…` stands for anything on one line. In all of them
 * `localhost:9092` is the broker of the tests, and nobody listens on `localhost:9099`. A page asks for topics of its own
 * with `<!-- topics: name:partitions … -->`.
 */

import assert from "node:assert/strict";
import { chmod, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { install } from "../../scripts/lib/install.mjs";
import { freePort, runProgram, startProgram } from "../../scripts/lib/program.mjs";
import { findProgram } from "../../scripts/lib/runtimes.mjs";
import { cacheDir, listFiles, root, runtimeBinary } from "../../scripts/lib/tools.mjs";
import { bundle } from "../../scripts/lib/worker.mjs";

/** Where the blocks are written to; inside the project, so that they find the package by its name, and for this run alone. */
export const dir = join(cacheDir, `readme-${process.pid}`);

/** README.md and every page of docs/. */
export async function pages() {
  return ["README.md", ...await listFiles("docs", (path) => path.endsWith(".md"))];
}

/** The topics that the pages ask for, as `name:partitions`. */
export async function topicsOfPages() {
  const texts = await Promise.all((await pages()).map(read));
  const named = texts.flatMap((text) =>
    [...text.matchAll(/^<!-- topics: (.*) -->$/gm)].map(([, list]) => list.split(" "))
  );
  return [...new Set(named.flat())];
}

const read = (page) => readFile(join(root, page), "utf8");

/**
 * The blocks of a page in their order; line ends of Windows are as good as others.
 *
 * @param {string} text
 */
export function blocksOf(text) {
  const lines = text.replaceAll("\r\n", "\n");
  const found = [...lines.matchAll(/^```([^\n`]*)\n([^]*?)^```$/gm)];
  return found.map(([all, info, code], index) => {
    const [language = "", ...words] = info.trim().split(/\s+/);
    const next = found[index + 1];
    const between = next === undefined ? "" : lines.slice(found[index].index + all.length, next.index);
    const prints = next?.[1].trim() === "text prints" && between.trim() === "" ? next[2] : undefined;
    return { language, words, code, prints };
  });
}

/**
 * What can be run of all pages; `{ name, topic, run }` for each block.
 *
 * @typedef {{ name: string, topic?: string, run: (brokers: string) => Promise<string | void> }} Piece
 * @returns {Promise<Piece[]>}
 */
export async function snippets() {
  const all = await Promise.all((await pages()).map(async (page) => {
    const text = await read(page);
    const indented = /^[ \t]+(```|~~~)|^~~~/m.test(text.replace(/^```[^]*?^```$/gm, ""));
    const found = snippetsOf(page, blocksOf(text));
    if (!indented) return found;
    return [...found, {
      name: `${page} fences`,
      run: () => assert.fail("a block is indented or fenced by ~~~, and isn't run"),
    }];
  }));
  return all.flat();
}

function snippetsOf(page, blocks) {
  return blocks.flatMap(({ language, words, code, prints }, index) => {
    const isCode = ["js", "ts", "javascript", "typescript", "mjs", "cjs", "tsx", "jsx"].includes(language);
    const runner = words.find((word) => word in runners);
    const name = `${page} block ${index + 1}`;
    if (!isCode && language !== "sh") return [];
    if (language === "sh" && !words.includes("run")) return [];
    if (isCode && runner === undefined) {
      if (words.includes("ignore")) return [];
      const wanted = `wanted one of ${Object.keys(runners).join(", ")}, or "ignore", behind "${language}"`;
      return [{ name, run: () => assert.fail(`nobody runs this block: ${wanted}`) }];
    }
    const extension = language === "ts" ? "ts" : words.includes("cjs") ? "cjs" : "mjs";
    const file = join(dir, `${name.replace(/\W+/g, "-")}.${language === "sh" ? "sh" : extension}`);
    const sends = page === "README.md" && /localhost:9092[^]*topic: "orders"/.test(code);
    return [{
      name: `${name} (${language === "sh" ? "sh" : runner})`,
      topic: sends ? "orders" : undefined,
      async run(brokers) {
        const nobody = `localhost:${await freePort()}`;
        const ours = (text) => text.replaceAll("localhost:9092", brokers).replaceAll("localhost:9099", nobody);
        if (/from "kafkajs"/.test(code)) await linkKafkaJS();
        await writeFile(file, ours(code));
        const output = await (language === "sh" ? shell(file) : runners[runner](file, brokers, language));
        if (output.skipped !== undefined) return output.skipped;
        if (prints !== undefined) assertPrinted(output.printed, ours(prints));
      },
    }];
  });
}

/** Every line that is promised comes, in this order and one right after the other; the two streams may come mixed. */
function assertPrinted(printed, prints) {
  const escape = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const lines = prints.trimEnd().split("\n").map((line) => line.trimEnd().split("…").map(escape).join(".*"));
  const pattern = new RegExp(`^${lines.join("[ \\t]*\n")}[ \\t]*$`, "m");
  if (!printed.some((text) => pattern.test(text))) {
    assert.equal(printed[0], prints, "what it prints is not what the page says");
  }
}

/**
 * What a program printed: both streams as they came, and one behind the other.
 *
 * @returns {Promise<{ printed: string[], skipped?: string }>}
 */
async function succeed(program, args, env = {}, more = {}) {
  const { code, output, stdout, stderr } = await runProgram([program, ...args], { env, timeoutMs: 60_000, ...more });
  assert.equal(code, 0, `exit code ${code}\n${output}`);
  return { printed: [output, stdout + stderr, stderr + stdout] };
}

/** For the blocks that use it beside this package. */
async function linkKafkaJS() {
  await installOnce("test/interop");
  await mkdir(join(dir, "node_modules"), { recursive: true });
  const target = join(root, "test/interop/node_modules/kafkajs");
  await symlink(target, join(dir, "node_modules/kafkajs"), "dir").catch((error) => {
    if (error.code !== "EEXIST") throw error;
  });
}

const skip = (skipped) => ({ skipped });

/** A shell that finds `npx @sluice/kafka` and `sluice`, in a folder of its own. */
async function shell(file) {
  const bin = join(dir, "bin");
  const folder = join(dir, "shell");
  await mkdir(bin, { recursive: true });
  await mkdir(folder, { recursive: true });
  const sluice = `exec "${process.execPath}" "${join(root, "dist/esm/bin.js")}"`;
  const npx =
    `#!/bin/sh\ncase "$1" in @sluice/kafka|sluice) shift; ${sluice} "$@";; esac\necho "npx $1?" >&2; exit 1\n`;
  for (const [name, text] of [["npx", npx], ["sluice", `#!/bin/sh\n${sluice} "$@"\n`]]) {
    await writeFile(join(bin, name), text);
    await chmod(join(bin, name), 0o755);
  }
  return await succeed("sh", ["-e", file], { PATH: `${bin}:${process.env.PATH}` }, { cwd: folder });
}

const typescriptNode = () => runtimeBinary("node24") ?? runtimeBinary("node22");

/**
 * Each resolves to what was printed, or to why it could not run.
 *
 * @type {Record<string, (file: string, brokers: string, language?: string, more?: any) =>
 *   Promise<{ printed?: string[], skipped?: string }>>}
 */
export const runners = {
  async node(file, brokers, language) {
    const program = language === "ts" ? typescriptNode() : process.execPath;
    if (program === undefined) return skip("no Node that runs TypeScript was found");
    return await succeed(program, ["--disable-warning=ExperimentalWarning", file], { KAFKA_BROKERS: brokers });
  },

  async test(file, brokers, language) {
    const program = language === "ts" ? typescriptNode() : process.execPath;
    if (program === undefined) return skip("no Node that runs TypeScript was found");
    const output = await succeed(program, ["--test", file], { KAFKA_BROKERS: brokers });
    assert.match(output.printed[0], /^\S+ pass [1-9]/m, "no test was found");
    return output;
  },

  /**
   * @param {string} file
   * @param {string} brokers
   * @param {string} [_language]
   * @param {Uint8Array} [input]
   */
  async deno(file, brokers, _language, input) {
    const program = findProgram("deno");
    if (program === undefined) return skip("Deno was not found");
    const flags = ["--no-prompt", "--no-lock", "--config", join(root, "deno.json"), "--allow-net", "--allow-env"];
    return await succeed(program, ["run", ...flags, file], { KAFKA_BROKERS: brokers }, { input });
  },

  async bun(file, brokers) {
    const program = findProgram("bun");
    if (program === undefined) return skip("Bun was not found");
    return await succeed(program, ["run", file], { KAFKA_BROKERS: brokers });
  },

  /** As `test/consumers` has it: CommonJS, and no option. */
  async jest(file, brokers) {
    await installOnce("test/consumers");
    const jest = join(root, "test/consumers/node_modules/jest/bin/jest.js");
    const folder = file.replace(/\.\w+$/, "");
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, "package.json"), '{ "name": "a-consumer" }');
    await writeFile(join(folder, "orders.test.js"), await readFile(file, "utf8"));
    const mapped = JSON.stringify({ "^@sluice/kafka$": entry("mod"), "^@sluice/kafka/(.*)$": entry("$1") });
    const args = ["--rootDir", folder, "--moduleNameMapper", mapped];
    return await succeed(process.execPath, [jest, ...args], { KAFKA_BROKERS: brokers, CI: "1" }, { cwd: folder });
  },

  /** As `test/consumers` has it: ES modules, and no option but where the package is. */
  async vitest(file, brokers, language) {
    await installOnce("test/consumers");
    const vitest = join(root, "test/consumers/node_modules/vitest/vitest.mjs");
    const folder = file.replace(/\.\w+$/, "");
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, "package.json"), '{ "name": "a-consumer", "type": "module" }');
    await writeFile(join(folder, `orders.test.${language}`), await readFile(file, "utf8"));
    const alias = [["^@sluice/kafka$", "mod"], ["^@sluice/kafka/(.*)$", "$1"]].map(([find, name]) =>
      `{ find: /${find.replaceAll("/", "\\/")}/, replacement: ${JSON.stringify(join(root, "dist/esm", `${name}.js`))} }`
    );
    await writeFile(
      join(folder, "vitest.config.js"),
      `export default { resolve: { alias: [${alias.join(", ")}] } };\n`,
    );
    // Vitest itself is found from where it is installed.
    await symlink(join(root, "test/consumers/node_modules"), join(folder, "node_modules"), "dir").catch(() => {});
    const env = { KAFKA_BROKERS: brokers, CI: "1" };
    return await succeed(process.execPath, [vitest, "run", "--root", folder], env, { cwd: folder });
  },

  "bun-test": async (file, brokers, language) => {
    const program = findProgram("bun");
    if (program === undefined) return skip("Bun was not found");
    const path = file.replace(/\.\w+$/, `.test.${language}`);
    await writeFile(path, await readFile(file, "utf8"));
    return await succeed(program, ["test", path], { KAFKA_BROKERS: brokers });
  },

  "deno-test": async (file, brokers) => {
    const program = findProgram("deno");
    if (program === undefined) return skip("Deno was not found");
    // The project's own configuration says that tests are under test/.
    const { imports } = JSON.parse(await readFile(join(root, "deno.json"), "utf8"));
    const absolute = Object.entries(imports).map(([name, to]) => [name, to.startsWith(".") ? join(root, to) : to]);
    const config = join(dir, "deno-test.json");
    await writeFile(config, JSON.stringify({ imports: Object.fromEntries(absolute), nodeModulesDir: "manual" }));
    const flags = ["--no-prompt", "--no-lock", "--config", config, "--allow-net", "--allow-env", "--no-check"];
    return await succeed(program, ["test", ...flags, file], { KAFKA_BROKERS: brokers });
  },

  /** Calls the handler as often as Lambda would, and lets the process end by itself. */
  async lambda(file, brokers, language) {
    const calls = `const Records = ["a", "b"].map((messageId) => ({ messageId, body: "hello" }));
for (const _ of [1, 2, 3]) console.log(JSON.stringify(await handler({ Records })));`;
    return await runners.node(await calling(file, `import { handler } from "FILE";\n${calls}`), brokers, language);
  },

  /** Posts to a route of Next.js as its server does: a module with `POST(request)`. */
  async next(file, brokers, language) {
    const calls = `const response = await POST(new Request("http://localhost/", { method: "POST", body: "hello" }));
console.log(response.status, await response.text());
if (response.status !== 200) process.exit(1);`;
    return await runners.node(await calling(file, `import { POST } from "FILE";\n${calls}`), brokers, language);
  },

  /** Runs a recipe beside the packages that it is for; a server is asked once, and ended as a supervisor does it. */
  async recipe(source, brokers, language) {
    await installOnce("test/recipes");
    const { resolve } = createRequire(join(root, "test/recipes/package.json"));
    const { dependencies } = JSON.parse(await readFile(join(root, "test/recipes/package.json"), "utf8"));
    const code = (await scriptOf(source, language)).replace(/\b(from|import) "([^"]+)"/g, (all, word, name) => {
      const isTheirs = Object.keys(dependencies).some((each) => name === each || name.startsWith(`${each}/`));
      return isTheirs ? `${word} ${JSON.stringify(pathToFileURL(resolve(name)).href)}` : all;
    });
    const file = source.replace(/\.\w+$/, ".mjs");
    await writeFile(file, code);
    if (!code.includes("env.PORT")) return await succeed(process.execPath, [file], { KAFKA_BROKERS: brokers });
    const port = await freePort();
    const env = { KAFKA_BROKERS: brokers, PORT: String(port) };
    const server = startProgram([process.execPath, file], { env, keepOpen: true });
    try {
      const [path, wanted] = /(post|Controller)\("\/?orders"/.test(code)
        ? ["orders", /"offset":"\d+"/]
        : ["metrics", /kafka_records_total/];
      const body = path === "orders" ? JSON.stringify({ id: "o-1" }) : undefined;
      assert.match(await asked(`http://localhost:${port}/${path}`, body, server), wanted);
    } finally {
      server.child.kill("SIGTERM");
    }
    // Nest ends its process by the signal, once it has told everybody.
    assert.equal(await server.closed, code.includes("enableShutdownHooks") ? "SIGTERM" : 0, server.output());
    return { printed: [server.output()] };
  },

  /**
   * Bundles the worker, serves it and posts to it, one request after the other and several at once.
   *
   * @param {string} file
   * @param {string} brokers
   * @param {string} [_language]
   * @param {string} [name] of a configuration in `examples`
   */
  async worker(file, brokers, _language, name = "worker") {
    const program = runtimeBinary("workerd");
    if (program === undefined) return skip("workerd was not found");
    const folder = `${file.startsWith(dir) ? file : join(dir, name)}.worker`;
    await mkdir(folder, { recursive: true });
    await bundle(file, join(folder, `${name}.js`));
    const config = await readFile(join(root, "examples", `${name}.capnp`), "utf8");
    const path = join(folder, `${name}.capnp`);
    await writeFile(path, config.replace("../.cache/", "").replace("127.0.0.1:9092", brokers));
    const address = `127.0.0.1:${await freePort()}`;
    const server = startProgram([program, "serve", path, `--socket-addr=http=${address}`]);
    const deliver = async (value) => {
      const response = await post(`http://${address}/`, value, server);
      const body = await response.text();
      assert.equal(response.status, 200, body);
      assert.equal(JSON.parse(body).delivery, "acked");
    };
    try {
      for (const value of ["1", "2", "3"]) await deliver(value);
      await Promise.all(["4", "5", "6", "7", "8"].map(deliver));
      return { printed: [""] };
    } finally {
      await server.stop();
    }
  },
};

/** @type {Map<string, Promise<unknown>>} */
const installing = new Map();

/** Several blocks at a time want the packages of a folder; they are installed once. */
function installOnce(folder) {
  if (!installing.has(folder)) installing.set(folder, install(folder));
  return installing.get(folder);
}

/** An entry point as CommonJS. */
const entry = (name) => join(root, "dist/cjs", `${name}.cjs`);

/** The JavaScript of a block; TypeScript has its decorators as frameworks on Node want them. */
async function scriptOf(file, language) {
  const code = await readFile(file, "utf8");
  if (language !== "ts") return code;
  const { transform } = await import("esbuild");
  const tsconfigRaw = { compilerOptions: { experimentalDecorators: true } };
  return (await transform(code, { loader: "ts", target: "es2022", tsconfigRaw })).code;
}

/** A program beside the file that imports it by its name. */
async function calling(file, code) {
  const path = file.replace(/\.(\w+)$/, ".calls.$1");
  await writeFile(path, code.replace("FILE", file));
  return path;
}

/**
 * What a server answers, JSON to JSON, once it listens.
 *
 * @param {string} url
 * @param {string | undefined} body
 * @param {ReturnType<typeof startProgram>} server
 */
async function asked(url, body, server) {
  const headers = { "content-type": "application/json", connection: "close" };
  const request = body === undefined ? { headers } : { method: "POST", headers, body };
  for (let tries = 0; tries < 100; tries++) {
    const response = await fetch(url, request).catch(() => undefined);
    if (response !== undefined) {
      const text = await response.text();
      assert.ok(response.ok, text);
      return text;
    }
    if (server.child.exitCode !== null) break;
    await sleep(100);
  }
  return assert.fail(`nobody answers at ${url}\n${server.output()}`);
}

/** Posts as soon as the server answers. */
export async function post(url, body, server) {
  for (let attempt = 1;; attempt++) {
    try {
      return await fetch(url, { method: "POST", body, signal: AbortSignal.timeout(20_000) });
    } catch (error) {
      if (attempt === 50) throw new Error(`${url} does not answer: ${server.output()}`, { cause: error });
      await sleep(100);
    }
  }
}
