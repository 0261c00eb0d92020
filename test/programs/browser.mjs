/**
 * The page of `examples/browser.html` in a headless Chromium, through `sluice proxy`, to the embedded broker; and that the
 * proxy keeps out a page of another origin, and one without the token.
 *
 *     npm run browser [-- --screenshot page.png]
 *
 * Needs Chromium: the environment variable CHROMIUM names it, else `chromium`, `chromium-browser` and `google-chrome` are
 * looked for. Not a part of `npm test`, for not every machine has a browser.
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "../../scripts/build.mjs";
import { readRecords, startBroker } from "../../scripts/lib/broker_process.mjs";
import { flagsOf } from "../../scripts/lib/flags.mjs";
import { listenAnywhere, runProgram, startProgram } from "../../scripts/lib/program.mjs";
import { compiled } from "../../scripts/lib/runtimes.mjs";
import { root } from "../../scripts/lib/tools.mjs";
import { bundle } from "../../scripts/lib/worker.mjs";

const token = "a token for the page";
/** How long a page may take. */
const pageMs = 20_000;

/** Serves the page until what `isDone` asks for has come: an image that comes late keeps the browser from looking sooner. */
async function servePage(script, isDone) {
  const html = await readFile(join(root, "examples/browser.html"), "utf8");
  const server = createServer(async (request, response) => {
    const path = request.url?.split("?")[0];
    if (path === "/browser.js") return response.setHeader("content-type", "text/javascript").end(script);
    if (path !== "/late.png") {
      return response.setHeader("content-type", "text/html").end(
        html.replace("</body>", '<img src="late.png"></body>'),
      );
    }
    const endMs = performance.now() + pageMs / 2;
    while (!await isDone() && performance.now() < endMs) await new Promise((resolve) => setTimeout(resolve, 100));
    // Until what was answered is on the page.
    setTimeout(() => response.writeHead(404).end(), 500);
  });
  return { port: await listenAnywhere(server), close: () => (server.close(), server.closeAllConnections()) };
}

async function main() {
  const { values } = flagsOf(import.meta.url, { options: { screenshot: { type: "string" } } });
  const chromium = findChromium();
  await build();
  const dir = await mkdtemp(join(tmpdir(), "sluice-browser-"));
  const broker = await startBroker({ topics: ["notes:1"] });
  const sent = ["one", "two", "three"];
  const records = async () =>
    (await readRecords(broker.address, "notes")).map(({ value }) => new TextDecoder().decode(value));
  try {
    await bundle(join(root, "examples/browser.ts"), join(dir, "browser.js"), ["browser"]);
    const page = await servePage(await readFile(join(dir, "browser.js")), async () => (await records()).length === 3);
    const file = join(dir, "token.txt");
    await writeFile(file, token);
    const proxy = startProgram([
      ...[...compiled, "proxy", "--port", "0", "--allow", broker.address, "--token-file", file],
      ...["--origin", `http://127.0.0.1:${page.port}`, "--verbose"],
    ]);
    try {
      const url = await proxy.line(/^Listening on (\S+)\n/m);
      const open = async (host, more, ...flags) => {
        const query = new URLSearchParams([["brokers", broker.address], ["proxy", url], ...more]);
        const profile = `--user-data-dir=${join(dir, "profile")}`;
        const all = ["--headless=new", "--no-sandbox", "--disable-gpu", profile, `--timeout=${pageMs}`, ...flags];
        const ran = await runProgram([chromium, ...all, `http://${host}:${page.port}/browser.html?${query}`], {
          timeoutMs: 3 * pageMs,
        });
        return ran.output;
      };
      const wanted = [["token", token], ...sent.map((value) => ["send", value])];
      const dom = await open("127.0.0.1", wanted, "--dump-dom");
      for (const [offset, value] of sent.entries()) {
        assert.match(dom, new RegExp(`${value}: partition 0, offset ${offset}<`));
      }
      assert.deepEqual(await records(), sent);
      console.log(`✓ a page in ${version(chromium)} delivers through the proxy: ${sent.join(", ")}`);
      const elsewhere = await open("localhost", wanted, "--dump-dom");
      assert.match(elsewhere, /Start the proxy at .* with --origin/);
      console.log("✓ a page of another origin is kept out, and says what to do");
      const stranger = await open("127.0.0.1", [["token", "wrong"], ["send", "x"]], "--dump-dom");
      assert.match(stranger, /Change "token" of webSocketConnect/);
      console.log("✓ a page with a wrong token is kept out, and says what to do");
      assert.deepEqual(await records(), sent);
      if (values.screenshot !== undefined) {
        await open("127.0.0.1", [["token", token], ["send", "a note"]], `--screenshot=${values.screenshot}`);
        console.log(`the page is in ${values.screenshot}`);
      }
      console.log("3 passed, 0 failed");
    } finally {
      await proxy.stop();
      page.close();
    }
  } finally {
    await broker.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

function findChromium() {
  const names = [process.env.CHROMIUM, "chromium", "chromium-browser", "google-chrome"];
  const found = names.find((name) => name && spawnSync(name, ["--version"], { stdio: "ignore" }).status === 0);
  if (found === undefined) throw new Error("There is no Chromium: install one, or name it in CHROMIUM");
  return found;
}

function version(chromium) {
  return spawnSync(chromium, ["--version"], { encoding: "utf8" }).stdout.trim();
}

await main().catch((error) => {
  console.error(error.stack);
  process.exitCode = 1;
});
