/**
 * Other people's clients against the embedded broker: `sluice broker` must pass for a Kafka.
 *
 * The Java producer, librdkafka and kafkajs write with every codec; their consumers read everything back, that of
 * kafkajs as the member of a group. Then they do so in transactions, and kafkajs looks after topics and groups.
 */
import { join } from "node:path";
import { build } from "../../scripts/build.mjs";
import { startBroker } from "../../scripts/lib/broker_process.mjs";
import { root } from "../../scripts/lib/tools.mjs";
import { clientNames, prepareClient, runClient } from "./clients.mjs";
import { runTransactions } from "./embedded_transactions.mjs";
import { compareOrder, compareRecords, forKafkajs } from "./compare.mjs";
import { readAll } from "./matrix.mjs";
import { runKafkaJSAdmin } from "./kafkajs_admin.mjs";
import { interopRecords, partitionCount } from "./records.mjs";

/** Starts the broker and lets the other clients at it. */
export async function runEmbeddedPart({ libs, wanted, tally }) {
  const clients = [];
  for (const name of clientNames) {
    const reason = await prepareClient(name, libs);
    if (reason === undefined) clients.push(name);
    else tally.skip(`embedded broker: ${name}`, reason, name === "librdkafka");
  }
  await build();
  const broker = await startBroker({ command: [process.execPath, join(root, "dist/esm/bin.js")] });
  try {
    await runClients({ brokers: broker.address, libs, clients, wanted, tally });
  } finally {
    await broker.stop();
  }
  await runTransactions({ libs, clients, tally });
  if (clients.includes("kafkajs")) await runKafkaJSAdmin({ tally });
}

async function runClients({ brokers, libs, clients, wanted, tally }) {
  const all = interopRecords();
  const recordsOf = (client) => client === "kafkajs" ? forKafkajs(all) : all;
  const topicsOf = (client) =>
    wanted.codecs.map((codec) => ({ topic: `embedded-${client}-${codec}`, client, codec, acks: "all" }));
  const topics = clients.flatMap(topicsOf);
  const names = topics.map(({ topic }) => topic);

  await runClient("java", libs, "create", { brokers, partitions: partitionCount, topics: names });
  const failures = new Map(
    await Promise.all(clients.map(async (client) => {
      const plan = { brokers, topics: topicsOf(client), records: recordsOf(client) };
      const problem = await runClient(client, libs, "produce", plan).then(() => undefined, (error) => error.message);
      return [client, problem];
    })),
  );
  for (const [client, problem] of failures) {
    tally.check(`embedded broker: ${client} produces with every codec`, problem === undefined ? [] : [problem]);
  }

  const expected = topics.map(({ topic, client }) => ({ topic, count: recordsOf(client).length }));
  const found = await readAll({ brokers, libs, readers: clients, topics: expected });
  for (const reader of clients) {
    const got = found.get(reader);
    for (const { topic, client, codec } of topics) {
      const records = recordsOf(client);
      const seen = got instanceof Error ? [] : got.get(topic) ?? [];
      tally.check(`embedded broker: ${client} ${codec} read by ${reader}`, [
        ...got instanceof Error ? [got.message] : [],
        ...compareRecords(records, seen, { looseHeaders: client === "kafkajs" || reader === "kafkajs" }),
        ...compareOrder(records, seen),
      ]);
    }
  }
}
