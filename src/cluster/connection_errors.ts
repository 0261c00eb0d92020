/**
 * What is told of a connection of which nothing can be wanted, or nothing more.
 *
 * @module
 */

import { AuthenticationError, KafkaError, ProtocolError, TimeoutError } from "../errors.ts";
import { TLS_ALERT } from "../protocol/frame_assembler.ts";
import type { AnyApi } from "../protocol/schema.ts";

/** The broker didn't answer a request in time, or didn't read it; `throttle` is what it has asked for meanwhile. */
export function lateError(api: AnyApi, what: "answer" | "read", broker: string, throttle: string): TimeoutError {
  const note = throttle === "" ? "" : ` It ${throttle.replace("wants", "wanted")}.`;
  const message = `The broker at ${broker} didn't ${what} ${api.name} in time (requestTimeoutMs).${note}`;
  return new TimeoutError(message, { code: "REQUEST_TIMED_OUT", broker });
}

/** What came from the broker is no answer, or none that can be right. */
export function answerError(error: unknown, broker: string, isReady: boolean): KafkaError {
  if (error instanceof ProtocolError && error.code === TLS_ALERT && !isReady) {
    return new AuthenticationError(
      `Set "tls" to true, or to an object with its options: ${broker} looks like a TLS port, for it answers plain ` +
        `text with a TLS alert.`,
      { code: "TLS_PORT", broker, cause: error },
    );
  }
  if (error instanceof KafkaError) {
    return new ProtocolError(`The answer of ${broker} can't be right. ${error.message}`, { broker, cause: error });
  }
  return new ProtocolError(`The answer of ${broker} can't be read.`, { broker, cause: error });
}
