/** Child processes of the demo: started in one place, so that none is left behind. */

import { spawn } from "node:child_process";
import { root } from "../lib/tools.mjs";

const running = new Set();

/**
 * Starts a program. Its lines go to the callbacks; `ended` resolves to `{ code, stderr }`, without the lines of which
 * `onStderr` says true.
 *
 * @param {string[]} command
 * @param {{ onStdout?: (line: string) => void, onStderr?: (line: string) => boolean | void }} [callbacks]
 */
export function start([command, ...args], { onStdout = () => {}, onStderr = () => {} } = {}) {
  const child = spawn(command, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
  running.add(child);
  const out = lineReader(child.stdout, onStdout);
  const errors = [];
  const err = lineReader(child.stderr, (line) => {
    if (onStderr(line) !== true) errors.push(line);
  });
  const ended = new Promise((resolve) => {
    child.once("error", (error) => errors.push(String(error.message)));
    child.once("close", (code, signal) => {
      running.delete(child);
      out.end();
      err.end();
      resolve({ code: code ?? -1, signal, stderr: errors.join("\n") });
    });
  });
  return { ended, stop: () => void child.kill("SIGTERM") };
}

/** Asks every child to end, and makes it after three seconds. */
export async function stopAll() {
  const children = [...running];
  const closed = children.map((child) => new Promise((resolve) => child.once("close", resolve)));
  for (const child of children) child.kill("SIGTERM");
  const timer = setTimeout(() => children.forEach((child) => child.kill("SIGKILL")), 3_000);
  await Promise.all(closed);
  clearTimeout(timer);
}

process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

function lineReader(stream, onLine) {
  let rest = "";
  stream.setEncoding("utf8").on("data", (text) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop();
    for (const line of lines) onLine(line);
  });
  return {
    end() {
      if (rest !== "") onLine(rest);
      rest = "";
    },
  };
}
