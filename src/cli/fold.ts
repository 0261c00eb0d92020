/**
 * Lines that are longer than a terminal is wide, broken between words.
 *
 * @module
 */

/** Narrower than this, no column of a table is worth keeping. */
const LEAST_WIDTH = 20;

/**
 * Breaks long lines between words; what is left stands below the text of its line, in a table below the last column. In a
 * pipe, where `columns` is undefined, lines stay as they are.
 */
export function fold(text: string, columns: number | undefined): string {
  if (columns === undefined || columns < LEAST_WIDTH) return text;
  return text.split("\n").map((line) => foldLine(line, columns)).join("\n");
}

function foldLine(line: string, columns: number): string {
  // A line that is rewritten in place is no line of text, and JSON is read by machines on a terminal too.
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
