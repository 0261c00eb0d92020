/**
 * What may never happen, checked on what was seen of a run.
 *
 * V1 every record has its outcome once and in time; V2 what was delivered stands in the log once, as it was sent and
 * where it was said to be; V3 what failed stands there as its error says; V4 the order of a partition is the order of
 * the sends, in the log and in the telling; V5 nothing stands where it doesn't belong; V6 afterwards nothing is left,
 * nothing ran hot, and new records arrived; V7 no error of sequences reaches the caller, and no loss is suspected,
 * unless the cluster has lost something; V8 a flush covers what came before it; V9 `gapless` leaves no gap; V10 no
 * record fails for what is wrong with another one of its batch; V11 what lingers leaves by itself, and nothing waits on a
 * healthy cluster while nothing is done.
 *
 * @module
 */

import { PRODUCE_WITH_TOPIC_NAMES } from "../../protocol/api.ts";
import { RELEASES } from "../broker/release.ts";
import { isCompacted, TOO_LATE_MS } from "./generator.ts";
import type { Entry } from "./ledger.ts";
import type { Observation, ProducerObservation, Violation } from "./observation.ts";
import type { FaultPlan, PlannedOptions, SimulationPlan } from "./plan.ts";
import type { Sent, Told } from "./workload.ts";

const METADATA_WITH_TOPIC_IDS = 10;
const PRODUCE_WITH_RECORD_ERRORS = 8;
const BATCH_REFUSALS: ReadonlySet<string> = new Set(["INVALID_RECORD", "INVALID_TIMESTAMP"]);

/** A broker that hangs up on large requests has been found out and given small ones in this time, with room to spare. */
const TIME_TO_DIVIDE_MS = 8_000;
/** Most that a request with one record has beside its value. */
const REQUEST_OVERHEAD = 300;

/** How much later than its deadline an outcome may be told, in ms. */
const SLACK_MS = 5;
/** Attempts to connect and metadata requests of a producer within any second, beside one for each broker. */
const MAX_DIALS = 20;
/** From so many on in a second, less the first of each broker, a client spreads its dials. */
const PACED_DIALS = 15;
const MAX_METADATA = 8;
/** From so many requests for metadata on in a second, a client spreads them. */
const PACED_METADATA = 4;

/** Errors that say nothing of a batch: the record was refused before it was in one, and that is told at once. */
const REFUSED_AT_ONCE: ReadonlySet<string | undefined> = new Set([
  "BUFFER_FULL",
  "PRODUCER_CLOSED",
  "INVALID_PARTITION",
  "RECORD_TOO_LARGE",
  // With `gapless`, what still waits in line is told before what is in flight.
  "EARLIER_RECORD_FAILED",
  // So is what waits in line when the producer ends.
  "DATA_LOSS_SUSPECTED",
  "UNKNOWN_TOPIC_OR_PARTITION",
]);
/** Errors that the producer's own bookkeeping must never let through. */
const OF_SEQUENCES: ReadonlySet<string | undefined> = new Set([
  "OUT_OF_ORDER_SEQUENCE_NUMBER",
  "INVALID_PRODUCER_EPOCH",
  "DUPLICATE_SEQUENCE_NUMBER",
  "UNKNOWN_PRODUCER_ID",
]);

/** After these a leader may know less of a producer than was acknowledged. */
const FORGETS: ReadonlySet<FaultPlan["kind"]> = new Set(["leader is elected uncleanly", "producers are forgotten"]);
/** After these somebody leads who may not have what was acknowledged by the leader alone. */
const CHANGES_LEADERS: ReadonlySet<FaultPlan["kind"]> = new Set([
  "leader moves",
  "broker stops",
  "broker is killed",
  "broker is isolated",
  "all brokers stop",
  "all brokers are killed",
]);

