/** A TCP proxy in front of a broker that sees requests and answers, and spoils them on demand. */
import { connect, createServer } from "node:net";
import { TLSSocket } from "node:tls";
import { FrameCutter, PRODUCE, readProduceRequest, readProduceResponse, readRequestHeader } from "./frames.mjs";

const apiNames = { 0: "Produce", 3: "Metadata", 18: "ApiVersions", 22: "InitProducerId" };

/** The largest piece that a slow link passes on at once. */
const pieceBytes = 1_400;

/**
 * What may be spoiled is told by `rules`: `request(header)` may answer "reset before" | "reset half" | "reset after",
 * `response(header)` "swallow" (then reset) | "silence" (nothing passes any more) | "truncate" (then reset).
 */
export class BrokerProxy {
  rules = {};
  /** `{ latencyMs, jitterMs, bytesPerMs }` of both directions, or undefined for a fast link. */
  slow = undefined;
  /** What new connections meet: "" | "hole" | "hold". */
  greeting = "";
  #server;
  #links = new Set();

  /** With a `certificate` clients speak TLS with the proxy, which is where the frames are seen. */
  constructor({ nodeId, port, upstreamPort, trace, random, certificate }) {
    this.certificate = certificate;
    this.nodeId = nodeId;
    this.port = port;
    this.upstreamPort = upstreamPort;
    this.trace = trace;
    this.random = random;
  }

  /** How many connections clients hold open. */
  get connections() {
    return [...this.#links].filter((link) => link.isOpen).length;
  }

  /** Takes connections. */
  accept() {
    if (this.#server !== undefined) return Promise.resolve();
    this.#server = createServer({ noDelay: true }, (socket) => {
      const link = new Link(this, socket, this.certificate);
      this.#links.add(link);
      if (this.greeting !== "") link[this.greeting]();
    });
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(this.port, "127.0.0.1", resolve);
    });
  }

  /** Resets all connections and refuses new ones. */
  async refuse() {
    const server = this.#server;
    this.#server = undefined;
    const closed = server === undefined ? undefined : new Promise((resolve) => server.close(resolve));
    this.cut();
    await closed;
  }

  /** Resets all connections. */
  cut() {
    for (const link of this.#links) link.reset();
  }

  /** From now on nothing passes, and nobody is told. */
  hole() {
    for (const link of this.#links) link.hole();
  }

  /** Keeps what comes, of both sides, until `release`: also when the client has long gone. */
  hold() {
    for (const link of this.#links) link.hold();
  }

  release() {
    for (const link of this.#links) link.release();
  }

  /** Everything passes again; holes are closed by a reset. */
  async heal() {
    this.rules = {};
    this.slow = undefined;
    this.greeting = "";
    for (const link of this.#links) {
      if (link.isHole) link.reset();
      else link.release();
    }
    await this.accept();
  }

  forget(link) {
    this.#links.delete(link);
  }
}

let links = 0;

class Link {
  isHole = false;
  #proxy;
  #name;
  #client;
  /** The socket below TLS, which is what a reset is for. */
  #raw;
  #upstream;
  #inFlight = [];
  #toBroker;
  #toClient;

  constructor(proxy, raw, certificate) {
    const client = certificate === undefined ? raw : new TLSSocket(raw, { isServer: true, ...certificate });
    this.#raw = raw;
    raw.on("error", () => {});
    this.#proxy = proxy;
    this.#name = `b${proxy.nodeId} c${++links}`;
    this.#client = client;
    this.#upstream = connect({ port: proxy.upstreamPort, host: "127.0.0.1", noDelay: true });
    this.#toBroker = new Lane(proxy, this.#upstream);
    this.#toClient = new Lane(proxy, client);
    this.#say("opened");
    const requests = new FrameCutter();
    const responses = new FrameCutter();
    client.on("data", (chunk) => requests.push(chunk).forEach((frame) => this.#onRequest(frame)));
    this.#upstream.on("data", (chunk) => responses.push(chunk).forEach((frame) => this.#onResponse(frame)));
    client.on("error", () => {});
    this.#upstream.on("error", () => {});
    client.on("close", () => {
      this.#say("closed on the client's side");
      this.#toClient.drop();
      // What the client sent is on its way, whatever becomes of the client.
      this.#toBroker.end();
      if (this.#upstream.closed) proxy.forget(this);
    });
    this.#upstream.on("close", () => {
      if (!this.isHole) this.#toClient.end();
      if (client.closed) proxy.forget(this);
    });
  }

  get isOpen() {
    return !this.#client.closed;
  }

  reset() {
    this.#say("reset");
    this.#toBroker.drop();
    this.#toClient.drop();
    this.#resetClient();
    this.#upstream.destroy();
  }

  hole() {
    this.#say("black hole");
    this.isHole = true;
    this.#toBroker.drop();
    this.#toClient.drop();
  }

  hold() {
    this.#say("held");
    this.#toBroker.hold();
    this.#toClient.hold();
  }

  release() {
    this.#toBroker.release();
    this.#toClient.release();
  }

  #onRequest(frame) {
    /** @type {ReturnType<typeof readRequestHeader> & { batches?: any[], acks?: number }} */
    const header = readRequestHeader(frame);
    if (header.api === PRODUCE) Object.assign(header, readProduceRequest(frame, header));
    this.#inFlight.push(header);
    const { trace } = this.#proxy;
    trace.count(header);
    if (this.isHole) {
      this.#say(`→ ${describeRequest(header)} into the hole`);
      return;
    }
    const fault = this.#proxy.rules.request?.(header);
    this.#say(`→ ${describeRequest(header)}${fault === undefined ? "" : ` ${fault.toUpperCase()}`}`);
    if (fault === "reset before") return this.reset();
    if (fault === "reset half") frame = frame.subarray(0, Math.floor(frame.length / 2));
    this.#toBroker.write(frame);
    if (fault === undefined) return;
    // The answer may not overtake the reset; and the broker gets what has been written.
    this.isHole = true;
    this.#toClient.drop();
    this.#resetClient();
    this.#toBroker.end();
  }

  #onResponse(frame) {
    const correlation = frame.readInt32BE(4);
    const header = this.#inFlight.shift();
    if (header?.correlation !== correlation) this.#say(`← #${correlation} ANSWERS NOTHING`);
    const text = header === undefined ? `#${correlation}` : describeResponse(frame, header);
    if (this.isHole) {
      this.#say(`← ${text} into the hole`);
      return;
    }
    const fault = header === undefined ? undefined : this.#proxy.rules.response?.(header);
    this.#say(`← ${text}${fault === undefined ? "" : ` ${fault.toUpperCase()}`}`);
    if (fault === undefined) {
      if (header?.api === PRODUCE) this.#proxy.trace.refused(header.batches, readProduceResponse(frame, header));
      return this.#toClient.write(frame);
    }
    if (fault === "silence") return this.hole();
    if (fault === "truncate") {
      this.isHole = true;
      this.#toClient.write(frame.subarray(0, Math.floor(frame.length / 2)));
      this.#toClient.end();
      this.#upstream.destroy();
      return;
    }
    this.reset();
  }

  #resetClient() {
    this.#raw.resetAndDestroy();
    this.#client.destroy();
  }

  #say(text) {
    this.#proxy.trace.say(`${this.#name} ${text}`);
  }
}

