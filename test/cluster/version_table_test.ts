import assert from "node:assert/strict";
import { ApiVersions, InitProducerId, Metadata, Produce } from "../../src/protocol/messages/mod.ts";
import type { AnyApi } from "../../src/protocol/schema.ts";
import { test } from "../harness.ts";
import { type Stage, stage } from "../stage.ts";

/** Spoils so many of the ApiVersions answers: an API is missing, or offered in versions that nobody speaks. */
function spoil({ cluster }: Stage, api: AnyApi, range: readonly [number, number] | undefined, times: number): void {
  cluster.control(ApiVersions, {
    transform: (body) => ({
      ...body,
      apiKeys: [
        ...body.apiKeys.filter(({ apiKey }) => apiKey !== api.key),
        ...range === undefined ? [] : [{ apiKey: api.key, minVersion: range[0], maxVersion: range[1] }],
      ],
    }),
  }, { times });
}

const SPOILT: readonly (readonly [AnyApi, readonly [number, number] | undefined])[] = [
  [Produce, undefined],
  [Produce, [0, 2]],
  [Produce, [30_000, 32_767]],
  [Metadata, undefined],
  [Metadata, [0, 3]],
  [InitProducerId, undefined],
  [InitProducerId, [30_000, 32_767]],
];

test("version table: one that lacks what is needed, once, costs a connection and no record", async () => {
  for (const [api, range] of SPOILT) {
    for (const moment of ["at the start", "later"] as const) {
      const s = stage({ network: { latencyMs: 5 } });
      const p = s.producer();
      if (moment === "later") {
        await s.run(p.send({ topic: "orders", partition: 0, value: "v" }));
        s.cluster.broker(1).disconnectAll();
      }
      spoil(s, api, range, 1);
      const before = s.cluster.network.dials;
      await s.run(p.sendBatch([0, 1, 2].map((partition) => ({ topic: "orders", partition, value: "v" }))).all());
      await s.run(p.partitionsFor("orders"));
      const label = `${api.name} ${range} ${moment}`;
      assert.ok(s.cluster.network.dials - before <= 2, `${label}: ${s.cluster.network.dials - before} dials`);
      await s.run(p.flush());
      await s.run(p.close());
      await s.runtime.advance(60_000);
      assert.deepEqual([s.cluster.network.openConnections, s.runtime.pendingTimers], [0, 0], label);
    }
  }
});

test("version table: with acks 0 and 1, too, a table that is wrong once costs no record", async () => {
  for (const acks of [0, 1] as const) {
    for (const [api, range] of SPOILT.filter(([{ name }]) => name !== "InitProducerId")) {
      const s = stage({ network: { latencyMs: 5 } });
      const p = s.producer({ acks });
      spoil(s, api, range, 1);
      await s.run(p.sendBatch([0, 1, 2].map((partition) => ({ topic: "orders", partition, value: "v" }))).all());
      await s.run(p.close());
      await s.runtime.advance(1_000);
      assert.equal((await s.cluster.records("orders")).length, 3, `acks ${acks}, ${api.name} ${range}`);
    }
  }
});

test("version table: one that is wrong several times in a row is unlearnt with the same producer", async () => {
  for (const [api, range] of SPOILT) {
    for (const times of [2, 3, 5]) {
      const s = stage();
      const p = s.producer();
      spoil(s, api, range, times);
      let delivered = false;
      for (let attempt = 0; attempt < times && !delivered; attempt++) {
        delivered = await s.run(
          p.send({ topic: "orders", partition: 0, value: "v" }).then(() => true, (error) => {
            assert.deepEqual([error.name, error.persisted], ["UnsupportedVersionError", "no"]);
            assert.match(error.message, new RegExp(api.name));
            return false;
          }),
        );
        await s.runtime.advance(2_000);
      }
      assert.ok(delivered, `${api.name} ${range} ${times} times`);
      assert.equal((await s.cluster.records("orders", 0)).length, 1);
      await s.run(p.close());
    }
  }
});

test("version table: a broker that really lacks Produce is told by name, soon, and dialled at a pace", async () => {
  const s = stage({ apiVersions: { Produce: [0, 2] } });
  const p = s.producer();
  for (let i = 0; i < 20; i++) {
    const startMs = s.runtime.now();
    const error = await s.failure(p.send({ topic: "orders", partition: 0, value: "v" }));
    assert.deepEqual([error.name, error.persisted, error.retriable], ["UnsupportedVersionError", "no", false]);
    assert.match(error.message, /Produce.*0 to 2.*3 to 13/);
    assert.ok(s.runtime.now() - startMs <= 5_000, `${s.runtime.now() - startMs} ms`);
  }
  const before = s.cluster.network.dials;
  const startMs = s.runtime.now();
  while (s.runtime.now() - startMs < 60_000) {
    await s.failure(p.send({ topic: "orders", partition: 0, value: "v" }));
  }
  assert.ok(s.cluster.network.dials - before <= 90, `${s.cluster.network.dials - before} dials in a minute`);
  await s.run(p.close());
  await s.runtime.advance(60_000);
  assert.deepEqual([s.cluster.network.openConnections, s.runtime.pendingTimers], [0, 0]);
});

test("version table: what is in flight when none fits is answered, and sent once", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const p = s.producer();
  await s.run(p.send({ topic: "orders", partition: 0, value: "first" }));
  s.cluster.broker(1).disconnectAll();
  spoil(s, Metadata, undefined, 1);
  s.cluster.control(Produce, { answerDelayMs: 3_000 }, { times: 1 });
  s.cluster.clearRequests();
  const slow = p.send({ topic: "orders", partition: 0, value: "slow" });
  await s.runtime.advance(1_000);
  // Nobody has asked for this topic before, and the only connection offers no Metadata.
  s.cluster.createTopic("payments");
  const other = p.send({ topic: "payments", value: "other" });
  const next = p.send({ topic: "orders", partition: 0, value: "next" });
  assert.equal((await s.run(slow)).offset, 1n);
  assert.equal((await s.run(next)).offset, 2n);
  assert.equal((await s.run(other)).offset, 0n);
  assert.equal(s.cluster.requestsOf(Produce).length, 3);
  await s.run(p.close());
  await s.runtime.advance(60_000);
  assert.deepEqual([s.cluster.network.openConnections, s.runtime.pendingTimers], [0, 0]);
});

test("version table: closing the producer ends a connection that waits for its last answer", async () => {
  const s = stage({ network: { latencyMs: 5 } });
  const p = s.producer();
  await s.run(p.send({ topic: "orders", partition: 0, value: "first" }));
  s.cluster.broker(1).disconnectAll();
  spoil(s, Metadata, undefined, 1);
  s.cluster.control(Produce, { silence: true }, { times: 1 });
  const lost = p.send({ topic: "orders", partition: 0, value: "slow" }).catch(() => {});
  await s.runtime.advance(1_000);
  s.cluster.createTopic("payments");
  const other = p.send({ topic: "payments", value: "other" }).catch(() => {});
  await s.runtime.advance(1_000);
  await s.run(p.close({ timeoutMs: 100 }).catch(() => {}));
  await s.run(Promise.all([lost, other]));
  await s.runtime.advance(10_000);
  assert.deepEqual([s.cluster.network.openConnections, s.runtime.pendingTimers], [0, 0]);
});
