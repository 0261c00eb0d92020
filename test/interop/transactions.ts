/**
 * Transactions on a real Kafka, from whatever runtime runs this: what is done is compared with what a reader of committed
 * records sees, and every offset of every log is accounted for.
 *
 * The brokers are behind proxies; the program that has started this one spoils connections and kills brokers on demand.
 */
import {
  type KafkaError,
  ProducerFencedError,
  TransactionalProducer,
  type TransactionalProducerOptions,
  TransactionTimedOutError,
} from "../../mod.ts";
import { Reader } from "../../src/reader/mod.ts";

/** What is to be run. */
interface Plan {
  readonly brokers: string;
  /** The version of transactions that the cluster speaks. */
  readonly version: 1 | 2;
  readonly scenarios: readonly string[];
  /** Starts the names of topics, groups and transactional ids. */
  readonly prefix: string;
  /** How to be let in. */
  readonly security: Pick<TransactionalProducerOptions, "tls" | "sasl">;
}

/** What a scenario works with. */
interface Scene {
  readonly version: 1 | 2;
  readonly topic: string;
  readonly source: string;
  readonly group: string;
  readonly id: string;
  producer(options?: Partial<TransactionalProducerOptions>): TransactionalProducer;
  /** Asks for a fault. */
  control(what: string): Promise<void>;
  /** The values that must be there, partition by partition, for a reader of committed records; none for the others. */
  expect(values: Readonly<Record<number, readonly string[]>>): void;
  /** Waits until no transaction is open in the topic any more. */
  ended(): Promise<void>;
  /** The offset that the group must have committed. */
  expectOffset(partition: number, offset: bigint): void;
  wanted(condition: boolean, what: string): void;
}

type Scenario = (scene: Scene) => Promise<void>;

const decoder = new TextDecoder();
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const caught = (promise: Promise<unknown>): Promise<KafkaError | undefined> =>
  promise.then(() => undefined, (error) => error as KafkaError);

/** What becomes of a transaction of one record while EndTxn is spoiled: it must be told truly, and the next one works. */
function spoiledEnd(fault: string, ending: "commit" | "abort"): Scenario {
  return async ({ version, topic, producer, control, expect, wanted }) => {
    const client = producer({ requestTimeoutMs: 1_500, deliveryTimeoutMs: 10_000 });
    await client.transaction((tx) => void tx.send({ topic, partition: 0, value: "before" }));
    const tx = await client.begin();
    await tx.send({ topic, partition: 0, value: "spoiled" });
    await control(fault);
    const error = await caught(tx[ending]());
    wanted(error === undefined, `${ending} fails: ${error}`);
    // What is late arrives in the midst of this transaction, which is aborted.
    const second = await client.begin();
    await second.send({ topic, partition: 0, value: "aborted" });
    await control("release");
    await sleep(700);
    await second.abort();
    await client.transaction((next) => void next.send({ topic, partition: 0, value: "after" }));
    expect({ 0: ["before", ...(ending === "commit" ? ["spoiled"] : []), "after"] });
    await client.close();
    wanted(version > 0, "no version");
  };
}