/** Checks all invariants; an empty list is a run in which every promise was kept. */
export function checkInvariants(observation: Observation): Violation[] {
  const found: Violation[] = [];
  const say = (rule: string, message: string, record?: number): void => {
    found.push({ rule, message, ...(record === undefined ? {} : { record }) });
  };
  if (observation.stuck !== undefined) say("V1", `The run came to no end: ${observation.stuck}.`);
  for (const surprise of observation.surprises) say("V6", `Nobody expected this: ${describe(surprise)}.`);
  for (const sent of observation.sent) {
    checkSettled(observation, sent, say);
    checkFate(observation, sent, say);
    checkStarved(observation, sent, say);
    checkProgress(observation, sent, say);
  }
  checkForeign(observation, say);
  checkLogOrder(observation, say);
  checkToldOrder(observation, say);
  checkGaps(observation, say);
  for (const [index, producer] of observation.producers.entries()) checkPeace(observation, producer, `p${index}`, say);
  for (const message of observation.unhealed) say("V6", `${message}.`);
  for (const message of observation.earlyFlushes) say("V8", `${message}.`);
  for (const message of observation.leftToRest) say("V11", `${message} when everything had rested.`);
  if (observation.listenersLeft > 0) say("V6", `${observation.listenersLeft} listeners are left on signals.`);
  return found;
}

type Say = (rule: string, message: string, record?: number) => void;

/** V1. */
function checkSettled({ producers, stuck }: Observation, sent: Sent, say: Say): void {
  const { id, producer } = sent.plan;
  const { deliveryTimeoutMs, waitForOutcome } = producers[producer]!.plan.options;
  for (const [who, wanted, told] of tellings(sent)) {
    if (told.length > (wanted ? 1 : 0)) say("V1", `The ${who} was told ${told.length} times, wanted once.`, id);
    if (told.length === 0 && wanted && stuck === undefined) say("V1", `The ${who} was never told.`, id);
    const tookMs = (told[0]?.atMs ?? sent.calledMs) - sent.calledMs;
    if (tookMs > deliveryTimeoutMs + SLACK_MS && !waitForOutcome) {
      say("V1", `The ${who} was told after ${tookMs} ms, wanted at most ${deliveryTimeoutMs} (deliveryTimeoutMs).`, id);
    }
  }
  const [promised, calledBack] = [sent.promised[0], sent.calledBack[0]];
  if (
    promised !== undefined && calledBack !== undefined &&
    (promised.error === undefined) !== (calledBack.error === undefined)
  ) {
    say("V1", "Promise and callback were told different things.", id);
  }
}

function tellings(sent: Sent): [who: string, wanted: boolean, told: readonly Told[]][] {
  return [["promise", sent.wantsPromise, sent.promised], ["callback", sent.wantsCallback, sent.calledBack]];
}

/** V2 and V3. */
function checkFate({ ledger, producers, plan }: Observation, sent: Sent, say: Say): void {
  const told = sent.calledBack[0] ?? sent.promised[0];
  if (told === undefined) return;
  const { id, producer } = sent.plan;
  const { options } = producers[producer]!.plan;
  const all = ledger.copies.get(id) ?? [];
  // What went with a deleted topic is gone by the user's own will; sent again, it may stand in the new one too.
  const copies = isRecreated(plan, sent.plan.topic) ? mostOfOne(all) : all;
  for (const copy of all) checkContent(sent, copy, say);
  if (options.idempotent && copies.length > 1 && !plan.faults.some(({ kind }) => kind === "producers are forgotten")) {
    say("V2", `It stands in the log ${copies.length} times: ${copies.map(where).join(", ")}.`, id);
  }
  if (told.metadata !== undefined) {
    checkDelivered(plan, sent, told, all, options, say);
    return;
  }
  const persisted = told.error?.persisted ?? "possibly";
  if (persisted === "no" && all.length > 0) {
    say("V3", `It failed as not persisted (${told.error?.code}), and stands at ${all.map(where).join(", ")}.`, id);
  }
  if (persisted === "yes" && all.length === 0) say("V3", "It failed as persisted, and is not in the log.", id);
  const code = told.error?.code;
  if (code !== undefined && !isBatchRefusal(plan, code) && isForOthers(plan, sent, code, persisted, options)) {
    say("V10", `It failed with ${code}, and there is nothing wrong with it.`, id);
  }
  if (options.idempotent && OF_SEQUENCES.has(told.error?.code) && !losesState(plan)) {
    say("V7", `It failed with ${told.error?.code}, which says nothing to a caller.`, id);
  }
}

