/**
 * What happened in a run, line by line: time, who, what.
 *
 * @module
 */

import type { RequestOf, ResponseOf } from "../../protocol/api.ts";
import { Metadata, Produce } from "../../protocol/messages/mod.ts";
import { BatchView } from "../storage/batch_view.ts";
import type { EmbeddedCluster } from "../cluster.ts";
import { RecordCursor } from "../../protocol/record_cursor.ts";
import type { VirtualRuntime } from "../doubles/virtual_runtime.ts";
import type { FaultPlan } from "./plan.ts";
import type { Exchange } from "./tap.ts";
import type { Sent, Told } from "./workload.ts";

/** Collects the lines of one run. */
export class Trace {
  /** The lines so far. */
  readonly lines: string[] = [];
  #runtime: VirtualRuntime | undefined;
  #cluster: EmbeddedCluster | undefined;

  /** @internal Takes the clock of a run that begins. */
  begin(runtime: VirtualRuntime, cluster: EmbeddedCluster): void {
    this.#runtime = runtime;
    this.#cluster = cluster;
  }

  /** Adds a line. */
  say(what: string): void {
    this.lines.push(`${(this.#runtime?.now() ?? 0).toFixed(0).padStart(7)} ms  ${what}`);
  }

  /** @internal */
  onFault(what: string, fault: FaultPlan): void {
    this.say(`FAULT ${fault.kind === "requests" ? what : `${what}: ${describeFault(fault)}`}`);
  }

  /** @internal */
  onCall({ plan }: Sent): void {
    const key = plan.key === undefined ? "" : ` key ${plan.key}`;
    this.say(`p${plan.producer} send ${plan.id} to ${plan.topic}-${plan.partition ?? "?"}${key} via ${plan.via}`);
  }

  /** @internal */
  onTold({ plan }: Sent, { error, metadata }: Told): void {
    const outcome = metadata === undefined
      ? `failed: ${error?.code ?? error?.name}, persisted ${error?.persisted}`
      : `delivered at ${metadata.topic}-${metadata.partition} @ ${metadata.offset}`;
    this.say(`p${plan.producer} told ${plan.id} ${outcome}`);
  }

  /** @internal */
  onRequest(who: string, exchange: Exchange): void {
    const { api, version, correlationId, request } = exchange;
    const details = api.key === Produce.key ? this.#batches(request as RequestOf<typeof Produce>) : "";
    this.say(`${who} → ${broker(exchange)} ${api.name} ${version} #${correlationId}${details}`);
  }

  /** @internal */
  onAnswer(who: string, exchange: Exchange | undefined, body: unknown): void {
    if (exchange === undefined) return this.say(`${who} ← an answer that nobody waits for`);
    const { api, correlationId } = exchange;
    let details = "";
    if (body === undefined) details = " (unreadable)";
    else if (api.key === Produce.key) details = this.#results(body as ResponseOf<typeof Produce>);
    else if (api.key === Metadata.key) details = leaders(body as ResponseOf<typeof Metadata>);
    this.say(`${who} ← ${broker(exchange)} ${api.name} #${correlationId}${details}`);
  }

  /** @internal */
  onConnection(who: string, address: string, connection: number, event: string): void {
    this.say(`${who} ${address.split(".")[0]} connection ${connection} ${event}`);
  }

  #batches(request: RequestOf<typeof Produce>): string {
    const batches = request.topicData.flatMap(({ name, topicId, partitionData }) =>
      partitionData.map(({ index, records }) => {
        if (records === null) return `${name}-${index} nothing`;
        const view = new BatchView(records);
        const stamp = view.producerId < 0n ? "" : ` epoch ${view.producerEpoch} seq ${view.baseSequence}`;
        return `${this.#nameOf(name, topicId)}-${index}${stamp} [${idsIn(view)}]`;
      })
    );
    return ` ${batches.join("; ")}`;
  }

  #results({ responses }: ResponseOf<typeof Produce>): string {
    const results = responses.flatMap(({ name, topicId, partitionResponses }) =>
      partitionResponses.map(({ index, errorCode, baseOffset }) =>
        `${this.#nameOf(name, topicId)}-${index} ${errorCode === 0 ? "ok" : `error ${errorCode}`} @ ${baseOffset}`
      )
    );
    return ` ${results.join("; ")}`;
  }

  #nameOf(name: string, topicId: string): string {
    return name || (this.#cluster?.topicById(topicId)?.name ?? topicId.slice(0, 6));
  }
}

function broker({ address, connection }: Exchange): string {
  return `${address.split(".")[0]} (connection ${connection})`;
}

function leaders({ topics }: ResponseOf<typeof Metadata>): string {
  const told = topics.map(({ name, errorCode, partitions }) => {
    const sorted = [...partitions].sort((a, b) => a.partitionIndex - b.partitionIndex);
    const list = sorted.map(({ leaderId, leaderEpoch }) => `${leaderId}/${leaderEpoch}`).join(" ");
    return `${name} ${errorCode === 0 ? `leaders ${list}` : `error ${errorCode}`}`;
  });
  return ` ${told.join("; ")}`;
}

/** The ids of the records in a batch, from their values. */
function idsIn(view: BatchView): string {
  if (view.codecId !== 0) return `${view.recordsCount} compressed`;
  const text = new TextDecoder("latin1").decode(view.records);
  const ids = [...text.matchAll(/(\d+)\|\d+\|[a-z]+\|/g)].map((match) => match[1]);
  const cursor = new RecordCursor(view.records, "broker");
  let count = 0;
  while (cursor.next()) count++;
  return ids.length === count ? ids.join(" ") : `${count} records`;
}

/** A fault in a few words. */
export function describeFault(fault: FaultPlan): string {
  const { kind, atMs, ...details } = fault;
  const rest = Object.entries(details).map(([name, value]) =>
    `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`
  ).join(", ");
  return rest === "" ? `${kind} at ${atMs} ms` : `${kind} at ${atMs} ms (${rest})`;
}
