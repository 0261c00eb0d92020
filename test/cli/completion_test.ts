import assert from "node:assert/strict";
import { completionFor, SHELLS } from "../../src/cli/completion.ts";
import { commandSpecs } from "../../src/cli/options.ts";
import { test } from "../harness.ts";
import { refusal } from "./world.ts";

test("cli completion: each script names every command and every option", async () => {
  for (const shell of SHELLS) {
    const script = completionFor(shell);
    for (const { name, options } of commandSpecs) {
      assert.match(script, new RegExp(`\\b${name}\\b`));
      for (const option of options) assert.ok(script.includes(option.name), `${shell}: ${option.name}`);
    }
  }
  assert.equal(await refusal(() => completionFor("tcsh")), 'Unknown shell "tcsh", wanted bash, zsh, fish');
  assert.equal(await refusal(() => completionFor(undefined)), "No shell is given, wanted bash, zsh, fish");
});
