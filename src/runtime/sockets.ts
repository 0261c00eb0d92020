/**
 * The sockets of every runtime. In bundles for workerd, `package.json` puts `sockets_workerd.ts` in its place.
 *
 * @module
 */

import { bunSockets } from "./bun.ts";
import { denoSockets } from "./deno.ts";
import { nodeSockets } from "./node.ts";
import type { RuntimeName, SocketFactory } from "./runtime.ts";
import { workerdSockets } from "./workerd.ts";

/** What makes the sockets of a runtime. */
export const SOCKETS: Readonly<Partial<Record<RuntimeName, () => SocketFactory>>> = {
  workerd: workerdSockets,
  deno: denoSockets,
  bun: bunSockets,
  node: nodeSockets,
};
