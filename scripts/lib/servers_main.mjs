/**
 * The servers that the socket tests dial. One process for all legs, because workerd can dial but not listen.
 *
 * Prints one line of JSON with the ports, runs until standard input ends.
 */

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { certificateAuthority, encryptedKey } from "./certificates.mjs";

/** What the connections in mode "sink" and "stall" got, by id. */
const records = new Map();

/** A connection begins with a line of JSON, `{ "mode": …, "id": … }`, and goes on as its mode says. */
const modes = {
  /** Takes what comes, at leisure, and answers with a report once `totalBytes` are there. */
  sink(socket, { id, totalBytes, pauseMs = 0 }, rest) {
    const record = open(socket, id);
    let paused = 0;
    const take = (chunk) => {
      record.take(chunk);
      if (record.bytes === totalBytes) socket.write(record.report());
      // Some hundred pauses fill every buffer on the way; more would only take time.
      if (pauseMs > 0 && paused++ < 200) {
        socket.pause();
        setTimeout(() => socket.resume(), pauseMs);
      }
    };
    take(rest);
    socket.on("data", take);
  },

  /** Reads nothing until mode "release" is called with the same id. */
  stall(socket, { id }, rest) {
    const record = open(socket, id);
    record.take(rest);
    socket.pause();
    record.release = () => socket.on("data", (chunk) => record.take(chunk)).resume();
  },

  release(socket, { id }) {
    records.get(id).release();
    socket.end("{}\n");
  },

  /** Waits until the connection of that id is over and says what it brought. */
  async report(socket, { id }) {
    const record = records.get(id);
    await record.ended;
    socket.end(record.report());
  },

  /** Sends a word and ends. */
  bye: (socket) => socket.end("bye"),

  reset: (socket) => socket.resetAndDestroy(),

  /** Reads frames of a length in four bytes and a body; answers each with its length, once it is complete. */
  frames(socket, _, rest) {
    let waiting = rest;
    const take = (chunk) => {
      waiting = Buffer.concat([waiting, chunk]);
      while (waiting.length >= 4 && waiting.length >= 4 + waiting.readUInt32BE(0)) {
        socket.write(waiting.subarray(0, 4));
        waiting = waiting.subarray(4 + waiting.readUInt32BE(0));
      }
    };
    take(Buffer.alloc(0));
    socket.on("data", take);
  },
};

const servers = {
  /** Sends back what it gets. */
  echo: (socket) => socket.pipe(socket),

  socks: socks(),
  socksWithPassword: socks("user:secret"),

  modes(socket) {
    let head = Buffer.alloc(0);
    const read = (chunk) => {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf(10);
      if (end < 0) return;
      socket.removeListener("data", read);
      const command = JSON.parse(head.subarray(0, end).toString());
      modes[command.mode](socket, command, head.subarray(end + 1));
    };
    socket.on("data", read);
  },
};

function open(socket, id) {
  const hash = createHash("sha256");
  const record = {
    bytes: 0,
    failure: undefined,
    ended: once(socket, "close").catch(() => {}),
    take(chunk) {
      hash.update(chunk);
      record.bytes += chunk.length;
    },
    report() {
      const { bytes, failure } = record;
      return `${JSON.stringify({ bytes, failure, sha256: hash.copy().digest("hex") })}\n`;
    },
  };
  socket.on("error", (error) => record.failure = error.code);
  records.set(id, record);
  return record;
}

/**
 * A SOCKS5 proxy. Names that end in ".internal" lead to this machine, "forbidden.internal" is against its rules. With
 * credentials it wants these and nothing else.
 */
