/** Producers through `sluice proxy` and a WebSocket, on real ports. */

import assert from "node:assert/strict";
import {
  AuthenticationError,
  ConfigError,
  type KafkaError,
  Producer,
  type ProducerHooks,
  type ProducerOptions,
} from "../../../mod.ts";
import { readWords } from "../../../src/cli/words.ts";
import { proxySpec } from "../../../src/cli/options.ts";
import { proxyOptions, runProxy } from "../../../src/cli/proxy/command.ts";
import { type ListeningProxy, listenProxy, type ProxyOptions } from "../../../src/cli/proxy/server.ts";
import { type WebSocketClass, webSocketConnect } from "../../../src/runtime/mod.ts";
import { EmbeddedCluster } from "../../../src/testing/mod.ts";
import { test, type TestContext } from "../../harness.ts";
import { clientFrame, RawWebSocket, upgradeHead } from "../../runtime/raw_web_socket.ts";
import { bytesOf, Peer } from "../../runtime/peer.ts";
import { world } from "../world.ts";

/** Code 1002 of a close frame. */
const protocolError = new RegExp(String.fromCharCode(3, 0xea));
/** The runtime's own, or ours on Node 20. */
const webSocket = (globalThis as unknown as { WebSocket?: WebSocketClass }).WebSocket ?? RawWebSocket;

interface Scene {
  readonly cluster: EmbeddedCluster;
  readonly proxy: ListeningProxy;
  readonly refused: string[];
  producer(token?: string, options?: Partial<ProducerOptions>): Producer;
}

async function scene(t: TestContext, rules: Partial<ProxyOptions> = {}, brokers = 1): Promise<Scene> {
  const cluster = new EmbeddedCluster({ brokers, topics: { orders: 3 } });
  const listening = await cluster.listen();
  const refused: string[] = [];
  const proxy = await listenProxy({
    ...{ host: "127.0.0.1", port: 0, allow: listening.brokers.split(","), token: "secret", origins: [] },
    ...{ certificate: undefined, brokerTls: undefined, maxConnections: 10, maxBytes: Infinity, maxIdleMs: 600_000 },
    ...{ connectTimeoutMs: 5_000, onRefused: (reason: string) => void refused.push(reason), ...rules },
  });
  t.after(async () => {
    await proxy.close();
    await cluster.close();
  });
  const producer = (token = "secret", options: Partial<ProducerOptions> = {}): Producer => {
    const made = new Producer({
      brokers: listening.address,
      connect: webSocketConnect(proxy.url, { token, webSocket }),
      ...options,
    });
    t.after(() => made.close({ timeoutMs: 1_000 }).catch(() => {}));
    return made;
  };
  return { cluster, proxy, refused, producer };
}

async function failureOf(promise: Promise<unknown>): Promise<KafkaError> {
  return await promise.then(() => assert.fail("It went well, wanted an error"), (error) => error as KafkaError);
}

test(
  "proxy: records of all sizes go through a WebSocket to three brokers, in order and once",
  { needs: "listen" },
  async (t) => {
    const { cluster, producer, proxy } = await scene(t, {}, 3);
    const p = producer();
    const value = (i: number): string => `${i}:${"x".repeat([3, 500, 70_000][i % 3]!)}`;
    await Promise.all(
      Array.from({ length: 300 }, (_, i) => p.send({ topic: "orders", partition: i % 3, value: value(i) })),
    );
    const records = await cluster.records("orders");
    const texts = records.map((record) => new TextDecoder().decode(record.value!));
    const wanted = [0, 1, 2].flatMap((partition) => Array.from({ length: 100 }, (_, i) => value(3 * i + partition)));
    assert.deepEqual(texts, wanted);
    assert.ok(proxy.connections >= 1);
    await p.close();
  },
);

