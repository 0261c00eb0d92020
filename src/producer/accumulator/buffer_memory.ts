/**
 * The memory that records may take until they have an outcome, and the queue of those that wait for it.
 *
 * @module
 */

import { BufferFullError } from "../../errors.ts";
import type { TurnClock } from "./turn_clock.ts";

/** What a record takes beside its bytes, about, while it has no outcome; most of it is the caller's promise. */
export const OBJECT_BYTES = 256;

/**
 * What a record of this many bytes counts for: no less than its objects take, or millions of empty records would fit. With
 * larger records, the objects take at most about as much as the buffer memory itself.
 */
export function chargeFor(bytes: number): number {
  return bytes < OBJECT_BYTES ? OBJECT_BYTES : bytes;
}

/** Something that waits for memory. */
export interface MemoryWaiter {
  /** How many bytes are wanted. */
  readonly bytesWanted: number;
  /** False if it wants more after that, and stays where it is. */
  readonly isLast: boolean;
  /** It has its outcome (timed out, aborted, closed) and is passed over. */
  readonly gone: boolean;
  /** The bytes have been reserved. */
  onMemory(): void;
}

/**
 * Bytes that the queue may hold while nothing comes free. Within one turn, and while a broker takes what it is given, the
 * queue is as long as callers make it; with a broker that stands still, the process holds `bufferMemory` and this.
 */
const QUEUE_BYTES = 8_388_608;
/** After this long in which nothing came free, nothing is expected to soon. */
const STALLED_AFTER_MS = 100;
/** The same while no answer could have been read, because the runtime hasn't looked at its sockets. */
const UNPOLLED_STALL_MS = 500;
/** For this long, memory that came free because records expired says nothing good of the broker. */
const FORGOTTEN_AFTER_MS = 1_000;
/** Waiters that ended in the middle of the queue are swept out when they are this many, and more than the others. */
const SWEEP_AFTER = 1_024;

type Clock = Pick<TurnClock, "nowMs" | "polls">;

/** Counts bytes; hands what comes free to the waiter that has waited longest. */
export class BufferMemory {
  /** All there is, in bytes. */
  readonly totalBytes: number;
  /** What is left, in bytes. Below 0 for a moment when a batch's header didn't fit any more. */
  availableBytes: number;

  readonly #clock: Clock;
  readonly #onUse: (inUse: boolean) => void;
  #inUse = false;
  #queue: MemoryWaiter[] = [];
  #head = 0;
  #goneInQueue = 0;
  #queuedBytes = 0;
  #progressMs = -Infinity;
  #progressPolls = 0;
  #expiredMs = -Infinity;
  #serving = false;
  #refusal: BufferFullError | undefined;
  #refusedMs = 0;

  /** Starts with everything free; `onUse` is called when some of it is taken, and when all of it is free again. */
  constructor(totalBytes: number, clock: Clock, onUse: (inUse: boolean) => void = () => {}) {
    this.totalBytes = totalBytes;
    this.availableBytes = totalBytes;
    this.#clock = clock;
    this.#onUse = onUse;
  }

  /** True while something waits. A new record goes to the end of the queue then, even if there were room. */
  get contended(): boolean {
    while (this.#head < this.#queue.length && this.#queue[this.#head]!.gone) {
      this.#shift();
      this.#goneInQueue -= 1;
    }
    return this.#head < this.#queue.length;
  }

  /** Bytes that the waiters hold. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** True if `bytes` can be had at once. */
  has(bytes: number): boolean {
    return bytes <= this.availableBytes && (this.#queue.length === 0 || !this.contended);
  }

  /** Takes bytes. The caller has asked {@link has} before. */
  reserve(bytes: number): void {
    if (this.availableBytes === this.totalBytes) this.#begin();
    this.availableBytes -= bytes;
  }

  /** The first after a pause. What is empty because all of it has expired is nothing to go by. */
  #begin(): void {
    if (this.#clock.nowMs - this.#expiredMs >= FORGOTTEN_AFTER_MS) this.#progress();
    if (!this.#inUse) this.#setInUse(true);
  }

  /**
   * Gives bytes back and serves the waiters that can be served now. `answered`: true if a broker's answer has freed them,
   * false if their time was up without one.
   */
  release(bytes: number, answered?: boolean): void {
    if (answered) this.#progress();
    else if (answered === false) this.#expiredMs = this.#clock.nowMs;
    this.availableBytes += bytes;
    this.serve();
    if (this.availableBytes === this.totalBytes && this.#inUse) this.#setInUse(false);
  }

  /**
   * The error for a send that would add `bytesHeld` to the queue, or undefined if it may wait. Thousands can be rejected in
   * one turn, so they share one error object.
   */
  refusal(bytesHeld: number): BufferFullError | undefined {
    if (this.#queuedBytes + bytesHeld <= QUEUE_BYTES) return undefined;
    const { nowMs, polls } = this.#clock;
    const patienceMs = polls - this.#progressPolls < 1 ? UNPOLLED_STALL_MS : STALLED_AFTER_MS;
    if (nowMs - this.#progressMs < patienceMs) return undefined;
    if (this.#refusal === undefined || this.#refusedMs !== nowMs) {
      this.#refusedMs = nowMs;
      this.#refusal = new BufferFullError(
        `Await sends, use produce() and ready(), or raise "bufferMemory": all ${this.totalBytes} bytes are taken, ` +
          `nothing comes free, and ${this.#queuedBytes} bytes wait in line.`,
      );
    }
    return this.#refusal;
  }

  /** The waiters, in order. */
  *queue(): Generator<MemoryWaiter, void, undefined> {
    for (let at = this.#head; at < this.#queue.length; at++) if (!this.#queue[at]!.gone) yield this.#queue[at]!;
  }

  /** Puts a waiter at the end of the queue. */
  wait(waiter: MemoryWaiter): void {
    this.#queue.push(waiter);
  }

  /** The waiters hold this many bytes more, or less. */
  addHeld(bytes: number): void {
    this.#queuedBytes += bytes;
  }

  /** A waiter in the queue has ended without memory. */
  abandon(): void {
    this.#goneInQueue += 1;
    if (this.#goneInQueue < SWEEP_AFTER || this.#goneInQueue * 2 < this.#queue.length - this.#head) return;
    this.#queue = this.#queue.slice(this.#head).filter(({ gone }) => !gone);
    this.#head = 0;
    this.#goneInQueue = 0;
  }

  /** Serves the waiters in order; stops at the first for which there isn't enough, so that none overtakes another. */
  serve(): void {
    if (this.#serving) return;
    this.#serving = true;
    try {
      while (this.contended) {
        const waiter = this.#queue[this.#head]!;
        if (waiter.bytesWanted > this.availableBytes) break;
        this.reserve(waiter.bytesWanted);
        if (waiter.isLast) this.#shift();
        waiter.onMemory();
      }
    } finally {
      this.#serving = false;
    }
  }

  #setInUse(inUse: boolean): void {
    this.#inUse = inUse;
    this.#onUse(inUse);
  }

  #progress(): void {
    this.#progressMs = this.#clock.nowMs;
    this.#progressPolls = this.#clock.polls;
  }

  #shift(): void {
    // What a list still names isn't garbage yet.
    this.#queue[this.#head] = SERVED;
    this.#head += 1;
    if (this.#head === this.#queue.length) {
      this.#queue = [];
      this.#head = 0;
    } else if (this.#head >= SWEEP_AFTER && this.#head * 2 >= this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
  }
}

const SERVED: MemoryWaiter = { bytesWanted: 0, isLast: true, gone: true, onMemory: () => {} };
