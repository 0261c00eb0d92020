/**
 * Hands over the records of a plan, and keeps what becomes of each.
 *
 * @module
 */

import type { VirtualRuntime } from "../doubles/virtual_runtime.ts";
import type { ProducerPlan, SendPlan } from "./plan.ts";
import type {
  SimulatedError,
  SimulatedMetadata,
  SimulatedProducer,
  SimulatedRecord,
  SimulatedSendOptions,
} from "./subject.ts";

/** Ids of records that callbacks hand over. */
const FIRST_ECHO_ID = 2_000_000;

/** An outcome as it was told. */
export interface Told {
  readonly atMs: number;
  /** Its place among all that was told in the run. */
  readonly order: number;
  readonly error?: SimulatedError;
  readonly metadata?: SimulatedMetadata;
}

/** A record that was handed over, and what its producer said of it. */
export interface Sent {
  readonly plan: SendPlan;
  readonly record: SimulatedRecord;
  /** Its place among all calls in the run. */
  readonly order: number;
  readonly calledMs: number;
  readonly wantsPromise: boolean;
  readonly wantsCallback: boolean;
  /** What the promise told, once. */
  readonly promised: Told[];
  /** What the callback was told; once, if all is well. */
  readonly calledBack: Told[];
}

/** Who is told of what the workload does. */
export interface WorkloadListener {
  onCall(sent: Sent): void;
  onTold(sent: Sent, told: Told): void;
}

/** The calls and the outcomes of one run. */
export class Workload {
  readonly sent: Sent[] = [];
  /** Where a `sendBatch` said one thing of a record, and the record's promise another. */
  readonly contradictions: string[] = [];
  readonly #runtime: VirtualRuntime;
  readonly #listener: WorkloadListener;
  readonly #wallStartMs: number;
  readonly #listeners = new Set<unknown>();
  #calls = 0;
  #told = 0;

  /** Keeps outcomes with their times on the runtime's clock. */
  constructor(runtime: VirtualRuntime, listener: WorkloadListener) {
    this.#runtime = runtime;
    this.#wallStartMs = runtime.wallNow() - Math.floor(runtime.now());
    this.#listener = listener;
  }

