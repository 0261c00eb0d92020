/**
 * Looks for secrets in what a program could print.
 *
 * @module
 */

import { inspectOf } from "./inspect.ts";

/** The forms in which a secret may get out: as it is, in JSON, in an address, in hexadecimal, as bytes, in base64. */
export function formsOf(secret: string): string[] {
  const bytes = new TextEncoder().encode(secret);
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"));
  const forms = [
    secret,
    JSON.stringify(secret).slice(1, -1),
    encodeURIComponent(secret),
    hex.join(""),
    hex.join(" "),
    Array.from(bytes).join(","),
    Array.from(bytes).join(", "),
  ];
  // In base64 a secret looks different after each number of bytes in front of it; what its neighbours touch is cut off.
  for (let before = 0; before < 3; before++) {
    const padded = new Uint8Array(before + bytes.length);
    padded.set(bytes, before);
    const whole = btoa(String.fromCharCode(...padded)).replace(/=+$/, "");
    const inner = whole.slice(before === 0 ? 0 : before + 1, Math.floor(padded.length / 3) * 4);
    forms.push(inner, inner.replaceAll("+", "-").replaceAll("/", "_"));
  }
  return [...new Set(forms)];
}

/** The forms of secrets that stand in a text. */
export function leaksIn(text: string, secrets: readonly string[]): string[] {
  const lower = text.toLowerCase();
  return secrets.flatMap((secret) =>
    formsOf(secret).filter((form) => text.includes(form) || (/^[\da-f ]+$/.test(form) && lower.includes(form)))
  );
}

/** Everything that a program could print of a value: as text, as JSON, inspected, with stack, causes and properties. */
export function everythingOf(value: unknown): string {
  const seen = new Set<unknown>();
  const texts: string[] = [];
  const visit = (each: unknown): void => {
    if (seen.has(each) || seen.size > 1_000) return;
    seen.add(each);
    texts.push(guarded(() => String(each)), guarded(() => JSON.stringify(each)), guarded(() => inspectOf(each)));
    if (typeof each !== "object" || each === null) return;
    for (const name of Reflect.ownKeys(each)) {
      texts.push(String(name));
      visit(guardedValue(() => (each as Record<PropertyKey, unknown>)[name]));
    }
    if (each instanceof Map || each instanceof Set) { for (const item of each) visit(item); }
  };
  visit(value);
  return texts.join("\n");
}

function guarded(text: () => string | undefined): string {
  return guardedValue(text) as string | undefined ?? "";
}

function guardedValue(read: () => unknown): unknown {
  try {
    return read();
  } catch {
    return undefined;
  }
}
