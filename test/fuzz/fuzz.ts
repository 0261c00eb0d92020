/**
 * A fuzzer of answers: the embedded broker's answers are changed field by field and byte by byte for a while, in
 * virtual time, and the producer is held to what it promises meanwhile and afterwards.
 *
 * A schedule follows from its seed. Checked are: every promise settles in its time; nothing is told that isn't so, as far
 * as the answers that were believed aren't lies themselves; the work, counted, follows the bytes received and the time;
 * once the answers are right again, the same producer delivers; a closed producer leaves nothing behind.
 *
 * @module
 */

import type { KafkaError } from "../../src/errors.ts";
import type { ProducerOptions } from "../../src/producer/options/options.ts";
import { Producer } from "../../src/producer/producer.ts";
import type { RecordMetadata } from "../../src/producer/record/delivery.ts";
import { decodeAnswerFrame, decodeResponseFrame } from "../../src/protocol/api.ts";
import { ApiVersions, InitProducerId, Metadata, Produce } from "../../src/protocol/messages/mod.ts";
import type { AnyApi, ResponseOf } from "../../src/protocol/schema.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { type ControlAction, EmbeddedCluster, type RequestContext, VirtualRuntime } from "../../src/testing/mod.ts";
import { Dice } from "../../src/testing/simulation/dice.ts";
import { FATAL, mutateBytes, mutateFields } from "./mutations.ts";

/** How a schedule went. */
export interface FuzzResult {
  readonly seed: number;
  /** What was not as promised; empty if all was well. */
  readonly problems: readonly string[];
  /** What happened, line by line. */
  readonly trace: readonly string[];
  /** Answers that were changed. */
  readonly mutated: number;
  /** Of these, how many could be right, and said something else than the broker. */
  readonly lies: number;
  /** Records that were delivered while the answers were wrong. */
  readonly delivered: number;
  /** Bytes of answers. */
  readonly bytes: number;
  /** Calls of the runtime. */
  readonly work: number;
  /** Virtual time that passed, in ms. */
  readonly virtualMs: number;
}

/** What a schedule may be given besides its seed. */
export interface FuzzOptions {
  /** Some lists have a hundred thousand elements, which takes seconds in all. @default false */
  readonly huge?: boolean;
  /** CPU time of this thread, in ms, and how much of it a chunk of an answer may take. Else nothing is timed. */
  readonly cpuMs?: () => number;
  /** What a chunk may take, and what is added for each KiB, in ms. */
  readonly blockMs?: { readonly base: number; readonly perKiB: number };
  /** Takes the rejections that nobody handled. */
  readonly takeUnhandled?: () => readonly unknown[];
}

/**
 * Hands a chunk over, and looks how long that takes. Of an answer that came in pieces all may be looked at with the last
 * of them, so the bytes are those of all answers so far.
 *
 * @returns what is wrong; undefined if nothing is, or nothing is timed
 */
export function timed(
  { cpuMs, blockMs }: FuzzOptions,
  chunk: Uint8Array,
  bytes: number,
  take: () => void,
): string | undefined {
  const startMs = cpuMs?.() ?? 0;
  take();
  if (cpuMs === undefined || blockMs === undefined) return undefined;
  const tookMs = cpuMs() - startMs;
  if (tookMs <= blockMs.base + blockMs.perKiB * bytes / 1_024) return undefined;
  return `${chunk.length} bytes took ${tookMs.toFixed(0)} ms of CPU time`;
}

const APIS: readonly AnyApi[] = [ApiVersions, Metadata, InitProducerId, Produce];
/** Promises settle in virtual time, at the latest so many ms after they should. */
export const SLACK_MS = 1_000;
/** A throttle is heeded for so long. */
export const LONGEST_THROTTLE_MS = 60_000;
/** Backoffs, lost requests and dials in vain are over after this, when everything is right again. */
const RECOVERY_MS = 20_000;
/** A record that isn't delivered by then is followed by another one. */
const PATIENCE_MS = 3_000;
const MAX_BLOCK_MS = 8_000;
/** Calls of the runtime for each byte of an answer, for each ms of virtual time, and for everything else. */
export const WORK = { perByte: 2, perMs: 4, base: 50_000 };

