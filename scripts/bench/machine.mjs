/** What a result was measured on. */
import { execFileSync } from "node:child_process";
import { cpus, release, totalmem, type } from "node:os";
import { runtimeBinary } from "../lib/tools.mjs";

/** Processor, memory and system of this machine, as one would write them under a table. */
export function describeMachine() {
  const [{ model }] = cpus();
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
  return { processor: `${cpus().length} × ${model.trim()}`, memory, system: `${type()} ${release().split("-")[0]}` };
}

/** The version of a JavaScript runtime, without a "v". */
export function runtimeVersion(name) {
  const binary = runtimeBinary(name);
  if (binary === undefined) return undefined;
  const said = execFileSync(binary, ["--version"], { encoding: "utf8" });
  return /\d+\.\d+\.\d+/.exec(said)?.[0];
}
