/**
 * What can go wrong with an answer on its way: other bytes, some of the bytes, the bytes in pieces.
 *
 * @module
 */

import type { Socket } from "../../runtime/runtime.ts";
import type { ControlAction } from "./control.ts";

/** Whether an action wants more than that an answer is sent. */
export function isDisturbed(action: ControlAction): boolean {
  const { closeAfter, cutAfterBytes, rewrite, splitBytes } = action;
  return closeAfter === true || cutAfterBytes !== undefined || rewrite !== undefined || splitBytes !== undefined;
}

/** Sends an answer as an action wants it; says whether the connection stays open. */
export async function sendDisturbed(
  parts: readonly Uint8Array[],
  action: ControlAction,
  socket: Socket,
  sleep: (durationMs: number) => Promise<void>,
): Promise<boolean> {
  const { closeAfter = false, cutAfterBytes, rewrite, splitBytes, splitDelayMs = 0 } = action;
  const whole = joined(parts);
  const rewritten = rewrite === undefined ? whole : rewrite(whole);
  const sent = rewritten.subarray(0, cutAfterBytes ?? rewritten.length);
  const step = Math.max(1, splitBytes ?? sent.length);
  for (let start = 0; start < sent.length; start += step) {
    // A turn between the pieces keeps the network from joining them.
    if (start > 0) await sleep(splitDelayMs);
    socket.write(sent.slice(start, start + step));
  }
  return !closeAfter && cutAfterBytes === undefined;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
