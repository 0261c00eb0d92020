/**
 * Compiles what is in `wasm` and writes the module, as text, to `src/codec/wasm_module.ts`.
 *
 *     node scripts/wasm.mjs [--check]
 *
 * `--check` writes nothing and fails when the file differs from what the compiler makes of the source.
 */

import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { flagsOf } from "./lib/flags.mjs";
import { install } from "./lib/install.mjs";
import { root } from "./lib/tools.mjs";

const source = "wasm/kernels.ts";
const target = "src/codec/wasm_module.ts";

/** The memory, in pages of 64 KiB, is as large as `wasm/memory.ts` needs, and never grows. */
const pages = 6;

/** Compiles; resolves to the text of the generated file and the size of the module, rejects with what is wrong. */
export async function compileKernels() {
  const compiler = pathToFileURL(join(root, "scripts/tools/node_modules/assemblyscript/dist/asc.js")).href;
  const asc = await import(compiler);
  const files = new Map();
  for (const name of await readdir(join(root, "wasm"))) {
    files.set(name, await readFile(join(root, "wasm", name), "utf8"));
  }
  let wasm;
  const { error, stderr } = await asc.main(
    [
      "kernels.ts",
      "--outFile=kernels.wasm",
      "-O3",
      "--converge",
      "--noAssert",
      "--runtime=stub",
      "--enable=simd",
      "--use=abort=",
      `--initialMemory=${pages}`,
      `--maximumMemory=${pages}`,
    ],
    {
      readFile: (name) => files.get(name) ?? null,
      writeFile: (_name, contents) => void (wasm = contents),
      listFiles: () => [],
    },
  );
  const said = stderr.toString().trim();
  if (error || wasm === undefined || said !== "") throw new Error(`Compiling ${source} failed\n${error ?? ""}${said}`);
  return { text: generated(Buffer.from(wasm)), size: wasm.length };
}

/** Resolves to `{ ok, output }`: whether the generated file is what the compiler makes of the source. */
export async function checkKernels() {
  const { text, size } = await compileKernels();
  const ok = await readFile(join(root, target), "utf8").catch(() => "") === text;
  return { ok, output: ok ? `${target} holds ${size} bytes` : `${target} is out of date: run node scripts/wasm.mjs` };
}

function generated(wasm) {
  return `/**
 * The compiled kernels. Generated from \`${source}\` by \`scripts/wasm.mjs\`: don't edit.
 *
 * @module
 */

/** A WebAssembly module of ${wasm.length} bytes, as text that \`wasm.ts\` knows to read. */
export const WASM_MODULE: string =
  "${textOf(wasm)}";
`;
}

/** Characters that need no escape in a text, the most frequent ones of minified JavaScript first. */
const characters = "etisroan,.(){}=;:ludchmpfgby#w?!&|[]+->0123456789kvIEABSTRNOMLDCPFUxzjq<*/_";

/** The text that `bytesOf` of `src/codec/wasm.ts` reads. */
function textOf(bytes) {
  const counts = Array.from(
    { length: 64 },
    (_, lower) => [lower, bytes.filter((byte) => (byte & 63) === lower).length],
  );
  const [...upper] = characters.slice(0, 3);
  const lower = [];
  counts.sort(([a, m], [b, n]) => n - m || a - b).forEach(([value], rank) => lower[value] = characters[3 + rank]);
  const text = [...bytes].map((byte) => (upper[(byte >> 6) - 1] ?? "") + lower[byte & 63]);
  return [...upper, ...lower, ...text].join("");
}

async function main() {
  const { values } = flagsOf(import.meta.url, { options: { check: { type: "boolean", default: false } } });
  await install("scripts/tools", (line) => console.error(line));
  if (values.check) {
    const { ok, output } = await checkKernels();
    console.log(output);
    if (!ok) process.exitCode = 1;
    return;
  }
  const { text, size } = await compileKernels();
  await writeFile(join(root, target), text);
  console.log(`Wrote ${size} bytes of WebAssembly to ${target}`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await main().catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}
