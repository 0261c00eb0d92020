/**
 * Plays one plan: a cluster, producers and faults in virtual time, from the first send to the last timer.
 *
 * @module
 */

import type { KafkaError } from "../../errors.ts";
import type { RequestOf } from "../../protocol/api.ts";
import { Metadata, Produce } from "../../protocol/messages/mod.ts";
import { BATCH_OVERHEAD } from "../../protocol/record_batch_layout.ts";
import type { Runtime, Timer } from "../../runtime/runtime.ts";
import { BatchView } from "../storage/batch_view.ts";
import { EmbeddedCluster } from "../cluster.ts";
import { seededRandom } from "../doubles/random.ts";
import { VirtualRuntime } from "../doubles/virtual_runtime.ts";
import { Faults } from "./faults.ts";
import { readLedger } from "./ledger.ts";
import type { Observation, ProducerObservation } from "./observation.ts";
import { endOf, type ProducerPlan, type SendPlan, type SimulationPlan } from "./plan.ts";
import type { MakeProducer, SimulatedInterceptor, SimulatedProducer } from "./subject.ts";
import { type Exchange, tapped } from "./tap.ts";
import type { Trace } from "./trace.ts";
import { closeMsOf, Workload } from "./workload.ts";

/** What a run may be given besides its plan. */
export interface RunOptions {
  /** Is told of everything that happens. */
  readonly trace?: Trace | undefined;
  /** Takes the rejections that nobody handled, as far as the runtime tells of them. */
  readonly takeUnhandled?: (() => readonly unknown[]) | undefined;
}

/** Events after which a run is taken for a loop that never ends. */
const MAX_STEPS = 400_000;
/** Virtual time after which the same is true. */
const MAX_VIRTUAL_MS = 120_000;
/** What a broker was told to wait for is over by then. */
const AFTERMATH_MS = 3_000;
/** Ids of records that are sent when everything is healed. */
const FIRST_PROBE_ID = 1_000_000;

/** Plays a plan with producers that `make` makes. Rejects only when the simulator itself is broken. */
export async function run(plan: SimulationPlan, make: MakeProducer, options: RunOptions = {}): Promise<Observation> {
  return await new Run(plan, make, options).play();
}

class Run {
  readonly #plan: SimulationPlan;
  readonly #make: MakeProducer;
  readonly #options: RunOptions;
  readonly #runtime: VirtualRuntime;
  readonly #cluster: EmbeddedCluster;
  readonly #faults: Faults;
  readonly #workload: Workload;
  readonly #lives: Life[];
  readonly #unhealed: string[] = [];
  readonly #earlyFlushes: string[] = [];
  readonly #leftToRest: string[] = [];
  readonly #surprises: unknown[] = [];
  #steps = 0;

