/** Starts the helper servers that the tests dial, in a process of their own. */

import { spawn } from "node:child_process";
import { join } from "node:path";
import { root } from "./tools.mjs";

/** Resolves to the ports and a way to stop, once the servers listen. */
export async function startServers() {
  const child = spawn(process.execPath, [join(root, "scripts", "lib", "servers_main.mjs")], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const stop = async () => {
    if (child.exitCode !== null) return;
    const exited = new Promise((resolve) => child.once("exit", resolve));
    child.stdin.end(); // it stops when its standard input ends, so it can't outlive this process
    await exited;
  };
  const ports = await new Promise((resolve, reject) => {
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (chunk) => {
      text += chunk;
      if (text.includes("\n")) resolve(JSON.parse(text.split("\n")[0]));
    });
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`The test servers ended with exit code ${code}`)));
  });
  return { ports, stop };
}
