/**
 * The sockets of every runtime. In bundles for workerd `sockets_workerd.ts` takes the place of this module
 * (`imports` of `src/package.json`).
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