function socks(credentials) {
  return (socket) => {
    let waiting = Buffer.alloc(0);
    let wake = /** @type {(value?: unknown) => void} */ (() => {});
    const take = (chunk) => {
      waiting = Buffer.concat([waiting, chunk]);
      wake();
    };
    const read = async (count) => {
      while (waiting.length < count) await new Promise((resolve) => wake = resolve);
      const bytes = waiting.subarray(0, count);
      waiting = waiting.subarray(count);
      return bytes;
    };
    socket.on("data", take);
    socket.on("close", () => wake = () => {});
    void (async () => {
      const [, count] = await read(2);
      const methods = await read(count);
      const method = credentials === undefined ? 0 : 2;
      if (!methods.includes(method)) return socket.end(Buffer.of(5, 0xff));
      // In pieces, as a network may bring them.
      socket.write(Buffer.of(5));
      setTimeout(() => socket.write(Buffer.of(method)), 1);
      if (credentials !== undefined) {
        const [, userLength] = await read(2);
        const user = String(await read(userLength));
        const [passwordLength] = await read(1);
        const isRight = credentials === `${user}:${await read(passwordLength)}`;
        socket.write(Buffer.of(1, isRight ? 0 : 1));
        if (!isRight) return socket.end();
      }
      const [, , , type] = await read(4);
      const address = await read(type === 1 ? 4 : type === 4 ? 16 : (await read(1))[0]);
      const port = (await read(2)).readUInt16BE(0);
      const host = type === 1 ? address.join(".") : type === 4 ? "::1" : String(address);
      const answer = (code) => Buffer.of(5, code, 0, 3, 4, ...Buffer.from("here"), 0, 0);
      if (host === "forbidden.internal") return socket.end(answer(2));
      const broker = connect({ host: host.endsWith(".internal") ? "127.0.0.1" : host, port, noDelay: true });
      broker.on("error", () => socket.destroy());
      const refuse = () => socket.end(answer(5));
      broker.once("error", refuse);
      broker.once("connect", () => {
        broker.removeListener("error", refuse);
        socket.write(answer(0));
        socket.removeListener("data", take);
        broker.write(waiting);
        socket.pipe(broker).pipe(socket);
        socket.on("close", () => broker.destroy());
        broker.on("close", () => socket.destroy());
      });
    })();
  };
}

async function listen(handle) {
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on("error", () => {}); // resets are part of the tests
    handle(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

/**
 * A port that neither accepts nor refuses: a process that listens, never accepts, and whose queue is full. The system
 * then leaves every further attempt unanswered.
 */
async function hang() {
  const program = `
    const server = require("node:net").createServer();
    server.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
      require("node:fs").writeSync(1, server.address().port + "\\n");
      const cell = new Int32Array(new SharedArrayBuffer(4));
      const parent = process.ppid;
      while (process.ppid === parent) Atomics.wait(cell, 0, 0, 500);
      process.exit();
    });
  `;
  const child = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  process.once("exit", () => child.kill("SIGKILL"));
  const [line] = await once(child.stdout, "data");
  const port = Number(String(line).trim());
  for (let accepted = true; accepted;) {
    const filler = connect(port, "127.0.0.1").on("error", () => {});
    accepted = await Promise.race([
      once(filler, "connect").then(() => true, () => false),
      new Promise((resolve) => setTimeout(resolve, 200, false)),
    ]);
  }
  return port;
}

/** Servers that speak TLS and send back what they get, each with something of its own, and who vouches for them. */
async function listenTls() {
  const ca = certificateAuthority();
  const other = certificateAuthority("Another authority");
  const good = ca.issue({ name: "server" });
  const client = ca.issue({ name: "client" });
  /** @type {Record<string, import("node:tls").TlsOptions>} */
  const options = {
    good,
    mutual: { ...good, ca: ca.cert, requestCert: true, rejectUnauthorized: true },
    expired: ca.issue({ name: "server", days: -1 }),
    early: ca.issue({ name: "server", fromDays: 2 }),
    elsewhere: ca.issue({ name: "elsewhere", hosts: ["elsewhere.example"] }),
    untrusted: other.issue({ name: "server" }),
    old: { ...good, maxVersion: "TLSv1.2" },
  };
  const ports = {};
  for (const [name, each] of Object.entries(options)) {
    const server = createTlsServer(each, (socket) => {
      socket.on("error", () => {});
      socket.pipe(socket);
    });
    server.on("tlsClientError", () => {});
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    ports[name] = portOf(server);
  }
  const passphrase = "key-passphrase";
  return { ports, ca: ca.cert, client: { ...client, encryptedKey: encryptedKey(client.key, passphrase), passphrase } };
}

function portOf(server) {
  return /** @type {import("node:net").AddressInfo} */ (server.address()).port;
}

/** @type {Record<string, unknown>} */
const ports = {};
for (const [name, handle] of Object.entries(servers)) ports[name] = portOf(await listen(handle));
const refusing = await listen(() => {});
ports.refused = portOf(refusing);
refusing.close();
ports.hung = await hang();
ports.tls = await listenTls();

console.log(JSON.stringify(ports));
process.stdin.resume().once("end", () => process.exit(0)).once("error", () => process.exit(0));
