/** The option `connect` in all its forms, against real TCP. */

import assert from "node:assert/strict";
import { AuthenticationError, ConfigError, ConnectionError } from "../../src/errors.ts";
import { builtinModule } from "../../src/runtime/builtin.ts";
import {
  type ConnectAddress,
  type ConnectDetails,
  type Connected,
  fromNodeSocket,
  type NodeStream,
  type SocketFactory,
  socketsOf,
  socks5,
  type TlsOptions,
} from "../../src/runtime/mod.ts";
import { validateConfig } from "../../mod.ts";
import { runtimeName, test, type TestContext } from "../harness.ts";
import { bytesOf, noise, Peer, serverPorts, sha256, sockets } from "./peer.ts";

const host = "127.0.0.1";
const silent = { onData: () => {}, onClose: () => {} };

/** A stream of Node to an address, where there is one: on workerd by its imitation of `node:net`. */
function nodeStream({ host, port }: { readonly host: string; readonly port: number }): NodeStream {
  const net = builtinModule<{ connect(options: object): NodeStream }>("node:net")!;
  return net.connect({ host, port });
}

/** Streams of the web to an address, made of the runtime's own sockets; what a TCP library for the web would give. */
async function webStreams({ host, port, signal }: Pick<ConnectAddress, "host" | "port" | "signal">): Promise<
  { readable: ReadableStream<Uint8Array>; writable: WritableStream<Uint8Array>; opened: Promise<unknown> }
> {
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  const readable = new ReadableStream<Uint8Array>({
    start: (given) => void (controller = given),
    cancel: () => socket.destroy(),
  });
  const socket = await sockets.connect({ host, port, ...(signal === undefined ? {} : { signal }) }, {
    onData: (chunk) => controller.enqueue(chunk.slice()),
    onClose(error) {
      try {
        if (error === undefined) controller.close();
        else controller.error(error);
      } catch {
        // cancelled
      }
    },
  });
  const writable = new WritableStream<Uint8Array>({
    async write(chunk) {
      if (!socket.write(chunk.slice())) await socket.drained();
    },
    close: () => socket.close(),
    abort: () => socket.destroy(),
  });
  return { readable, writable, opened: Promise.resolve() };
}

/** Everything that the option may be; each leads to the address that it is given. */
const forms: Record<string, SocketFactory> = {
  "a function that returns a stream of Node": socketsOf((address) => nodeStream(address)),
  "a function that returns fromNodeSocket": socketsOf(async (address) => fromNodeSocket(await nodeStream(address))),
  "a function that returns streams of the web": socketsOf((address) => webStreams(address)),
  "an object with connect()": socketsOf({ connect: (address: ConnectAddress) => webStreams(address) }),
  "a function as a SocketFactory has it": socketsOf((address, events) => sockets.connect(address, events)),
  "a SOCKS5 proxy": socks5({ host, port: serverPorts().socks }),
  "a SOCKS5 proxy with a password": socks5({
    ...{ host, port: serverPorts().socksWithPassword, username: "user", password: "secret" },
  }),
  "a SOCKS5 proxy behind a SocketFactory": socks5({ host, port: serverPorts().socks, connect: sockets }),
  "a SOCKS5 proxy behind a function": socks5({
    ...{ host, port: serverPorts().socks, connect: (address: ConnectAddress) => webStreams(address) },
  }),
};

for (const [name, factory] of Object.entries(forms)) {
  test(`connect: ${name}: bytes go both ways, and an end is told once`, async (t) => {
    const peer = await Peer.connect(t, serverPorts().echo, factory);
    const parts = Array.from({ length: 60 }, (_, i) => noise([3, 2_000, 70_000][i % 3]!, i));
    for (const part of parts) {
      if (!peer.socket.write(part)) await peer.socket.drained();
    }
    const total = parts.reduce((sum, part) => sum + part.byteLength, 0);
    await peer.until(() => peer.received.byteLength >= total || peer.closes.length > 0);
    assert.equal(await sha256([peer.received]), await sha256(parts));
    peer.socket.close();
    await peer.until(() => peer.closes.length > 0);
    assert.deepEqual(peer.closes, [undefined]);
  });

  test(`connect: ${name}: what fails is a ConnectionError that names the broker`, async () => {
    const port = serverPorts().refused;
    await assert.rejects(factory.connect({ host, port, timeoutMs: 10_000 }, silent), (error) => {
      assert.ok(error instanceof ConnectionError, String(error));
      assert.ok(error.message.includes(`127.0.0.1:${port}`), error.message);
      assert.equal(error.retriable, true);
      return true;
    });
  });
}

