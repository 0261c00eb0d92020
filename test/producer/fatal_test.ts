/** The producer can't go on, by an answer or by an error of its own: what each record is told, once. */

import assert from "node:assert/strict";
import type { RecordMetadata } from "../../src/producer/record/delivery.ts";
import { Produce } from "../../src/protocol/messages/produce.ts";
import { test } from "../harness.ts";
import { type Stage, stage } from "../stage.ts";
import { assertLeavesNothing, states, warmUp, watch, type Watched } from "./wire.ts";

const OUT_OF_ORDER = 45;
const INVALID_PRODUCER_ID_MAPPING = 49;
const CLUSTER_AUTHORIZATION_FAILED = 31;

/** Answers for one partition with an error, and for the others as they are. */
function refuse(s: Stage, index: number, errorCode: number): void {
  s.cluster.control(Produce, {
    transform: (answer) => ({
      ...answer,
      responses: answer.responses.map((topic) => ({
        ...topic,
        partitionResponses: topic.partitionResponses.map((partition) =>
          partition.index === index ? { ...partition, errorCode, baseOffset: -1n } : partition
        ),
      })),
    }),
  }, { times: 1 });
}

test("fatal: what else stands in an answer after which the producer can't go on is told as it is", async () => {
  for (
    const [errorCode, code] of [[INVALID_PRODUCER_ID_MAPPING, "INVALID_PRODUCER_ID_MAPPING"], [
      OUT_OF_ORDER,
      "DATA_LOSS_SUSPECTED",
    ]] as const
  ) {
    for (const index of [0, 1, 2]) {
      const s = stage({ brokers: 1, network: { latencyMs: 5 } });
      const p = s.producer({ onDataLoss: "fatal" });
      await warmUp(s, p, [0, 1, 2]);
      refuse(s, index, errorCode);
      const sent = [0, 1, 2].map((partition) => watch(s, p.send({ topic: "orders", partition, value: "v" })));
      await s.runtime.advance(1_000);
      assert.equal(s.cluster.requestsOf(Produce).length, 1);
      assert.deepEqual(states(sent), [0, 1, 2].map((partition) => partition === index ? code : "acked 1"));
      await assertLeavesNothing(s, p);
    }
  }
});

test("fatal: later sends are told the first reason, whatever answers still come", async () => {
  const s = stage({ brokers: 1, network: { latencyMs: 5 } });
  const p = s.producer();
  await warmUp(s, p, [0, 1]);
  const errors = [CLUSTER_AUTHORIZATION_FAILED, INVALID_PRODUCER_ID_MAPPING];
  s.cluster.control(Produce, () => ({ error: errors.shift()! }));
  const sent: Watched<RecordMetadata>[] = [];
  for (const partition of [0, 1]) {
    sent.push(watch(s, p.send({ topic: "orders", partition, value: "v" })));
    await s.runtime.settle();
  }
  assert.equal(p.metrics()["requests-in-flight"], 2);
  await s.runtime.advance(1_000);
  assert.deepEqual(states(sent), ["CLUSTER_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED"]);
  const later = await s.failure(p.send({ topic: "orders", value: "v" }));
  assert.deepEqual([later.code, later.fatal], ["CLUSTER_AUTHORIZATION_FAILED", true]);
  await assertLeavesNothing(s, p);
});
