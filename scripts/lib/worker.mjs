/** Bundles for workerd and other runtimes, and how workerd is made to run one. */

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { root, run } from "./tools.mjs";

/** The conditions of wrangler. */
export const workerConditions = ["workerd", "worker", "browser"];

/**
 * Bundles, for workerd unless other conditions are given. The tests are imported for their effect, which
 * `sideEffects: false` would drop. As "browser", packages show what they have in place of Node's modules, as under wrangler.
 *
 * @param {string} entry
 * @param {string} outfile
 * @param {string[]} [conditions]
 * @param {"neutral" | "browser"} [platform]
 */
export async function bundle(entry, outfile, conditions = workerConditions, platform = "neutral") {
  const { build: esbuild } = await import("esbuild");
  await esbuild({
    absWorkingDir: root,
    entryPoints: [entry],
    outfile,
    bundle: true,
    format: "esm",
    platform,
    target: "es2022",
    mainFields: platform === "browser" ? ["browser", "module", "main"] : ["module", "main"],
    conditions,
    external: ["cloudflare:*", "node:*"],
    loader: { ".wasm": "binary" },
    ignoreAnnotations: true,
    keepNames: true,
    logLevel: "silent",
  });
}

/**
 * Runs the `test` handler of a bundled worker, as `run` of `tools.mjs` does. It trusts the authorities (PEM) beside those
 * of browsers.
 *
 * @param {string} binary
 * @param {string} dir
 * @param {string} file
 * @param {string[]} flags
 * @param {import("./tools.mjs").RunOptions & { authorities?: string[] }} options
 */
export async function runWorker(binary, dir, file, flags, { authorities = [], ...options }) {
  const config = join(dir, `${file}.capnp`);
  const trusted = authorities.map((pem) => JSON.stringify(pem)).join(", ");
  await writeFile(
    config,
    `using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    (name = "internet", network = (allow = ["public", "private"], tlsOptions = (trustBrowserCas = true, trustedCertificates = [${trusted}]))),
  ],
);

const worker :Workerd.Worker = (
  modules = [(name = "worker", esModule = embed "${file}")],
  compatibilityDate = "2025-06-01",
  compatibilityFlags = [${flags.map((flag) => JSON.stringify(flag)).join(", ")}],
  bindings = [(name = "SELF", service = "main")],
);
`,
  );
  return await run(binary, ["test", config], options);
}
