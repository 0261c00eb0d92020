/**
 * Where a batch is on its way, and which ways lead on.
 *
 * A phase says which list of its partition a batch is on. Whether it was sent before is another question (`drained`),
 * and so is whether its records were told (`outcome`): a batch that expires in flight stays there until it is answered.
 *
 * @module
 */

import { KafkaError } from "../../errors.ts";

/** In the queue, the last there: it takes records. */
export const OPEN = 0;
/** In the queue: it takes no more, and its bytes are to be made, for the first time or again. */
export const CLOSED = 1;
/** In the queue: a codec is at work on its bytes. */
export const ENCODING = 2;
/** In the queue: its bytes are made, and it waits for its turn, for the first time or to be sent again. */
export const READY = 3;
/** Sent, and neither answered nor lost. */
export const IN_FLIGHT = 4;
/** Out of the queue while a later batch is sent as a probe for it. */
export const PROBED = 5;
/** On no list any more: delivered, failed, divided, or all its records were taken back. */
export const DONE = 6;

/** A number, because a batch goes through five of them, and with many partitions a batch is a record. */
export type Phase =
  | typeof OPEN
  | typeof CLOSED
  | typeof ENCODING
  | typeof READY
  | typeof IN_FLIGHT
  | typeof PROBED
  | typeof DONE;

/** What each phase is called, and what may follow it. */
export const PHASES: readonly { readonly name: string; readonly next: readonly Phase[] }[] = [
  { name: "open", next: [CLOSED, DONE] },
  { name: "closed", next: [ENCODING, READY, DONE] },
  // Closed again: a record was taken out meanwhile.
  { name: "encoding", next: [READY, CLOSED, DONE] },
  { name: "ready", next: [IN_FLIGHT, CLOSED, DONE] },
  // Closed: the broker has refused single records, and the rest needs other bytes.
  { name: "in flight", next: [READY, CLOSED, PROBED, DONE] },
  { name: "probed", next: [READY] },
  { name: "done", next: [] },
];

/** The same, a bit for each that may follow. */
const NEXT: readonly number[] = PHASES.map(({ next }) => next.reduce<number>((bits, phase) => bits | 1 << phase, 0));

/**
 * The one way from phase to phase: the next one, if it may follow.
 *
 * @throws {KafkaError} if it may not, which is an error of this client and not of its user
 */
export function transition(from: Phase, to: Phase): Phase {
  if ((NEXT[from]! >> to & 1) === 0) {
    const message = `A batch that is "${PHASES[from]!.name}" can't become "${PHASES[to]!.name}". Please report it: ` +
      `this is an error in the client.`;
    throw new KafkaError(message, { code: "UNEXPECTED" });
  }
  return to;
}
