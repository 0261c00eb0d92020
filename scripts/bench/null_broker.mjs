/**
 * A broker that keeps nothing: answers a producer as cheaply as it can, and counts.
 *
 *     node scripts/bench/null_broker.mjs [--port 0] [--ack now|never|<ms>] [--tls]
 *
 * Every topic exists; its name says how many partitions it has: "bench-p12". Offsets and totals are right, so that what
 * a client claims can be compared. Prints its port; with `--tls` also one at which it speaks TLS, and the authority that
 * clients have to trust. With an IPC channel it answers `{ id, topic }` with the records of each partition, `{ id }`
 * with what it has seen so far, and ends with its parent.
 */
import { createServer } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { parseArgs } from "node:util";
import { certificateAuthority } from "../lib/certificates.mjs";

const PRODUCE = 0, METADATA = 3, FIND_COORDINATOR = 10, API_VERSIONS = 18, INIT_PRODUCER_ID = 22, END_TXN = 26;

/** What is announced. Clients take features from APIs they never call, so there are more than are served. */
const VERSIONS = [
  [PRODUCE, 0, 12],
  [1, 0, 12],
  [2, 0, 7],
  [METADATA, 0, 12],
  [8, 0, 8],
  [9, 0, 8],
  [FIND_COORDINATOR, 0, 3],
  [11, 0, 7],
  [12, 0, 4],
  [13, 0, 4],
  [14, 0, 5],
  [17, 0, 1],
  [API_VERSIONS, 0, 4],
  [19, 0, 7],
  [20, 0, 6],
  [INIT_PRODUCER_ID, 0, 4],
  [24, 0, 3],
  [END_TXN, 0, 5],
  [28, 0, 5],
  [32, 0, 4],
  [36, 0, 2],
];

const { values } = parseArgs({
  options: {
    port: { type: "string", default: "0" },
    ack: { type: "string", default: "now" },
    tls: { type: "boolean", default: false },
  },
});
const ackDelayMs = values.ack === "now" ? 0 : values.ack === "never" ? Infinity : Number(values.ack);

/** Topic name to next offset of each partition. */
const topics = new Map();
const seen = { connections: 0, requests: 0, produceRequests: 0, batches: 0, recordBytes: 0, beforeFirstAck: undefined };
let nextProducerId = 1000;
/** Where the request came in that is being answered: clients are told to come there. */
let port = 0;

function topicOf(name) {
  let offsets = topics.get(name);
  if (offsets === undefined) {
    offsets = new Float64Array(Number(/-p(\d+)/.exec(name)?.[1] ?? 12));
    topics.set(name, offsets);
  }
  return offsets;
}

/** Reads the parts of a request that matter here. */
class Cursor {
  constructor(bytes, at) {
    this.bytes = bytes;
    this.at = at;
  }

  int8() {
    return this.bytes.readInt8(this.at++);
  }

  int16() {
    this.at += 2;
    return this.bytes.readInt16BE(this.at - 2);
  }

  int32() {
    this.at += 4;
    return this.bytes.readInt32BE(this.at - 4);
  }

  uvarint() {
    let value = 0;
    for (let shift = 0;; shift += 7) {
      const byte = this.bytes[this.at++];
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
  }

  /** Length of an array or of bytes, −1 for null. */
  length(flexible) {
    return flexible ? this.uvarint() - 1 : this.int32();
  }

  string(flexible) {
    const length = flexible ? this.uvarint() - 1 : this.int16();
    if (length < 0) return null;
    this.at += length;
    return this.bytes.latin1Slice(this.at - length, this.at);
  }

  tags(flexible) {
    if (!flexible) return;
    for (let left = this.uvarint(); left > 0; left--) {
      this.uvarint();
      this.at += this.uvarint();
    }
  }
}

/** Writes an answer into a buffer that grows; one for the whole process, copied out when it is done. */
class Writer {
  bytes = Buffer.allocUnsafe(1 << 16);
  at = 4;

