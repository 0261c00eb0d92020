/**
 * What npm gets of the sources: ES modules, those for workerd, CommonJS beside them, and declarations.
 *
 * The entry points are those of `deno.json`. What they share is in chunks that are named after the folder of the source,
 * so that a stack trace says where it leads: `dist/esm/lib/producer.js`.
 */

import { readFile, writeFile } from "node:fs/promises";
import { builtinModules } from "node:module";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { root } from "./tools.mjs";

const readJson = async (path) => JSON.parse(await readFile(join(root, path), "utf8"));

/** The entry points by the names of their files: `{ mod: "./mod.ts", "testing-simulation": "./src/…" }`. */
export async function entryPoints() {
  const { exports } = await readJson("deno.json");
  return Object.fromEntries(Object.entries(exports).map(([path, file]) => [fileOf(path), file]));
}

/** "." is `mod`, "./testing/simulation" is `testing-simulation`. */
function fileOf(path) {
  return path === "." ? "mod" : path.slice(2).replaceAll("/", "-");
}

/**
 * What `package.json` says of its entry points, made from those of `deno.json`.
 *
 * What the sources import through "#…" is chosen here and not by the package's `imports`, which Node would look up in
 * each start: so there are ES modules of their own for workerd. `typesVersions` and `main` are for TypeScript's
 * `moduleResolution: node10` and for tools that know no `exports`.
 */
export async function manifest() {
  const { exports: sources } = await readJson("deno.json");
  const exports = {};
  const typesVersions = {};
  for (const path of Object.keys(sources)) {
    const file = fileOf(path);
    exports[path] = {
      import: {
        types: `./dist/types/${file}.d.ts`,
        workerd: `./dist/workerd/${file}.js`,
        default: `./dist/esm/${file}.js`,
      },
      require: { types: `./dist/types/${file}.d.cts`, default: `./dist/cjs/${file}.cjs` },
    };
    if (path !== ".") typesVersions[path.slice(2)] = [`./dist/types/${file}.d.cts`];
  }
  exports["./package.json"] = "./package.json";
  return {
    main: "./dist/cjs/mod.cjs",
    module: "./dist/esm/mod.js",
    types: "./dist/types/mod.d.cts",
    typesVersions: { "*": typesVersions },
    exports,
  };
}

/** Writes {@link manifest} into `package.json`. */
export async function writeManifest() {
  const text = JSON.stringify({ ...await readJson("package.json"), ...await manifest() }, null, 2);
  await writeFile(join(root, "package.json"), `${text}\n`);
}

/** What no producer sends: messages of other clients, and batches that are read. */
const otherProtocol =
  /^src\/protocol\/(consumer_protocol|batch_header|record_batch_reader|messages\/(?!mod|add_|api_versions|end_txn|find_coordinator|init_|metadata|produce\.|sasl_|txn_offset)\w*)\.ts/;

/** What has a file of its own: packages, and what few need. */
const alone = /^src\/(?:codec|runtime)\/(zstd_wasm|fflate|socks5|web_socket)/;

/**
 * The name of the chunk that holds a source file, by its path from the root; undefined for what one entry point has alone.
 *
 * Node takes as long to find and open a file as to compile 25 KB. So what every producer loads is in few of them,
 * `common` below `cluster` below `producer`, and what it doesn't need in others.
 */
