/** What makes a transaction whole: who ends it when, under which epoch, and what is believed of its end. */

const folder = "src/producer/transaction/";
const life = `${folder}life.ts`;
const ending = `${folder}ending.ts`;
const identity = `${folder}identity.ts`;
const offsetCommits = `${folder}offset_commits.ts`;
const registration = `${folder}registration.ts`;
const states = `${folder}states.ts`;
const profile = "transactions";

export const transactions = [
  {
    name: "No new epoch after an attempt without an answer (version 1)",
    edits: [{
      file: identity,
      find: `(before === 1 && (isDoubtful || this.version === 2))`,
      replace: `(before === 1 && ((isDoubtful && false) || this.version === 2))`,
    }],
  },
  {
    name: "InitProducerId in mid-transaction (version 2)",
    edits: [{
      file: offsetCommits,
      find: `      this.hasAny = true;
      await this.#write(offsets, group, deadlineMs);`,
      replace: `      this.hasAny = true;
      if (this.#identity.version === 2) await this.#identity.ask(deadlineMs);
      await this.#write(offsets, group, deadlineMs);`,
    }],
  },
  {
    name: "EndTxn goes out before the records have their outcomes",
    edits: [{ file: life, find: `if (settling !== undefined) await settling;`, replace: "" }],
  },
  {
    name: "A partition counts as registered although its registration failed",
    edits: [{
      file: registration,
      find: `for (const result of results) if (result.code === 0) this.#added.add(keyOf(result));`,
      replace: `for (const result of results) this.#added.add(keyOf(result));`,
    }],
  },
  {
    name: "A commit is allowed after a record has failed",
    edits: [
      {
        file: life,
        find:
          `const isLegal = isAgain || current === "in transaction" || (kind === "abort" && current === "abortable");`,
        replace: `const isLegal = isAgain || current === "in transaction" || current === "abortable";`,
      },
      {
        file: life,
        find: `    if (kind === "commit" && current === "abortable") throw this.#refusal!;\n`,
        replace: "",
      },
      { file: life, find: `if (kind === "commit" && this.failure !== undefined) {`, replace: `if (false) {` },
      {
        file: states,
        find: `"abortable": ["aborting", "fatal"],`,
        replace: `"abortable": ["committing", "aborting", "fatal"],`,
      },
    ],
  },
  {
    name: "A commit that is refused with 90 is believed to be fenced, without asking",
    edits: [{
      file: ending,
      find: `[INVALID_TXN_STATE, PRODUCER_FENCED, INVALID_PRODUCER_EPOCH];`,
      replace: `[INVALID_TXN_STATE];`,
    }],
  },
  {
    name: "The identity that EndTxn hands out isn't taken over (version 2)",
    edits: [{
      file: identity,
      find: `if (isNext) this.current = { producerId, producerEpoch };`,
      replace: ``,
    }],
  },
  {
    name: "A second commit is taken for that of a new transaction with nothing in it",
    edits: [{
      file: life,
      find: `if (this.#hasSomething() && !this.#isOver) this`,
      replace: `if (this.#hasSomething() && !this.#isOver && !isAgain) this`,
    }],
  },
].map((mutant) => ({ ...mutant, profile }));
