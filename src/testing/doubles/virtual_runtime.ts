/**
 * A runtime in which time passes only when the test says so.
 *
 * What is due happens in a fixed order (by time, then by the order in which it was asked for), and between two
 * events every promise reaction runs, however long the chain: the drain is a turn of the real event loop, not a
 * number of awaits. What waits for the real world instead (a zlib stream, a real socket) is not seen; wrap it in
 * {@link VirtualRuntime.outside} or, better, use codecs that answer at once.
 *
 * @module
 */

import { ConfigError, ConnectionError, TimeoutError } from "../../errors.ts";
import type { Runtime, Socket, SocketFactory, Timer } from "../../runtime/runtime.ts";
import { systemRuntime } from "../../runtime/select.ts";
import { seededRandom } from "./random.ts";

/** How a {@link VirtualRuntime} starts. */
export interface VirtualRuntimeOptions {
  /** Where `random()` starts. @default 1 */
  readonly seed?: number;
  /** What `wallNow()` says at the start, in ms since the epoch. @default 2026-01-01T00:00:00Z */
  readonly wallStartMs?: number;
  /** What `sockets` is at first; without it every connection is refused. */
  readonly sockets?: SocketFactory;
}

const noSockets: SocketFactory = {
  name: "none",
  can: { ca: false, clientCert: false, serverName: false, skipHostname: false, insecure: false, detached: true },
  connect({ host, port }): Promise<Socket> {
    return Promise.reject(
      new ConnectionError(`Connect to "${host}:${port}" failed, the virtual runtime was given no sockets.`),
    );
  },
};

/** Turns at one instant after which it is taken for a loop that never waits. */
const TURNS_PER_INSTANT = 100_000;

/**
 * Virtual time, deferred calls and randomness for the client and the embedded cluster.
 *
 * @example
 * ```ts
 * import { VirtualRuntime } from "@sluice/kafka/testing";
 *
 * const runtime = new VirtualRuntime({ seed: 7 });
 * let fired = false;
 * runtime.setTimer(() => fired = true, 60_000);
 * await runtime.advance(60_000);
 * console.assert(fired && runtime.now() === 60_000);
 * ```
 */
export class VirtualRuntime implements Runtime {
  /** Always `"virtual"`. */
  readonly name = "virtual";
  /** Where connections come from; a test sets it to a cluster's sockets. */
  sockets: SocketFactory;
  readonly #wallStartMs: number;
  readonly #random: () => number;
  readonly #defer: Runtime["defer"] = systemRuntime(noSockets).defer;
  readonly #timers = new TimerQueue();
  readonly #outside = new Set<Promise<unknown>>();
  #deferred: (() => void)[] = [];
  #nowMs = 0;
  #running = false;

  /** Starts at 0 ms. */
  constructor(options: VirtualRuntimeOptions = {}) {
    this.#wallStartMs = options.wallStartMs ?? Date.UTC(2026, 0, 1);
    this.#random = seededRandom(options.seed ?? 1);
    this.sockets = options.sockets ?? noSockets;
  }

  /** How many timers are set and have neither fired nor been cancelled. */
  get pendingTimers(): number {
    return this.#timers.active;
  }

  /** How many deferred calls wait for the next turn. */
  get pendingDeferred(): number {
    return this.#deferred.length;
  }

  /** In how many ms the next timer is due, if one is set. */
  get nextTimerInMs(): number | undefined {
    const next = this.#timers.peek();
    return next === undefined ? undefined : Math.max(0, next.atMs - this.#nowMs);
  }

  /** Virtual milliseconds since the start. */
  now(): number {
    return this.#nowMs;
  }

  /** The virtual date, in ms since the epoch. */
  wallNow(): number {
    return this.#wallStartMs + Math.floor(this.#nowMs);
  }

  /** Calls back when virtual time has come that far; never during the call itself. */
  setTimer(callback: () => void, delayMs: number): Timer {
    return this.#timers.add(this.#nowMs + Math.max(0, delayMs), callback);
  }

  /** Calls back in the next turn, at the same virtual time. */
  defer(callback: () => void): void {
    this.#deferred.push(callback);
  }

  /** The next number that the seed gives. */
  random(): number {
    return this.#random();
  }

  /** Holds the clock until a promise of the real world has settled, such as a codec's that works in a thread. */
  outside<T>(promise: Promise<T>): Promise<T> {
    this.#outside.add(promise);
    const done = (): void => void this.#outside.delete(promise);
    promise.then(done, done);
    return promise;
  }

  /** Runs all that is due now, and what follows from it, until nothing more can happen without time passing. */
  settle(): Promise<void> {
    return this.#exclusively(() => this.#drain());
  }

  /** Lets time pass; everything that falls due happens at its own time and in order. */
  advance(durationMs: number): Promise<void> {
    return this.#exclusively(async () => {
      const endMs = this.#nowMs + durationMs;
      await this.#drain();
      while (this.#jumpToNext(endMs)) await this.#drain();
      this.#nowMs = endMs;
      await this.#drain();
    });
  }

