/**
 * The first hour of somebody new: clones the project, packs it, installs the tarball into a fresh folder and follows the
 * README's quick start there, on Node, Bun and Deno.
 *
 *     node test/programs/fresh_clone.mjs
 */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { root, run, runtimeBinary } from "../../scripts/lib/tools.mjs";

/** Most bytes of the tarball, unpacked, so that nothing gets into it unnoticed. */
const maxUnpackedBytes = 3_300_000;

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

async function quickStart(dir, tarball) {
  await succeed("npm", ["init", "-y"], dir);
  await succeed("npm", ["install", "--no-audit", "--no-fund", tarball], dir);
  const readme = await readFile(join(root, "README.md"), "utf8");
  const [, code] = /^### Node$[^]*?^```js node\n([^]*?)^```$/m.exec(readme);
  const broker = spawn("npx", ["--no", "@sluice/kafka", "broker", "--topic", "orders:3", "--port", "0"], {
    cwd: dir,
    detached: true,
  });
  try {
    await writeFile(join(dir, "orders.mjs"), code.replace("localhost:9092", await address(broker)));
    const programs = {
      Node: [process.execPath, ["orders.mjs"]],
      Bun: [runtimeBinary("bun"), ["orders.mjs"]],
      Deno: [runtimeBinary("deno"), ["run", "--no-prompt", "--allow-net", "--allow-env", "orders.mjs"]],
    };
    for (const [name, [program, args]] of Object.entries(programs)) {
      if (program === undefined) throw new Error(`${name} is not installed in test/runtimes`);
      assert.match(await succeed(program, args, dir), /^partition \d, offset \d+$/m, name);
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
