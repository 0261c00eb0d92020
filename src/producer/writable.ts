/**
 * A producer as the end of a stream.
 *
 * @module
 */

import type { KafkaError } from "../errors.ts";
import { keep } from "./record/kept_record.ts";
import { onAbort } from "../runtime/on_abort.ts";
import type { DeliveryCallback, ProducerRecord } from "./record/record.ts";

/** What a stream needs of a producer. */
export interface StreamTarget<K, V> {
  produce(record: ProducerRecord<K, V>, onDelivery?: DeliveryCallback): boolean;
  ready(): Promise<void>;
  flush(): Promise<void>;
}

/**
 * A stream that takes records, or the values of one topic's records. A write waits while the buffer is full; the
 * first record that fails errors the stream; closing it flushes, and the producer stays open.
 *
 * A stream queues chunks by reference and hands them on later. It asks for the size of each at once, when it is written,
 * and so that is the moment to keep the bytes as they are.
 */
export function writableOf<K, V, C>(
  producer: StreamTarget<K, V>,
  toRecord: (chunk: C) => ProducerRecord<K, V>,
): WritableStream<C> {
  let failure: KafkaError | undefined;
  let controller: WritableStreamDefaultController;
  const written: ProducerRecord<K, V>[] = [];
  const onDelivery: DeliveryCallback = (error) => {
    if (error === null || failure !== undefined) return;
    failure = error;
    controller.error(error);
  };
  return new WritableStream<C>({
    start(started) {
      controller = started;
    },
    async write(chunk) {
      const record = written.shift() ?? keep(toRecord(chunk));
      while (!producer.produce(record, onDelivery)) await unlessAborted(producer.ready(), controller.signal);
    },
    async close() {
      await producer.flush();
      if (failure !== undefined) throw failure;
    },
  }, {
    highWaterMark: 1,
    size(chunk) {
      written.push(keep(toRecord(chunk)));
      return 1;
    },
  });
}

/** Who aborts a stream doesn't wait for room in the buffer. */
function unlessAborted(ready: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const ignore = signal && onAbort(signal, () => reject(signal.reason));
    ready.then(resolve, reject).finally(ignore);
  });
}
