/** What the demo shows while it runs, and the table at the end. */

import { stderr, stdout } from "node:process";

/** A line per runtime: rewritten in place on a terminal, a plain line every second elsewhere. */
export class Screen {
  #rows = new Map();
  #total;
  #drawn = 0;
  #timer;

  constructor(names, total) {
    this.#total = total;
    for (const name of names) this.#rows.set(name, { delivered: 0, state: "starting" });
    const show = stderr.isTTY ? () => this.#redraw() : () => this.#print();
    this.#timer = setInterval(show, stderr.isTTY ? 100 : 1_000);
    if (stderr.isTTY) this.#redraw();
  }

  update(name, row) {
    Object.assign(this.#rows.get(name), row);
  }

  stop() {
    clearInterval(this.#timer);
    if (stderr.isTTY) this.#redraw();
  }

  #redraw() {
    const lines = [...this.#rows].map(([name, row]) => `\x1b[2K${this.#bar(name, row)}`);
    stderr.write(`${this.#drawn > 0 ? `\x1b[${this.#drawn}A` : ""}${lines.join("\n")}\n`);
    this.#drawn = lines.length;
  }

  #print() {
    const parts = [...this.#rows].map(([name, { delivered, state }]) => `${name} ${count(delivered)} (${state})`);
    stderr.write(`  ${parts.join(" · ")}\n`);
  }

  #bar(name, { delivered, state }) {
    const share = Math.min(1, delivered / this.#total);
    const filled = Math.floor(share * 30);
    const percent = String(Math.floor(share * 100)).padStart(3);
    const bar = "█".repeat(filled) + "░".repeat(30 - filled);
    return `  ${name.padEnd(5)} ${bar} ${percent} %  ${count(delivered).padStart(7)} records  ${state}`;
  }
}

/** Prints rows under a heading; the first column and the last to the left, the others to the right. */
export function printTable(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  for (const row of rows) {
    const cells = row.map((cell, column) =>
      column === 0 || column === row.length - 1 ? cell.padEnd(widths[column]) : cell.padStart(widths[column])
    );
    stdout.write(`  ${cells.join("  ").trimEnd()}\n`);
  }
}

/** `1234567` as `1,234,567`. */
export function count(number) {
  return String(number).replace(/\B(?=(\d{3})+$)/g, ",");
}
