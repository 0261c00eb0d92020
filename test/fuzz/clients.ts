/**
 * The fuzzer of answers for whoever isn't a producer: an admin client, a reader, a member of a group, and a producer of
 * transactions, each in ordinary use while the answers to its requests are changed, in virtual time.
 *
 * Checked are: every call settles in its time; nobody is left to handle an error; the work, counted, follows the bytes
 * received and the time; once the answers are right again, the same client works, or, where it was told that it is of no
 * more use, another one in its place; closed clients leave nothing behind.
 *
 * @module
 */

import { Admin } from "../../src/admin/admin.ts";
import type { KafkaError } from "../../src/errors.ts";
import { TransactionalProducer } from "../../src/producer/transaction/transactional_producer.ts";
import { decodeAnswerFrame, decodeResponseFrame } from "../../src/protocol/api.ts";
import * as messages from "../../src/protocol/messages/mod.ts";
import type { AnyApi } from "../../src/protocol/schema.ts";
import { GroupReader, Reader } from "../../src/reader/mod.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { type ControlAction, EmbeddedCluster, type RequestContext, VirtualRuntime } from "../../src/testing/mod.ts";
import { Dice } from "../../src/testing/simulation/dice.ts";
import {
  countedRuntime,
  type FuzzOptions,
  type FuzzResult,
  LONGEST_THROTTLE_MS,
  plain,
  SLACK_MS,
  timed,
  WORK,
} from "./fuzz.ts";
import { mutateBytes, mutateFields } from "./mutations.ts";

/** Who is fuzzed. */
export type ClientKind = "admin" | "reader" | "group" | "transactions";

/** All of them. */
export const CLIENT_KINDS: readonly ClientKind[] = ["admin", "reader", "group", "transactions"];

const COMMON: readonly AnyApi[] = [messages.ApiVersions, messages.Metadata, messages.FindCoordinator];
const READING: readonly AnyApi[] = [
  ...[messages.Fetch, messages.ListOffsets, messages.OffsetForLeaderEpoch, messages.OffsetFetch],
];

/** What each of them asks. */
const APIS: Readonly<Record<ClientKind, readonly AnyApi[]>> = {
  admin: [
    ...[...COMMON, messages.CreateTopics, messages.DeleteTopics, messages.CreatePartitions, messages.DeleteRecords],
    ...[messages.DescribeConfigs, messages.IncrementalAlterConfigs, messages.DescribeCluster, messages.ListGroups],
    ...[messages.DescribeGroups, messages.DeleteGroups, messages.OffsetDelete, messages.OffsetFetch],
    ...[messages.OffsetCommit, messages.ListOffsets],
  ],
  reader: [...COMMON, ...READING],
  group: [
    ...[...COMMON, ...READING, messages.JoinGroup, messages.SyncGroup, messages.Heartbeat, messages.LeaveGroup],
    messages.OffsetCommit,
  ],
  transactions: [
    ...[...COMMON, messages.InitProducerId, messages.AddPartitionsToTxn, messages.AddOffsetsToTxn],
    ...[messages.TxnOffsetCommit, messages.EndTxn, messages.Produce],
  ],
};

const PARTITIONS = 3;
const RECORDS = 30;
const CALL_MS = 4_000;
/** How long a client may need to work again, throttles that were believed apart. */
const RECOVERY_MS = 60_000;

/** Plays the schedule of a seed. */
export async function fuzzClient(kind: ClientKind, seed: number, options: FuzzOptions = {}): Promise<FuzzResult> {
  return await new ClientSchedule(kind, seed, options).play();
}

interface Watched {
  readonly what: string;
  readonly dueMs: number;
  atMs?: number;
}

/** A client in use. */
interface Used {
  /** Something ordinary; the promises settle within `CALL_MS`. */
  use(dice: Dice): Iterable<readonly [what: string, call: Promise<unknown>]>;
  /** Resolves when it has done its work once more. */
  probe(): Promise<unknown>;
  close(): Promise<unknown>;
}

class ClientSchedule {
  readonly #kind: ClientKind;
  readonly #seed: number;
  readonly #options: FuzzOptions;
  readonly #dice: Dice;
  readonly #runtime: VirtualRuntime;
  readonly #cluster: EmbeddedCluster;
  readonly #problems: string[] = [];
  readonly #trace: string[] = [];
  readonly #watched: Watched[] = [];
  #mutated = 0;
  #lies = 0;
  #bytes = 0;
  #work = 0;
  #serial = 0;
  #delivered = 0;

