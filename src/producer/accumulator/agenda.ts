/**
 * Many deadlines, one timer: a heap of what falls due when.
 *
 * @module
 */

import type { Runtime, Timer } from "../../runtime/runtime.ts";
import { Truce } from "../../runtime/truce.ts";

/** Something that may fall due. It is on the agenda at most once. */
export interface Entry {
  /** Called when its time has come; it is off the agenda then. */
  onDue(): void;
  /** Among entries that fall due at the same moment, this one comes last. */
  readonly isLast?: boolean;
  /** Written by the agenda: place in the heap, −1 while it isn't on. */
  heapIndex: number;
  /** Written by the agenda: when it falls due, on the monotonic clock. */
  dueMs: number;
}

/** The deadlines of one producer. */
export class Agenda {
  /** What becomes of deadlines that are found late. */
  readonly truce: Truce = new Truce();
  readonly #runtime: Runtime;
  readonly #heap: Entry[] = [];
  #timer: Timer | undefined;
  #timerMs = Infinity;

  /** Takes the clock and the timers from the runtime. */
  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** Puts an entry on the agenda, or moves it. */
  set(entry: Entry, dueMs: number): void {
    if (entry.heapIndex < 0) entry.heapIndex = this.#heap.push(entry) - 1;
    entry.dueMs = dueMs;
    this.#up(entry.heapIndex);
    this.#down(entry.heapIndex);
    this.#arm();
  }

  /** Puts an entry on the agenda unless it falls due earlier anyway. */
  setEarlier(entry: Entry, dueMs: number): void {
    if (entry.heapIndex < 0 || dueMs < entry.dueMs) this.set(entry, dueMs);
  }

  /** Takes an entry off the agenda. */
  remove(entry: Entry): void {
    const index = entry.heapIndex;
    if (index < 0) return;
    entry.heapIndex = -1;
    const last = this.#heap.pop()!;
    if (last !== entry) {
      this.#heap[index] = last;
      last.heapIndex = index;
      this.#up(index);
      this.#down(last.heapIndex);
    }
    // A timer that is early finds nothing due; only the last entry takes it along, so that the runtime can rest.
    if (this.#heap.length === 0) this.#disarm();
  }

  /** Takes everything off. */
  clear(): void {
    for (const entry of this.#heap) entry.heapIndex = -1;
    this.#heap.length = 0;
    this.#disarm();
  }

  #arm(): void {
    const dueMs = this.#heap[0]?.dueMs ?? Infinity;
    if (dueMs >= this.#timerMs) return;
    this.#disarm();
    this.#timerMs = dueMs;
    this.#timer = this.#runtime.setTimer(() => this.#fire(), Math.max(0, dueMs - this.#runtime.now()));
  }

  #disarm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#timerMs = Infinity;
  }

  #fire(): void {
    const nowMs = this.#runtime.now();
    this.truce.onTimer(this.#timerMs, nowMs);
    this.#timer = undefined;
    this.#timerMs = Infinity;
    while (this.#heap.length > 0 && this.#heap[0]!.dueMs <= nowMs) {
      const entry = this.#heap[0]!;
      this.remove(entry);
      entry.onDue();
    }
    this.#arm();
  }

  #up(index: number): void {
    const entry = this.#heap[index]!;
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = this.#heap[parentIndex]!;
      if (!isBefore(entry, parent)) break;
      this.#heap[index] = parent;
      parent.heapIndex = index;
      index = parentIndex;
    }
    this.#heap[index] = entry;
    entry.heapIndex = index;
  }

  #down(index: number): void {
    const entry = this.#heap[index]!;
    while (true) {
      let child = 2 * index + 1;
      if (child >= this.#heap.length) break;
      if (child + 1 < this.#heap.length && isBefore(this.#heap[child + 1]!, this.#heap[child]!)) child++;
      const other = this.#heap[child]!;
      if (!isBefore(other, entry)) break;
      this.#heap[index] = other;
      other.heapIndex = index;
      index = child;
    }
    this.#heap[index] = entry;
    entry.heapIndex = index;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.dueMs < b.dueMs || (a.dueMs === b.dueMs && b.isLast === true && a.isLast !== true);
}