  /**
   * Lets time pass until a promise has settled, whose outcome it returns, or a predicate is true.
   *
   * Rejects with a `TimeoutError` when the limit has passed, and at once when nothing is left that could happen.
   */
  runUntil<T>(goal: Promise<T>, limitMs?: number): Promise<T>;
  /** Lets time pass until the predicate is true; it is asked after everything that happens. */
  runUntil(goal: () => boolean, limitMs?: number): Promise<void>;
  runUntil<T>(goal: Promise<T> | (() => boolean), limitMs = 600_000): Promise<T | void> {
    return this.#exclusively(async () => {
      const endMs = this.#nowMs + limitMs;
      let settled = false;
      if (typeof goal !== "function") goal.then(() => settled = true, () => settled = true);
      const reached = typeof goal === "function" ? goal : () => settled;
      await this.#drain(reached);
      while (!reached()) {
        if (!this.#jumpToNext(endMs)) {
          const why = this.#timers.active === 0 ? "nothing is left that could happen" : `${limitMs} ms have passed`;
          throw new TimeoutError(`Waited in vain until ${this.#nowMs} ms of virtual time: ${why}.`);
        }
        await this.#drain(reached);
      }
      return typeof goal === "function" ? undefined : await goal;
    });
  }

  async #exclusively<T>(run: () => Promise<T>): Promise<T> {
    if (this.#running) {
      throw new ConfigError("advance", "Virtual time is already being driven, await the first call before the next.");
    }
    this.#running = true;
    try {
      return await run();
    } finally {
      this.#running = false;
    }
  }

  async #drain(reached?: () => boolean): Promise<void> {
    for (let turns = 0; turns < TURNS_PER_INSTANT; turns++) {
      // Every promise reaction runs before the event loop's next turn.
      await new Promise<void>((resolve) => this.#defer(resolve));
      if (this.#outside.size > 0) {
        await Promise.allSettled(this.#outside);
        continue;
      }
      if (reached?.()) return;
      if (this.#deferred.length > 0) {
        const callbacks = this.#deferred;
        this.#deferred = [];
        for (const callback of callbacks) callback();
        continue;
      }
      const due = this.#timers.peek();
      if (due === undefined || due.atMs > this.#nowMs) return;
      this.#timers.pop()!.callback();
    }
    throw new TimeoutError(
      `Virtual time stands still at ${this.#nowMs} ms: something was due ${TURNS_PER_INSTANT} times without a pause.`,
    );
  }

  #jumpToNext(endMs: number): boolean {
    const next = this.#timers.peek();
    if (next === undefined || next.atMs > endMs) return false;
    this.#nowMs = Math.max(this.#nowMs, next.atMs);
    return true;
  }
}

interface Scheduled extends Timer {
  readonly atMs: number;
  readonly order: number;
  readonly callback: () => void;
}

/** Below so many timers it doesn't matter how many of them are cancelled. */
const SWEPT_FROM = 64;

/**
 * A binary heap by time, then by the order of asking. Cancelled timers leave it when they come to the top, or all at
 * once when they are the most of it.
 */
class TimerQueue {
  #heap: Scheduled[] = [];
  readonly #live = new Set<Scheduled>();
  #order = 0;

  get active(): number {
    return this.#live.size;
  }

  add(atMs: number, callback: () => void): Timer {
    if (this.#heap.length > SWEPT_FROM && this.#live.size < this.#heap.length / 2) this.#sweep();
    const timer: Scheduled = { atMs, order: this.#order++, callback, cancel: () => void this.#live.delete(timer) };
    this.#live.add(timer);
    const heap = this.#heap;
    let index = heap.push(timer) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!isBefore(timer, heap[parent]!)) break;
      heap[index] = heap[parent]!;
      index = parent;
    }
    heap[index] = timer;
    return timer;
  }

  peek(): Scheduled | undefined {
    while (this.#heap.length > 0 && !this.#live.has(this.#heap[0]!)) this.#removeTop();
    return this.#heap[0];
  }

  pop(): Scheduled | undefined {
    const top = this.peek();
    if (top !== undefined) {
      this.#live.delete(top);
      this.#removeTop();
    }
    return top;
  }

  #sweep(): void {
    // A sorted list is a heap.
    this.#heap = [...this.#live].sort((one, other) => isBefore(one, other) ? -1 : 1);
  }

  #removeTop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[index] = heap[child]!;
      index = child;
    }
    heap[index] = last;
  }
}

function isBefore(one: Scheduled, other: Scheduled): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order);
}
