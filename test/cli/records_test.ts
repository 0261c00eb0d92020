import assert from "node:assert/strict";
import { KafkaError } from "../../src/errors.ts";
import { formatOf, type InputOptions, RecordParser } from "../../src/cli/records.ts";
import { test } from "../harness.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** What was read up to the end or to the first complaint, with bytes as text. */
function read(options: InputOptions, text: string | Uint8Array, chunkBytes = Infinity): {
  records: [string | null, string | null][];
  complaint: string | undefined;
} {
  const bytes = typeof text === "string" ? encoder.encode(text) : text;
  const parser = new RecordParser(options);
  const records: [string | null, string | null][] = [];
  const show = (part: string | Uint8Array | null) => typeof part === "object" && part ? decoder.decode(part) : part;
  try {
    for (let start = 0; start < bytes.length; start += chunkBytes) {
      for (const { key, value } of parser.push(bytes.slice(start, Math.min(bytes.length, start + chunkBytes)))) {
        records.push([show(key), show(value)]);
      }
    }
    for (const { key, value } of parser.end()) records.push([show(key), show(value)]);
  } catch (error) {
    assert.ok(error instanceof KafkaError && error.code === "BAD_INPUT", String(error));
    return { records, complaint: error.message };
  }
  return { records, complaint: undefined };
}

/** The same answer for every size of chunks. */
function readAnyhow(options: InputOptions, text: string): ReturnType<typeof read> {
  const whole = read(options, text);
  for (const chunkBytes of [1, 2, 3, 7]) assert.deepEqual(read(options, text, chunkBytes), whole);
  return whole;
}

test("cli input: lines end with LF or CR LF, an empty line is an empty value, the last line needs no end", () => {
  assert.deepEqual(readAnyhow({ format: "lines" }, "a\r\nb c\n\nlast").records, [
    [null, "a"],
    [null, "b c"],
    [null, ""],
    [null, "last"],
  ]);
  assert.deepEqual(readAnyhow({ format: "lines" }, "").records, []);
  assert.deepEqual(readAnyhow({ format: "lines" }, "\n").records, [[null, ""]]);
});

test("cli input: the bytes of a line that is not UTF-8 are kept", () => {
  const parser = new RecordParser({ format: "lines" });
  const [record] = [...parser.push(Uint8Array.of(0xff, 0xfe, 0x00, 0x0a))];
  assert.deepEqual([...record!.value!], [0xff, 0xfe, 0x00]);
});

test("cli input: a byte order mark is no part of the first key, and text in UTF-16 is refused", () => {
  const keyed = { format: "lines", keySeparator: encoder.encode(":") } as const;
  assert.deepEqual(readAnyhow(keyed, "\ufeffk:v\n\ufeffk:w\n").records, [["k", "v"], ["\ufeffk", "w"]]);
  assert.deepEqual(readAnyhow({ format: "lines" }, "\ufeff").records, []);
  assert.deepEqual(readAnyhow({ format: "lines" }, "\ufeff\nv").records, [[null, ""], [null, "v"]]);
  const utf16 = [...'\ufeff{"a":1}\n'].flatMap((
    character,
  ) => [character.charCodeAt(0) & 0xff, character.charCodeAt(0) >> 8]);
  const bigEndian = utf16.map((_, index) => utf16[index ^ 1]!);
  for (const bytes of [utf16, bigEndian]) {
    for (const format of ["lines", "ndjson", "json"] as const) {
      const { records, complaint } = read({ format }, Uint8Array.from(bytes));
      assert.deepEqual([records.length, complaint?.replace(/,.*/, "")], [0, "Line 1: the input is text in UTF-16"]);
    }
  }
});

test("cli input: the first separator parts key and value, several characters and UTF-8 included", () => {
  assert.deepEqual(readAnyhow({ format: "lines", keySeparator: encoder.encode(":") }, "k:v:w\n:v\nk:\n").records, [
    ["k", "v:w"],
    ["", "v"],
    ["k", ""],
  ]);
  assert.deepEqual(readAnyhow({ format: "lines", keySeparator: encoder.encode("=>") }, "a=b=>c\n").records, [[
    "a=b",
    "c",
  ]]);
  assert.deepEqual(readAnyhow({ format: "lines", keySeparator: encoder.encode("→") }, "ä→ö\n").records, [["ä", "ö"]]);
});

