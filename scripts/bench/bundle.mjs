/** Bundles: Sluice as the drivers load it, and minimal programs whose size is a result. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { cacheDir, root } from "../lib/tools.mjs";

/**
 * How esbuild makes what every runtime loads.
 *
 * @type {import("esbuild").BuildOptions}
 */
const forEveryRuntime = {
  absWorkingDir: root,
  bundle: true,
  format: "esm",
  platform: "neutral",
  target: "es2022",
  mainFields: ["module", "main"],
  packages: "external",
  external: ["node:*", "cloudflare:*"],
  logLevel: "warning",
};

let bundleCount = 0;

/** Bundles a `mod.ts` into one file that every runtime loads; it goes when this process ends. */
export async function bundleSluice(source) {
  mkdirSync(join(cacheDir, "bench"), { recursive: true });
  const outfile = join(cacheDir, "bench", `sluice-${process.pid}-${++bundleCount}.mjs`);
  await build({ ...forEveryRuntime, entryPoints: [source], outfile });
  process.once("exit", () => rmSync(outfile, { force: true }));
  return outfile;
}

/** The smallest program of each client: connect, send a record, close. */
const minimal = {
  "sluice": `import { Producer } from "${join(root, "mod.ts")}";
    const producer = new Producer({ brokers: "b:9092" });
    await producer.send({ topic: "t", value: "v" });
    await producer.close();`,
  "kafkajs": `import { Kafka } from "kafkajs";
    const producer = new Kafka({ brokers: ["b:9092"] }).producer();
    await producer.connect();
    await producer.send({ topic: "t", messages: [{ value: "v" }] });
    await producer.disconnect();`,
  "platformatic": `import { Producer, stringSerializers } from "@platformatic/kafka";
    const producer = new Producer({ clientId: "c", bootstrapBrokers: ["b:9092"], serializers: stringSerializers });
    await producer.send({ messages: [{ topic: "t", value: "v" }] });
    await producer.close();`,
  "kafkats": `import { KafkaClient } from "@kafkats/client";
    const producer = new KafkaClient({ clientId: "c", brokers: ["b:9092"] }).producer();
    await producer.send("t", { value: "v" });
    await producer.disconnect();`,
  "kafka-ts": `import { createKafkaClient } from "kafka-ts";
    const client = createKafkaClient({ clientId: "c", bootstrapServers: [{ host: "b", port: 9092 }] });
    const producer = client.createProducer({});
    await producer.send([{ topic: "t", value: "v" }]);
    await producer.close();`,
};

/** Bytes of a client's minimal program with its WebAssembly, bundled and minified; undefined for what isn't JavaScript. */
export async function bundleSize(name) {
  if (!(name in minimal)) return undefined;
  const sluice = name === "sluice";
  const { outputFiles } = await build({
    absWorkingDir: root,
    stdin: { contents: minimal[name], resolveDir: sluice ? root : join(root, "scripts", "bench", "peers") },
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    target: "es2022",
    ...sluice
      ? { platform: "neutral", mainFields: ["module", "main"], conditions: ["workerd", "worker", "browser"] }
      : { platform: "node" },
    external: ["node:*", "cloudflare:*", "*.node", "lz4-napi", "snappy", "@node-rs/*"],
    outdir: join(cacheDir, "bench"), // nothing is written; names of WebAssembly files are made with it
    loader: { ".wasm": "file" },
    logLevel: "silent",
  });
  const sum = (sizeOf) => outputFiles.reduce((all, { contents }) => all + sizeOf(contents), 0);
  return { bytes: sum(({ length }) => length), gzipBytes: sum((bytes) => gzipSync(bytes, { level: 9 }).length) };
}
