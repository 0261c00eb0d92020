/**
 * Connections through a SOCKS5 proxy (RFC 1928), with a password if need be (RFC 1929).
 *
 * @module
 */

import { AuthenticationError, ConfigError, ConnectionError } from "../errors.ts";
import { sentenceOf, show } from "../show.ts";
import { isWorkerd } from "./builtin.ts";
import { capabilities, type Connect, isConnect, openWire, wantsTls } from "./connectable.ts";
import { connectFailed, dial, formatAddress } from "./dial.ts";
import { nodeNet } from "./node_tls.ts";
import { NodeWire } from "./node_wire.ts";
import type { ConnectOptions, SocketFactory } from "./runtime.ts";
import { Relay } from "./socket_wire.ts";
import { isTlsRefusal } from "./tls_refusal.ts";
import { givenUp, type Wire } from "./wire.ts";
import { workerdConnect } from "./workerd.ts";

/** Where the proxy is, and who we are there. */
export interface Socks5Options {
  /** Host name or address of the proxy. */
  readonly host: string;
  /** Its port. @default 1080 */
  readonly port?: number;
  /** User name, if the proxy wants one. */
  readonly username?: string;
  /** Password, if the proxy wants one. */
  readonly password?: string;
  /** Opens the connection to the proxy, in any form of the producer's option. @default the runtime's own sockets */
  readonly connect?: Connect;
}

const OPTIONS = ["host", "port", "username", "password", "connect"];
const VERSION = 5;
const NO_AUTHENTICATION = 0;
const PASSWORD = 2;
const NOTHING_ACCEPTABLE = 0xff;
const CONNECT = 1;
const IPV4 = 1;
const NAME = 3;
const IPV6 = 4;

/** The proxy's answers, by their numbers. */
const REPLIES = [
  "",
  "it has failed in general",
  "its rules don't allow it",
  "the network can't be reached",
  "the host can't be reached",
  "the connection was refused",
  "the time to live has expired",
  "it doesn't know the command CONNECT",
  "it doesn't know this type of address",
];

/**
 * Sockets that go through a SOCKS5 proxy, for the option `connect`. The proxy looks up the names of brokers. With `tls`
 * the producer speaks TLS with the broker, through the proxy.
 *
 * @example
 * ```ts
 * import { Producer } from "@sluice/kafka";
 * import { socks5 } from "@sluice/kafka/sockets";
 *
 * const producer = new Producer({ brokers: "kafka.internal:9092", connect: socks5({ host: "127.0.0.1", port: 1080 }) });
 * ```
 *
 * @throws {ConfigError} for an option that is unknown or wrong
 */
export function socks5(options: Socks5Options): SocketFactory {
  const proxy = checked(options);
  const factory: SocketFactory = {
    name: "socks5",
    can: capabilities(),
    connect: (target, events) =>
      dial(factory, target, async (cancelled) => {
        const wire = await reach(proxy, target, cancelled);
        const giveUp = (): void => wire.abandon();
        cancelled.addEventListener("abort", giveUp, { once: true });
        try {
          if (cancelled.aborted) throw givenUp(target);
          await ask(wire, proxy, target);
          const ready = wantsTls(target) ? await wire.startTls(target) : wire;
          return ready.start(target, events);
        } catch (error) {
          wire.abandon();
          throw error;
        } finally {
          cancelled.removeEventListener("abort", giveUp);
        }
      }, isTlsRefusal),
  };
  return factory;
}

interface Proxy {
  readonly host: string;
  readonly port: number;
  readonly credentials: Uint8Array | undefined;
  readonly connect: Connect | undefined;
}

function checked(options: Socks5Options): Proxy {
  if (typeof options !== "object" || options === null) {
    throw new ConfigError("socks5", `Pass socks5 an object with at least "host": ${show(options)} is not.`);
  }
  const unknown = Object.keys(options).find((name) => !OPTIONS.includes(name));
  if (unknown !== undefined) {
    const message = `Remove ${show(unknown)} from the options of socks5: there are ${OPTIONS.map(show).join(", ")}.`;
    throw new ConfigError(unknown, message);
  }
  const { host, port = 1080, username, password, connect } = options;
  if (typeof host !== "string" || host === "") {
    throw new ConfigError("host", `Set "host" of socks5 to the host of the proxy: ${show(host)} is none.`);
  }
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new ConfigError("port", `Set "port" of socks5 to a number from 1 to 65535: ${show(port)} is not.`);
  }
  if (connect !== undefined && !isConnect(connect)) {
    throw new ConfigError("connect", `Set "connect" of socks5 to what opens connections: ${show(connect)} doesn't.`);
  }
  return { host: host.replace(/^\[(.*)\]$/, "$1"), port, credentials: credentialsOf(username, password), connect };
}

function credentialsOf(username: unknown, password: unknown): Uint8Array | undefined {
  if (username === undefined && password === undefined) return undefined;
  const fields = Object.entries({ username, password }).map(([name, value]) => {
    const bytes = typeof value === "string" ? new TextEncoder().encode(value) : undefined;
    if (bytes !== undefined && bytes.length >= 1 && bytes.length <= 255) return bytes;
    // It may be secret, so it isn't shown.
    throw new ConfigError(name, `Set "${name}" of socks5 to a text of 1 to 255 bytes: a proxy takes both or neither.`);
  });
  return Uint8Array.from([1, ...fields.flatMap((bytes) => [bytes.length, ...bytes])]);
}

