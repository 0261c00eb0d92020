/**
 * What the parts of this folder take and give: something that sends records. Each can stand around each other.
 *
 * @module
 */

import { ignoreRejection, isObject, readSendOptions, refuse } from "../call_options.ts";
import { isKafkaError } from "../error_like.ts";
import { KafkaError } from "../errors.ts";
import type { ProducerLike, RecordMetadataLike, SendOptionsLike } from "../producer/producer_like.ts";
import type { ProducerRecord } from "../producer/record/record.ts";

/** Whatever sends records: a producer, a transaction, a double, or one of these parts around another. */
export type Sends<K = string | Uint8Array, V = string | Uint8Array> = Pick<ProducerLike<K, V>, "send">;

/** Refuses what can't send. */
export function checkSends(call: string, value: unknown): void {
  const isSender = isObject(value) && typeof (value as { readonly send?: unknown }).send === "function";
  if (!isSender) refuse("producer", `something with a method send, for ${call}`, value);
}

/** An error as the callbacks of a send take it: whatever was thrown, a {@link KafkaError}. */
export function kafkaErrorOf(error: unknown): KafkaError {
  return isKafkaError(error)
    ? error
    : new KafkaError("Sending the record failed.", { cause: error, persisted: "possibly" });
}

/**
 * A promise for the outcome of a send of several steps, with the caller's callbacks called before it settles. As with a
 * producer's own, a callback's throw changes nothing, and with one the promise may be left alone.
 */
export function withCallbacks(
  options: SendOptionsLike | undefined,
  run: (signal: AbortSignal | undefined) => Promise<RecordMetadataLike>,
): Promise<RecordMetadataLike> {
  const call = readSendOptions<KafkaError, RecordMetadataLike, unknown>("send", options);
  const attempt = async (): Promise<RecordMetadataLike> => {
    if (call?.refusal !== undefined) throw call.refusal;
    return await run(call?.signal);
  };
  if (!call?.hasCallback) return attempt();
  const outcome = attempt().then((metadata) => {
    quietly(() => call.onDelivery?.(null, metadata));
    quietly(() => call.onSuccess?.(metadata));
    return metadata;
  }, (error) => {
    const told = kafkaErrorOf(error);
    quietly(() => call.onDelivery?.(told, null));
    quietly(() => call.onError?.(told));
    throw error;
  });
  outcome.catch(() => {});
  return outcome;
}

/** Promises of parts that stand around a transaction, whose failures its commit tells as well. */
const toldByCommit = new WeakSet<object>();

/**
 * Sends by what a part stands around. Should that be a transaction, or stand around one, the commit tells of the failure
 * too; then the promise that `promise` returns, the part's own, may be left alone as the transaction's may. What the part
 * refuses by itself the commit knows nothing of.
 */
export async function sendBy<K, V>(
  producer: Sends<K, V>,
  record: ProducerRecord<K, V>,
  signal: AbortSignal | undefined,
  promise: () => Promise<unknown>,
): Promise<RecordMetadataLike> {
  const sent = producer.send(record, signal === undefined ? undefined : { signal });
  try {
    return await sent;
  } catch (error) {
    const isTransaction = typeof (producer as { readonly commit?: unknown }).commit === "function";
    if (isTransaction || toldByCommit.has(sent)) {
      const own = promise();
      own.catch(() => {});
      toldByCommit.add(own);
    }
    throw error;
  }
}

/** True if somebody is called back, who hears of a failure: then the promise may be left alone. */
export function hasCallback(options: SendOptionsLike | undefined): boolean {
  return readSendOptions<KafkaError, RecordMetadataLike, unknown>("send", options)?.hasCallback === true;
}

/** Calls what the caller has given; what it throws, or rejects with, changes nothing. */
export function quietly(callback: () => unknown): void {
  try {
    ignoreRejection(callback());
  } catch {
    // The outcome stands.
  }
}