/** Plays the schedule of a seed. */
export async function fuzz(seed: number, options: FuzzOptions = {}): Promise<FuzzResult> {
  return await new Schedule(seed, options).play();
}

/** A promise of the producer's, and when it must have settled. */
interface Watched {
  readonly what: string;
  readonly dueMs: number;
  atMs?: number;
}

/** A record and what became of it. */
interface Sent {
  readonly topic: string;
  readonly value: string;
  metadata?: RecordMetadata;
  error?: KafkaError;
}

class Schedule {
  readonly #seed: number;
  readonly #options: FuzzOptions;
  readonly #dice: Dice;
  readonly #runtime: VirtualRuntime;
  readonly #cluster: EmbeddedCluster;
  readonly #topics: ReadonlyMap<string, number>;
  readonly #producerOptions: Partial<ProducerOptions>;
  readonly #problems: string[] = [];
  readonly #trace: string[] = [];
  readonly #watched: Watched[] = [];
  readonly #sent: Sent[] = [];
  /** What was delivered after everything was right again. */
  readonly #probes: Sent[] = [];
  /** Topics of which an answer to Produce has lied. */
  readonly #liedOf = new Set<string>();
  #liedFatally = false;
  #throttled = false;
  #isFatal = false;
  #mutated = 0;
  #lies = 0;
  #bytes = 0;
  #work = 0;
  #serial = 0;

