/**
 * Runs oxlint with the rules of `.oxlintrc.json`, and holds the sources to what is known of them.
 *
 *     node scripts/lint.mjs [--fix]
 *
 * `scripts/lint_known.json` lists functions that were too complex, or had too many parameters, before there was a rule,
 * with a number for each. None may be added and none may grow; `--fix` takes from the list what has become better.
 */

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { install } from "./lib/install.mjs";
import { root, run } from "./lib/tools.mjs";

const knownFile = join(root, "scripts/lint_known.json");
const bin = join(root, "scripts/tools/node_modules/.bin");

/** What is checked: a sentence for it, and the rules that it comes from. */
const checks = {
  circles: ["no import circle, types included", "no-cycle"],
  runtimes: [
    "no runtime, clock or chance is named outside src/runtime",
    ...["no-restricted-globals", "no-restricted-imports", "no-restricted-properties"],
  ],
  parameters: ["no function has more than five parameters, but for those that had", "max-params"],
  complexity: ["no function is more complex than 14, but for those that were", "complexity"],
  promises: ["no promise is left alone", "no-floating-promises", "no-misused-promises", "no-for-in-array"],
};

/** Checks `mod.ts`, `core.ts` and `src`, of all or some of {@link checks}; resolves to `{ name, status, detail }` each. */
export async function runLint({ fix = false, only = Object.keys(checks) } = {}) {
  await install("scripts/tools");
  const found = await findings(fix);
  const known = JSON.parse(await readFile(knownFile, "utf8"));
  if (fix) await writeFile(knownFile, `${JSON.stringify(improved(known, found), null, 2)}\n`);
  return only.map((check) => {
    const [name, ...rules] = checks[check];
    const problems = rules.flatMap((rule) => excess(found.filter((each) => each.rule === rule), known[rule] ?? {}));
    return { name: `lint: ${name}`, status: problems.length === 0 ? "passed" : "failed", detail: problems.join("\n") };
  });
}

/** What oxlint finds: `{ rule, file, line, message, figure }`; the figure is the one that the rule limits, or 1. */
async function findings(fix) {
  const args = ["--type-aware", "--tsconfig=tsconfig.build.json", "--format=json", ...fix ? ["--fix"] : []];
  const env = { ...process.env, OXLINT_TSGOLINT_PATH: join(bin, "tsgolint") };
  const { output } = await run(join(bin, "oxlint"), [...args, "mod.ts", "core.ts", "src"], { env });
  let diagnostics;
  try {
    diagnostics = JSON.parse(output.slice(output.indexOf("{"))).diagnostics;
  } catch {
    throw new Error(`oxlint failed\n${output}`);
  }
  const rules = Object.values(checks).flat();
  return diagnostics.map(({ code, filename, labels, message, note = "" }) => ({
    rule: /\(([^)]+)\)/.exec(code ?? "")?.[1] ?? String(code),
    file: filename.replaceAll("\\", "/"),
    line: labels?.[0]?.span.line ?? 1,
    message: [message, note].join(" ").trim(),
    figure: Number(/complexity of (\d+)|parameters \((\d+)\)/.exec(message)?.slice(1).find(Boolean) ?? 1),
  })).filter(({ rule, file, message }) => {
    if (rules.includes(rule)) return true;
    throw new Error(`oxlint says of ${file}: ${message}`);
  });
}

/** What a file has more of than is known of it, or worse. */
function excess(found, known) {
  return [...new Set(found.map(({ file }) => file))].flatMap((file) => {
    const inFile = found.filter((each) => each.file === file);
    const figures = known[file] ?? [];
    const worst = inFile.toSorted((one, other) => other.figure - one.figure);
    return worst.every(({ figure }, i) => figure <= (figures[i] ?? 0)) ? [] : inFile.map(describe);
  });
}

function describe({ file, line, message, rule }) {
  return `${file}:${line} ${message} (${rule})`;
}

/** The list without what is no longer so. */
function improved(known, found) {
  return Object.fromEntries(
    Object.entries(known).map(([rule, files]) => [
      rule,
      Object.fromEntries(
        Object.entries(files).flatMap(([file, figures]) => {
          const now = found.filter((each) => each.rule === rule && each.file === file).map(({ figure }) => figure);
          const kept = now.toSorted((one, other) => other - one).slice(0, figures.length);
          return kept.length === 0 ? [] : [[file, kept.map((figure, i) => Math.min(figure, figures[i]))]];
        }),
      ),
    ]),
  );
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  for (const { name, status, detail } of await runLint({ fix: process.argv.includes("--fix") })) {
    console.log(`${status === "passed" ? "✓" : "✗"} ${name}${detail && `\n${detail.replace(/^/gm, "    ")}`}`);
    if (status === "failed") process.exitCode = 1;
  }
}
