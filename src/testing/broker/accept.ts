/**
 * Connections that somebody else has accepted, such as the `connect` handler of a Worker.
 *
 * @module
 */

import type { SocketEvents } from "../../runtime/runtime.ts";
import { type ByteStreams, WebWire } from "../../runtime/web_wire.ts";
import type { Broker } from "./broker.ts";

/** Serves a connection until it has ended. The address that was dialled says which broker is meant, else the first is. */
export async function acceptStreams(brokers: readonly Broker[], streams: ByteStreams): Promise<void> {
  const { localAddress } = (await streams.opened ?? {}) as { readonly localAddress?: unknown };
  const dialled = (broker: Broker): boolean => {
    const { host, port } = broker.endpoint("memory");
    return localAddress === `${host}:${port}`;
  };
  const broker = brokers.find(dialled) ?? brokers[0]!;
  await new Promise<void>((resolve) => {
    const socket = new WebWire(streams).start(broker.endpoint("memory"), {
      onData: (chunk) => events.onData(chunk),
      onClose: (error) => {
        events.onClose(error);
        resolve();
      },
    });
    const events: SocketEvents = broker.accept(socket, "memory");
  });
}
