/** Clocks that jump or stand still in the middle of a transaction: the truth is told all the same. */
import assert from "node:assert/strict";
import { type KafkaError, TransactionalProducer } from "../../../mod.ts";
import { EndTxn } from "../../../src/protocol/messages/mod.ts";
import type { Runtime } from "../../../src/runtime/runtime.ts";
import type { ControlAction } from "../../../src/testing/broker/control.ts";
import type { VirtualRuntime } from "../../../src/testing/mod.ts";
import { test } from "../../harness.ts";
import { standstill } from "../../standstill.ts";
import { ID, stage } from "./stage.ts";

const record = { topic: "out", partition: 0, value: "a" };
const codeOf = (promise: Promise<unknown>): Promise<string> => (
  promise.then(() => "done", ({ code }: KafkaError) => code)
);

/** A clock, and what goes wrong with it; what is returned puts it right. */
interface Clock {
  readonly runtime: Runtime;
  break(): () => void;
}

/** Moments on the way from begin() to the retries of a commit, in ms. */
const MOMENTS_MS = [2, 8, 20, 32, 44, 50, 53, 56, 80, 160, 300];

const CLOCKS: Readonly<Record<string, (virtual: VirtualRuntime) => Clock>> = {
  "jumps by five minutes": (virtual) => {
    const held = standstill(virtual);
    return { runtime: held.runtime, break: () => (held.standStill(300_000), () => {}) };
  },
  "stands still": (virtual) => {
    let stoodMs: number | undefined;
    let lostMs = 0;
    const runtime = Object.create(virtual, {
      now: { value: () => (stoodMs ?? virtual.now()) - lostMs },
      setTimer: { value: (callback: () => void, ms: number) => virtual.setTimer(callback, ms) },
      defer: { value: (callback: () => void) => virtual.defer(callback) },
      random: { value: () => virtual.random() },
      wallNow: { value: () => virtual.wallNow() },
      sockets: { get: () => virtual.sockets },
    }) as Runtime;
    return {
      runtime,
      break: () => {
        stoodMs = virtual.now();
        return () => {
          lostMs += virtual.now() - stoodMs!;
          stoodMs = undefined;
        };
      },
    };
  },
};

const FAULTS: Readonly<Record<string, ControlAction<typeof EndTxn>>> = {
  "answered": {},
  "lost on its way": { drop: "before" },
  "lost on its way back": { drop: "after" },
  "without an answer": { silence: true, apply: true },
  "refused for a while": { error: 51 },
};

for (const release of ["3.9", "4.1"] as const) {
  for (const [what, make] of Object.entries(CLOCKS)) {
    for (const [fault, action] of Object.entries(FAULTS)) {
      test(`transaction clocks: on Kafka ${release} a clock ${what} at any moment, and a commit that is ${fault} is told as what it is`, async () => {
        for (const atMs of MOMENTS_MS) {
          const { cluster, runtime, run, committed } = stage(release, { network: { latencyMs: 3 } });
          const clock = make(runtime);
          const client = new TransactionalProducer({
            ...{ brokers: cluster.bootstrap, transactionalId: ID, maxBlockMs: 20_000, requestTimeoutMs: 5_000 },
            transactionTimeoutMs: 900_000,
          }, clock.runtime);
          cluster.control(EndTxn, action, { times: 2 });
          let mend = (): void => {};
          runtime.setTimer(() => {
            mend = clock.break();
            runtime.setTimer(() => mend(), 60_000);
          }, atMs);
          const first = async (): Promise<string> => {
            const tx = await client.begin();
            await tx.send(record);
            const told = await codeOf(tx.commit());
            return told === "COMMIT_UNKNOWN" ? await codeOf(tx.commit()) : told;
          };
          // Nothing but silence is waited for by the clock.
          assert.equal(await run(first(), action.silence ? 120_000 : 50_000), "done", `at ${atMs} ms`);
          await run(client.transaction((tx) => void tx.send({ ...record, value: "b" })));
          assert.deepEqual((await committed())[0], ["a", "b"], `at ${atMs} ms`);
          await run(client.close());
        }
      });
    }
  }
}