  constructor(plan: SimulationPlan, make: MakeProducer, options: RunOptions) {
    this.#plan = plan;
    this.#make = make;
    this.#options = options;
    const { brokers, release, topics, minLatencyMs, maxLatencyMs, chunking, maxRequestBytes } = plan.cluster;
    const { replicationLagMs, replicaLagTimeMaxMs, sessionTimeoutMs, metadataLagMs } = plan.cluster;
    const random = seededRandom(plan.seed);
    this.#runtime = new VirtualRuntime({ seed: plan.seed ^ 0x5eed });
    const latencyMs = (): number =>
      Math.round(minLatencyMs + random() * (maxLatencyMs - minLatencyMs)) + this.#faults.slownessMs;
    this.#cluster = new EmbeddedCluster({
      brokers,
      release,
      autoCreateTopics: false,
      record: false,
      runtime: this.#runtime,
      network: { latencyMs, chunking },
      replicationLagMs: () => this.#faults?.replicationStops > 0 ? Infinity : Math.round(random() * replicationLagMs),
      replicaLagTimeMaxMs,
      sessionTimeoutMs,
      metadataLagMs: () => Math.round(random() * metadataLagMs),
      topics: Object.fromEntries(topics.map((topic) => [topic.name, topic])),
      ...(maxRequestBytes === undefined ? {} : { maxRequestBytes }),
    });
    this.#cluster.control(Metadata, (_request, { clientId, atMs }) => {
      this.#lives[Number(clientId?.slice(1))]?.seen.metadataMs.push(atMs);
      return undefined;
    });
    const { trace } = options;
    trace?.begin(this.#runtime, this.#cluster);
    this.#faults = new Faults(plan, this.#cluster, this.#runtime, (what, fault) => trace?.onFault(what, fault));
    // Added last, it is asked first.
    this.#cluster.control(Produce, ({ topicData }, { clientId, atMs }) => {
      const attempts = this.#lives[Number(clientId?.slice(1))]?.seen.attemptsMs;
      if (attempts !== undefined) noteAttempts(attempts, topicData, atMs);
      return undefined;
    });
    this.#workload = new Workload(this.#runtime, {
      onCall: (sent) => trace?.onCall(sent),
      onTold: (sent, told) => trace?.onTold(sent, told),
    });
    this.#lives = plan.producers.map((producer, index) => new Life(producer, index));
  }

  async play(): Promise<Observation> {
    let ended = false;
    this.#live().then(() => ended = true, (error) => {
      ended = true;
      this.#surprises.push(error);
    });
    const stuck = await this.#drive(() => ended || ++this.#steps > MAX_STEPS);
    // By now: signals are aborted sooner or later, and then nobody listens to them any more.
    const listenersLeft = this.#workload.listeners;
    if (stuck === undefined && ended) {
      await this.#runtime.advance(AFTERMATH_MS).catch((error) => this.#surprises.push(error));
    }
    const connectionsLeft = this.#cluster.network.openConnections;
    await this.#cluster.close();
    return {
      plan: this.#plan,
      sent: this.#workload.sent,
      ledger: await readLedger(this.#cluster, this.#faults.graveyard),
      producers: this.#lives.map(({ seen }) => seen),
      stuck: stuck ?? (ended ? undefined : `it took more than ${MAX_STEPS} events`),
      unhealed: this.#unhealed,
      earlyFlushes: this.#earlyFlushes,
      leftToRest: this.#leftToRest,
      listenersLeft,
      surprises: [
        ...this.#surprises,
        ...this.#workload.contradictions,
        ...this.#cluster.failures,
        ...this.#options.takeUnhandled?.() ?? [],
      ],
      timersLeft: this.#runtime.pendingTimers,
      connectionsLeft,
      virtualMs: this.#runtime.now(),
      steps: this.#steps,
    };
  }

  /** Lets time pass until the goal; returns why it was not reached. */
  async #drive(goal: () => boolean): Promise<string | undefined> {
    try {
      await this.#runtime.runUntil(goal, MAX_VIRTUAL_MS);
      return undefined;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  /** The whole run, as it would be written down for one producer. */
  async #live(): Promise<void> {
    const { faults, sends, flushes, producers } = this.#plan;
    const healMs = faults.reduce((last, fault) => Math.max(last, endOf(fault)), 0) + 1;
    const lastSendMs = sends.reduce((last, { atMs }) => Math.max(last, atMs), 0);
    const stopMs = Math.max(healMs, lastSendMs);
    const senders = new Map<number, SendPlan[]>();
    for (const send of sends) senders.set(send.sender, [...senders.get(send.sender) ?? [], send]);
    const closings = producers.flatMap((producer, index) => {
      const closeMs = closeMsOf(producer);
      return closeMs === Infinity ? [] : [this.#workload.until(closeMs).then(() => this.#close(this.#lives[index]!))];
    });
    for (const { atMs, producer } of flushes) {
      void this.#workload.until(atMs).then(() => this.#flush(this.#lives[producer]!));
    }
    await Promise.all(
      [...senders.values()].map((mine) => this.#workload.run(mine, () => this.#producerOf(mine[0]!.producer), stopMs)),
    );
    await this.#workload.until(healMs);
    this.#faults.heal();
    this.#options.trace?.say("everything is healed");
    await this.#rest();
    await Promise.all(closings);
    await Promise.all(this.#lives.map(async (life) => {
      if (life.producer === undefined || life.closing !== undefined) return await life.closing;
      await this.#flush(life);
      await this.#probe(life);
      await this.#close(life);
    }));
  }

  /** Nobody asks for anything: what was handed over has to arrive by itself. */
  async #rest(): Promise<void> {
    const { restMs } = this.#plan;
    if (restMs === undefined) return;
    const endMs = this.#runtime.now() + restMs;
    await this.#workload.until(endMs);
    for (const { plan, calledMs, wantsCallback, calledBack, promised } of this.#workload.sent) {
      if ((wantsCallback ? calledBack : promised).length > 0) continue;
      const { deliveryTimeoutMs, waitForOutcome } = this.#lives[plan.producer]!.seen.plan.options;
      // Callbacks send while everything rests: a record of theirs has its own time.
      const isDue = calledMs + deliveryTimeoutMs <= endMs;
      if (!waitForOutcome && isDue) this.#leftToRest.push(`record ${plan.id} had no outcome`);
    }
  }

  /** The producer of an index, made when it is first needed. */
  #producerOf(index: number): SimulatedProducer {
    const life = this.#lives[index]!;
    return life.producer ??= this.#begin(life);
  }

  #begin(life: Life): SimulatedProducer {
    const { retries, intercepted, ...options } = life.seen.plan.options;
    const { trace } = this.#options;
    const before = life.seen.plan.inherits ? this.#lives[life.index - 1]?.producer : undefined;
    const counted = countedSockets(this.#cluster.sockets, life.seen, this.#runtime);
    const sockets = trace === undefined && !this.#faults.cutsRequests ? counted : tapped(counted, {
      onRequest: (exchange: Exchange) => {
        trace?.onRequest(life.name, exchange);
        return this.#faults.onTheWay(exchange.api, exchange.address);
      },
      onAnswer: (exchange, body) => trace?.onAnswer(life.name, exchange, body),
      onConnection: (address, connection, event) => trace?.onConnection(life.name, address, connection, event),
    });
    return this.#make(
      {
        ...options,
        brokers: this.#cluster.bootstrap,
        clientId: life.name,
        retries: retries < 0 ? Infinity : retries,
        ...(intercepted ? { interceptors: [life.interceptor] } : {}),
        logger: {
          warn: (event, fields) => {
            if (event === "data_loss_suspected") this.#onSuspicion(life, (fields.error as KafkaError).broker);
            trace?.say(`${life.name} warns: ${event} ${JSON.stringify(fields)}`);
          },
        },
      },
      countedRuntime(this.#runtime, sockets, life.seen),
      before,
    );
  }

  /**
   * A leader that is cut off while another one is elected knows nothing of what that one has acknowledged. When it was
   * elected shortly before itself, its epoch tops the one that the producer knows, and nobody could know better.
   */
  #onSuspicion(life: Life, address: string | undefined): void {
    const index = this.#cluster.bootstrap.split(",").indexOf(address ?? "");
    if (index < 0 || !this.#cluster.broker(index + 1).isIsolated) life.seen.suspicions += 1;
  }

  async #flush(life: Life): Promise<void> {
    if (life.producer === undefined) return;
    const before = this.#workload.sent.filter((sent) => sent.plan.producer === life.index && sent.wantsCallback);
    await life.producer.flush();
    const unanswered = before.filter((sent) => sent.calledBack.length === 0);
    if (unanswered.length > 0) {
      this.#earlyFlushes.push(
        `record ${unanswered[0]!.plan.id} and ${unanswered.length - 1} others had no outcome after a flush`,
      );
    }
  }

  async #close(life: Life): Promise<void> {
    const { producer } = life;
    // Nothing has been sent with it yet: there is nothing to close, and what is sent later is flushed in the end.
    if (producer !== undefined) await (life.closing ??= this.#end(life, producer));
  }

  async #end({ seen, name, interceptor }: Life, producer: SimulatedProducer): Promise<void> {
    const { closeTimeoutMs } = seen.plan;
    seen.closingMs = this.#runtime.now();
    this.#options.trace?.say(`${name} is told to close`);
    try {
      await producer.close(closeTimeoutMs === undefined ? {} : { timeoutMs: closeTimeoutMs });
    } catch (error) {
      if (closeTimeoutMs === undefined && !seen.plan.options.waitForOutcome) this.#surprises.push(error);
    }
    seen.closedMs = this.#runtime.now();
    const { recordsSeen, outcomesSeen } = interceptor;
    if (recordsSeen !== outcomesSeen) {
      this.#surprises.push(`${name}'s interceptor has seen ${recordsSeen} records and ${outcomesSeen} outcomes`);
    }
    this.#options.trace?.say(`${name} is closed`);
    const metrics = producer.metrics?.() ?? {};
    seen.metrics = metrics;
    seen.takenBytes = (metrics["buffer-total-bytes"] ?? 0) - (metrics["buffer-available-bytes"] ?? 0);
  }

  /** When all is well again, a record to every partition must arrive soon. */
  async #probe(life: Life): Promise<void> {
    const { requestTimeoutMs, connectTimeoutMs, retryBackoffMaxMs, reconnectBackoffMaxMs, lingerMs } =
      life.seen.plan.options;
    const { maxLatencyMs, replicationLagMs, metadataLagMs } = this.#plan.cluster;
    const patienceMs = 2 * (requestTimeoutMs + connectTimeoutMs + reconnectBackoffMaxMs) + 4 * retryBackoffMaxMs +
      lingerMs + 30 * maxLatencyMs + replicationLagMs + metadataLagMs + 1_500;
    // What a broker has asked for is still to be granted when the quota is gone.
    const { brokers } = this.#plan.cluster;
    for (let id = 1; id <= brokers; id++) await this.#workload.until(this.#cluster.broker(id).quotas.heldBackUntilMs);
    const deadlineMs = this.#runtime.now() + patienceMs;
    // With a key, as some of the topics want it.
    const places = [...this.#cluster.topics].flatMap(({ name, partitions }) =>
      partitions.map(({ index }) => ({ topic: name, partition: index, key: "probe" }))
    );
    await Promise.all(places.map(async (place) => {
      let why = "no outcome";
      while (this.#runtime.now() <= deadlineMs) {
        const id = FIRST_PROBE_ID + this.#workload.sent.length;
        const plan: SendPlan = { id, atMs: 0, producer: life.index, sender: -1, bytes: 10, via: "both", ...place };
        const { error } = await this.#workload.send(plan, life.producer!);
        // With `onDataLoss: "fatal"`, that is what was asked for; whether there was a loss is another invariant.
        if (error?.fatal && life.seen.plan.options.onDataLoss === "fatal") return;
        if (error === undefined) {
          if (this.#runtime.now() > deadlineMs) why = "success, but late";
          else return;
        } else {
          why = error.message;
          // Refused at once, again and again, it would be asked for ever.
          await this.#workload.until(this.#runtime.now() + 50);
        }
      }
      this.#unhealed.push(
        `${life.name} got no record into ${place.topic}-${place.partition} in ${patienceMs} ms of peace: ${why}`,
      );
    }));
  }
}

