/**
 * The environment of the process, where there is one.
 *
 * @module
 */

interface Environments {
  readonly Deno?: {
    readonly env: { get(name: string): string | undefined };
    readonly permissions?: {
      querySync?(wanted: { readonly name: "env"; readonly variable: string }): { readonly state: string };
    };
  };
  readonly process?: { readonly env?: Readonly<Record<string, string | undefined>> };
}

/** The value of an environment variable; undefined where it isn't set, may not be read, or there is no environment. */
export function environmentVariable(name: string): string | undefined {
  const { Deno, process } = globalThis as unknown as Environments;
  try {
    if (Deno === undefined) return process?.env?.[name] || undefined;
    // On a terminal Deno would ask whoever sits there, and stand still until he answers.
    const answer = Deno.permissions?.querySync?.({ name: "env", variable: name });
    return answer === undefined || answer.state === "granted" ? Deno.env.get(name) || undefined : undefined;
  } catch {
    // Deno without --allow-env, should it not have told.
    return undefined;
  }
}
