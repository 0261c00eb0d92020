/**
 * A record that has its memory and waits for the metadata of its topic.
 *
 * @module
 */

import { copyOfBytes } from "../../byte_arrays.ts";
import type { RecordBytes } from "../../protocol/record_batch.ts";
import type { TopicQueues, TopicWaiter } from "../accumulator/topic_queues.ts";
import type { Moment } from "../accumulator/turn_clock.ts";
import type { KeptRecord } from "../record/kept_record.ts";
import type { Receipt } from "../record/receipt.ts";

/** What is kept of a record besides its bytes. */
export interface Waiting {
  /** The partition that the caller chose. */
  readonly partition: number | undefined;
  /** The timestamp that the caller chose. */
  readonly timestamp: number | undefined;
  /** There for a partitioner that wants to see it. */
  readonly record: KeptRecord | undefined;
  readonly receipt: Receipt;
  /** Its place in the order of all that ever waited. */
  readonly ordinal: number;
}

/** A record that has its memory and waits for metadata. Its bytes are its own. */
export class WaitingSend implements TopicWaiter {
  readonly topic: TopicQueues;
  /** When it was handed over: all time limits count from here. */
  readonly since: Moment;
  readonly waiting: Waiting;
  readonly bytes: RecordBytes;
  /** What it has of the buffer memory. */
  readonly reservedBytes: number;
  gone = false;

  readonly #room: { onTopic(send: WaitingSend): boolean };

  /** Waits until its room says that it need not wait any more. */
  constructor(
    topic: TopicQueues,
    since: Moment,
    waiting: Waiting,
    bytes: RecordBytes,
    reservedBytes: number,
    room: { onTopic(send: WaitingSend): boolean },
  ) {
    this.topic = topic;
    this.since = since;
    this.waiting = waiting;
    this.bytes = bytes;
    this.reservedBytes = reservedBytes;
    this.#room = room;
  }

  onTopic(): boolean {
    return this.#room.onTopic(this);
  }
}

/** A copy of a record's bytes that shares nothing with them. */
export function copyOf({ key, keyLength, value, valueLength, headers, headersLength }: RecordBytes): RecordBytes {
  return {
    key: key && copyOfBytes(key, keyLength),
    keyLength,
    value: value && copyOfBytes(value, valueLength),
    valueLength,
    headers: headers && copyOfBytes(headers, headersLength),
    headersLength,
  };
}