/** Counts what it sees. */
class CountingInterceptor implements SimulatedInterceptor {
  recordsSeen = 0;
  outcomesSeen = 0;

  onSend<Seen extends object>(record: Seen): Seen {
    this.recordsSeen++;
    return record;
  }

  onAcknowledgement(): void {
    this.outcomesSeen++;
  }
}

/** One producer of the run. */
class Life {
  readonly index: number;
  readonly name: string;
  readonly seen: ProducerObservation;
  readonly interceptor = new CountingInterceptor();
  producer: SimulatedProducer | undefined;
  closing: Promise<void> | undefined;

  constructor(plan: ProducerPlan, index: number) {
    this.index = index;
    this.name = `p${index}`;
    this.seen = {
      plan,
      timers: 0,
      connections: 0,
      dialsMs: [],
      metadataMs: [],
      suspicions: 0,
      busyMs: [],
      attemptsMs: new Map(),
    };
  }
}

/** The runtime with other sockets, and a count of the timers that are set. */
function countedRuntime(runtime: VirtualRuntime, sockets: Runtime["sockets"], seen: ProducerObservation): Runtime {
  return {
    name: runtime.name,
    sockets,
    now: () => runtime.now(),
    wallNow: () => runtime.wallNow(),
    random: () => runtime.random(),
    defer: (callback) => runtime.defer(callback),
    setTimer: (callback, delayMs): Timer => {
      seen.timers++;
      let isSet = true;
      const over = (): void => {
        if (isSet) seen.timers--;
        isSet = false;
      };
      const timer = runtime.setTimer(() => {
        over();
        callback();
      }, delayMs);
      return {
        cancel: () => {
          over();
          timer.cancel();
        },
      };
    },
  };
}

