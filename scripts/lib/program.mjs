/** Programs that the scripts start, listen to and end, and free ports for them. */

import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { root } from "./tools.mjs";

/**
 * Starts a program in the project's folder; `input` is what it reads, `keepOpen` lets it wait for more.
 *
 * - `closed` resolves to the exit code, the signal, or why it could not be started.
 * - `output()` is what it has printed, both streams together, `stdout()` and `stderr()` one of them.
 * - `line(pattern)` resolves to the group of the first match in the output, rejects when the program ends without.
 * - `stop(signal)` ends it and resolves as `closed` does.
 *
 * @typedef {{ env?: Record<string, string>, cwd?: string, input?: string | Uint8Array, keepOpen?: boolean,
 *   onStderr?: (text: string, child: import("node:child_process").ChildProcess) => void }} ProgramOptions
 * @param {string[]} command
 * @param {ProgramOptions} [options]
 */
export function startProgram([program, ...args], { env = {}, cwd = root, input, keepOpen = false, onStderr } = {}) {
  const child = spawn(program, args, { cwd, env: { ...process.env, NO_COLOR: "1", ...env } });
  const printed = { both: "", stdout: "", stderr: "" };
  const waiting = new Set();
  for (const name of ["stdout", "stderr"]) {
    child[name].setEncoding("utf8").on("data", (text) => {
      printed[name] += text;
      printed.both += text;
      if (name === "stderr") onStderr?.(text, child);
      for (const look of waiting) look();
    });
  }
  child.stdin.on("error", () => {}); // it may end without reading all
  if (input !== undefined) child.stdin.write(input);
  if (!keepOpen) child.stdin.end();
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  const closed = new Promise((resolve) => {
    child.once("error", (error) => resolve(String(error)));
    child.once("close", (code, signal) => resolve(code ?? signal));
  }).finally(() => process.removeListener("exit", kill));
  return {
    child,
    closed,
    output: () => printed.both,
    stdout: () => printed.stdout,
    stderr: () => printed.stderr,
    line: (pattern, withinMs = 300_000) =>
      new Promise((resolve, reject) => {
        const fail = (why) => reject(new Error(`${program} ${args.join(" ")} ${why}: ${printed.both}`));
        const timer = setTimeout(fail, withinMs, `did not print ${pattern} in time`);
        const look = () => {
          const match = pattern.exec(printed.both);
          if (match === null) return;
          clearTimeout(timer);
          waiting.delete(look);
          resolve(match[1] ?? match[0]);
        };
        waiting.add(look);
        look();
        closed.then((code) => {
          clearTimeout(timer);
          fail(`ended with ${code}`);
        });
      }),
    /** @param {NodeJS.Signals} [signal] */
    async stop(signal = "SIGTERM") {
      child.kill(signal);
      const timer = setTimeout(kill, 5_000);
      const code = await closed;
      clearTimeout(timer);
      return code;
    },
  };
}

/**
 * Runs a program to its end; resolves to `{ code, stdout, stderr, output }`. It is killed when its time is over.
 *
 * @param {string[]} command
 * @param {ProgramOptions & { timeoutMs?: number }} [options]
 */
export async function runProgram(command, { timeoutMs = 180_000, ...options } = {}) {
  const program = startProgram(command, options);
  const timer = setTimeout(() => program.child.kill("SIGKILL"), timeoutMs);
  const code = await program.closed;
  clearTimeout(timer);
  return { code, stdout: program.stdout(), stderr: program.stderr(), output: program.output() };
}

/**
 * Lets a server listen wherever there is room; resolves to the port.
 *
 * @param {import("node:net").Server} server
 * @returns {Promise<number>}
 */
export function listenAnywhere(server) {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      resolve(/** @type {import("node:net").AddressInfo} */ (server.address()).port);
    });
  });
}

/** A port on which nobody listens. */
export async function freePort() {
  const server = createServer();
  const port = await listenAnywhere(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}
