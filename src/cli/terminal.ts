/**
 * The real world of a command line: the process, its terminal and its files, on Node, Deno and Bun.
 *
 * @module
 */

import { open } from "node:fs/promises";
import process from "node:process";
import { setImmediate, setTimeout } from "node:timers";
import { ConfigError } from "../errors.ts";
import type { CliIo, InputSource } from "./io.ts";

const { versions } = process as unknown as { versions: Record<string, string | undefined> };

/** The world of this process. On Deno `setImmediate` comes back before any socket was looked at. */
export function terminalIo(): CliIo {
  return {
    env: process.env,
    runtime: runtimeNameAndVersion(),
    isTTY: process.stderr.isTTY === true,
    stdout: (text) => void process.stdout.write(text),
    stderr: (text) => void process.stderr.write(text),
    open: (file) => file === "-" ? Promise.resolve(standardInput()) : openFile(file),
    turn: () => new Promise((resolve) => void (versions["deno"] ? setTimeout(resolve, 0) : setImmediate(resolve))),
    onInterrupt(callback) {
      let asked = false;
      const listener = () => {
        if (asked) process.exit(130); // asked twice: now
        asked = true;
        callback();
      };
      process.on("SIGINT", listener);
      process.on("SIGTERM", listener);
      return () => {
        process.off("SIGINT", listener);
        process.off("SIGTERM", listener);
      };
    },
  };
}

function standardInput(): InputSource {
  return { chunks: process.stdin, totalBytes: undefined, close: () => void process.stdin.destroy() };
}

async function openFile(file: string): Promise<InputSource> {
  const handle = await open(file, "r");
  const stat = await handle.stat();
  if (stat.isDirectory()) {
    await handle.close();
    throw new ConfigError("file", "A directory holds no records.", { code: "EISDIR" });
  }
  const stream = handle.createReadStream({ highWaterMark: 65_536 });
  return {
    chunks: stream,
    totalBytes: stat.isFile() ? stat.size : undefined,
    close: () => void stream.destroy(),
  };
}

function runtimeNameAndVersion(): string {
  if (versions["deno"] !== undefined) return `deno ${versions["deno"]}`;
  if (versions["bun"] !== undefined) return `bun ${versions["bun"]}`;
  return `node ${versions["node"]}`;
}