/** Sockets that count attempts and what is open. */
function countedSockets(
  sockets: Runtime["sockets"],
  seen: ProducerObservation,
  runtime: VirtualRuntime,
): Runtime["sockets"] {
  return {
    ...sockets,
    connect: async (options, events) => {
      seen.dialsMs.push(runtime.now());
      const busy = (): void => {
        const nowMs = runtime.now();
        if (seen.busyMs.at(-1) !== nowMs) seen.busyMs.push(nowMs);
      };
      const socket = await sockets.connect(options, {
        onData: (chunk) => {
          busy();
          events.onData(chunk);
        },
        onClose: (error) => {
          busy();
          seen.connections--;
          events.onClose(error);
        },
      });
      busy();
      seen.connections++;
      const { write } = socket;
      socket.write = (parts) => {
        busy();
        return write.call(socket, parts);
      };
      return socket;
    },
  };
}

/** Notes when each sequenced batch of a request has come. */
function noteAttempts(
  attempts: Map<string, number[]>,
  topicData: RequestOf<typeof Produce>["topicData"],
  atMs: number,
): void {
  for (const { name, topicId, partitionData } of topicData) {
    for (const { index, records } of partitionData) {
      if (records === null || records.length < BATCH_OVERHEAD) continue;
      const { producerId, producerEpoch, baseSequence } = new BatchView(records);
      if (producerId < 0n) continue;
      const batch = `${name || topicId}-${index} epoch ${producerEpoch} sequence ${baseSequence}`;
      const timesMs = attempts.get(batch);
      if (timesMs === undefined) attempts.set(batch, [atMs]);
      else timesMs.push(atMs);
    }
  }
}
