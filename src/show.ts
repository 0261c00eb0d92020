/**
 * How values that others wrote are shown: in error messages, in log lines and on a terminal.
 *
 * A caller's option, a broker's message, a host or a file name may hold anything: 100 kB of text, line breaks, escape
 * sequences that a terminal obeys, marks that turn the reading direction around. Nothing of that gets into a message.
 *
 * @module
 */

/** How many characters of a foreign value are shown, quotation marks included. */
export const MAX_SHOWN = 200;

/** Longer messages are cut, wherever their parts came from. */
const MAX_MESSAGE = 10_000;

/** Controls, invisible format characters (bidi marks among them), separators of lines, halves of surrogate pairs. */
const OBEYED = "[\\p{Cc}\\p{Cf}\\p{Zl}\\p{Zp}\\p{Cs}]";
let obeyed: RegExp | undefined;

const MOST_DIGITS = 10n ** 150n;

/**
 * A foreign value for a message: text in quotation marks with everything escaped that a terminal would obey, numbers as
 * they are, anything else by its kind. Never longer than {@link MAX_SHOWN} characters, and never throws.
 */
export function show(value: unknown): string {
  switch (typeof value) {
    case "string":
      return `"${cut(value, MAX_SHOWN - 2, escapedInQuotes)}"`;
    case "bigint":
      return value < MOST_DIGITS && value > -MOST_DIGITS ? `${value}n` : "a bigint of more than 150 digits";
    case "symbol":
      return `Symbol(${cut(value.description ?? "", 100, escaped)})`;
    case "function":
      return "a function";
    case "object":
      return value === null ? "null" : kindOf(value);
    default:
      return String(value);
  }
}

/** Foreign prose in a message, such as the text of another library's error: escaped and cut, without quotation marks. */
export function excerpt(text: string): string {
  return cut(text, MAX_SHOWN, escaped);
}

/** Text of which parts may be foreign, as one line fit to be printed: what a terminal would obey is escaped. */
export function printable(text: string): string {
  if (text.length > MAX_MESSAGE) return printable(`${text.slice(0, MAX_MESSAGE - 1)}…`);
  return isObeyed(text) ? text.replace(/\s*[\r\n]\s*/g, " ").replace(allObeyed(), escaped) : text;
}

/** Text of several lines, fit to be printed: all of it, with what a terminal would obey escaped but for line breaks and tabs. */
export function printableText(text: string): string {
  return text.replace(
    allObeyed(),
    (character) => character === "\n" || character === "\t" ? character : escaped(character),
  );
}

/** JSON of one line, fit to be printed: it means the same, and a terminal obeys nothing in it. */
export function printableJson(value: unknown): string {
  return JSON.stringify(value).replace(allObeyed(), escaped);
}

/** What an error, or whatever was thrown in place of one, says of the reason. Never throws. */
export function reasonOf(error: unknown): string {
  try {
    if (typeof error === "object" && error !== null) {
      const { message, name } = error as { readonly message?: unknown; readonly name?: unknown };
      if (typeof message === "string" && message !== "") return excerpt(message);
      if (error instanceof Error && typeof name === "string") return excerpt(name);
    }
  } catch {
    // Its getters throw; then its kind must do.
  }
  return typeof error === "string" && error !== "" ? excerpt(error) : show(error);
}

/** A message with a full stop, so that another sentence may follow. */
export function sentence(text: string): string {
  return /[.!?\u2026]$/.test(text) ? text : `${text}.`;
}

/** {@link reasonOf} as a sentence, to stand at the end of a message. */
export function sentenceOf(error: unknown): string {
  return sentence(reasonOf(error));
}

/** Made when something is shown: to look up those classes takes an engine as long as to compile a module of 15 kB. */
function allObeyed(): RegExp {
  return obeyed ??= new RegExp(OBEYED, "gu");
}

function isObeyed(text: string): boolean {
  return text.search(allObeyed()) >= 0;
}

/** One character as JSON would write it, if a terminal would obey it. */
function escaped(character: string): string {
  if (!isObeyed(character)) return character;
  // JSON escapes some of them itself, in the short way.
  const short = JSON.stringify(character).slice(1, -1);
  if (short !== character) return short;
  let text = "";
  for (let at = 0; at < character.length; at++) {
    text += `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`;
  }
  return text;
}

function escapedInQuotes(character: string): string {
  return character === '"' || character === "\\" ? `\\${character}` : escaped(character);
}

/** The beginning of a text, up to so many characters as they are written, with a mark if that isn't all. */
function cut(text: string, limit: number, write: (character: string) => string): string {
  let shown = "";
  /** What leaves room for the mark. */
  let kept = "";
  // Only the beginning is looked at, for the text may be long.
  for (const character of text.slice(0, limit + 1)) {
    const written = write(character);
    if (shown.length + written.length > limit) return `${kept}…`;
    shown += written;
    if (shown.length < limit) kept = shown;
  }
  return shown;
}

/** An object by its kind: what it holds may be large, secret or throw. */
function kindOf(value: object): string {
  try {
    if (Array.isArray(value)) return "a list";
    if (value instanceof Promise) return "a promise";
    const name: unknown = Object.getPrototypeOf(value)?.constructor?.name;
    if (typeof name === "string" && name !== "" && name !== "Object") {
      return `an object of class "${cut(name, 100, escapedInQuotes)}"`;
    }
  } catch {
    // A proxy that throws, or one that was revoked.
  }
  return "an object";
}
