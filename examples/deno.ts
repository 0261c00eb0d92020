/**
 * The lines of standard input, or of a text of its own, from Deno; no more memory than `bufferMemory`.
 *
 *     npm run build
 *     node dist/esm/bin.js broker --topic lines &
 *     deno run --allow-net --allow-env examples/deno.ts < README.md
 */

import { Producer } from "@sluice/kafka";

const producer = new Producer({ brokers: Deno.env.get("KAFKA_BROKERS") ?? "localhost:9092" });

let delivered = 0;
const lines = Deno.stdin.isTerminal() ? ["to be", "or not to be"] : await readLines();
for (const value of lines) {
  // produce() makes no promise per record; it is false when the buffer is full, and nothing was taken then.
  const record = { topic: "lines", value };
  while (!producer.produce(record, (error) => void (error ? console.error(error.message) : delivered++))) {
    await producer.ready();
  }
}
await producer.flush();
await producer.close();
console.log(`${delivered} of ${lines.length} lines delivered`);

async function readLines(): Promise<string[]> {
  const text = await new Response(Deno.stdin.readable).text();
  return text.split("\n").slice(0, -1);
}
