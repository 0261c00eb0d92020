/** What is told, when and to whom: settlement, accumulator, memory. */

const settlement = "src/producer/sender/settlement.ts";
const accumulator = "src/producer/accumulator/accumulator.ts";

export const outcomes = [
  {
    name: "A refusal makes it certain again that a record isn't in the log",
    edits: [{
      file: settlement,
      find: `function stickyPersisted(a: Persisted, b: Persisted): Persisted {\n  return a === "no" ? b : a;`,
      replace: `function stickyPersisted(a: Persisted, b: Persisted): Persisted {\n  return a === "yes" ? a : b;`,
    }],
  },
  {
    name: "A batch that expires in flight is told as not persisted",
    edits: [{
      file: settlement,
      find: `if (inFlight) batch.persisted = stickyPersisted(batch.persisted, "possibly");`,
      replace: "",
    }],
  },
  {
    name: "A partition that the answer leaves out counts as delivered",
    edits: [{
      file: settlement,
      find: `    if (result === undefined) {\n`,
      replace:
        `    if (result === undefined) {\n      return this.onAccepted(batch, -1n, -1, "duplicate", answer.nowMs);\n`,
    }],
  },
  {
    name: "Outcomes are told as they come",
    edits: [{
      file: accumulator,
      find: `    while (incomplete.length > 0 && incomplete[0]!.outcome !== undefined) {
      const batch = takeFirst(incomplete);`,
      replace: `    for (const batch of incomplete.filter(({ outcome }) => outcome !== undefined)) {
      if (!incomplete.includes(batch)) continue;
      incomplete.splice(incomplete.indexOf(batch), 1);`,
    }],
  },
  {
    name: "Memory is given back twice",
    edits: [{
      file: accumulator,
      find: `this.#memory.release(batch.reservedBytes, isAnswer(batch.outcome!));`,
      replace: `this.#memory.release(2 * batch.reservedBytes);`,
    }],
  },
  {
    name: "Memory of a failed batch is never given back",
    edits: [{
      file: accumulator,
      find: `this.#memory.release(batch.reservedBytes, isAnswer(batch.outcome!));`,
      replace: `if ("result" in batch.outcome!) this.#memory.release(batch.reservedBytes, isAnswer(batch.outcome!));`,
    }],
  },
  {
    name: "A flush doesn't wait for what is in flight",
    edits: [{
      file: accumulator,
      find: `    for (const batch of [...this.incomplete]) {\n      barrier.add();`,
      replace:
        `    for (const batch of [...this.incomplete]) {\n      if (batch.drained) continue;\n      barrier.add();`,
    }],
  },
  {
    name: "The delivery deadline counts from the last attempt",
    edits: [{
      file: settlement,
      find: `    batch.lastError = error;\n    // Its deadline`,
      replace: `    batch.lastError = error;\n    batch.deadlineMs += 500;\n    // Its deadline`,
    }],
  },
  {
    name: "Out-of-order answers use up the retries of a record",
    edits: [{
      file: settlement,
      find: `{ refresh: verdict === "look up", uncounted: true }`,
      replace: `{ refresh: verdict === "look up" }`,
    }],
  },
  {
    name: "A record that was taken back too late is told as not persisted",
    edits: [{
      file: "src/producer/admission/admission.ts",
      find: `abortError(signal, batch.drained && !send.isRefused ? "possibly" : "no", topic.name, partition)`,
      replace: `abortError(signal, "no", topic.name, partition)`,
    }],
  },
  {
    name: "A record that was taken back is sent all the same",
    edits: [{ file: "src/producer/admission/admission.ts", find: `    batch.drop(index);\n`, replace: "" }],
  },
  {
    name: "sendBatch gives a record the outcome of another",
    edits: [{
      file: "src/producer/producer.ts",
      find: `delivery.resolver(index)`,
      replace: `delivery.resolver(all.length - 1 - index)`,
    }],
  },
  {
    name: "The promise of a record of sendBatch that is refused at once never settles",
    edits: [{
      file: "src/producer/send_batch.ts",
      find: `Promise.resolve(outcome ?? new Promise`,
      replace: `Promise.resolve(outcome && !(outcome instanceof Promise) ? outcome : new Promise`,
    }],
  },
  {
    name: "Scattered partitions wait for an answer though no request is in flight",
    edits: [{
      file: "src/producer/sender/sender.ts",
      find: `return lane.inFlight > 0 && lane.ready.length >= SCATTERED_PARTITIONS`,
      replace: `return lane.ready.length >= SCATTERED_PARTITIONS`,
    }],
  },
];
