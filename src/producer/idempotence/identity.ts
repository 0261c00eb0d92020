/**
 * Who a producer is to the brokers: its producer id and epoch (KIP-98).
 *
 * @module
 */

/** A producer id with an epoch. A changed one is another object. */
export interface Identity {
  readonly producerId: bigint;
  readonly producerEpoch: number;
}

/** Epochs are 16 bits wide. After the last one there is only another producer id. */
const MAX_EPOCH = 32_767;

/** The identity of one producer: given by a broker, raised by the producer itself after a gap. */
export class HeldIdentity {
  /** Undefined before a broker has given one, and after the last epoch of an id. */
  current: Identity | undefined;

  /** Takes what a broker gave. Two brokers may have been asked: records may carry the first answer already. */
  give(identity: Identity): void {
    this.current ??= identity;
  }

  /** Raises the epoch; no broker is asked (KIP-360). When there is none left, the id is given up for a new one. */
  bump(): void {
    if (this.current === undefined) return;
    const { producerId, producerEpoch } = this.current;
    this.current = producerEpoch < MAX_EPOCH ? { producerId, producerEpoch: producerEpoch + 1 } : undefined;
  }
}
