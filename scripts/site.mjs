/**
 * `npm run site`: README.md and docs/ as a site, in `.cache/site`.
 *
 *     npm run site [-- --serve]
 *
 * Installs what it needs in `scripts/site`. A link that leads nowhere makes it fail. With `--serve` the site is shown at a
 * port of its own until Ctrl-C, and changed pages are shown at once after another `npm run site`.
 */

import { spawn } from "node:child_process";
import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, posix } from "node:path";
import { flagsOf } from "./lib/flags.mjs";
import { install } from "./lib/install.mjs";
import { listFiles, root } from "./lib/tools.mjs";

const site = join(root, "scripts/site");
const stage = join(site, ".stage");

/** Pages that aren't in docs/, and where they are on the site. */
const guests = {
  "README.md": "index.md",
  "docs/README.md": "contents.md",
  "ARCHITECTURE.md": "architecture.md",
  "CONTRIBUTING.md": "contributing.md",
  "CHANGELOG.md": "changelog.md",
};

/** The groups of the sidebar; pages that are named come first, in this order, others of the folder behind them. */
const groups = [
  { text: "Begin here", pages: ["start", "contents", "where", "troubleshooting"] },
  {
    text: "Guides",
    folder: "guides",
    pages: [
      "cookbook",
      "sending",
      "batching",
      "tuning",
      "delivery",
      "ordering",
      "compression",
      "serializers",
      "partitioning",
      "shutdown",
      "security",
      "testing",
      "admin",
      "around",
    ].map((name) => `guides/${name}`),
    more: ["transactions", "reader", "observability"],
  },
  { text: "Runtimes", folder: "runtimes", pages: ["node", "deno", "bun", "workers"].map((name) => `runtimes/${name}`) },
  { text: "From another client", folder: "migrate", pages: [] },
  { text: "Recipes", folder: "recipes", pages: [] },
  {
    text: "Reference",
    folder: "reference",
    pages: ["options", "errors", "metrics", "hooks", "cli", "api"].map((name) => `reference/${name}`),
  },
  { text: "Entry points", folder: "reference/api", pages: ["reference/api/kafka"], collapsed: true },
  { text: "Background", pages: ["guarantees", "delivery", "benchmarks", "architecture", "contributing", "changelog"] },
];

/** Copies the pages to where VitePress finds them, with links that lead on the site; examples become pages. */
async function stagePages() {
  await rm(stage, { recursive: true, force: true });
  const files = await listFiles("docs", () => true);
  const examples = await listFiles("examples", (path) => path.endsWith(".ts"));
  const target = (path) => {
    if (path in guests) return guests[path];
    if (path.startsWith("docs/")) return path.slice("docs/".length);
    if (examples.includes(path)) return `${path.replace(/\.ts$/, "")}.md`;
    return undefined;
  };
  const titles = new Map();
  const write = async (path, text) => {
    titles.set(path.replace(/\.md$/, ""), /^# (.*)$/m.exec(text)?.[1].replaceAll("`", "") ?? path);
    await mkdir(dirname(join(stage, path)), { recursive: true });
    await writeFile(join(stage, path), text);
  };
  for (const file of [...Object.keys(guests), ...files]) {
    const to = target(file);
    if (file.endsWith(".md")) {
      await write(to, shown(await readFile(join(root, file), "utf8"), file, to, target));
    } else {
      await mkdir(dirname(join(stage, to)), { recursive: true });
      await cp(join(root, file), join(stage, to));
    }
  }
  await mkdir(join(stage, "public"), { recursive: true });
  await cp(join(root, "llms.txt"), join(stage, "public/llms.txt"));
  for (const file of examples) {
    const code = await readFile(join(root, file), "utf8");
    await write(target(file), `# ${file}\n\n\`\`\`ts\n${code}\`\`\`\n`);
  }
  const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
  await writeFile(join(stage, "pages.json"), JSON.stringify({ version, sidebar: sidebarOf(titles) }));
}

/** A page as the site shows it: what is for the tests is left out, links lead on the site or are text. */
function shown(text, from, to, target) {
  const parts = text.split(/(^```[^]*?^```$)/m);
  return parts.map((part) => {
    if (part.startsWith("```text prints")) return `It prints:\n\n${part.replace("text prints", "text")}`;
    if (part.startsWith("```")) return part.replace(/^```(\w+)[^\n]*/, "```$1");
    return part.replace(/(!?\[[^\]]*\])\(([^)\s]+)\)/g, (link, label, where) => {
      if (/^(\w+:|#)/.test(where)) return link;
      const [path, heading] = where.split("#");
      const page = target(posix.join(posix.dirname(from), path));
      if (page === undefined) {
        return label.replace(
          /^\[([^]*)\]$/,
          path.includes("test/") ? "$1" : `$1 (\`${path.replace(/^(\.\.?\/)+/, "")}\`)`,
        );
      }
      const relative = posix.relative(posix.dirname(to), page);
      return `${label}(${relative.startsWith(".") ? relative : `./${relative}`}${
        heading === undefined ? "" : `#${heading}`
      })`;
    });
  }).join("");
}

function sidebarOf(titles) {
  return groups.map(({ text, folder, pages, more = [], collapsed }) => {
    const others = [...titles.keys()].filter((path) => folder !== undefined && posix.dirname(path) === folder);
    const paths = [...new Set([...pages, ...more, ...others.sort()])].filter((path) => titles.has(path));
    const items = paths.map((path) => ({ text: titles.get(path), link: `/${path}` }));
    return { text, items, ...(collapsed === undefined ? {} : { collapsed }) };
  }).filter(({ items }) => items.length > 0);
}

async function vitepress(...args) {
  const bin = join(site, "node_modules/vitepress/bin/vitepress.js");
  const child = spawn(process.execPath, [bin, ...args], { cwd: site, stdio: "inherit" });
  return await new Promise((resolve) => child.once("close", (code) => resolve(code ?? 1)));
}

const { values } = flagsOf(import.meta.url, { options: { serve: { type: "boolean", default: false } } });
await install("scripts/site", (line) => console.log(line));
await stagePages();
process.exitCode = await vitepress("build");
if (process.exitCode === 0) {
  console.log(`The site is in .cache/site, ${(await readdir(join(root, ".cache/site"))).length} files and folders`);
  if (values.serve) process.exitCode = await vitepress("preview");
}