  constructor(seed: number, options: FuzzOptions) {
    this.#seed = seed;
    this.#options = options;
    const dice = this.#dice = new Dice(seed);
    this.#runtime = new VirtualRuntime({ seed: dice.seed() });
    const brokers = dice.between(1, 3);
    const names = ["orders", "clicks", "audit"].slice(0, dice.between(1, 3));
    this.#topics = new Map(names.map((name) => [name, dice.between(1, 4)]));
    const latencyMs = dice.pick([0, 1, 5]);
    this.#cluster = new EmbeddedCluster({
      brokers,
      release: dice.pick(["3.9", "4.1", "4.1"]),
      topics: Object.fromEntries(this.#topics),
      autoCreateTopics: false,
      record: false,
      seed,
      runtime: this.#runtime,
      network: { latencyMs, chunking: dice.pick(["whole", "random"]) },
    });
    const idempotent = !dice.oneIn(4);
    this.#producerOptions = {
      idempotent,
      acks: idempotent ? "all" : dice.pick([1, "all"]),
      compression: "none",
      lingerMs: dice.pick([0, 0, 5]),
      maxInFlight: dice.pick([1, 5]),
      requestTimeoutMs: dice.pick([500, 2_000]),
      deliveryTimeoutMs: dice.pick([5_000, 30_000, 120_000]),
      maxBlockMs: MAX_BLOCK_MS,
    };
  }

  async play(): Promise<FuzzResult> {
    const dice = this.#dice;
    const runtime = countedRuntime(this.#runtime, this.#cluster, () => this.#work += 1, (chunk, take) => {
      this.#bytes += chunk.length;
      this.#take(chunk, take);
    });
    const producer = new Producer({ brokers: this.#cluster.bootstrap, ...this.#producerOptions }, runtime);
    this.#say(
      `${this.#cluster.brokers.length} brokers, topics ${JSON.stringify([...this.#topics])}, ${
        JSON.stringify(this.#producerOptions)
      }`,
    );
    try {
      if (dice.oneIn(3)) await this.#warmUp(producer);
      const spoilers = this.#spoil();
      await this.#live(producer);
      for (const mend of spoilers) mend();
      this.#say("the answers are right again");
      await this.#recover(producer);
      await this.#settle();
      await this.#checkTruth();
      await this.#end(producer);
    } catch (error) {
      this.#problem(`the schedule was broken off: ${error instanceof Error ? error.stack ?? error.message : error}`);
    }
    await this.#cluster.close();
    this.#checkWork();
    for (const failure of this.#cluster.failures) this.#problem(`the cluster failed: ${String(failure)}`);
    for (const reason of this.#options.takeUnhandled?.() ?? []) this.#problem(`nobody handled ${String(reason)}`);
    return {
      seed: this.#seed,
      problems: this.#problems,
      trace: this.#trace,
      mutated: this.#mutated,
      lies: this.#lies,
      delivered: this.#sent.filter(({ metadata }) => metadata !== undefined).length,
      bytes: this.#bytes,
      work: this.#work,
      virtualMs: this.#runtime.now(),
    };
  }

  /** Starts to change answers; the returned calls end it. */
  #spoil(): (() => void)[] {
    const dice = this.#dice;
    const apis = dice.oneIn(3) ? APIS : [dice.pick(APIS), dice.pick(APIS)];
    const oneIn = dice.pick([1, 2, 4, 8]);
    const share = dice.pick([0, 2, 8]);
    const brokerId = dice.oneIn(3) ? 1 : undefined;
    return [...new Set(apis)].map((api) =>
      this.#cluster.control(api, (request: unknown, context: RequestContext): ControlAction | undefined => {
        if (!dice.oneIn(oneIn)) return undefined;
        return {
          rewrite: (frame) => this.#mutate(api, context, request, frame, share === 0 || !dice.oneIn(share + 1)),
        };
      }, brokerId === undefined ? {} : { brokerId })
    );
  }

  #mutate(api: AnyApi, context: RequestContext, request: unknown, frame: Uint8Array, byFields: boolean): Uint8Array {
    const { version, brokerId } = context;
    const huge = this.#options.huge === true && this.#dice.oneIn(200);
    const mutation = byFields ? mutateFields(api, version, frame, this.#dice, huge) : mutateBytes(frame, this.#dice);
    this.#mutated += 1;
    const verdict = this.#judge(api, version, request, frame, mutation.frame);
    this.#say(`broker ${brokerId} answers ${api.name} ${version}: ${mutation.what} (${verdict})`);
    return mutation.frame;
  }

  /** What is to be expected of a changed answer: nothing if it is refused, anything if it could be right. */
  #judge(api: AnyApi, version: number, request: unknown, right: Uint8Array, wrong: Uint8Array): string {
    let body: unknown;
    try {
      const end = 4 + new DataView(wrong.buffer, wrong.byteOffset).getInt32(0);
      body = decodeAnswerFrame(api, version, request as never, wrong.subarray(4, end)).body;
    } catch {
      return "refused";
    }
    const was = decodeResponseFrame(api, version, right.subarray(4)).body;
    if (plain(body) === plain(was)) return "the same";
    this.#lies += 1;
    if ((body as { throttleTimeMs: number }).throttleTimeMs > 0) this.#throttled = true;
    if (api.key === Produce.key) {
      const { responses } = body as ResponseOf<typeof Produce>;
      const codes = responses.flatMap(({ partitionResponses }) => partitionResponses.map(({ errorCode }) => errorCode));
      if (codes.some((code) => FATAL.includes(code))) this.#liedFatally = true;
      for (const name of this.#topics.keys()) this.#liedOf.add(name);
    }
    return "a lie";
  }

  /** Ordinary use, while the answers are wrong. */
  async #live(producer: Producer): Promise<void> {
    const dice = this.#dice;
    const forMs = dice.pick([50, 300, 2_000, 6_000]);
    const endMs = this.#runtime.now() + forMs;
    const waiting = MAX_BLOCK_MS + LONGEST_THROTTLE_MS + RECOVERY_MS;
    while (this.#runtime.now() < endMs) {
      for (let count = dice.between(1, 4); count > 0; count--) this.#send(producer);
      if (dice.oneIn(8)) this.#watch("connect", MAX_BLOCK_MS, producer.connect());
      const topic = dice.pick([...this.#topics.keys()]);
      if (dice.oneIn(8)) this.#watch("partitionsFor", MAX_BLOCK_MS, producer.partitionsFor(topic));
      if (dice.oneIn(8)) this.#watch("refreshMetadata", waiting, producer.refreshMetadata());
      if (dice.oneIn(8)) this.#watch("flush", 500, producer.flush({ timeoutMs: 500 }));
      if (dice.oneIn(8)) producer.metrics();
      if (dice.oneIn(8)) producer.snapshot();
      await this.#runtime.advance(dice.between(1, Math.max(1, forMs >> 3)));
    }
  }

  async #warmUp(producer: Producer): Promise<void> {
    await this.#runtime.runUntil(Promise.all([...this.#topics.keys()].map((topic) => producer.partitionsFor(topic))));
    this.#send(producer);
    await this.#runtime.runUntil(producer.flush(), 10_000);
  }

  #send(producer: Producer): void {
    const dice = this.#dice;
    const topic = dice.pick([...this.#topics.keys()]);
    const where = dice.pick([{}, { key: `key ${dice.below(20)}` }, {
      partition: dice.below(this.#topics.get(topic)!),
    }]);
    const sent: Sent = { topic, value: `value ${this.#serial++}` };
    this.#sent.push(sent);
    this.#deliver(producer, sent, where);
  }

  #deliver(producer: Producer, sent: Sent, where: object): void {
    const outcome = producer.send({ topic: sent.topic, value: sent.value, ...where }).then(
      (metadata) => sent.metadata = metadata,
      (error) => {
        sent.error = error;
        throw error;
      },
    );
    this.#watch(sent.value, this.#producerOptions.deliveryTimeoutMs as number, outcome);
  }

  #watch(what: string, limitMs: number, promise: Promise<unknown>): void {
    const nowMs = this.#runtime.now();
    const watched: Watched = { what, dueMs: nowMs + limitMs + SLACK_MS };
    this.#watched.push(watched);
    const settled = (outcome: string): void => {
      watched.atMs = this.#runtime.now();
      this.#say(`${what}: ${outcome}`);
    };
    promise.then(() => settled("well"), (error) => {
      if ((error as KafkaError).fatal) this.#isFatal = true;
      settled(error instanceof Error ? `${error.name} ${error.message}` : String(error));
    });
  }

  /** The same producer delivers to each partition, and by key, soon after everything is right again. */
  async #recover(producer: Producer): Promise<void> {
    const startMs = this.#runtime.now();
    const limitMs = RECOVERY_MS + (this.#throttled ? LONGEST_THROTTLE_MS : 0);
    for (const [topic, partitions] of this.#topics) {
      const targets = Array.from({ length: partitions }, (_, partition) => ({ partition }));
      for (const where of [...targets, {}, { key: "k1" }, { key: "k2" }, { key: "k3" }]) {
        if (this.#liedFatally && this.#isFatal) return;
        await this.#probe(producer, topic, where, startMs + limitMs);
      }
    }
    if (this.#isFatal && !this.#liedFatally) this.#problem("the producer gave up for good");
  }

  /** Sends again and again until one is delivered, or it is too late. What went to a mistaken partition stays there. */
  async #probe(producer: Producer, topic: string, where: object, deadlineMs: number): Promise<void> {
    let last: Sent | undefined;
    while (this.#runtime.now() < deadlineMs) {
      last = { topic, value: `probe ${this.#serial++}` };
      this.#probes.push(last);
      this.#deliver(producer, last, where);
      const sent = last;
      const isDone = (): boolean => sent.metadata !== undefined || sent.error !== undefined;
      await this.#runtime.runUntil(isDone, PATIENCE_MS).catch(() => {});
      if (last.metadata !== undefined) return;
      if (last.error?.fatal) return this.#liedFatally ? undefined : this.#problem(`it gave up: ${last.error.message}`);
      // Also when nothing is left that could happen, which must not stop the clock.
      await this.#runtime.advance(100);
    }
    const reason = last?.error?.message ?? "still pending";
    this.#problem(`nothing is delivered to ${topic} ${JSON.stringify(where)} any more: ${reason}`);
  }

  /** Lets time pass until everything has its outcome. */
  async #settle(): Promise<void> {
    const lastMs = this.#watched.reduce((last, { dueMs }) => Math.max(last, dueMs), 0);
    await this.#runtime.runUntil(
      () => this.#watched.every(({ atMs }) => atMs !== undefined),
      Math.max(1, lastMs - this.#runtime.now()),
    )
      .catch(() => {});
    for (const { what, dueMs, atMs } of this.#watched) {
      if (atMs === undefined) this.#problem(`${what} never settled; it was due at ${dueMs}`);
      else if (atMs > dueMs) this.#problem(`${what} settled at ${atMs}, and was due at ${dueMs}`);
    }
  }

  /** What the records were told, compared with the log, unless an answer that could be right has lied. */
  async #checkTruth(): Promise<void> {
    const places = new Map<string, string[]>();
    for (const topic of this.#topics.keys()) {
      for (const { value, partition, offset } of await this.#cluster.records(topic)) {
        const text = textOf(value);
        places.set(text, [...places.get(text) ?? [], `${partition}:${offset}`]);
      }
    }
    const told = [...this.#sent.filter(({ topic }) => !this.#liedOf.has(topic)), ...this.#probes];
    for (const sent of told) this.#checkOutcome(sent, places.get(sent.value) ?? []);
  }

  #checkOutcome({ topic, value, metadata, error }: Sent, places: readonly string[]): void {
    const told = metadata === undefined ? error?.persisted ?? "nothing" : `${metadata.partition}:${metadata.offset}`;
    const isTrue = metadata === undefined
      ? error?.persisted !== "no" || places.length === 0
      : places.includes(told) || (metadata.offset < 0n && places.length > 0);
    if (!isTrue || (this.#producerOptions.idempotent === true && places.length > 1)) {
      this.#problem(`${value} of ${topic} was told ${told}, and is at ${places.join(" ") || "no place"}`);
    }
  }

  async #end(producer: Producer): Promise<void> {
    let isClosed = false;
    producer.close({ timeoutMs: 5_000 }).then(() => isClosed = true, () => isClosed = true);
    await this.#runtime.runUntil(() => isClosed, 10_000).catch(() => this.#problem("close never settled"));
    await this.#runtime.advance(1_000);
    if (this.#runtime.pendingTimers > 0) this.#problem(`${this.#runtime.pendingTimers} timers are left`);
    if (this.#cluster.network.openConnections > 0) this.#problem("connections are left");
    const metrics = producer.metrics();
    if (metrics["buffer-available-bytes"] !== metrics["buffer-total-bytes"]) {
      this.#problem("buffer memory is left in use");
    }
    if (metrics.records_pending !== 0 || metrics["requests-in-flight"] !== 0) {
      this.#problem("records or requests are left");
    }
  }

  /** Hands a chunk to the producer. */
  #take(chunk: Uint8Array, take: () => void): void {
    const problem = timed(this.#options, chunk, this.#bytes, take);
    if (problem !== undefined) this.#problem(problem);
  }

  #checkWork(): void {
    const allowed = WORK.base + WORK.perByte * this.#bytes + WORK.perMs * this.#runtime.now();
    if (this.#work > allowed) {
      this.#problem(`${this.#work} calls of the runtime for ${this.#bytes} bytes, wanted at most ${allowed}`);
    }
  }

  #say(line: string): void {
    this.#trace.push(`${this.#runtime.now().toFixed(0).padStart(7)} ${line}`);
  }

  #problem(problem: string): void {
    this.#problems.push(problem);
    this.#say(`✗ ${problem}`);
  }
}