test("connect: a peer that ends, resets or hangs is told with all forms alike", async (t) => {
  for (const [name, factory] of Object.entries(forms)) {
    const bye = await commandTo(t, factory, { mode: "bye" });
    await bye.until(() => bye.closes.length > 0);
    assert.equal(new TextDecoder().decode(bye.received), "bye", name);
    const attempt = factory.connect({ host, port: serverPorts().hung, timeoutMs: 100 }, silent);
    await assert.rejects(attempt, (error) => error instanceof ConnectionError && /100 ms/.test(error.message), name);
    const controller = new AbortController();
    const aborted = factory.connect({ host, port: serverPorts().hung, signal: controller.signal }, silent);
    setTimeout(() => controller.abort("enough"), 10);
    await assert.rejects(aborted, (error) => error instanceof ConnectionError && error.cause === "enough", name);
  }
});

async function commandTo(t: TestContext, factory: SocketFactory, command: Record<string, unknown>): Promise<Peer> {
  const peer = await Peer.connect(t, serverPorts().modes, factory);
  peer.socket.write(bytesOf(`${JSON.stringify(command)}\n`));
  return peer;
}

test("connect: a socket of Node sends small packets at once and is kept alive, whatever its maker chose", async (t) => {
  const calls: string[] = [];
  const factory = socketsOf((address) => {
    const stream = nodeStream(address);
    for (const name of ["setNoDelay", "setKeepAlive"] as const) {
      Object.defineProperty(stream, name, {
        value: (...args: unknown[]) => void calls.push(`${name} ${args.join(" ")}`),
      });
    }
    return stream;
  });
  await commandTo(t, factory, { mode: "bye" });
  assert.deepEqual(calls.map((call) => call.replace(/ \d+$/, " ms")), ["setNoDelay true", "setKeepAlive true ms"]);
});

test("connect: a function is told where to connect, by both names, and whether to speak TLS", async () => {
  const calls: [ConnectAddress, ConnectDetails][] = [];
  const factory = socketsOf((...call) => {
    calls.push(call);
    throw new Error("not today");
  });
  for (const tls of [undefined, false, true, {}]) {
    const options = { host: "broker", port: 9092, ...(tls === undefined ? {} : { tls }) };
    await assert.rejects(factory.connect(options, silent), /Connecting to "broker:9092" failed: not today/);
  }
  assert.deepEqual(
    calls.map(([{ host, hostname, port }]) => [host, hostname, port]),
    new Array(4).fill(["broker", "broker", 9092]),
  );
  assert.deepEqual(calls.map(([, { secureTransport }]) => secureTransport), ["off", "off", "on", "on"]);
});

test("connect: a method is called on its object", async () => {
  const binding = {
    calls: 0,
    connect(): Connected {
      this.calls++;
      throw new Error("called");
    },
  };
  await assert.rejects(socketsOf(binding).connect({ host: "broker", port: 9092 }, silent), /called/);
  assert.equal(binding.calls, 1);
});

test("connect: streams of the web that don't say that they speak TLS get no byte when it was asked for", async () => {
  let cancelled = 0;
  const written: unknown[] = [];
  const streams = (secureTransport?: string): Connected => ({
    readable: new ReadableStream({ cancel: () => void cancelled++ }),
    writable: new WritableStream({ write: (chunk) => void written.push(chunk) }),
    ...(secureTransport === undefined ? {} : { secureTransport }),
  });
  for (const said of [undefined, "off", "starttls"]) {
    await assert.rejects(
      socketsOf(() => streams(said)).connect({ host: "broker", port: 9092, tls: true }, silent),
      (error) => error instanceof ConfigError && error.option === "connect" && /secureTransport/.test(error.message),
    );
  }
  assert.equal(cancelled, 3);
  assert.deepEqual(written, []);
  const socket = await socketsOf(() => streams("on")).connect({ host: "broker", port: 9092, tls: true }, silent);
  socket.destroy();
});

