/** Where a reader stands when its caller goes elsewhere, and when the log under it changes. */
import assert from "node:assert/strict";
import { test } from "../harness.ts";
import { groupStage, textOf } from "./group_stage.ts";

const ZERO = { topic: "orders", partition: 0 };

for (const by of ["records", "batches"] as const) {
  test(`places: a seek at any moment of a next() counts, and so does a pause, ${by} by ${by}`, async () => {
    for (let ticks = 0; ticks < 24; ticks++) {
      for (const does of ["seek", "pause"] as const) {
        const { fill, reader, run, runtime } = groupStage(1);
        // Batches of two.
        for (let from = 0; from < 8; from += 2) await fill(2, from);
        const it = reader();
        it.assign([{ ...ZERO, start: 0n }]);
        const values = async function* (): AsyncGenerator<string> {
          if (by === "records") { for await (const record of it) yield textOf(record); }
          else for await (const { records } of it.batches()) yield textOf(records[0]!);
        };
        const iteration = values();
        assert.equal((await run(iteration.next())).value, "0");
        // The next one is the first of a batch.
        if (by === "records") await run(iteration.next());
        await runtime.advance(1_000);
        const standing = it.position(ZERO)!;
        const next = iteration.next();
        for (let i = 0; i < ticks; i++) await undefined;
        const label = `${does} after ${ticks} microtasks`;
        // What was handed out by then may be on its way to the caller.
        const isUnderway = it.position(ZERO)! > standing;
        if (does === "seek") {
          it.seek(ZERO, 6n);
          const { value } = await run(next);
          assert.equal(isUnderway ? (await run(iteration.next())).value : value, "6", label);
        } else {
          it.pause([ZERO]);
          let isDone = false;
          void next.then(() => isDone = true);
          await runtime.advance(1_000);
          assert.equal(isDone, isUnderway, label);
          it.resume([ZERO]);
          const texts = [(await run(next)).value, (await run(iteration.next())).value];
          assert.deepEqual(texts, by === "records" ? ["2", "3"] : ["2", "4"], label);
        }
        const closed = iteration.return(undefined);
        await run(it.close());
        await run(closed);
      }
    }
  });
}
