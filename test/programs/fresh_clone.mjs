/**
 * The first hour of somebody new: clones the project, packs it, installs the tarball into an empty folder and does there
 * what README.md's first screen says, on Node, Bun and Deno: a record that `sluice tail` shows, and a test that passes.
 *
 *     node test/programs/fresh_clone.mjs
 */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { root, run, runtimeBinary } from "../../scripts/lib/tools.mjs";
import { blocksOf } from "./snippets.mjs";

/**
 * Most bytes of the tarball, unpacked, so that nothing gets into it unnoticed: three times the same code, for `import`,
 * `require` and workerd.
 */
const maxUnpackedBytes = 5_800_000;

/** Resolves to `{ ok, output }`. What is not committed counts as well. */
export async function checkFreshClone() {
  const dir = await mkdtemp(join(tmpdir(), "sluice-"));
  try {
    const clone = join(dir, "clone");
    await succeed("git", ["clone", "--quiet", root, clone], root);
    const changes = await succeed("git", ["diff", "--binary", "HEAD"], root);
    if (changes.trim() !== "") {
      await writeFile(join(dir, "changes.diff"), changes);
      await succeed("git", ["apply", join(dir, "changes.diff")], clone);
    }
    await succeed("npm", ["pack", "--loglevel=error", "--pack-destination", dir], clone);
    const tarball = join(dir, (await readdir(dir)).find((name) => name.endsWith(".tgz")));
    const { unpackedSize } = JSON.parse(await succeed("npm", ["pack", "--dry-run", "--json", tarball], dir))[0];
    assert.ok(unpackedSize < maxUnpackedBytes, `unpacked, it has ${unpackedSize} bytes, wanted ${maxUnpackedBytes}`);
    await quickStart(dir, tarball);
    return { ok: true, output: `${unpackedSize} bytes unpacked` };
  } catch (error) {
    return { ok: false, output: error.message };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/**
 * In an empty folder, with nothing but what README.md has under its first heading: the install, the broker, the program
 * and the test, on each runtime.
 */
async function quickStart(dir, tarball) {
  const readme = await readFile(join(root, "README.md"), "utf8");
  const screen = /^## Send a record$[^]*?(?=^## )/m.exec(readme)[0];
  const blocks = blocksOf(screen);
  const [install, start] = blocks.find(({ language }) => language === "sh").code.split("\n");
  const [program, test] = ["node", "test"].map((word) => blocks.find(({ words }) => words.includes(word)).code);
  const [, tail] = /`(npx @sluice\/kafka tail [^`]*)`/.exec(screen);
  const [programName, testName] = [program, test].map((code) => /^\/\/ (\S+)$/m.exec(code)[1]);
  const empty = join(dir, "empty");
  // npm installs into the nearest folder above that has packages: what lies in the temporary folder is none of ours.
  await mkdir(join(empty, "node_modules"), { recursive: true });
  await copyFile(tarball, join(empty, basename(tarball)));
  await succeed("sh", ["-c", install], empty);
  const broker = spawn("sh", ["-c", `exec ${start} --port 0`], { cwd: empty, detached: true });
  try {
    const brokers = await address(broker);
    await writeFile(join(empty, programName), program.replace("localhost:9092", brokers));
    await writeFile(join(empty, testName), test);
    const commands = {
      Node: [[process.execPath, programName], [process.execPath, "--test", testName]],
      Bun: [[runtimeBinary("bun"), programName], [runtimeBinary("bun"), "test", testName]],
      Deno: [[runtimeBinary("deno"), "run", "-A", programName], [
        runtimeBinary("deno"),
        "test",
        "-A",
        "--no-check",
        testName,
      ]],
    };
    let sent = 0;
    for (const [name, [run, check]] of Object.entries(commands)) {
      if (run[0] === undefined) throw new Error(`${name} is not installed in test/runtimes`);
      assert.match(await succeed(run[0], run.slice(1), empty), /^partition \d, offset \d+$/m, name);
      const seen = await succeed("sh", ["-c", `${tail.replace("localhost:9092", brokers)} --exit`], empty);
      assert.equal(seen.match(/^hello$/gm)?.length, ++sent, `what ${name} has sent is not seen: ${seen}`);
      assert.match(await succeed(check[0], check.slice(1), empty), /\b1 pass|pass 1\b|1 passed/, `${name}'s test`);
    }
  } finally {
    process.kill(-broker.pid, "SIGTERM");
  }
}

function address(broker) {
  let output = "";
  return new Promise((resolve, reject) => {
    for (const stream of [broker.stdout, broker.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => {
        output += text;
        const found = /^Listening on (\S+)$/m.exec(output);
        if (found !== null) resolve(found[1]);
      });
    }
    broker.once("close", () => reject(new Error(`npx @sluice/kafka broker ended: ${output}`)));
  });
}

async function succeed(command, args, cwd) {
  const { code, output } = await run(command, args, { cwd, env: { ...process.env, NO_COLOR: "1" } });
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} ended with exit code ${code}\n${output.slice(-2_000)}`);
  return output;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { ok, output } = await checkFreshClone();
  console.log(output);
  if (!ok) process.exitCode = 1;
}
