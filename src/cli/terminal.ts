/**
 * The real world of a command line: the process, its terminal and its files, on Node, Deno and Bun.
 *
 * @module
 */

import { lookup } from "node:dns/promises";
import { open } from "node:fs/promises";
import process from "node:process";
import { setImmediate, setTimeout } from "node:timers";
import { createGunzip } from "node:zlib";
import { ConfigError } from "../errors.ts";
import { complain } from "./complaint.ts";
import { fileReasonOf } from "./connection.ts";
import { behindInterrupt, fold } from "./fold.ts";
import type { CliIo, InputSource } from "./io.ts";

const { versions } = process as unknown as { versions: Record<string, string | undefined> };

/** The world of this process. On Deno `setImmediate` comes back before any socket was looked at. */
export function terminalIo(): CliIo {
  let isBroken = false;
  let last = "";
  const onBroken = (error: unknown): void => {
    // Who reads the output may have had enough of it (`sluice tail | head -1`); a full disk is something else.
    if (!isBroken && (error as { code?: string }).code !== "EPIPE") onLostOutput(error);
    isBroken = true;
  };
  process.stdout.on("error", onBroken);
  const put = (output: string | Uint8Array, onDone: (error?: Error | null) => void): void => {
    try {
      process.stdout.write(output, onDone);
    } catch (error) {
      // Deno throws what a file answers.
      onBroken(error);
      onDone(error as Error);
    }
  };
  process.stderr.on("error", () => {});
  return {
    env: process.env,
    runtime: runtimeNameAndVersion(),
    isTTY: process.stderr.isTTY === true,
    isInputTTY: process.stdin.isTTY === true,
    isOutputTTY: process.stdout.isTTY === true,
    columns: process.stdout.isTTY === true ? process.stdout.columns : undefined,
    stdout: (text) => put(text, () => {}),
    // Only people read it there.
    stderr(text) {
      last = text;
      process.stderr.write(process.stderr.isTTY ? fold(text, process.stderr.columns) : text);
    },
    write: (bytes) =>
      new Promise((resolve) => {
        if (isBroken) resolve(false);
        else put(bytes, (error) => resolve(!error && !isBroken));
      }),
    open: (file, { gunzip = false } = {}) => {
      const source = file === "-" ? Promise.resolve(standardInput()) : openFile(file);
      return gunzip ? source.then(unpacked) : source;
    },
    resolve: async (host) => (await lookup(host, { all: true })).map(({ address }) => address),
    turn: () => new Promise((resolve) => void (versions["deno"] ? setTimeout(resolve, 0) : setImmediate(resolve))),
    sleep: (durationMs) => new Promise((resolve) => void setTimeout(resolve, durationMs)),
    onInterrupt(callback) {
      let asked = false;
      const listener = (signal: string) => {
        if (signal === "SIGINT" && process.stdin.isTTY && process.stderr.isTTY) {
          process.stderr.write(behindInterrupt(last));
        }
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

/** The records would be missing from a file, and a script would go on with it. */
function onLostOutput(error: unknown): void {
  complain({ stderr: (text) => void process.stderr.write(text) }, `Cannot write the output: ${fileReasonOf(error)}`);
  process.on("exit", () => process.exitCode ||= 1);
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

/** What a gzip file holds; its size isn't known beforehand. */
function unpacked({ chunks, close }: InputSource): InputSource {
  const gunzip = createGunzip();
  const feed = async (): Promise<void> => {
    for await (const chunk of chunks) {
      await new Promise<void>((resolve, reject) => {
        gunzip.write(chunk, (error) => error ? reject(error) : resolve());
      });
    }
    gunzip.end();
  };
  // Not before somebody reads: an error that nobody listens for ends the process.
  async function* read(): AsyncGenerator<Uint8Array> {
    feed().catch((error) => gunzip.destroy(error as Error));
    yield* gunzip as AsyncIterable<Uint8Array>;
  }
  return {
    chunks: read(),
    totalBytes: undefined,
    close() {
      close();
      gunzip.destroy();
    },
  };
}

function runtimeNameAndVersion(): string {
  if (versions["deno"] !== undefined) return `deno ${versions["deno"]}`;
  if (versions["bun"] !== undefined) return `bun ${versions["bun"]}`;
  return `node ${versions["node"]}`;
}