  constructor(kind: ClientKind, seed: number, options: FuzzOptions) {
    this.#kind = kind;
    this.#seed = seed;
    this.#options = options;
    const dice = this.#dice = new Dice(seed);
    this.#runtime = new VirtualRuntime({ seed: dice.seed() });
    this.#cluster = new EmbeddedCluster({
      brokers: dice.between(1, 3),
      release: dice.pick(["3.9", "4.1", "4.1"]),
      topics: { orders: PARTITIONS, out: 2 },
      record: false,
      seed,
      runtime: this.#runtime,
      network: { latencyMs: dice.pick([0, 1, 5]), chunking: dice.pick(["whole", "random"]) },
    });
    this.#runtime.sockets = this.#cluster.sockets;
  }

  async play(): Promise<FuzzResult> {
    const runtime = countedRuntime(this.#runtime, this.#cluster, () => this.#work += 1, (chunk, take) => {
      this.#bytes += chunk.length;
      this.#take(chunk, take);
    });
    this.#say(`${this.#kind}, ${this.#cluster.brokers.length} brokers`);
    try {
      await this.#fill();
      const client = this.#client(runtime);
      if (this.#dice.oneIn(3)) await this.#runtime.runUntil(client.probe(), RECOVERY_MS);
      const mend = this.#spoil();
      await this.#live(client);
      mend();
      this.#say("the answers are right again");
      await this.#recover(client);
      await this.#settle();
      await this.#end(client);
    } catch (error) {
      this.#problem(`the schedule was broken off: ${error instanceof Error ? error.stack ?? error.message : error}`);
    }
    await this.#cluster.close();
    const allowed = WORK.base + WORK.perByte * this.#bytes + WORK.perMs * this.#runtime.now();
    if (this.#work > allowed) {
      this.#problem(`${this.#work} calls of the runtime for ${this.#bytes} bytes, wanted at most ${allowed}`);
    }
    for (const failure of this.#cluster.failures) this.#problem(`the cluster failed: ${String(failure)}`);
    for (const reason of this.#options.takeUnhandled?.() ?? []) this.#problem(`nobody handled ${String(reason)}`);
    return {
      ...{ seed: this.#seed, problems: this.#problems, trace: this.#trace, mutated: this.#mutated, lies: this.#lies },
      ...{ delivered: this.#delivered, bytes: this.#bytes, work: this.#work, virtualMs: this.#runtime.now() },
    };
  }

  /** What there is to read. */
  async #fill(): Promise<void> {
    const producer = new TransactionalProducer(
      { brokers: this.#cluster.bootstrap, transactionalId: "filler" },
      this.#runtime,
    );
    const filled = producer.transaction((tx) => {
      for (let i = 0; i < RECORDS; i++) void tx.send({ topic: "orders", partition: i % PARTITIONS, value: `${i}` });
      return Promise.resolve();
    });
    await this.#runtime.runUntil(filled, 60_000);
    await this.#runtime.runUntil(producer.close(), 60_000);
  }

  #client(runtime: Runtime): Used {
    switch (this.#kind) {
      case "admin":
        return this.#admin(runtime);
      case "reader":
        return this.#reader(runtime);
      case "group":
        return this.#member(runtime);
      case "transactions":
        return this.#transactions(runtime);
    }
  }

  #admin(runtime: Runtime): Used {
    const admin = new Admin({ brokers: this.#cluster.bootstrap, requestTimeoutMs: 1_000 }, runtime);
    const timeoutMs = CALL_MS;
    const partition = { topic: "orders", partition: 0 };
    const config = { type: "topic", name: "orders" } as const;
    const calls: Readonly<Record<string, () => PromiseLike<unknown>>> = {
      listTopics: () => admin.listTopics({ timeoutMs }),
      describeTopics: () => admin.describeTopics(["orders", "none"], { timeoutMs }),
      createTopics: () => admin.createTopics([{ topic: `new-${this.#serial++}` }], { timeoutMs }),
      createPartitions: () => admin.createPartitions([{ topic: "out", partitions: 2 + this.#serial++ }], { timeoutMs }),
      deleteTopics: () => admin.deleteTopics([`new-${this.#serial - 1}`], { timeoutMs }),
      describeConfigs: () => admin.describeConfigs([config], { timeoutMs }),
      alterConfigs: () => admin.incrementalAlterConfigs([{ ...config, set: { "retention.ms": 1_000 } }], { timeoutMs }),
      deleteRecords: () => admin.deleteRecords([{ ...partition, before: 1n }], { timeoutMs }),
      listOffsets: () => admin.listOffsets([{ ...partition, at: "latest" }], { timeoutMs }),
      describeCluster: () => admin.describeCluster({ timeoutMs }),
      listGroups: () => admin.listGroups({ timeoutMs }),
      describeGroups: () => admin.describeGroups(["g"], { timeoutMs }),
      alterOffsets: () => admin.alterConsumerGroupOffsets("g", [{ ...partition, offset: 2n }], { timeoutMs }),
      offsets: () => admin.listConsumerGroupOffsets("g", { timeoutMs }),
      deleteOffsets: () => admin.deleteConsumerGroupOffsets("g", [partition], { timeoutMs }),
      deleteGroups: () => admin.deleteGroups(["g"], { timeoutMs }),
    };
    return {
      *use(dice) {
        for (let count = dice.between(1, 3); count > 0; count--) {
          const name = dice.pick(Object.keys(calls));
          yield [name, Promise.resolve(calls[name]!())];
        }
      },
      probe: async () => {
        const topic = `probe-${this.#serial++}`;
        await admin.createTopics([{ topic, partitions: 2 }], { timeoutMs }).all();
        const [{ partitions } = { partitions: [] }] = await admin.describeTopics([topic], { timeoutMs }).all();
        if (partitions.length !== 2) throw new Error(`${topic} has ${partitions.length} partitions, wanted 2`);
        await admin.describeConfigs([config], { timeoutMs }).all();
        await admin.alterConsumerGroupOffsets("p", [{ ...partition, offset: 2n }], { timeoutMs }).all();
        const [committed] = await admin.listConsumerGroupOffsets("p", { timeoutMs });
        if (committed?.offset !== 2n) throw new Error(`the group is at ${committed?.offset}, wanted 2`);
        if (!(await admin.listGroups({ timeoutMs })).some(({ groupId }) => groupId === "p")) {
          throw new Error("no group");
        }
      },
      close: () => admin.close(),
    };
  }

  #reader(runtime: Runtime): Used {
    const reader = new Reader({
      ...{ brokers: this.#cluster.bootstrap, requestTimeoutMs: 1_000, maxBlockMs: CALL_MS, maxWaitMs: 100 },
    }, runtime);
    const all = Array.from({ length: PARTITIONS }, (_, partition) => ({ topic: "orders", partition }));
    const seen = new Set<string>();
    let isReading = false;
    let failure: unknown;
    const begin = (): void => {
      if (isReading) return;
      isReading = true;
      failure = undefined;
      reader.assign(all.map((it) => ({ ...it, start: "beginning" as const })));
      void read().catch((error) => failure = error).finally(() => isReading = false);
    };
    const read = async (): Promise<void> => {
      for await (const { value } of reader) {
        seen.add(new TextDecoder().decode(value!));
        this.#delivered += 1;
      }
    };
    return {
      *use(dice) {
        // It may wait as long as the answers are wrong; what it throws is told to the caller, who begins again.
        begin();
        if (dice.oneIn(2)) yield ["offsetsOf", reader.offsetsOf(all, dice.pick(["beginning", "end"]))];
        if (dice.oneIn(2)) yield ["committed", reader.committed("g", all)];
        if (dice.oneIn(4)) yield ["partitionsOf", reader.partitionsOf("orders")];
      },
      probe: async () => {
        seen.clear();
        begin();
        for (const partition of all) reader.seek(partition, "beginning");
        while (seen.size < RECORDS) {
          if (!isReading) throw failure;
          await this.#pause();
        }
      },
      close: () => reader.close(),
    };
  }

  #member(runtime: Runtime): Used {
    const make = (): GroupReader =>
      new GroupReader({
        ...{ brokers: this.#cluster.bootstrap, groupId: "g", topics: ["orders"], requestTimeoutMs: 1_000 },
        ...{ maxBlockMs: CALL_MS, maxWaitMs: 100, sessionTimeoutMs: 6_000, heartbeatIntervalMs: 500 },
        rebalanceTimeoutMs: 8_000,
      }, runtime);
    let member = make();
    let isReading = false;
    let hasEnded = false;
    const read = async (isEnough: () => boolean): Promise<void> => {
      for await (const { records } of member.batches()) {
        this.#delivered += records.length;
        if (isEnough()) return;
      }
    };
    return {
      *use(dice) {
        if (!isReading) {
          isReading = true;
          void read(() => false).catch(() => hasEnded = true).finally(() => isReading = false);
        }
        if (dice.oneIn(2)) yield ["commit", member.commit()];
        if (dice.oneIn(3)) yield ["committed", member.committed()];
      },
      probe: async () => {
        // A member that was told it is out begins again.
        if (hasEnded) {
          await member.close().catch(() => {});
          member = make();
          hasEnded = false;
          isReading = false;
        }
        await member.join();
        const [place] = member.assignment;
        if (place === undefined) {
          // A lie that only another rebalance corrects.
          hasEnded = true;
          throw new Error("nothing is assigned");
        }
        const before = this.#delivered;
        if (!isReading) {
          isReading = true;
          void read(() => false).catch(() => hasEnded = true).finally(() => isReading = false);
        }
        for (let turns = 0; this.#delivered === before && isReading; turns++) {
          // Whoever has joined again goes on where the group stands, which may be the end.
          if (turns % 20 === 0) member.assignment.forEach((partition) => member.seek(partition, "beginning"));
          await this.#pause();
        }
        if (this.#delivered === before) throw new Error("the iteration has ended");
        await member.commit([{ ...place, offset: 1n }]);
      },
      close: () => member.close(),
    };
  }

  #transactions(runtime: Runtime): Used {
    const make = (): TransactionalProducer =>
      new TransactionalProducer({
        ...{ brokers: this.#cluster.bootstrap, transactionalId: "t", requestTimeoutMs: 1_000 },
        ...{ maxBlockMs: 2_000, deliveryTimeoutMs: 2_000, transactionTimeoutMs: 5_000 },
      }, runtime);
    let producer = make();
    let isBusy = false;
    const offset = { topic: "orders", partition: 0, offset: 3n };
    const once = async (): Promise<void> => {
      const tx = await producer.begin();
      try {
        void tx.send({ topic: "out", value: `${this.#serial++}` }).catch(() => {});
        await tx.sendOffsets(offset, "g");
        await tx.commit().catch(async (error) => {
          if ((error as KafkaError).code !== "COMMIT_UNKNOWN") throw error;
          // Nothing else is legal then.
          await tx.commit();
        });
        this.#delivered += 1;
      } catch (error) {
        if ((error as KafkaError).code !== "COMMIT_UNKNOWN") await tx.abort();
        throw error;
      }
    };
    // Whoever gives up a commit of which nobody knows makes another producer: this one waits for the same call again.
    const onceOrAnew = async (): Promise<void> => {
      try {
        await once();
      } catch (error) {
        const { code, fatal } = error as KafkaError;
        if (fatal || code === "COMMIT_UNKNOWN") {
          await producer.close({ timeoutMs: 1_000 }).catch(() => {});
          producer = make();
        }
        throw error;
      }
    };
    return {
      use: () => {
        // A transaction is several calls, each with its own time.
        if (!isBusy) void onceOrAnew().catch(() => {}).finally(() => isBusy = false);
        isBusy = true;
        return [];
      },
      probe: async () => {
        while (isBusy) await this.#pause();
        await onceOrAnew();
      },
      close: () => producer.close({ timeoutMs: 5_000 }),
    };
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => void this.#runtime.setTimer(resolve, 50));
  }

  /** Starts to change answers; the returned call ends it. */
  #spoil(): () => void {
    const dice = this.#dice;
    const apis = APIS[this.#kind];
    const chosen = dice.oneIn(3) ? apis : [dice.pick(apis), dice.pick(apis), dice.pick(apis)];
    const oneIn = dice.pick([1, 2, 4, 8]);
    const share = dice.pick([0, 2, 8]);
    const controls = [...new Set(chosen)].map((api) =>
      this.#cluster.control(api, (request: unknown, context: RequestContext): ControlAction | undefined => {
        if (!dice.oneIn(oneIn)) return undefined;
        return {
          rewrite: (frame) => this.#mutate(api, context, request, frame, share === 0 || !dice.oneIn(share + 1)),
        };
      })
    );
    return () => controls.forEach((end) => end());
  }

  #mutate(api: AnyApi, context: RequestContext, request: unknown, frame: Uint8Array, byFields: boolean): Uint8Array {
    const { version, brokerId } = context;
    const huge = this.#options.huge === true && this.#dice.oneIn(200);
    const mutation = byFields ? mutateFields(api, version, frame, this.#dice, huge) : mutateBytes(frame, this.#dice);
    this.#mutated += 1;
    const isLie = this.#isBelieved(api, version, request, frame, mutation.frame);
    if (isLie) this.#lies += 1;
    this.#say(`broker ${brokerId} answers ${api.name} ${version}: ${mutation.what}${isLie ? " (a lie)" : ""}`);
    return mutation.frame;
  }

  #isBelieved(api: AnyApi, version: number, request: unknown, right: Uint8Array, wrong: Uint8Array): boolean {
    try {
      const end = 4 + new DataView(wrong.buffer, wrong.byteOffset).getInt32(0);
      const { body } = decodeAnswerFrame(api, version, request as never, wrong.subarray(4, end));
      return plain(body) !== plain(decodeResponseFrame(api, version, right.subarray(4)).body);
    } catch {
      return false;
    }
  }

  /** Ordinary use, while the answers are wrong. */
  async #live(client: Used): Promise<void> {
    const forMs = this.#dice.pick([200, 1_000, 6_000]);
    const endMs = this.#runtime.now() + forMs;
    while (this.#runtime.now() < endMs) {
      for (const [what, call] of client.use(this.#dice)) this.#watch(what, call);
      await this.#runtime.advance(this.#dice.between(1, forMs >> 2));
    }
  }

  #watch(what: string, call: Promise<unknown>): void {
    const watched: Watched = { what, dueMs: this.#runtime.now() + CALL_MS + SLACK_MS };
    this.#watched.push(watched);
    const settled = (outcome: string): void => {
      watched.atMs = this.#runtime.now();
      this.#say(`${what}: ${outcome}`);
    };
    call.then(() => settled("well"), (error) => settled(`${error?.name} ${error?.message}`));
  }

  /** Tries until it works, or it is too late. */
  async #recover(client: Used): Promise<void> {
    const deadlineMs = this.#runtime.now() + RECOVERY_MS + LONGEST_THROTTLE_MS;
    let reason = "";
    while (this.#runtime.now() < deadlineMs) {
      let outcome: string | undefined;
      void client.probe().then(() => outcome = "", (error) => outcome = `${error?.name} ${error?.message}`);
      const leftMs = Math.max(1, deadlineMs - this.#runtime.now());
      await this.#runtime.runUntil(() => outcome !== undefined, leftMs).catch(() => {});
      if (outcome === "") return;
      reason = outcome ?? "it is pending";
      this.#say(`a probe: ${reason}`);
      await this.#runtime.advance(200);
    }
    this.#problem(`it doesn't work any more: ${reason}`);
  }

  /** Every call has its outcome, and had it in time. */
  async #settle(): Promise<void> {
    await this.#runtime.runUntil(() => this.#watched.every(({ atMs }) => atMs !== undefined), CALL_MS).catch(() => {});
    for (const { what, dueMs, atMs } of this.#watched) {
      if (atMs === undefined) this.#problem(`${what} never settled; it was due at ${dueMs}`);
      else if (atMs > dueMs) this.#problem(`${what} settled at ${atMs}, and was due at ${dueMs}`);
    }
  }

  async #end(client: Used): Promise<void> {
    let isClosed = false;
    client.close().then(() => isClosed = true, () => isClosed = true);
    // A member leaves its group, which takes 30 s at most.
    await this.#runtime.runUntil(() => isClosed, 40_000).catch(() => this.#problem("close never settled"));
    await this.#runtime.advance(1_000);
    if (this.#cluster.network.openConnections > 0) this.#problem("connections are left");
  }

  /** Hands a chunk over. */
  #take(chunk: Uint8Array, take: () => void): void {
    const problem = timed(this.#options, chunk, this.#bytes, take);
    if (problem !== undefined) this.#problem(problem);
  }

  #say(line: string): void {
    this.#trace.push(`${this.#runtime.now().toFixed(0).padStart(7)} ${line}`);
  }

  #problem(problem: string): void {
    this.#problems.push(problem);
    this.#say(`✗ ${problem}`);
  }
}
