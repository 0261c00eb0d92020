/**
 * The write queue and the life cycle that the four adapters share.
 *
 * A system call costs some microseconds whatever it carries, so small parts are copied together and big ones go by
 * reference. Only one send is ever under way: one staging buffer is enough, and what is written meanwhile makes up
 * the next send. That is where the coalescing comes from, without a timer.
 *
 * @module
 */

import { setTimer } from "./clock.ts";
import type { Socket, SocketEvents, Timer } from "./runtime.ts";

/** What an adapter implements. It reports back through {@link QueueSocket.received} and {@link QueueSocket.ended}. */
export interface SegmentSink {
  /** Several segments leave in one system call. */
  readonly gathers: boolean;
  /**
   * Sends the segments in order, then calls `done`, at once or later. Never called again before that. The segments
   * may be reused after `done`, not before. When it can't send it reports `ended()` and needs not call `done`.
   */
  send(segments: readonly Uint8Array[], done: () => void): void;
  /** Sends FIN after what was sent; reading goes on until the peer's own FIN. */
  shutdown(): void;
  /** Frees the socket now. Called once, also after an orderly end. */
  kill(): void;
  /** The process need not stay alive to read; it must, while `done` is outstanding. */
  unref?(): void;
}

/** Bytes that may wait before `write()` says that it is enough. */
const HIGH_WATER_BYTES = 1 << 20;
const STAGING_BYTES = 256 << 10;
/** Bytes in one send: more would only make `drained()` coarse. */
const SEND_BYTES = 1 << 20;
/** Far below every system's limit on the segments of one call. */
const SEND_SEGMENTS = 64;
/** How long the peer may take to read a send of what waited at `close()`, and then to answer our FIN with its own. */
const LINGER_MS = 2_000;

/** Parts that are shorter are copied next to each other: a segment of a send costs as much as copying this. */
const COPY_BELOW_BYTES = 64 << 10;
const COPY_BELOW_BYTES_WHERE_GATHERED = 32 << 10;
/** Places at the head of the queue that are sent are cut off when they are this many. */
const SENT_PLACES = 1_024;

/** A {@link Socket} on top of a {@link SegmentSink}. */
export class QueueSocket implements Socket {
  readonly #sink: SegmentSink;
  readonly #events: SocketEvents;
  readonly #copyBelowBytes: number;
  #queue: Uint8Array[] = [];
  #head = 0;
  #bufferedBytes = 0;
  #outstandingBytes = 0;
  #unsentAtEnd: number | undefined;
  #pumping = false;
  #staging: Uint8Array | undefined;
  #drained: Promise<void> | undefined;
  #resolveDrained: (() => void) | undefined;
  #state: "open" | "flushing" | "shut" | "ended" = "open";
  #linger: Timer | undefined;

  /** Takes over a sink that is connected. */
  constructor(sink: SegmentSink, events: SocketEvents) {
    this.#sink = sink;
    this.#events = events;
    this.#copyBelowBytes = sink.gathers ? COPY_BELOW_BYTES_WHERE_GATHERED : COPY_BELOW_BYTES;
  }

  /** Bytes that were written and not yet handed to the operating system. */
  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  /** Bytes that no send has been begun with. What waits when the socket ends is never sent. */
  get unsentBytes(): number {
    return this.#unsentAtEnd ?? this.#bufferedBytes - this.#outstandingBytes;
  }

