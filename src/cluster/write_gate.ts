/**
 * When the next request may be written to a connection.
 *
 * A broker closes the gate for a while by asking for quiet (a quota), and the client by showing its credentials again.
 * What comes meanwhile is held and follows in its order.
 *
 * @module
 */

import type { Runtime, Timer } from "../runtime/runtime.ts";
import { sleep } from "./sleep.ts";

/**
 * From which version on a broker answers before it throttles, so that the client has to hold back (KIP-219).
 * Below it the broker has done the waiting itself. An API that isn't listed is heeded in every version: with a broker
 * before Kafka 2.0 it is waited for twice.
 */
const CLIENT_THROTTLES_FROM: Readonly<Record<string, number>> = {
  Produce: 6,
  Metadata: 6,
  ApiVersions: 2,
  InitProducerId: 1,
};

/**
 * Longer than this a broker isn't left alone, whatever it says: an answer that can't be told from a wrong one must not
 * stop all traffic for days. Kafka counts quotas in windows of 11 s unless told otherwise; a client that is five windows ahead
 * is left unread by the broker itself, for as long as it likes.
 */
export const MAX_THROTTLE_MS = 60_000;

/** When a session is renewed, in shares of its life: at random from the first number on, as Java does. */
const LEAST_SESSION_SHARE = 0.85;
const SESSION_JITTER = 0.1;

/** The gate of one connection. It writes nothing itself: it is handed what to write when it opens. */
export class WriteGate {
  /** Until when the broker asked not to be sent anything, on the monotonic clock. */
  throttledUntilMs = 0;
  /** The last answer that asked for it, in words that go on behind "The broker" and its name; "" if none did. */
  throttleNote = "";

  readonly #runtime: Runtime;
  readonly #renew: (signal: AbortSignal) => Promise<void> | undefined;
  readonly #ended = new AbortController();
  /** What waits, in order. */
  #held: (() => void)[] = [];
  /** The session is being renewed: everything else waits. */
  #renewal: Promise<void> | undefined;
  /** Ends the wait for it, for a mechanism may hang. */
  #endRenewal: (() => void) | undefined;
  /** The session is to be renewed before the next request. */
  #isRenewalDue = false;
  #sessionTimer: Timer | undefined;

  /** `renew` shows the credentials again; it never rejects, and returns undefined where there are none. */
  constructor(runtime: Runtime, renew: (signal: AbortSignal) => Promise<void> | undefined) {
    this.#runtime = runtime;
    this.#renew = renew;
  }

  /** How much is held. */
  get held(): number {
    return this.#held.length;
  }

  /** The broker wants to be left alone. */
  get isThrottled(): boolean {
    return this.throttledUntilMs > 0 && this.throttledUntilMs > this.#runtime.now();
  }

  /** True while nothing may be written: during a throttle, a re-authentication, and behind those who wait already. */
  mustWait(): boolean {
    return this.renewal() !== undefined || this.isThrottled || this.#held.length > 0;
  }

  /** Keeps a request until nothing is in its way any more. */
  hold(write: () => void): void {
    this.#held.push(write);
    if (this.#held.length > 1) return;
    void this.untilFree().then(() => {
      const held = this.#held;
      this.#held = [];
      for (const write of held) write();
    });
  }

  /** Resolves when nothing is in the way any more, or the connection has ended. */
  async untilFree(): Promise<void> {
    const { signal } = this.#ended;
    for (let leftMs = 1; (leftMs > 0 || this.#renewal !== undefined) && !signal.aborted;) {
      await this.#renewal;
      await sleep(this.#runtime, this.throttledUntilMs - this.#runtime.now(), signal);
      // Meanwhile an answer may have prolonged it.
      leftMs = this.throttledUntilMs - this.#runtime.now();
    }
  }

  /** Heeds what an answer asks for. Returns for how many ms it wants quiet; 0 if it doesn't. */
  throttle(api: string, version: number, throttleTimeMs: number, nowMs: number): number {
    const throttleMs = Math.min(throttleTimeMs, MAX_THROTTLE_MS);
    if (throttleMs <= 0 || version < (CLIENT_THROTTLES_FROM[api] ?? 0)) return 0;
    this.throttledUntilMs = Math.max(this.throttledUntilMs, nowMs + throttleMs);
    this.throttleNote = `wants to be sent nothing for ${throttleMs} ms (throttle_time_ms of its answer to ${api})`;
    return throttleMs;
  }

  /**
   * The broker wants to see the credentials again within `lifetimeMs`, or it closes the connection (KIP-368). A
   * connection that is in use then renews its session at 85 to 95 % of that, an idle one before its next request.
   */
  keepSession(lifetimeMs: number, isInUse: () => boolean): void {
    this.#sessionTimer?.cancel();
    if (lifetimeMs <= 0 || this.#ended.signal.aborted) return;
    const share = LEAST_SESSION_SHARE + SESSION_JITTER * this.#runtime.random();
    this.#sessionTimer = this.#runtime.setTimer(() => {
      this.#isRenewalDue = true;
      if (isInUse()) void this.renewal();
    }, lifetimeMs * share);
  }

  /** Renews the session if that is due. Returns what settles when it is renewed; undefined if it isn't being renewed. */
  renewal(): Promise<void> | undefined {
    if (this.#isRenewalDue && this.#renewal === undefined) {
      this.#isRenewalDue = false;
      const shown = this.#renew(this.#ended.signal);
      if (shown !== undefined) {
        this.#renewal = new Promise<void>((resolve) => {
          this.#endRenewal = resolve;
          void shown.then(resolve);
        }).finally(() => this.#renewal = undefined);
      }
    }
    return this.#renewal;
  }

  /** The connection has ended: what is held may fail now. */
  end(): void {
    this.#sessionTimer?.cancel();
    this.#ended.abort();
    this.#endRenewal?.();
  }
}
