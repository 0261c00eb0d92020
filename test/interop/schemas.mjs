/**
 * Our declarations beside Kafka's own message schemas: names, order, versions, nullability, tags, types, defaults.
 *
 *     node scripts/interop.mjs --part schemas
 *     node test/interop/schemas.mjs <folder of schemas>
 *
 * The second form imports the TypeScript sources and so needs a Node that strips types; the first one starts it on
 * such a Node and counts one test per API and Kafka version.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { run, runtimeBinary } from "../../scripts/lib/tools.mjs";
import { extractSchemas } from "../../scripts/schemas.mjs";

/** Compares all declarations with the schemas of one Kafka version. */
export async function runSchemasPart({ version, libs, tally }) {
  const folder = extractSchemas(version, libs);
  const node = runtimeBinary("node24") ?? process.execPath;
  const script = fileURLToPath(import.meta.url);
  const { code, output } = await run(node, ["--disable-warning=ExperimentalWarning", script, folder]);
  const reports = output.split("\n").map((line) => /^(ok|no) (\w+)(?:: (.*))?$/.exec(line)).filter((match) => match);
  const apis = new Set(reports.map(([, , api]) => api));
  for (const api of apis) {
    const differences = reports.filter((each) => each[1] === "no" && each[2] === api).map((each) => each[3]);
    tally.check(`Kafka ${version}: ${api} is declared as in its schema`, differences);
  }
  const failed = reports.some(([, verdict]) => verdict === "no");
  const ran = apis.size > 0 && (code === 0) === !failed;
  tally.check(`Kafka ${version}: all declarations are compared`, ran ? [] : [output.slice(-2_000)]);
}

/** Fields that a later version of Kafka calls otherwise; on the wire they are the same. */
const renamed = { generationId: "generationIdOrMemberEpoch" };

/** Walks one declaration and its two schemas; the result is a list of differences. */
function compareApi(api, folder, fieldsOf) {
  const differences = [];
  const read = (direction) => JSON.parse(readFileSync(join(folder, `${api.name}${direction}.json`), "utf8"));
  // Only the request's schema says whether the last version is for tests of brokers.
  const unstable = read("Request").latestVersionUnstable ? 1 : 0;
  for (const direction of ["Request", "Response"]) {
    const schema = read(direction);
    const report = (text) => differences.push(`${direction}: ${text}`);
    const expect = (what, ours, theirs) => {
      if (ours !== theirs) report(`${what}: ours ${ours}, Kafka's ${theirs}`);
    };
    const valid = rangeOf(schema.validVersions);
    const lastStable = valid[1] - unstable;
    const range = intersection([api.minVersion, api.maxVersion], [valid[0], lastStable]);
    if (range === undefined) {
      report(`no version in common: ours ${api.minVersion} to ${api.maxVersion}, Kafka's ${valid.join(" to ")}`);
      continue;
    }
    expect("key", api.key, schema.apiKey);
    if (api.maxVersion < lastStable) {
      report(`last version: ours ${api.maxVersion}, Kafka's ${lastStable}`);
    }
    const flexible = schema.flexibleVersions === "none" ? Infinity : rangeOf(schema.flexibleVersions)[0];
    expect("first flexible version", api.firstFlexible, flexible);
    const structs = new Map((schema.commonStructs ?? []).map(({ name, fields }) => [name, fields]));
    const context = { structs, report, expect };
    compareStruct("", fieldsOf(api.declaration[direction.toLowerCase()]), schema.fields, range, context);
  }
  return differences;
}

function compareStruct(path, fields, schemas, range, context) {
  const ours = fields.filter(({ since, until }) => intersection([since, until], range) !== undefined);
  const theirs = schemas.filter(({ versions }) => intersection(rangeOf(versions), range) !== undefined);
  const names = (list) => list.map(({ name }) => renamed[lowerFirst(name)] ?? lowerFirst(name)).join(" ");
  if (names(ours) !== names(theirs)) {
    context.report(`fields of "${path}": ours ${names(ours)}, Kafka's ${names(theirs)}`);
    return;
  }
  ours.forEach((field, i) => compareField(`${path}${field.name}`, field, theirs[i], range, context));
}

