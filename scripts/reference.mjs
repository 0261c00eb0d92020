/**
 * `npm run reference`: writes docs/reference from the sources, all but the pages that others write, and llms.txt.
 *
 *     npm run reference [-- --check]
 *
 * With `--check` nothing is written, and a page that isn't what the sources say makes it fail. `npm run check` does that.
 */

import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "./build.mjs";
import { brokerAdvice, clientAdvice } from "./lib/advice.mjs";
import { declarations, errorCodes } from "./lib/declarations.mjs";
import { flagsOf } from "./lib/flags.mjs";
import { cacheDir, listFiles, root, run, runtimeBinary } from "./lib/tools.mjs";

const folder = "docs/reference";
const notice = "<!-- Written by `npm run reference` from the sources; edits here are lost. -->";

/** The pages by their paths, as `deno fmt` lays them out. */
export async function referencePages() {
  await build();
  const entries = await declarations();
  const pages = {
    "options.md": optionsPage(entries),
    "errors.md": await errorsPage(entries),
    "metrics.md": metricsPage(entries),
    "hooks.md": await hooksPage(entries),
    "cli.md": await cliPage(),
    ...apiPages(entries),
  };
  const done = await laidOut(
    Object.fromEntries(Object.entries(pages).map(([name, text]) => [`${folder}/${name}`, text])),
  );
  return { ...done, "llms.txt": await overview(done) };
}