  begin(correlationId, flexibleHeader) {
    this.at = 4;
    this.int32(correlationId);
    if (flexibleHeader) this.int8(0);
  }

  room(size) {
    if (this.at + size <= this.bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.bytes.length * 2, this.at + size));
    this.bytes.copy(grown, 0, 0, this.at);
    this.bytes = grown;
  }

  int8(value) {
    this.room(1);
    this.bytes[this.at++] = value;
  }

  int16(value) {
    this.room(2);
    this.at = this.bytes.writeInt16BE(value, this.at);
  }

  int32(value) {
    this.room(4);
    this.at = this.bytes.writeInt32BE(value, this.at);
  }

  /** A number that a double holds exactly. */
  int64(value) {
    this.int32(Math.floor(value / 0x100000000));
    this.room(4);
    this.at = this.bytes.writeUInt32BE(value >>> 0, this.at);
  }

  uvarint(value) {
    for (; value > 0x7f; value >>>= 7) this.int8((value & 0x7f) | 0x80);
    this.int8(value);
  }

  length(count, flexible) {
    if (flexible) this.uvarint(count + 1);
    else this.int32(count);
  }

  string(text, flexible) {
    if (text === null) return flexible ? this.uvarint(0) : this.int16(-1);
    if (flexible) this.uvarint(text.length + 1);
    else this.int16(text.length);
    this.room(text.length);
    this.at += this.bytes.write(text, this.at, "latin1");
  }

  tags(flexible) {
    if (flexible) this.int8(0);
  }

  end() {
    this.bytes.writeInt32BE(this.at - 4, 0);
    return Buffer.from(this.bytes.subarray(0, this.at));
  }
}

const writer = new Writer();

/** Answers the frame that lies from `start` to `end`; returns the answer, or undefined where none is due. */
function serve(bytes, start) {
  seen.requests++;
  const apiKey = bytes.readInt16BE(start);
  const version = bytes.readInt16BE(start + 2);
  const correlationId = bytes.readInt32BE(start + 4);
  const clientIdLength = bytes.readInt16BE(start + 8);
  const cursor = new Cursor(bytes, start + 10 + Math.max(0, clientIdLength));
  if (apiKey === PRODUCE) return produce(cursor, version, correlationId);
  if (apiKey === METADATA) return metadata(cursor, version, correlationId);
  if (apiKey === API_VERSIONS) return apiVersions(version, correlationId);
  if (apiKey === INIT_PRODUCER_ID) return initProducerId(version, correlationId);
  if (apiKey === FIND_COORDINATOR) return findCoordinator(version, correlationId);
  if (apiKey === END_TXN) return endTxn(cursor, version, correlationId);
  throw new Error(`API ${apiKey} v${version} is not served here`);
}

function produce(cursor, version, correlationId) {
  seen.produceRequests++;
  const flexible = version >= 9;
  cursor.tags(flexible);
  cursor.string(flexible); // transactional id
  const acks = cursor.int16();
  cursor.at += 4; // timeout
  writer.begin(correlationId, flexible);
  const topicCount = cursor.length(flexible);
  writer.length(topicCount, flexible);
  for (let t = 0; t < topicCount; t++) {
    const name = cursor.string(flexible);
    const offsets = topicOf(name);
    writer.string(name, flexible);
    const partitionCount = cursor.length(flexible);
    writer.length(partitionCount, flexible);
    writer.room(partitionCount * 40);
    for (let p = 0; p < partitionCount; p++) {
      const index = cursor.int32();
      const size = cursor.length(flexible);
      const base = offsets[index];
      const count = recordCount(cursor.bytes, cursor.at, cursor.at + size);
      offsets[index] = base + count;
      seen.recordBytes += size;
      cursor.at += size;
      cursor.tags(flexible);
      writer.int32(index);
      writer.int16(base === undefined ? 3 : 0);
      writer.int64(base ?? -1);
      if (version >= 2) writer.int64(-1);
      if (version >= 5) writer.int64(0);
      if (version >= 8) {
        writer.length(0, flexible);
        writer.string(null, flexible);
      }
      writer.tags(flexible);
    }
    cursor.tags(flexible);
    writer.tags(flexible);
  }
  if (acks === 0) return undefined;
  if (version >= 1) writer.int32(0);
  writer.tags(flexible);
  seen.beforeFirstAck ??= { requests: seen.requests, connections: seen.connections };
  return writer.end();
}

