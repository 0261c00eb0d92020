/** A bare connection for the probes: requests and answers as bytes, whoever is at the other end. */
import { connect } from "node:net";

/** What a probe finds in place of an answer. */
export const closed = "connection closed";
export const silence = "no answer";

/** Makes the connections of the probes to one broker; `protocol` are our own modules as they are in `dist`. */
export class Wires {
  #address;
  #protocol;
  #open = new Set();

  constructor(address, protocol) {
    this.#address = address;
    this.#protocol = protocol;
  }

  async open() {
    const [host, port] = this.#address.split(":");
    const wire = new Wire(connect(Number(port), host), this.#protocol);
    this.#open.add(wire);
    await wire.connected;
    return wire;
  }

  closeAll() {
    for (const wire of this.#open) wire.close();
    this.#open.clear();
  }
}

/** One connection. */
export class Wire {
  connected;
  isClosed = false;
  #socket;
  #protocol;
  #frames = [];
  #received = Buffer.alloc(0);
  #waiting = () => {};
  #correlationId = 0;

  constructor(socket, protocol) {
    this.#socket = socket;
    this.#protocol = protocol;
    this.connected = new Promise((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("close", () => {
      this.isClosed = true;
      this.#waiting();
    });
    socket.on("end", () => socket.end());
    socket.on("data", (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      while (this.#received.length >= 4 && this.#received.length >= 4 + this.#received.readInt32BE(0)) {
        const end = 4 + this.#received.readInt32BE(0);
        this.#frames.push(this.#received.subarray(4, end));
        this.#received = this.#received.subarray(end);
      }
      this.#waiting();
    });
  }

  /** Writes bytes as they are. */
  write(bytes) {
    this.#socket.write(bytes);
  }

  /** The bytes of a request. */
  request(api, version, body, { clientId = "probe", correlationId = ++this.#correlationId } = {}) {
    return Buffer.concat(this.#protocol.encodeRequestFrame(api, version, correlationId, clientId, body));
  }

  /** Asks, and decodes the answer. */
  async ask(api, version, body, options = {}) {
    this.write(this.request(api, version, body, options));
    return await this.answer(api, version, options.withinMs);
  }

  /** The next answer, decoded. */
  async answer(api, version, withinMs) {
    const frame = await this.frame(withinMs);
    return Buffer.isBuffer(frame) ? this.#protocol.decodeResponseFrame(api, version, frame).body : frame;
  }

  /** The next answer's bytes, or how it stayed away. */
  async frame(withinMs = 5_000) {
    const deadline = performance.now() + withinMs;
    for (;;) {
      if (this.#frames.length > 0) return this.#frames.shift();
      if (this.isClosed) return closed;
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) return silence;
      await /** @type {Promise<void>} */ (new Promise((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#waiting = () => {
          clearTimeout(timer);
          resolve();
        };
      }));
    }
  }

  close() {
    this.#socket.destroy();
  }
}
