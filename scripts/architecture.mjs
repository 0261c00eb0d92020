/**
 * Holds the shape that ARCHITECTURE.md describes: imports go only downward, and a runtime has a name in one folder.
 *
 *     node scripts/architecture.mjs
 */

import { readFile } from "node:fs/promises";
import { join, posix } from "node:path";
import { pathToFileURL } from "node:url";
import { manifest } from "./lib/package.mjs";
import { listFiles, root } from "./lib/tools.mjs";

/** What imports that begin with "#" lead to, by condition. */
const internal = JSON.parse(await readFile(join(root, "src/package.json"), "utf8")).imports;

/** What every layer may import: errors, and what they are made of. */
const base = ["errors.ts", "error_like.ts", "show.ts", "call_options.ts", "other_clients.ts"];

/** What each layer may import besides itself and the base. */
const layers = {
  "mod.ts": ["core.ts", "app", "producer", "cluster", "protocol", "codec", "runtime", "sasl"],
  "core.ts": ["app", "producer", "cluster", "protocol", "codec", "runtime"],
  app: ["producer", "cluster", "runtime"],
  producer: ["cluster", "protocol", "codec", "runtime", "sasl"],
  cluster: ["protocol", "runtime", "sasl"],
  codec: ["runtime"],
  sasl: ["runtime"],
  reader: ["cluster", "protocol", "codec", "runtime"],
  protocol: [],
  runtime: [],
  testing: ["protocol", "codec", "runtime", "sasl"],
  cli: ["mod.ts", "testing"],
  ...Object.fromEntries(base.map((file) => [file, []])),
};

/** Names of a runtime, or of time and chance, which come in through `runtime/` only. */
const runtimeNames = [
  [/\bBuffer\s*[.(]/, "Buffer"],
  [/\bprocess\s*(\?\.|[.[])/, "process"],
  [/(\bfrom|\bimport|\bimport\s*\()\s*["'`](node|cloudflare|bun):/, "a node:, cloudflare: or bun: import"],
  [/\bDeno\s*(\?\.|[.[])/, "Deno"],
  [/\bBun\s*(\?\.|[.[])/, "Bun"],
  [/\b(setTimeout|setInterval|setImmediate)\s*\(/, "a timer"],
  [/\bDate\.now\b|\bnew Date\(\)|\bperformance\.now\b/, "the clock"],
  [/\bMath\.random\b|\bcrypto\.(getRandomValues|randomUUID)\b/, "chance"],
  [/\brequire\s*\(/, "require"],
];

/** The command line runs on the runtimes that have files; the embedded broker listens where one can. */
const mayNameRuntimes = /^src\/(runtime|cli)\/|^src\/testing\/broker\/listen\.ts$/;

/** Checks every source file; resolves to one result per rule: `{ name, status, detail }`. */
export async function runArchitecture() {
  const { transform } = await import("esbuild");
  const paths = ["mod.ts", "core.ts", ...await listFiles("src", (path) => path.endsWith(".ts"))];
  const broken = { imports: [], runtime: [], static: [], errors: [] };
  for (const path of paths) {
    const source = await readFile(join(root, path), "utf8").catch(() => "");
    for (const target of importsOf(source).flatMap((each) => variantsOf(path, each))) {
      const problem = checkImport(path, target);
      if (problem !== undefined) broken.imports.push(problem);
    }
    // Comments and types are gone after this, texts in double quotes too but for what is imported.
    const { code } = await transform(source, { loader: "ts", minifyWhitespace: true, legalComments: "none" });
    const bare = code.replace(/((?:from|import|import\()\s*)?"(?:[^"\\\n]|\\.)*"/g, (text, kept) => kept ? text : '""');
    if (!mayNameRuntimes.test(path)) {
      for (const [pattern, what] of runtimeNames) {
        const found = pattern.exec(bare);
        if (found) broken.runtime.push(`${path} uses ${what}: …${excerpt(bare, found.index)}…`);
      }
    }
    const staticImport = /^src\/runtime\//.test(path) && /(\bfrom|\bimport)\s*"(node|cloudflare|bun):/.exec(bare);
    if (staticImport) broken.static.push(`${path}: …${excerpt(bare, staticImport.index)}…`);
    const bareError = path !== "src/errors.ts" && /\bnew (Type|Range)?Error\(/.exec(bare);
    if (bareError) broken.errors.push(`${path}: …${excerpt(bare, bareError.index)}…`);
  }
  return [
    result("architecture: imports go only downward", broken.imports),
    result("architecture: no runtime, clock or chance is named outside src/runtime", broken.runtime),
    result("architecture: src/runtime imports nothing that a runtime may lack", broken.static),
    result("architecture: every error has a class of its own", broken.errors),
    result(
      "architecture: internal imports lead to the same modules for sources, package and Deno",
      await compareManifests(),
    ),
  ];
}

function result(name, problems) {
  return { name, status: problems.length === 0 ? "passed" : "failed", detail: problems.join("\n") };
}

function importsOf(source) {
  const statements = source.matchAll(/^(?:import|export)\b[^"';]*?(?:\bfrom\s*)?"([^"]+)"/gm);
  const calls = source.matchAll(/\bimport\(\s*"([^"]+)"\s*\)/g);
  return [...statements, ...calls].map((match) => match[1]);
}

/** Where an import leads: one that begins with "#" to a file for each condition of `src/package.json`. */
function variantsOf(path, target) {
  if (!target.startsWith("#")) return [target];
  const files = Object.values(internal[target] ?? { none: "./nowhere" });
  return files.map((file) => `./${posix.relative(posix.dirname(path), posix.join("src", file))}`);
}

/** `src/package.json` leads to the sources, that of the package to what is made of them; Deno knows no conditions. */
async function compareManifests() {
  const read = async (path) => JSON.parse(await readFile(join(root, path), "utf8")).imports;
  const { imports } = await manifest();
  const forDeno = Object.entries(internal).map(([name, files]) => [name, `./${posix.join("src", files.default)}`]);
  const given = Object.entries(await read("deno.json")).filter(([name]) => name.startsWith("#"));
  const compare = (path, is, wanted) => {
    const [a, b] = [JSON.stringify(is), JSON.stringify(wanted)];
    return a === b ? [] : [`${path} has ${a}, wanted ${b} as in src/package.json`];
  };
  return [
    ...compare("package.json", await read("package.json"), imports),
    ...compare("deno.json", given, forDeno),
  ];
}

function checkImport(path, target) {
  const from = layerOf(path);
  if (layers[from] === undefined) return `${path} is in no layer, wanted one of ${Object.keys(layers).join(", ")}`;
  if (!target.startsWith(".")) return undefined;
  const resolved = posix.normalize(posix.join(posix.dirname(path), target));
  const to = layerOf(resolved);
  if (to === from || base.includes(to) || layers[from].includes(to)) return undefined;
  return `${path} imports ${resolved}, allowed are ${[...base, from, ...layers[from]].join(", ")}`;
}

function layerOf(path) {
  if (path === "mod.ts" || path === "core.ts") return path;
  return /^src\/([^/]+)/.exec(path)?.[1] ?? path;
}

function excerpt(text, at) {
  return text.slice(Math.max(0, at - 30), at + 50).replace(/\s+/g, " ");
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  for (const { name, status, detail } of await runArchitecture()) {
    console.log(`${status === "passed" ? "✓" : "✗"} ${name}${detail && `\n${detail.replace(/^/gm, "    ")}`}`);
    if (status === "failed") process.exitCode = 1;
  }
}
