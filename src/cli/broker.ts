/**
 * `sluice broker`: the embedded broker on a port, for other clients to talk to.
 *
 * @module
 */

import { KafkaError } from "../errors.ts";
import { reasonOf as showReason, show } from "../show.ts";
import { certificateAuthority, EmbeddedCluster } from "../testing/mod.ts";
import { readStored } from "../testing/storage/stored_record.ts";
import type { BrokerCommand } from "./broker_command.ts";
import { complain } from "./complaint.ts";
import { compileTemplate, type Printer } from "./escapes.ts";
import type { CliIo } from "./io.ts";
import { Output } from "./output.ts";
import { printOptions } from "./printing.ts";

/** How often it is looked whether something has arrived, in ms. */
const LOOK_MS = 50;

/** Runs until it is interrupted, which is its regular end. Returns the exit code. */
export async function runBroker(command: BrokerCommand, io: CliIo): Promise<number> {
  const { host, port, brokers, topics, autoCreate, users, faults, print } = command;
  const ca = command.tls ? certificateAuthority() : undefined;
  const hosts = [...new Set(["localhost", "127.0.0.1", host])].filter((name) => !name.includes(":"));
  const secure = ca === undefined ? {} : { tls: ca.issue({ name: "sluice broker", hosts }) };
  const printer = print === undefined ? undefined : compileTemplate("format", print, printOptions(io, ""));
  const cluster = new EmbeddedCluster({
    brokers,
    topics: Object.fromEntries(topics.map(({ name, partitions }) => [name, partitions])),
    autoCreateTopics: autoCreate,
    record: false,
    // Other clients may pad their requests, as they may with Kafka.
    strictRequests: false,
    ...Object.keys(users).length === 0 ? {} : { sasl: { users } },
  });
  // The one that was added last is asked first: those that are written first come first.
  for (const { api, action, times } of [...faults].reverse()) cluster.control(api, action, { times });
  // Before listening, so that who reads the first line may already ask to stop.
  const stop = new AbortController();
  const interrupted = new Promise<void>((resolve) => {
    io.onInterrupt(() => {
      stop.abort();
      resolve();
    });
  });
  let listening;
  try {
    listening = await cluster.listen({ host, port, ...secure });
  } catch (error) {
    const reason = error instanceof KafkaError ? error.cause : error;
    if (error instanceof KafkaError && reason === undefined) throw error;
    complain(io, `Cannot listen on ${show(placesOf(command))}: ${reasonOf(reason)}`);
    return 1;
  }
  // In one piece a file of certificates: what stands before the first one is passed over by who reads them.
  io.stdout(`Listening on ${listening.brokers}\n${ca?.cert ?? ""}`);
  const printing = printer === undefined ? undefined : printArrivals(cluster, io, printer, stop.signal);
  await interrupted;
  await listening.close();
  await printing;
  return 0;
}

/** Prints the records of all topics as they arrive, until it is told to stop. */
async function printArrivals(
  cluster: EmbeddedCluster,
  io: CliIo,
  printer: Printer,
  signal: AbortSignal,
): Promise<void> {
  const output = new Output(io);
  /** The offset behind what was printed of each partition. */
  const printed = new Map<string, bigint>();
  for (let isLast = false; !isLast && !output.isGone;) {
    isLast = signal.aborted;
    for (const topic of cluster.topics) {
      for (const { index, log } of topic.partitions) {
        const key = `${index} ${topic.name}`;
        // A topic that was deleted and made again begins anew.
        const known = printed.get(key) ?? 0n;
        const from = log.endOffset < known ? 0n : known;
        if (log.endOffset === from) continue;
        printed.set(key, log.endOffset);
        for (const bytes of log.read(from, Infinity)) {
          for await (const record of readStored(topic.name, index, bytes, cluster.decompress)) {
            if (record.offset >= from) output.print(printer({ ...record, timestamp: Number(record.timestamp) }));
          }
        }
      }
    }
    await output.flush();
    if (!isLast) await io.sleep(LOOK_MS);
  }
}

function placesOf({ host, port, brokers }: BrokerCommand): string {
  return port === 0 || brokers === 1 ? `${host}:${port}` : `${host}:${port} to ${port + brokers - 1}`;
}

/** Why it can't listen, and what to do. */
function reasonOf(error: unknown): string {
  switch ((error as { readonly code?: string } | undefined)?.code) {
    case "EADDRINUSE":
      return "the port is taken. End what listens there, or take another one with --port N (0 finds one that is free)";
    case "EACCES":
      return "permission denied. Take a port from 1024 on with --port N (0 finds one that is free)";
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return "this machine has no such address. Take one of its own with --host HOST, or leave it out for 127.0.0.1";
    default:
      return `${showReason(error)}. Take another port with --port N (0 finds one that is free)`;
  }
}
