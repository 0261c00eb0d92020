/**
 * The environment of the process, where there is one.
 *
 * @module
 */

interface Environments {
  readonly Deno?: { readonly env: { get(name: string): string | undefined } };
  readonly process?: { readonly env?: Readonly<Record<string, string | undefined>> };
}

/** The value of an environment variable; undefined where it isn't set, may not be read, or there is no environment. */
export function environmentVariable(name: string): string | undefined {
  const { Deno, process } = globalThis as unknown as Environments;
  try {
    return (Deno === undefined ? process?.env?.[name] : Deno.env.get(name)) || undefined;
  } catch {
    // Deno without --allow-env
    return undefined;
  }
}
