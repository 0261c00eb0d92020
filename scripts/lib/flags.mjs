/** The command line of the scripts here: `--help` prints what stands at the top of the script, as a wrong flag does. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

/**
 * As `parseArgs` for the script at the given URL. Ends the process with code 2 when the flags are wrong.
 *
 * @template {import("node:util").ParseArgsOptionsConfig} Options
 * @param {string} url
 * @param {{ options: Options, allowPositionals?: boolean, allowNegative?: boolean }} config
 * @returns {ReturnType<typeof parseArgs<{ options: Options, allowPositionals: boolean }>>}
 */
export function flagsOf(url, config) {
  const options = { ...config.options, help: { type: "boolean", short: "h", default: false } };
  try {
    /** @type {any} What is asked for, and help. */
    const parsed = parseArgs({ ...config, options });
    if (!parsed.values.help) return parsed;
    console.log(usageOf(url));
    process.exit(0);
  } catch (error) {
    if (!String(error.code).startsWith("ERR_PARSE_ARGS")) throw error;
    console.error(`${error.message}\n\n${usageOf(url)}`);
    process.exit(2);
  }
}

function usageOf(url) {
  const [, text] = /\/\*\*\n?([\s\S]*?)\*\//.exec(readFileSync(fileURLToPath(url), "utf8"));
  return text.replaceAll(/^ ?\* ?/gm, "").trim();
}
