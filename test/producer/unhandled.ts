/**
 * Rejections that nobody handles, as the runtime reports them.
 *
 * @module
 */

import { runtimeName, type TestContext } from "../harness.ts";

/** The reasons of those that come up until the test ends; look at them a few turns after the last one could. */
export function unhandledIn(t: TestContext): readonly unknown[] {
  const unhandled: unknown[] = [];
  const note = (event: unknown): void => {
    const { reason, preventDefault } = event as { reason?: unknown; preventDefault?: () => void };
    preventDefault?.call(event);
    unhandled.push(reason ?? event);
  };
  // Node tells `process`, the others the global object.
  type Emitter = { on(name: string, listener: (reason: unknown) => void): void; off: Emitter["on"] };
  const { process } = globalThis as unknown as { process: Emitter };
  const target = runtimeName === "node" || runtimeName === "bun" ? undefined : globalThis as unknown as EventTarget;
  if (target === undefined) process.on("unhandledRejection", note);
  else target.addEventListener("unhandledrejection", note);
  t.after(() => {
    if (target === undefined) process.off("unhandledRejection", note);
    else target.removeEventListener("unhandledrejection", note);
  });
  return unhandled;
}
