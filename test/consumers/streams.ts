/** Streams as whoever pipes into a producer has them: those of the DOM's types or of Node's. */

import { Producer } from "@sluice/kafka";

/** Compiled, never run. */
export async function pipe(
  lines: ReadableStream<string>,
  bytes: ReadableStream<Uint8Array>,
  records: ReadableStream<{ topic: string; key: string; value: string }>,
): Promise<void> {
  const producer = new Producer({ brokers: "localhost:9092" });
  await lines.pipeTo(producer.writable("lines"));
  await bytes.pipeTo(producer.writable("bytes"), { preventClose: true });
  await records.pipeTo(producer.writable());
  const wanted: WritableStream<string> = producer.writable("lines");
  // @ts-expect-error a producer takes no numbers
  const other: WritableStream<number> = producer.writable("lines");
  await Promise.all([wanted.close(), other.close()]);
}
