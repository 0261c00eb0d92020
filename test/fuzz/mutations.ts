/**
 * Answers that are not what the broker wrote: one field or a few of them changed by its type, or the bytes.
 *
 * @module
 */

import { encodeResponseFrame } from "../../src/protocol/api.ts";
import { type Field, fieldsOf } from "../../src/protocol/compile.ts";
import { Reader } from "../../src/protocol/reader.ts";
import type { AnyApi } from "../../src/protocol/schema.ts";
import type { Dice } from "../../src/testing/simulation/dice.ts";
import { concatenated } from "../protocol/golden.ts";

/** Bytes to send in place of an answer, and what was done to it. */
export interface Mutation {
  readonly frame: Uint8Array;
  readonly what: string;
}

type Struct = { [name: string]: unknown };

/** A place in an answer where a value stands. */
interface Place {
  readonly path: string;
  readonly field: Field;
  readonly get: () => unknown;
  readonly set: (value: unknown) => void;
}

const LENGTH_BYTES = 4;
const HEADER_BYTES = 8;
const INTEGERS: Readonly<Record<string, readonly [least: bigint, most: bigint]>> = {
  int8: [-(2n ** 7n), 2n ** 7n - 1n],
  int16: [-(2n ** 15n), 2n ** 15n - 1n],
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
};
/** What a Produce answer may not say by a whim: it ends an idempotent producer, by the rules. */
export const FATAL: readonly number[] = [31, 35, 49, 90];
/** Codes that brokers give, and codes that nobody has heard of. */
const CODES = [
  ...[
    -1,
    0,
    1,
    2,
    3,
    5,
    6,
    7,
    9,
    10,
    13,
    14,
    15,
    17,
    18,
    19,
    20,
    29,
    32,
    33,
    41,
    42,
    45,
    46,
    47,
    53,
    56,
    58,
    59,
    72,
    74,
  ],
  ...[75, 76, 87, 89, 100, 103, 129, 136, 999, -2, 32_767, -32_768],
];

/** Changes one to three fields of an answer. */
export function mutateFields(api: AnyApi, version: number, frame: Uint8Array, dice: Dice, huge: boolean): Mutation {
  const reader = new Reader(frame, LENGTH_BYTES);
  const correlationId = reader.int32();
  if (api.responseHeaderVersion(version) >= 1) reader.skipTags();
  const body = api.decodeResponse(reader, version) as Struct;
  const what: string[] = [];
  for (let times = dice.weighted([[6, 1], [2, 2], [1, 3]] as const); times > 0; times--) {
    const place = choose(fieldsOf(api.declaration.response), body, version, dice, "");
    if (place === undefined) break;
    const before = show(place.get());
    place.set(changed(api, place, version, dice, huge));
    what.push(`${place.path} ${before} -> ${show(place.get())}`);
  }
  try {
    return {
      frame: concatenated(encodeResponseFrame(api, version, correlationId, body as never)),
      what: what.join(", "),
    };
  } catch {
    // A value that this version can't carry, such as a text of more than 32767 bytes.
    return mutateBytes(frame, dice);
  }
}

/** A place, from the outermost struct inwards. */
function choose(
  fields: readonly Field[],
  struct: Struct,
  version: number,
  dice: Dice,
  before: string,
): Place | undefined {
  const present = fields.filter(({ since, until }) => version >= since && version <= until);
  if (present.length === 0) return undefined;
  // What holds more is chosen more often: else most changes would be at the top.
  const field = dice.weighted(present.map((each) => [each.fields.length > 0 ? 4 : 1, each] as const));
  const { name } = field;
  const path = before + name;
  const value = struct[name];
  const here: Place = { path, field, get: () => struct[name], set: (changed) => struct[name] = changed };
  if (field.fields.length === 0 || dice.oneIn(4)) return here;
  if (!field.isArray) {
    // A default is shared by all answers.
    const own = struct[name] = { ...value as Struct };
    return choose(field.fields, own, version, dice, `${path}.`) ?? here;
  }
  const elements = value as Struct[] | null;
  if (elements === null || elements.length === 0) return here;
  const index = dice.below(elements.length);
  return choose(field.fields, elements[index]!, version, dice, `${path}[${index}].`) ?? here;
}

function changed(api: AnyApi, { path, field, get }: Place, version: number, dice: Dice, huge: boolean): unknown {
  const value = get();
  if (version >= field.nullableSince && dice.oneIn(4)) return null;
  if (field.isArray) return changedList(field, (value ?? []) as unknown[], dice, huge);
  if (field.name === "errorCode") {
    const isFatal = (code: number): boolean => api.name === "Produce" && FATAL.includes(code);
    return dice.pick(CODES.filter((code) => !isFatal(code)));
  }
  switch (field.type) {
    case "bool":
      return value !== true;
    case "struct":
      return field.defaultValue;
    case "string":
      return changedText(path, String(value ?? ""), dice);
    case "uuid":
      return dice.pick([
        "0".repeat(32),
        "f".repeat(32),
        String(value).replace(/.$/, (digit) => digit === "1" ? "2" : "1"),
      ]);
    case "bytes":
    case "records":
      return new Uint8Array(dice.below(100));
    default: {
      const whole = changedNumber(BigInt(value as number | bigint), INTEGERS[field.type]!, dice);
      return field.type === "int64" ? whole : Number(whole);
    }
  }
}

function changedNumber(value: bigint, [least, most]: readonly [bigint, bigint], dice: Dice): bigint {
  const bits = most.toString(2).length + 1;
  const candidate = dice.pick([
    ...[() => 0n, () => 1n, () => -1n, () => -2n, () => least, () => most, () => most - 1n, () => value + 1n],
    ...[() => value - 1n, () => -value, () => BigInt(dice.below(100)), () => BigInt(dice.below(1_000_000))],
    () => value ^ (1n << BigInt(dice.below(bits))),
  ])();
  return BigInt.asIntN(bits, candidate);
}