  /** Queues the parts, and sends them now if nothing is under way. Ignored after `close()` and `destroy()`. */
  write(parts: Uint8Array | readonly Uint8Array[]): boolean {
    if (this.#state !== "open") return true;
    if (parts instanceof Uint8Array) this.#push(parts);
    else for (const part of parts) this.#push(part);
    this.#pump();
    return this.#bufferedBytes <= HIGH_WATER_BYTES;
  }

  /** Resolves when no more than the high water mark waits, or the socket has ended. */
  drained(): Promise<void> {
    if (this.#bufferedBytes <= HIGH_WATER_BYTES) return Promise.resolve();
    this.#drained ??= new Promise((resolve) => this.#resolveDrained = resolve);
    return this.#drained;
  }

  /** Sends what waits, then FIN. What comes from the peer after this is read and dropped. */
  close(): void {
    if (this.#state !== "open") return;
    this.#state = "flushing";
    this.#armLinger();
    this.#pump();
  }

  /** Ends now; what waits is dropped. */
  destroy(error?: Error): void {
    this.ended(error);
  }

  /** The process need not stay alive for what the peer may still say. */
  unref(): void {
    this.#sink.unref?.();
  }

  /** For the adapter: bytes have come. */
  received(chunk: Uint8Array): void {
    if (this.#state !== "open") return; // read on all the same: a close with unread bytes would be a reset
    try {
      this.#events.onData(chunk);
    } catch (error) {
      this.ended(error as Error);
    }
  }

  /** For the adapter: the stream is over, with the reason if it wasn't orderly. Only the first call counts. */
  ended(error?: Error): void {
    if (!this.#end()) return;
    // Not from within the owner's own call to destroy() or write().
    void Promise.resolve().then(() => this.#events.onClose(error));
  }

  /** For the adapter: nobody wants this socket any more, it connected too late. No event is raised. */
  abandon(): void {
    this.#end();
  }

  #end(): boolean {
    if (this.#state === "ended") return false;
    this.#state = "ended";
    this.#linger?.cancel();
    this.#unsentAtEnd = this.unsentBytes;
    this.#queue = [];
    this.#bufferedBytes = 0;
    this.#staging = undefined;
    this.#wakeDrained();
    this.#sink.kill();
    return true;
  }

  #push(part: Uint8Array): void {
    if (part.byteLength === 0) return;
    this.#queue.push(part);
    this.#bufferedBytes += part.byteLength;
  }

  /** A sink that is done at once comes back here from within `send`: the loop goes on instead of a recursion. */
  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    while (this.#outstandingBytes === 0 && this.#head < this.#queue.length) {
      this.#sink.send(this.#gather(), this.#sent);
    }
    this.#pumping = false;
    if (this.#state === "flushing" && this.#outstandingBytes === 0) {
      this.#state = "shut";
      this.#armLinger();
      this.#sink.shutdown();
    }
  }

  /** A peer that neither reads nor ends must not keep the socket, and with it the process, alive. */
  #armLinger(): void {
    this.#linger?.cancel();
    this.#linger = setTimer(() => this.ended(), LINGER_MS);
  }

  readonly #sent = (): void => {
    if (this.#state === "ended") return;
    if (this.#state === "flushing") this.#armLinger();
    this.#bufferedBytes -= this.#outstandingBytes;
    this.#outstandingBytes = 0;
    if (this.#bufferedBytes <= HIGH_WATER_BYTES) this.#wakeDrained();
    this.#pump();
  };

  #wakeDrained(): void {
    this.#resolveDrained?.();
    this.#resolveDrained = this.#drained = undefined;
  }

  /** Takes the next send's worth out of the queue. */
  #gather(): Uint8Array[] {
    const queue = this.#queue;
    const segments: Uint8Array[] = [];
    let bytes = 0;
    let staged = 0;
    let stagedFrom = 0;
    const alone = queue.length - this.#head === 1;
    while (this.#head < queue.length && segments.length < SEND_SEGMENTS && bytes < SEND_BYTES) {
      const part = queue[this.#head]!;
      if (alone || part.byteLength >= this.#copyBelowBytes) {
        if (staged > stagedFrom) segments.push(this.#staging!.subarray(stagedFrom, staged));
        stagedFrom = staged;
        segments.push(part);
      } else {
        if (staged + part.byteLength > STAGING_BYTES) break;
        this.#staging ??= new Uint8Array(STAGING_BYTES);
        this.#staging.set(part, staged);
        staged += part.byteLength;
      }
      bytes += part.byteLength;
      this.#head++;
    }
    if (staged > stagedFrom) segments.push(this.#staging!.subarray(stagedFrom, staged));
    if (this.#head === queue.length) {
      queue.length = this.#head = 0;
    } else if (this.#head >= SENT_PLACES) {
      this.#queue = queue.slice(this.#head); // a queue that never runs dry must still let go of what was sent
      this.#head = 0;
    }
    this.#outstandingBytes = bytes;
    return segments;
  }
}
