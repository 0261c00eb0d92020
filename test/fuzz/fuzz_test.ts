import assert from "node:assert/strict";
import { encodeResponseFrame } from "../../src/protocol/api.ts";
import { type Field, fieldsOf } from "../../src/protocol/compile.ts";
import { Dice } from "../../src/testing/simulation/dice.ts";
import { test } from "../harness.ts";
import { unhandledIn } from "../producer/unhandled.ts";
import { concatenated } from "../protocol/golden.ts";
import { APIS, rightAnswer, versionOf } from "../protocol/right_answers.ts";
import { CLIENT_KINDS, fuzzClient } from "./clients.ts";
import { fuzz } from "./fuzz.ts";
import { mutateFields } from "./mutations.ts";

const TESTS = 5;
const SEEDS_IN_A_TEST = 40;

for (let part = 0; part < TESTS; part++) {
  const first = 1 + part * SEEDS_IN_A_TEST;
  const last = first + SEEDS_IN_A_TEST - 1;
  test(
    `fuzz: a producer outlives the changed answers of seeds ${first} to ${last}`,
    { timeoutMs: 300_000 },
    async (t) => {
      const unhandled = unhandledIn(t) as unknown[];
      let [mutated, lies, delivered] = [0, 0, 0];
      for (let seed = first; seed <= last; seed++) {
        const result = await fuzz(seed, { takeUnhandled: () => unhandled.splice(0) });
        const again = `npm run fuzz -- --seed ${seed}`;
        assert.deepEqual(result.problems, [], `${again}: ${result.problems.join("; ")}`);
        mutated += result.mutated;
        lies += result.lies;
        delivered += result.delivered;
      }
      // Of the answers some are refused, some are believed, and there is always something to lose.
      assert.ok(lies > 0 && mutated > lies && delivered > SEEDS_IN_A_TEST, `${mutated} ${lies} ${delivered}`);
    },
  );
}

const SEEDS_OF_A_CLIENT = 5;

for (const kind of CLIENT_KINDS) {
  test(
    `fuzz: it outlives the changed answers of ${SEEDS_OF_A_CLIENT} seeds: ${kind}`,
    { timeoutMs: 300_000 },
    async (t) => {
      const unhandled = unhandledIn(t) as unknown[];
      let lies = 0;
      for (let seed = 1; seed <= SEEDS_OF_A_CLIENT; seed++) {
        const result = await fuzzClient(kind, seed, { takeUnhandled: () => unhandled.splice(0) });
        assert.deepEqual(result.problems, [], `npm run fuzz -- --client ${kind} --seed ${seed}`);
        lies += result.lies;
      }
      assert.ok(lies > 0);
    },
  );
}

test("fuzz: a seed tells the same story each time", async () => {
  const [one, other] = [await fuzz(7), await fuzz(7)];
  assert.deepEqual(one, other);
  assert.notDeepEqual(one.trace, (await fuzz(8)).trace);
});

/** The fields of an answer in a version, as paths. */
function paths(fields: readonly Field[], version: number, before = ""): string[] {
  return fields.filter(({ since, until }) => version >= since && version <= until)
    .flatMap(({ name, fields }) => [before + name, ...paths(fields, version, `${before}${name}.`)]);
}

for (const api of APIS) {
  test(`fuzz: every field of an answer to ${api.name} is changed sooner or later`, () => {
    const version = versionOf(api);
    const frame = concatenated(encodeResponseFrame(api, version, 1, rightAnswer(api) as never));
    const dice = new Dice(1);
    const missed = new Set(paths(fieldsOf(api.declaration.response), version));
    for (let round = 0; round < 10_000 && missed.size > 0; round++) {
      const { what } = mutateFields(api, version, frame, dice, false);
      for (const [, path] of what.matchAll(/(?:^|, )([\w.[\]]+) .* -> /g)) {
        missed.delete(path!.replaceAll(/\[\d+\]/g, ""));
      }
    }
    assert.deepEqual([...missed], []);
  });
}