/** The runtime with its calls counted, and the bytes that come in by its sockets. */
export function countedRuntime(
  runtime: VirtualRuntime,
  cluster: EmbeddedCluster,
  onCall: () => void,
  onChunk: (chunk: Uint8Array, take: () => void) => void,
): Runtime {
  const { sockets } = cluster;
  const counted = <A extends readonly unknown[], R>(call: (...args: A) => R) => (...args: A): R => {
    onCall();
    return call(...args);
  };
  return {
    name: runtime.name,
    now: counted(() => runtime.now()),
    wallNow: counted(() => runtime.wallNow()),
    random: counted(() => runtime.random()),
    defer: counted((callback) => runtime.defer(callback)),
    setTimer: counted((callback, delayMs) => runtime.setTimer(callback, delayMs)),
    sockets: {
      ...sockets,
      connect: counted((options, events) =>
        sockets.connect(options, {
          onData: (chunk) => onChunk(chunk, () => events.onData(chunk)),
          onClose: (error) => events.onClose(error),
        })
      ),
    },
  };
}

export function plain(body: unknown): string {
  return JSON.stringify(body, (_, value) => typeof value === "bigint" ? `${value}n` : value);
}

function textOf(value: unknown): string {
  return value instanceof Uint8Array ? new TextDecoder().decode(value) : String(value);
}
