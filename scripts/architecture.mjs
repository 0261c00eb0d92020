/**
 * Holds the shape that ARCHITECTURE.md describes, as far as `scripts/lint.mjs` can't: imports go only downward.
 *
 *     node scripts/architecture.mjs
 */

import { readFile } from "node:fs/promises";
import { join, posix } from "node:path";
import { pathToFileURL } from "node:url";
import { listFiles, root } from "./lib/tools.mjs";

/** What imports that begin with "#" lead to, by condition. */
const internal = JSON.parse(await readFile(join(root, "src/package.json"), "utf8")).imports;

/** What every layer may import: errors, and what they are made of. */
const base = ["errors.ts", "error_like.ts", "show.ts", "byte_arrays.ts", "call_options.ts", "other_clients.ts"];

/** What each layer may import besides itself and the base. */
const layers = {
  "mod.ts": ["core.ts", "app", "producer", "cluster", "protocol", "codec", "runtime", "sasl"],
  "core.ts": ["app", "producer", "cluster", "protocol", "codec", "runtime"],
  app: ["producer", "cluster", "runtime", "headers"],
  otel: ["producer", "cluster", "runtime"],
  producer: ["cluster", "protocol", "codec", "runtime", "sasl"],
  cluster: ["protocol", "runtime", "sasl"],
  codec: ["runtime"],
  sasl: ["runtime"],
  telemetry: ["producer", "cluster", "protocol", "codec", "runtime"],
  admin: ["cluster", "protocol", "runtime", "sasl"],
  registry: ["producer", "protocol", "runtime", "sasl"],
  reader: ["cluster", "protocol", "codec", "runtime", "sasl"],
  headers: [],
  compat: ["app", "producer", "cluster", "codec", "runtime", "sasl"],
  protocol: [],
  runtime: [],
  testing: ["producer", "protocol", "codec", "runtime", "sasl"],
  cli: ["mod.ts", "reader", "admin", "testing", "cluster", "protocol", "runtime", "sasl"],
  ...Object.fromEntries(base.map((file) => [file, []])),
};

/** What no rule of oxlint's finds, by the name of its check; comments, types and texts are not looked at. */
const forbidden = {
  "every error has a class of its own": [/\bnew (Type|Range)?Error\(/, /^src\/errors\.ts$/],
  "no rejection is handled by an async function whose own rejection nobody waits for": [
    /(?<!\b(?:await|return)\b[^;{}]*)\.catch\(\s*async\b/,
    /^$/,
  ],
  "no date of now is made outside src/runtime": [/\bnew Date\(\)/, /^src\/(runtime|cli)\//],
};

/** Checks every source file; resolves to one result per rule: `{ name, status, detail }`. */
export async function runArchitecture() {
  const { transform } = await import("esbuild");
  const paths = ["mod.ts", "core.ts", ...await listFiles("src", (path) => path.endsWith(".ts"))];
  const upward = [];
  const named = Object.keys(forbidden).map(() => []);
  for (const path of paths) {
    const source = await readFile(join(root, path), "utf8").catch(() => "");
    for (const target of importsOf(source).flatMap((each) => variantsOf(path, each))) {
      const problem = checkImport(path, target);
      if (problem !== undefined) upward.push(problem);
    }
    // Comments and types are gone after this, and then texts in double quotes.
    const { code } = await transform(source, { loader: "ts", minifyWhitespace: true, legalComments: "none" });
    const bare = code.replace(/"(?:[^"\\\n]|\\.)*"/g, '""');
    for (const [i, [pattern, allowed]] of Object.values(forbidden).entries()) {
      const found = allowed.test(path) ? null : pattern.exec(bare);
      if (found) named[i].push(`${path}: …${excerpt(bare, found.index)}…`);
    }
  }
  return [
    result("architecture: imports go only downward", upward),
    ...Object.keys(forbidden).map((name, i) => result(`architecture: ${name}`, named[i])),
    result(
      "architecture: Node and Deno have the same internal imports, and all have the same version",
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

/** Deno knows no conditions. */
async function compareManifests() {
  const read = async (path) => JSON.parse(await readFile(join(root, path), "utf8")).imports;
  const forDeno = Object.entries(internal).map(([name, files]) => [name, `./${posix.join("src", files.default)}`]);
  const given = Object.entries(await read("deno.json")).filter(([name]) => name.startsWith("#"));
  const compare = (path, is, wanted) => {
    const [a, b] = [JSON.stringify(is), JSON.stringify(wanted)];
    return a === b ? [] : [`${path} has ${a}, wanted ${b} as in src/package.json`];
  };
  return [
    ...compare("deno.json", given, forDeno),
    ...await compareVersions(),
  ];
}

/** The client tells brokers a version: the one that is published. */
async function compareVersions() {
  const told = /SOFTWARE_VERSION = "([^"]*)"/.exec(await readFile(join(root, "src/cluster/software.ts"), "utf8"))?.[1];
  const differing = [];
  for (const path of ["package.json", "deno.json"]) {
    const { version } = JSON.parse(await readFile(join(root, path), "utf8"));
    if (version !== told) {
      differing.push(`${path} has version ${version}, wanted ${told} as in src/cluster/software.ts`);
    }
  }
  return differing;
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