test("cli input: a line without the separator is refused with its number, after the lines before it", () => {
  const { records, complaint } = readAnyhow(
    { format: "lines", keySeparator: encoder.encode(":") },
    "a:1\nb:2\nc3\nd:4\n",
  );
  assert.deepEqual(records, [["a", "1"], ["b", "2"]]);
  assert.equal(complaint, 'Line 3: "c3" has no key, wanted KEY, ":" and VALUE');
});

test("cli input: the null marker makes null keys and null values, not the text inside another", () => {
  const options = { format: "lines", keySeparator: encoder.encode(","), nullMarker: "NULL" } as const;
  assert.deepEqual(readAnyhow(options, "a,NULL\nNULL,b\nNULLS,xNULL\n,\n").records, [
    ["a", null],
    [null, "b"],
    ["NULLS", "xNULL"],
    ["", ""],
  ]);
});

test("cli input: NDJSON keeps the bytes of each value and leaves blank lines out", () => {
  const text = '\uFEFF{"a": 1.0}\r\n\n  \n"text"\nnull\n[1, 2]';
  assert.deepEqual(readAnyhow({ format: "ndjson" }, text).records, [
    [null, '{"a": 1.0}'],
    [null, '"text"'],
    [null, "null"],
    [null, "[1, 2]"],
  ]);
});

test("cli input: a line that is not JSON is refused with its number, after the lines before it", () => {
  const { records, complaint } = readAnyhow({ format: "ndjson" }, '{"a":1}\n\n{"a":2}\n{"a":\n{"a":4}\n');
  assert.deepEqual(records, [[null, '{"a":1}'], [null, '{"a":2}']]);
  assert.equal(complaint, 'Line 4: "{\\"a\\":" is not JSON');
});

test("cli input: a line of JSON that is not UTF-8 is refused", () => {
  const { complaint } = read({ format: "ndjson" }, Uint8Array.of(0x22, 0xff, 0x22, 0x0a));
  assert.match(complaint!, /^Line 1: .* is not JSON, for it is not UTF-8 /);
});

test("cli input: the key is taken from a field, nested ones by dots, numbers and switches as text", () => {
  const options = { format: "ndjson", keyField: "user.id" } as const;
  const lines = ['{"user":{"id":"x"}}', '{"user":{"id":7}}', '{"user":{"id":false}}', '{"user":{"id":null}}'];
  assert.deepEqual(readAnyhow(options, lines.join("\n")).records.map(([key]) => key), ["x", "7", "false", null]);
});

test("cli input: a key field that is missing, an object or a number past 2^53 is refused", () => {
  const options = { format: "ndjson", keyField: "id" } as const;
  const complaints = ['{"x":1}', '{"id":{}}', '{"id":12345678901234567890}', "3", '{"__proto__":{"id":1}}'];
  assert.deepEqual(complaints.map((line) => read(options, line).complaint), [
    'Line 1: the record has no field "id" to take the key from',
    'Line 1: the field "id" is an object, wanted a string or a number',
    'Line 1: the field "id" is a number past 2^53 and would be rounded, wanted a string',
    'Line 1: the record has no field "id" to take the key from',
    'Line 1: the record has no field "id" to take the key from',
  ]);
});

test("cli input: the elements of a JSON array are cut out byte for byte, however they nest", () => {
  const elements = ['{"a":[1,{"b":"],}"}]}', '"\\",["', "1.0", "[[],[]]", "true", "{}", '"\\\\"'];
  const { records } = readAnyhow({ format: "json" }, `\n[${elements.join(" ,\n ")}\n]\n`);
  assert.deepEqual(records.map(([, value]) => value), elements);
  assert.deepEqual(readAnyhow({ format: "json" }, " [ ] ").records, []);
});

test("cli input: a JSON array names the line of what is wrong in it, after the elements before it", () => {
  const cases: [string, number, string][] = [
    ['[{"a":1},\n{"a":2},\n{"a" 3}\n]', 2, 'Line 3: "{\\"a\\" 3}" is not JSON'],
    ["[1,\n\n{\n]}\n,2]", 1, 'Line 3: "{\\n]" is not JSON'],
    ["[1,,2]", 1, "Line 1: a comma has no element before it"],
    ["[1,2,\n]", 2, "Line 2: a comma has no element after it"],
    ["[1,2", 1, 'Line 1: the input ends inside the JSON array, wanted "]"'],
    ["[1] 2", 1, "Line 1: more follows the JSON array, wanted the end of the input"],
    ['{"a":1}', 0, 'Line 1: the input starts with "{", wanted a JSON array (or use --format ndjson)'],
    ["  \n", 0, "Line 2: the input is empty, wanted a JSON array"],
  ];
  for (const [text, count, complaint] of cases) {
    const result = readAnyhow({ format: "json" }, text);
    assert.equal(result.records.length, count, text);
    if (!text.includes("]}")) assert.equal(result.complaint, complaint);
    else assert.match(result.complaint!, /^Line [34]: /);
  }
});

