/** What happened in a scenario, in order, for the eyes of whoever has to find out why. */

export class Trace {
  lines = [];
  /** By client id: when it asked for metadata, in ms. */
  metadata = new Map();
  /** Sequence numbers that came with two contents. */
  rewritten = [];
  #startedMs = performance.now();
  #batches = new Map();

  restart() {
    this.lines = [];
    this.metadata = new Map();
    this.rewritten = [];
    this.#startedMs = performance.now();
    this.#batches = new Map();
  }

  say(text) {
    this.lines.push(`${this.#nowMs().toFixed(1).padStart(9)} ${text}`);
  }

  /** Notes a request for the checks that the log alone can't do. */
  count({ api, clientId, batches }) {
    if (api === 3) {
      if (!this.metadata.has(clientId)) this.metadata.set(clientId, []);
      this.metadata.get(clientId).push(this.#nowMs());
    }
    for (const { topic, partition, producerId, epoch, sequence, count, crc } of batches ?? []) {
      if (producerId < 0) continue;
      const id = idOf({ topic, partition, producerId, epoch, sequence });
      const content = `${count} records, crc ${crc.toString(16)}`;
      const before = this.#batches.get(id);
      if (before !== undefined && before !== content) this.rewritten.push(`${id}: ${before}, then ${content}`);
      this.#batches.set(id, content);
    }
  }

  /** A producer that is told that nothing was written may divide the batch, and does where it seems too large. */
  refused(batches, answers) {
    for (const { topic, partition, error } of answers) {
      if (error === 0 || IN_DOUBT.includes(error)) continue;
      const batch = batches?.find((it) => it.topic === topic && it.partition === partition);
      if (batch !== undefined) this.#batches.delete(idOf(batch));
    }
  }

  #nowMs() {
    return performance.now() - this.#startedMs;
  }
}

/** REQUEST_TIMED_OUT, NOT_ENOUGH_REPLICAS_AFTER_APPEND, and what says that a batch is there or that one is missing. */
const IN_DOUBT = [7, 20, 45, 46, 59];

function idOf({ topic, partition, producerId, epoch, sequence }) {
  return `${topic}-${partition} producer ${producerId} epoch ${epoch} sequence ${sequence}`;
}
