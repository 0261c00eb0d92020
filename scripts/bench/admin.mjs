/**
 * Makes topics, reads their end offsets, counts what was committed to them and deletes them, over a socket of its own: what a client claims is not
 * verified with that client's code. For clusters of one node.
 */
import { connect } from "node:net";

/** Api key and version of each request. @typedef {[number, number]} Api */
const FETCH = /** @type {Api} */ ([1, 4]);
const LIST_OFFSETS = /** @type {Api} */ ([2, 1]);
const CREATE_TOPICS = /** @type {Api} */ ([19, 2]);
const DELETE_TOPICS = /** @type {Api} */ ([20, 1]);
const timeoutMs = 30_000;
const fetchBytes = 16 << 20;

/** Makes a topic; resolves once each partition has a leader. */
export async function createTopic(port, name, partitions) {
  const answer = await request(port, CREATE_TOPICS, [
    int32(1),
    string(name),
    int32(partitions),
    int16(1),
    int32(0), // no assignments
    int32(0), // no configs
    int32(timeoutMs),
    Buffer.of(0),
  ]);
  const errorAt = 4 + 4 + 2 + name.length;
  const errorCode = answer.readInt16BE(errorAt);
  if (errorCode !== 0) throw new Error(`Creating topic "${name}" failed with error ${errorCode}`);
  for (let attempt = 0; attempt < 300; attempt++) {
    const offsets = await endOffsets(port, name, partitions);
    if (offsets.every((offset) => offset >= 0)) return;
    await new Promise((wake) => setTimeout(wake, 100));
  }
  throw new Error(`Topic "${name}" has partitions without a leader after 30 s`);
}

/** Deletes a topic; its files go when the broker has time. */
export async function deleteTopic(port, name) {
  await request(port, DELETE_TOPICS, [int32(1), string(name), int32(timeoutMs)]);
}

/** The next offset of each partition, −1 where the broker doesn't lead it yet. */
export async function endOffsets(port, name, partitions) {
  const answer = await request(port, LIST_OFFSETS, [
    int32(-1),
    int32(1),
    string(name),
    int32(partitions),
    ...Array.from({ length: partitions }, (_, index) => Buffer.concat([int32(index), int64(-1n)])),
  ]);
  const offsets = new Array(partitions).fill(-1);
  let at = 4 + 2 + name.length + 4;
  for (let left = answer.readInt32BE(at - 4); left > 0; left--, at += 22) {
    if (answer.readInt16BE(at + 4) === 0) offsets[answer.readInt32BE(at)] = Number(answer.readBigInt64BE(at + 14));
  }
  return offsets;
}

/**
 * The records of each partition that are in committed transactions, counted in the log: markers take offsets as well, so
 * end offsets don't tell. Rejects when a transaction was aborted, or is still open after ten seconds: a commit is
 * answered before its markers are written.
 */
export async function committedRecords(port, name, partitions) {
  const ends = await endOffsets(port, name, partitions);
  const counts = [];
  for (const [index, end] of ends.entries()) counts.push(await committedInPartition(port, name, index, end));
  return counts;
}

async function committedInPartition(port, name, index, end) {
  let [count, looks] = [0, 0];
  for (let offset = 0; offset < end;) {
    const answer = await request(port, FETCH, [
      int32(-1),
      int32(500), // ms to wait, if there is nothing
      int32(1),
      int32(fetchBytes),
      Buffer.of(1), // read_committed
      int32(1),
      string(name),
      int32(1),
      int32(index),
      int64(BigInt(offset)),
      int32(fetchBytes),
    ]);
    let at = 4 + 4 + 2 + name.length + 4 + 4; // to the error code
    const errorCode = answer.readInt16BE(at);
    if (errorCode !== 0) throw new Error(`Reading topic "${name}" failed with error ${errorCode}`);
    const stableOffset = Number(answer.readBigInt64BE(at + 10));
    if (stableOffset < end) {
      if (++looks === 100) throw new Error(`A transaction of topic "${name}" is open`);
      await new Promise((wake) => setTimeout(wake, 100));
      continue;
    }
    if (answer.readInt32BE(at + 18) > 0) throw new Error(`A transaction of topic "${name}" was aborted`);
    at += 26;
    const before = offset;
    // The last batch may have been cut off by the limit.
    while (at + 61 <= answer.length && at + 12 + answer.readInt32BE(at + 8) <= answer.length) {
      const attributes = answer.readInt16BE(at + 21);
      const isMarker = (attributes & 0x20) !== 0;
      if ((attributes & 0x10) === 0) throw new Error(`Topic "${name}" has records outside of transactions`);
      const last = Number(answer.readBigInt64BE(at)) + answer.readInt32BE(at + 23);
      if (!isMarker && last >= offset) count += answer.readInt32BE(at + 57);
      offset = Math.max(offset, last + 1);
      at += 12 + answer.readInt32BE(at + 8);
    }
    if (offset === before) throw new Error(`Topic "${name}" has no batch at offset ${offset}`);
  }
  return count;
}

/** One request on a connection of its own; resolves to what follows the correlation id. */
function request(port, [apiKey, version], parts) {
  const body = Buffer.concat([int16(apiKey), int16(version), int32(1), string("bench"), ...parts]);
  return new Promise((resolve, reject) => {
    const chunks = [];
    let size = 0;
    let wanted;
    const socket = connect(port, "127.0.0.1", () => socket.write(Buffer.concat([int32(body.length), body])));
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`The broker is silent for ${timeoutMs} ms`)));
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("The broker closed the connection")));
    socket.on("data", (chunk) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size < 4) return;
      wanted ??= 4 + Buffer.concat(chunks).readInt32BE(0);
      if (size < wanted) return;
      resolve(Buffer.concat(chunks).subarray(8));
      socket.destroy();
    });
  });
}

function int16(value) {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
}

function int32(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

function int64(value) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(value);
  return bytes;
}

function string(text) {
  return Buffer.concat([int16(text.length), Buffer.from(text)]);
}
