/**
 * What a send is told that has waited in vain.
 *
 * @module
 */

import { BufferFullError, DeliveryTimeoutError, type KafkaError, TimeoutError } from "../../errors.ts";
import { errorOf } from "../../protocol/error_codes.ts";
import { show } from "../../show.ts";
import type { Explanation } from "../observe/diagnosis.ts";
import type { ResolvedOptions } from "../options/options.ts";
import { WaitingRun } from "./waiting_run.ts";
import type { WaitingSend } from "./waiting_send.ts";

/** Why a send has waited in vain: for memory, for a topic that there isn't, or for a broker to ask. */
export function lateError(
  send: WaitingSend | WaitingRun,
  options: ResolvedOptions,
  { reason, advice, error }: Explanation,
): KafkaError {
  const { maxBlockMs, deliveryTimeoutMs } = options;
  const byDelivery = deliveryTimeoutMs < maxBlockMs;
  const limit = byDelivery ? `${deliveryTimeoutMs} ms (deliveryTimeoutMs)` : `${maxBlockMs} ms (maxBlockMs)`;
  const topic = send.topic.name;
  if (send instanceof WaitingRun) {
    const message = `Send slower or raise "bufferMemory": there was no room for ${send.bytesWanted} bytes within ` +
      `${limit}. ${reason}`;
    const context = { topic, cause: error };
    return byDelivery ? new DeliveryTimeoutError(message, context) : new BufferFullError(message, context);
  }
  const { errorCode } = send.topic.metadata;
  if (errorCode !== 0 && error?.errorCode === errorCode) {
    return new TimeoutError(`Topic ${show(topic)} could not be found within ${limit}. ${reason} ${advice}`, {
      code: errorOf(errorCode).name,
      errorCode,
      topic,
      cause: error,
    });
  }
  const message = `Topic ${show(topic)} could not be looked up within ${limit}. ${reason} ${advice}`;
  const context = { topic, cause: error };
  return byDelivery ? new DeliveryTimeoutError(message, context) : new TimeoutError(message, context);
}
