/**
 * What befalls single requests and their answers.
 *
 * @module
 */

import type { AnyApi, ResponseInputOf } from "../../protocol/api.ts";
import { ApiVersions, InitProducerId, Metadata, Produce } from "../../protocol/messages/mod.ts";
import { LEADER_NOT_AVAILABLE, REBOOTSTRAP_REQUIRED } from "../../protocol/error_code_names.ts";
import type { ControlAction, RequestContext } from "../broker/control.ts";
import { seededRandom } from "../doubles/random.ts";
import { Dice } from "./dice.ts";
import type { Effect, RequestFaultPlan } from "./plan.ts";

const APIS: Readonly<Record<RequestFaultPlan["api"], AnyApi>> = { Produce, Metadata, InitProducerId, ApiVersions };
/** Length and correlation id of an answer. */
const HEADER_BYTES = 8;
/** A partition that no topic of a plan has. */
const INVENTED = 1_000_000;

/** A fault of requests, and how many requests it has seen. */
export class RequestFault {
  readonly plan: RequestFaultPlan;
  readonly api: AnyApi;
  readonly #dice: Dice;
  #seen = 0;

  constructor(plan: RequestFaultPlan) {
    this.plan = plan;
    this.api = APIS[plan.api];
    this.#dice = new Dice(plan.seed);
  }

  /** Whether it is done to requests on their way, and not by the broker. */
  get isOnTheWay(): boolean {
    return this.plan.effect.do === "cut request";
  }

  /** Whether it hits this request. Asked once for each. */
  hits(brokerId: number, nowMs: number): boolean {
    const { plan } = this;
    if (nowMs < plan.atMs || nowMs > plan.atMs + plan.forMs) return false;
    if (plan.brokerId !== undefined && plan.brokerId !== brokerId) return false;
    const seen = this.#seen++;
    return plan.nth === undefined ? this.#dice.oneIn(plan.oneIn ?? 1) : plan.nth === seen;
  }
}

/** What a broker has to do for an effect. */
export function actionOf(effect: Effect, { correlationId }: RequestContext): ControlAction {
  switch (effect.do) {
    case "error":
      return { error: effect.code, apply: effect.apply === true };
    case "drop":
      return { drop: effect.when };
    case "delay":
      return { delayMs: effect.ms };
    case "delay answer":
      return { answerDelayMs: effect.ms };
    case "silence":
      return { silence: true, apply: effect.apply === true };
    case "cut request":
      return {};
    case "cut answer":
      return { rewrite: (frame) => frame.subarray(0, Math.floor(frame.length * effect.share)), closeAfter: true };
    case "wrong correlation id":
      return { correlationId: correlationId + 1 };
    case "wrong length":
      return { rewrite: (frame) => withLength(frame, effect.length) };
    case "garbage":
      return { rewrite: (frame) => withGarbage(frame, effect.seed) };
    case "answer comes twice":
      return { rewrite: twice };
    case "close behind the answer":
      return { closeAfter: true };
    case "rebootstrap":
      return {
        answerDelayMs: effect.ms,
        transform: (body) => ({ ...(body as object), errorCode: REBOOTSTRAP_REQUIRED }) as never,
      };
    case "throttle":
      return { transform: (body) => ({ ...(body as object), throttleTimeMs: effect.ms }) as never };
    case "partition is left out":
    case "partition is invented":
      return {
        ...("unserved" in effect && effect.unserved ? { error: LEADER_NOT_AVAILABLE } : {}),
        transform: (body) => withPartition(body as ResponseInputOf<typeof Produce>, effect.do) as never,
      };
  }
}

/** An effect in a few words. */
export function describeEffect(effect: Effect): string {
  const { do: what, ...details } = effect;
  const rest = Object.entries(details).map(([name, value]) => `${name} ${value}`).join(", ");
  return rest === "" ? what : `${what} (${rest})`;
}

function withLength(frame: Uint8Array, length: number): Uint8Array {
  const bytes = frame.slice();
  new DataView(bytes.buffer).setInt32(0, length);
  return bytes;
}

function withGarbage(frame: Uint8Array, seed: number): Uint8Array {
  const bytes = frame.slice();
  const random = seededRandom(seed);
  for (let at = HEADER_BYTES; at < bytes.length; at++) bytes[at] = Math.floor(random() * 256);
  return bytes;
}

function twice(frame: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(2 * frame.length);
  bytes.set(frame);
  bytes.set(frame, frame.length);
  return bytes;
}

function withPartition(
  body: ResponseInputOf<typeof Produce>,
  how: "partition is left out" | "partition is invented",
): ResponseInputOf<typeof Produce> {
  const [first, ...rest] = body.responses ?? [];
  if (first === undefined) return body;
  const [left, ...others] = first.partitionResponses;
  const partitionResponses = how === "partition is invented" && left !== undefined
    ? [{ ...left, index: INVENTED, baseOffset: 0n }, ...first.partitionResponses]
    : others;
  return { ...body, responses: [{ ...first, partitionResponses }, ...rest] };
}