const scenarios: Readonly<Record<string, Scenario>> = {
  "what is committed is there once and in order": async ({ topic, producer, expect }) => {
    const client = producer();
    const values: string[][] = [[], [], []];
    for (let i = 0; i < 20; i++) {
      await client.transaction((tx) => {
        for (let j = 0; j < 9; j++) {
          void tx.send({ topic, partition: j % 3, value: `${i}.${j}` });
          values[j % 3]!.push(`${i}.${j}`);
        }
      });
    }
    expect({ ...values });
    await client.close();
  },
  "fifty partitions at once are all in the transaction": async ({ topic, producer, expect }) => {
    const client = producer();
    const partitions = Array.from({ length: 50 }, (_, partition) => partition);
    for (const value of ["a", "b"]) {
      await client.transaction((tx) =>
        Promise.all(partitions.map((partition) => tx.send({ topic, partition, value })))
      );
    }
    expect(Object.fromEntries(partitions.map((partition) => [partition, ["a", "b"]])));
    await client.close();
  },
  "offsets are committed with the records, concurrent ones and those that nobody awaits": async (
    { topic, source, group, producer, expect, expectOffset },
  ) => {
    const client = producer();
    await client.transaction(async (tx) => {
      void tx.send({ topic, partition: 0, value: "a" });
      await Promise.all([0, 1, 2].map((partition) => (
        tx.sendOffsets({ topic: source, partition, offset: BigInt(partition + 5) }, group)
      )));
      void tx.sendOffsets({ topic: source, partition: 3, offset: 8n }, { groupId: group });
    });
    await caught(client.transaction(async (tx) => {
      await tx.sendOffsets({ topic: source, partition: 0, offset: 100n }, group);
      throw new Error("no");
    }));
    expect({ 0: ["a"] });
    for (let partition = 0; partition < 4; partition++) expectOffset(partition, BigInt(partition + 5));
    await client.close();
  },
  "offsets of a member that is none are refused, and the next transaction works": async (
    { topic, source, group, producer, expect, expectOffset, wanted },
  ) => {
    const client = producer();
    const error = await caught(client.transaction(async (tx) => {
      await tx.send({ topic, partition: 0, value: "stale" });
      await tx.sendOffsets({ topic: source, partition: 0, offset: 9n }, {
        groupId: group,
        memberId: "nobody",
        generationId: 3,
      });
    }));
    wanted([22, 25].includes(error?.errorCode ?? 0) && error!.requiresAbort, `a stale member meets ${error}`);
    await client.transaction(async (tx) => {
      await tx.send({ topic, partition: 0, value: "good" });
      await tx.sendOffsets({ topic: source, partition: 0, offset: 10n }, group);
    });
    expect({ 0: ["good"] });
    expectOffset(0, 10n);
    await client.close();
  },
  "an abort takes back what was sent, and drops what was not": async ({ topic, producer, expect, wanted }) => {
    const client = producer({ lingerMs: 5_000 });
    const tx = await client.begin();
    const sent = tx.send({ topic, partition: 0, value: "sent" });
    await tx.flush();
    await sent;
    const unsent = caught(tx.send({ topic, partition: 1, value: "unsent" }));
    await tx.abort();
    wanted((await unsent)?.code === "TRANSACTION_ABORTED", `what was not sent meets ${await unsent}`);
    await client.transaction((next) => void next.send({ topic, partition: 0, value: "next" }));
    expect({ 0: ["next"] });
    await client.close();
  },
  "one with nothing in it ends well": async ({ topic, producer, expect }) => {
    const client = producer();
    await client.transaction(() => {});
    await (await client.begin()).abort();
    await client.transaction((tx) => void tx.send({ topic, partition: 0, value: "a" }));
    expect({ 0: ["a"] });
    await client.close();
  },
  "a record that fails blocks the commit": async ({ topic, producer, expect, wanted }) => {
    const client = producer();
    const error = await caught(client.transaction(async (tx) => {
      void tx.send({ topic, partition: 0, value: "good" });
      void tx.send({ topic, partition: 1, value: "x".repeat(1_200_000) });
      await tx.flush();
    }));
    wanted(error?.requiresAbort === true, `the commit meets ${error}`);
    await client.transaction((tx) => void tx.send({ topic, partition: 0, value: "next" }));
    expect({ 0: ["next"] });
    await client.close();
  },
  "a restart aborts what was left open, and the former producer is fenced": async (
    { topic, producer, expect, wanted },
  ) => {
    const former = producer();
    const tx = await former.begin();
    await tx.send({ topic, partition: 0, value: "left open" });
    const later = producer();
    await later.transaction((next) => void next.send({ topic, partition: 0, value: "later" }));
    const error = await caught(tx.commit());
    wanted(error instanceof ProducerFencedError && error.fatal, `the former commits and meets ${error}`);
    wanted(await caught(former.begin()) instanceof ProducerFencedError, "the former may begin again");
    await later.transaction((next) => void next.send({ topic, partition: 0, value: "again" }));
    expect({ 0: ["later", "again"] });
    await former.close();
    await later.close();
  },
  "a zombie's records are refused": async ({ topic, producer, expect, wanted }) => {
    const former = producer();
    await former.init();
    const later = producer();
    await later.init();
    const error = await caught(former.transaction((tx) => tx.send({ topic, partition: 0, value: "zombie" })));
    wanted(error !== undefined, "the zombie's record is taken");
    wanted(
      await caught(former.transaction((tx) => tx.send({ topic, partition: 0, value: "zombie" }))) !== undefined,
      "it is taken later",
    );
    wanted(former.state === "fatal", `the zombie is ${former.state}`);
    await later.transaction((next) => void next.send({ topic, partition: 0, value: "later" }));
    expect({ 0: ["later"] });
    await former.close();
    await later.close();
  },
  "one that takes too long is aborted by the broker, and is told so": async (
    { version, topic, producer, expect, ended, wanted },
  ) => {
    // Long enough for the record, which is given up after it, on a machine that has much else to do.
    const client = producer({ transactionTimeoutMs: 8_000 });
    const error = await caught(client.transaction(async (tx) => {
      await tx.send({ topic, partition: 0, value: "late" });
      await ended();
    }));
    wanted(
      version === 2 ? error instanceof TransactionTimedOutError : error instanceof ProducerFencedError,
      `the commit meets ${error}`,
    );
    const next = version === 2 ? client : producer();
    await next.transaction((tx) => void tx.send({ topic, partition: 0, value: "next" }));
    expect({ 0: ["next"] });
    await client.close();
    await next.close();
  },
  "the answer of a commit is lost": spoiledEnd("lose EndTxn's answer", "commit"),
  "the answer of an abort is lost": spoiledEnd("lose EndTxn's answer", "abort"),
  "a commit is lost on its way": spoiledEnd("lose EndTxn", "commit"),
  "a commit's answer is swallowed by a silent connection": spoiledEnd("silence EndTxn", "commit"),
  "a commit arrives late": spoiledEnd("hold EndTxn", "commit"),
  "an abort arrives late": spoiledEnd("hold EndTxn", "abort"),
  "records' answers are lost": async ({ topic, producer, control, expect }) => {
    const client = producer({ requestTimeoutMs: 1_500, deliveryTimeoutMs: 10_000 });
    const values: string[] = [];
    for (let i = 0; i < 5; i++) {
      await client.transaction(async (tx) => {
        await control("lose Produce's answer");
        for (let j = 0; j < 5; j++) {
          values.push(`${i}.${j}`);
          void tx.send({ topic, partition: 0, value: `${i}.${j}` });
        }
        await tx.flush();
      });
    }
    expect({ 0: values });
    await client.close();
  },
  "a registration's answer is lost": async ({ topic, producer, control, expect }) => {
    const client = producer({ requestTimeoutMs: 1_500, deliveryTimeoutMs: 10_000 });
    await client.init();
    await control("lose AddPartitionsToTxn's answer");
    await client.transaction((tx) => void tx.send({ topic, partition: 0, value: "a" }));
    await client.transaction((tx) => void tx.send({ topic, partition: 0, value: "b" }));
    expect({ 0: ["a", "b"] });
    await client.close();
  },
  "the coordinator is killed between begin and commit": async ({ topic, producer, control, expect }) => {
    const client = producer();
    const tx = await client.begin();
    await tx.send({ topic, partition: 0, value: "a" });
    await control("kill the coordinator");
    await tx.commit();
    await client.transaction((next) => void next.send({ topic, partition: 0, value: "b" }));
    expect({ 0: ["a", "b"] });
    await client.close();
    await control("heal");
  },
  "the coordinator is killed while EndTxn is in flight": async ({ topic, producer, control, expect, wanted }) => {
    const client = producer();
    const tx = await client.begin();
    await tx.send({ topic, partition: 0, value: "a" });
    await control("kill the coordinator at EndTxn");
    const error = await caught(tx.commit());
    wanted(error === undefined, `the commit meets ${error}`);
    await client.transaction((next) => void next.send({ topic, partition: 0, value: "b" }));
    expect({ 0: ["a", "b"] });
    await client.close();
    await control("heal");
  },
};

