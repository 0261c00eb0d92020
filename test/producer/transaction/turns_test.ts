/** Calls that come in the few turns between the end of what was waited for and whoever waits for it. */
import assert from "node:assert/strict";
import type { KafkaError } from "../../../mod.ts";
import { EndTxn, InitProducerId, Produce } from "../../../src/protocol/messages/mod.ts";
import { test } from "../../harness.ts";
import { turn } from "../../stage.ts";
import { unhandledIn } from "../unhandled.ts";
import { stage } from "./stage.ts";

/** More turns than there are between any two steps. */
const TURNS = 16;
const PRODUCER_FENCED = 90;
const record = { topic: "out", partition: 0, value: "a" };
const codeOf = (promise: Promise<unknown>): Promise<string> => (
  promise.then(() => "done", ({ code }: KafkaError) => code)
);
const turns = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await undefined;
};

for (const release of ["3.9", "4.1"] as const) {
  test(`transaction turns: on Kafka ${release} close() behind an init() leaves no transaction open that begins meanwhile`, async () => {
    for (let count = 0; count < TURNS; count++) {
      const { cluster, producer, run, committed } = stage(release);
      const client = producer();
      const begun = codeOf(client.begin().then((tx) => void tx.send(record)));
      await run(
        client.init().then(async () => {
          await turns(count);
          await client.close();
        }),
      );
      if (await run(begun) === "PRODUCER_CLOSED") assert.equal(cluster.requestsOf(Produce).length, 0);
      else assert.equal(client.state, "ready");
      assert.equal(cluster.requestsOf(Produce).length, cluster.requestsOf(EndTxn).length);
      assert.deepEqual((await committed())[0], []);
    }
  });

  test(`transaction turns: on Kafka ${release} a producer id that nobody waits for any more may be refused`, async (t) => {
    const unhandled = unhandledIn(t);
    for (let count = 0; count < TURNS; count++) {
      const { cluster, producer, run, runtime } = stage(release);
      cluster.control(InitProducerId, { silence: true });
      const client = producer({ maxBlockMs: 500, requestTimeoutMs: 100 });
      const controller = new AbortController();
      const ended = codeOf(client.transaction(() => {}, { signal: controller.signal }));
      await turns(count);
      controller.abort();
      assert.equal(await run(ended), "ABORTED");
      await runtime.advance(1_000);
      await run(client.close());
    }
    for (let i = 0; i < 3; i++) await turn();
    assert.deepEqual(unhandled, []);
  });

  test(`transaction turns: on Kafka ${release} a begin() that comes too early is no reason to refuse the one after the commit`, async () => {
    for (let count = 0; count < TURNS; count++) {
      const { cluster, producer, run } = stage(release);
      const refusals: string[] = [];
      let client = producer();
      const early = async (): Promise<void> => {
        await turns(count);
        if (client.state === "committing") refusals.push(await codeOf(client.begin()));
      };
      client = producer({ hooks: { onResponse: ({ api }) => void (api === "EndTxn" && early()) } });
      const tx = await run(client.begin());
      await run(tx.send(record));
      // Under version 1 another epoch is needed then, for which begin() waits.
      cluster.control(EndTxn, { silence: true }, { times: 1 });
      const next = await run(tx.commit().then(() => client.begin()));
      assert.deepEqual(refusals.filter((code) => code !== "TRANSACTION_STATE"), []);
      await run(next.abort());
      await run(client.close());
    }
  });

  for (
    const [how, api, code] of [["is fenced", Produce, "PRODUCER_FENCED"], [
      "doesn't know of its abort",
      EndTxn,
      "ABORTED",
    ]] as const
  ) {
    test(`transaction turns: on Kafka ${release} a signal lets go of a function that waits for ever when its producer ${how}`, async () => {
      const { cluster, producer, run, runtime } = stage(release);
      const client = producer({ maxBlockMs: 500, requestTimeoutMs: 100 });
      const stop = cluster.control(api, api === Produce ? { error: PRODUCER_FENCED } : { silence: true });
      const controller = new AbortController();
      const ended = codeOf(client.transaction(async (tx) => {
        await tx.send(record).catch(() => {});
        await tx.abort().catch(() => {});
        await new Promise<void>(() => {});
      }, { signal: controller.signal }));
      await runtime.advance(2_000);
      assert.equal(client.state, api === Produce ? "fatal" : "unknown");
      stop();
      controller.abort();
      assert.equal(await run(ended), code);
      assert.equal(await run(codeOf(client.transaction(() => {}))), api === Produce ? code : "done");
      await run(client.close());
    });
  }

  for (const how of ["signal", "callback"] as const) {
    test(`transaction turns: on Kafka ${release} a commit is told what has failed, also when a ${how} aborts at once for it`, async () => {
      const { producer, run, committed } = stage(release);
      const client = producer({ maxBlockMs: 500 });
      const tx = await run(client.begin());
      let aborted: Promise<string> | undefined;
      const abort = (): void => void (aborted ??= codeOf(tx.abort()));
      if (how === "signal") tx.signal.addEventListener("abort", abort);
      void tx.send({ topic: "missing", value: "a" }, how === "callback" ? { onError: abort } : {});
      assert.equal(await run(codeOf(tx.commit())), "UNKNOWN_TOPIC_OR_PARTITION");
      assert.equal(await run(aborted!), "done");
      assert.equal(tx.ended, "abort");
      await run(client.transaction((next) => void next.send(record)));
      assert.deepEqual((await committed())[0], ["a"]);
      await run(client.close());
    });
  }
}
