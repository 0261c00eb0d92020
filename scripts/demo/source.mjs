/** The data set of the demo, read apart from the client, to compare with. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { root } from "../lib/tools.mjs";
import { ContentDigest, partitionOf } from "./digest.mjs";

/** Flights in the United States: one JSON array of flat objects. */
export const sourceFile = join("node_modules", "vega-datasets", "data", "flights-200k.json");

/** The field that becomes the key. */
export const keyField = "distance";

/** The digest that every topic must have. */
export async function digestSource(partitions) {
  const digest = new ContentDigest();
  const text = await readFile(join(root, sourceFile), "utf8");
  for (const [value] of text.matchAll(/\{[^{}]*\}/g)) {
    const key = Buffer.from(String(JSON.parse(value)[keyField]));
    digest.add(partitionOf(key, partitions), key, Buffer.from(value));
  }
  return digest.finish();
}
