import assert from "node:assert/strict";
import { Produce, SaslAuthenticate } from "../../src/protocol/messages/mod.ts";
import { plain, type SaslMechanism } from "../../src/sasl/mod.ts";
import { test } from "../harness.ts";
import { stage } from "../stage.ts";

const users: Record<string, string> = { app: "pencil" };
const credentials = { username: "app", password: "pencil" };
const REAUTH_MS = 3_000;

for (const acks of ["all", 1, 0] as const) {
  test(`session: with acks ${acks}, ten minutes with a new proof every three seconds cost no record and no connection`, async () => {
    const { runtime, cluster, producer, run } = stage({ sasl: { users, maxReauthMs: REAUTH_MS }, brokers: 2 });
    const ended: string[] = [];
    const errors: unknown[] = [];
    const client = producer({
      acks,
      sasl: plain(credentials),
      securityProtocol: "sasl_plaintext",
      hooks: { onDisconnect: ({ error }) => void ended.push(error.message) },
    });
    const sent: Promise<unknown>[] = [];
    const count = 6_000;
    const send = (i: number): void => {
      sent.push(
        client.send({ topic: "orders", partition: i % 3, value: String(i) }).catch((error) => errors.push(error)),
      );
      if (i + 1 < count) runtime.setTimer(() => send(i + 1), 100);
    };
    send(0);
    await run(new Promise<void>((resolve) => runtime.setTimer(resolve, count * 100 + 1_000)), 2 * count * 100);
    await run(Promise.all(sent));
    assert.deepEqual(errors, []);
    assert.deepEqual(ended, []);
    const proofs = cluster.requestsOf(SaslAuthenticate).length;
    assert.ok(proofs > 2 * 200 && proofs < 3 * 250, `${proofs} proofs`);
    const records = await run(cluster.records("orders"));
    assert.equal(records.length, count);
    for (const partition of [0, 1, 2]) {
      const own = records.filter((record) => record.partition === partition);
      const values = own.map(({ value }) => Number(new TextDecoder().decode(value!)));
      assert.deepEqual(values, [...values].sort((a, b) => a - b));
    }
    await run(client.close());
    assert.deepEqual(cluster.failures, []);
  });
}

test("session: an idle connection is not kept alive by proofs, and proves itself before its next request", async () => {
  const { runtime, cluster, producer, run } = stage({ sasl: { users, maxReauthMs: REAUTH_MS }, topics: { orders: 1 } });
  const client = producer({ sasl: plain(credentials), securityProtocol: "sasl_plaintext" });
  await run(client.send({ topic: "orders", value: "a" }));
  const before = cluster.requestsOf(SaslAuthenticate).length;
  await run(new Promise<void>((resolve) => runtime.setTimer(resolve, 2_990)), 10_000);
  assert.equal(cluster.requestsOf(SaslAuthenticate).length, before);
  await run(client.send({ topic: "orders", value: "b" }));
  assert.equal(cluster.requestsOf(SaslAuthenticate).length, before + 1);
  await run(client.close());
});

for (const acks of ["all", 0] as const) {
  for (const ending of ["time", "reset"] as const) {
    test(`session: credentials that never come end with the connection, and hold nobody for ever (acks ${acks}, ${ending})`, async () => {
      const { runtime, cluster, producer, run, failure } = stage({
        sasl: { users, maxReauthMs: REAUTH_MS },
        topics: { orders: 1 },
      });
      const wait = (ms: number): Promise<void> => run(new Promise((resolve) => runtime.setTimer(resolve, ms)), 2 * ms);
      let hangs = false;
      const ended: string[] = [];
      const client = producer({
        acks,
        sasl: plain(() => hangs ? new Promise<never>(() => {}) : credentials),
        securityProtocol: "sasl_plaintext",
        maxInFlight: 1,
        hooks: { onDisconnect: ({ error }) => void ended.push(error.message) },
      });
      await run(client.send({ topic: "orders", value: "a" }));
      hangs = true;
      await wait(2_990);
      const second = client.send({ topic: "orders", value: "b" });
      second.catch(() => {});
      await wait(100);
      hangs = false;
      if (ending === "reset") cluster.network.reset();
      await (acks === 0 ? failure(second) : run(second));
      if (ending === "time") assert.match(ended.join(), /credentials .* again took longer than connectTimeoutMs/);
      await run(client.send({ topic: "orders", value: "c" }));
      assert.equal(client.metrics()["requests-in-flight"], 0);
      await run(client.close());
      assert.equal(runtime.pendingTimers, 0);
    });
  }
}

