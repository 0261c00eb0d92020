import assert from "node:assert/strict";
import { Agenda, type Entry } from "../../src/producer/accumulator/agenda.ts";
import { BufferMemory, type MemoryWaiter } from "../../src/producer/accumulator/buffer_memory.ts";
import { BufferPool } from "../../src/producer/accumulator/buffer_pool.ts";
import { TurnClock } from "../../src/producer/accumulator/turn_clock.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { seededRandom, VirtualRuntime } from "../../src/testing/mod.ts";
import { dice } from "../stage.ts";
import { test } from "../harness.ts";

class Due implements Entry {
  heapIndex = -1;
  dueMs = 0;
  readonly firedAt: number[] = [];
  readonly onDue: () => void;

  constructor(runtime: VirtualRuntime, also: () => void = () => {}) {
    this.onDue = () => {
      this.firedAt.push(runtime.now());
      also();
    };
  }
}

test("agenda: thousands of random sets, moves and removals fire each entry once, at its time, with one timer", async () => {
  const runtime = new VirtualRuntime();
  const agenda = new Agenda(runtime);
  const roll = dice(seededRandom(31));
  const entries = Array.from({ length: 200 }, () => new Due(runtime));
  const wanted = new Map<Due, number>();
  const expected = new Map<Due, number[]>(entries.map((entry) => [entry, []]));
  for (let round = 0; round < 4_000; round++) {
    const entry = entries[roll(entries.length)]!;
    const dueMs = runtime.now() + roll(300);
    switch (roll(4)) {
      case 0:
      case 1:
        agenda.set(entry, dueMs);
        wanted.set(entry, dueMs);
        break;
      case 2:
        agenda.setEarlier(entry, dueMs);
        wanted.set(entry, Math.min(wanted.get(entry) ?? Infinity, dueMs));
        break;
      default:
        agenda.remove(entry);
        wanted.delete(entry);
    }
    assert.ok(runtime.pendingTimers <= 1);
    if (roll(8) !== 0) continue;
    const untilMs = runtime.now() + roll(40);
    for (const [other, atMs] of [...wanted]) {
      if (atMs > untilMs) continue;
      expected.get(other)!.push(Math.max(atMs, runtime.now()));
      wanted.delete(other);
    }
    await runtime.advance(untilMs - runtime.now());
  }
  await runtime.advance(1_000);
  for (const [entry, atMs] of wanted) expected.get(entry)!.push(atMs);
  for (const entry of entries) {
    assert.deepEqual(entry.firedAt, expected.get(entry));
    assert.equal(entry.heapIndex, -1);
  }
  assert.equal(runtime.pendingTimers, 0);
});

test("agenda: an entry may set itself and others again, or clear all, while it fires", async () => {
  const runtime = new VirtualRuntime();
  const agenda = new Agenda(runtime);
  const other: Due = new Due(runtime);
  const again: Due = new Due(runtime, () => {
    if (again.firedAt.length < 3) agenda.set(again, runtime.now() + 10);
    if (again.firedAt.length === 2) agenda.set(other, runtime.now());
  });
  agenda.set(again, 5);
  await runtime.advance(100);
  assert.deepEqual([again.firedAt, other.firedAt], [[5, 15, 25], [15]]);
  const rest = Array.from({ length: 5 }, () => new Due(runtime, () => agenda.clear()));
  for (const entry of rest) agenda.set(entry, 200);
  await runtime.advance(1_000);
  assert.equal(rest.filter(({ firedAt }) => firedAt.length > 0).length, 1);
  assert.equal(runtime.pendingTimers, 0);
});

test("agenda: nothing left on it is no timer, so that a process can end", () => {
  const runtime = new VirtualRuntime();
  const agenda = new Agenda(runtime);
  const entries = Array.from({ length: 10 }, () => new Due(runtime));
  for (const [i, entry] of entries.entries()) agenda.set(entry, 100 - i);
  assert.equal(runtime.pendingTimers, 1);
  for (const entry of entries) agenda.remove(entry);
  assert.equal(runtime.pendingTimers, 0);
  agenda.set(entries[0]!, 50);
  agenda.clear();
  assert.equal(runtime.pendingTimers, 0);
});

const CLOCK = { nowMs: 0, polls: 0 };

class Waiter implements MemoryWaiter {
  gone = false;
  served = 0;
  readonly isLast = true;
  readonly bytesWanted: number;
  readonly #log: number[];

  constructor(bytesWanted: number, log: number[] = []) {
    this.bytesWanted = bytesWanted;
    this.#log = log;
  }

  onMemory(): void {
    this.served++;
    this.#log.push(this.bytesWanted);
  }
}

test("buffer memory: waiters are served in the order of their coming, a large one before later small ones", () => {
  const memory = new BufferMemory(1_000, CLOCK);
  memory.reserve(900);
  const log: number[] = [];
  for (const bytes of [500, 10, 20]) memory.wait(new Waiter(bytes, log));
  assert.equal(memory.has(1), false, "whoever comes now goes to the end of the line");
  memory.release(300);
  assert.deepEqual([log, memory.availableBytes], [[], 400]);
  memory.release(200);
  assert.deepEqual([log, memory.availableBytes], [[500, 10, 20], 70]);
  assert.equal(memory.contended, false);
});

