/**
 * The option `connect` in all its forms: a function, an object with a method `connect` as Workers have it, or a
 * {@link SocketFactory}.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { show } from "../show.ts";
import { builtinModule, isWorkerd } from "./builtin.ts";
import { dial } from "./dial.ts";
import { fromNodeSocket, isNodeStream, type NodeStream, NodeWire } from "./node_wire.ts";
import type { ConnectOptions, Socket, SocketCapabilities, SocketEvents, SocketFactory } from "./runtime.ts";
import { Relay, SocketWire } from "./socket_wire.ts";
import { isTlsRefusal } from "./tls_refusal.ts";
import { type ByteStreams, WebWire } from "./web_wire.ts";
import { givenUp, type Wire } from "./wire.ts";

/** Where a function is to connect to: a broker. */
export interface ConnectAddress extends ConnectOptions {
  /** The host name or address; as `host`, under the name that Workers and Deno have for it. */
  readonly hostname: string;
}

/** What a function is told besides the address. */
export interface ConnectDetails extends SocketEvents {
  /** `"on"`: speak TLS with the broker. `"starttls"`: be ready to begin with it later. */
  readonly secureTransport: "on" | "off" | "starttls";
  /** Always true: a broker's answers may come after we have ended. */
  readonly allowHalfOpen: true;
  /** Gives up on the attempt. */
  readonly signal: AbortSignal;
}

/** What a function may return: {@link fromNodeSocket}'s, streams of the web or of Node, or a {@link Socket}. */
export type Connected = Wire | ByteStreams | NodeStream | Socket;

/**
 * Opens a connection to a broker: `connect` of `cloudflare:sockets`, or one's own.
 *
 * Streams of Node are plain, and TLS is spoken through them. Streams of the web must speak TLS themselves when they are
 * told `secureTransport: "on"`, and say so by a `secureTransport` of their own.
 */
export type ConnectFunction = (address: ConnectAddress, details: ConnectDetails) => Connected | Promise<Connected>;

/** An object with such a function: a Workers VPC network, a service binding, the module `cloudflare:sockets`. */
export interface Connectable {
  /** Opens a connection to a broker. */
  // deno-lint-ignore no-explicit-any
  connect(address: any, details: any): Connected | Promise<Connected>;
}

/** Everything that opens connections. */
export type Connect = SocketFactory | ConnectFunction | Connectable;

/** Whether something is one of the forms. */
export function isConnect(value: unknown): value is Connect {
  if (typeof value === "function") return true;
  return typeof value === "object" && value !== null && typeof (value as Connectable).connect === "function";
}

/** A service binding has a stub for every name, which is a function. */
function isFactory(connect: Connect): connect is SocketFactory {
  return typeof connect === "object" && connect !== null && typeof (connect as SocketFactory).can === "object";
}

/** A factory out of any of the forms; one that is one stays the same. */
export function socketsOf(connect: Connect): SocketFactory {
  if (isFactory(connect)) return connect;
  const factory: SocketFactory = {
    name: "connect",
    can: capabilities(),
    connect: (options, events) =>
      dial(factory, options, async (cancelled) => {
        const relay = new Relay();
        const secureTransport = wantsTls(options) ? "on" : "off";
        const wire = await openWire(connect, options, { secureTransport, cancelled, relay });
        try {
          if (cancelled.aborted) throw givenUp(options);
          const ready = secureTransport === "on" && !wire.isSecure ? await secured(wire, options) : wire;
          return ready.start(options, events);
        } catch (error) {
          wire.abandon();
          throw error;
        }
      }, isTlsRefusal),
  };
  return factory;
}

/** Whether TLS is to be spoken. */
export function wantsTls({ tls }: ConnectOptions): boolean {
  return tls !== undefined && tls !== false;
}

/** TLS of our own making is Node's; elsewhere there is nothing to configure. */
export function capabilities(): SocketCapabilities {
  const all = builtinModule("node:tls") !== undefined && !isWorkerd();
  return { ca: all, clientCert: all, serverName: all, skipHostname: all, insecure: all, detached: !isWorkerd() };
}

/** Connects, and waits until bytes can go. */
export async function openWire(
  connect: Connect,
  options: ConnectOptions,
  { secureTransport, cancelled, relay }: {
    readonly secureTransport: ConnectDetails["secureTransport"];
    readonly cancelled: AbortSignal;
    readonly relay: Relay;
  },
): Promise<Wire> {
  if (isFactory(connect)) return await SocketWire.open(connect, { ...options, tls: false, signal: cancelled });
  const address: ConnectAddress = { ...options, hostname: options.host, signal: cancelled };
  const details: ConnectDetails = {
    secureTransport,
    allowHalfOpen: true,
    signal: cancelled,
    onData(chunk) {
      return relay.onData(chunk);
    },
    onClose(error) {
      return relay.onClose(error);
    },
  };
  const opened = await (typeof connect === "function" ? connect(address, details) : connect.connect(address, details));
  const wire = wireOf(opened, relay);
  const giveUp = (): void => wire.abandon();
  cancelled.addEventListener("abort", giveUp, { once: true });
  try {
    // Who doesn't heed the signal comes too late.
    if (cancelled.aborted) throw givenUp(options);
    await wire.opened();
    return wire;
  } catch (error) {
    wire.abandon();
    throw error;
  } finally {
    cancelled.removeEventListener("abort", giveUp);
  }
}

function wireOf(opened: unknown, relay: Relay): Wire {
  if (opened instanceof NodeWire || opened instanceof WebWire || opened instanceof SocketWire) return opened;
  if (typeof opened === "object" && opened !== null) {
    const { readable, writable, write, drained, destroy } = opened as Record<string, unknown>;
    const isOurs = [write, drained, destroy].every((method) => typeof method === "function");
    // As a SocketFactory does it: whoever returns a socket has been given the events.
    if (isOurs) return new SocketWire(opened as Socket, relay);
    if (isNodeStream(opened)) return fromNodeSocket(opened);
    if (typeof readable === "object" && typeof writable === "object") return new WebWire(opened as ByteStreams);
  }
  throw new ConfigError(
    "connect",
    `Return a connection from "connect": { readable, writable } of bytes, fromNodeSocket(stream) or a Socket; ` +
      `${show(opened)} is none.`,
  );
}

async function secured(wire: Wire, options: ConnectOptions): Promise<Wire> {
  if (wire instanceof NodeWire) return await wire.startTls(options);
  const told = typeof options.tls === "object" && Object.keys(options.tls).length > 0 ? " with the given options" : "";
  throw new ConfigError(
    "connect",
    `Let "connect" speak TLS${told} when it is told secureTransport: "on", and say so by secureTransport: "on" of what ` +
      "it returns: nothing is sent through streams that say nothing of it.",
  );
}
