/**
 * The heartbeats of a member: they go on while partitions are given up, and stop while the coordinator owes an answer to
 * a join, for it knows then that the member lives.
 *
 * @module
 */

import { type Coordinator, ELSEWHERE_ERRORS } from "../../cluster/coordinator.ts";
import type { KafkaError } from "../../errors.ts";
import { ILLEGAL_GENERATION, REBALANCE_IN_PROGRESS, UNKNOWN_MEMBER_ID } from "../../protocol/error_code_names.ts";
import { Heartbeat } from "../../protocol/messages/heartbeat.ts";
import type { Runtime, Timer } from "../../runtime/runtime.ts";
import { groupError } from "./group_error.ts";

/** Who beats. */
export interface Pulse {
  readonly groupId: string;
  readonly memberId: string;
  readonly generationId: number;
  readonly groupInstanceId: string | null;
}

/** What ends a generation; of other errors only those that won't pass. */
const ENDS: readonly number[] = [ILLEGAL_GENERATION, REBALANCE_IN_PROGRESS, UNKNOWN_MEMBER_ID];

/** Beats until it is stopped, or until the coordinator has something to say. */
export class Heart {
  readonly #runtime: Runtime;
  readonly #coordinator: Coordinator;
  readonly #intervalMs: number;
  readonly #requestTimeoutMs: number;
  readonly #onBeat: () => void;
  readonly #onVerdict: (error: KafkaError) => void;
  #pulse: Pulse | undefined;
  #timer: Timer | undefined;

  /** Takes whom to tell of each interval that is over, and of the first answer that is no success. */
  constructor(
    runtime: Runtime,
    coordinator: Coordinator,
    { heartbeatIntervalMs, sessionTimeoutMs }: {
      readonly heartbeatIntervalMs: number;
      readonly sessionTimeoutMs: number;
    },
    onBeat: () => void,
    onVerdict: (error: KafkaError) => void,
  ) {
    this.#runtime = runtime;
    this.#coordinator = coordinator;
    this.#intervalMs = heartbeatIntervalMs;
    // A coordinator that doesn't answer in the session's time can't be asked in time either.
    this.#requestTimeoutMs = sessionTimeoutMs;
    this.#onBeat = onBeat;
    this.#onVerdict = onVerdict;
  }

  /** Beats for a generation from now on. */
  start(pulse: Pulse): void {
    this.stop();
    this.#pulse = pulse;
    this.#later();
  }

  /** Beats no more. */
  stop(): void {
    this.#pulse = undefined;
    this.#timer?.cancel();
  }

  #later(): void {
    const pulse = this.#pulse!;
    this.#timer = this.#runtime.setTimer(() => void this.#beat(pulse), this.#intervalMs);
  }

  async #beat(pulse: Pulse): Promise<void> {
    this.#onBeat();
    if (this.#pulse !== pulse) return;
    try {
      const connection = await this.#coordinator.connection();
      const version = connection.version(Heartbeat);
      const { errorCode } = await connection.request(Heartbeat, version, pulse, this.#requestTimeoutMs);
      if (errorCode !== 0) throw groupError(errorCode, "Heartbeat");
    } catch (error) {
      if (this.#pulse !== pulse) return;
      const { errorCode, retriable } = error as KafkaError;
      const isLost = errorCode === undefined && retriable;
      if (isLost || ELSEWHERE_ERRORS.includes(errorCode!)) this.#coordinator.forget();
      else if (!retriable || ENDS.includes(errorCode!)) this.#onVerdict(error as KafkaError);
    }
    // Also after a verdict: whoever has to give up partitions first stays a member meanwhile.
    if (this.#pulse === pulse) this.#later();
  }
}