/** Records in the batches from `at` to `end`, format 2 only. */
function recordCount(bytes, at, end) {
  let count = 0;
  while (at < end) {
    if (bytes[at + 16] !== 2) throw new Error(`A batch of format ${bytes[at + 16]}, wanted 2`);
    count += bytes.readInt32BE(at + 57);
    at += 12 + bytes.readInt32BE(at + 8);
    seen.batches++;
  }
  return count;
}

function metadata(cursor, version, correlationId) {
  const flexible = version >= 9;
  cursor.tags(flexible);
  const names = [];
  for (let left = cursor.length(flexible); left > 0; left--) {
    if (version >= 10) cursor.at += 16; // topic id
    names.push(cursor.string(flexible));
    cursor.tags(flexible);
  }
  writer.begin(correlationId, flexible);
  if (version >= 3) writer.int32(0);
  writer.length(1, flexible);
  writer.int32(1); // the only broker
  writer.string("127.0.0.1", flexible);
  writer.int32(port);
  if (version >= 1) writer.string(null, flexible);
  writer.tags(flexible);
  if (version >= 2) writer.string("null-broker", flexible);
  if (version >= 1) writer.int32(1);
  writer.length(names.length, flexible);
  for (const name of names) {
    writer.int16(0);
    writer.string(name, flexible);
    if (version >= 10) { for (let i = 0; i < 4; i++) writer.int32(0x5d1ce + i); }
    if (version >= 1) writer.int8(0);
    const count = topicOf(name).length;
    writer.length(count, flexible);
    for (let index = 0; index < count; index++) {
      writer.int16(0);
      writer.int32(index);
      writer.int32(1);
      if (version >= 7) writer.int32(0);
      for (let list = 0; list < 2; list++) { // replicas, in sync
        writer.length(1, flexible);
        writer.int32(1);
      }
      if (version >= 5) writer.length(0, flexible);
      writer.tags(flexible);
    }
    if (version >= 8) writer.int32(-0x80000000);
    writer.tags(flexible);
  }
  if (version >= 8 && version <= 10) writer.int32(-0x80000000);
  writer.tags(flexible);
  return writer.end();
}

function apiVersions(version, correlationId) {
  writer.begin(correlationId, false);
  const flexible = version >= 3 && version <= 4;
  writer.int16(version > 4 ? 35 : 0);
  writer.length(VERSIONS.length, flexible);
  for (const [key, min, max] of VERSIONS) {
    writer.int16(key);
    writer.int16(min);
    writer.int16(max);
    writer.tags(flexible);
  }
  if (version >= 1 && version <= 4) writer.int32(0);
  if (flexible) finalizedFeatures();
  return writer.end();
}

/** Version 2 of transactions: the broker registers partitions, and every end raises the epoch. */
function finalizedFeatures() {
  const name = "transaction.version";
  writer.uvarint(2); // tagged fields
  writer.uvarint(1); // the epoch of the features
  writer.uvarint(8);
  writer.int64(0);
  writer.uvarint(2); // the features
  writer.uvarint(1 + 1 + name.length + 2 + 2 + 1);
  writer.length(1, true);
  writer.string(name, true);
  writer.int16(2);
  writer.int16(2);
  writer.tags(true);
}

function findCoordinator(version, correlationId) {
  const flexible = version >= 3;
  writer.begin(correlationId, flexible);
  if (version >= 1) writer.int32(0);
  writer.int16(0);
  if (version >= 1) writer.string(null, flexible);
  writer.int32(1);
  writer.string("127.0.0.1", flexible);
  writer.int32(port);
  writer.tags(flexible);
  return writer.end();
}

