import assert from "node:assert/strict";
import { AuthenticationError, ConfigError, ConnectionError } from "../../src/errors.ts";
import { base64url } from "../../src/sasl/bytes.ts";
import { confluentExtensions, oauthBearer, type TokenProvider } from "../../src/sasl/mod.ts";
import { refreshAt } from "../../src/sasl/token.ts";
import { test } from "../harness.ts";
import { scripted } from "./exchange.ts";

const HOUR_MS = 3_600_000;
const minute = (count: number): number => count * 60_000;

test("oauthbearer: token, extensions and authorization id stand in one message", async () => {
  const { exchange, sent } = scripted(["", ""]);
  await oauthBearer({ token: () => "t.o-k_en~+/==" }).authenticate(exchange);
  await oauthBearer({
    token: () => ({ value: "abc", extensions: { identityPoolId: "pool-1" } }),
    extensions: confluentExtensions({ logicalCluster: "lkc-1" }),
    authorizationId: "a=b,c",
  }).authenticate(exchange);
  assert.deepEqual(sent, [
    "n,,\x01auth=Bearer t.o-k_en~+/==\x01\x01",
    "n,a=a=3Db=2Cc,\x01auth=Bearer abc\x01logicalCluster=lkc-1\x01identityPoolId=pool-1\x01\x01",
  ]);
});

test("oauthbearer: a refusal is confirmed, and its JSON stands in the error", async () => {
  const refusal = new AuthenticationError("Authentication failed", { errorCode: 58, broker: "b:1" });
  const { exchange, sent } = scripted([`{"status":"invalid_token"}`, refusal]);
  await assert.rejects(oauthBearer({ token: () => "abc" }).authenticate(exchange), (error) => {
    assert.ok(error instanceof AuthenticationError);
    assert.match(error.message, /\{"status":"invalid_token"\}/);
    assert.equal(error.errorCode, 58);
    assert.equal(error.broker, "b:1");
    return true;
  });
  assert.equal(sent[1], "\x01");
});

test("oauthbearer: a refusal counts also where the connection is lost before it is confirmed", async () => {
  const { exchange } = scripted([`{"status":"invalid_token"}`, new ConnectionError("gone")]);
  await assert.rejects(oauthBearer({ token: () => "abc" }).authenticate(exchange), AuthenticationError);
});

test("oauthbearer: a token serves all connections until four fifths of its life are over", async () => {
  let calls = 0;
  const { exchange, sent, clock } = scripted(["", "", "", ""]);
  const provider: TokenProvider = ({ wallNow }) => ({ value: `token${++calls}`, expiresAtMs: wallNow() + HOUR_MS });
  const mechanism = oauthBearer({ token: provider });
  await mechanism.authenticate(exchange);
  clock.nowMs += 0.79 * HOUR_MS;
  await mechanism.authenticate(exchange);
  assert.equal(calls, 1);
  clock.nowMs += 0.02 * HOUR_MS;
  await Promise.all([mechanism.authenticate(exchange), mechanism.authenticate(exchange)]);
  assert.equal(calls, 2);
  assert.deepEqual(sent.map((text) => /token\d/.exec(text)?.[0]), ["token1", "token1", "token2", "token2"]);
});

test("oauthbearer: while the next token can't be fetched, the one at hand serves to its end", async () => {
  let works = true;
  const { exchange, clock } = scripted(["", "", ""]);
  const mechanism = oauthBearer({
    token: ({ wallNow }) => {
      if (!works) throw new Error("endpoint down");
      return { value: "abc", expiresAtMs: wallNow() + HOUR_MS };
    },
  });
  await mechanism.authenticate(exchange);
  works = false;
  clock.nowMs += 0.99 * HOUR_MS;
  await mechanism.authenticate(exchange);
  clock.nowMs += 0.02 * HOUR_MS;
  await assert.rejects(mechanism.authenticate(exchange), (error) => {
    assert.ok(error instanceof AuthenticationError);
    assert.equal(error.code, "TOKEN_UNAVAILABLE");
    assert.equal(error.retriable, true);
    assert.match(String(error.cause), /endpoint down/);
    return true;
  });
  works = true;
  await mechanism.authenticate(exchange);
});

