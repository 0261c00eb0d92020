/**
 * What closing a producer does, and in which order.
 *
 * @module
 */

import { ProducerClosedError, TimeoutError } from "../errors.ts";
import type { ProducerParts } from "./assembly.ts";
import { LAST_PUSH_MS } from "./observe/telemetry.ts";
import { within } from "./within.ts";

/** What is told of a record, or a call, that comes to nothing because the producer was closed. */
export function closedError(detail: string, persisted: "no" | "possibly"): ProducerClosedError {
  return new ProducerClosedError(`The producer was closed. ${detail}`, { persisted });
}

/**
 * Ends a producer that takes no more records: first what was handed over is delivered, as far as there is time; then
 * what is left fails; then the bytes go out that nobody answers, telemetry says its last, and the connections end; the
 * interceptors, which hear of all of this, are the last.
 *
 * Rejects with the first that took longer than `timeoutMs`, once all is done.
 */
export async function close(parts: ProducerParts, timeoutMs: number | undefined): Promise<void> {
  const { runtime, admission, cluster, interceptors } = parts;
  const { acks, waitForOutcome, deliveryTimeoutMs, requestTimeoutMs } = parts.options;
  // A producer that waits for outcomes without end must still be able to close.
  const limitMs = timeoutMs ?? (waitForOutcome ? deliveryTimeoutMs + requestTimeoutMs : undefined);
  const { opened } = admission.barrier();
  const startMs = runtime.now();
  const leftMs = (): number | undefined => limitMs && Math.max(0, startMs + limitMs - runtime.now());
  const took = `Closing took longer than ${timeoutMs === undefined ? `${limitMs} ms` : `${limitMs} ms (timeoutMs)`}.`;
  const overdue = (why: string) => (): TimeoutError => new TimeoutError(`${took} ${why}`);
  let late: unknown;
  try {
    await within(runtime, opened, { timeoutMs: limitMs }, () => parts.watch.lateError(took));
  } catch (error) {
    late = error;
  }
  parts.sender.abandon((fate) => {
    const detail = fate === "no" ? "The record was never sent." : "The record may be in the log.";
    return closedError(detail, fate);
  });
  // Callbacks may have sent again, in vain.
  await admission.barrier().opened;
  parts.stamping.close();
  // With acks 0 nobody answers, so what was sent last may still be here: a process that ends now would lose it.
  if (acks === 0) {
    const why = "The operating system has not taken all bytes (acks 0): the broker reads too slowly, or not at all.";
    await within(runtime, cluster.flushed(), { timeoutMs: leftMs() ?? requestTimeoutMs }, overdue(why))
      .catch((error) => {
        if (limitMs !== undefined) late ??= error;
      });
  }
  await parts.telemetry?.close(Math.min(leftMs() ?? LAST_PUSH_MS, LAST_PUSH_MS));
  cluster.close();
  parts.agenda.clear();
  parts.logger.settle();
  parts.lookup.close(closedError("No topic is looked up any more.", "no"));
  if (!interceptors.isEmpty) {
    // So may others who were told of a failure: interceptors hear of that, too, before they end.
    await new Promise<void>((resolve) => runtime.defer(resolve));
    await admission.barrier().opened;
  }
  const why = "An interceptor's close() has not ended.";
  await within(runtime, interceptors.close(), { timeoutMs: leftMs() }, overdue(why));
  if (late !== undefined) throw late;
}