function changedText(path: string, text: string, dice: Dice): string {
  if (path.endsWith("host") && dice.oneIn(2)) {
    return dice.pick(["broker-1.test", "broker-2.test", "nowhere.test", "::1"]);
  }
  return dice.pick([
    ...[
      "",
      "x",
      "x".repeat(256),
      "x".repeat(20_000),
      "a b",
      "a\nb\x1b[2J",
      "\u202e",
      "\ud800",
      "__proto__",
      "constructor",
    ],
    ...[`${text}x`, text.slice(1), text.toUpperCase()],
  ]);
}

function changedList(field: Field, elements: readonly unknown[], dice: Dice, huge: boolean): unknown[] {
  const at = dice.below(Math.max(1, elements.length));
  const one = elements[at];
  if (field.type !== "struct") return Array(dice.pick([0, 1, 3, 5_000])).fill(field.type === "int32" ? 1 : one ?? "");
  const element = one ?? emptyStruct(field);
  const most = Math.ceil(MOST_VALUES / valuesIn(element));
  const many = (count: number): unknown[] => Array(Math.min(count, most)).fill(element);
  // With numbers of their own: such a list may well be right by itself.
  const counted = (count: number): unknown[] =>
    many(count).map((each, index) => ({
      ...each as Struct,
      ...Object.fromEntries(
        field.fields.filter(({ name }) => /^(nodeId|partitionIndex|index|batchIndex)$/.test(name))
          .map(({ name }) => [name, index]),
      ),
    }));
  return dice.weighted<() => unknown[]>([
    [3, () => []],
    [3, () => elements.filter((_, index) => index !== at)],
    [3, () => [...elements, ...many(1)]],
    [2, () => [...elements].reverse()],
    [2, () => many(dice.pick([2, 10, 1_000]))],
    [3, () => counted(elements.length + dice.pick([1, 2, 10]))],
    [1, () => counted(dice.pick([300, 3_000]))],
    [huge ? 200 : 0, () => dice.oneIn(2) ? many(100_000) : counted(100_000)],
  ])();
}

/** What holds long lists itself isn't repeated as often: 2,000,000 values take a few hundred MiB three times over. */
const MOST_VALUES = 2_000_000;

function valuesIn(value: unknown): number {
  if (typeof value !== "object" || value === null) return 1;
  return Object.values(value).reduce<number>((sum, inner) => sum + valuesIn(inner), 1);
}

function emptyStruct(field: Field): Struct {
  return Object.fromEntries(field.fields.map((inner) => [inner.name, inner.defaultValue]));
}

/** Changes the bytes of an answer, whatever they mean. */
export function mutateBytes(frame: Uint8Array, dice: Dice): Mutation {
  const bytes = frame.slice();
  const at = (from: number): number => from + dice.below(Math.max(1, bytes.length - from));
  const lengthened = (changed: Uint8Array): Uint8Array => {
    new DataView(changed.buffer).setInt32(0, changed.length - LENGTH_BYTES);
    return changed;
  };
  return dice.weighted<() => Mutation>([
    [6, () => {
      const bits = dice.pick([1, 1, 1, 2, 8]);
      for (let bit = 0; bit < bits; bit++) bytes[at(LENGTH_BYTES)]! ^= 1 << dice.below(8);
      return { frame: bytes, what: `${bits} bits flipped` };
    }],
    [3, () => {
      const place = at(HEADER_BYTES);
      const value = dice.pick([0, 0x7f, 0x80, 0xff]);
      bytes.fill(value, place, place + dice.pick([1, 2, 4, 8]));
      return { frame: bytes, what: `bytes from ${place} on are ${value}` };
    }],
    [2, () => {
      const place = at(HEADER_BYTES);
      return { frame: lengthened(bytes.slice(0, place)), what: `cut at ${place}` };
    }],
    [2, () => {
      const extra = Uint8Array.from({ length: dice.pick([1, 4, 100]) }, () => dice.below(256));
      const place = dice.oneIn(2) ? bytes.length : at(HEADER_BYTES);
      const parts = [bytes.slice(0, place), extra, bytes.slice(place)];
      return { frame: lengthened(concatenated(parts)), what: `${extra.length} bytes put in at ${place}` };
    }],
    [1, () => {
      const length = dice.pick([
        0,
        3,
        4,
        5,
        -1,
        0x7fff_ffff,
        200_000_000,
        bytes.length - 5,
        bytes.length + 1,
        50_000_000,
      ]);
      new DataView(bytes.buffer).setInt32(0, length);
      return { frame: bytes, what: `a length of ${length}` };
    }],
    [1, () => {
      const add = dice.pick([1, -1, 0x4000_0000]);
      const view = new DataView(bytes.buffer);
      view.setInt32(LENGTH_BYTES, view.getInt32(LENGTH_BYTES) + add);
      return { frame: bytes, what: `correlation id ${add > 0 ? "+" : ""}${add}` };
    }],
    [1, () => ({ frame: concatenated([bytes, bytes]), what: "sent twice" })],
    [1, () => {
      for (let place = HEADER_BYTES; place < bytes.length; place++) bytes[place] = dice.below(256);
      return { frame: bytes, what: "random bytes" };
    }],
    [1, () => {
      const text = new TextEncoder().encode(dice.pick(["HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-OpenSSH_9\r\n"]));
      return { frame: text, what: "text" };
    }],
  ])();
}

function show(value: unknown): string {
  if (Array.isArray(value)) return `${value.length} elements`;
  if (typeof value === "bigint") return `${value}n`;
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}
