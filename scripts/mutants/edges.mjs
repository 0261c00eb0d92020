/** Orderly ends, large values, rests, refused records: rules that need a certain profile to be seen. */

const batch = "src/producer/accumulator/batch.ts";
const partition = "src/producer/accumulator/partition.ts";
const settlement = "src/producer/sender/settlement.ts";
const recovery = "src/producer/sender/recovery.ts";
const verdict = "src/producer/sender/verdict.ts";
const drain = "src/producer/sender/drain.ts";

export const edges = [
  {
    name: "The buffer of a batch that was lost is used again",
    profile: "orderly ends",
    edits: [{
      file: batch,
      find: `if (!this.socketMayHoldBytes) this.#pool.give(this.#buffer);`,
      replace: `this.#pool.give(this.#buffer);`,
    }],
  },
  {
    name: "What was set aside is not sent again",
    profile: "data loss",
    edits: [{
      file: partition,
      find: `for (const batch of this.#probed.splice(0)) this.putBack(batch);`,
      replace: `this.#probed.splice(0);`,
    }],
  },
  {
    name: "A batch that lingers behind another one is not watched",
    profile: "peace",
    edits: [{
      file: drain,
      find: `      this.#schedule.watch(partition, nowMs);\n      return 0;\n    }\n    const gate`,
      replace: `      return 0;\n    }\n    const gate`,
    }],
  },
  {
    name: "A leader that is known already is gone to without a pause",
    edits: [{
      file: "src/cluster/cluster.ts",
      find: `if (leader.leaderEpoch <= current.leaderEpoch && !topic.unproven) return false;`,
      replace: "",
    }],
  },
  {
    name: "Listeners stay on signals",
    edits: [{
      file: "src/producer/admission/abortable_send.ts",
      find: `    watch.ignore();\n`,
      replace: "",
    }],
  },
  {
    name: "Batches that have failed stay counted as pending",
    edits: [{
      file: "src/producer/accumulator/accumulator.ts",
      find: `      const batch = takeFirst(incomplete);\n      this.incomplete.delete(batch);`,
      replace:
        `      const batch = takeFirst(incomplete);\n      if ("result" in batch.outcome!) this.incomplete.delete(batch);`,
    }],
  },
  {
    name: "Records that were refused one by one are not counted",
    profile: "refused records",
    edits: [{
      file: "src/producer/accumulator/accumulator.ts",
      find: `const failed = batch.refusedCount +`,
      replace: `const failed = 0 *`,
    }],
  },
  {
    name: "A batch fails for single records",
    profile: "refused records",
    edits: [{
      file: verdict,
      find: `const isSome = recordErrors.length > 0 && recordErrors.length < attempt.recordCount;`,
      replace: `const isSome = recordErrors.length < 0;`,
    }],
  },
  {
    name: "What was stamped behind a batch that has become smaller keeps its stamp",
    profile: "refused records",
    edits: [{
      file: recovery,
      find: `if (other.drained && other.ordinal > batch.ordinal) other.misnumbered = true;`,
      replace: `void other;`,
    }],
  },
  {
    name: "The sequences of refused records are not free again",
    profile: "refused records",
    edits: [{
      file: recovery,
      find: `partition.sequence.shortened(stamp, recordCount, batch.recordCount);`,
      replace: `void stamp, recordCount;`,
    }],
  },
  {
    name: "A batch on which the broker hangs up is not divided",
    profile: "large requests",
    edits: [{
      file: settlement,
      find: `if (batch.recordCount < 2 || batch.appendedAt >= 0n) return false;`,
      replace: `if (batch.recordCount > 0) return false;`,
    }],
  },
  {
    name: "The halves of a batch in doubt are taken for certain",
    profile: "large requests",
    edits: [{ file: batch, find: `      part.persisted = this.persisted;\n`, replace: "" }],
  },
];
