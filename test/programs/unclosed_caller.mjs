/**
 * A program that never closes its producer, for `unclosed.mjs`.
 *
 *     <runtime> unclosed_caller.mjs <module of the producer> <brokers> <what it does> [JSON of options]
 */

const [library, brokers, play, json = "{}"] = globalThis.Deno?.args ?? process.argv.slice(2);
const { Producer } = await import(library);
const options = JSON.parse(json);
const producer = new Producer({ brokers, ...options });
const record = (value) => ({ topic: "orders", value: String(value) });

/** Another entry point of the package that the producer is of. */
function beside(name) {
  return new URL(library.endsWith(".ts") ? `src/${name}/mod.ts` : `${name}.js`, library).href;
}

const plays = {
  /** Waits for each record. */
  async awaited() {
    for (let i = 0; i < 10; i++) await producer.send(record(i));
    console.log("delivered");
  },
  /** Waits for nothing. */
  unawaited() {
    for (let i = 0; i < 1_000; i++) producer.send(record(i)).catch((error) => console.log(error.message));
    console.log("sent");
  },
  /** Without promises. */
  produced() {
    let left = 1_000;
    for (let i = 0; i < 1_000; i++) producer.produce(record(i), () => --left === 0 && console.log("told"));
  },
  /** More than fits into the sockets' buffers at once. */
  large() {
    for (let i = 0; i < 16; i++) {
      producer.send(record("x".repeat(500_000))).catch((error) => console.log(error.message));
    }
    console.log("sent");
  },
  /** Calls that no record is behind. */
  calls() {
    console.log("calling");
    // These two are told at once that nobody is there; the third waits.
    producer.connect().catch(() => {});
    producer.refreshMetadata().catch(() => {});
    void producer.partitionsFor("orders").then(() => console.log("looked up"));
  },
  /** One that fails. */
  failing() {
    producer.send(record("v")).catch((error) => console.log(error.code));
  },
  /** Sends on behalf of callers with contexts of their own, and looks whether anything keeps those. */
  async contexts() {
    const { AsyncLocalStorage } = await import("node:async_hooks");
    const storage = new AsyncLocalStorage();
    const stores = [];
    const sendAs = (name, options) => {
      const store = { name };
      stores.push(new WeakRef(store));
      return storage.run(store, () => producer.send(record(name), options));
    };
    await sendAs("first");
    await sendAs("second", { onDelivery() {} });
    // What ran last may still be looked after by the runtime itself.
    for (let i = 0; i < 10; i++) {
      await storage.run(undefined, () => producer.send(record(i), { onDelivery() {} }));
      await new Promise((resolve) => setTimeout(resolve, 10));
      if (globalThis.Bun) globalThis.Bun.gc(true);
      else globalThis.gc();
    }
    console.log(stores.map((store) => store.deref()?.name ?? "free").join(" "));
  },
  /** Reads from a broker in its own memory, and forgets its readers. */
  async embedded() {
    const { GroupReader, Reader } = await import(beside("reader"));
    const { EmbeddedCluster } = await import(beside("testing"));
    const cluster = new EmbeddedCluster({ topics: { orders: 1 } });
    const own = { brokers: cluster.bootstrap, connect: cluster.sockets };
    await new Producer(own).send(record("v"));
    const reader = new Reader(own);
    reader.assign([{ topic: "orders", partition: 0 }]);
    for await (const { offset } of reader) if (offset === 0n) break;
    for await (const { offset } of new GroupReader({ ...own, groupId: "g", topics: ["orders"] })) {
      if (offset === 0n) break;
    }
    // Answered by a timer of the broker alone.
    const next = reader.batches().next();
    setTimeout(() => reader.close(), 700);
    console.log((await next).done ? "read" : "more than was written");
  },
  /** Stays, with an idle connection, until its standard input ends. */
  async idle() {
    await producer.connect();
    console.log("connected");
    const { default: process } = await import("node:process");
    process.stdin.resume();
  },
};
await plays[play]();
