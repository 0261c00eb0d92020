import assert from "node:assert/strict";
import { excerpt, MAX_SHOWN, printableJson, reasonOf, show } from "../src/show.ts";
import { test } from "./harness.ts";

class Order {
  readonly secret = "hunter2";
}

function throwing(): object {
  const trap = (): never => {
    throw new Error("trap");
  };
  return new Proxy({}, { get: trap, getPrototypeOf: trap, has: trap, ownKeys: trap, getOwnPropertyDescriptor: trap });
}

test("show: every kind of value is shown by one rule, without what objects hold", () => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  const table: [value: unknown, shown: string][] = [
    ["text", '"text"'],
    ["", '""'],
    ['a "b" \\ c', '"a \\"b\\" \\\\ c"'],
    [5, "5"],
    [NaN, "NaN"],
    [5n, "5n"],
    [10n ** 100_000n, "a bigint of more than 150 digits"],
    [true, "true"],
    [null, "null"],
    [undefined, "undefined"],
    [Symbol("a\nb"), "Symbol(a\\nb)"],
    [Symbol(), "Symbol()"],
    [() => {}, "a function"],
    [Order, "a function"],
    [[1, 2], "a list"],
    [{}, "an object"],
    [Object.create(null), "an object"],
    [{ constructor: 5 }, "an object"],
    [new Order(), 'an object of class "Order"'],
    [new AbortController(), 'an object of class "AbortController"'],
    [Promise.resolve(), "a promise"],
    [throwing(), "an object"],
    [proxy, "an object"],
  ];
  for (const [value, shown] of table) assert.equal(show(value), shown);
});

test("show: what a terminal obeys is escaped, other scripts are not", () => {
  assert.equal(
    show("\u001b[31m\r\n\t\u0000\u007f\u009b\u202e\u2066\u200b\ufeff\u2028\ud800"),
    '"\\u001b[31m\\r\\n\\t\\u0000\\u007f\\u009b\\u202e\\u2066\\u200b\\ufeff\\u2028\\ud800"',
  );
  assert.equal(show("grüße 你好 🎉 עברית"), '"grüße 你好 🎉 עברית"');
  const odd = { "a\u202eb": "\u009b\u2029\u{e0041}" };
  assert.deepEqual(JSON.parse(printableJson(odd)), odd);
  assert.match(printableJson(odd), /^[\x20-\x7e]+$/);
});

test("show: long values are cut, and no escape sequence or surrogate pair in two", () => {
  for (const unit of ["x", "\u001b", "🎉", '"', "\\", "\u{e0041}", "x\n"]) {
    for (let shift = 0; shift < 13; shift++) {
      const shown = show("y".repeat(shift) + unit.repeat(100_000));
      assert.ok(shown.length <= MAX_SHOWN && shown.length > MAX_SHOWN - 16, `${shown.length}`);
      assert.ok(shown.endsWith('…"'));
      const text: string = JSON.parse(`${shown.slice(0, -2)}"`);
      assert.equal(text, ("y".repeat(shift) + unit.repeat(200)).slice(0, text.length));
      assert.ok(text.isWellFormed(), shown);
    }
  }
  assert.equal(show("x".repeat(198)), `"${"x".repeat(198)}"`);
  assert.equal(show("x".repeat(199)), `"${"x".repeat(197)}…"`);
  assert.equal(excerpt("x".repeat(1_000)).length, MAX_SHOWN);
});

test("show: the reason of whatever was thrown is its message, or what it is", () => {
  const table: [thrown: unknown, reason: string][] = [
    [new Error("disk\nfull"), "disk\\nfull"],
    [new RangeError(""), "RangeError"],
    [{ message: "like an error" }, "like an error"],
    [{ message: 5 }, "an object"],
    ["text\n", "text\\n"],
    ["", '""'],
    [undefined, "undefined"],
    [null, "null"],
    [throwing(), "an object"],
  ];
  for (const [thrown, reason] of table) assert.equal(reasonOf(thrown), reason);
});