/** V10: a batch that is too large for a broker is divided. */
function checkStarved({ plan, producers }: Observation, { plan: { id, producer }, ...sent }: Sent, say: Say): void {
  const code = (sent.calledBack[0] ?? sent.promised[0])?.error?.code;
  if (code !== "DELIVERY_TIMEOUT" || !keepsSizes(plan, producers[producer]!.plan.options)) return;
  say("V10", `It failed with ${code}, though no record is too large for a request.`, id);
}

/** Whether nothing stands in the way of a producer but a limit of requests, which every record keeps by itself. */
function keepsSizes(
  { cluster: { maxLatencyMs, maxRequestBytes }, faults, sends }: SimulationPlan,
  { batchSize, deliveryTimeoutMs, maxInFlight, retries }: PlannedOptions,
): boolean {
  if (maxRequestBytes === undefined || faults.length > 0) return false;
  if (deliveryTimeoutMs < TIME_TO_DIVIDE_MS || retries >= 0) return false;
  // Records that have a batch each, one after the other, may take longer than they are given.
  const areAlone = batchSize !== undefined && batchSize < REQUEST_OVERHEAD;
  if (areAlone && sends.length * 2 * maxLatencyMs > deliveryTimeoutMs * maxInFlight) return false;
  return sends.every(({ bytes }) => bytes + REQUEST_OVERHEAD < maxRequestBytes);
}

/** Whether a record has failed for others of its batch. */
function isForOthers(
  plan: SimulationPlan,
  { plan: { topic: name, key, timestampMs } }: Sent,
  code: string,
  persisted: string,
  { gapless }: PlannedOptions,
): boolean {
  const refusal = { INVALID_RECORD: 87, INVALID_TIMESTAMP: 32 }[code];
  // With gapless, the batch fails as a whole; and what may be in the log isn't stamped anew.
  if (refusal === undefined || gapless || persisted !== "no") return false;
  const isFault = plan.faults.some((fault) =>
    fault.kind === "requests" && fault.effect.do === "error" && fault.effect.code === refusal
  );
  const topic = plan.cluster.topics.find((topic) => topic.name === name)!;
  return !isFault && (key !== undefined || !isCompacted(topic)) && timestampMs !== TOO_LATE_MS;
}

function checkDelivered(
  plan: SimulationPlan,
  sent: Sent,
  told: Told,
  all: readonly Entry[],
  options: PlannedOptions,
  say: Say,
): void {
  const { id, topic, partition: asked } = sent.plan;
  const { partition, offset, timestamp } = told.metadata!;
  if (told.metadata!.topic !== topic) say("V5", `It was delivered to topic "${told.metadata!.topic}".`, id);
  if (asked !== undefined && partition !== asked) {
    say("V2", `It was delivered to partition ${partition}, wanted ${asked}.`, id);
  }
  if (options.acks === 0) {
    if (all.length > 1) say("V2", `It was sent once, and stands in the log ${all.length} times.`, id);
    return;
  }
  // Records that came later may stand where it stood.
  if (losesRecords(plan, topic, options)) return;
  if (all.length === 0) {
    return say("V2", `It was delivered at ${topic}-${partition} @ ${offset}, and is in no log.`, id);
  }
  const there = all.filter((entry) => entry.partition === partition && (offset < 0n || entry.offset === offset));
  // Sent again into a topic that was created anew, it may stand at the same offset twice.
  const copy = there.find((entry) => entry.timestamp === timestamp) ?? there[0];
  if (copy === undefined) {
    say("V2", `It was delivered at ${topic}-${partition} @ ${offset}, and stands at ${all.map(where).join(", ")}.`, id);
  } else if (offset >= 0n && copy.timestamp !== timestamp && !copy.incarnation.rules.usesLogAppendTime) {
    say("V2", `Its timestamp was told as ${timestamp}, and is ${copy.timestamp}.`, id);
  }
}

