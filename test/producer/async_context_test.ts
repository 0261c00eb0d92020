import assert from "node:assert/strict";
import { Producer } from "../../src/producer/producer.ts";
import type { ProducerOptions } from "../../src/producer/options/options.ts";
import type { ProducerRecord } from "../../src/producer/record/record.ts";
import { Metadata, Produce } from "../../src/protocol/messages/mod.ts";
import { builtinModule } from "../../src/runtime/builtin.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { selectRuntime } from "../../src/runtime/select.ts";
import { EmbeddedCluster } from "../../src/testing/mod.ts";
import { test } from "../harness.ts";

interface Storage {
  run<R>(store: string, callback: () => R): R;
  getStore(): string | undefined;
}

const hooks = builtinModule<{ AsyncLocalStorage: new () => Storage }>("node:async_hooks");

/** Where the runtime has no contexts there is nothing to mix, and everybody sees none. */
const storage: Storage = hooks === undefined
  ? { run: (_, callback) => callback(), getStore: () => undefined }
  : new hooks.AsyncLocalStorage();

/** What is seen in the context of a caller. */
function of(caller: string): string | undefined {
  return storage.run(caller, () => storage.getStore());
}

function setUp(options: Partial<ProducerOptions> = {}, runtime?: Runtime): { cluster: EmbeddedCluster; p: Producer } {
  const cluster = new EmbeddedCluster({ topics: { orders: 1 } });
  const common = { brokers: cluster.bootstrap, ...options };
  if (runtime === undefined) return { cluster, p: new Producer({ ...common, connect: cluster.sockets }) };
  return { cluster, p: new Producer(common, { ...runtime, sockets: cluster.sockets }) };
}

/** Sends on behalf of callers; resolves to what each callback saw, by caller. */
function sendAs(
  p: Producer,
  callers: readonly string[],
  record: ProducerRecord = { topic: "orders", value: "v" },
  signal?: AbortSignal,
): Promise<(string | undefined)[][]> {
  return Promise.all(callers.map((caller) => {
    const seen: (string | undefined)[] = [];
    const see = (): void => void seen.push(storage.getStore());
    const callbacks = { onDelivery: see, onSuccess: see, onError: see };
    return storage.run(caller, async () => {
      await p.send(record, { ...callbacks, ...(signal === undefined ? {} : { signal }) }).catch(() => {});
      see();
      await new Promise<void>((resolve) => {
        const told = (): void => {
          see();
          resolve();
        };
        // Records without a promise, too.
        if (!p.produce(record, told)) resolve();
      });
      return seen;
    });
  }));
}

test("async context: callbacks of records in one batch each run in the context of their own send", async () => {
  const { p } = setUp();
  const callers = ["a", "b", "c"];
  for (let round = 0; round < 2; round++) {
    const seen = await sendAs(p, callers);
    assert.deepEqual(seen, callers.map((caller) => Array(4).fill(of(caller))));
  }
  await p.close();
});

test("async context: the callbacks of a batch call, and of a call outside of any context, run where the call was", async () => {
  const { p } = setUp();
  const seen: unknown[] = [];
  const record = { topic: "orders", value: "v" };
  const onDelivery = (): void => void seen.push(storage.getStore());
  const first = storage.run("a", () => p.send(record));
  const outside = p.send(record, { onDelivery });
  const batch = storage.run("b", () => p.sendBatch([record, record], { onDelivery }));
  await Promise.all([first, outside, batch]);
  assert.deepEqual(seen, [undefined, of("b"), of("b")]);
  await p.close();
});

test("async context: it stays that of the send when a record waits for memory, is refused, or is sent again", async () => {
  const callers = ["a", "b", "c", "d"];
  const wanted = callers.map((caller) => Array(4).fill(of(caller)));
  const { cluster, p } = setUp({ bufferMemory: 400, maxRequestSize: 400, retryBackoffMs: 1 });
  const value = new Uint8Array(200);
  // Sends with `produce` beside them may find no room, and then aren't told.
  const heads = (seen: unknown[][]): unknown[][] => seen.map((each) => each.slice(0, 3));
  assert.deepEqual(heads(await sendAs(p, callers, { topic: "orders", value })), heads(wanted));
  cluster.control(Produce, { error: 6 }, { times: 2 });
  assert.deepEqual(heads(await sendAs(p, callers, { topic: "orders", value })), heads(wanted));
  assert.deepEqual(await sendAs(p, callers, { topic: "orders", value: new Uint8Array(1_000) }), wanted);
  await p.close();
});