test("proxy: a broker that slows down slows its client down, and nothing is lost", { needs: "listen" }, async (t) => {
  const { cluster, producer } = await scene(t);
  const p = producer("secret", { batchSize: 200_000, maxInFlight: 5 });
  const value = new Uint8Array(100_000).fill(7);
  await Promise.all(Array.from({ length: 200 }, () => p.send({ topic: "orders", partition: 0, value })));
  assert.equal(cluster.endOffset("orders", 0), 200n);
  await p.close();
});

test("proxy: a wrong token and none at all are AuthenticationErrors at once, and the broker hears nothing", {
  needs: "listen",
}, async (t) => {
  const { cluster, producer, proxy, refused } = await scene(t);
  for (const connect of [undefined, webSocketConnect(proxy.url, { webSocket })]) {
    const error = await failureOf(producer("wrong", connect === undefined ? {} : { connect }).connect());
    assert.ok(error instanceof AuthenticationError, String(error));
    assert.match(error.message, /Change "token" of webSocketConnect/);
    assert.ok(!error.message.includes("wrong"));
  }
  assert.deepEqual(cluster.requests, []);
  assert.ok(refused.every((reason) => reason === "the token is wrong"));
});

test("proxy: a broker that is not allowed, and one that is down, are told in words", { needs: "listen" }, async (t) => {
  const { producer } = await scene(t, { allow: ["kafka.internal:9092", "127.0.0.1:1"] });
  const connect = async (brokers: string): Promise<string> =>
    (await failureOf(producer("secret", { brokers, maxBlockMs: 60_000 }).connect())).message;
  assert.match(await connect("127.0.0.1:22"), /doesn't lead to this broker \(sluice proxy --allow\)/);
  assert.match(await connect("127.0.0.1:1"), /it can't reach the broker: .*ECONNREFUSED|refused/i);
});

test("proxy: connections and bytes are bounded, and a place that was left is free", { needs: "listen" }, async (t) => {
  const { producer, proxy } = await scene(t, { maxConnections: 1 });
  const first = producer();
  await first.connect();
  assert.equal(proxy.connections, 1);
  const error = await failureOf(producer("secret", { maxBlockMs: 60_000 }).connect());
  assert.match(error.message, /as many connections as it takes/);
  await first.close();
  await until(() => proxy.connections === 0);
  const next = producer();
  await next.connect();
  await next.close();

  const small = await scene(t, { maxBytes: 2_000 });
  const lost: string[] = [];
  const p = small.producer("secret", {
    ...{ deliveryTimeoutMs: 1_000, requestTimeoutMs: 1_000 },
    hooks: { onDisconnect: ({ error }) => void lost.push(`${(error.cause as Error).message}`) },
  });
  await failureOf(p.send({ topic: "orders", value: "x".repeat(5_000) }));
  assert.ok(lost.length > 0 && lost.every((message) => /more than the proxy takes/.test(message)), lost.join("\n"));
});

test("proxy: a page comes in by its origin only", { needs: "listen" }, async (t) => {
  const { proxy } = await scene(t, { origins: ["https://app.example"], allow: ["127.0.0.1:1"] });
  t.after(() => void (RawWebSocket.headers = {}));
  const attempt = async (origin: string): Promise<KafkaError> => {
    RawWebSocket.headers = { Origin: origin };
    const factory = webSocketConnect(proxy.url, { token: "secret", webSocket: RawWebSocket });
    return await failureOf(factory.connect({ host: "127.0.0.1", port: 1 }, { onData() {}, onClose() {} }));
  };
  assert.match((await attempt("https://evil.example")).message, /--origin/);
  assert.match((await attempt("null")).message, /--origin/);
  assert.match((await attempt("https://app.example")).message, /can't reach the broker/);
});

test(
  "proxy: garbage, plain HTTP and wrong frames are answered and ended, and others go on",
  { needs: "listen" },
  async (t) => {
    const { cluster, producer, proxy } = await scene(t);
    const p = producer();
    await p.connect();
    const port = Number(new URL(proxy.url).port);
    const exchange = async (...bytes: Uint8Array[]): Promise<string> => {
      const peer = await Peer.connect(t, port);
      for (const each of bytes) peer.socket.write(each);
      await peer.until(() => peer.closes.length > 0);
      return new TextDecoder("latin1").decode(peer.received);
    };
    assert.match(await exchange(bytesOf("GET / HTTP/1.1\r\nHost: x\r\n\r\n")), /^HTTP\/1\.1 426 Upgrade Required\r\n/);
    assert.match(await exchange(bytesOf("\x16\x03\x01garbage\r\n\r\n")), /^HTTP\/1\.1 400 Bad Request\r\n/);
    assert.match(await exchange(bytesOf("x".repeat(20_000))), /^HTTP\/1\.1 431 /);
    const broker = encodeURIComponent((await p.partitionsFor("orders")).length > 0 ? brokerOf(cluster) : "");
    const head = bytesOf(upgradeHead(`/?broker=${broker}`, { "Sec-WebSocket-Protocol": "sluice, token.c2VjcmV0" }));
    // 1002 in a close frame.
    assert.match(await exchange(head, clientFrame(2, bytesOf("x"), { isMasked: false })), protocolError);
    assert.match(await exchange(head, clientFrame(1, bytesOf("x"))), protocolError);
    await p.send({ topic: "orders", value: "still there" });
    await p.close();
  },
);

function brokerOf(cluster: EmbeddedCluster): string {
  const { host, port } = cluster.broker(1).endpoint("tcp");
  return `${host}:${port}`;
}

test("proxy: a broker that dies is told, and the producer finds the others", { needs: "listen" }, async (t) => {
  const { cluster, producer } = await scene(t, {}, 2);
  const p = producer();
  await Promise.all([0, 1, 2].map((partition) => p.send({ topic: "orders", partition, value: "v" })));
  for (const broker of cluster.brokers) broker.disconnectAll();
  await Promise.all([0, 1, 2].map((partition) => p.send({ topic: "orders", partition, value: "w" })));
  assert.equal((await cluster.records("orders")).length, 6);
  await p.close();
});

test(
  "proxy: what is written after sluice proxy is understood, and files are read",
  { needs: "command line" },
  async () => {
    const io = { ...world(["s3cret\n"]), env: {} };
    const parse = (...args: string[]): Promise<ProxyOptions> => proxyOptions(readWords(proxySpec, args), io);
    const options = await parse(
      "--allow",
      "a:1,*.kafka.internal:9092",
      "--allow",
      "[::1]:3",
      "--token-file",
      "t",
      "--origin",
      "*",
    );
    assert.deepEqual(options.allow, ["a:1", "*.kafka.internal:9092", "[::1]:3"]);
    assert.deepEqual([options.token, options.port, options.host, options.brokerTls], [
      "s3cret",
      8080,
      "127.0.0.1",
      undefined,
    ]);
    assert.deepEqual((await parse("--allow", "a:1", "--broker-tls")).brokerTls, {});
    const refusals: [string[], RegExp][] = [
      [[], /--allow HOST:PORT/],
      [["--allow", "a"], /"a", wanted HOST:PORT/],
      [["--allow", "*:9092"], /wanted HOST:PORT/],
      [["--allow", "a:0"], /wanted HOST:PORT/],
      [["--allow", "a:1", "--host", "0.0.0.0"], /--token-file FILE, or --without-token/],
      [["--allow", "a:1", "--cert", "c"], /go together/],
      [["--allow", "a:1", "--max-connections", "0"], /from 1/],
      [["--allow", "a:1", "--token-file", "missing"], /Cannot read "missing"/],
      [["--allow", "a:1", "x"], /wanted options only/],
    ];
    for (const [args, pattern] of refusals) {
      await assert.rejects(
        parse(...args),
        (error) => error instanceof ConfigError && pattern.test(error.message),
        args.join(" "),
      );
    }
    assert.equal((await parse("--allow", "a:1", "--host", "0.0.0.0", "--without-token")).token, undefined);
  },
);

test("proxy: sluice proxy says where it listens, and ends when it is interrupted", { needs: "listen" }, async () => {
  const io = world([]);
  const running = runProxy(readWords(proxySpec, ["--allow", "a:1", "--port", "0"]), io);
  while (io.out === "") await new Promise((resolve) => setTimeout(resolve, 1));
  assert.match(io.out, /^Listening on ws:\/\/127\.0\.0\.1:\d+\n$/);
  io.interrupt();
  assert.equal(await running, 0);
});

/** Waits for what no event tells. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 1));
}

test("proxy: a broker, or the proxy, that goes away in the middle is told in words, and no place is kept", {
  needs: "listen",
}, async (t) => {
  const { cluster, producer, proxy } = await scene(t);
  const lost: string[] = [];
  const refused: string[] = [];
  const hooks: ProducerHooks = {
    onDisconnect: ({ error }) => void lost.push(`${error.message} ${(error.cause as Error | undefined)?.message}`),
    onConnectFailed: ({ error }) => void refused.push(error.message),
  };
  const hasty = producer("secret", { deliveryTimeoutMs: 500, requestTimeoutMs: 500, hooks });
  await hasty.partitionsFor("orders");
  cluster.killBroker(1);
  await until(() => proxy.connections === 0);
  const error = await failureOf(hasty.send({ topic: "orders", value: "after" }));
  assert.match(lost.join(), /closed the connection/);
  assert.match(error.message, /never sent; it is not in the log/);
  await hasty.close();
  cluster.startBroker(1);
  const patient = producer("secret", { hooks });
  await patient.send({ topic: "orders", value: "again" });
  lost.length = refused.length = 0;
  await proxy.close();
  await until(() => lost.length > 0);
  assert.match(lost[0]!, /through the proxy at "ws:.*" was lost: \w/);
  const sent = failureOf(patient.send({ topic: "orders", value: "after" }));
  await until(() => refused.length > 0);
  assert.match(refused[0]!, /Connecting to .* failed: the proxy at "ws:[^"]*": \w/);
  assert.equal(proxy.connections, 0);
  await patient.close({ timeoutMs: 0 }).catch(() => {});
  await sent;
});

test("proxy: a client that gives up while a broker keeps silent leaves its place, and a dial has its own limit", {
  needs: "listen",
}, async (t) => {
  // What waits for the head of a request never answers who begins with TLS.
  const silent = await scene(t);
  const brokers = new URL(silent.proxy.url).host;
  const { producer, proxy } = await scene(t, { allow: [brokers], brokerTls: {}, connectTimeoutMs: 300 });
  const message = (await failureOf(producer("secret", { brokers, maxBlockMs: 60_000 }).connect())).message;
  assert.match(message, /it can't reach the broker: It took longer than 300 ms/);
  const stuck = producer("secret", { brokers });
  const connecting = failureOf(stuck.connect());
  await until(() => proxy.connections > 0);
  await stuck.close({ timeoutMs: 0 }).catch(() => {});
  await connecting;
  await until(() => proxy.connections === 0);
});

test("proxy: a connection on which nothing goes is ended in words", { needs: "listen" }, async (t) => {
  const { producer, proxy } = await scene(t, { maxIdleMs: 20 });
  const lost: string[] = [];
  const p = producer("secret", {
    hooks: {
      onDisconnect: ({ error }) => void lost.push(`${error.message} ${(error.cause as Error | undefined)?.message}`),
    },
  });
  await p.send({ topic: "orders", value: "v" });
  await until(() => proxy.connections === 0 && lost.length > 0);
  assert.match(lost[0]!, /the proxy ends what is idle \(sluice proxy --max-idle-ms\)/);
  await p.send({ topic: "orders", value: "w" });
});
