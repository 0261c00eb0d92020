/**
 * No client at all: a socket of the runtime, to which requests are written, one write for each batch, as clients write
 * them. What TLS costs it is what TLS costs the runtime, and no client can do with less.
 *
 * The requests are made beforehand, and only the values are put into them: a caller's bytes have to be read by whoever
 * sends them. The null broker counts their records as it counts those of clients.
 */
import { Buffer } from "node:buffer";
import { connect } from "node:net";
import { connect as connectTls } from "node:tls";

const PRODUCE_VERSION = 9;

export async function open({ brokers, ca, topic, work }) {
  const [host, port] = brokers.split(":");
  /** Called when the answer to the oldest request is whole; answers come in the order of the requests. */
  const waiting = [];
  let missing = 0; // bytes of the answer that has begun
  const onread = {
    buffer: new Uint8Array(64 << 10),
    callback: (size, bytes) => {
      for (let at = 0; at < size;) {
        // An answer is written at once and is small: its length is never cut in two here.
        if (missing === 0) missing = 4 + Buffer.from(bytes.buffer, at, 4).readInt32BE();
        const taken = Math.min(missing, size - at);
        missing -= taken;
        at += taken;
        if (missing === 0) waiting.shift()();
      }
      return true;
    },
  };
  const address = { host, port: Number(port), noDelay: true, onread };
  const socket = ca === undefined ? connect(address) : connectTls({ ...address, ca });
  await new Promise((resolve, reject) => {
    socket.once(ca === undefined ? "connect" : "secureConnect", resolve);
    socket.once("error", reject);
  });
  const ask = (request) =>
    new Promise((resolve) => {
      waiting.push(resolve);
      socket.write(request);
    });
  const single = produceRequest(topic, 1, work.bytes);
  const whole = Array.from({ length: work.outstanding }, () => produceRequest(topic, work.batch, work.bytes));
  return {
    send: () => ask(single),
    record: (key, value) => ({ key, value }),
    async sendBatch(records) {
      const request = whole.pop();
      // Behind what stands before the first record, wherever that ends: nobody looks at them.
      let at = 256;
      for (const { value } of records) {
        request.set(value, at);
        at += work.bytes;
      }
      await ask(request);
      whole.push(request);
    },
    close: () => void socket.destroy(),
  };
}

/** A request of one batch, as long as a client's. */
function produceRequest(topic, count, bytes) {
  const batch = Buffer.alloc(61 + count * (bytes + 8), "x");
  batch.writeInt32BE(batch.length - 12, 8);
  batch.writeInt8(2, 16); // the format
  batch.writeInt32BE(count, 57);
  const [name, client] = [Buffer.from(topic), Buffer.from("bench")];
  const body = Buffer.concat([
    Buffer.of(0, 0, 0, PRODUCE_VERSION, 0, 0, 0, 1, 0, client.length),
    client,
    Buffer.of(0, 0, 0xff, 0xff, 0, 0, 0x75, 0x30, 2), // no tags, no transactional id, acks all, 30 s, one topic
    uvarint(name.length + 1),
    name,
    Buffer.of(2, 0, 0, 0, 0), // one partition: 0
    uvarint(batch.length + 1),
    batch,
    Buffer.of(0, 0, 0),
  ]);
  const size = Buffer.alloc(4);
  size.writeInt32BE(body.length);
  return Buffer.concat([size, body]);
}

function uvarint(value) {
  const bytes = [];
  for (; value > 0x7f; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
  return Buffer.of(...bytes, value);
}
