/**
 * The examples of a Worker and of a Durable Object, in a local workerd, against a real Kafka over TLS with SCRAM. The
 * round trips that each request waits for are counted, and printed.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { legDir } from "../../../scripts/lib/legs.mjs";
import { freePort, startProgram } from "../../../scripts/lib/program.mjs";
import { root, runtimeBinary } from "../../../scripts/lib/tools.mjs";
import { bundle } from "../../../scripts/lib/worker.mjs";
import { post } from "../../programs/snippets.mjs";
import { runClient } from "../clients.mjs";

const examples = { worker: "hits", durable_object: "clicks" };

/**
 * A port that leads to another one, `lead(port)` says where, and counts what a client waits for: each connection, and each
 * time that it goes on after the broker has said something.
 */
export async function startMeter() {
  const counts = { connections: 0, flights: 0 };
  let target = 0;
  const server = createServer({ noDelay: true }, (client) => {
    counts.connections += 1;
    let isClientsTurn = true;
    const broker = connect({ port: target, host: "127.0.0.1", noDelay: true });
    client.on("data", (chunk) => {
      if (isClientsTurn) counts.flights += 1;
      isClientsTurn = false;
      broker.write(chunk);
    });
    broker.on("data", (chunk) => {
      isClientsTurn = true;
      client.write(chunk);
    });
    for (const [from, to] of [[client, broker], [broker, client]]) {
      from.on("end", () => to.end());
      from.on("error", () => to.destroy());
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return { port, lead: (port) => void (target = port), counts: () => ({ ...counts }), close: () => server.close() };
}

/** Posts to both examples, and reads back what they have delivered. */
export async function runWorkers({ version, kafka, meter, user, tally, log }) {
  const { brokers, ca, libs } = kafka;
  await runClient("java", libs, "create", { brokers, partitions: 1, topics: Object.values(examples) });
  for (const [name, topic] of Object.entries(examples)) {
    const values = Array.from({ length: 8 }, (_, i) => `${name} ${i}`);
    const problems = [];
    const tripsOf = await serve(name, { broker: `127.0.0.1:${meter.port}`, ca, user }, async (deliver) => {
      const trips = [];
      for (const value of values.slice(0, 3)) {
        const before = meter.counts();
        await deliver(value);
        const { connections, flights } = meter.counts();
        // A connection costs one before its first byte.
        trips.push(`${flights - before.flights + connections - before.connections}`);
      }
      await Promise.all(values.slice(3).map(deliver));
      return trips;
    }).catch((error) => void problems.push(error.message));
    const found = await runClient("java", libs, "read", {
      ...{ brokers, partitions: 1, withinMs: 60_000, topics: [{ topic, count: values.length }] },
    });
    const there = found.map(({ value }) => Buffer.from(value, "base64").toString()).sort();
    if (JSON.stringify(there) !== JSON.stringify(values)) problems.push(`the log has ${JSON.stringify(there)}`);
    tally.check(`Kafka ${version}, workerd: examples/${name}.ts delivers over TLS with SCRAM`, problems);
    log(
      `Kafka ${version}, workerd: examples/${name}.ts, round trips of the first three requests, TCP and TLS included: ${
        tripsOf?.join(", ")
      }`,
    );
  }
}

async function serve(name, { broker, ca, user }, use) {
  const dir = join(await legDir("security-examples"), name);
  await mkdir(dir, { recursive: true });
  await bundle(join(root, "examples", `${name}.ts`), join(dir, `${name}.js`));
  const text = await readFile(join(root, "examples", `${name}.capnp`), "utf8");
  const bindings = { KAFKA_BROKERS: broker, KAFKA_USERNAME: user[0], KAFKA_PASSWORD: user[1] };
  const all = Object.entries(bindings).map(([key, value]) => `(name = "${key}", text = ${JSON.stringify(value)})`);
  const trust = `, tlsOptions = (trustedCertificates = [${JSON.stringify(ca.cert)}])`;
  const config = text.replace("../.cache/", "")
    .replace('(name = "KAFKA_BROKERS", text = "127.0.0.1:9092")', all.join(", "))
    .replace('network = (allow = ["public", "private"]', (network) => network + trust);
  const path = join(dir, `${name}.capnp`);
  await writeFile(path, config);
  const address = `127.0.0.1:${await freePort()}`;
  const server = startProgram([runtimeBinary("workerd"), "serve", path, `--socket-addr=http=${address}`]);
  try {
    // So that starting it isn't measured: whatever it answers.
    await fetchWhenUp(`http://${address}/`, server);
    return await use(async (value) => {
      const response = await post(`http://${address}/`, value, server);
      const body = await response.text();
      if (response.status !== 200) throw new Error(`${response.status}: ${body}`);
    });
  } finally {
    await server.stop();
  }
}

/** workerd listens soon after its start; a connection tells, and no request is needed. */
async function fetchWhenUp(url, server) {
  const { hostname, port } = new URL(url);
  for (let attempt = 1;; attempt++) {
    const isUp = await new Promise((resolve) => {
      const socket = connect(Number(port), hostname, () => resolve(true)).on("error", () => resolve(false));
      socket.on("connect", () => socket.destroy());
    });
    if (isUp) return;
    if (attempt === 300) throw new Error(`workerd doesn't listen: ${server.output()}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