test("oauthbearer: after a refusal the next connection gets another token", async () => {
  let calls = 0;
  const mechanism = oauthBearer({
    token: ({ wallNow }) => ({ value: `token${++calls}`, expiresAtMs: wallNow() + HOUR_MS }),
  });
  await assert.rejects(mechanism.authenticate(scripted([new AuthenticationError("no")]).exchange));
  await mechanism.authenticate(scripted([""]).exchange);
  assert.equal(calls, 2);
});

test("oauthbearer: the end of a JWT is read from it; a token of unknown end serves once", async () => {
  let calls = 0;
  const { exchange, clock } = scripted(["", "", "", ""]);
  const claims = base64url(new TextEncoder().encode(JSON.stringify({ exp: clock.nowMs / 1_000 + 3_600 })));
  const jwt = oauthBearer({ token: () => (calls++, `eyJ.${claims}.sig`) });
  await jwt.authenticate(exchange);
  await jwt.authenticate(exchange);
  assert.equal(calls, 1);
  const opaque = oauthBearer({ token: () => (calls++, "opaque") });
  await opaque.authenticate(exchange);
  await opaque.authenticate(exchange);
  assert.equal(calls, 3);
});

test("oauthbearer: a token that has ended already is an error that says since when, not a refusal of the broker", async () => {
  const { exchange, sent } = scripted([]);
  const mechanism = oauthBearer({ token: ({ wallNow }) => ({ value: "abc", expiresAtMs: wallNow() - 42_000 }) });
  await assert.rejects(
    mechanism.authenticate(exchange),
    (error) => error instanceof AuthenticationError && error.code === "TOKEN_EXPIRED" && /42 s ago/.test(error.message),
  );
  assert.deepEqual(sent, []);
});

test("oauthbearer: when a token is fetched anew, by its life", () => {
  // Four fifths, give or take a twentieth.
  assert.equal(refreshAt(0, minute(60), 0.5), minute(48));
  assert.equal(refreshAt(0, minute(60), 0), minute(45));
  assert.equal(Math.round(refreshAt(0, minute(60), 1)), minute(51));
  // At the latest five minutes before its end, …
  assert.equal(refreshAt(0, minute(20), 0.5), minute(15));
  assert.equal(refreshAt(0, minute(7), 0.5), minute(2));
  // … unless its whole life is too short for that.
  assert.equal(refreshAt(0, minute(5), 0.5), minute(4));
  assert.equal(refreshAt(0, minute(6), 0.5), minute(6) * 0.8);
});

for (
  const [name, value] of Object.entries<unknown>({
    "nothing": undefined,
    "null": null,
    "empty text": "",
    "text with a line break": "to\nken",
    "text with a separator": "abc\x01auth=x",
    "an object without a value": { expiresAtMs: 1 },
    "an end that is no number": { value: "abc", expiresAtMs: "soon" },
  })
) {
  test(`oauthbearer: a provider that returns ${name} is told so, and nothing is sent`, async () => {
    const { exchange, sent } = scripted([]);
    await assert.rejects(
      oauthBearer({ token: () => value as string }).authenticate(exchange),
      (error) => error instanceof AuthenticationError && error.code === "TOKEN_INVALID",
    );
    assert.deepEqual(sent, []);
  });
}

for (
  const [name, options] of Object.entries<unknown>({
    "no provider": {},
    "a token in place of a provider": { token: "s3cret" },
    "an extension called auth": { token: () => "abc", extensions: { auth: "x" } },
    "an extension with a digit in its name": { token: () => "abc", extensions: { pool1: "x" } },
    "an extension with a separator": { token: () => "abc", extensions: { pool: "a\x01b" } },
    "an unknown field": { token: () => "abc", tokens: 1 },
  })
) {
  test(`oauthbearer: ${name} is a ConfigError that shows no secret`, () => {
    assert.throws(
      () => oauthBearer(options as { token: TokenProvider }),
      (error) => error instanceof ConfigError && !error.message.includes("s3cret"),
    );
  });
}
