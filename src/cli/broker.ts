/**
 * `sluice broker`: the embedded broker on a port, for other clients to talk to.
 *
 * @module
 */

import { KafkaError } from "../errors.ts";
import { reasonOf as showReason, show } from "../show.ts";
import { certificateAuthority, EmbeddedCluster } from "../testing/mod.ts";
import type { BrokerCommand } from "./arguments.ts";
import { complain } from "./complaint.ts";
import type { CliIo } from "./io.ts";

/** Runs until it is interrupted, which is its regular end. Returns the exit code. */
export async function runBroker(command: BrokerCommand, io: CliIo): Promise<number> {
  const { host, port, brokers, topics, autoCreate } = command;
  const ca = command.tls ? certificateAuthority() : undefined;
  const hosts = [...new Set(["localhost", "127.0.0.1", host])].filter((name) => !name.includes(":"));
  const secure = ca === undefined ? {} : { tls: ca.issue({ name: "sluice broker", hosts }) };
  const cluster = new EmbeddedCluster({
    brokers,
    topics: Object.fromEntries(topics.map(({ name, partitions }) => [name, partitions])),
    autoCreateTopics: autoCreate,
    record: false,
    // Other clients may pad their requests, as they may with Kafka.
    strictRequests: false,
  });
  // Before listening, so that who reads the first line may already ask to stop.
  const interrupted = new Promise<void>((resolve) => io.onInterrupt(resolve));
  let listening;
  try {
    listening = await cluster.listen({ host, port, ...secure });
  } catch (error) {
    if (error instanceof KafkaError) throw error;
    complain(io, `Cannot listen on ${show(`${host}:${port}`)}: ${reasonOf(error)}, wanted a free --port (0 finds one)`);
    return 1;
  }
  // In one piece a file of certificates: what stands before the first one is passed over by who reads them.
  io.stdout(`Listening on ${listening.brokers}\n${ca?.cert ?? ""}`);
  await interrupted;
  await listening.close();
  return 0;
}

function reasonOf(error: unknown): string {
  const { code } = error as { code?: string };
  if (code === "EADDRINUSE") return "the port is taken";
  if (code === "EACCES") return "permission denied";
  return showReason(error);
}
