import assert from "node:assert/strict";
import { ConfigError } from "../../src/errors.ts";
import { builtinModule } from "../../src/runtime/builtin.ts";
import {
  bunSockets,
  checkTls,
  denoSockets,
  nodeSockets,
  selectRuntime,
  type SocketFactory,
  systemRuntime,
  workerdSockets,
} from "../../src/runtime/mod.ts";
import { runtimeName, test } from "../harness.ts";

const nothing: SocketFactory = {
  name: "nothing",
  can: { ca: false, clientCert: false, serverName: false, skipHostname: false, insecure: false, detached: true },
  connect: () => Promise.reject(new Error("not meant to connect")),
};

test("runtime: the sockets of the runtime in use are chosen", () => {
  const runtime = selectRuntime();
  assert.equal(runtime.name, runtimeName);
  assert.equal(runtime.sockets.name, runtimeName);
  assert.equal(systemRuntime(nothing).sockets, nothing);
});

test("runtime: now() never goes back, wallNow() is a whole number since the epoch", async () => {
  const { now, wallNow, setTimer } = selectRuntime();
  const before = now();
  await new Promise<void>((resolve) => void setTimer(resolve, 20));
  assert.ok(now() - before >= 10, `${now() - before} ms`);
  assert.ok(Number.isInteger(wallNow()) && wallNow() > Date.UTC(2025, 0));
});

test("runtime: a timer that was taken back does not fire, and a very long one does not fire at once", async () => {
  const { setTimer } = selectRuntime();
  let fired = 0;
  const short = setTimer(() => fired++, 1);
  const long = setTimer(() => fired++, 2 ** 40);
  short.cancel();
  await new Promise<void>((resolve) => void setTimer(resolve, 20));
  long.cancel();
  short.cancel();
  assert.equal(fired, 0);
});

test("runtime: defer() runs after the turn and its microtasks", async () => {
  const order: string[] = [];
  const { defer } = selectRuntime();
  const deferred = new Promise<void>((resolve) =>
    defer(() => {
      order.push("deferred");
      resolve();
    })
  );
  const chained = Promise.resolve().then(() => {}).then(() => void order.push("microtask"));
  order.push("turn");
  await Promise.all([chained, deferred]);
  assert.deepEqual(order, ["turn", "microtask", "deferred"]);
});

test("runtime: random() is at least 0 and less than 1", () => {
  const { random } = selectRuntime();
  const values = Array.from({ length: 100 }, random);
  assert.ok(values.every((value) => value >= 0 && value < 1));
  assert.ok(new Set(values).size > 90);
});

test("runtime: sockets of another runtime refuse to connect and say so", async () => {
  const silent = { onData: () => {}, onClose: () => {} };
  for (const factory of [denoSockets(), bunSockets(), workerdSockets()]) {
    if (factory.name === runtimeName) continue;
    await assert.rejects(factory.connect({ host: "127.0.0.1", port: 1 }, silent), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.ok(error.message.includes(`"${factory.name}"`), error.message);
      return true;
    });
  }
});

test("runtime: a Node that is too old is told so when its sockets are chosen", (t) => {
  if (runtimeName !== "node") return; // nobody else is old in this way
  const { process } = globalThis as unknown as { process: { getBuiltinModule: unknown } };
  const { getBuiltinModule } = process;
  t.after(() => void (process.getBuiltinModule = getBuiltinModule));
  process.getBuiltinModule = undefined;
  assert.throws(selectRuntime, {
    option: "connect",
    message: /^Use Node 20\.16 or newer: this is Node \d+\.\S+, which has no sockets for us\.$/,
  });
  assert.equal(systemRuntime(nothing).sockets, nothing);
});

test("runtime: built-in modules are found where there are any", () => {
  if (runtimeName === "node") {
    assert.equal(typeof builtinModule<{ gzipSync: unknown }>("node:zlib")?.gzipSync, "function");
  }
  assert.equal(builtinModule("node:no_such_module"), undefined);
});

test("tls: each option that sockets can't honour is refused by its name", () => {
  const cases = [
    ["tls.ca", { ca: "pem" }],
    ["tls.cert", { cert: "pem", key: "pem" }],
    ["tls.key", { key: "pem" }],
    ["tls.passphrase", { passphrase: "secret" }],
    ["tls.serverName", { serverName: "broker" }],
    ["tls.verify", { verify: "ca" }],
    ["tls.verify", { verify: "none" }],
  ] as const;
  for (const [option, tls] of cases) {
    assert.throws(() => checkTls(nothing, tls), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.equal(error.option, option);
      assert.ok(error.message.includes(`"${option}"`) && error.message.includes(`"nothing"`), error.message);
      return true;
    });
  }
  for (const tls of [undefined, false, true, {}, { verify: "full" }] as const) checkTls(nothing, tls);
  checkTls(nodeSockets(), { ca: "pem", cert: "pem", key: "pem", serverName: "broker", verify: "ca" });
});

test("tls: options of no use alone are refused", () => {
  for (const [option, tls] of [["tls.cert", { cert: "pem" }], ["tls.key", { key: "pem" }]] as const) {
    assert.throws(
      () => checkTls(nodeSockets(), tls),
      (error) => error instanceof ConfigError && error.option === option,
    );
  }
});