  /** Resolves at a time of the run, at once if it has passed. */
  async until(atMs: number): Promise<void> {
    const waitMs = atMs - this.#runtime.now();
    if (waitMs > 0) await new Promise<void>((resolve) => void this.#runtime.setTimer(resolve, waitMs));
  }

  /** Hands over the records of one sender; stops at the given time. */
  async run(sends: readonly SendPlan[], producer: () => SimulatedProducer, stopMs: number): Promise<void> {
    for (let next = 0; next < sends.length;) {
      const plan = sends[next]!;
      await this.until(plan.atMs);
      if (this.#runtime.now() > stopMs) return;
      const end = plan.via === "batch" ? endOfBatch(sends, next) : next + 1;
      const all = sends.slice(next, end);
      next = end;
      if (plan.via === "produce" && (await this.#produce(plan, producer(), stopMs))) continue;
      const told = plan.via === "batch" ? this.#sendBatch(all, producer()) : this.send(plan, producer());
      if (all.some(({ awaits }) => awaits)) await told;
    }
  }

  /** Hands over one record; resolves when it has an outcome. */
  send(plan: SendPlan, producer: SimulatedProducer): Promise<Told> {
    const sent = this.#newSent(plan, plan.via !== "callback", plan.via !== "promise");
    this.#handedOver(sent);
    return new Promise((resolve) => {
      const options: SimulatedSendOptions = {
        ...(sent.wantsCallback
          ? { onDelivery: this.#callback(sent, producer, sent.wantsPromise ? undefined : resolve) }
          : {}),
        ...(plan.abortAfterMs === undefined ? {} : { signal: this.#signal(plan.abortAfterMs) }),
      };
      const promise = producer.send(sent.record, options);
      // A caller with a callback may leave the promise alone.
      if (!sent.wantsPromise) return;
      promise.then(
        (metadata) => resolve(this.#tell(sent, sent.promised, null, metadata)),
        (error) => resolve(this.#tell(sent, sent.promised, error, null)),
      );
    });
  }

  /** Hands over records by `sendBatch`, or one by one if the producer has no such call; resolves when all are told. */
  async #sendBatch(plans: readonly SendPlan[], producer: SimulatedProducer): Promise<void> {
    if (producer.sendBatch === undefined) {
      await Promise.all(plans.map((plan) => this.send(plan, producer)));
      return;
    }
    const all = plans.map((plan) => this.#newSent(plan, true, false));
    for (const sent of all) this.#handedOver(sent);
    const delivery = producer.sendBatch(all.map(({ record }) => record));
    for (const [index, promise] of delivery.promises.entries()) {
      const sent = all[index]!;
      promise.then(
        (metadata) => this.#tell(sent, sent.promised, null, metadata),
        (error) => this.#tell(sent, sent.promised, error, null),
      );
    }
    const results = await delivery;
    for (const [index, result] of results.entries()) {
      const [told] = all[index]!.promised;
      const isSame = result.status === "fulfilled"
        ? told?.metadata?.offset === result.value.offset && told.metadata.partition === result.value.partition
        : told?.error === result.reason;
      if (!isSame) this.contradictions.push(`record ${plans[index]!.id} has another result than its own promise`);
    }
  }

  /** Hands over one record by `produce`; false when the producer has no such call. */
  async #produce(plan: SendPlan, producer: SimulatedProducer, stopMs: number): Promise<boolean> {
    if (producer.produce === undefined || producer.ready === undefined) return false;
    while (this.#runtime.now() <= stopMs) {
      const sent = this.#newSent(plan, false, true);
      if (producer.produce(sent.record, this.#callback(sent, producer, undefined))) {
        this.#handedOver(sent);
        return true;
      }
      try {
        await producer.ready();
      } catch {
        // It has been closed: offered once more, the record is refused with the reason.
      }
    }
    return true;
  }

  #newSent(plan: SendPlan, wantsPromise: boolean, wantsCallback: boolean): Sent {
    return {
      plan,
      record: recordOf(plan, this.#wallStartMs),
      order: this.#calls++,
      calledMs: this.#runtime.now(),
      wantsPromise,
      wantsCallback,
      promised: [],
      calledBack: [],
    };
  }

  #handedOver(sent: Sent): void {
    this.sent.push(sent);
    this.#listener.onCall(sent);
  }

  #callback(
    sent: Sent,
    producer: SimulatedProducer,
    resolve: ((told: Told) => void) | undefined,
  ): SimulatedSendOptions["onDelivery"] {
    return (error, metadata) => {
      const told = this.#tell(sent, sent.calledBack, error, metadata);
      // Once, also for a producer that calls back twice: what it has promised of this one is asked for already.
      if (sent.plan.echoes && sent.calledBack.length === 1) void this.send(echoOf(sent.plan), producer);
      resolve?.(told);
      if (sent.plan.throws) throw new CallbackError();
    };
  }

  #tell(sent: Sent, list: Told[], error: SimulatedError | null, metadata: SimulatedMetadata | null): Told {
    const told: Told = {
      atMs: this.#runtime.now(),
      order: this.#told++,
      ...(error === null ? {} : { error }),
      ...(metadata === null ? {} : { metadata: copied(metadata) }),
    };
    list.push(told);
    this.#listener.onTold(sent, told);
    return told;
  }

  /** Listeners that are left on signals of records that have their outcome. */
  get listeners(): number {
    return this.#listeners.size;
  }

  #signal(afterMs: number): AbortSignal {
    const controller = new AbortController();
    this.#runtime.setTimer(() => controller.abort(), afterMs);
    const { signal } = controller;
    const { addEventListener, removeEventListener } = signal;
    signal.addEventListener = (...listening: Parameters<typeof addEventListener>) => {
      this.#listeners.add(listening[1]);
      addEventListener.apply(signal, listening);
    };
    signal.removeEventListener = (...listening: Parameters<typeof removeEventListener>) => {
      this.#listeners.delete(listening[1]);
      removeEventListener.apply(signal, listening);
    };
    return signal;
  }
}

/** What a planned callback throws. Nobody should see it. */
class CallbackError extends Error {
  override readonly name: string = "CallbackError";
}

/** Metadata computes its fields when it is read; what counts is what it said when it was told. */
function copied({ topic, partition, offset, timestamp }: SimulatedMetadata): SimulatedMetadata {
  return { topic, partition, offset, timestamp };
}

/** What the callback of a record hands over. */
function echoOf({ throws: _, echoes: __, abortAfterMs: ___, ...plan }: SendPlan): SendPlan {
  return { ...plan, id: FIRST_ECHO_ID + plan.id, via: "both" };
}

/** The record of a plan. Its value says which it is and where it belongs. */
export function recordOf(plan: SendPlan, wallStartMs: number): SimulatedRecord {
  const { topic, partition, key, timestampMs, headers, id, producer, bytes } = plan;
  return {
    topic,
    // The padding differs from record to record: bytes that stand where they don't belong are seen.
    value: `${id}|${producer}|${topic}|${partition ?? ""}|${String.fromCharCode(97 + (id % 26)).repeat(bytes)}`,
    ...(partition === undefined ? {} : { partition }),
    ...(key === undefined ? {} : { key }),
    ...(timestampMs === undefined ? {} : { timestamp: wallStartMs + timestampMs }),
    ...(headers === undefined
      ? {}
      : { headers: Array.from({ length: headers }, (_, i) => [`h${i % 2}`, `${id}-${i}`] as const) }),
  };
}

/** Where the records end that are handed over together with the one at `from`. */
function endOfBatch(sends: readonly SendPlan[], from: number): number {
  let end = from + 1;
  while (end < sends.length && sends[end]!.via === "batch" && sends[end]!.atMs === sends[from]!.atMs) end++;
  return end;
}

/** When a producer is closed: as planned, or never before the end. */
export function closeMsOf(producer: ProducerPlan): number {
  return producer.closeMs ?? Infinity;
}
