/**
 * `sluice completion`: scripts for shells, from the table of options.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { show } from "../show.ts";
import { type CommandSpec, commandSpecs } from "./options.ts";

/** The shells. */
export const SHELLS = ["bash", "zsh", "fish"] as const;

/** The script for a shell. @throws {ConfigError} for another one */
export function completionFor(shell: string | undefined): string {
  switch (shell) {
    case "bash":
      return bash();
    case "zsh":
      return `#compdef sluice\nautoload -U +X bashcompinit && bashcompinit\n${bash()}`;
    case "fish":
      return fish();
    default: {
      const given = shell === undefined ? "No shell is given" : `Unknown shell ${show(shell)}`;
      throw new ConfigError("shell", `${given}, wanted ${SHELLS.join(", ")}`);
    }
  }
}

/** Options as they may be written. */
function optionsOf({ options }: CommandSpec): string[] {
  return options.flatMap(({ name, short }) => short === undefined ? [`--${name}`] : [`-${short}`, `--${name}`]);
}

/** One function: the command first, then its options, their values where they are known, and files. */
function bash(): string {
  const names = commandSpecs.map(({ name }) => name).join(" ");
  const cases = commandSpecs.map((spec) => {
    const values = spec.options.flatMap(({ name, short, value, choices }) => {
      if (value === undefined) return [];
      const pattern = short === undefined ? `--${name}` : `-${short}|--${name}`;
      if (choices !== undefined) return [`        ${pattern}) words="${choices.join(" ")}" ;;`];
      return value === "FILE" ? [`        ${pattern}) files=1 ;;`] : [`        ${pattern}) return ;;`];
    });
    const others = [...optionsOf(spec), ...spec.actions ?? []].join(" ");
    return `    ${spec.name})
      case "$previous" in
${values.join("\n")}
        *) words="${others}"${spec.name === "produce" ? "; files=1" : ""} ;;
      esac ;;`;
  });
  return `_sluice() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" words="" files=""
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${names} --help --version" -- "$current"))
    return
  fi
  case "\${COMP_WORDS[1]}" in
${cases.join("\n")}
  esac
  [ -n "$words" ] && COMPREPLY=($(compgen -W "$words" -- "$current"))
  [ -n "$files" ] && COMPREPLY+=($(compgen -f -- "$current"))
  return 0
}
complete -F _sluice sluice
`;
}

function fish(): string {
  const lines = ["complete -c sluice -f"];
  const first = "not __fish_seen_subcommand_from $sluice_commands";
  lines.push(`set -g sluice_commands ${commandSpecs.map(({ name }) => name).join(" ")}`);
  for (const spec of commandSpecs) {
    lines.push(`complete -c sluice -n "${first}" -a ${spec.name} -d ${quoted(spec.summary)}`);
    const seen = `-n "__fish_seen_subcommand_from ${spec.name}"`;
    for (const action of spec.actions ?? []) lines.push(`complete -c sluice ${seen} -a ${action}`);
    if (spec.name === "produce") lines.push(`complete -c sluice ${seen} -F`);
    for (const { name, short, value, choices, help } of spec.options) {
      const letter = short === undefined ? "" : ` -s ${short}`;
      const argument = value === undefined
        ? ""
        : choices !== undefined
        ? ` -x -a ${quoted(choices.join(" "))}`
        : value === "FILE"
        ? " -r -F"
        : " -x";
      lines.push(`complete -c sluice ${seen} -l ${name}${letter}${argument} -d ${quoted(help)}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

function quoted(text: string): string {
  return `'${text.replace(/[\\']/g, "\\$&")}'`;
}