test("connect: what is no connection is refused with what may be returned", async () => {
  for (const odd of [undefined, null, 5, "socket", {}, { readable: 1 }, [], () => {}]) {
    await assert.rejects(
      socketsOf(() => odd as never).connect({ host: "broker", port: 9092 }, silent),
      (error) => error instanceof ConfigError && /^Return a connection from "connect": /.test(error.message),
    );
  }
  for (const odd of [undefined, null, 5, {}, { on() {}, write() {} }]) {
    assert.throws(() => fromNodeSocket(odd as never), (error) => error instanceof ConfigError);
  }
});

test("connect: a stream of text, or of objects, ends the connection with the reason", async () => {
  for (const chunk of ["text", { an: "object" }, 5]) {
    const closed = new Promise<Error | undefined>((resolve) => {
      const readable = new ReadableStream({ start: (controller) => controller.enqueue(chunk) });
      const factory = socketsOf(() => ({ readable, writable: new WritableStream() }));
      void factory.connect({ host: "broker", port: 9092 }, { onData: () => {}, onClose: resolve });
    });
    assert.match(String(await closed), /Let the stream that "connect" has opened give bytes/);
  }
});

test("connect: the producer takes every form, and refuses what can't connect", () => {
  const brokers = "broker:9092";
  const all = [() => webStreams({ host, port: 1 }), { connect: () => webStreams({ host, port: 1 }) }, sockets];
  for (const connect of [...all, socks5({ host })]) validateConfig({ brokers, connect });
  for (const connect of [null, 5, "127.0.0.1:1080", {}, { connect: 5 }, []]) {
    assert.throws(
      () => validateConfig({ brokers, connect: connect as never }),
      (error) => error instanceof ConfigError && error.option === "connect",
    );
  }
});

test("connect: TLS options that nobody would heed are refused when the producer is made", () => {
  const options = {
    brokers: "broker:9092",
    tls: { ca: "-----BEGIN CERTIFICATE-----" },
    connect: () => webStreams({ host, port: 1 }),
  };
  if (runtimeName !== "workerd") return validateConfig(options);
  assert.throws(() => validateConfig(options), (error) => error instanceof ConfigError && error.option === "tls.ca");
});

test("socks5: the proxy looks up names, and takes addresses of both kinds as they are", async (t) => {
  const factory = socks5({ host, port: serverPorts().socks });
  const peer = await Peer.connect(t, serverPorts().echo, factory, { host: "kafka.internal" });
  peer.socket.write(bytesOf("by name"));
  await peer.until(() => peer.received.byteLength === 7);
  const asked: string[] = [];
  for (const target of ["10.1.2.3", "::1", "2001:db8::7:1", "::ffff:1.2.3.4", "broker.example"]) {
    await socks5({ host: "proxy", connect: scripted([[5, 0], [5, 4, 0, 1, 0, 0, 0, 0, 0, 0]], asked) })
      .connect({ host: target, port: 0x2384 }, silent).catch(() => {});
  }
  const name = [...bytesOf("broker.example")].map(hex).join("");
  assert.deepEqual(asked.filter((_, index) => index % 2 === 1), [
    "05010001" + "0a010203" + "2384",
    "05010004" + "00000000000000000000000000000001" + "2384",
    "05010004" + "20010db8000000000000000000070001" + "2384",
    "05010004" + "00000000000000000000ffff01020304" + "2384",
    "050100030e" + name + "2384",
  ]);
});

const hex = (byte: number): string => byte.toString(16).padStart(2, "0");