function compareField(path, field, schema, range, context) {
  const expect = (what, own, kafkas) => context.expect(`${path}, ${what}`, own, kafkas);
  const isArray = schema.type.startsWith("[]");
  const type = isArray ? schema.type.slice(2) : schema.type;
  const innerSchemas = schema.fields ?? context.structs.get(type);
  const versions = intersection(rangeOf(schema.versions), range);
  expect("array", field.isArray, isArray);
  expect("type", field.type, innerSchemas === undefined ? type : "struct");
  expect("versions", String(intersection([field.since, field.until], range)), String(versions));
  const nullable = intersection(rangeOf(schema.nullableVersions ?? "none"), versions);
  expect("nullable in", String(intersection([field.nullableSince, Infinity], versions)), String(nullable));
  expect("tag", field.tag, schema.tag);
  if (schema.tag !== undefined) {
    const tagged = intersection(rangeOf(schema.taggedVersions), range);
    expect("tagged versions", String(intersection([field.since, field.until], range)), String(tagged));
  }
  // Where every version has the field there is nothing to ignore.
  if (String(versions) !== String(range)) {
    expect("ignorable", field.ignorable, schema.ignorable ?? false);
  }
  if (field.type !== "struct" || field.isArray) {
    expect("default", shown(field.defaultValue), shown(defaultOf(schema, type, isArray)));
  }
  if (innerSchemas !== undefined) {
    compareStruct(`${path}.`, field.fields, innerSchemas, versions, context);
  }
}

/** The default of a schema's field, as we would hold it. */
function defaultOf(schema, type, isArray) {
  const text = schema.default === undefined ? undefined : String(schema.default);
  if (text === "null") return null;
  if (isArray) return [];
  if (type === "string") return text ?? "";
  if (type === "uuid") return text ?? "0".repeat(32);
  if (type === "bool") return text?.toLowerCase() === "true";
  if (type === "records") return null;
  if (type === "bytes") return new Uint8Array(0);
  return type === "int64" ? BigInt(text ?? 0) : Number(text ?? 0);
}

function shown(value) {
  return `${typeof value} ${value === null ? "null" : JSON.stringify(String(value))}`;
}

/** `"3"`, `"3-5"`, `"3+"` or `"none"` as first and last version. */
function rangeOf(text) {
  if (text === "none") return [Infinity, -Infinity];
  const match = /^(\d+)(?:-(\d+)|(\+))?$/.exec(text);
  if (match === null) {
    throw new Error(`Reading the versions "${text}": wanted "3", "3-5", "3+" or "none"`);
  }
  const first = Number(match[1]);
  return [first, match[3] === "+" ? Infinity : Number(match[2] ?? first)];
}

function intersection(a, b) {
  if (a === undefined || b === undefined) return undefined;
  const both = [Math.max(a[0], b[0]), Math.min(a[1], b[1])];
  return both[0] <= both[1] ? both : undefined;
}

function lowerFirst(name) {
  return name[0].toLowerCase() + name.slice(1);
}

async function main(folder) {
  if (folder === undefined) {
    throw new Error("Comparing schemas: wanted the folder of Kafka's schemas as argument");
  }
  const { fieldsOf } = await import("../../src/protocol/compile.ts");
  const messages = await import("../../src/protocol/messages/mod.ts");
  for (const api of Object.values(messages)) {
    const differences = compareApi(api, folder, fieldsOf);
    if (differences.length === 0) console.log(`ok ${api.name}`);
    for (const difference of differences) {
      console.log(`no ${api.name}: ${difference}`);
    }
    if (differences.length > 0) process.exitCode = 1;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await main(process.argv[2]);
}
