/** The record set of the interop tests: the same 520 records on every run, with everything that a wire can get wrong. */

/** How many partitions each topic of the suite has. */
export const partitionCount = 3;

const firstTimestampMs = 1_700_000_000_000;

/**
 * The records as plain data, bytes in base64: `{ text, key, value, headers: [[name, bytes]], partition, timestamp }`.
 *
 * Each record has a timestamp of its own, which is how a reader tells which one it has got. `text` says that key and
 * value are to be handed over as strings.
 */
export function interopRecords() {
  const random = seeded(20260117);
  const records = [];
  const add = ({ text = false, key = null, value = null, headers = [], partition = null }) => {
    const timestamp = firstTimestampMs + records.length * 7;
    const pairs = headers.map(([name, bytes]) => [name, encode(bytes)]);
    records.push({ text, key: encode(key), value: encode(value), headers: pairs, partition, timestamp });
  };

  const nasty = {
    none: null,
    empty: "",
    ascii: "hello",
    unicode: "Zürich 東京 🦥 \u0000 \u{10ffff}",
    combining: "e\u0301 \u200d \ufeffstart",
    binary: Uint8Array.from({ length: 256 }, (_, i) => i),
    notUtf8: Uint8Array.of(0xff, 0xfe, 0xc0, 0x80, 0xed, 0xa0, 0x80),
    zeros: new Uint8Array(17),
  };
  for (const key of Object.values(nasty)) {
    for (const value of Object.values(nasty)) {
      const text = !(key instanceof Uint8Array) &&
        !(value instanceof Uint8Array);
      add({ text, key, value, partition: key === null ? records.length % partitionCount : null });
    }
  }

  const headerSets = [
    [["one", "1"]],
    [["null", null]],
    [["empty", ""]],
    [["", "a name without letters"]],
    [["twice", "first"], ["twice", "second"], ["twice", "first"]],
    [["a", "1"], ["b", "2"], ["a", "3"]],
    [["mixed", null], ["mixed", ""], ["mixed", "x"]],
    [["ключ 🗝", "значение 🦥"], ["bytes", nasty.binary]],
    [["__proto__", "not a prototype"], ["constructor", "x"], ["length", "0"]],
    Array.from({ length: 70 }, (_, i) => [`h${i}`, String(i)]),
    [["n".repeat(300), "v".repeat(3_000)]],
  ];
  for (const headers of headerSets) {
    add({ key: "with headers", value: "v", headers });
    add({ key: null, value: null, headers, partition: 1 });
  }

  add({ key: "big, compressible", value: "All work and no play makes Jack a dull boy. ".repeat(2_300) });
  add({ key: "big, incompressible", value: bytes(random, 100_000), partition: 2 });

  // Lengths around the steps of a varint and of the codecs' match lengths.
  for (const length of [1, 62, 63, 64, 65, 127, 128, 129, 255, 256, 8_191, 8_192, 16_383, 16_384, 16_385]) {
    add({ key: bytes(random, length % 97 + 1), value: bytes(random, length) });
  }

  // Nobody names the partition, no key: the producer's choice.
  for (let i = 0; i < 60; i++) add({ text: true, value: `unkeyed ${i}` });

  while (records.length < 520) {
    const i = records.length;
    if (i % 5 === 0) {
      add({ text: true, key: `explicit-${i}`, value: `against its hash ${i}`, partition: i % partitionCount });
    } else if (i % 5 === 1) {
      add({ key: bytes(random, 1 + i % 40), value: bytes(random, i % 300) });
    } else {add({
        text: true,
        key: `order-${i % 83}`,
        value: JSON.stringify({ i, note: "x".repeat(i % 50) }),
      });}
  }
  return records;
}

function encode(value) {
  if (value === null) return null;
  return Buffer.from(value).toString("base64");
}

function bytes(random, length) {
  return Uint8Array.from({ length }, () => random() >>> 24);
}

/** A linear congruential generator: the quality doesn't matter, that it never changes does. */
function seeded(seed) {
  let state = seed >>> 0;
  return () => state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
}
