/**
 * Kafka's own message schemas: takes `common/message/*.json` out of the `kafka-clients` jar.
 *
 *     node scripts/schemas.mjs [--version 4.1.1]
 *
 * They end up in `.cache/schemas/<version>/`, one JSON file per message, without their `//` comments.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { inflateRawSync } from "node:zlib";
import { ensureKafka, kafkaVersions } from "./kafka.mjs";
import { flagsOf } from "./lib/flags.mjs";
import { cacheDir, moveIntoPlace } from "./lib/tools.mjs";

/** Extracts the schemas of one version from a folder of jars unless that was done; returns where they are. */
export function extractSchemas(version, libs) {
  const target = join(cacheDir, "schemas", version);
  if (existsSync(target)) return target;
  const jar = join(libs, `kafka-clients-${version}.jar`);
  const work = `${target}.${process.pid}`;
  mkdirSync(work, { recursive: true });
  let count = 0;
  for (const { name, bytes } of zipEntries(readFileSync(jar), /^common\/message\/[^/]+\.json$/)) {
    const text = bytes.toString("utf8").replace(/^\s*\/\/.*$/gm, "").trim();
    JSON.parse(text);
    writeFileSync(join(work, name.slice("common/message/".length)), `${text}\n`);
    count++;
  }
  if (count === 0) throw new Error(`Extracting schemas from "${jar}": wanted common/message/*.json, found none`);
  moveIntoPlace(work, target);
  return target;
}

const END_OF_DIRECTORY = 0x06054b50;
const DIRECTORY_ENTRY = 0x02014b50;
const DEFLATED = 8;

/** The files of a zip archive whose name matches, uncompressed. No encryption, no zip64: a jar of 10 MB has neither. */
function* zipEntries(zip, pattern) {
  let end = zip.length - 22;
  while (end >= 0 && zip.readUInt32LE(end) !== END_OF_DIRECTORY) end--;
  if (end < 0) throw new Error("Reading a jar: it has no zip directory");
  let at = zip.readUInt32LE(end + 16);
  for (let left = zip.readUInt16LE(end + 10); left > 0; left--) {
    if (zip.readUInt32LE(at) !== DIRECTORY_ENTRY) throw new Error(`Reading a jar: no directory entry at byte ${at}`);
    const method = zip.readUInt16LE(at + 10);
    const size = zip.readUInt32LE(at + 20);
    const nameLength = zip.readUInt16LE(at + 28);
    const local = zip.readUInt32LE(at + 42);
    const name = zip.toString("utf8", at + 46, at + 46 + nameLength);
    at += 46 + nameLength + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32);
    if (!pattern.test(name)) continue;
    const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
    const raw = zip.subarray(start, start + size);
    yield { name, bytes: method === DEFLATED ? inflateRawSync(raw) : raw };
  }
}

async function main() {
  const { values } = flagsOf(import.meta.url, { options: { version: { type: "string" } } });
  const version = values.version ?? kafkaVersions[0];
  const folder = extractSchemas(version, await ensureKafka(version));
  console.log(`${readdirSync(folder).length} schemas in ${folder}`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await main().catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}
