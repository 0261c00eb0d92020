import assert from "node:assert/strict";
import { assertBytes } from "../bytes.ts";
import { type Codec, COMPRESSION_IDS, type CompressionType } from "../../src/codec/codec.ts";
import { type CodecOptions, type CodecSource, loadCodec, resolveCodec } from "../../src/codec/registry.ts";
import { CompressionError, ConfigError } from "../../src/errors.ts";
import { test } from "../harness.ts";
import { firstDifference, json, KINDS, noise, SIZES } from "./corpus.ts";
import { canResolve, SOURCES } from "./sources.ts";

const NAMES = Object.keys(COMPRESSION_IDS) as CompressionType[];

for (const name of NAMES) {
  for (const codecs of SOURCES) {
    test(`codecs: ${name} from ${codecs} gives back what it was given`, async () => {
      if (!canResolve(name, codecs)) {
        assert.throws(() => resolveCodec(name, { codecs }), isConfigError("compression", /^Choose .*"zstd"/));
        return;
      }
      const codec = resolveCodec(name, { codecs });
      assert.equal(codec.name, name);
      assert.equal(codec.id, COMPRESSION_IDS[name]);
      for (const size of SIZES) {
        for (const [kind, make] of Object.entries(KINDS)) {
          const input = make(size);
          const output = await codec.decompress(await codec.compress(input), size);
          assert.equal(firstDifference(output, input), -1, `${kind} ${size}`);
          assert.equal(firstDifference(input, make(size)), -1, `${kind} ${size} was changed`);
        }
      }
    });

    test(`codecs: ${name} from ${codecs} gives up at one byte more than the limit`, async () => {
      if (!canResolve(name, codecs)) return;
      const codec = resolveCodec(name, { codecs });
      for (const input of [json(1), json(1000), noise(70_000, 1), new Uint8Array(2_000_000)]) {
        const compressed = await codec.compress(input);
        assert.equal((await codec.decompress(compressed, input.length)).length, input.length);
        const { message } = await failure(() => codec.decompress(compressed, input.length - 1));
        assert.match(message, /Decompressing/);
        if (input.length > 1000) await failure(() => codec.decompress(compressed, 1000));
      }
    });

    test(`codecs: ${name} from ${codecs} can be loaded early and then works at once`, async () => {
      if (!canResolve(name, codecs)) return;
      const codec = resolveCodec(name, { codecs });
      await loadCodec(codec);
      await loadCodec(codec);
      assert.ok(codec.compress(json(100)) instanceof Uint8Array);
    });
  }
}

test("codecs: compressing many batches at the same time keeps them apart", async () => {
  for (const name of NAMES) {
    for (const codecs of SOURCES) {
      if (!canResolve(name, codecs)) continue;
      const codec = resolveCodec(name, { codecs });
      const inputs = Array.from({ length: 12 }, (_, i) => json(1000 + 17_000 * i));
      const outputs = await Promise.all(inputs.map(async (input) => {
        return await codec.decompress(await codec.compress(input), input.length);
      }));
      outputs.forEach((output, i) => assert.equal(firstDifference(output, inputs[i]!), -1, `${name} ${codecs} ${i}`));
    }
  }
});

test("codecs: a type that Kafka doesn't have is a ConfigError with the ones that it has", () => {
  for (const name of ["brotli", "", "LZ4", "toString", undefined, 3]) {
    assert.throws(
      () => resolveCodec(name as CompressionType),
      isConfigError("compression", /^Choose .* wanted one of "none", "gzip", "snappy", "lz4", "zstd"\.$/),
    );
  }
  assert.throws(() => resolveCodec("gzip", { codecs: "native" as CodecSource }), isConfigError("codecs", /"native"/));
});

test("codecs: a level out of range, or one that the codec doesn't heed, is a ConfigError", () => {
  const refused: [CompressionType, unknown[]][] = [
    ["gzip", [0, 10, -1, 1.5, NaN, "6", null]],
    ["zstd", [-8, 23, 3.5, Infinity, "3"]],
    ["lz4", [0, 1, 9]],
    ["snappy", [1]],
    ["none", [1]],
  ];
  for (const [name, levels] of refused) {
    for (const level of levels) {
      assert.throws(
        () => resolveCodec(name, { level: level as number }),
        isConfigError("compression", new RegExp(`${name}.* wanted `)),
        `${name} ${level}`,
      );
    }
  }
});

test("codecs: every level of gzip and zstd works, and the higher one gives less", async () => {
  const input = json(20_000);
  for (const [name, levels] of [["gzip", [1, 6, 9]], ["zstd", [-7, -1, 1, 3, 19, 22]]] as const) {
    for (const codecs of SOURCES) {
      if (!canResolve(name, codecs)) continue;
      const sizes = [];
      for (const level of levels) {
        const codec = resolveCodec(name, { codecs, level });
        const compressed = await codec.compress(input);
        assert.equal(firstDifference(await codec.decompress(compressed, 20_000), input), -1, `${name} ${level}`);
        sizes.push(compressed.length);
      }
      assert.ok(sizes.at(-1)! < sizes[0]!, `${name} ${codecs}: ${sizes}`);
      const perCall = await resolveCodec(name, { codecs, level: levels[0] }).compress(input, levels.at(-1));
      assert.equal(perCall.length, sizes.at(-1));
    }
  }
});