function checkContent({ plan, record, calledMs }: Sent, copy: Entry, say: Say): void {
  const headers = JSON.stringify(record.headers ?? []);
  const isLogTime = copy.incarnation.rules.usesLogAppendTime;
  if (copy.topic !== record.topic || copy.partition !== (record.partition ?? copy.partition)) {
    say("V5", `It stands at ${where(copy)}, wanted ${record.topic}-${record.partition ?? "any"}.`, plan.id);
  }
  if (copy.value !== record.value) say("V2", `Its value is "${copy.value}", wanted "${record.value}".`, plan.id);
  if (copy.key !== (record.key ?? null)) say("V2", `Its key is "${copy.key}", wanted "${record.key}".`, plan.id);
  if (JSON.stringify(copy.headers) !== headers) {
    say("V2", `Its headers are ${JSON.stringify(copy.headers)}, wanted ${headers}.`, plan.id);
  }
  if (record.timestamp !== undefined && copy.timestamp !== record.timestamp && !isLogTime) {
    say(
      "V2",
      `Its timestamp is ${copy.timestamp}, wanted ${record.timestamp} (handed over at ${calledMs} ms).`,
      plan.id,
    );
  }
}

/** V5. */
function checkForeign({ ledger, sent }: Observation, say: Say): void {
  const known = new Set(sent.map(({ plan }) => plan.id));
  for (const id of ledger.copies.keys()) {
    if (!known.has(id)) say("V5", `The log holds a record that nobody sent: "${ledger.copies.get(id)![0]!.value}".`);
  }
}

/** V4 in the log. Without sequences only one request at a time keeps an order, and lost attempts may arrive late. */
function checkLogOrder({ plan, ledger, sent, producers }: Observation, say: Say): void {
  const byId = new Map(sent.map((one) => [one.plan.id, one]));
  for (const log of ledger.logs) {
    const last = new Map<number, Sent>();
    const seen = new Set<number>();
    for (const entry of log) {
      const one = byId.get(Number.parseInt(entry.value));
      if (one === undefined) continue;
      const { id, producer } = one.plan;
      const { idempotent, maxInFlight, acks } = producers[producer]!.plan.options;
      const keepsOrder = idempotent ? !mayMistake(plan, entry.topic) : maxInFlight === 1 && acks !== 0;
      // A lost attempt may arrive when the record stands in a former incarnation of the topic, which is gone.
      const isRepeated = seen.has(id) ||
        ledger.copies.get(id)!.some(({ incarnation }) => incarnation !== entry.incarnation);
      if (!keepsOrder || (!idempotent && (isRepeated || isFailed(one)))) continue;
      seen.add(id);
      const before = last.get(producer);
      if (before !== undefined && before.order > one.order) {
        say("V4", `It stands at ${where(entry)}, behind record ${before.plan.id}, which was sent later.`, id);
      }
      last.set(producer, one);
    }
  }
}

