/**
 * Values that callers pass by mistake, and what must become of a call that was given one.
 *
 * @module
 */

import assert from "node:assert/strict";
import { KafkaError } from "../../mod.ts";

function trap(): never {
  throw new Error("trap\u001b[2J\n\u202e");
}

class Settings {
  readonly colour = "red";
}

/** Objects whose properties can't be read, in every way that there is. */
export function unreadable(): Record<string, object> {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  const names = ["topic", "key", "value", "headers", "partition", "timestamp", "signal", "timeoutMs", "onDelivery"];
  const getters = Object.defineProperties(
    {},
    Object.fromEntries(names.map((name) => [name, { get: trap, enumerable: true }])),
  );
  return {
    "proxy that throws": new Proxy({}, {
      get: trap,
      getPrototypeOf: trap,
      has: trap,
      ownKeys: trap,
      getOwnPropertyDescriptor: trap,
    }),
    "revoked proxy": proxy,
    "getters that throw": getters,
  };
}

/** Signals that are none, and one that turns out to be none when it is used. */
export function oddSignals(): Record<string, unknown> {
  const deaf = { aborted: false, addEventListener: trap, removeEventListener: trap };
  return {
    controller: new AbortController(),
    "object of the class without what the class needs": Object.create(AbortSignal.prototype),
    "event target": new EventTarget(),
    "signal that doesn't let anybody listen": deaf,
  };
}

/** One of every kind. */
export function oddValues(): Record<string, unknown> {
  return {
    null: null,
    zero: 0,
    negative: -1,
    NaN: NaN,
    bigint: 5n,
    text: "text",
    "hostile text": "\u001b[2J\n\u202e".repeat(10_000),
    symbol: Symbol("s\n"),
    true: true,
    list: [],
    "list of lists": [[]],
    function: () => {},
    class: Settings,
    "class instance": new Settings(),
    date: new Date(0),
    map: new Map(),
    promise: Promise.resolve(5),
    bytes: new Uint8Array(3),
    "frozen object": Object.freeze({ no: "option" }),
    "object without prototype": Object.assign(Object.create(null), { no: "option" }),
    "proxy of a signal": new Proxy(new AbortController().signal, {}),
    ...oddSignals(),
    ...unreadable(),
  };
}

/** Asserts that it is an error of ours which says what was wrong in one line that is fit to be printed. */
export function assertSpeaks(error: unknown, what: string): void {
  assert.ok(error instanceof KafkaError, `${what}: ${String(error instanceof Error ? error.stack : typeof error)}`);
  const { message } = error;
  assert.match(message, /^[A-Z].*[.?…]$/, what);
  assert.doesNotMatch(message, /\[object|\p{Cc}|\p{Cf}/u, `${what}: ${message}`);
  assert.ok(message.length < 700, `${what}: ${message.length} characters`);
}

/**
 * Makes a call; resolves to what it has returned or thrown, or what its promise was settled with. Whatever goes wrong must
 * speak, and what `mayThrow` doesn't allow to throw must reject.
 */
export async function outcomeOf(what: string, mayThrow: boolean, call: () => unknown): Promise<unknown> {
  let returned: unknown;
  try {
    returned = call();
  } catch (error) {
    assert.ok(mayThrow, `${what} threw`);
    assertSpeaks(error, what);
    return error;
  }
  try {
    return await returned;
  } catch (error) {
    assertSpeaks(error, what);
    return error;
  }
}
