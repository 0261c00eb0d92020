/**
 * Judges a history of transactions: what producers and readers were told against what is in the logs. The anomalies have
 * the names that Jepsen gives them.
 *
 * @module
 */

/** What a transaction did to a partition. */
export type HistoryStep =
  | { readonly kind: "send"; readonly partition: string; readonly value: string; readonly offset?: number | undefined }
  | { readonly kind: "poll"; readonly partition: string; readonly records: readonly (readonly [number, string])[] };

/** A transaction, and what its process was told of its end: committed, aborted, or nothing certain. */
export interface HistoryEntry {
  /** Who did it; a process does one thing after the other. */
  readonly process: number;
  /** `ok`: committed. `fail`: aborted. `info`: nobody knows. */
  readonly type: "ok" | "fail" | "info";
  /** What it did, in this order. */
  readonly steps: readonly HistoryStep[];
}

/** The committed records of each partition, by offset; marks and aborted records are left out. */
export type HistoryLogs = ReadonlyMap<string, readonly (readonly [number, string])[]>;

/** What is wrong. */
export interface Anomaly {
  /** Jepsen's name. */
  readonly name:
    | "duplicate"
    | "inconsistent-offsets"
    | "lost-write"
    | "G1a"
    | "precommitted-read"
    | "unseen"
    | "poll-skip"
    | "nonmonotonic-poll"
    | "int-poll-skip"
    | "int-nonmonotonic-poll"
    | "nonmonotonic-send"
    | "int-nonmonotonic-send"
    | "G1c";
  /** What shows it. */
  readonly witness: string;
}

/** Finds what must not be. Kafka doesn't isolate writes, so cycles of writes alone (G0) are none. */
export function judgeHistory(entries: readonly HistoryEntry[], logs: HistoryLogs): Anomaly[] {
  const found: Anomaly[] = [];
  const note = (name: Anomaly["name"], witness: string): void => void found.push({ name, witness });
  judgeLogs(entries, logs, note);
  judgeOffsets(entries, logs, note);
  judgeOrder(entries, logs, note);
  judgeCycles(entries, note);
  return found;
}

type Note = (name: Anomaly["name"], witness: string) => void;

function stepsOf<K extends HistoryStep["kind"]>(
  { steps }: HistoryEntry,
  kind: K,
): Extract<HistoryStep, { readonly kind: K }>[] {
  return steps.filter((step): step is Extract<HistoryStep, { readonly kind: K }> => step.kind === kind);
}

/** What an entry has polled, by partition and value. */
function polledBy(entry: HistoryEntry): string[] {
  return stepsOf(entry, "poll").flatMap(({ partition, records }) =>
    records.map(([, value]) => `${partition} ${value}`)
  );
}

/** Each value stands once in its partition, and somebody has read it. Returns what is committed. */
function judgeCommitted(polled: ReadonlySet<string>, logs: HistoryLogs, note: Note): ReadonlySet<string> {
  const committed = new Set<string>();
  for (const [partition, log] of logs) {
    for (const [offset, value] of log) {
      const id = `${partition} ${value}`;
      if (committed.has(id)) note("duplicate", `${id} stands at ${offset} again`);
      committed.add(id);
      if (polled.size > 0 && !polled.has(id)) note("unseen", `${id} at ${offset} was polled by nobody`);
    }
  }
  return committed;
}

/** Values name records: no two are the same in a partition. */
function judgeLogs(entries: readonly HistoryEntry[], logs: HistoryLogs, note: Note): void {
  const polled = new Set(entries.flatMap(polledBy));
  const committed = judgeCommitted(polled, logs, note);
  for (const entry of entries) {
    for (const { partition, value } of stepsOf(entry, "send")) {
      const id = `${partition} ${value}`;
      if (entry.type === "ok" && !committed.has(id)) note("lost-write", `${id} was committed and isn't there`);
      if (entry.type === "fail" && (committed.has(id) || polled.has(id))) note("G1a", `${id} was aborted and is seen`);
    }
    const own = new Set(stepsOf(entry, "send").map(({ partition, value }) => `${partition} ${value}`));
    for (const id of polledBy(entry)) if (own.has(id)) note("precommitted-read", `${id} is read by its own writer`);
  }
}

/** An offset has one value, whoever tells of it. */
function judgeOffsets(entries: readonly HistoryEntry[], logs: HistoryLogs, note: Note): void {
  const values = new Map<string, string>();
  const see = (partition: string, offset: number, value: string): void => {
    const place = `${partition}@${offset}`;
    const before = values.get(place);
    if (before !== undefined && before !== value) note("inconsistent-offsets", `${place} is ${before} and ${value}`);
    values.set(place, value);
  };
  for (const [partition, log] of logs) for (const [offset, value] of log) see(partition, offset, value);
  for (const entry of entries) {
    for (const { partition, offset, value } of stepsOf(entry, "send")) {
      if (offset !== undefined && entry.type === "ok") see(partition, offset, value);
    }
    for (const { partition, records } of stepsOf(entry, "poll")) {
      for (const [offset, value] of records) see(partition, offset, value);
    }
  }
}

/** What a process sends and polls goes forward, within a transaction and from one to the next, and leaves nothing out. */
function judgeOrder(entries: readonly HistoryEntry[], logs: HistoryLogs, note: Note): void {
  const sent = new Map<string, { offset: number; entry: HistoryEntry }>();
  const polled = new Map<string, { offset: number; entry: HistoryEntry }>();
  for (const entry of entries) {
    for (const step of entry.steps) {
      const key = `${entry.process} ${step.partition}`;
      if (step.kind === "send") {
        if (step.offset === undefined) continue;
        const before = sent.get(key);
        if (before !== undefined && step.offset <= before.offset) {
          const name = before.entry === entry ? "int-nonmonotonic-send" : "nonmonotonic-send";
          note(name, `${step.partition}: ${step.offset} after ${before.offset}`);
        }
        sent.set(key, { offset: step.offset, entry });
        continue;
      }
      for (const [offset] of step.records) {
        const before = polled.get(key);
        if (before !== undefined) {
          const prefix = before.entry === entry ? "int-" as const : "" as const;
          const witness = `${step.partition}: ${offset} after ${before.offset}`;
          if (offset <= before.offset) note(`${prefix}nonmonotonic-poll`, witness);
          else if (logs.get(step.partition)?.some(([at]) => at > before.offset && at < offset)) {
            note(`${prefix}poll-skip`, witness);
          }
        }
        polled.set(key, { offset, entry });
      }
    }
  }
}

/** Two transactions that have each seen what the other one wrote, at once or by way of others. */
function judgeCycles(entries: readonly HistoryEntry[], note: Note): void {
  const writers = new Map<string, number>();
  entries.forEach((entry, index) => {
    for (const { partition, value } of stepsOf(entry, "send")) writers.set(`${partition} ${value}`, index);
  });
  const seenBy = entries.map((entry, index) => {
    const seen = stepsOf(entry, "poll").flatMap(({ partition, records }) =>
      records.map(([, value]) => writers.get(`${partition} ${value}`))
    );
    return [...new Set(seen.filter((writer): writer is number => writer !== undefined && writer !== index))];
  });
  const done = new Set<number>();
  const path: number[] = [];
  const visit = (index: number): void => {
    const at = path.indexOf(index);
    if (at >= 0) return note("G1c", `transactions ${[...path.slice(at), index].join(" → ")} have read each other`);
    if (done.has(index)) return;
    done.add(index);
    path.push(index);
    for (const writer of seenBy[index]!) visit(writer);
    path.pop();
  };
  for (let index = 0; index < entries.length; index++) visit(index);
}