/** One direction of a link: passes bytes on in order, late if the link is slow, not at all while it is held. */
class Lane {
  #proxy;
  #sink;
  #queue = [];
  #timer;
  #held = false;
  #ending = false;
  #lastDueMs = 0;

  constructor(proxy, sink) {
    this.#proxy = proxy;
    this.#sink = sink;
  }

  write(bytes) {
    if (this.#ending) return;
    const { slow, random } = this.#proxy;
    const size = slow?.bytesPerMs === undefined ? bytes.length : pieceBytes;
    for (let at = 0; at < bytes.length; at += size) {
      const piece = bytes.subarray(at, at + size);
      const latencyMs = slow === undefined ? 0 : slow.latencyMs + random() * (slow.jitterMs ?? 0);
      const transferMs = slow?.bytesPerMs === undefined ? 0 : piece.length / slow.bytesPerMs;
      // A piece leaves behind the one before it; only the first waits for the latency.
      const first = performance.now() + latencyMs;
      this.#lastDueMs = Math.max(first, this.#lastDueMs) + transferMs;
      this.#queue.push({ piece, dueMs: this.#lastDueMs });
    }
    this.#pump();
  }

  /** Closes the sink behind what has been written. */
  end() {
    this.#ending = true;
    this.#pump();
  }

  drop() {
    this.#queue = [];
  }

  hold() {
    this.#held = true;
  }

  release() {
    this.#held = false;
    this.#pump();
  }

  #pump() {
    clearTimeout(this.#timer);
    if (this.#held) return;
    while (this.#queue.length > 0 && this.#queue[0].dueMs <= performance.now()) {
      const { piece } = this.#queue.shift();
      if (!this.#sink.destroyed) this.#sink.write(piece);
    }
    if (this.#queue.length > 0) {
      this.#timer = setTimeout(() => this.#pump(), Math.max(1, this.#queue[0].dueMs - performance.now()));
    } else if (this.#ending && !this.#sink.destroyed) {
      this.#sink.end();
    }
  }
}

/** @param {{ api: number, version: number, correlation: number, clientId: string, batches?: any[], acks?: number }} header */
function describeRequest({ api, version, correlation, clientId, batches, acks }) {
  const text = `${clientId} ${apiNames[api] ?? api} v${version} #${correlation}`;
  if (batches === undefined) return text;
  const list = batches.map(({ topic, partition, producerId, epoch, sequence, count, crc }) =>
    `${topic}-${partition} ${producerId}/${epoch} ${sequence}+${count} ${crc.toString(16)}`
  );
  return `${text} acks ${acks} [${list.join(", ")}]`;
}

function describeResponse(frame, header) {
  const text = `${header.clientId} ${apiNames[header.api] ?? header.api} #${header.correlation}`;
  if (header.api !== PRODUCE) return text;
  const list = readProduceResponse(frame, header).map(({ topic, partition, error, baseOffset }) =>
    `${topic}-${partition} error ${error} base ${baseOffset}`
  );
  return `${text} [${list.join(", ")}]`;
}