test("session: a broker that wants to be left alone while it is shown the credentials again is waited for", async () => {
  const { runtime, cluster, producer, run } = stage({ sasl: { users, maxReauthMs: REAUTH_MS }, topics: { orders: 1 } });
  const ended: string[] = [];
  const client = producer({
    sasl: plain(credentials),
    securityProtocol: "sasl_plaintext",
    connectTimeoutMs: 1_000,
    hooks: { onDisconnect: ({ error }) => void ended.push(error.message) },
  });
  await run(client.send({ topic: "orders", value: "a" }));
  const [{ connectionId } = assert.fail("nothing was produced")] = cluster.requestsOf(Produce);
  // In flight while the session is renewed, and answered with the wish for five seconds of quiet.
  const before = cluster.requestsOf(SaslAuthenticate).length;
  cluster.control(
    Produce,
    { answerDelayMs: 600, transform: (body) => ({ ...body, throttleTimeMs: 5_000 }) },
    { times: 1 },
  );
  cluster.control(SaslAuthenticate, { delayMs: 4_000 }, { times: 1 });
  await run(new Promise<void>((resolve) => runtime.setTimer(resolve, 2_500)), 10_000);
  const sent = [client.send({ topic: "orders", value: "b" })];
  await run(new Promise<void>((resolve) => runtime.setTimer(resolve, 450)), 10_000);
  assert.equal(cluster.requestsOf(SaslAuthenticate).length, before, "it stands behind the records");
  sent.push(client.send({ topic: "orders", value: "c" }));
  await run(Promise.all(sent));
  assert.deepEqual(ended, []);
  assert.equal(cluster.requestsOf(SaslAuthenticate).length, before + 1);
  assert.deepEqual(new Set(cluster.requestsOf(Produce).map((each) => each.connectionId)), new Set([connectionId]));
  await run(client.close());
  assert.equal(runtime.pendingTimers, 0);
});

test("session: credentials that are withdrawn in mid-life are told to the records that wait, and others take their place", async () => {
  const accounts: Record<string, string> = { app: "pencil" };
  const { runtime, producer, run, failure } = stage({ sasl: { users: accounts, maxReauthMs: REAUTH_MS } });
  let password = "pencil";
  const sasl: SaslMechanism = plain(() => ({ username: "app", password }));
  const client = producer({ sasl, securityProtocol: "sasl_plaintext" });
  await run(client.send({ topic: "orders", value: "a" }));
  accounts.app = "other";
  await run(new Promise<void>((resolve) => runtime.setTimer(resolve, 4_000)), 10_000);
  const error = await failure(client.send({ topic: "orders", value: "b" }));
  assert.equal(error.code, "SASL_AUTHENTICATION_FAILED");
  assert.equal(error.persisted, "no");
  password = "other";
  await run(client.send({ topic: "orders", value: "c" }));
  await run(client.close());
});

test("session: a mechanism that throws is told of by its name, without what it knows", async () => {
  const { producer, failure, run } = stage({ sasl: { users } });
  const sasl: SaslMechanism = {
    name: "PLAIN",
    authenticate: () => Promise.reject(new Error("the vault is closed")),
  };
  const client = producer({ sasl, securityProtocol: "sasl_plaintext" });
  const error = await failure(client.send({ topic: "orders", value: "a" }));
  assert.equal(error.code, "SASL_MECHANISM_FAILED");
  assert.match(error.message, /the mechanism PLAIN threw/);
  await run(client.close());
});

test("session: whoever has asked a broker why it hangs up leaves no connection behind", async () => {
  const s = stage({ sasl: { users } });
  const client = s.producer({ maxBlockMs: 2_000 });
  assert.equal((await s.failure(client.connect())).code, "SASL_REQUIRED");
  await s.runtime.advance(100);
  assert.equal(s.cluster.network.openConnections, 0);
  await s.run(client.close());
  assert.equal(s.runtime.pendingTimers, 0);
});
