/** The producer can't go on, by an answer or by an error of its own: what each record is told, once. */

import assert from "node:assert/strict";
import { Cluster } from "../../src/cluster/cluster.ts";
import { ConfigError } from "../../src/errors.ts";
import { Batch } from "../../src/producer/accumulator/batch.ts";
import { DONE, ENCODING, OPEN, type Phase } from "../../src/producer/accumulator/phase.ts";
import type { Producer } from "../../src/producer/producer.ts";
import type { RecordMetadata } from "../../src/producer/record/delivery.ts";
import { InitProducerId } from "../../src/protocol/messages/init_producer_id.ts";
import { Produce } from "../../src/protocol/messages/produce.ts";
import { test, type TestContext } from "../harness.ts";
import { type Stage, stage } from "../stage.ts";
import { unhandledIn } from "./unhandled.ts";
import { assertLeavesNothing, states, storedLz4, warmUp, watch, type Watched } from "./wire.ts";

const COORDINATOR_LOAD_IN_PROGRESS = 14;
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

/** Breaks one way from phase to phase, as an error of our own would. */
function broken(t: TestContext, from: Phase, to: Phase): void {
  const { transition: way } = Batch.prototype;
  Batch.prototype.transition = function (this: Batch<never>, next: Phase): void {
    if (this.phase !== from || next !== to) return way.call(this, next);
    Batch.prototype.transition = way;
    throw new TypeError("x is undefined");
  };
  t.after(() => void (Batch.prototype.transition = way));
}

/** Where an error of our own comes up outside of a drain; returns what was sent. */
const ERRORS: Readonly<
  Record<string, (s: Stage, t: TestContext) => Promise<readonly [Producer, Watched<RecordMetadata>[]]>>
> = {
  "when a producer id is asked for": async (s, t) => {
    const p = s.producer();
    // That which goes with the handshake is in vain.
    s.cluster.control(InitProducerId, { error: COORDINATOR_LOAD_IN_PROGRESS }, { times: 1 });
    await s.run(p.partitionsFor("orders"));
    const { anyConnection } = Cluster.prototype;
    Cluster.prototype.anyConnection = () => Promise.reject(new TypeError("x is undefined"));
    t.after(() => void (Cluster.prototype.anyConnection = anyConnection));
    return [p, [watch(s, p.send({ topic: "orders", value: "v" }))]];
  },
  "when a codec that answers later has failed": async (s, t) => {
    const lz4 = {
      ...{ name: "lz4" as const, id: 3 as const, decompress: (bytes: Uint8Array) => bytes },
      compress: (bytes: Uint8Array): Promise<Uint8Array> =>
        bytes.length > 100 ? Promise.reject(new RangeError("boom")) : Promise.resolve(storedLz4(bytes)),
    };
    const p = s.producer({ codecs: { lz4 }, compression: "lz4" });
    await warmUp(s, p);
    broken(t, ENCODING, DONE);
    return [p, [watch(s, p.send({ topic: "orders", value: "v".repeat(1_000) }))]];
  },
  "when a signal is aborted": async (s, t) => {
    const p = s.producer({ lingerMs: 500 });
    await warmUp(s, p);
    const controller = new AbortController();
    const sent = ["a", "b"].map((value) =>
      watch(s, p.send({ topic: "orders", partition: 0, value }, { signal: controller.signal }))
    );
    const other = watch(s, p.send({ topic: "orders", partition: 1, value: "c" }));
    broken(t, OPEN, DONE);
    controller.abort();
    await s.runtime.settle();
    assert.deepEqual(states(sent), ["ABORTED", "ABORTED"]);
    return [p, [other]];
  },
  "when no connection can ever be had": async (s, t) => {
    const p = s.producer();
    await s.run(p.partitionsFor("orders"));
    const { broker } = Cluster.prototype;
    Cluster.prototype.broker = function (this: Cluster, id: number): never {
      const found = broker.call(this, id);
      return { ...found, connection: undefined, connect: () => Promise.reject(new ConfigError("tls", "No.")) } as never;
    };
    t.after(() => void (Cluster.prototype.broker = broker));
    broken(t, OPEN, DONE);
    return [p, [watch(s, p.send({ topic: "orders", value: "v" }))]];
  },
};

for (const [when, run] of Object.entries(ERRORS)) {
  test(`fatal: an error of our own ${when} ends the producer, and says what to do`, async (t) => {
    const unhandled = unhandledIn(t);
    const s = stage({ network: { latencyMs: 5 } });
    const [p, sent] = await run(s, t);
    await s.runtime.advance(1_000);
    await new Promise((resolve) => setTimeout(resolve, 0));
    assert.deepEqual(unhandled, []);
    for (const { error } of sent) {
      assert.deepEqual([error?.code, error?.retriable], ["UNEXPECTED", false]);
      assert.match(
        error!.message,
        /^Make a new producer, and please report it: this is an error in the client\. x is undefined\.$/,
      );
    }
    const later = await s.failure(p.send({ topic: "orders", value: "v" }));
    assert.deepEqual([later.code, later.fatal], ["UNEXPECTED", true]);
    await assertLeavesNothing(s, p);
  });
}
