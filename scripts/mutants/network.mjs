/** Connections, metadata and what is left behind: `cluster`. */

const connection = "src/cluster/connection.ts";

export const network = [
  {
    name: "An answer is matched by its place, whatever its correlation id",
    edits: [{
      file: connection,
      find: `entry === undefined || entry.correlationId !== correlationId`,
      replace: `entry === undefined`,
    }],
  },
  {
    name: "A request that got no answer doesn't end its connection",
    edits: [{
      file: connection,
      find: `this.destroy(this.#lateError(entry.api, "answer", entry.sentMs));`,
      replace:
        `this.#inFlight.splice(this.#inFlight.indexOf(entry), 1)[0]!.reject(this.#lateError(entry.api, "answer", entry.sentMs));`,
    }],
  },
  {
    name: "What was written to a dead connection is told as not persisted",
    edits: [{
      file: connection,
      find: `persisted: left ? "possibly" : "no",`,
      replace: `persisted: "no",`,
    }],
  },
  {
    name: "A broker that refuses is dialled without a pause",
    edits: [
      {
        file: "src/cluster/broker.ts",
        find: `this.#runtime.now() + this.#context.backoff.delayMs(this.#failures)`,
        replace: `this.#runtime.now() + 1`,
      },
      {
        file: "src/cluster/broker.ts",
        find: `const turn = pace.turn(formatAddress(this.address), signal);`,
        replace: `const turn = pace.turn(formatAddress(this.address), signal) && undefined;`,
      },
    ],
  },
  {
    name: "Metadata is asked for without a pause",
    edits: [
      {
        file: "src/cluster/metadata_loop.ts",
        find: `const untilMs = Math.max(this.#heldUntilMs, this.#isHasty ? 0 : this.#notBeforeMs);`,
        replace: `const untilMs = this.#heldUntilMs;`,
      },
      {
        file: "src/cluster/metadata_fetch.ts",
        find: `const REQUESTS_PER_SECOND = 4;`,
        replace: `const REQUESTS_PER_SECOND = 1_000;`,
      },
    ],
  },
  {
    name: "A retry doesn't ask who leads by now",
    edits: [{
      file: "src/producer/sender/settlement.ts",
      find: `if (refresh && !hinted) {`,
      replace: `if (refresh && !hinted && refresh !== true) {`,
    }],
  },
  {
    name: "Timers outlive the producer",
    edits: [{ file: "src/producer/closing.ts", find: `  parts.agenda.clear();\n`, replace: "" }],
  },
];
