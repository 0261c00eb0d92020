/**
 * As much of Kafka's protocol as it takes to see what passes a proxy, written without the client's own codecs: what
 * checks a client must not share its mistakes.
 */

export const PRODUCE = 0;

/** Cuts a stream of bytes into frames, each with its four bytes of length. */
export class FrameCutter {
  #pending = Buffer.alloc(0);

  push(chunk) {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    const frames = [];
    for (;;) {
      if (this.#pending.length < 4) return frames;
      const end = 4 + this.#pending.readInt32BE(0);
      if (this.#pending.length < end) return frames;
      frames.push(this.#pending.subarray(0, end));
      this.#pending = this.#pending.subarray(end);
    }
  }
}

/** The header of a request. */
export function readRequestHeader(frame) {
  const length = frame.readInt16BE(12);
  return {
    api: frame.readInt16BE(4),
    version: frame.readInt16BE(6),
    correlation: frame.readInt32BE(8),
    clientId: length < 0 ? "" : frame.toString("latin1", 14, 14 + length),
    bodyAt: 14 + Math.max(0, length),
  };
}

/** The batches of a Produce request of version 9 or higher. */
export function readProduceRequest(frame, { version, bodyAt }) {
  const cursor = new Cursor(frame, bodyAt);
  cursor.tags();
  cursor.string(); // transactional id
  const acks = cursor.int16();
  cursor.int32(); // timeout
  const batches = cursor.array(() => {
    const topic = version >= 13 ? cursor.bytes(16).toString("hex", 0, 4) : cursor.string();
    const partitions = cursor.array(() => {
      const partition = cursor.int32();
      const records = cursor.bytes(cursor.varint() - 1);
      cursor.tags();
      return { topic, partition, ...readBatch(records) };
    });
    cursor.tags();
    return partitions;
  }).flat();
  return { acks, batches };
}

/** The answers in a Produce response of version 9 or higher. */
export function readProduceResponse(frame, { version }) {
  const cursor = new Cursor(frame, 8);
  cursor.tags();
  return cursor.array(() => {
    const topic = version >= 13 ? cursor.bytes(16).toString("hex", 0, 4) : cursor.string();
    const partitions = cursor.array(() => {
      const answer = { topic, partition: cursor.int32(), error: cursor.int16(), baseOffset: Number(cursor.int64()) };
      cursor.bytes(16); // log append time, log start offset
      cursor.array(() => {
        cursor.int32();
        cursor.string();
        cursor.tags();
      });
      cursor.string();
      cursor.tags();
      return answer;
    });
    cursor.tags();
    return partitions;
  }).flat();
}

function readBatch(records) {
  return {
    crc: records.readUInt32BE(17),
    producerId: Number(records.readBigInt64BE(43)),
    epoch: records.readInt16BE(51),
    sequence: records.readInt32BE(53),
    count: records.readInt32BE(57),
  };
}

class Cursor {
  constructor(buffer, at) {
    this.buffer = buffer;
    this.at = at;
  }

  bytes(count) {
    this.at += count;
    return this.buffer.subarray(this.at - count, this.at);
  }

  int16() {
    return this.bytes(2).readInt16BE(0);
  }

  int32() {
    return this.bytes(4).readInt32BE(0);
  }

  int64() {
    return this.bytes(8).readBigInt64BE(0);
  }

  varint() {
    let value = 0;
    for (let shift = 0;; shift += 7) {
      const byte = this.buffer[this.at++];
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  }

  string() {
    const length = this.varint() - 1;
    return length < 0 ? null : this.bytes(length).toString();
  }

  array(element) {
    return Array.from({ length: Math.max(0, this.varint() - 1) }, element);
  }

  tags() {
    for (let left = this.varint(); left > 0; left--) {
      this.varint();
      this.bytes(this.varint());
    }
  }
}