/** All pages in a file for language models (llmstxt.org): what it is, how it is used, and a line for each page. */
async function overview(written) {
  const readme = await readFile(join(root, "README.md"), "utf8");
  const [, about] = /^# .*\n\n([^]*?)\n\n/.exec(readme);
  const example = /^```js node\n\/\/ .*\n([^]*?)^```$/m.exec(readme)[1];
  const paths = new Set([...await listFiles("docs", (path) => path.endsWith(".md")), ...Object.keys(written)]);
  const titled = await Promise.all(
    [...paths].sort().map(async (path) => {
      const text = written[path] ?? await readFile(join(root, path), "utf8");
      const title = /^# (.*)$/m.exec(text)?.[1] ?? path;
      const prose = text.replace(/^```[^]*?^```$/gm, "").replace(/<!--[^]*?-->/g, "").split(/\n{2,}/).slice(1)
        .find((part) => /^[\p{L}`"_*]/u.test(part.trim())) ?? "";
      const [sentence] = /^(`[^`]*`|[^.`]|\.(?!\s|$))*\.?/.exec(sentences(prose)) ?? [""];
      return [path, `- [${title}](${path}): ${sentence.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").replace(/:$/, ".")}`];
    }),
  );
  const under = (title, accept) => {
    const lines = titled.filter(([path]) => path !== "docs/README.md" && accept(path)).map(([, line]) => line);
    return lines.length === 0 ? [] : [`## ${title}\n\n${lines.join("\n")}`];
  };
  return [
    "# Sluice",
    `> ${sentences(about)}`,
    "The package is `@sluice/kafka`; what it has besides the producer are entry points such as `@sluice/kafka/testing`.",
    "```js\n" + example + "```",
    ...under("Begin here", (path) => /^docs\/(start|troubleshooting)\.md$/.test(path)),
    ...under("Guides", (path) => /^docs\/(guides\/.*|transactions|reader|observability)/.test(path)),
    ...under("Runtimes", (path) => path.startsWith("docs/runtimes/")),
    ...under("From another client", (path) => path.startsWith("docs/migrate/")),
    ...under("Recipes", (path) => path.startsWith("docs/recipes/")),
    ...under("Reference", (path) => /^docs\/reference\/[^/]*$/.test(path)),
    ...under("Background", (path) => /^docs\/(delivery|guarantees|benchmarks)\.md$/.test(path)),
    ...under("Optional", (path) => path.startsWith("docs/reference/api/")),
  ].join("\n\n") + "\n";
}

/** Formats all pages with one call. */
async function laidOut(pages) {
  const dir = join(cacheDir, `reference-${process.pid}`);
  try {
    for (const [path, text] of Object.entries(pages)) {
      await mkdir(dirname(join(dir, path)), { recursive: true });
      await writeFile(join(dir, path), text);
    }
    const { lineWidth } = JSON.parse(await readFile(join(root, "deno.json"), "utf8")).fmt;
    const args = ["fmt", "--no-config", `--line-width=${lineWidth}`, ...Object.keys(pages)];
    const { code, output } = await run(runtimeBinary("deno"), args, { cwd: dir });
    if (code !== 0) throw new Error(output);
    const done = Object.keys(pages).map(async (path) => [path, await readFile(join(dir, path), "utf8")]);
    return Object.fromEntries(await Promise.all(done));
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** Resolves to the paths of the pages that are not as the sources say, after `fix` has written them. */
export async function checkReference(fix) {
  const pages = await referencePages();
  const stale = [];
  for (const [path, text] of Object.entries(pages)) {
    const is = await readFile(join(root, path), "utf8").catch(() => "");
    if (is === text) continue;
    stale.push(path);
    if (!fix) continue;
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  for (const name of await readdir(join(root, folder, "api")).catch(() => [])) {
    const path = `${folder}/api/${name}`;
    if (path in pages) continue;
    stale.push(path);
    if (fix) await rm(join(root, path));
  }
  return stale;
}

const sentences = (text) => text.replace(/\s*\n\s*/g, " ").trim();
const cell = (text) => sentences(text).replaceAll("|", "\\|");
const code = (text) => text === "" ? "" : `\`${cell(text)}\``;
const tag = ({ tags }, name) => tags.find((each) => each.name === name)?.text ?? "";

function table(heads, rows) {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  return [line(heads), line(heads.map(() => "---")), ...rows.map(line)].join("\n");
}

const byName = (entries, name) => {
  const found = entries.flatMap(({ declared }) => declared).find((each) => each.name === name);
  if (found === undefined) throw new Error(`No entry point exports "${name}"`);
  return found;
};

/** The name of an entry point as it is imported. */
const imported = (path) => `@sluice/kafka${path.slice(1)}`;

function page(title, intro, ...parts) {
  return [`# ${title}`, notice, intro, ...parts].join("\n\n") + "\n";
}

/** Every exported interface of options, the producer's first; each is told once, where it is exported first. */
function optionsPage(entries) {
  const told = new Set();
  const parts = [];
  for (const { path, declared } of entries) {
    const found = declared.filter((it) =>
      /(Options|Spec|Compression)$/.test(it.name) && it.members.length > 0 && !told.has(it)
    );
    found.sort((a, b) => Number(b.name === "ProducerOptions") - Number(a.name === "ProducerOptions"));
    if (found.length === 0) continue;
    parts.push(`## ${imported(path)}`);
    for (const it of found) {
      told.add(it);
      const base = /extends (.*)$/s.exec(it.text)?.[1];
      const more = base === undefined ? [] : [`And those of ${code(base)}.`];
      parts.push(`### ${it.name}`, it.doc, ...more, optionRows(it));
    }
  }
  const intro =
    `\`brokers\` is the only option that is required. Names are Java's in camelCase, times are in milliseconds, sizes
in bytes. An unknown, wrong or conflicting option is a \`ConfigError\` when the producer is made, and \`validateConfig(options)\`
checks without a broker. What an option takes stands behind its meaning. \`presets\` are options that go together: [batching](../guides/batching.md),
[security](../guides/security.md).`;
  return page("Options", intro, ...parts);
}

function optionRows({ members }) {
  return table(
    ["option", "default", "meaning"],
    members.map((it) => {
      const type = it.isMethod ? it.text.replace(/^[^(]*/, "") : it.type;
      return [`\`${it.name}\``, defaultOf(it), `${cell(it.doc)} ${code(type)}`.trim()];
    }),
  );
}

function defaultOf(member) {
  const text = sentences(tag(member, "default"));
  if (text === "") return member.optional ? "" : "**required**";
  const [, value, rest] = /^(Infinity|-?[\d.]+|true|false|"[^"]*"|\[.*?\]|unset|none)(?![\w])(.*)$/s.exec(text) ??
    [, undefined, text];
  const shown = /^\d{4,}$/.test(value ?? "") ? Number(value).toLocaleString("en-US") : value;
  return cell(value === undefined ? rest : `\`${shown}\`${rest}`);
}

function metricsPage(entries) {
  const rows = ({ members }) =>
    table(
      ["name", "type", "what"],
      members.map((it) => [code(it.name.replaceAll('"', "")), code(it.type), cell(it.doc)]),
    );
  const [metrics, health] = ["ProducerMetrics", "BrokerHealth"].map((name) => byName(entries, name));
  return page(
    "Metrics",
    "`producer.metrics()` is a plain object, made when you ask: read it as often as you like, and hand it to whatever " +
      "collects your metrics. [Recipes and events](../observability.md).",
    sentences(metrics.doc),
    rows(metrics),
    "## Each broker (`brokers`)",
    sentences(health.doc),
    rows(health),
  );
}

/** The hooks with the fields of their events, and the names of what only the log is told. */
async function hooksPage(entries) {
  const sources = await listFiles("src", (path) => path.endsWith(".ts") && !/^src\/(testing|cli)\//.test(path));
  const texts = await Promise.all(sources.map((file) => readFile(join(root, file), "utf8")));
  const declared = texts.flatMap((text) => [...text.matchAll(/^\s*(on[A-Z]\w+): \[(?:"(\w+)", "(\w+)")?\]/gm)]);
  const levels = new Map(declared.map(([, hook, level, event]) => [hook, [level, event]]));
  const hooks = ["ConnectionHooks", "ProducerHooks"].flatMap((name) => byName(entries, name).members);
  const parts = hooks.map((hook) => {
    if (!levels.has(hook.name)) {
      throw new Error(`The table in src/producer/observe/hooks.ts lacks the hook "${hook.name}"`);
    }
    const [level, event] = levels.get(hook.name);
    const type = /event: (\w+)/.exec(hook.text)?.[1];
    const fields = byName(entries, type);
    const logged = event === undefined ? "Not in the log." : `In the log: \`${event}\` (${level}).`;
    return `### ${hook.name}\n\n${sentences(hook.doc)} ${logged}\n\n` +
      table(["field", "type", "what"], fields.members.map((it) => [code(it.name), code(it.type), cell(it.doc)]));
  });
  const written = new Map();
  for (const [, level, event] of texts.flatMap((text) => [...text.matchAll(/ogger\.(\w+)\?\.\("([a-z_]+)"/g)])) {
    written.set(event, level);
  }
  const others = [...written].filter(([event]) => ![...levels.values()].some(([, known]) => known === event))
    .sort();
  return page(
    "Hooks and log events",
    `${
      sentences(byName(entries, "ProducerHooks").doc)
    } Everything that a hook is told goes to the \`logger\` too; when each
event comes and what to do about it is in [what a producer tells](../observability.md).`,
    "```ts node\n" + `import { Producer } from "@sluice/kafka";

const producer = new Producer({
  brokers: "localhost:9092",
  hooks: { onRetry: ({ topic, attempts, error }) => console.log(topic, attempts, error.code) },
});
await producer.close();` + "\n```",
    "## Hooks",
    ...parts,
    "## Told to the log only",
    table(["event", "level"], others.map(([event, level]) => [code(event), level])),
  );
}

/** Classes, the client's own codes, and Kafka's; with what to do about each. */
async function errorsPage(entries) {
  const errors = await import(pathToFileURL(join(root, "dist/src/errors.js")).href);
  const { brokerError, errorCodes: knownCodes } = await import(
    pathToFileURL(join(root, "dist/src/protocol/error_codes.js")).href
  );
  const classes = Object.values(errors).filter((it) => typeof it === "function" && it.prototype instanceof Error);
  const yes = (truth) => truth ? "yes" : "";
  const classRows = classes.map((it) => {
    const sample = sampleOf(errors, it.name);
    const { doc } = byName(entries, it.name);
    const shown = ["KafkaError", "BrokerError"].includes(it.name) ? "" : code(sample.code);
    // Columns for the flags would be empty but for a few.
    const is = ["retriable", "fatal", "requiresAbort"].filter((flag) => sample[flag]).map(code).join(", ");
    const when = cell(doc.split("\n\n")[0]).replace(/ Fatal\.$/, "");
    return [`${code(it.name)} ${shown}`.trim(), is === "" ? when : `${when} It is ${is}.`];
  });
  const met = [...knownCodes().values()].filter(({ name, reason }) => name === "NONE" || reason !== "");
  const files = await listFiles("src", (path) => path.endsWith(".ts") && !/^src\/(testing|cli|compat)\//.test(path));
  const codes = await errorCodes(files);
  const own = [...codes.keys()].sort();
  demand(met.map(({ name }) => name), Object.keys(brokerAdvice), "brokerAdvice");
  demand(own, Object.keys(clientAdvice), "clientAdvice");
  const brokerRow = ({ code: number, name, retriable, persisted, reason }) => {
    const { name: className } = brokerError(number);
    return [
      String(number),
      code(name),
      className,
      yes(retriable),
      persisted,
      cell(reason),
      cell(brokerAdvice[name] ?? ""),
    ];
  };
  const rest = [...knownCodes().values()].filter((it) => !met.includes(it));
  return page(
    "Errors",
    `Every error is a \`KafkaError\`. Its fields answer what to do; its message is for people, and may change.
How to act on them: [delivery and errors](../guides/delivery.md).`,
    "## Fields",
    table(
      ["field", "type", "what"],
      byName(entries, "KafkaError").members.filter(({ isMethod }) => !isMethod).map((
        it,
      ) => [code(it.name), code(it.type), cell(it.doc)]),
    ),
    "## Classes",
    table(["class and `code`", "when"], classRows),
    "## Codes of the client",
    "An error that comes of another one may have its code. *Depends* is what the error itself says when it happens.",
    table(
      ["`code`", "class", "retriable", "persisted", "when", "what to do"],
      own.map((name) => ownRow(name, codes.get(name), errors)),
    ),
    "## Codes of brokers",
    `\`errorCode\` is the number, \`code\` the name. What is retriable is sent again by the producer: it reaches you when
\`deliveryTimeoutMs\` is over, as the \`cause\` of a \`DeliveryTimeoutError\`. The column *persisted* is about the attempt that was
answered so; the error of a send looks at all attempts.`,
    table(["", "`code`", "class", "retriable", "persisted", "reason", "what to do"], met.map(brokerRow)),
    "### Codes that a producer doesn't meet",
    rest.map(({ code: number, name }) => `\`${name}\` (${number})`).join(", ") + ".",
  );
}

/** The row of one of the client's own codes. What the places don't say is what the class says, or differs. */
function ownRow(name, places, errors) {
  const named = new Set(places.map(({ className }) => className).filter((it) => it in errors));
  const flags = places.map(({ className, retriable }) => {
    if (retriable === "true" || retriable === "false") return retriable === "true" ? "yes" : "no";
    if (retriable !== undefined) return "depends";
    return className in errors ? sampleOf(errors, className).retriable ? "yes" : "no" : "depends";
  });
  const persisted = places.map((place) =>
    /^(no|possibly|yes)$/.test(place.persisted ?? "") ? place.persisted : "depends"
  );
  const one = (values) => new Set(values).size === 1 ? values[0] : "depends";
  const [when, todo] = clientAdvice[name];
  return [code(name), [...named].sort().join(", "), one(flags), one(persisted), cell(when), cell(todo)];
}

const sampleOf = (errors, name) => name === "ConfigError" ? new errors[name]("option", "It.") : new errors[name]("It.");

function demand(wanted, has, table) {
  const missing = wanted.filter((name) => !has.includes(name));
  if (missing.length > 0) {
    throw new Error(`Say in ${table} of scripts/lib/advice.mjs what to do about ${missing.join(", ")}`);
  }
  const dead = has.filter((name) => !wanted.includes(name));
  if (dead.length > 0) {
    throw new Error(
      `Nothing has the code ${dead.join(", ")} any more: take it out of ${table} in scripts/lib/advice.mjs`,
    );
  }
}

/** An index, and a page for each entry point; what several of them export is on the page of the first. */
function apiPages(entries) {
  const home = new Map();
  const nameOf = (path) => path === "." ? "kafka" : path.slice(2).replaceAll("/", "-");
  const pages = {};
  const index = [];
  for (const { path, doc, declared } of entries) {
    const own = declared.filter((it) => !home.has(it));
    for (const it of own) home.set(it, nameOf(path));
    const others = declared.filter((it) => !own.includes(it));
    const file = `api/${nameOf(path)}.md`;
    const summary = sentences(doc.doc.split("\n\n")[0]);
    const sorted = own.toSorted((a, b) => order(a) - order(b) || (a.name < b.name ? -1 : 1));
    index.push(`## [${imported(path)}](${file})`, summary, listed(sorted, file));
    const same = others.length === 0
      ? []
      : [`From other entry points: ${
        others.map((it) => `[\`${it.name}\`](${home.get(it)}.md#${it.name.toLowerCase()})`).join(", ")
      }.`];
    pages[file] = page(imported(path), doc.doc, ...same, ...sorted.map(entry));
  }
  const intro = "Everything that can be imported. Each name has its signature, and what its docstring says.";
  return { "api.md": page("Every name", intro, ...index), ...pages };
}

const kinds = ["class", "function", "const", "interface", "type"];
const order = ({ kind }) => (kinds.indexOf(kind) + kinds.length) % kinds.length;

function listed(declared, file) {
  return kinds.map((kind) => {
    const names = declared.filter((it) => it.kind === kind).map(({ name }) =>
      `[\`${name}\`](${file}#${name.toLowerCase()})`
    );
    return names.length === 0 ? "" : `- ${kind === "class" ? "classes" : `${kind}s`}: ${names.join(", ")}`;
  }).filter((line) => line !== "").join("\n");
}

function entry(it) {
  const signature = "```ts ignore\n" + it.text + "\n```";
  return [`## ${it.name}`, it.doc, signature, notes(it), ...memberTable(it)].filter((part) => part !== "").join("\n\n");
}

/** What the tags say: errors, defaults, results, and examples. */
function notes({ tags }) {
  const words = { param: "", returns: "Returns ", throws: "Throws ", default: "Default: ", deprecated: "Deprecated: " };
  const lines = tags.filter(({ name }) => name in words).map(({ name, text }) => {
    const shown = name === "param" ? text.replace(/^(\S+) /, "`$1`: ") : text;
    return `- ${words[name]}${sentences(shown)}`;
  });
  const examples = tags.filter(({ name }) => name === "example").map(({ text }) =>
    text.replace(/^```ts$/m, "```ts ignore")
  );
  return [lines.join("\n"), ...examples].filter((part) => part !== "").join("\n\n");
}

function memberTable({ members }) {
  if (members.length === 0) return [];
  const rows = members.map((it) => {
    const [fallback, throws] = ["default", "throws"].map((name) => sentences(tag(it, name)));
    const more = [fallback === "" ? "" : `Default: ${fallback}.`, throws === "" ? "" : `Throws ${throws}.`].filter(
      Boolean,
    );
    return [code(it.text.replace(/\s*\n\s*/g, " ")), cell([sentences(it.doc), ...more].join(" "))];
  });
  return [table(["member", "what"], rows)];
}

/** The command line, from the table that its parser and its help are made from. */
async function cliPage() {
  const { commandSpecs } = await import("../dist/src/cli/options.js");
  const { listProperties } = await import("../dist/src/cli/properties.js");
  const fence = (text) => ["```text", text.trimEnd(), "```"].join("\n");
  const commands = commandSpecs.flatMap((spec) => [
    `## sluice ${spec.name}`,
    spec.summary,
    fence(spec.usage),
    table(
      ["option", "letter", "what"],
      spec.options.map(({ name, short, value, help }) => [
        code(`--${name}${value === undefined ? "" : ` ${value}`}`),
        short === undefined ? "" : code(`-${short}`),
        cell(escaped(help)),
      ]),
    ),
    ...spec.notes === undefined ? [] : [fence(spec.notes)],
    `Exit codes: 0 done; ${escaped(spec.exitCodes)}; 2 wrong usage or input.`,
    ["```sh", ...spec.examples, "```"].join("\n"),
  ]);
  return [
    "# The command line",
    notice,
    "`npx @sluice/kafka COMMAND`, `deno run -A jsr:@sluice/kafka/cli COMMAND`, or `sluice COMMAND` where the package is " +
    "installed, on Node, Deno and Bun. `sluice COMMAND --help` prints what stands here; " +
    "`sluice completion bash` (or `zsh`, `fish`) prints a script that completes commands and options.",
    "Letters are those of kcat where it has one; an option of kcat, of Java's console programs or of rpk that isn't here is " +
    "answered with what it is called here. Brokers come from `--brokers`, from a property, or from `KAFKA_BROKERS`. " +
    "Passwords belong into the file of `--config` (or `SLUICE_CONFIG`), which has `name=value` lines as Java reads " +
    "them, or one JSON object. A file may be shared: what it says for another kind of client is left out.",
    ...commands,
    "## Properties",
    "What `-X list` prints for a producer, and for a reader:",
    fence(listProperties("producer")),
    fence(listProperties("reader")),
    "",
  ].join("\n\n");
}

/** Text in Markdown: what would be taken for a link, emphasis or a tag is none. */
function escaped(text) {
  return text.replace(/[[\]*_<>]/g, "\\$&");
}

async function main() {
  const { values } = flagsOf(import.meta.url, { options: { check: { type: "boolean", default: false } } });
  const stale = await checkReference(!values.check);
  if (!values.check) {
    return console.log(stale.length === 0 ? "All pages are as they were" : `Wrote ${stale.join(", ")}`);
  }
  if (stale.length === 0) return;
  throw new Error(`${stale.join(", ")}: not what the sources say; run npm run reference`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await main().catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}
