/**
 * The sockets in bundles for workerd, which need no others.
 *
 * @module
 */

import type { RuntimeName, SocketFactory } from "./runtime.ts";
import { workerdSockets } from "./workerd.ts";

/** What makes the sockets of a runtime. */
export const SOCKETS: Readonly<Partial<Record<RuntimeName, () => SocketFactory>>> = { workerd: workerdSockets };
