/**
 * Where records without a key go: one partition until a batch is full, then another, and rather one whose queue is
 * short (uniform sticky and adaptive, KIP-480 and KIP-794).
 *
 * @module
 */

/** What a choice wants to know of a topic. It is asked only when it is time to move on. */
export interface StickyTopic {
  /** How many partitions there are. */
  readonly partitionCount: number;
  /** Partitions with a leader, in ascending order; all of them while none has one. */
  available(): readonly number[];
  /** True when the partition has no batch, or its newest is full: going elsewhere leaves no fraction of one behind. */
  isFull(partition: number, batchSize: number): boolean;
  /** What waits in each of {@link StickyTopic.available}, in batches; undefined while some have no queue yet. */
  loads(batchSize: number): readonly number[] | undefined;
}

/** Before the first choice: more than any partition's index, and small enough for the engine to keep it as it is. */
const NONE = 0x3fff_ffff;
/** Weights are recomputed after this many bytes per partition of the topic, so that their cost per record is negligible. */
const BYTES_PER_WEIGHING = 256;

/**
 * The partition of one topic that takes records without a key at present. Batches are fuller than with one partition
 * after the other. Over time all partitions get the same, unless a broker is slow: its queues grow, and it gets less.
 */
export class StickyPartition {
  readonly #random: () => number;
  readonly #batchSize: number;
  readonly #sameCallBytes: number;
  #partition = NONE;
  /** Bytes that went to the partition since it was chosen. */
  #bytes = 0;
  /** It is time to move on. */
  #isSpent = true;
  /** The record that is appended next was sent here by {@link StickyPartition.choose}. */
  #chosen = false;
  /** Running sums of the weights of {@link StickyTopic.available}; undefined while all weigh the same. */
  #weights: readonly number[] | undefined;
  /** The list that the weights belong to. */
  #weighed: readonly number[] | undefined;
  #bytesSinceWeighing = Infinity;

  /**
   * Takes the bytes after which to move on, those after which even records of one call do, and a source of
   * numbers from 0 to 1.
   */
  constructor(batchSize: number, sameCallBytes: number, random: () => number) {
    this.#batchSize = Math.max(1, batchSize);
    this.#sameCallBytes = sameCallBytes;
    this.#random = random;
  }

  /** The partition for the next record, which may be of the same call as the one before. */
  choose(topic: StickyTopic, sameCall: boolean): number {
    this.#chosen = true;
    const isThere = this.#partition < topic.partitionCount;
    if (sameCall && isThere && this.#bytes < this.#sameCallBytes) return this.#partition;
    // What had to stay to fill a batch may go as soon as that batch is full or gone.
    if (this.#bytes >= this.#batchSize && !this.#isSpent) this.#updateSpent(topic);
    if (this.#isSpent || !isThere) this.#move(topic);
    return this.#partition;
  }

  /** Tells by how much a record made its batch grow. Only those count that were sent here for want of a key. */
  appended(bytes: number, topic: StickyTopic): void {
    if (!this.#chosen) return;
    this.#chosen = false;
    this.#bytes += bytes;
    if (this.#bytes >= this.#batchSize) this.#updateSpent(topic);
  }

  #updateSpent(topic: StickyTopic): void {
    const enough = 2 * this.#batchSize;
    this.#isSpent = this.#bytes >= enough || topic.isFull(this.#partition, this.#batchSize);
  }

  #move(topic: StickyTopic): void {
    const available = topic.available();
    this.#bytesSinceWeighing += this.#bytes;
    if (this.#weighed !== available || this.#bytesSinceWeighing >= BYTES_PER_WEIGHING * available.length) {
      const loads = topic.loads(this.#batchSize);
      this.#weights = loads && cumulativeWeights(loads);
      this.#weighed = available;
      this.#bytesSinceWeighing = 0;
    }
    this.#partition = this.#weights === undefined
      ? this.#another(available)
      : available[weightedIndex(this.#weights, this.#random())]!;
    this.#bytes = 0;
    this.#isSpent = false;
  }

  /** Any of the partitions but the present one, each as likely as the others. */
  #another(partitions: readonly number[]): number {
    const last = partitions.length - 1;
    if (last < 1) return partitions[0] ?? 0;
    const at = firstAbove(partitions, this.#partition - 1);
    const among = partitions[at] === this.#partition ? last : last + 1;
    const choice = partitions[Math.floor(this.#random() * among)]!;
    return choice === this.#partition ? partitions[last]! : choice;
  }
}

/**
 * Running sums of weights that are the greater, the less waits: one more than the longest queue, less the own.
 * Undefined where weighing would change nothing.
 */
export function cumulativeWeights(loads: readonly number[]): number[] | undefined {
  if (loads.length < 2) return undefined;
  let longest = 0;
  let shortest = Infinity;
  for (const load of loads) {
    if (load > longest) longest = load;
    if (load < shortest) shortest = load;
  }
  if (longest === shortest) return undefined;
  let sum = 0;
  const sums: number[] = [];
  for (const load of loads) sums.push(sum += longest + 1 - load);
  return sums;
}

/** The index that a number from 0 to 1 falls on, each as often as its weight says. */
export function weightedIndex(sums: readonly number[], random: number): number {
  return firstAbove(sums, Math.floor(random * sums[sums.length - 1]!));
}

/** The index of the first of ascending numbers that is greater than the given one. */
function firstAbove(ascending: readonly number[], limit: number): number {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ascending[middle]! > limit) high = middle;
    else low = middle + 1;
  }
  return low;
}