/** A connection to the proxy. */
async function reach(proxy: Proxy, target: ConnectOptions, cancelled: AbortSignal): Promise<Wire> {
  const { host, port } = proxy;
  const secureTransport = wantsTls(target) && isWorkerd() ? "starttls" : "off";
  try {
    const connect = proxy.connect ?? (isWorkerd() ? await workerdConnect() : connectNode);
    return await openWire(connect, { host, port }, { secureTransport, cancelled, relay: new Relay() });
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause;
    const name = formatAddress(proxy);
    throw new ConnectionError(
      `${connectFailed(formatAddress(target))}: the SOCKS5 proxy at "${name}" can't be reached. ${sentenceOf(cause)}`,
      { broker: formatAddress(target), cause },
    );
  }
}

/** Deno and Bun have the same modules. */
function connectNode({ host, port }: ConnectOptions): Wire {
  const socket = nodeNet().connect({ host, port, noDelay: true });
  return new NodeWire(socket);
}

async function ask(wire: Wire, proxy: Proxy, target: ConnectOptions): Promise<void> {
  const name = formatAddress(proxy);
  const broker = formatAddress(target);
  const refusal = (what: string): ConnectionError =>
    new ConnectionError(`${connectFailed(broker)}: the SOCKS5 proxy at "${name}" ${what}.`, { broker });
  const denial = (what: string): AuthenticationError =>
    new AuthenticationError(`Change "username" and "password" of socks5: the proxy at "${name}" ${what}.`, { broker });
  const stream = new ExactReader(wire, () => refusal("closed the connection"));

  const methods = proxy.credentials === undefined ? [NO_AUTHENTICATION] : [NO_AUTHENTICATION, PASSWORD];
  await wire.write(Uint8Array.of(VERSION, methods.length, ...methods));
  const [version, method] = await stream.read(2);
  if (version !== VERSION) throw refusal("speaks no SOCKS5");
  if (method === PASSWORD && proxy.credentials !== undefined) {
    await wire.write(proxy.credentials);
    const [, status] = await stream.read(2);
    if (status !== 0) throw denial("refuses them");
  } else if (method !== NO_AUTHENTICATION) {
    if (method !== NOTHING_ACCEPTABLE) throw refusal(`wants an authentication that wasn't offered (${method})`);
    throw denial(proxy.credentials === undefined ? "wants some" : "wants another kind of authentication");
  }

  await wire.write(Uint8Array.of(VERSION, CONNECT, 0, ...addressBytes(target), target.port >> 8, target.port & 0xff));
  const [again, reply = 0, , type] = await stream.read(4);
  if (again !== VERSION) throw refusal("speaks no SOCKS5");
  if (reply !== 0) throw refusal(`doesn't connect: ${REPLIES[reply] ?? `it answers ${reply}`}`);
  // The address that it connects from is of no interest, but must be read.
  const length = type === IPV4 ? 4 : type === IPV6 ? 16 : (await stream.read(1))[0]!;
  await stream.read(length + 2);
}

function addressBytes({ host }: ConnectOptions): number[] {
  const v4 = v4Bytes(host);
  if (v4 !== undefined) return [IPV4, ...v4];
  if (host.includes(":")) return [IPV6, ...v6Bytes(host)];
  const bytes = new TextEncoder().encode(host);
  if (bytes.length > 255) throw new ConfigError("brokers", `Shorten ${show(host)}: SOCKS5 takes names of 255 bytes.`);
  return [NAME, bytes.length, ...bytes];
}

function v4Bytes(host: string): number[] | undefined {
  const bytes = /^\d{1,3}(\.\d{1,3}){3}$/.test(host) ? host.split(".").map(Number) : [];
  return bytes.length === 4 && bytes.every((byte) => byte < 256) ? bytes : undefined;
}

/** The sixteen bytes of an IPv6 address. */
function v6Bytes(host: string): number[] {
  const plain = host.split("%")[0]!;
  const [head = "", tail] = plain.split("::");
  const groups = (text: string): number[] =>
    text === "" ? [] : text.split(":").flatMap((group) => {
      const word = Number.parseInt(group, 16);
      return v4Bytes(group) ?? [word >> 8, word & 0xff];
    });
  const [before, after] = [groups(head), groups(tail ?? "")];
  const zeros = new Array<number>(Math.max(0, 16 - before.length - after.length)).fill(0);
  const bytes = [...before, ...zeros, ...after];
  if (bytes.length === 16 && bytes.every((byte) => byte >= 0 && byte < 256)) return bytes;
  throw new ConfigError("brokers", `Correct the address ${show(host)}: it is no IPv6 address.`);
}

/** Reads so many bytes and no more: what comes after them is the broker's, which speaks when it is spoken to. */
class ExactReader {
  readonly #wire: Wire;
  readonly #ended: () => Error;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(wire: Wire, ended: () => Error) {
    this.#wire = wire;
    this.#ended = ended;
  }

  async read(count: number): Promise<Uint8Array> {
    while (this.#rest.length < count) {
      const chunk = await this.#wire.read();
      if (chunk === undefined) throw this.#ended();
      this.#rest = Uint8Array.from([...this.#rest, ...chunk]);
    }
    const bytes = this.#rest.slice(0, count);
    this.#rest = this.#rest.slice(count);
    return bytes;
  }
}