/** V4 in the telling: callbacks among themselves and promises among themselves. */
function checkToldOrder({ plan, sent, ledger, producers }: Observation, say: Say): void {
  const last = new Map<string, [Sent, Told]>();
  for (const one of sent) {
    const first = one.calledBack[0] ?? one.promised[0];
    const { options } = producers[one.plan.producer]!.plan;
    if (first === undefined || entersNoBatch(plan, one, first, options)) continue;
    const partition = one.plan.partition ?? first.metadata?.partition ?? ledger.copies.get(one.plan.id)?.[0]?.partition;
    if (partition === undefined || isAbort(one)) continue;
    for (const [who, , [told]] of tellings(one)) {
      if (told === undefined) continue;
      const place = `${one.plan.producer} ${one.plan.topic}-${partition} ${who}`;
      const before = last.get(place);
      if (before !== undefined && before[1].order > told.order && !isSameMoment(before[1], told)) {
        say(
          "V4",
          `Its ${who} was told before that of record ${before[0].plan.id}, which was sent earlier.`,
          one.plan.id,
        );
      }
      last.set(place, [one, told]);
    }
  }
}

/** V9: what was handed over behind a record before that was known to have failed is not in the log either. */
function checkGaps({ plan, sent, ledger, producers }: Observation, say: Say): void {
  if (losesState(plan)) return;
  const gaps = new Map<string, [failed: Sent, toldMs: number]>();
  const lastToldMs = new Map<string, number>();
  for (const one of sent) {
    const { producer, topic, id } = one.plan;
    const { options } = producers[producer]!.plan;
    const told = one.calledBack[0] ?? one.promised[0];
    if (!options.gapless || told === undefined) continue;
    const copy = ledger.copies.get(id)?.[0];
    const place = `${producer} ${topic}-${one.plan.partition ?? copy?.partition}`;
    const gap = gaps.get(place);
    if (copy !== undefined && gap !== undefined && one.calledMs < gap[1]) {
      say("V9", `It stands at ${where(copy)}, and record ${gap[0].plan.id} before it has failed.`, id);
    }
    // Told together with one before it, it may have failed earlier than it was told.
    const isPrompt = lastToldMs.get(place) !== told.atMs;
    lastToldMs.set(place, told.atMs);
    const isGap = told.error !== undefined && copy === undefined && !isAbort(one) &&
      !isRefusedAtOnce(told, options) && told.error.code !== "TIMEOUT";
    if (isGap && isPrompt) gaps.set(place, [one, told.atMs]);
  }
}

/** A promise that is rejected reacts some microtasks later than one that is fulfilled in the same turn. */
function isSameMoment(one: Told, other: Told): boolean {
  return one.atMs === other.atMs && (one.error === undefined) !== (other.error === undefined);
}

/** V11: in a run without faults, something happens as long as a record waits. */
function checkProgress({ plan, producers }: Observation, sent: Sent, say: Say): void {
  const { faults, cluster: { maxLatencyMs, replicationLagMs, maxRequestBytes } } = plan;
  if (faults.length > 0 || maxRequestBytes !== undefined) return;
  const { plan: { options }, busyMs, dialsMs, metadataMs } = producers[sent.plan.producer]!;
  const toldMs = (sent.calledBack[0] ?? sent.promised[0])?.atMs;
  if (toldMs === undefined) return;
  const patienceMs = options.lingerMs + 4 * maxLatencyMs + replicationLagMs + 1.3 * options.retryBackoffMs + 100;
  let lastMs = sent.calledMs;
  for (const atMs of busyMs.slice(firstAfter(busyMs, sent.calledMs))) {
    if (atMs >= toldMs) break;
    if (atMs - lastMs > patienceMs) break;
    lastMs = atMs;
  }
  const idleMs = Math.min(toldMs, busyMs.find((atMs) => atMs > lastMs) ?? toldMs) - lastMs;
  // With acks 0 a broker says no by hanging up; a client that was dialling so often pauses for the rest of the second.
  // One that has asked for metadata so often, because leaders hang up or time out, does the same.
  const ofLast = (spanMs: number, timesMs: readonly number[]): number =>
    timesMs.filter((atMs) => atMs > lastMs - spanMs && atMs <= lastMs).length;
  const isPaced = ofLast(1_000, dialsMs) >= PACED_DIALS || ofLast(1_000, metadataMs) >= PACED_METADATA;
  // Metadata that brings no news is asked for ever less often: a broker is slower than requestTimeoutMs, and still leads.
  const isNoNews = ofLast(2 * options.retryBackoffMaxMs, metadataMs) >= 2;
  if (idleMs > patienceMs + (isPaced ? 1_000 : 0) + (isNoNews ? options.retryBackoffMaxMs : 0)) {
    say("V11", `Nothing was done for ${idleMs} ms while it waited.`, sent.plan.id);
  }
}