test("codecs: an own codec comes first and is given the level", async () => {
  const levels: unknown[] = [];
  const own: Codec = {
    name: "lz4",
    id: 3,
    compress(input, level) {
      levels.push(level);
      return Promise.resolve(input.slice());
    },
    decompress: (input) => input,
  };
  const codec = resolveCodec("lz4", { codecs: "portable", level: 12, custom: { lz4: own } });
  assertBytes(await codec.compress(Uint8Array.of(1, 2)), Uint8Array.of(1, 2));
  assert.deepEqual(levels, [12]);
  await loadCodec(codec);
  assert.equal(resolveCodec("gzip", { custom: { lz4: own } }).name, "gzip");
});

test("codecs: an own codec under another's name or without its functions is a ConfigError", () => {
  const own: Codec = { name: "lz4", id: 3, compress: (input) => input, decompress: (input) => input };
  const under = (name: CompressionType, codec: object | null): CodecOptions => ({ custom: { [name]: codec } as never });
  assert.throws(() => resolveCodec("gzip", under("gzip", null)), isConfigError("codecs", /wanted name "gzip"/));
  assert.throws(() => resolveCodec("gzip", under("gzip", own)), isConfigError("codecs", /"lz4".*wanted name "gzip"/));
  assert.throws(() => resolveCodec("lz4", under("lz4", { ...own, id: 4 })), isConfigError("codecs", /id 3\.$/));
  for (const lack of [{ compress: undefined, decompress: 5 }, { compress: undefined }, { decompress: undefined }]) {
    assert.throws(
      () => resolveCodec("lz4", under("lz4", { ...own, ...lack })),
      isConfigError("codecs", /compress and decompress\.$/),
    );
  }
});

test("codecs: whatever goes wrong in a codec is a CompressionError with its cause", async () => {
  const cause = new TypeError("out of luck");
  const failing = (compress: Codec["compress"]): Codec => {
    const load = () => Promise.reject(cause);
    return resolveCodec("lz4", { custom: { lz4: { name: "lz4", id: 3, load, compress, decompress: compress } } });
  };
  const throwing = failing(() => {
    throw cause;
  });
  for (const codec of [throwing, failing(() => Promise.reject(cause))]) {
    for (
      const action of [() => codec.compress(json(10)), () => codec.decompress(json(10), 10), () => loadCodec(codec)]
    ) {
      const error = await failure(action);
      assert.equal(error.cause, cause);
      assert.match(error.message, /lz4 failed: out of luck/);
      assert.equal(error.persisted, "no");
      assert.equal(error.retriable, false);
    }
  }
  for (const nothing of [undefined, null, "bytes", Promise.resolve(7)]) {
    const codec = failing(() => nothing as unknown as Uint8Array);
    assert.match((await failure(() => codec.compress(json(10)))).message, /wanted a Uint8Array/);
  }
  assert.throws(() => throwing.compress(json(10)), CompressionError); // at once, not as a rejected promise
});

test("codecs: what a codec itself reports stays as it is", async () => {
  const { message, cause } = await failure(() => resolveCodec("lz4").decompress(Uint8Array.of(1, 2, 3), 10));
  assert.match(message, /^Decompressing lz4 failed, the frame's magic is missing$/);
  assert.equal(cause, undefined);
});

test("codecs: portable ones take nothing from the runtime", async (t) => {
  const runtime = (globalThis as { process?: { getBuiltinModule?: unknown } }).process!;
  const before = runtime.getBuiltinModule;
  for (const name of NAMES) {
    if (!canResolve(name, "portable")) continue;
    await loadCodec(resolveCodec(name, { codecs: "portable" })); // the packages may look for what they like
  }
  let asked = 0;
  runtime.getBuiltinModule = () => void asked++;
  t.after(() => void (runtime.getBuiltinModule = before));
  for (const name of NAMES) {
    if (!canResolve(name, "portable")) continue;
    const codec = resolveCodec(name, { codecs: "portable" });
    await codec.decompress(await codec.compress(json(40_000)), 40_000);
  }
  assert.equal(asked, 0);
  resolveCodec("gzip");
  assert.ok(asked > 0);
});

async function failure(action: () => unknown): Promise<CompressionError> {
  try {
    await action();
  } catch (error) {
    assert.ok(error instanceof CompressionError, String(error));
    return error;
  }
  assert.fail("Nothing failed");
}

function isConfigError(option: string, message: RegExp): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof ConfigError, String(error));
    assert.equal(error.option, option);
    assert.match(error.message, message);
    return true;
  };
}
