/**
 * How long the kernels take, in JavaScript and in WebAssembly, on each runtime.
 *
 *     node scripts/bench/kernels.mjs [node24 deno bun …]
 *
 * Each figure is the best of several rounds, in ns per KiB of input with the copies into and out of the module; on
 * inputs of different content by turns, because a branch predictor learns a single one by heart.
 */

import { fileURLToPath } from "node:url";
import { root, run, runtimeBinary } from "../lib/tools.mjs";

const sizes = [128, 256, 512, 1024, 2048, 4096, 16_384, 131_072, 1_048_576];
/** Larger inputs go to a thread, whose time isn't seen here. */
const maxSyncZlib = 32_768;
const roundMs = 4;
const rounds = 20;

/** Measures on this runtime; prints the rows as JSON. */
async function measure() {
  const { javaScriptKernels, kernels } = await import("../../src/codec/kernels.ts");
  const { loadCodec, resolveCodec } = await import("../../src/codec/registry.ts");
  const fflate = resolveCodec("gzip", { codecs: "portable", level: 1 });
  const zlib = resolveCodec("gzip", { level: 1 });
  const gzip = resolveCodec("gzip", { codecs: "portable" });
  await loadCodec(fflate);
  /** @type {Record<string, Record<"javascript" | "webassembly", (bytes: Uint8Array) => any>>} */
  const jobs = {
    "crc-32c": {
      javascript: (bytes) => javaScriptKernels.crc32c(bytes, 21, bytes.length),
      webassembly: (bytes) => kernels.crc32c(bytes, 21, bytes.length),
    },
    lz4: { javascript: javaScriptKernels.lz4Compress, webassembly: kernels.lz4Compress },
    snappy: { javascript: javaScriptKernels.snappyCompress, webassembly: kernels.snappyCompress },
    "gzip, fflate 1": { javascript: (bytes) => fflate.compress(bytes), webassembly: (bytes) => gzip.compress(bytes) },
    "gzip, zlib 1": { javascript: (bytes) => zlib.compress(bytes), webassembly: (bytes) => gzip.compress(bytes) },
  };
  const rows = [];
  for (const size of sizes) {
    const inputs = Array.from({ length: size > 100_000 ? 2 : 16 }, (_, i) => jsonRecords(size, i + 1));
    for (const [job, variants] of Object.entries(jobs)) {
      if (job === "gzip, zlib 1" && size >= maxSyncZlib) continue;
      const row = { job, size };
      for (const [name, body] of Object.entries(variants)) row[name] = best(body, inputs);
      if (job !== "crc-32c") {
        row.ratio = inputs.reduce((sum, input) => sum + variants.webassembly(input).length / input.length, 0) /
          inputs.length;
      }
      rows.push(row);
    }
  }
  console.log(`@@rows ${JSON.stringify(rows)}`);
}

/** The ns per KiB of the best round. */
function best(body, inputs) {
  let calls = 1;
  let bestMs = Infinity;
  for (let round = -3; round < rounds; round++) {
    const startedMs = performance.now();
    for (let i = 0; i < calls; i++) for (const input of inputs) body(input);
    const elapsedMs = performance.now() - startedMs;
    if (round >= 0) bestMs = Math.min(bestMs, elapsedMs / calls);
    else calls = Math.max(1, Math.ceil(calls * roundMs / Math.max(elapsedMs, 0.01)));
  }
  return bestMs * 1e6 / inputs.reduce((sum, input) => sum + input.length, 0) * 1024;
}

/** Events of a shop, about 1 KiB each, cut at `size` bytes. */
export function jsonRecords(size, seed) {
  let state = Math.imul(seed, 0x9e3779b1) | 1;
  const random = (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
  const words = "ship red cart order blue price late stock gift total small return customer parcel street number".split(
    " ",
  );
  const text = (count) => Array.from({ length: count }, () => words[random(words.length)]).join(" ");
  const lines = [];
  for (let length = 0; length < size; length += lines.at(-1).length) {
    lines.push(JSON.stringify({
      id: `${random(2 ** 32).toString(16)}-${random(2 ** 32).toString(16)}`,
      time: 1_760_000_000_000 + random(1e9),
      event: ["view", "click", "purchase", "refund"][random(4)],
      user: {
        id: random(100_000),
        name: text(2),
        email: `${text(1)}${random(1000)}@example.com`,
        vip: random(2) === 1,
      },
      page: `/products/${random(5000)}?from=${text(1)}`,
      items: Array.from(
        { length: 4 },
        () => ({ sku: `SKU-${random(1e6)}`, quantity: random(5) + 1, price: random(1e4) / 100 }),
      ),
      session: random(2 ** 32).toString(36) + random(2 ** 32).toString(36),
      agent: `Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/${100 + random(30)}.0.0.0 Safari/537.36`,
      comment: text(60),
    }));
  }
  return new TextEncoder().encode(lines.join("\n")).slice(0, size);
}

async function compare(names) {
  const file = fileURLToPath(import.meta.url);
  for (const name of names) {
    const binary = runtimeBinary(name);
    if (binary === undefined) {
      console.log(`${name} is not installed`);
      continue;
    }
    const args = name === "deno" ? ["run", "--allow-all", "--no-check", file, "--measure"] : [file, "--measure"];
    const { output } = await run(binary, args, { cwd: root, timeoutMs: 120_000 });
    const rows = output.split("\n").find((line) => line.startsWith("@@rows "));
    if (rows === undefined) throw new Error(`Measuring on ${name} failed\n${output.slice(-2000)}`);
    console.log(`\n${name}, ns per KiB\n${table(JSON.parse(rows.slice(7)))}`);
  }
}

function table(rows) {
  const cells = rows.map(({ job, size, javascript, webassembly, ratio }) => [
    job,
    String(size),
    javascript.toFixed(0),
    webassembly.toFixed(0),
    `${(javascript / webassembly).toFixed(2)}×`,
    ratio === undefined ? "" : ratio.toFixed(3),
  ]);
  const all = [["kernel", "bytes", "without", "wasm", "faster", "ratio"], ...cells];
  const widths = all[0].map((_, column) => Math.max(...all.map((row) => row[column].length)));
  return all.map((row) => row.map((cell, i) => i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])).join("  "))
    .join("\n");
}

if (import.meta.url.endsWith("kernels.mjs") && process.argv[1]?.endsWith("kernels.mjs")) {
  if (process.argv.includes("--measure")) await measure();
  else await compare(process.argv.length > 2 ? process.argv.slice(2) : ["node24", "deno", "bun"]);
}
