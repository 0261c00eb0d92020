import assert from "node:assert/strict";
import { AuthenticationError, ConfigError, ConnectionError } from "../../src/errors.ts";
import { type Socket, type SocketFactory, webSocketConnect, type WebSocketLike } from "../../src/runtime/mod.ts";
import { Producer } from "../../mod.ts";
import { test } from "../harness.ts";
import { everythingOf, leaksIn } from "../secrets.ts";

type Listener = (event: never) => void;

/** A WebSocket that does what the test says. */
class Double implements WebSocketLike {
  static last: Double;
  binaryType = "blob";
  bufferedAmount = 0;
  readonly url: string;
  readonly protocols: readonly string[];
  readonly sent: Uint8Array[] = [];
  readonly closes: (number | undefined)[] = [];
  readonly #listeners = new Map<string, Listener[]>();

  constructor(url: string, protocols: string[]) {
    this.url = url;
    this.protocols = protocols;
    Double.last = this;
  }

  addEventListener(event: string, listener: Listener): void {
    this.#listeners.set(event, [...this.#listeners.get(event) ?? [], listener]);
  }

  send(bytes: Uint8Array<ArrayBuffer>): void {
    this.sent.push(bytes);
  }

  close(code?: number): void {
    this.closes.push(code);
  }

  tell(event: "message" | "close" | "error", what: object): void {
    for (const listener of this.#listeners.get(event) ?? []) listener(what as never);
  }
}

interface Heard {
  readonly chunks: number[][];
  readonly closes: (Error | undefined)[];
}

function dialled(factory: SocketFactory): { connecting: Promise<Socket>; double: Double; heard: Heard } {
  const heard: Heard = { chunks: [], closes: [] };
  const connecting = factory.connect({ host: "kafka.internal", port: 9092 }, {
    onData: (chunk) => void heard.chunks.push([...chunk]),
    onClose: (error) => void heard.closes.push(error),
  });
  connecting.catch(() => {});
  return { connecting, double: Double.last, heard };
}

const factory = webSocketConnect("wss://proxy.example/kafka?tenant=a#part", { token: "s3cret/+", webSocket: Double });

test("websocket: the address names the broker, a subprotocol has the token, and bytes are asked for as buffers", async () => {
  const { connecting, double } = dialled(factory);
  assert.equal(double.url, "wss://proxy.example/kafka?tenant=a&broker=kafka.internal%3A9092");
  assert.deepEqual(double.protocols, ["sluice", "token.czNjcmV0Lys"]);
  assert.equal(double.binaryType, "arraybuffer");
  double.tell("message", { data: "connected" });
  (await connecting).destroy();
});

test("websocket: bytes go both ways once the proxy says that the broker is there, and an end is told once", async () => {
  const { connecting, double, heard } = dialled(factory);
  double.tell("message", { data: "connected" });
  const socket = await connecting;
  const buffer = Uint8Array.of(1, 2, 3);
  socket.write([buffer, Uint8Array.of(4)]);
  buffer.fill(9);
  assert.deepEqual(double.sent.map((bytes) => [...bytes]).flat(), [1, 2, 3, 4]);
  double.tell("message", { data: Uint8Array.of(5, 6).buffer });
  assert.deepEqual(heard.chunks, [[5, 6]]);
  socket.close();
  assert.deepEqual(double.closes, [1000]);
  double.tell("close", { code: 1000, reason: "" });
  await Promise.resolve();
  assert.deepEqual(heard.closes, [undefined]);
});

test("websocket: a socket that has much to send is given no more, and says when there is room", async () => {
  const { connecting, double } = dialled(factory);
  double.tell("message", { data: "connected" });
  const socket = await connecting;
  double.bufferedAmount = 10_000_000;
  assert.equal(socket.write(new Uint8Array(2_000_000)), false);
  assert.ok(double.sent.reduce((sum, bytes) => sum + bytes.length, 0) <= 2_000_000);
  socket.write(new Uint8Array(1_000));
  const before = double.sent.length;
  double.bufferedAmount = 0;
  await socket.drained();
  while (socket.bufferedBytes > 0) await new Promise((resolve) => setTimeout(resolve, 1));
  assert.ok(double.sent.length > before);
  assert.equal(double.sent.reduce((sum, bytes) => sum + bytes.length, 0), 2_001_000);
  socket.destroy();
});

test("websocket: each reason of the proxy not to connect is an error in words", async () => {
  const cases: [number, string, typeof ConnectionError | typeof AuthenticationError, RegExp][] = [
    [
      4401,
      "",
      AuthenticationError,
      /Change "token" of webSocketConnect: the proxy at "wss:\/\/proxy.example" refuses it/,
    ],
    [4402, "", AuthenticationError, /--origin/],
    [4403, "", ConnectionError, /it doesn't lead to this broker \(sluice proxy --allow\)/],
    [4429, "", ConnectionError, /as many connections as it takes/],
    [4502, "connect ECONNREFUSED", ConnectionError, /it can't reach the broker: connect ECONNREFUSED/],
    [4400, "no broker", ConnectionError, /4400, "no broker"/],
    [1006, "", ConnectionError, /can't be reached, or has gone/],
    [1011, "", ConnectionError, /closed with 1011/],
  ];
  for (const [code, reason, Class, pattern] of cases) {
    const { connecting, double } = dialled(factory);
    double.tell("close", { code, reason });
    await assert.rejects(connecting, (error: Error & { broker?: string }) => {
      assert.ok(error instanceof Class, `${code}: ${error}`);
      assert.match(error.message, pattern);
      assert.equal(error.broker, "kafka.internal:9092");
      assert.ok(!error.message.includes("s3cret") && !error.message.includes("czNjcmV0"));
      return true;
    });
  }
});

test("websocket: what the proxy says when a connection is lost stands in the error", async () => {
  for (
    const [code, reason, pattern] of [
      [4500, "ECONNRESET", /has lost the broker: ECONNRESET/],
      [4413, "", /--max-bytes/],
      [4408, "", /--max-idle-ms/],
      [1006, "", /has gone/],
    ] as const
  ) {
    const { connecting, double, heard } = dialled(factory);
    double.tell("message", { data: "connected" });
    await connecting;
    double.tell("close", { code, reason });
    await Promise.resolve();
    assert.equal(heard.closes.length, 1);
    assert.match(heard.closes[0]!.message, pattern);
  }
});

test("websocket: what answers and is no proxy of ours is left, and text among the bytes ends the connection", async () => {
  const { connecting, double } = dialled(factory);
  double.tell("message", { data: "hello, this is a chat" });
  await assert.rejects(connecting, /is no sluice proxy/);
  assert.ok(double.closes.length > 0);
  const other = dialled(factory);
  other.double.tell("message", { data: "connected" });
  await other.connecting;
  other.double.tell("message", { data: "what?" });
  await Promise.resolve();
  assert.match(other.heard.closes[0]!.message, /text among the bytes/);
});

test("websocket: an attempt that is given up or takes too long closes what it has opened", async () => {
  const controller = new AbortController();
  const events = { onData: () => {}, onClose: () => {} };
  const attempt = factory.connect({ host: "k", port: 1, signal: controller.signal }, events);
  const double = Double.last;
  controller.abort();
  await assert.rejects(attempt, /given up/);
  assert.deepEqual(double.closes, [1000]);
  const slow = factory.connect({ host: "k", port: 1, timeoutMs: 1 }, events);
  const other = Double.last;
  await assert.rejects(slow, /longer than 1 ms/);
  assert.deepEqual(other.closes, [1000]);
  // It comes up with a connection after all.
  other.tell("message", { data: "connected" });
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert.ok(other.closes.length >= 1);
});

test("websocket: TLS with the broker is refused when the producer is made, and so is what is no address", () => {
  assert.throws(
    () => new Producer({ brokers: "k:1", connect: factory, tls: { ca: "x" } }),
    (error) => error instanceof ConfigError && /tls/.test(error.message),
  );
  for (const url of ["http://proxy", "proxy:1", "", undefined, 5]) {
    assert.throws(() => webSocketConnect(url as string, { webSocket: Double }), /"wss:\/\/…" or "ws:\/\/…"/);
  }
  for (const url of ["wss://me:pass@proxy", "https://me:pass@proxy", "me:pass@proxy", new URL("ws://me:pass@proxy")]) {
    assert.throws(() => webSocketConnect(url, { webSocket: Double }), (error: Error) => {
      return error instanceof ConfigError && /"token"/.test(error.message) && !error.message.includes("pass");
    });
  }
  assert.throws(() => webSocketConnect("wss://p", { webSocket: "ws" as never }), ConfigError);
  assert.throws(() => webSocketConnect("wss://p", { token: 5 as never, webSocket: Double }), ConfigError);
  assert.throws(() => webSocketConnect("wss://p", { tokens: "x" } as never), /tokens/);
});

test("websocket: tls true is refused by the first attempt, with what to do instead", async () => {
  const attempt = factory.connect({ host: "k", port: 1, tls: true }, { onData: () => {}, onClose: () => {} });
  await assert.rejects(attempt, (error) => error instanceof ConfigError && /--broker-tls/.test(error.message));
});

test("websocket: the token stands in nothing that can be printed, whatever goes wrong", async () => {
  const token = "a-t0ken-that-nobody-sees";
  const connect = webSocketConnect("wss://proxy.example", { token, webSocket: Double });
  const producer = new Producer({ brokers: "k:1", connect, maxBlockMs: 1 });
  const failures: unknown[] = [await producer.connect().catch((error: unknown) => error)];
  for (const code of [4400, 4401, 4402, 4403, 4429, 4502, 1006]) {
    const { connecting, double } = dialled(connect);
    double.tell("error", { message: "it failed" });
    double.tell("close", { code, reason: "a reason" });
    failures.push(await connecting.catch((error: unknown) => error));
  }
  await producer.close();
  assert.deepEqual(leaksIn(everythingOf([connect, producer, producer.metrics(), ...failures]), [token]), []);
});