function endTxn(cursor, version, correlationId) {
  const flexible = version >= 3;
  cursor.tags(flexible);
  cursor.string(flexible);
  const producerId = cursor.int32() * 0x100000000 + cursor.int32();
  const epoch = cursor.int16();
  writer.begin(correlationId, flexible);
  writer.int32(0);
  writer.int16(0);
  if (version >= 5) {
    writer.int64(producerId);
    writer.int16((epoch + 1) % 32_767);
  }
  writer.tags(flexible);
  return writer.end();
}

function initProducerId(version, correlationId) {
  const flexible = version >= 2;
  writer.begin(correlationId, flexible);
  writer.int32(0);
  writer.int16(0);
  writer.int64(nextProducerId++);
  writer.int16(0);
  writer.tags(flexible);
  return writer.end();
}

/** Cuts the stream of one connection into frames. */
class Connection {
  #partial = Buffer.allocUnsafe(1 << 16);
  #held = 0;
  #socket;
  #port;

  constructor(socket) {
    this.#socket = socket;
    this.#port = socket.localPort;
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("data", (chunk) => this.#take(chunk));
  }

  #take(chunk) {
    let at = 0;
    const answers = [];
    port = this.#port;
    while (at < chunk.length) {
      if (this.#held === 0 && chunk.length - at >= 4) {
        const size = 4 + chunk.readInt32BE(at);
        if (chunk.length - at >= size) {
          this.#answer(serve(chunk, at + 4), answers);
          at += size;
          continue;
        }
      }
      at += this.#hold(chunk, at, answers);
    }
    if (answers.length > 0) this.#write(answers.length === 1 ? answers[0] : Buffer.concat(answers));
  }

  /** Keeps what belongs to a frame that isn't whole yet; returns how much that is. */
  #hold(chunk, at, answers) {
    if (this.#held < 4) {
      const taken = Math.min(4 - this.#held, chunk.length - at);
      chunk.copy(this.#partial, this.#held, at, at + taken);
      this.#held += taken;
      return taken;
    }
    const size = 4 + this.#partial.readInt32BE(0);
    if (this.#partial.length < size) {
      const grown = Buffer.allocUnsafeSlow(Math.max(size, this.#partial.length * 2));
      this.#partial.copy(grown, 0, 0, this.#held);
      this.#partial = grown;
    }
    const taken = Math.min(size - this.#held, chunk.length - at);
    chunk.copy(this.#partial, this.#held, at, at + taken);
    this.#held += taken;
    if (this.#held === size) {
      this.#held = 0;
      this.#answer(serve(this.#partial, 4), answers);
    }
    return taken;
  }

  #answer(answer, answers) {
    if (answer !== undefined) answers.push(answer);
  }

  #write(bytes) {
    if (ackDelayMs === 0) this.#socket.write(bytes);
    else if (ackDelayMs !== Infinity) setTimeout(() => this.#socket.write(bytes), ackDelayMs);
  }
}

const authority = values.tls ? certificateAuthority("Authority of the null broker") : undefined;
const clearPort = await listen(createServer(serveSocket), Number(values.port));
console.log(String(clearPort));
let tlsPort;
if (authority !== undefined) {
  tlsPort = await listen(createTlsServer(authority.issue({ name: "null broker" }), serveSocket), 0);
  console.log(`${tlsPort}\n${authority.cert}`);
}
process.send?.({ port: clearPort, tlsPort, ca: authority?.cert });

function serveSocket(socket) {
  seen.connections++;
  new Connection(socket);
}

function listen(server, wanted) {
  return new Promise((resolve) => server.listen(wanted, "127.0.0.1", () => resolve(server.address().port)));
}

if (process.send !== undefined) {
  process.on("message", (/** @type {{ id: number, topic?: string }} */ { id, topic }) => {
    process.send({ id, ...seen, partitions: topic === undefined ? undefined : [...topicOf(topic)] });
  });
  process.on("disconnect", () => process.exit());
}
