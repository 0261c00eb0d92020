/**
 * The heartbeats of a member: they go on while partitions are given up, and stop while the coordinator owes an answer to
 * a join, for it knows then that the member lives.
 *
 * @module
 */

import { type Coordinator, ELSEWHERE_ERRORS } from "../../cluster/coordinator.ts";
import { KafkaError } from "../../errors.ts";
import { ILLEGAL_GENERATION, REBALANCE_IN_PROGRESS, UNKNOWN_MEMBER_ID } from "../../protocol/error_code_names.ts";
import { Heartbeat } from "../../protocol/messages/heartbeat.ts";
import type { Runtime, Timer } from "../../runtime/runtime.ts";
import { show } from "../../show.ts";
import { groupError } from "./group_error.ts";

/** Who beats. */
export interface Pulse {
  readonly groupId: string;
  readonly memberId: string;
  readonly generationId: number;
  readonly groupInstanceId: string | null;
}

/** Whom heartbeats concern. */
export interface HeartListener {
  /** Called after each interval. */
  onBeat(): void;
  /** Called with an answer that ends the generation. */
  onVerdict(error: KafkaError): void;
  /** Called when the coordinator wasn't heard for a whole session, and with null when that is over. */
  onTrouble(error: KafkaError | null): void;
}

/** What ends a generation; of other errors only those that won't pass. */
const ENDS: readonly number[] = [ILLEGAL_GENERATION, REBALANCE_IN_PROGRESS, UNKNOWN_MEMBER_ID];

/** Beats until it is stopped, or until the coordinator has something to say. */
export class Heart {
  readonly #runtime: Runtime;
  readonly #coordinator: Coordinator;
  readonly #intervalMs: number;
  readonly #sessionTimeoutMs: number;
  readonly #requestTimeoutMs: number;
  readonly #listener: HeartListener;
  #heardAtMs = 0;
  #pulse: Pulse | undefined;
  #timer: Timer | undefined;

  /** Takes whom to tell. */
  constructor(
    runtime: Runtime,
    coordinator: Coordinator,
    { heartbeatIntervalMs, requestTimeoutMs, sessionTimeoutMs }: {
      readonly heartbeatIntervalMs: number;
      readonly requestTimeoutMs: number;
      readonly sessionTimeoutMs: number;
    },
    listener: HeartListener,
  ) {
    this.#runtime = runtime;
    this.#coordinator = coordinator;
    this.#intervalMs = heartbeatIntervalMs;
    this.#sessionTimeoutMs = sessionTimeoutMs;
    // A coordinator that doesn't answer in the session's time can't be asked in time either.
    this.#requestTimeoutMs = Math.min(requestTimeoutMs, sessionTimeoutMs);
    this.#listener = listener;
  }

  /** Beats for a generation from now on. */
  start(pulse: Pulse): void {
    this.stop();
    this.#pulse = pulse;
    // The coordinator has just answered the sync.
    this.#onHeard();
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
    this.#listener.onBeat();
    if (this.#pulse !== pulse) return;
    try {
      const connection = await this.#coordinator.connection();
      const version = connection.version(Heartbeat);
      const { errorCode } = await connection.request(Heartbeat, version, pulse, this.#requestTimeoutMs);
      if (errorCode !== 0) throw groupError(errorCode, "Heartbeat");
      if (this.#pulse === pulse) this.#onHeard();
    } catch (error) {
      if (this.#pulse !== pulse) return;
      const { errorCode, retriable } = error as KafkaError;
      const isLost = errorCode === undefined && retriable;
      if (isLost || ELSEWHERE_ERRORS.includes(errorCode!)) this.#coordinator.forget();
      else if (!retriable || ENDS.includes(errorCode!)) {
        this.#onHeard();
        this.#listener.onVerdict(error as KafkaError);
      }
      this.#lookHowLong(pulse, error as KafkaError);
    }
    // Also after a verdict: whoever has to give up partitions first stays a member meanwhile.
    if (this.#pulse === pulse) this.#later();
  }

  #onHeard(): void {
    this.#heardAtMs = this.#runtime.now();
    this.#listener.onTrouble(null);
  }

  /** Nobody tells a member that its coordinator can't be reached, and by then its partitions may be somebody else's. */
  #lookHowLong({ groupId }: Pulse, cause: KafkaError): void {
    if (this.#runtime.now() - this.#heardAtMs < this.#sessionTimeoutMs) return;
    const message = `Heartbeats to the coordinator of group ${show(groupId)} came to nothing for longer than ` +
      `sessionTimeoutMs (${this.#sessionTimeoutMs} ms): others may read the partitions of this member by now. ` +
      cause.message;
    this.#listener.onTrouble(new KafkaError(message, { code: cause.code, retriable: true, cause }));
  }
}
