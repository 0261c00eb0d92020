/**
 * The way to one broker: which partitions have something for it, and how many of its slots are free.
 *
 * @module
 */

import type { Connection } from "../../cluster/connection.ts";
import type { Entry } from "../accumulator/agenda.ts";
import type { Partition } from "../accumulator/partition.ts";
import { overheadBound } from "./produce_request.ts";
import { RequestLimit } from "./request_limit.ts";

/** The way to one broker. It is on the agenda while the broker wants to be left alone (throttling). */
export class Lane implements Entry {
  readonly nodeId: number;
  /** Partitions whose first batch may be due. */
  ready: Partition[] = [];
  /**
   * Partitions whose request may be too large. It goes when nothing else is in flight: what is sent behind it would be lost
   * with it.
   */
  readonly large: Partition[] = [];
  /** Such a request is in flight. */
  isTrying = false;
  /** Requests without an answer. */
  inFlight = 0;
  connecting = false;
  /** How large a request may be. */
  readonly limit: RequestLimit = new RequestLimit();
  /** The connection whose end was looked into last. */
  ended: Connection | undefined;
  /** The broker seems to have ended that one because of a request that it didn't want to read. */
  endedForSize = false;
  readonly onDue: () => void;
  heapIndex = -1;
  dueMs = 0;

  /** A lane with all slots free; `onDue` hears when a throttle is over. */
  constructor(nodeId: number, onDue: () => void) {
    this.nodeId = nodeId;
    this.onDue = onDue;
  }

  /** True when a request with nothing but this batch is as large as those on which the broker hangs up. */
  isLarge({ topic }: Partition, bytes: number, clientId: string, nowMs: number): boolean {
    return bytes + overheadBound(topic.name, clientId) >= this.limit.cutBytes(nowMs);
  }

  /** A request has ended. */
  freeSlot(): void {
    this.inFlight -= 1;
    if (this.inFlight > 0) return;
    this.ready.unshift(...this.large.splice(0));
    this.isTrying = false;
  }
}
