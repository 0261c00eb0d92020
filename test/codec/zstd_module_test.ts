import assert from "node:assert/strict";
import { zstdFromModule } from "../../src/codec/zstd_module.ts";
import { ConfigError } from "../../src/errors.ts";
import { test } from "../harness.ts";

/** Compiled here, because workerd does that while modules are evaluated only. */
const emptyModule = new WebAssembly.Module(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));

test("zstd: a module that is not that of the package is a ConfigError", () => {
  for (const module of [emptyModule, undefined, {}, "zstd.wasm", new Uint8Array(8)]) {
    assert.throws(() => zstdFromModule(module as WebAssembly.Module), (error) => {
      assert.ok(error instanceof ConfigError, String(error));
      assert.equal(error.option, "codecs");
      assert.match(error.message, /wanted zstd.wasm of @bokuweb\/zstd-wasm 0\.0\.27\.$/);
      return true;
    });
  }
});
