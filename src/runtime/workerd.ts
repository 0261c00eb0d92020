/**
 * Sockets from `cloudflare:sockets`, for Workers and Durable Objects.
 *
 * A socket belongs to the request that opened it, unless a Durable Object did. Nothing here runs when the module is
 * loaded: workerd forbids timers, randomness and connections there.
 *
 * @module
 */

import { ConfigError, ConnectionError } from "../errors.ts";
import { reasonOf } from "../show.ts";
import type { Connectable } from "./connectable.ts";
import { connectFailed, dial, formatAddress } from "./dial.ts";
import type { ConnectOptions, SocketEvents, SocketFactory } from "./runtime.ts";
import { tlsOptions } from "./tls.ts";
import { type ByteStreams, WebWire } from "./web_wire.ts";

/** In a variable and with a word for each of them, so that bundlers for other platforms leave the import alone. */
const socketsModule = "cloudflare:sockets";

/** Sockets of workerd. Its TLS can't be configured from within a worker. */
export function workerdSockets(): SocketFactory {
  const factory: SocketFactory = {
    name: "workerd",
    can: { ca: false, clientCert: false, serverName: false, skipHostname: false, insecure: false, detached: false },
    connect(options, events) {
      return dial(factory, options, (cancelled) => open(options, events, cancelled));
    },
  };
  return factory;
}

/** The module that has workerd's sockets. @throws {ConfigError} on other runtimes */
export async function workerdConnect(): Promise<Connectable> {
  try {
    return await import(/* webpackIgnore: true */ /* @vite-ignore */ socketsModule) as Connectable;
  } catch (cause) {
    throw new ConfigError("connect", `Sockets of "workerd" run only on workerd, wanted those of the present runtime`, {
      cause,
    });
  }
}

async function open(
  options: ConnectOptions,
  events: SocketEvents,
  cancelled: AbortSignal,
): Promise<ReturnType<WebWire["start"]>> {
  const module = await workerdConnect();
  const address = { hostname: options.host, port: options.port };
  const secureTransport = tlsOptions(options) === undefined ? "off" : "on";
  const wire = new WebWire(module.connect(address, { secureTransport }) as ByteStreams);
  const cancel = (): void => wire.abandon();
  cancelled.addEventListener("abort", cancel, { once: true });
  try {
    await wire.opened();
  } catch (cause) {
    const broker = formatAddress(options);
    const reason = reasonOf(cause);
    throw new ConnectionError(`${connectFailed(broker)}: ${reason} (workerd tells no more)`, { broker, cause });
  } finally {
    cancelled.removeEventListener("abort", cancel);
  }
  return wire.start(options, events);
}
