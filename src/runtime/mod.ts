/**
 * The seam to the runtime: bring own sockets, a proxy, a clock, or take one runtime's adapter by name.
 *
 * @example Producing through sockets of one's own choice
 * ```ts
 * import { nodeSockets } from "@sluice/kafka/sockets";
 *
 * const sockets = nodeSockets(); // for the option "connect" of a producer
 * console.assert(sockets.can.clientCert);
 * ```
 *
 * @module
 */

export { bunSockets } from "./bun.ts";
export {
  type Connect,
  type Connectable,
  type ConnectAddress,
  type ConnectDetails,
  type Connected,
} from "./connectable.ts";
export { type ConnectFunction, socketsOf } from "./connectable.ts";
export { denoSockets } from "./deno.ts";
export { nodeSockets } from "./node.ts";
export { QueueSocket, type SegmentSink } from "./queue_socket.ts";
export type {
  ConnectOptions,
  Hold,
  Runtime,
  Scope,
  Socket,
  SocketCapabilities,
  SocketEvents,
  SocketFactory,
  Timer,
  TlsOptions,
} from "./runtime.ts";
export { selectRuntime, selectSockets, systemRuntime } from "./select.ts";
export { socks5, type Socks5Options } from "./socks5.ts";
export { checkTls } from "./tls.ts";
export { fromNodeSocket, type NodeStream } from "./node_wire.ts";
export { type ByteStreams } from "./web_wire.ts";
export { type Wire } from "./wire.ts";
export {
  type WebSocketClass,
  webSocketConnect,
  type WebSocketConnectOptions,
  type WebSocketLike,
} from "./web_socket.ts";
export { workerdSockets } from "./workerd.ts";
