/**
 * Compiles what is in `wasm` and writes the modules, as base64, to `src/codec`; beside them that of zstd, which the
 * package `@bokuweb/zstd-wasm` brings.
 *
 *     node scripts/wasm.mjs [--check]
 *
 * `--check` writes nothing and fails when a file differs from what the compiler makes of the source.
 */

import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { flagsOf } from "./lib/flags.mjs";
import { install } from "./lib/install.mjs";
import { root } from "./lib/tools.mjs";

/**
 * What is compiled: the file of the exports, the file that holds the module, the name of the constant, and the memory
 * in pages of 64 KiB, which is as large as the memory's plan needs and never grows.
 */
const modules = [
  { source: "checksum.ts", target: "src/codec/crc_module.ts", constant: "CRC_MODULE", pages: 2 },
  { source: "kernels.ts", target: "src/codec/wasm_module.ts", constant: "WASM_MODULE", pages: 6 },
];

/** Resolves to the generated files, `{ target, text, size }` each, and rejects with what is wrong. */
export async function compileKernels() {
  return [...await Promise.all(modules.map(compile)), await zstd()];
}

/** Resolves to `{ ok, output }`: whether the generated files are what the compiler makes of the sources. */
export async function checkKernels() {
  const stale = [];
  for (const { target, text } of await compileKernels()) {
    if (await readFile(join(root, target), "utf8").catch(() => "") !== text) stale.push(target);
  }
  const output = stale.map((target) => `${target} is out of date: run node scripts/wasm.mjs`).join("\n");
  return { ok: stale.length === 0, output };
}

async function compile({ source, target, constant, pages }) {
  const compiler = pathToFileURL(join(root, "scripts/tools/node_modules/assemblyscript/dist/asc.js")).href;
  const asc = await import(compiler);
  const files = new Map();
  for (const name of await readdir(join(root, "wasm"))) {
    files.set(name, await readFile(join(root, "wasm", name), "utf8"));
  }
  let wasm;
  const { error, stderr } = await asc.main(
    [
      source,
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
  const text = `/**
 * A compiled module. Generated from \`wasm/${source}\` by \`scripts/wasm.mjs\`: don't edit.
 *
 * @module
 */

/** ${wasm.length} bytes of WebAssembly, as base64. */
export const ${constant}: string =
  "${Buffer.from(wasm).toString("base64")}";
`;
  return { target, text, size: wasm.length };
}

/** Compressed, it is a third of its size, in a package and in a bundle. The compressor's bytes are the same everywhere. */
async function zstd() {
  const { gzipSync } = await import("fflate");
  const wasm = await readFile(join(root, "node_modules/@bokuweb/zstd-wasm/dist/web/zstd.wasm"));
  const packed = gzipSync(wasm, { level: 9, mtime: 0 });
  const text = `/**
 * Zstandard, compiled to WebAssembly. Generated from \`zstd.wasm\` of the package \`@bokuweb/zstd-wasm\` 0.0.27 (MIT;
 * it holds zstd, BSD, Copyright (c) Meta Platforms, Inc. and affiliates) by \`scripts/wasm.mjs\`: don't edit.
 *
 * @module
 */

/** A gzip member that holds ${wasm.length} bytes of WebAssembly, as base64. */
export const ZSTD_MODULE: string =
  "${Buffer.from(packed).toString("base64")}";

/** The size of what it holds. */
export const ZSTD_MODULE_SIZE = ${wasm.length};
`;
  return { target: "src/codec/zstd_wasm.ts", text, size: packed.length };
}

async function main() {
  const { values } = flagsOf(import.meta.url, { options: { check: { type: "boolean", default: false } } });
  await install("scripts/tools", (line) => console.error(line));
  if (values.check) {
    const { ok, output } = await checkKernels();
    console.log(ok ? "All modules are up to date" : output);
    if (!ok) process.exitCode = 1;
    return;
  }
  for (const { target, text, size } of await compileKernels()) {
    await writeFile(join(root, target), text);
    console.log(`Wrote ${size} bytes to ${target}`);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await main().catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}
