/**
 * Node's built-in modules, where the runtime has them.
 *
 * A static `node:` import would keep the bundle from loading on workerd, and a dynamic one would make the callers
 * wait; `process.getBuiltinModule` (Node 20.16, Deno 2.1, Bun 1.1) does neither.
 *
 * @module
 */

interface Globals {
  readonly Deno?: { readonly version?: unknown };
  readonly Bun?: unknown;
  readonly process?: {
    getBuiltinModule?(name: string): unknown;
    readonly versions?: { readonly node?: string };
  };
}

/** The module, such as `"node:zlib"`, or undefined where there is none. */
export function builtinModule<T = unknown>(name: string): T | undefined {
  return (globalThis as Globals).process?.getBuiltinModule?.(name) as T | undefined;
}

/** Whether asynchronous built-ins such as those of `zlib` work on other threads. Deno's only seem to. */
export function builtinThreads(): boolean {
  return !("Deno" in globalThis);
}

/** Whether this is Node itself, and not one that imitates it. */
export function isNode(): boolean {
  const { Deno, Bun, process } = globalThis as Globals;
  return process?.versions?.node !== undefined && Deno?.version === undefined && Bun === undefined && !isWorkerd();
}

/** Whether this is workerd, whose `node:tls` ignores keys and certificates without a word. */
export function isWorkerd(): boolean {
  // Node loads its `navigator` for whoever reads it, which takes more than a millisecond of a start.
  return "WebSocketPair" in globalThis && globalThis.navigator?.userAgent === "Cloudflare-Workers";
}
