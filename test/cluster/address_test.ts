import assert from "node:assert/strict";
import { formatAddress, parseAddresses } from "../../src/cluster/address.ts";
import { test } from "../harness.ts";

test("address: what is written is read back, IPv6 in brackets", () => {
  for (const text of ["localhost:9092", "10.0.0.1:1", "[::1]:65535", "[fe80::1%eth0]:9092", "a-b.c_d.example:29092"]) {
    assert.deepEqual(parseAddresses(text).map(formatAddress), [text]);
  }
  assert.deepEqual(parseAddresses("localhost").map(formatAddress), ["localhost:9092"]);
  assert.deepEqual(parseAddresses("[::1]").map(formatAddress), ["[::1]:9092"]);
});

test("address: order is kept and repeats are dropped", () => {
  assert.deepEqual(parseAddresses(["c:1", "a:1, b:1", "c:1"]).map(formatAddress), ["c:1", "a:1", "b:1"]);
});

test("address: a port is a number from 1 to 65535", () => {
  for (const port of ["0", "65536", "99999", "100000", "-1", "1e3", "0x10", " 1", "٣"]) {
    assert.throws(() => parseAddresses([`a:${port}`]), { name: "ConfigError", option: "brokers" }, port);
  }
  assert.equal(parseAddresses("a:00080")[0]!.port, 80);
});

test("address: what is no server is shown as it was written, unless it may hold a secret", () => {
  const told = (text: string): string => {
    try {
      parseAddresses(text);
    } catch (error) {
      return (error as Error).message;
    }
    assert.fail(`${text} was taken for a server`);
  };
  for (const text of ["two words", "host:port", "http://host:9092", "user@host", "me.too@host-1:9092", "[::1"]) {
    assert.ok(told(text).includes(`"${text}"`), told(text));
  }
  for (const text of ["user:hidden@host", "hidden/word@host:9092", "host;hidden=1", "host?hidden", "x=hidden"]) {
    assert.ok(!told(text).includes("hidden"), told(text));
    assert.ok(told(text).includes("may hold a secret"), told(text));
  }
});