test("async context: whoever aborts or closes, the callbacks run in the context of their own send", async () => {
  const { cluster, p } = setUp({ lingerMs: 60_000 });
  await p.connect();
  const controller = new AbortController();
  const seen: unknown[] = [];
  const onError = (): void => void seen.push(storage.getStore());
  const record = { topic: "orders", value: "v" };
  const waiting = [
    storage.run("a", () => p.send(record, { onError, signal: controller.signal })),
    storage.run("b", () => p.send(record, { onError, signal: controller.signal })),
  ];
  storage.run("aborter", () => controller.abort());
  await Promise.allSettled(waiting);
  cluster.control(Produce, { silence: true });
  const left = storage.run("c", () => p.send(record, { onError }));
  await storage.run("closer", () => p.close({ timeoutMs: 1 })).catch(() => {});
  await Promise.allSettled([left]);
  assert.deepEqual(seen, [of("a"), of("b"), of("c")]);
});

test("async context: partitioner, serializer and interceptors run in the context of the record's send", async () => {
  const seen: [string, string | undefined, unknown][] = [];
  const see = (what: string, value: unknown): void => void seen.push([what, storage.getStore(), value]);
  const { p } = setUp({
    partitioner: ({ value }) => {
      see("partitioner", value);
      return 0;
    },
    valueSerializer: (value) => {
      see("serializer", value);
      return new TextEncoder().encode(value as string);
    },
    interceptors: [{
      onSend: (record) => {
        see("onSend", record.value);
        return record;
      },
      onAcknowledgement: () => see("onAcknowledgement", undefined),
    }],
  });
  // The first wait for metadata, the others don't.
  for (let round = 0; round < 2; round++) {
    seen.length = 0;
    await Promise.all(
      ["a", "b"].map((caller) => storage.run(caller, () => p.send({ topic: "orders", value: caller }))),
    );
    const acknowledged = seen.filter(([what]) => what === "onAcknowledgement").map(([, store]) => store);
    assert.deepEqual(acknowledged, [of("a"), of("b")]);
    for (const [what, store, value] of seen) {
      if (what !== "onAcknowledgement") assert.equal(store, of(value as string), `${what}, round ${round}`);
    }
  }
  await p.close();
});

test("async context: hooks, loggers, sockets and timers are in the context of no caller", async (t) => {
  const stray: string[] = [];
  const look = (what: string): void => {
    const store = storage.getStore();
    if (store !== undefined) stray.push(`${what} in ${store}`);
  };
  const real = selectRuntime();
  const cluster = new EmbeddedCluster({ topics: { orders: 1, others: 1 }, brokers: 2 });
  const runtime: Runtime = {
    ...real,
    sockets: {
      ...cluster.sockets,
      connect: (options, events) => {
        look("connect");
        return cluster.sockets.connect(options, events);
      },
    },
    setTimer: (callback, delayMs) => {
      look("setTimer");
      return real.setTimer(() => {
        look("timer");
        callback();
      }, delayMs);
    },
    defer: (callback) => {
      look("defer");
      real.defer(callback);
    },
  };
  const hook = (name: string) => (): void => look(name);
  const p = new Producer({
    brokers: cluster.bootstrap,
    retryBackoffMs: 1,
    logger: { debug: hook("debug"), info: hook("info"), warn: hook("warn"), error: hook("error") },
    hooks: {
      onConnect: hook("onConnect"),
      onDisconnect: hook("onDisconnect"),
      onRequest: hook("onRequest"),
      onResponse: hook("onResponse"),
      onRetry: hook("onRetry"),
    },
  }, runtime);
  t.after(() => p.close());
  const record = { topic: "orders", value: "v" };
  await storage.run("connect", () => p.connect());
  await storage.run("partitions", () => p.partitionsFor("orders"));
  await storage.run("refresh", () => p.refreshMetadata("others"));
  await storage.run("send", () => p.send(record));
  cluster.control(Produce, { error: 6 }, { times: 1 });
  await storage.run("retry", () => p.send(record));
  cluster.control(Metadata, { close: true }, { times: 1 });
  for (const broker of cluster.brokers) broker.disconnectAll();
  await storage.run("again", () => p.sendBatch([record, { topic: "others", value: "v" }]));
  await storage.run("flush", () => p.flush({ timeoutMs: 1_000 }));
  await storage.run("close", () => p.close({ timeoutMs: 1_000 }));
  assert.deepEqual(stray, []);
});
