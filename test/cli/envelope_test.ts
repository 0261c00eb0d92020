import assert from "node:assert/strict";
import { parseEnvelope } from "../../src/cli/envelope.ts";
import { test } from "../harness.ts";

const decoder = new TextDecoder();
const text = (bytes: Uint8Array | string | null | undefined) =>
  bytes instanceof Uint8Array ? decoder.decode(bytes) : bytes;

function parsed(line: string) {
  const record = parseEnvelope(JSON.parse(line));
  if (typeof record === "string") return record;
  const { key, value, headers, ...rest } = record;
  return { key: text(key), value: text(value), headers: headers?.map(([name, bytes]) => [name, text(bytes)]), ...rest };
}

test("cli envelope: those of kcat and rpk are read, with all that they say", () => {
  const kcat = '{"topic":"t","partition":1,"offset":0,"tstype":"create","ts":17,"broker":1,' +
    '"headers":["h","1","n",null,"e",""],"key":"","payload":"b"}';
  const headers = [["h", "1"], ["n", null], ["e", ""]];
  assert.deepEqual(parsed(kcat), { topic: "t", partition: 1, timestamp: 17, headers, key: "", value: "b" });
  const rpk =
    '{"topic":"t","key":"k","value":"v","headers":[{"key":"h","value":"1"}],"timestamp":18,"partition":0,"offset":9}';
  const wanted = { topic: "t", partition: 0, timestamp: 18, headers: [["h", "1"]], key: "k", value: "v" };
  assert.deepEqual(parsed(rpk), wanted);
});

test("cli envelope: a value that isn't text is its JSON, null is null, and only the value must be there", () => {
  const bare = { key: null, headers: [] };
  assert.deepEqual(parsed('{"value":{"a":[1]}}'), { ...bare, value: '{"a":[1]}' });
  assert.deepEqual(parsed('{"value":7,"key":false}'), { ...bare, key: "false", value: "7" });
  assert.deepEqual(parsed('{"value":null,"headers":null,"ts":-1}'), { ...bare, value: null });
  assert.deepEqual(parsed('{"value":"","timestamp":"1970-01-01T00:00:01Z"}'), { ...bare, value: "", timestamp: 1000 });
  assert.deepEqual(parsed('{"value":"AAE=","valueEncoding":"base64"}'), { ...bare, value: "\0\u0001" });
  assert.deepEqual(parsed('{"value":"x","headers":{"a":"b","n":null}}'), {
    ...{ ...bare, value: "x" },
    headers: [["a", "b"], ["n", null]],
  });
});

test("cli envelope: what is wrong with one is said in words", () => {
  const cases: [string, RegExp][] = [
    ["[]", /^an envelope is an object/],
    ["3", /^an envelope is an object/],
    ['{"id":1}', /^an envelope has no field "id", wanted topic, /],
    ['{"key":"k"}', /^the envelope has no value, wanted one, or null/],
    ['{"value":"!","valueEncoding":"base64"}', /^the value is no base64$/],
    ['{"value":{},"valueEncoding":"base64"}', /^the value is no base64$/],
    ['{"value":"x","keyEncoding":"hex","key":"00"}', /^keyEncoding is "hex", wanted "base64"$/],
    ['{"value":"x","headers":3}', /^the headers are 3, wanted/],
    ['{"value":"x","headers":[[1,"a"]]}', /^a header is a list, wanted/],
    ['{"value":"x","topic":""}', /^the topic is "", wanted text$/],
    ['{"value":"x","partition":-1}', /^the partition is -1, wanted/],
    ['{"value":"x","partition":1.5}', /^the partition is 1.5, wanted/],
    ['{"value":"x","timestamp":"soon"}', /^the timestamp is "soon", wanted ms/],
    ['{"value":"x","timestamp":1.5}', /^the timestamp is 1.5, wanted ms/],
  ];
  for (const [line, pattern] of cases) assert.match(parsed(line) as string, pattern, line);
});
