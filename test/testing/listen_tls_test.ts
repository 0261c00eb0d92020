import assert from "node:assert/strict";
import { AuthenticationError, ConfigError, Producer, type ProducerOptions } from "../../mod.ts";
import {
  certificateAuthority,
  EmbeddedCluster,
  type EmbeddedClusterOptions,
  type ListenTls,
} from "../../src/testing/mod.ts";
import { test, type TestContext } from "../harness.ts";

async function secure(t: TestContext, tls: ListenTls, options: EmbeddedClusterOptions = {}) {
  const cluster = new EmbeddedCluster({ topics: { orders: 1 }, ...options });
  t.after(() => cluster.close());
  const { brokers } = await cluster.listen({ tls });
  const producer = (more: Partial<ProducerOptions>): Producer => {
    const made = new Producer({ brokers, maxBlockMs: 5_000, ...more });
    t.after(() => made.close({ timeoutMs: 1_000 }).catch(() => {}));
    return made;
  };
  return { cluster, producer };
}

test(
  "embedded broker: its ports speak TLS, and SASL within it, to who trusts its authority",
  { needs: "listen" },
  async (t) => {
    const ca = certificateAuthority();
    const sasl = { users: { alice: "pencil" } };
    const { cluster, producer } = await secure(t, ca.issue({ name: "broker" }), {
      brokers: 2,
      topics: { orders: 2 },
      sasl,
    });
    const p = producer({
      tls: { ca: ca.cert },
      sasl: { mechanism: "scram-sha-256", username: "alice", password: "pencil" },
    });
    await Promise.all([0, 1].map((partition) => p.send({ topic: "orders", partition, value: "v".repeat(100_000) })));
    assert.equal((await cluster.records("orders")).length, 2);
    await p.close();
    const stranger = producer({ tls: { ca: certificateAuthority("Another").cert } });
    await assert.rejects(stranger.connect(), (error) => {
      return error instanceof AuthenticationError && /is not trusted\. Give the CA/.test(error.message);
    });
    await assert.rejects(producer({}).connect(), /looks like a TLS port/);
  },
);

test("embedded broker: a client certificate is demanded where the port says so", { needs: "listen" }, async (t) => {
  const ca = certificateAuthority();
  const { cluster, producer } = await secure(t, { ...ca.issue({ name: "broker" }), ca: ca.cert });
  const p = producer({ tls: { ca: ca.cert, ...ca.issue({ name: "client" }) } });
  await p.send({ topic: "orders", value: "v" });
  assert.equal(cluster.endOffset("orders", 0), 1n);
  await p.close();
  await assert.rejects(producer({ tls: { ca: ca.cert } }).connect(), AuthenticationError);
});

test(
  "embedded broker: plain ports and TLS ports lead to the same brokers, each to its own kind",
  { needs: "listen" },
  async (t) => {
    const ca = certificateAuthority();
    const { cluster, producer } = await secure(t, ca.issue({ name: "broker" }));
    const plain = await cluster.listen();
    for (const options of [{ brokers: plain.brokers }, { tls: { ca: ca.cert } }]) {
      const p = producer(options);
      await p.send({ topic: "orders", value: "v" });
      await p.close();
    }
    assert.equal(cluster.endOffset("orders", 0), 2n);
  },
);

test("embedded broker: what is no certificate is refused, without a word of it, and so are unknown options", {
  needs: "listen",
}, async () => {
  const cluster = new EmbeddedCluster();
  const { cert, key } = certificateAuthority().issue({ name: "b" });
  const wrong: [unknown, RegExp][] = [
    [{ cert }, /"tls\.key"/],
    [{ cert, key: 5 }, /"tls\.key"/],
    [{ cert: "no PEM", key: "s3cret" }, /"tls\.cert" of listen to text in PEM/],
    [{ cert, key, clientAuth: "required" }, /"tls\.ca"/],
    [{ cert, key, clientAuth: "must" }, /clientAuth/],
    [{ cert, key, keys: 1 }, /"keys"/],
    [true, /tls of listen/],
  ];
  for (const [tls, pattern] of wrong) {
    await assert.rejects(cluster.listen({ tls: tls as ListenTls }), (error) => {
      return error instanceof ConfigError && pattern.test(error.message) && !error.message.includes("s3cret");
    }, String(pattern));
  }
  for (const options of [{}, { name: "" }, { name: "b", hosts: "localhost" }, { name: "b", days: 1e9 }, { nam: "b" }]) {
    assert.throws(() => certificateAuthority().issue(options as { name: string }), ConfigError);
  }
});