test("buffer memory: those who have gone are passed over and get nothing", () => {
  const memory = new BufferMemory(100, CLOCK);
  memory.reserve(100);
  const [first, second] = [new Waiter(80), new Waiter(50)];
  memory.wait(first);
  memory.wait(second);
  first.gone = true;
  memory.release(60);
  assert.deepEqual([first.served, second.served, memory.availableBytes], [0, 1, 10]);
});

test("buffer memory: 20,000 random reservations and waits lose no byte and overtake nobody", () => {
  const roll = dice(seededRandom(12));
  const memory = new BufferMemory(10_000, CLOCK);
  const line: Waiter[] = [];
  const served: Waiter[] = [];
  const held: number[] = [];
  for (let round = 0; round < 20_000; round++) {
    if (roll(2) === 0) {
      const bytes = 1 + roll(2_000);
      if (memory.has(bytes)) {
        memory.reserve(bytes);
        held.push(bytes);
      } else {
        const waiter: Waiter = new Waiter(bytes);
        waiter.onMemory = () => {
          served.push(waiter);
          held.push(bytes);
        };
        line.push(waiter);
        memory.wait(waiter);
      }
    } else if (held.length > 0) {
      memory.release(held.splice(roll(held.length), 1)[0]!);
    }
    if (roll(20) === 0 && line.length > served.length) {
      const waiting = line.filter((waiter) => !served.includes(waiter) && !waiter.gone);
      if (waiting.length > 0) waiting[roll(waiting.length)]!.gone = true;
      for (let at = line.length - 1; at >= 0; at--) if (line[at]!.gone) line.splice(at, 1);
      memory.serve();
    }
    assert.equal(memory.availableBytes, 10_000 - held.reduce((sum, bytes) => sum + bytes, 0));
    assert.ok(memory.availableBytes >= 0);
    assert.deepEqual(served, line.slice(0, served.length));
    if (served.length > 50) {
      line.splice(0, served.length);
      served.length = 0;
    }
  }
});

test("buffer pool: gives buffers of at least the size, used ones again, and keeps no more than its bound", () => {
  const pool = new BufferPool(4_096);
  assert.equal(pool.take(0).length, 256);
  assert.equal(pool.take(1_024).length, 1_024);
  assert.equal(pool.take(1_025).length, 2_048);
  assert.equal(pool.take(3_000_000).length, 4_194_304);
  const buffers = [pool.take(2_000), pool.take(2_000), pool.take(2_000)];
  for (const buffer of buffers) pool.give(buffer);
  const again = [pool.take(2_000), pool.take(2_000), pool.take(2_000)];
  assert.equal(again.filter((buffer) => buffers.includes(buffer)).length, 2, "the third was above the bound");
  assert.equal(new Set(again).size, 3, "nobody shares a buffer");
});

test("buffer pool: very large buffers are not kept", () => {
  const pool = new BufferPool(2 ** 30);
  const large = pool.take(2 ** 20 + 1);
  pool.give(large);
  assert.notEqual(pool.take(2 ** 20 + 1), large);
  const kept = pool.take(2 ** 20);
  pool.give(kept);
  assert.equal(pool.take(2 ** 20), kept);
});

test("turn clock: what is to be done after a turn is done once, in its one deferral and at the time of the next", () => {
  const deferred: (() => void)[] = [];
  let nowMs = 0;
  const runtime = { now: () => nowMs, wallNow: () => 0, defer: (callback: () => void) => void deferred.push(callback) };
  const clock = new TurnClock(runtime as Partial<Runtime> as Runtime);
  const seen: number[] = [];
  assert.equal(clock.nowMs, 0);
  for (let i = 0; i < 2; i++) clock.afterTurn(() => void seen.push(clock.nowMs));
  nowMs = 7;
  assert.equal(clock.nowMs, 0);
  for (let turn = 0; turn < 3; turn++) {
    assert.ok(deferred.length <= 1, "one deferral a turn");
    deferred.pop()?.();
  }
  assert.deepEqual(seen, [7]);
  clock.afterTurn(() => void seen.push(-1));
  deferred.pop()!();
  assert.deepEqual(seen, [7, -1]);
});

test("turn clock: counts one look at the sockets for as many turns as the runtime takes for it", () => {
  const deferred: (() => void)[] = [];
  const defer = (callback: () => void): void => void deferred.push(callback);
  const [each, fourth] = [undefined, 4].map((turnsPerPoll) =>
    new TurnClock({ now: () => 0, wallNow: () => 0, defer, turnsPerPoll } as Partial<Runtime> as Runtime)
  );
  for (let turns = 0; turns < 8; turns++) {
    for (const clock of [each!, fourth!]) assert.equal(clock.nowMs + clock.wallMs, 0);
    for (const forget of deferred.splice(0)) forget();
  }
  assert.deepEqual([each!.polls, fourth!.polls], [8, 2]);
});