test("cli input: the format follows the name of the file", () => {
  assert.deepEqual(["a.ndjson", "b.JSONL", "c.json", "d.txt", "-"].map(formatOf), [
    "ndjson",
    "ndjson",
    "json",
    "lines",
    "lines",
  ]);
});

test("cli input: another delimiter parts records, of several bytes and across chunks too, and CR LF stays", () => {
  const read = (delimiter: string, text: string) =>
    readAnyhow({ format: "lines", delimiter: encoder.encode(delimiter) }, text).records.map(([, value]) => value);
  assert.deepEqual(read("|", "a\r\nb|c|"), ["a\r\nb", "c"]);
  assert.deepEqual(read("==>", "a=b==>==>c==d==>e="), ["a=b", "", "c==d", "e="]);
  assert.deepEqual(read("\0", "a\n\0\0b"), ["a\n", "", "b"]);
  assert.deepEqual(read("aab", "aaab|aab"), ["a", "|"]);
});

test("cli input: headers before a separator, as Java writes them, and empty as null", () => {
  const options = {
    format: "lines",
    headersSeparator: encoder.encode("\t"),
    keySeparator: encoder.encode(":"),
    emptyAsNull: true,
  } as const;
  const [first, second] = [...new RecordParser(options).push(encoder.encode("h1:v1,h2:a:b\tk:v\n\t:\n"))];
  assert.deepEqual(first!.headers!.map(([name, value]) => [name, decoder.decode(value!)]), [["h1", "v1"], [
    "h2",
    "a:b",
  ]]);
  assert.deepEqual([second!.headers, second!.key, second!.value], [[], null, null]);
  assert.equal(read(options, "k:v\n").complaint, 'Line 1: "k:v" has no headers, wanted NAME:VALUE,… before the others');
  assert.equal(read(options, "h\tk:v\n").complaint, 'Line 1: the header "h" has no value, wanted NAME:VALUE');
});

test("cli input: where there is a key for all, a line without the separator is a value", () => {
  const options = { format: "lines", keySeparator: encoder.encode(":"), keyIsOptional: true } as const;
  assert.deepEqual(readAnyhow(options, "k:v\nplain\n:x\n").records, [["k", "v"], [null, "plain"], ["", "x"]]);
});

test("cli input: a key with half of a surrogate pair is refused, for two keys would become one", () => {
  const keyed = { format: "ndjson", keyField: "id" } as const;
  const { records, complaint } = read(keyed, '{"id":"\\ud83d\\ude00"}\n{"id":"\\ud800"}\n');
  assert.deepEqual(records.map(([key]) => key), ["\u{1f600}"]);
  assert.equal(complaint, 'Line 2: the field "id" holds a lone surrogate, which UTF-8 can\'t carry');
  const envelope = read({ format: "envelope" }, '{"key":"\\udfff","value":"v"}\n');
  assert.equal(envelope.complaint, "Line 1: the key holds a lone surrogate, which UTF-8 can't carry");
  assert.deepEqual(read({ format: "envelope" }, '{"key":"k","value":"\\udfff"}\n').records, [["k", "\ufffd"]]);
});

test("cli input: the bytes of a header that is not UTF-8 are kept, and so is a byte order mark", () => {
  const parser = new RecordParser({ format: "lines", headersSeparator: encoder.encode("\t") });
  const line = [...encoder.encode("a:"), 0xff, 0x3a, ...encoder.encode(",b:\ufeff,c:\tv\n")];
  const [record] = [...parser.push(Uint8Array.from(line))];
  assert.deepEqual(record!.headers!.map(([name, value]) => [name, [...value!]]), [
    ["a", [0xff, 0x3a]],
    ["b", [0xef, 0xbb, 0xbf]],
    ["c", []],
  ]);
});
