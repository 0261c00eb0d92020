/**
 * Lines that are longer than a terminal is wide, broken between words.
 *
 * @module
 */

/** Clears the line from here to its end. */
const TO_END = "\x1b[K";

/** Begins the line anew: what stood there is gone. */
export const WIPE: string = `\r${TO_END}`;

/** Narrower than this, no column of a table is worth keeping. */
const LEAST_WIDTH = 20;

/** Behind a line that is rewritten in place there must be room for the ^C that a terminal shows. */
const ROOM = 3;

/**
 * Breaks long lines between words; what is left stands below the text of its line, in a table below the last column. One
 * that is rewritten in place is cut off, for of two lines the terminal would only take back the second. In a pipe, where
 * `columns` is undefined, lines stay as they are.
 */
export function fold(text: string, columns: number | undefined): string {
  if (columns === undefined || columns < LEAST_WIDTH) return text;
  return text.split("\n").map((line) => foldLine(line, columns)).join("\n");
}

/** Whether it is a line that the next one takes the place of, as progress is shown. */
function isRewritten(line: string): boolean {
  return line.length > WIPE.length && line.startsWith("\r") && line.endsWith(TO_END);
}

/** What to write when somebody has pressed Ctrl-C, behind the ^C that the terminal shows, after what was written last. */
export function behindInterrupt(last: string): string {
  return isRewritten(last) ? WIPE : "\n";
}

function foldLine(line: string, columns: number): string {
  if (line.startsWith(WIPE)) return `${WIPE}${foldLine(line.slice(WIPE.length), columns)}`;
  if (isRewritten(line)) return `\r${line.slice(1, -TO_END.length).slice(0, columns - ROOM)}${TO_END}`;
  // JSON is read by machines on a terminal too.
  // deno-lint-ignore no-control-regex
  if (line.length <= columns || /[\r\x1b]|^\{/.test(line)) return line;
  const table = /^.*\S {2,}(?=\S)/.exec(line)?.[0].length ?? 0;
  const isTable = table > 0 && table <= columns - LEAST_WIDTH;
  const indent = isTable ? table : /^ *(?:→ )?/.exec(line)![0].length;
  let folded = line.slice(0, indent);
  let width = indent;
  for (const word of line.slice(indent).split(" ")) {
    const isFirst = width === indent;
    if (!isFirst && width + 1 + word.length > columns) {
      folded += `\n${" ".repeat(indent)}${word}`;
      width = indent + word.length;
    } else {
      folded += isFirst ? word : ` ${word}`;
      width += word.length + (isFirst ? 0 : 1);
    }
  }
  return folded;
}
