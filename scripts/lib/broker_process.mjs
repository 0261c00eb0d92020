/** `sluice broker` as a process of its own, and what is in its log. */

import { startProgram } from "./program.mjs";
import { compiled } from "./runtimes.mjs";

/**
 * Starts `sluice broker` with topics such as `orders:3`, on a free port unless one is given; resolves when it listens. The
 * result is that of `startProgram` with its `address`.
 *
 * @param {{ command?: string[], topics?: string[], port?: number }} [options]
 */
export async function startBroker({ command = compiled, topics = [], port = 0 } = {}) {
  const named = topics.flatMap((topic) => ["--topic", topic]);
  const broker = startProgram([...command, "broker", "--port", String(port), ...named]);
  return { ...broker, address: await broker.line(/^Listening on (\S+)\n/m) };
}

/** Every record of a topic, partition by partition. */
export async function readRecords(brokers, topic) {
  const { readTopic } = await import("../../dist/src/testing/mod.js");
  const { selectSockets } = await import("../../dist/src/runtime/mod.js");
  const records = [];
  for await (const record of readTopic({ brokers, topic, sockets: selectSockets() })) records.push(record);
  return records;
}
