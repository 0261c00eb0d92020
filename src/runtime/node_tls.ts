/**
 * What sockets and other streams of Node have in common here: TLS, and how bytes are sent.
 *
 * @module
 */

import type { Duplex } from "node:stream";
import type { ConnectionOptions } from "node:tls";
import { ConfigError } from "../errors.ts";
import { builtinModule } from "./builtin.ts";
import { isAddress } from "./dial.ts";
import type { SegmentSink } from "./queue_socket.ts";
import type { ConnectOptions, TlsOptions } from "./runtime.ts";

/**
 * Sends segments through a stream of Node. One that is no socket may still hold bytes for which it has called back: it
 * gets copies, because segments are used again.
 */
export function nodeSink(stream: Duplex & { unref?(): unknown }, isSocket: boolean): SegmentSink {
  return {
    gathers: true,
    send(given, done) {
      const segments = isSocket ? given : given.map((segment) => segment.slice());
      const last = segments.length - 1;
      let tell: (() => void) | undefined = done;
      const sent = (error?: Error | null): void => {
        // On an error "close" follows, and with it the reason.
        if (!error) tell?.();
        tell = undefined;
      };
      if (last === 0) {
        stream.write(segments[0]!, sent);
      } else {
        stream.cork();
        for (let i = 0; i < last; i++) stream.write(segments[i]!);
        stream.write(segments[last]!, sent);
        stream.uncork();
      }
      // The system has taken all of it; the stream calls back a little later nevertheless.
      if (stream.writable && stream.writableLength === 0) sent();
    },
    shutdown() {
      stream.end();
    },
    kill() {
      stream.destroy();
    },
    // A write that is under way keeps the process alive by itself.
    unref() {
      stream.unref?.();
    },
  };
}

/** Our TLS options in Node's words. */
export function translateTls(options: ConnectOptions, tls: TlsOptions): ConnectionOptions {
  const name = tls.serverName ?? options.host;
  return {
    // Where a stream is given that leads elsewhere, it is what the certificate is checked against.
    host: options.host,
    ...(tls.ca === undefined ? {} : { ca: tls.ca as string | string[] }),
    ...(tls.cert === undefined ? {} : { cert: tls.cert, key: tls.key! }),
    ...(tls.passphrase === undefined ? {} : { passphrase: tls.passphrase }),
    // An address is no server name; Node then checks the certificate against the host.
    servername: isAddress(name) ? "" : name,
    rejectUnauthorized: tls.verify !== "none",
    ...(tls.verify === "ca" ? { checkServerIdentity: () => undefined } : {}),
  };
}

/** `node:net`, or an error that says what to do. */
export function nodeNet(): typeof import("node:net") {
  return builtinModule<typeof import("node:net")>("node:net") ?? missing("node:net");
}

/** `node:tls`, or an error that says what to do. */
export function nodeTls(): typeof import("node:tls") {
  return builtinModule<typeof import("node:tls")>("node:tls") ?? missing("node:tls");
}

function missing(module: string): never {
  throw new ConfigError(
    "connect",
    `Use Node 20.16, Deno 2.1 or Bun 1.1 or newer: sockets of "node" need the module "${module}", which this runtime ` +
      "doesn't hand out.",
  );
}
