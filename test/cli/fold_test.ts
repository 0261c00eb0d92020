/** Lines that are too long for a terminal. */

import assert from "node:assert/strict";
import { behindInterrupt, fold } from "../../src/cli/fold.ts";
import { main } from "../../src/cli/mod.ts";
import { test } from "../harness.ts";
import { world } from "./world.ts";

test("cli: a line that is too long for the terminal is broken between words, and stays as it is in a pipe", () => {
  const line = "sluice: Cannot listen on that port: it is taken.\n";
  assert.equal(fold(line, undefined), line);
  assert.equal(fold(line, 48), line);
  assert.equal(fold(line, 30), "sluice: Cannot listen on that\nport: it is taken.\n");
  assert.equal(fold("one\nand two\n", 20), "one\nand two\n");
});

test("cli: in a table, what is left of a line stands below its last column", () => {
  assert.equal(
    fold("✗   1 ms  dial     localhost:9092: nobody answers there", 40),
    "✗   1 ms  dial     localhost:9092:\n                   nobody answers there",
  );
  assert.equal(fold("     → Start a broker there, now", 20), "     → Start a\n       broker there,\n       now");
});

test("cli: a line that is rewritten in place fits the terminal, and is gone when somebody presses Ctrl-C", () => {
  const long = "█".repeat(16) + " 50 % 1,234 records";
  assert.equal(fold(`\r${long}\x1b[K`, 20), `\r${"█".repeat(16)} \x1b[K`, "with room for ^C");
  assert.equal(fold(`\r${long}\x1b[K`, 80), `\r${long}\x1b[K`);
  assert.equal(behindInterrupt(`\r${long}\x1b[K`), "\r\x1b[K");
  for (const last of ["", "\r\x1b[K", "Listening on 127.0.0.1:9092\n"]) assert.equal(behindInterrupt(last), "\n", last);
  const warning = "\r\x1b[Ksluice: warning: No broker can be reached.\n";
  assert.equal(fold(warning, 30), "\r\x1b[Ksluice: warning: No broker can\nbe reached.\n");
});

test("cli: a word that is longer than the terminal, and JSON, are left alone", () => {
  const word = "x".repeat(50);
  assert.equal(fold(`a ${word} b`, 20), `a\n${word}\nb`);
  const json = JSON.stringify({ event: "waiting", reason: "No leader is known at the moment" });
  assert.equal(fold(`${json}\n`, 20), `${json}\n`, "JSON is one line");
});

test("cli: help fits an 80-column terminal", { needs: "command line" }, async () => {
  for (const name of ["produce", "tail", "topics", "doctor", "bench", "broker", "proxy", "completion"]) {
    const io = { ...world([]), columns: 80 };
    assert.equal(await main([name, "--help"], io), 0);
    const lines = io.out.split("\n");
    assert.deepEqual(lines.filter((line) => line.length > 80), [], name);
  }
  const io = { ...world([]), columns: 80 };
  await main(["--help"], io);
  assert.deepEqual(io.out.split("\n").filter((line) => line.length > 80), []);
});
