/** What one runtime asks a broker for its first record, printed as one line of JSON: claims_main <brokers> <topic>. */
import process from "node:process";
import { Producer } from "../../mod.ts";

const [brokers = "", topic = ""] = process.argv.slice(2);

// A cluster that has never given a producer id asks for patience at first.
const first = new Producer({ brokers });
await first.send({ topic, value: "first" });
await first.close();

const requests: string[] = [];
const connections = new Set<string>();
const producer = new Producer({
  brokers,
  hooks: {
    onRequest: ({ api }) => void requests.push(api),
    onConnect: ({ broker }) => void connections.add(broker),
  },
});
await producer.send({ topic, value: "second" });
const coldStart = { requests: [...requests], connections: connections.size };

await producer.close();
console.log(`@@claims ${JSON.stringify({ coldStart })}`);
