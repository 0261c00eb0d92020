/**
 * What a transaction costs above the same records without one, in one process, by turns, and what the least of it could
 * be: a request and its answer over a bare socket, which EndTxn has to be.
 *
 *     node scripts/bench/transactions.mjs [--records 1000] [--rounds 2000] [--batch] [--source /path/of/another/mod.ts]
 *
 * Each record is sent by itself, or with `--batch` all of them by one `sendBatch`, as in T1000 of the benchmarks.
 * In µs of CPU of the process for each round, all threads, against the null broker: the least and the median. What is
 * compiled in the first rounds is left out.
 */
import { Buffer } from "node:buffer";
import { connect } from "node:net";
import { pathToFileURL } from "node:url";
import { join } from "node:path";
import { flagsOf } from "../lib/flags.mjs";
import { root } from "../lib/tools.mjs";
import { startBroker } from "./brokers.mjs";
import { bundleSluice } from "./bundle.mjs";
import { workNamed } from "./works.mjs";

const { values: flags } = flagsOf(import.meta.url, {
  options: {
    records: { type: "string", default: "1000" },
    rounds: { type: "string", default: "2000" },
    batch: { type: "boolean", default: false },
    source: { type: "string", default: join(root, "mod.ts") },
  },
});
const rounds = Number(flags.rounds);
const roundsBefore = Math.ceil(rounds / 4);

process.once("SIGINT", () => process.exit(130));
const broker = await startBroker("null");
try {
  const { Producer, TransactionalProducer } = await import(pathToFileURL(await bundleSluice(flags.source)).href);
  const topic = await broker.makeTopic(workNamed("T1000"), "transactions");
  const brokers = broker.address;
  const idempotent = new Producer({ brokers, idempotent: true });
  const transactional = new TransactionalProducer({ brokers, transactionalId: topic });
  const socket = await openSocket(brokers);
  const values = Array.from({ length: Number(flags.records) }, (_, i) => Buffer.alloc(256, i));
  const all = (producer) =>
    flags.batch
      ? producer.sendBatch(values.map((value) => ({ topic, value })))
      : Promise.all(values.map((value) => producer.send({ topic, value })));

  /** @type {Record<string, () => Promise<unknown>>} */
  const subjects = {
    "idempotent": () => all(idempotent),
    "transaction": () => transactional.transaction((tx) => all(tx)),
    "bare round trip": () => socket.ask(),
  };
  const spent = Object.fromEntries(Object.keys(subjects).map((name) => [name, /** @type {number[]} */ ([])]));
  for (let round = 0; round < roundsBefore + rounds; round++) {
    for (const [name, subject] of Object.entries(subjects)) {
      const before = process.cpuUsage();
      await subject();
      const { user, system } = process.cpuUsage(before);
      if (round >= roundsBefore) spent[name].push(user + system);
    }
  }

  console.log(`${flags.records} records a round, ${rounds} rounds, µs of CPU a round`);
  const medians = {};
  for (const [name, each] of Object.entries(spent)) {
    each.sort((a, b) => a - b);
    medians[name] = each[each.length >> 1];
    console.log(`  ${name.padEnd(16)} least ${each[0]}, median ${medians[name]}`);
  }
  const share = (us) => `${us} µs, ${(us / medians.idempotent * 100).toFixed(0)} % of the idempotent producer's round`;
  console.log(`  a transaction takes ${share(medians.transaction - medians.idempotent)} more`);
  console.log(`  a bare round trip alone is ${share(medians["bare round trip"])}`);
  await Promise.all([idempotent.close(), transactional.close()]);
} finally {
  await broker.stop();
}
process.exit();

/** A socket that asks for the broker's versions and waits for the answer: nobody decodes anything. */
async function openSocket(address) {
  const [host, port] = address.split(":");
  const socket = connect({ host, port: Number(port), noDelay: true });
  await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  // Size, ApiVersions 0, correlation id, no client id.
  const request = Buffer.from([0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 255, 255]);
  let answered = () => {};
  socket.on("data", () => answered());
  const ask = () =>
    new Promise((resolve) => {
      answered = () => resolve(undefined);
      socket.write(request);
    });
  return { ask };
}