/** The names of the scenarios. */
export const scenarioNames: readonly string[] = Object.keys(scenarios);

/** Runs the plan that is to be had at an address, and reports there what was wrong. */
export async function runTransactions(address: string): Promise<void> {
  const plan = await (await fetch(address)).json() as Plan;
  const reports: {
    name: string;
    topic: string;
    values: Record<number, readonly string[]>;
    differences: string[];
    elapsedMs: number;
  }[] = [];
  for (const [i, name] of plan.scenarios.entries()) {
    const id = `${plan.prefix}-${i}`;
    const topic = `${id}-out`;
    const partitions = name.startsWith("fifty") ? 50 : 4;
    const differences: string[] = [];
    let values: Readonly<Record<number, readonly string[]>> = {};
    const offsets = new Map<number, bigint>();
    const scene: Scene = {
      version: plan.version,
      ...{ topic, source: `${id}-in`, group: `${id}-group`, id },
      producer: (options = {}) =>
        new TransactionalProducer({
          ...{ brokers: plan.brokers, ...plan.security, transactionalId: id, retryBackoffMs: 20 },
          ...options,
        }),
      control: async (what) => {
        const answer = await fetch(`${address}control`, {
          method: "POST",
          body: JSON.stringify({ what, id, partitions }),
        });
        if (!answer.ok) throw new Error(await answer.text());
      },
      expect: (wanted) => values = wanted,
      ended: async () => {
        differences.push(...(await untilEnded(plan, topic)).differences);
      },
      expectOffset: (partition, offset) => offsets.set(partition, offset),
      wanted: (condition, what) => condition || differences.push(what),
    };
    await scene.control("create");
    const startMs = performance.now();
    try {
      await scenarios[name]!(scene);
      differences.push(...await compare(plan, topic, values));
      differences.push(...await compareOffsets(plan, scene, offsets));
    } catch (error) {
      differences.push(String((error as Error).stack ?? error));
    }
    reports.push({ name, topic, values, differences, elapsedMs: performance.now() - startMs });
  }
  await fetch(`${address}report`, { method: "POST", body: JSON.stringify(reports) });
}

