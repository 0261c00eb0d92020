/** Order and exactly once: the gates, the queue of a partition, sequences and their recovery. */

const partition = "src/producer/accumulator/partition.ts";
const sequence = "src/producer/idempotence/partition_sequence.ts";
const gates = "src/producer/sender/gates.ts";
const recovery = "src/producer/sender/recovery.ts";

export const order = [
  {
    name: "H1: five in flight before the leader has accepted anything",
    required: true,
    edits: [{
      file: gates,
      find: `if (attempt.inFlight > 0 && !attempt.isProven) return "proof";`,
      replace: "",
    }],
  },
  {
    name: "H2: no drain before a migration",
    required: true,
    // The proof that H1 asks of each leader keeps the same order, so both have to go.
    edits: [
      { file: gates, find: `if (attempt.sentToId !== attempt.leaderId) return "migration";`, replace: "" },
      {
        file: sequence,
        find: `return this.#proven && this.#provenGeneration === leader.generation;`,
        replace: `return this.#proven || this.#provenGeneration === -2 && leader.generation === -2;`,
      },
    ],
  },
  {
    name: "H3: only a batch that was sent again leaves the partition unresolved",
    required: true,
    edits: [{
      file: recovery,
      find: `if (this.#stamping.stamps && batch.drained) batch.partition.sequence.markUnresolved(batch);`,
      replace: `if (this.#stamping.stamps && batch.attempts > 0) batch.partition.sequence.markUnresolved(batch);`,
    }],
  },
  {
    name: "H5: sequences are forgotten when the topic vanishes from metadata",
    required: true,
    edits: [{
      file: "src/producer/sender/sender.ts",
      find: `      for (const partition of this.#schedule.takeWaiting()) {\n`,
      replace: `      for (const { partition: each } of this.#accumulator.incomplete) {
        if (each.topic.metadata.errorCode !== 3) continue;
        Object.assign(each, { sequence: Reflect.construct(each.sequence.constructor, []) });
      }
      for (const partition of this.#schedule.takeWaiting()) {\n`,
    }],
  },
  {
    name: "A retry goes to the back of the queue",
    required: true,
    edits: [{ file: partition, find: `this.queue.splice(at, 0, batch);`, replace: `this.queue.push(batch);` }],
  },
  {
    name: "A retry takes new sequences",
    required: true,
    edits: [{
      file: partition,
      find: `    batch.transition(IN_FLIGHT);\n    this.sizeHint`,
      replace: `    else if (stamps) batch.setStamp(this.sequence.stamp(batch.recordCount));
    batch.transition(IN_FLIGHT);\n    this.sizeHint`,
    }],
  },
  {
    name: "No new epoch after a stamped batch has failed",
    required: true,
    edits: [{
      file: recovery,
      find: `      refusal = this.#stamping.onGap(undefined);\n    }\n`,
      replace: `    }\n`,
    }],
  },
  {
    name: "What a broker doesn't know that has started again is taken for a gap",
    edits: [{
      file: partition,
      find: `if (next === undefined || !next.drained || next.persisted === "no") return false;`,
      replace: "return false;",
    }],
  },
  {
    name: "A stamped batch that has failed leaves no doubt",
    edits: [{
      file: recovery,
      find: `if (this.#stamping.stamps && batch.drained) batch.partition.sequence.markUnresolved(batch);`,
      replace: `void batch;`,
    }],
  },
  {
    name: "Five in flight on each connection, wherever the partition has moved",
    edits: [
      { file: gates, find: `const BROKER_WINDOW = 5;`, replace: `const BROKER_WINDOW = 500;` },
      { file: gates, find: `if (attempt.sentToId !== attempt.leaderId) return "migration";`, replace: "" },
      { file: gates, find: `if (attempt.inFlight > 0 && attempt.isRetry) return "recovery";`, replace: "" },
      {
        file: sequence,
        find: `return this.#proven && this.#provenGeneration === leader.generation;`,
        replace: `return this.#proven || this.#provenGeneration === -2 && leader.generation === -2;`,
      },
    ],
  },
  {
    name: "Batches are stamped anew while others are in flight",
    edits: [{
      file: recovery,
      find: `    if (inFlight.length > 0) return NOTHING;\n`,
      replace: "",
    }],
  },
  {
    name: "A new epoch goes on with the old sequences",
    edits: [{ file: sequence, find: `    this.#next = 0;\n`, replace: "" }],
  },
  {
    name: "The halves of a batch share one sequence",
    edits: [{
      file: "src/producer/accumulator/batch.ts",
      find: `(baseSequence + middle) % SEQUENCE_SPACE`,
      replace: `baseSequence`,
    }],
  },
  {
    name: "The halves of a batch change places",
    edits: [{
      file: partition,
      find: `for (const part of parts) this.#enqueue(part);`,
      replace: `for (const part of parts) this.queue.unshift(part);`,
    }],
  },
  {
    name: "Without idempotence, one at a time isn't",
    edits: [
      { file: gates, find: `if (attempt.oneAtATime) return "muted";`, replace: "" },
      { file: gates, find: `if (attempt.sentToId !== attempt.leaderId) return "migration";`, replace: "" },
    ],
  },
  {
    name: "H7: the offset of an implied success is guessed",
    edits: [{ file: sequence, find: `if (!isContiguous) return -1n;`, replace: "" }],
  },
];