/** The index of the first time that is later. */
function firstAfter(timesMs: readonly number[], atMs: number): number {
  let [low, high] = [0, timesMs.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (timesMs[middle]! > atMs) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** V6: the counters after the close. */
function checkCounters(
  { sent }: Observation,
  { metrics = {}, closedMs = Infinity }: ProducerObservation,
  index: number,
  say: Say,
): void {
  for (const name of ["records_pending", "batches_pending", "requests-in-flight"] as const) {
    const left = metrics[name] ?? 0;
    if (left !== 0) say("V6", `p${index} counts ${left} ${name} after the close.`);
  }
  const { records_sent, errors } = metrics;
  if (records_sent === undefined || errors === undefined) return;
  const mine = sent.filter(({ plan, calledMs }) => plan.producer === index && calledMs <= closedMs);
  // What came in the moment of the end, when the counters were read, may have come behind it.
  const least = mine.filter(({ calledMs }) => calledMs < closedMs).length;
  const counted = records_sent + errors;
  if (counted < least || counted > mine.length) {
    say("V6", `p${index} counts ${records_sent} records sent and ${errors} errors, wanted ${mine.length} together.`);
  }
}

/** V6: a batch is not sent again and again without a pause. */
function checkPace({ attemptsMs, plan: { options } }: ProducerObservation, name: string, say: Say): void {
  // Some retries don't wait: those to a leader that the broker has named, and what is left of a refused batch.
  const most = 8 + 1_000 / (0.8 * options.retryBackoffMs);
  for (const [batch, timesMs] of attemptsMs) {
    const attempts = mostInOneSecond(timesMs);
    if (attempts > most) say("V6", `${name} sent ${batch} ${attempts} times in a second, wanted at most ${most}.`);
  }
}

/** V6 and V7 of one producer. */
function checkPeace(observation: Observation, seen: ProducerObservation, name: string, say: Say): void {
  const { brokers } = observation.plan.cluster;
  checkPace(seen, name, say);
  if (seen.closedMs !== undefined) {
    checkCounters(observation, seen, observation.producers.indexOf(seen), say);
    if (seen.takenBytes !== 0) say("V6", `${name} holds ${seen.takenBytes} bytes of its memory after the close.`);
    if (seen.timers !== 0) say("V6", `${name} has ${seen.timers} timers after the close.`);
    if (seen.connections !== 0) say("V6", `${name} has ${seen.connections} connections after the close.`);
  } else if (seen.closingMs !== undefined && observation.stuck === undefined) {
    say("V6", `${name} never closed.`);
  }
  // The first dial of each broker waits for nobody.
  const dials = mostInOneSecond(seen.dialsMs) - brokers;
  if (dials > MAX_DIALS) say("V6", `${name} dialled ${dials} times in a second, wanted at most ${MAX_DIALS}.`);
  const asked = mostInOneSecond(seen.metadataMs) - brokers;
  if (asked > MAX_METADATA) say("V6", `${name} asked for metadata ${asked} times in a second, wanted ${MAX_METADATA}.`);
  if (seen.suspicions > 0 && !losesState(observation.plan)) {
    say("V7", `${name} suspects a loss of data, and the cluster has lost nothing.`);
  }
}

/** Whether the cluster forgets what it knew of producers, or what they wrote. */
function losesState({ faults }: SimulationPlan): boolean {
  return faults.some(({ kind }) => kind === "topic is created anew" || FORGETS.has(kind));
}

/** Whether what was acknowledged may be gone, by the user's own will. */
function losesRecords({ faults }: SimulationPlan, topic: string, options: PlannedOptions): boolean {
  if (options.acks !== "all" && faults.some(({ kind }) => CHANGES_LEADERS.has(kind))) return true;
  return faults.some((fault) => fault.kind === "leader is elected uncleanly" && fault.topic === topic);
}

/**
 * Whether a leader may lose what it knows of a producer between two batches that are in flight to it: then it takes the
 * second when it has refused the first, and no producer can know. Topic ids (Produce 13, Kafka 4) rule out a topic anew.
 */
function mayMistake(plan: SimulationPlan, topic: string): boolean {
  return plan.faults.some(({ kind }) => kind === "producers are forgotten") ||
    (!speaksTopicIds(plan) && isRecreated(plan, topic));
}

function speaksTopicIds({ cluster }: SimulationPlan): boolean {
  const { Metadata, Produce } = RELEASES[cluster.release].versions;
  return Metadata![1] >= METADATA_WITH_TOPIC_IDS && Produce![1] > PRODUCE_WITH_TOPIC_NAMES;
}

/** Before Produce 8 a broker that refuses a batch doesn't say for which record: the innocent fail with it (KIP-467). */
function isBatchRefusal({ cluster }: SimulationPlan, code: string): boolean {
  return RELEASES[cluster.release].versions.Produce![1] < PRODUCE_WITH_RECORD_ERRORS && BATCH_REFUSALS.has(code);
}

function isRecreated({ faults }: SimulationPlan, topic: string): boolean {
  return faults.some((fault) => fault.kind === "topic is created anew" && fault.topic === topic);
}

/** The copies in the incarnation that holds most of them. */
function mostOfOne(copies: readonly Entry[]): readonly Entry[] {
  const groups = new Map<unknown, Entry[]>();
  for (const copy of copies) groups.set(copy.incarnation, [...groups.get(copy.incarnation) ?? [], copy]);
  return [...groups.values()].sort((a, b) => b.length - a.length)[0] ?? [];
}

/** Whether a record may have failed while it stood in line for memory or metadata. */
function isRefusedAtOnce({ error }: Told, { deliveryTimeoutMs, maxBlockMs }: PlannedOptions): boolean {
  const inLine = error?.code === "DELIVERY_TIMEOUT" && error.persisted === "no" && deliveryTimeoutMs < maxBlockMs;
  return inLine || REFUSED_AT_ONCE.has(error?.code);
}

/** Whether a record may have failed in line, or its topic was gone for all of its own time (O1). */
function entersNoBatch(
  plan: SimulationPlan,
  { calledMs, plan: { topic } }: Sent,
  told: Told,
  own: PlannedOptions,
): boolean {
  if (isRefusedAtOnce(told, own)) return true;
  const isGone = isRecreated(plan, topic) ||
    plan.faults.some((fault) => fault.kind === "topic is not in metadata" && fault.topic === topic);
  return isGone && told.error?.code === "TIMEOUT" && told.error.persisted === "no" &&
    told.atMs >= calledMs + own.maxBlockMs;
}

function isFailed(sent: Sent): boolean {
  return (sent.calledBack[0] ?? sent.promised[0])?.error !== undefined;
}

function isAbort(sent: Sent): boolean {
  return sent.plan.abortAfterMs !== undefined && isFailed(sent);
}

function mostInOneSecond(timesMs: readonly number[]): number {
  let most = 0;
  let first = 0;
  for (let last = 0; last < timesMs.length; last++) {
    while (timesMs[last]! - timesMs[first]! >= 1_000) first++;
    most = Math.max(most, last - first + 1);
  }
  return most;
}

function where({ topic, partition, offset }: Entry): string {
  return `${topic}-${partition} @ ${offset}`;
}

function describe(surprise: unknown): string {
  return surprise instanceof Error ? surprise.stack ?? surprise.message : String(surprise);
}