function chunkOf(path) {
  if (path.endsWith("\0brand")) return "common";
  const [, folder] = /^\.?\/?src\/(?:([^/]+)\/)?.*\.ts$/.exec(path) ?? [];
  if (/^src\/codec\/(kernels|values)\.ts$/.test(path)) return undefined;
  const [, own] = alone.exec(path) ?? [];
  if (own !== undefined) return own.replaceAll("_", "-");
  // Beside what it exports, for its classes have the names of those that they extend, and one would be renamed.
  if (path === "src/producer/named_producer.ts") return "mod";
  if (/^src\/sasl\/(http|oidc|google)\.ts/.test(path)) return "sasl-http";
  if (/^src\/app\/retry_policy\.ts/.test(path)) return "producer";
  if (otherProtocol.test(path)) return "other-protocol";
  // Used as a whole, which would keep every message in every bundle that has one.
  if (/^src\/protocol\/(messages\/mod|request_header)\.ts/.test(path)) return "messages";
  if (/^src\/testing\/simulation\//.test(path)) return "simulation";
  if (folder === undefined || /^(codec|protocol|runtime)$/.test(folder)) return "common";
  return folder === "sasl" ? "cluster" : folder;
}

/** Writes `esm`, `workerd`, `cjs` and `types` into the folder, where tsc has written what it makes of all sources. */
export async function makePackage(dist) {
  const { rollup } = await importTool("rollup/dist/es/rollup.js");
  const { dts } = await importTool("rollup-plugin-dts/dist/rollup-plugin-dts.mjs");
  const entries = await entryPoints();
  const { imports } = await readJson("src/package.json");
  const classes = await publicClasses(dist, Object.values(entries));
  await Promise.all([
    writeModules(rollup, join(dist, "esm"), { entries: { ...entries, bin: "./src/cli/bin.ts" }, imports, classes }),
    writeModules(rollup, join(dist, "workerd"), { entries, imports, classes, condition: "workerd" }),
    writeModules(rollup, join(dist, "cjs"), { entries, imports, classes, format: "cjs" }),
    writeTypes(rollup, dts, dist, entries),
  ]);
}

/** From the folder of the tools, so that the project's own packages stay few. */
async function importTool(path) {
  return await import(pathToFileURL(join(root, "scripts/tools/node_modules", path)).href);
}

const external = [/^node:/, /^cloudflare:/, "fflate", "@opentelemetry/api", ...builtinModules];

async function writeModules(rollup, dir, { entries, imports, classes, format = "es", condition = "default" }) {
  const extension = format === "es" ? "js" : "cjs";
  const input = Object.fromEntries(Object.entries(entries).map(([name, file]) => [name, join(root, file)]));
  const isEntry = new Set(Object.values(input));
  const bundle = await rollup({
    input,
    external,
    treeshake: { moduleSideEffects: (id) => id.endsWith("src/cli/bin.ts") || id.endsWith("src/cli/mod.ts") },
    plugins: [inner(imports, condition), erase(), brands(classes)],
    onwarn(warning) {
      throw new Error(`rollup warns: ${warning.message}`);
    },
  });
  await bundle.write({
    dir,
    format,
    entryFileNames: `[name].${extension}`,
    chunkFileNames: `lib/[name].${extension}`,
    manualChunks(id) {
      if (isEntry.has(id)) return id === input.mod ? "mod" : undefined;
      return chunkOf(id.startsWith("\0") ? id : relative(root, id).replaceAll("\\", "/"));
    },
    onlyExplicitManualChunks: true,
    hoistTransitiveImports: false,
    minifyInternalExports: false,
    exports: "named",
    plugins: [bare()],
  });
  await bundle.close();
}

/** What an import that begins with "#" leads to where the condition holds. */
function inner(imports, condition) {
  return {
    name: "inner",
    resolveId: (source) => source in imports ? join(root, "src", imports[source][condition]) : null,
  };
}

/**
 * Takes the types out of TypeScript, and marks what modules compute when they are loaded as free of effects, as
 * "sideEffects" in `package.json` says of whole modules: a bundler may leave out of a chunk what nothing uses.
 */
function erase() {
  return {
    name: "erase",
    async transform(code, id) {
      const { transform } = await import("esbuild");
      const { code: script } = await transform(code, { loader: "ts", target: "es2022", sourcefile: id });
      const initializer = /^((?:export )?const \w+ = )(?=(?:new )?[A-Za-z_$][\w.$]*\()/gm;
      return { code: script.replace(initializer, "$1/* @__PURE__ */ "), map: null };
    },
  };
}

/**
 * Resolves to a function that tells which of these classes of a source file the entry points export: others may have the
 * same names.
 */
async function publicClasses(dist, entries) {
  const compiled = (file) => import(pathToFileURL(join(dist, file.replace(/\.ts$/, ".js"))).href);
  const modules = await Promise.all(entries.map(compiled));
  const isClass = (value) => typeof value === "function" && /^class\b/.test(Function.prototype.toString.call(value));
  const classes = modules.flatMap((module) => Object.values(module).filter(isClass));
  return async (file, names) => {
    const known = names.filter((name) => classes.some((each) => each.name === name));
    if (known.length === 0) return [];
    const module = await compiled(file);
    return known.filter((name) => classes.includes(module[name]));
  };
}

/**
 * A process that imports and requires the package has each class twice. So that `instanceof` holds all the same, instances
 * carry the name of their class and its file, and that is what their class looks for. A subclass of somebody's own is
 * compared in the ordinary way.
 */
function brands(classes) {
  const key = "@sluice/kafka";
  const helper = "\0brand";
  return {
    name: "brands",
    resolveId: (source) => source === helper ? helper : null,
    load: (id) =>
      id !== helper ? null : `export function hasBrand(asked, own, value) {
  if (asked !== own) return Function.prototype[Symbol.hasInstance].call(asked, value);
  if (typeof value !== "object" || value === null) return false;
  const brand = own.prototype["${key}"];
  for (let each = Object.getPrototypeOf(value); each !== null; each = Object.getPrototypeOf(each)) {
    if (Object.hasOwn(each, "${key}") && each["${key}"] === brand) return true;
  }
  return false;
}
`,
    async transform(code, id) {
      const file = relative(root, id).replaceAll("\\", "/");
      const path = file.replace(/\.ts$/, "");
      const head = /^export class (\w+)[^{\n]* \{$/gm;
      const names = await classes(file, [...code.matchAll(head)].map(([, name]) => name));
      if (names.length === 0) return null;
      const branded = code.replace(head, (line, name) => {
        if (!names.includes(name)) return line;
        return `${line}
  static [Symbol.hasInstance](value) { return hasBrand(this, ${name}, value); }
  get "${key}"() { return "${path}:${name}"; }`;
      });
      return { code: `import { hasBrand } from ${JSON.stringify(helper)};\n${branded}`, map: null };
    },
  };
}

/** Takes the comments out, which the declarations have as well. Bundlers' words within `import()` stay. */
function bare() {
  return {
    name: "bare",
    async renderChunk(code) {
      const { transform } = await import("esbuild");
      /** @type {import("esbuild").TransformOptions} */
      const options = { loader: "js", target: "es2022", legalComments: "none" };
      const { code: script } = await transform(code, options);
      // Those of members of classes are left. They hold letters that make the engine keep a whole module as two bytes each.
      const bare = script.replace(/^ +\/\*\*(?:(?!\*\/)[^])*\*\/\n/gm, "").replace(/^ +\/\/ .*\n/gm, "");
      const dense = async (code) => (await transform(code, { ...options, minifyWhitespace: true })).code;
      if (await dense(bare) !== await dense(script)) throw new Error("What looked like a comment in a class was none.");
      return { code: bare, map: null };
    },
  };
}

/**
 * One declaration file for each entry point, beside one with the types that several of them share: a class must be the same
 * for all of them. Those of the ES modules lead to the same ones, so that both kinds of module have one set of types.
 */
async function writeTypes(rollup, dts, dist, entries) {
  const compiled = (file) => join(dist, file.replace(/\.ts$/, ".d.ts"));
  const bundle = await rollup({
    input: Object.fromEntries(Object.entries(entries).map(([name, file]) => [name, compiled(file)])),
    external: ["@opentelemetry/api"],
    plugins: [declarations(), dts()],
    onwarn(warning) {
      if (warning.code !== "CIRCULAR_DEPENDENCY") throw new Error(`rollup-plugin-dts warns: ${warning.message}`);
    },
  });
  await bundle.write({
    dir: join(dist, "types"),
    format: "es",
    entryFileNames: "[name].d.cts",
    chunkFileNames: "[name].d.cts",
    manualChunks: (id) => isEntryOf(entries, dist, id) ? undefined : "shared",
    onlyExplicitManualChunks: true,
    plugins: [portable()],
  });
  await bundle.close();
  for (const name of Object.keys(entries)) {
    await writeFile(join(dist, "types", `${name}.d.ts`), `export * from "./${name}.cjs";\n`);
  }
}

function isEntryOf(entries, dist, id) {
  return Object.values(entries).some((file) => join(dist, file.replace(/\.ts$/, ".d.ts")) === id);
}

/** tsc leaves ".ts" in the imports of declarations. */
function declarations() {
  return {
    name: "declarations",
    resolveId(source, importer) {
      if (importer === undefined || !source.startsWith(".") || !source.endsWith(".ts")) return null;
      return join(importer, "..", source.replace(/(\.d)?\.ts$/, ".d.ts"));
    },
  };
}

/**
 * Declarations that need neither the DOM's nor Node's types, and that TypeScript 5.2 reads. Names of the web's types are
 * declared in the module: as the global ones where there are any, else as the part that is used here.
 */
function portable() {
  const global = (name, fallback) =>
    `type ${name} = typeof globalThis extends { ${name}: { prototype: infer T } } ? T : ${fallback};`;
  const prelude = {
    AbortSignal: global(
      "AbortSignal",
      "{ readonly aborted: boolean; readonly reason: any; throwIfAborted(): void; " +
        'addEventListener(type: "abort", listener: () => void, options?: { once?: boolean }): void; ' +
        'removeEventListener(type: "abort", listener: () => void): void }',
    ),
    WritableStream:
      "interface WritableStream<W = any> { readonly locked: boolean; abort(reason?: any): Promise<void>; " +
      "close(): Promise<void>; getWriter(): WritableStreamDefaultWriter<W> }\n" +
      "interface WritableStreamDefaultWriter<W = any> { readonly closed: Promise<undefined>; " +
      "readonly desiredSize: number | null; readonly ready: Promise<undefined>; abort(reason?: any): Promise<void>; " +
      "close(): Promise<void>; releaseLock(): void; write(chunk?: W): Promise<void> }",
    "WebAssembly.Module": "declare namespace WebAssembly { type Module = typeof globalThis extends " +
      "{ WebAssembly: { Module: { prototype: infer T } } } ? T : object }",
  };
  return {
    name: "portable",
    renderChunk(code) {
      const text = code
        .replace(/\bUint8Array<(ArrayBuffer|ArrayBufferLike)>/g, "Uint8Array")
        .replace(/(from|import)( ?\(?)"(\.\/[\w-]+)\.d\.cts"/g, '$1$2"$3.cjs"');
      const words = text.replace(/\/\*[^]*?\*\//g, "");
      const needed = Object.entries(prelude)
        .filter(([name]) => new RegExp(`(?<![.\\w"])${name.replace(".", "\\.")}\\b`).test(words))
        .map(([, declared]) => declared);
      const lib = /\[Symbol\.(asyncDispose|dispose)\]/.test(words) ? ['/// <reference lib="esnext.disposable" />'] : [];
      return { code: [...lib, ...needed, text].join("\n"), map: null };
    },
  };
}
