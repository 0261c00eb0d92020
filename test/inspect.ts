/**
 * How the runtime itself shows a value, as `console.log` would, all the way down.
 *
 * @module
 */

interface Runtimes {
  readonly Deno?: { inspect(value: unknown, options: Record<string, unknown>): string };
  readonly Bun?: { inspect(value: unknown, options: Record<string, unknown>): string };
  readonly process?: {
    getBuiltinModule?(name: string): { inspect(value: unknown, options: object): string } | undefined;
  };
}

/** The value as the runtime shows it; as text where it shows none. */
export function inspectOf(value: unknown): string {
  const { Deno, Bun, process } = globalThis as unknown as Runtimes;
  const options = { depth: 20, showHidden: true };
  if (Deno !== undefined) return Deno.inspect(value, options);
  if (Bun !== undefined) return Bun.inspect(value, options);
  return process?.getBuiltinModule?.("node:util")?.inspect(value, options) ?? String(value);
}
