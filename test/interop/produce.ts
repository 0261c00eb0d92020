/**
 * What each runtime does in the interop tests: fetches the plan from the script that started it, produces every topic
 * of the plan with Sluice, and posts where each record went. Knows no runtime: the address comes in, the rest is
 * `fetch`.
 */
import { Producer } from "../../mod.ts";
import type { ProducerOptions, ProducerRecord } from "../../mod.ts";

/** A record as plain data, bytes in base64. */
interface PlannedRecord {
  readonly text: boolean;
  readonly key: string | null;
  readonly value: string | null;
  readonly headers: readonly (readonly [string, string | null])[];
  readonly partition: number | null;
  readonly timestamp: number;
}

interface Plan {
  readonly brokers: string;
  readonly topics: readonly {
    readonly topic: string;
    readonly codec: "none" | "gzip" | "snappy" | "lz4" | "zstd";
    readonly acks: "all" | 0 | 1;
  }[];
  readonly records: readonly PlannedRecord[];
}

/** Produces all topics of the plan at `address`, one after the other, and reports on each. */
export async function produceAll(address: string): Promise<void> {
  const plan = await (await fetch(address)).json() as Plan;
  for (const { topic, codec, acks } of plan.topics) {
    const report = await produceTopic(plan, topic, { compression: codec, acks }).catch((error: unknown) => ({
      topic,
      error: describe(error),
    }));
    await fetch(address, { method: "POST", body: JSON.stringify(report) });
  }
}

async function produceTopic(plan: Plan, topic: string, options: Partial<ProducerOptions>): Promise<unknown> {
  const producer = new Producer({ brokers: plan.brokers, clientId: "interop", ...options });
  try {
    const sent = plan.records.map((record) => producer.send(toRecord(topic, record)));
    const results = await Promise.all(sent);
    return {
      topic,
      results: results.map(({ partition, offset, timestamp, delivery }) => [
        partition,
        Number(offset),
        timestamp,
        delivery,
      ]),
    };
  } finally {
    await producer.close({ timeoutMs: 10_000 });
  }
}

function toRecord(topic: string, record: PlannedRecord): ProducerRecord {
  const decode = record.text ? text : bytes;
  const headers = record.headers.map(([name, value]): [string, Uint8Array | null] => [name, bytes(value)]);
  return {
    topic,
    key: decode(record.key),
    value: decode(record.value),
    timestamp: record.timestamp,
    ...(headers.length > 0 ? { headers } : {}),
    ...(record.partition !== null ? { partition: record.partition } : {}),
  };
}

function bytes(base64: string | null): Uint8Array | null {
  if (base64 === null) return null;
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

function text(base64: string | null): string | null {
  const decoded = bytes(base64);
  // The decoder drops a byte order mark unless told otherwise.
  return decoded === null ? null : new TextDecoder("utf-8", { ignoreBOM: true }).decode(decoded);
}

function describe(error: unknown): string {
  const lines: string[] = [];
  for (let each = error; each instanceof Error && lines.length < 5; each = each.cause) {
    lines.push(`${each.name}: ${each.message}`);
  }
  return lines.join(" <- ") || String(error);
}
