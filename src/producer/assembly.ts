/**
 * What a producer is made of, and which wires go up: only here do the parts of one producer meet.
 *
 * @module
 */

import { Cluster } from "../cluster/cluster.ts";
import { loadCodec } from "../codec/guarded_compressor.ts";
import { detached } from "../runtime/detached.ts";
import { Outstanding } from "../runtime/outstanding.ts";
import type { Runtime, Scope } from "../runtime/runtime.ts";
import { selectRuntime, systemRuntime } from "../runtime/select.ts";
import { Accumulator } from "./accumulator/accumulator.ts";
import { Agenda } from "./accumulator/agenda.ts";
import { BufferMemory } from "./accumulator/buffer_memory.ts";
import { Schedule } from "./accumulator/schedule.ts";
import { TurnClock } from "./accumulator/turn_clock.ts";
import { Admission } from "./admission/admission.ts";
import { Rejections } from "./admission/rejections.ts";
import { Router } from "./admission/router.ts";
import { WaitingRoom } from "./admission/waiting_room.ts";
import { Idempotence } from "./idempotence/idempotence.ts";
import { type Stamping, type StampingParts, unstamped } from "./idempotence/stamping.ts";
import { Diagnostics } from "./observe/diagnosis.ts";
import { guardedHooks } from "./observe/hooks.ts";
import { PacedLogger } from "./observe/logger.ts";
import { Metrics } from "./observe/metrics.ts";
import type { TelemetrySession } from "./observe/telemetry.ts";
import { Watch } from "./observe/watch.ts";
import { type ProducerOptions, readProducerOptions, type ResolvedOptions, resolveOptions } from "./options/options.ts";
import type { Names } from "./options/security.ts";
import { InterceptorChain } from "./record/interceptor.ts";
import { Sender } from "./sender/sender.ts";
import { TopicLookup } from "./topic_lookup.ts";

/** The parts of one producer. What each owns or decides stands in ARCHITECTURE.md. */
export interface ProducerParts {
  readonly runtime: Runtime;
  readonly options: ResolvedOptions;
  /** The request that the producer belongs to, on workerd. */
  readonly scope: Scope | undefined;
  readonly outstanding: Outstanding;
  readonly logger: PacedLogger;
  readonly metrics: Metrics;
  readonly telemetry: TelemetrySession | undefined;
  readonly interceptors: InterceptorChain;
  readonly cluster: Cluster;
  readonly stamping: Stamping;
  readonly agenda: Agenda;
  readonly memory: BufferMemory;
  readonly schedule: Schedule;
  readonly router: Router;
  readonly accumulator: Accumulator;
  readonly rejections: Rejections;
  readonly waitingRoom: WaitingRoom;
  readonly admission: Admission;
  readonly sender: Sender;
  readonly diagnostics: Diagnostics;
  readonly lookup: TopicLookup;
  readonly watch: Watch;
}

/** Cap on an answer: what is longer is no answer (KIP-498). */
const MAX_RESPONSE_SIZE = 104_857_600;

/**
 * Makes the parts of a producer, from those that know nobody to those that know most. What one of them tells upward it
 * tells by a function from here, which is called later than all of this.
 */
export function assemble<K, V>(
  given: ProducerOptions<K, V>,
  environment: Runtime | undefined,
  names: Names,
  stampingOf: ((parts: StampingParts) => Stamping) | undefined,
): ProducerParts {
  const read = readProducerOptions(given);
  const system = environment ?? (read.connect === undefined ? selectRuntime() : systemRuntime(read.connect));
  const resolved = resolveOptions(read, system.sockets, names);
  const runtime = detached(system);
  const now = (): number => runtime.now();
  const logger = new PacedLogger(resolved.logger, now);
  const guarded = guardedHooks(resolved.hooks, logger, resolved.clientId);
  const telemetry = resolved.telemetry?.begin({
    runtime,
    logger,
    hooks: guarded,
    codecs: resolved.codecs,
    requestTimeoutMs: resolved.requestTimeoutMs,
    cluster: () => cluster,
    transactionalId: () => stamping.transactionalId,
  });
  const options: ResolvedOptions = { ...resolved, logger, hooks: telemetry?.hooks ?? guarded };
  const outstanding = new Outstanding(system);
  const scope = system.newScope?.();
  const metrics = new Metrics(now);
  metrics.telemetry = telemetry;
  const interceptors = new InterceptorChain(options.interceptors, logger);
  const agenda = new Agenda(runtime);
  const bootstrap = options.brokers;
  const cluster: Cluster = new Cluster(runtime, { ...options, bootstrap, maxResponseSize: MAX_RESPONSE_SIZE }, {
    onMetadata: () => {
      sender.guard(() => admission.onMetadata());
      sender.onMetadata();
      watch.onMetadata();
    },
    wantsMetadata: () => router.wantsMetadata || schedule.wantsMetadata,
    usesTopic: (name) => router.topics.get(name)?.busy === true,
    isOvertaken: (nodeId) => {
      for (const { partition } of accumulator.incomplete) if (partition.isOvertaken(nodeId)) return true;
      return false;
    },
    pipelined: () => stamping.pipelined(),
    onDisconnect: (nodeId) => sender.onDisconnect(nodeId),
    onRebootstrap: (reason) => logger.warn?.("rebootstrap", { reason }),
  });
  const stamping: Stamping = (stampingOf ?? stampingByOptions)({
    runtime,
    cluster,
    options,
    failUndrained: (error) => sender.failUndrained(error),
    delivered: () => metrics.recordsDelivered,
  });
  const clock = new TurnClock(runtime);
  const memory = new BufferMemory(options.bufferMemory, clock, (inUse) => {
    if (inUse) {
      outstanding.begin();
      watch.begin();
    } else {
      outstanding.end();
      watch.rest();
    }
  });
  const diagnostics = new Diagnostics(cluster, stamping);
  const rejections = new Rejections(logger, stamping, metrics, (callback) => runtime.defer(callback));
  const schedule: Schedule = new Schedule(cluster, agenda, memory, options);
  const router: Router = new Router(options, cluster, schedule, () => runtime.random());
  const accumulator: Accumulator = new Accumulator(options, schedule, memory, clock, stamping, metrics);
  const queues = {
    runtime,
    cluster,
    stamping,
    metrics,
    clock,
    agenda,
    memory,
    schedule,
    router,
    accumulator,
    rejections,
    diagnostics,
  };
  const waitingRoom = new WaitingRoom(options, queues);
  const admission: Admission = new Admission(options, clock, memory, router, accumulator, waitingRoom, rejections);
  const parts = { ...queues, waitingRoom };
  const sender: Sender = new Sender(options, parts);
  const lookup = new TopicLookup(options, parts);
  const watch: Watch = new Watch(parts, logger, now, options.lingerMs);
  for (const [event, fields] of options.remarks) logger.warn?.(event, fields);
  // Lazy modules are fetched while the first connection is made; whether that went well, the first batch tells.
  for (const codec of options.codecs) loadCodec(codec).catch(() => {});
  return { ...parts, options, scope, outstanding, logger, telemetry, interceptors, admission, sender, lookup, watch };
}

function stampingByOptions({ runtime, cluster, options }: StampingParts): Stamping {
  return options.idempotent ? new Idempotence(runtime, cluster, options) : unstamped;
}