/** A proxy that answers each write with the next of the given answers, and notes what it was asked. */
function scripted(answers: readonly (readonly number[])[], asked: string[] = []): () => Connected {
  return () => {
    const rest = [...answers];
    let controller!: ReadableStreamDefaultController<Uint8Array>;
    return {
      readable: new ReadableStream<Uint8Array>({ start: (given) => void (controller = given) }),
      writable: new WritableStream<Uint8Array>({
        write(chunk) {
          asked.push([...chunk].map(hex).join(""));
          const answer = rest.shift();
          if (answer === undefined) controller.close();
          else controller.enqueue(Uint8Array.from(answer));
        },
      }),
    };
  };
}

test("socks5: each refusal of the proxy is told in words, with the proxy's address and the broker's", async () => {
  const cases: [readonly (readonly number[])[], RegExp, typeof ConnectionError | typeof AuthenticationError][] = [
    [[], /closed the connection/, ConnectionError],
    [[[72, 84]], /speaks no SOCKS5/, ConnectionError],
    [[[4, 0]], /speaks no SOCKS5/, ConnectionError],
    [[[5, 0xff]], /wants some/, AuthenticationError],
    [[[5, 1]], /wants an authentication that wasn't offered \(1\)/, ConnectionError],
    [[[5, 2]], /wants an authentication that wasn't offered \(2\)/, ConnectionError],
    [[[5, 0], [5, 1, 0, 1]], /it has failed in general/, ConnectionError],
    [[[5, 0], [5, 2, 0, 1]], /its rules don't allow it/, ConnectionError],
    [[[5, 0], [5, 3, 0, 1]], /the network can't be reached/, ConnectionError],
    [[[5, 0], [5, 4, 0, 1]], /the host can't be reached/, ConnectionError],
    [[[5, 0], [5, 5, 0, 1]], /the connection was refused/, ConnectionError],
    [[[5, 0], [5, 6, 0, 1]], /the time to live has expired/, ConnectionError],
    [[[5, 0], [5, 7, 0, 1]], /doesn't know the command/, ConnectionError],
    [[[5, 0], [5, 8, 0, 1]], /doesn't know this type of address/, ConnectionError],
    [[[5, 0], [5, 99, 0, 1]], /it answers 99/, ConnectionError],
    [[[5, 0], [4, 0, 0, 1]], /speaks no SOCKS5/, ConnectionError],
  ];
  for (const [answers, message, kind] of cases) {
    const factory = socks5({ host: "proxy", connect: scripted(answers) });
    await assert.rejects(factory.connect({ host: "broker", port: 9092, timeoutMs: 5_000 }, silent), (error) => {
      assert.ok(error instanceof kind, String(error));
      assert.match(error.message, message);
      assert.match(error.message, /proxy:1080/);
      assert.equal(error.broker, "broker:9092");
      return true;
    });
  }
});

test("socks5: a wrong password is an AuthenticationError that doesn't say it", async () => {
  const port = serverPorts().socksWithPassword;
  const wrong = socks5({ host, port, username: "user", password: "wr0ng-s3cret" });
  await assert.rejects(wrong.connect({ host, port: serverPorts().echo }, silent), (error) => {
    assert.ok(error instanceof AuthenticationError);
    assert.match(error.message, /^Change "username" and "password" of socks5: .*refuses them\.$/);
    assert.equal(error.retriable, false);
    assert.ok(!JSON.stringify(error).includes("wr0ng"));
    return true;
  });
  assert.ok(!JSON.stringify(wrong).includes("wr0ng"));
  const forbidden = socks5({ host, port, username: "user", password: "secret" });
  const attempt = forbidden.connect({ host: "forbidden.internal", port: serverPorts().echo }, silent);
  await assert.rejects(attempt, /its rules don't allow it/);
});

test("socks5: a proxy that isn't there is told from a broker that isn't", async () => {
  const port = serverPorts().refused;
  const attempt = socks5({ host, port }).connect({ host: "broker", port: 9092 }, silent);
  await assert.rejects(attempt, (error) => {
    assert.ok(error instanceof ConnectionError, String(error));
    assert.match(
      error.message,
      new RegExp(`Connecting to "broker:9092" failed: the SOCKS5 proxy at "127.0.0.1:${port}"`),
    );
    return true;
  });
});

test("socks5: options that can't be meant are refused by name", () => {
  const cases: [unknown, string][] = [
    [undefined, "socks5"],
    ["proxy:1080", "socks5"],
    [{}, "host"],
    [{ host: "" }, "host"],
    [{ host: 5 }, "host"],
    [{ host, port: 0 }, "port"],
    [{ host, port: "1080" }, "port"],
    [{ host, port: 65_536 }, "port"],
    [{ host, username: "u" }, "password"],
    [{ host, password: "p" }, "username"],
    [{ host, username: "", password: "p" }, "username"],
    [{ host, username: "u", password: "p".repeat(256) }, "password"],
    [{ host, user: "u" }, "user"],
    [{ host, connect: 5 }, "connect"],
  ];
  for (const port of [1, 65_535]) socks5({ host, port });
  for (const [options, option] of cases) {
    assert.throws(() => socks5(options as never), (error) => {
      assert.ok(error instanceof ConfigError, String(error));
      assert.equal(error.option, option);
      assert.ok(!error.message.includes("ppp"));
      return true;
    });
  }
});

/** The forms that TLS can be spoken through. */
const tlsForms = [
  "a SOCKS5 proxy",
  "a SOCKS5 proxy with a password",
  "a SOCKS5 proxy behind a SocketFactory",
  "a function that returns a stream of Node",
  "a function that returns fromNodeSocket",
];

/** Trusts the tests' authority, which workerd can be told in its configuration only. */
function trusting(more: TlsOptions = {}): TlsOptions {
  return runtimeName === "workerd" ? {} : { ca: serverPorts().tls.ca, ...more };
}

test("connect: TLS is spoken through proxies and streams of Node, with all that it is told, or refused", async (t) => {
  const { ports, client } = serverPorts().tls;
  const host = "localhost";
  for (const name of tlsForms) {
    const factory = forms[name]!;
    if (runtimeName === "workerd" && !/SOCKS5 proxy( with|$)/.test(name)) {
      const attempt = factory.connect({ host, port: ports.good, tls: true }, silent);
      await assert.rejects(
        attempt,
        (error) => error instanceof ConfigError && /cloudflare:sockets/.test(error.message),
      );
      continue;
    }
    const peer = await Peer.connect(t, ports.good, factory, { host, tls: trusting() });
    const parts = Array.from({ length: 60 }, (_, i) => noise([3, 2_000, 70_000][i % 3]!, i));
    const total = parts.reduce((sum, part) => sum + part.byteLength, 0);
    for (const part of parts) peer.socket.write(part);
    await peer.until(() => peer.received.byteLength >= total || peer.closes.length > 0);
    assert.equal(await sha256([peer.received]), await sha256(parts), name);
    for (const server of ["elsewhere", "untrusted", "expired"] as const) {
      const attempt = factory.connect({ host, port: ports[server], tls: trusting(), timeoutMs: 10_000 }, silent);
      await assert.rejects(attempt, (error) => {
        assert.ok(
          error instanceof (runtimeName === "workerd" ? ConnectionError : AuthenticationError),
          `${name}: ${error}`,
        );
        return true;
      });
    }
    if (runtimeName === "workerd") continue;
    const { cert, key } = client;
    const mutual = await Peer.connect(t, ports.mutual, factory, { host, tls: trusting({ cert, key }) });
    mutual.socket.write(bytesOf("hello"));
    await mutual.until(() => mutual.received.byteLength === 5 || mutual.closes.length > 0);
    assert.deepEqual(mutual.closes, [], name);
    const lax = await Peer.connect(t, ports.untrusted, factory, { host, tls: { verify: "none" } });
    lax.socket.write(bytesOf("hello"));
    await lax.until(() => lax.received.byteLength === 5 || lax.closes.length > 0);
    assert.deepEqual(lax.closes, [], name);
  }
});
