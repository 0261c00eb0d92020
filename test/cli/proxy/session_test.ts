/** One connection through `sluice proxy`, between a client and a broker that are slow, silent or gone. */

import assert from "node:assert/strict";
import { type ProxyHost, Session, type SessionClock, type Stream } from "../../../src/cli/proxy/session.ts";
import { VirtualRuntime } from "../../../src/testing/mod.ts";
import { test, type TestContext } from "../../harness.ts";
import { bytesOf } from "../../runtime/peer.ts";
import { clientFrame, upgradeHead } from "../../runtime/raw_web_socket.ts";

/** As much of a stream of Node as a session uses, which takes what it is told to. */
class HalfStream {
  written = "";
  /** What `write` answers: false is a full buffer. */
  hasRoom = true;
  destroyed = false;
  writableEnded = false;
  readonly listeners: { event: string; listener: (value: never) => void; isOnce: boolean }[] = [];
  #isPaused = false;

  on(event: string, listener: (value: never) => void): this {
    this.listeners.push({ event, listener, isOnce: false });
    return this;
  }

  once(event: string, listener: (value: never) => void): this {
    this.listeners.push({ event, listener, isOnce: true });
    return this;
  }

  emit(event: string, value?: unknown): void {
    for (const each of this.listeners.filter((listener) => listener.event === event)) {
      if (each.isOnce) this.listeners.splice(this.listeners.indexOf(each), 1);
      each.listener(value as never);
    }
  }

  write(bytes: Uint8Array | string): boolean {
    this.written += typeof bytes === "string" ? bytes : String.fromCharCode(...bytes);
    return this.hasRoom;
  }

  end(): void {
    this.writableEnded = true;
  }

  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.emit("close");
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
  }

  isPaused(): boolean {
    return this.#isPaused;
  }

  cork(): void {}

  uncork(): void {}

  waitsFor(event: string): number {
    return this.listeners.filter((listener) => listener.event === event).length;
  }
}

interface Scene {
  readonly client: HalfStream;
  readonly broker: HalfStream;
  /** How many places are taken. */
  readonly places: () => number;
  /** The session has asked for the broker. */
  readonly dialed: Promise<void>;
  /** The broker answers the dial. */
  reach(): void;
}

function scene(t: TestContext, clock?: SessionClock): Scene {
  const [client, broker] = [new HalfStream(), new HalfStream()];
  let places = 0;
  let reach = (): void => {};
  let isDialed = (): void => {};
  const dialed = new Promise<void>((resolve) => isDialed = resolve);
  const reached = new Promise<void>((resolve) => reach = resolve);
  const host: ProxyHost = {
    rules: { allow: ["kafka:9092"], token: undefined, origins: [], maxBytes: Infinity, maxIdleMs: 600_000 },
    enter: () => ++places > 0,
    leave: () => void places--,
    dial: async () => {
      isDialed();
      await reached;
      return broker as unknown as Stream;
    },
    onRefused: () => {},
  };
  const session = new Session(client as unknown as Stream, host, clock);
  t.after(() => session.end());
  client.emit("data", bytesOf(upgradeHead("/?broker=kafka:9092")));
  return { client, broker, places: () => places, dialed, reach };
}

/** A turn of the event loop each time, so that a test that waits in vain fails when its time is up. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 0));
}

async function connected(t: TestContext, clock?: SessionClock): Promise<Scene> {
  const made = scene(t, clock);
  await made.dialed;
  made.reach();
  await until(() => made.client.written.endsWith("connected"));
  return made;
}

test("proxy: a client that reads slowly holds its broker up, and nobody else's memory", async (t) => {
  const { broker, client } = await connected(t);
  client.hasRoom = false;
  for (const part of ["one", "two", "three"]) broker.emit("data", bytesOf(part));
  assert.equal(broker.isPaused(), true);
  assert.equal(client.waitsFor("drain"), 1);
  client.emit("drain");
  assert.equal(broker.isPaused(), false);
  assert.match(client.written, /one.*two.*three$/s);
});

test("proxy: a broker that reads slowly holds its client up once, however many frames a chunk has", async (t) => {
  const { broker, client } = await connected(t);
  broker.hasRoom = false;
  const frame = clientFrame(2, bytesOf("request"));
  const chunk = new Uint8Array(frame.length * 100);
  for (let i = 0; i < 100; i++) chunk.set(frame, i * frame.length);
  client.emit("data", chunk);
  assert.equal(client.isPaused(), true);
  assert.equal(broker.waitsFor("drain"), 1);
  broker.emit("drain");
  assert.equal(client.isPaused(), false);
  assert.equal(broker.written, "request".repeat(100));
});

test("proxy: a client that answers no ping is given up, but not while it isn't read because its broker is slow", async (t) => {
  const runtime = new VirtualRuntime();
  const { broker, client } = await connected(t, runtime);
  await runtime.advance(60_000);
  broker.hasRoom = false;
  client.emit("data", clientFrame(2, bytesOf("request")));
  assert.equal(client.isPaused(), true);
  await runtime.advance(300_000);
  assert.equal(client.destroyed, false);
  broker.emit("drain");
  await runtime.advance(59_000);
  assert.equal(client.destroyed, false);
  await runtime.advance(31_000);
  assert.equal(client.destroyed, true);
});

test("proxy: a client that vanishes takes its broker's connection and its place with it", async (t) => {
  const { broker, client, places } = await connected(t);
  assert.equal(places(), 1);
  client.destroy();
  assert.deepEqual([broker.destroyed, places()], [true, 0]);
});

test("proxy: a client that vanishes while its broker is dialed leaves no connection behind", async (t) => {
  const { broker, client, dialed, places, reach } = scene(t);
  await dialed;
  assert.equal(places(), 1);
  client.destroy();
  assert.equal(places(), 0);
  reach();
  await until(() => broker.destroyed);
  assert.equal(broker.listeners.length, 0);
});

test("proxy: a broker that breaks is told by code and reason, one that ends by a regular close", async (t) => {
  const broken = await connected(t);
  broken.broker.emit("error", new Error("read ECONNRESET"));
  broken.broker.destroy();
  // 4500
  assert.ok(broken.client.written.includes("\x11\x94read ECONNRESET"), broken.client.written);
  assert.equal(broken.client.writableEnded, true);

  const ended = await connected(t);
  ended.broker.emit("end");
  // 1000
  assert.ok(ended.client.written.endsWith("\x88\x02\x03\xe8"), ended.client.written);
  assert.equal(ended.client.writableEnded, true);
});