/** Reads each partition twice: what is committed, and everything with the marks that end transactions. */
async function compare(
  { brokers, security }: Plan,
  topic: string,
  wanted: Readonly<Record<number, readonly string[]>>,
): Promise<string[]> {
  // A commit is answered before its marks are in all logs.
  const { ends, places, differences } = await untilEnded({ brokers, security }, topic);
  const all = new Reader({ brokers, ...security, isolation: "read_uncommitted", controlRecords: true });
  const committed = new Reader({ brokers, ...security });
  const offsets = new Map<number, bigint[]>();
  await readTo(all, places, ends, ({ partition, offset }) => append(offsets, partition, offset));
  for (const [partition, end] of ends) {
    const seen = offsets.get(partition) ?? [];
    if (seen.length !== Number(end) || seen.some((offset, i) => offset !== BigInt(i))) {
      differences.push(`partition ${partition}: of ${end} offsets these are seen: ${seen}`);
    }
  }
  const values = new Map<number, string[]>();
  if (differences.length === 0) {
    await readTo(committed, places, ends, ({ partition, value }) => append(values, partition, decoder.decode(value!)));
  }
  for (const { partition } of places) {
    const seen = JSON.stringify(values.get(partition) ?? []);
    const right = JSON.stringify(wanted[partition] ?? []);
    if (seen !== right) differences.push(`partition ${partition}: ${seen} is committed, wanted ${right}`);
  }
  await all.close();
  await committed.close();
  return differences;
}

/** Looks until no transaction is open in a topic, for half a minute at most; `differences` tell of those that are. */
async function untilEnded({ brokers, security }: Pick<Plan, "brokers" | "security">, topic: string): Promise<{
  readonly places: { readonly topic: string; readonly partition: number; readonly start: "beginning" }[];
  readonly ends: ReadonlyMap<number, bigint>;
  readonly differences: string[];
}> {
  const all = new Reader({ brokers, ...security, isolation: "read_uncommitted" });
  const committed = new Reader({ brokers, ...security });
  const count = await all.partitionsOf(topic);
  const places = Array.from({ length: count }, (_, partition) => ({ topic, partition, start: "beginning" as const }));
  const endsOf = async (reader: Reader): Promise<Map<number, bigint>> =>
    new Map((await reader.offsetsOf(places, "end")).map(({ partition, offset }) => [partition, offset]));
  let ends = await endsOf(all);
  let stable = await endsOf(committed);
  const open = (): [number, bigint][] => [...stable].filter(([partition, offset]) => offset !== ends.get(partition));
  for (let tries = 0; tries < 300 && open().length > 0; tries++) {
    await sleep(100);
    ends = await endsOf(all);
    stable = await endsOf(committed);
  }
  await all.close();
  await committed.close();
  return {
    places,
    ends,
    differences: open().map(([partition, offset]) => `partition ${partition}: open at ${offset}`),
  };
}

async function readTo(
  reader: Reader,
  places: readonly { topic: string; partition: number; start: "beginning" }[],
  ends: ReadonlyMap<number, bigint>,
  see: (record: { partition: number; offset: bigint; value: Uint8Array | null }) => void,
): Promise<void> {
  const left = new Map([...ends].filter(([, end]) => end > 0n));
  if (left.size === 0) return;
  reader.assign(places);
  for await (const { partition, records, nextOffset } of reader.batches()) {
    records.forEach(see);
    if (nextOffset >= (left.get(partition) ?? 0n)) left.delete(partition);
    if (left.size === 0) return;
  }
}

function append<T>(lists: Map<number, T[]>, key: number, element: T): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [element]);
  else list.push(element);
}

async function compareOffsets(
  { brokers, security }: Plan,
  { group, source }: Scene,
  wanted: ReadonlyMap<number, bigint>,
): Promise<string[]> {
  if (wanted.size === 0) return [];
  const reader = new Reader({ brokers, ...security });
  const places = [...wanted.keys()].map((partition) => ({ topic: source, partition }));
  const seen = new Map((await reader.committed(group, places)).map(({ partition, offset }) => [partition, offset]));
  await reader.close();
  return [...wanted].flatMap(([partition, offset]) =>
    seen.get(partition) === offset ? [] : [`offset of partition ${partition}: ${seen.get(partition)}, wanted ${offset}`]
  );
}
