/**
 * What TLS costs: the same records to the same Kafka in clear and over TLS, by Sluice and by kafkajs, and the same bytes
 * through bare sockets of Node, which is what no client can be faster than.
 *
 *     node scripts/bench/tls.mjs [--records 50000] [--rounds 3]
 *
 * Prints the median of the rounds; whoever is measured takes turns with the others.
 */
import { performance } from "node:perf_hooks";
import { connect, createServer } from "node:net";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import { pathToFileURL } from "node:url";
import { join } from "node:path";
import { createRequire } from "node:module";
import { build } from "../build.mjs";
import { startKafka } from "../kafka.mjs";
import { certificateAuthority } from "../lib/certificates.mjs";
import { flagsOf } from "../lib/flags.mjs";
import { install } from "../lib/install.mjs";
import { root } from "../lib/tools.mjs";
import { createTopic } from "./admin.mjs";

const bytes = 1_024;
const batch = 100;
const outstanding = 5;

const { values } = flagsOf(import.meta.url, {
  options: { records: { type: "string", default: "50000" }, rounds: { type: "string", default: "3" } },
});
const count = Math.ceil(Number(values.records) / batch) * batch;

await build();
await install("test/interop");
const { Producer } = await import(pathToFileURL(join(root, "dist/esm/mod.js")).href);
const { Kafka, logLevel, Partitioners } = createRequire(join(root, "test/interop/package.json"))("kafkajs");
const ca = certificateAuthority();
const { cert, key } = ca.issue({ name: "broker" });
const kafka = await startKafka({
  listeners: { SSL: "SSL" },
  config: { "ssl.keystore.type": "PEM", "ssl.keystore.key": key, "ssl.keystore.certificate.chain": cert },
});

/** Sends all batches, some at a time; resolves to records per ms. */
async function timed(send) {
  await send();
  let left = count / batch;
  const startedMs = performance.now();
  const caller = async () => {
    while (left-- > 0) await send();
  };
  await Promise.all(Array.from({ length: outstanding }, caller));
  return count / (performance.now() - startedMs);
}

async function sluice(topic, isSecure) {
  const options = isSecure ? { brokers: kafka.brokersOf("SSL"), tls: { ca: ca.cert } } : { brokers: kafka.brokers };
  const producer = new Producer({ ...options, lingerMs: 0 });
  const records = Array.from({ length: batch }, () => ({ topic, value: Buffer.alloc(bytes, "x") }));
  const rate = await timed(() => producer.sendBatch(records).all());
  await producer.close();
  return rate;
}

async function kafkajs(topic, isSecure) {
  const client = new Kafka({
    brokers: [isSecure ? kafka.brokersOf("SSL") : kafka.brokers],
    ...isSecure ? { ssl: { ca: [ca.cert] } } : {},
    logLevel: logLevel.NOTHING,
  });
  const producer = client.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
  const messages = Array.from({ length: batch }, () => ({ value: Buffer.alloc(bytes, "x") }));
  const rate = await timed(() => producer.send({ topic, messages }));
  await producer.disconnect();
  return rate;
}

/** The same bytes, answered batch by batch by a server in the same process. */
async function sockets(_topic, isSecure) {
  const size = batch * bytes;
  const serve = (socket) => {
    let got = 0;
    socket.on("data", (chunk) => {
      for (got += chunk.length; got >= size; got -= size) socket.write("+");
    });
    socket.on("error", () => {});
  };
  const server = isSecure ? createTlsServer({ cert, key }, serve) : createServer({ noDelay: true }, serve);
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  const address = { port, host: "127.0.0.1", noDelay: true };
  const socket = isSecure ? connectTls({ ...address, ca: ca.cert }) : connect(address);
  const waiting = [];
  socket.on("data", (chunk) => {
    for (let i = 0; i < chunk.length; i++) waiting.shift()();
  });
  const payload = Buffer.alloc(size, "x");
  const rate = await timed(() => {
    return new Promise((resolve) => {
      waiting.push(resolve);
      socket.write(payload);
    });
  });
  socket.destroy();
  server.close();
  return rate;
}

try {
  const { port } = kafka.nodes[0];
  await createTopic(port, "tls", 3);
  const clients = { sluice, kafkajs, "bare sockets": sockets };
  const rates = new Map();
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const [name, run] of Object.entries(clients)) {
      for (const isSecure of [false, true]) {
        const label = `${name} ${isSecure ? "TLS" : "clear"}`;
        rates.set(label, [...rates.get(label) ?? [], await run("tls", isSecure)]);
      }
    }
  }
  const median = (label) => rates.get(label).sort((a, b) => a - b)[Math.floor(rates.get(label).length / 2)];
  console.log(`${count} records of ${bytes} B in batches of ${batch}, ${outstanding} at a time, acks all, records/ms:`);
  for (const name of Object.keys(clients)) {
    const [clear, secure] = [median(`${name} clear`), median(`${name} TLS`)];
    const cost = (1_000 / secure - 1_000 / clear).toFixed(1);
    console.log(`${name}: clear ${clear.toFixed(1)}, TLS ${secure.toFixed(1)}; TLS costs ${cost} µs a record`);
  }
} finally {
  await kafka.stop();
}
process.exit();
