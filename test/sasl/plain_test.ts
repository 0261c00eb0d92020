import assert from "node:assert/strict";
import { ConfigError } from "../../src/errors.ts";
import { plain } from "../../src/sasl/mod.ts";
import { test } from "../harness.ts";
import { scripted } from "./exchange.ts";

test("plain: user name and password are separated by NUL, in UTF-8", async () => {
  const { exchange, sent } = scripted(["", ""]);
  await plain({ username: "user", password: "pässwörd" }).authenticate(exchange);
  await plain({ username: "user", password: "p", authorizationId: "other" }).authenticate(exchange);
  assert.deepEqual(sent, ["\0user\0pässwörd", "other\0user\0p"]);
});

test("plain: it says that it sends the password", () => {
  assert.equal(plain({ username: "user", password: "p" }).sendsPassword, true);
});

for (
  const [name, credentials] of Object.entries<unknown>({
    "no user name": { password: "s3cret" },
    "an empty password": { username: "user", password: "" },
    "a NUL in the password": { username: "user", password: "s3cret\0x" },
    "null": null,
    "an array": ["user", "s3cret"],
  })
) {
  test(`plain: ${name} is a ConfigError that shows no secret`, () => {
    assert.throws(
      () => plain(credentials as { username: string; password: string }),
      (error) => error instanceof ConfigError && !error.message.includes("s3cret"),
    );
  });
}

test("plain: what a function returns is checked when it is used", async () => {
  const { exchange, sent } = scripted([""]);
  const mechanism = plain(() => ({ username: "user" }) as { username: string; password: string });
  await assert.rejects(mechanism.authenticate(exchange), ConfigError);
  assert.deepEqual(sent, []);
});
