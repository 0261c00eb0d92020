/** One run: a fresh topic, a client in a process of its own, and a look at what the broker got. */
import { spawn } from "node:child_process";
import { performance } from "node:perf_hooks";
import { pathToFileURL } from "node:url";
import { root } from "../lib/tools.mjs";
import { valuesFile } from "./values.mjs";

/**
 * Runs a client once; resolves to its result with `verified` (how the broker's count compares), or to `{ error }`.
 * The work is what `client.workFor` made of it.
 * `scale` multiplies the number of records; `options` go to Sluice as they are; `warm` rounds of the same come first.
 */
export async function measure(task) {
  return await run(task).catch((error) => ({ error: error.message }));
}

async function run({ broker, client, work, scale = 1, options = {}, warm = 0, timeoutMs = 300_000 }) {
  const topic = await broker.makeTopic(work, client.name);
  const count = recordCount(work, scale * work.share);
  const { line, plan: own, args = (plan) => [JSON.stringify(plan)] } = await client.command(work);
  const plan = {
    ...own,
    work,
    count,
    topic,
    options,
    warm: warm + (work.warm ?? 0),
    brokers: broker.address,
    tls: broker.tls,
    values: valuesFile(work),
  };
  const seenBefore = await broker.seen();
  const storedBefore = await storedRecords(broker, topic, work, 0);
  const onMark = (mark) => broker.signal(mark === "@@stop" ? "SIGSTOP" : "SIGCONT");
  plan.spawnedMs = performance.timeOrigin + performance.now();
  const { result, output } = await runDriver([...line, ...args(plan)], timeoutMs, onMark);
  if (work.kind === "stall") broker.signal("SIGCONT"); // the driver may not have come so far
  if (result === undefined) {
    // Results are kept in the repository, which isn't to know where it lay.
    const printed = output.replaceAll(pathToFileURL(root).href, "").replaceAll(root, "").trim().slice(-1_500);
    return { error: `No result. It printed: ${printed}` };
  }
  const seenAfter = await broker.seen();
  const stored = await storedRecords(broker, topic, work, storedBefore + result.acknowledged) - storedBefore;
  await broker.dropTopic(topic);
  const verified = stored === result.acknowledged ? "exact" : `${stored} stored, ${result.acknowledged} acknowledged`;
  return {
    count,
    ...result,
    stored,
    verified,
    ...seenAfter === undefined ? {} : {
      requests: seenAfter.produceRequests - seenBefore.produceRequests,
      allRequests: seenAfter.requests - seenBefore.requests,
      connections: seenAfter.connections - seenBefore.connections,
    },
    kPerSecond: result.sent / result.elapsedMs,
    cpuUs: result.cpuMs * 1000 / result.sent,
    ...result.overTls === undefined ? {} : {
      tlsKPerSecond: result.sent / result.overTls.elapsedMs,
      tlsCpuUs: result.overTls.cpuMs * 1000 / result.sent,
      tlsCostUs: (result.overTls.cpuMs - result.cpuMs) * 1000 / result.sent,
    },
  };
}

function recordCount(work, scale) {
  if (work.kind === "open-loop") return work.perSecond * work.seconds;
  const unit = work.batch ?? work.callers ?? 1;
  return Math.max(1, Math.round((work.count ?? 1) * scale / unit)) * unit;
}

/** Nobody waits for acks 0, so what is still on its way gets time, until nothing has come for some seconds. */
async function storedRecords(broker, topic, work, wanted) {
  let [stored, looks] = [-1, 0];
  for (;;) {
    const offsets = await broker.counts(topic, work);
    const sum = offsets.reduce((all, offset) => all + Math.max(0, offset), 0);
    looks = sum === stored ? looks + 1 : 0;
    if (sum >= wanted || work.acks !== 0 || looks >= 5) return sum;
    stored = sum;
    await new Promise((wake) => setTimeout(wake, 1_000));
  }
}

/**
 * Runs a driver to its end; its whole process group is killed when time is up.
 *
 * @param {string[]} command
 * @param {number} timeoutMs
 * @param {(mark: string) => void} onMark
 * @returns {Promise<any>}
 */
function runDriver([command, ...args], timeoutMs, onMark) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"], detached: true });
    let output = "";
    let result;
    const kill = () => {
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch {
        // it has just ended by itself
      }
    };
    const timer = setTimeout(() => {
      output += `\nkilled after ${timeoutMs} ms`;
      kill();
    }, timeoutMs);
    process.once("exit", kill);
    let rest = "";
    child.stdout.setEncoding("utf8").on("data", (text) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        if (line.startsWith("@@result ")) result = JSON.parse(line.slice(9));
        else if (line.startsWith("@@")) onMark(line);
        else output += `${line}\n`;
      }
    });
    child.stderr.setEncoding("utf8").on("data", (text) => output += text);
    child.once("error", (error) => output += error);
    child.once("close", () => {
      clearTimeout(timer);
      process.removeListener("exit", kill);
      resolve({ result, output });
    });
  });
}
