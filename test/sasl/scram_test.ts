import assert from "node:assert/strict";
import { AuthenticationError, ConfigError } from "../../src/errors.ts";
import { base64 } from "../../src/sasl/bytes.ts";
import { scramSha256, scramSha512 } from "../../src/sasl/mod.ts";
import { pbkdf2, scram } from "../../src/sasl/scram.ts";
import { test } from "../harness.ts";
import { scripted } from "./exchange.ts";

const encoder = new TextEncoder();
const pencil = { username: "user", password: "pencil" };
const nonce = () => "rOprNGfwEbeRWgbNEkqO";
const challenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const signature = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

test("scram: the exchange of RFC 7677 is reproduced to the byte", async () => {
  const { exchange, sent } = scripted([challenge, signature]);
  await scram("SHA-256", pencil, nonce).authenticate(exchange);
  assert.deepEqual(sent, [
    "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
  ]);
});

// Computed with Python's hashlib.
test("scram: SHA-512 with a user name and a password that need care", async () => {
  const { exchange, sent } = scripted([
    "r=clientnonceservernonce,s=AAECAwQFBgcICQoLDA0ODxAREhMUFRYX,i=8192",
    "v=msYWzlaSZwsu8ZM30P4jthqkCgdNsF5yIr5Pn0wC+sf9+5VCkSt0sIEztWFT00UZyc6tb73UpfCsyt8M0Y8TdQ==",
  ]);
  await scram("SHA-512", { username: "us=er,", password: "pässwörd" }, () => "clientnonce").authenticate(exchange);
  assert.deepEqual(sent, [
    "n,,n=us=3Der=2C,r=clientnonce",
    "c=biws,r=clientnonceservernonce,p=5wvf1gQDlAO6CkXVWpnX5RkpXk7hAICXoZCtwtkLowAKSrN2RUqOX6n45S2VdBfJgehE+JEiHs+gB74UtVW/+w==",
  ]);
});

test("scram: acting as somebody else and delegation tokens stand in the first message", async () => {
  const { exchange, sent } = scripted([new AuthenticationError("no")]);
  const credentials = { ...pencil, authorizationId: "a,b", delegationToken: true };
  await assert.rejects(scram("SHA-256", credentials, nonce).authenticate(exchange), AuthenticationError);
  assert.deepEqual(sent, ["n,a=a=2Cb,n=user,r=rOprNGfwEbeRWgbNEkqO,tokenauth=true"]);
});

test("scram: each exchange has a nonce of its own", async () => {
  const firsts = new Set<string>();
  for (let i = 0; i < 20; i++) {
    const { exchange, sent } = scripted([new AuthenticationError("no")]);
    await assert.rejects(scramSha256(pencil).authenticate(exchange), AuthenticationError);
    firsts.add(sent[0]!);
  }
  assert.equal(firsts.size, 20);
  for (const first of firsts) assert.match(first, /^n,,n=user,r=[\x21-\x2b\x2d-\x7e]{24}$/);
});

const badChallenges: readonly (readonly [name: string, message: string | Uint8Array, wanted: RegExp])[] = [
  ["an empty message", new Uint8Array(0), /0 bytes/],
  ["a message without end", new Uint8Array(20_000).fill(65), /20000 bytes/],
  ["bytes that are no text", new Uint8Array([0xff, 0xfe]), /no text/],
  ["a nonce of its own", "r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", /nonce/],
  ["our nonce and nothing more", "r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", /nonce/],
  ["no nonce", "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", /nonce/],
  ["too few iterations", challenge.replace("4096", "4095"), /"4095" iterations/],
  ["no iterations", challenge.replace(",i=4096", ""), /"no" iterations/],
  ["iterations for hours", challenge.replace("4096", "1000001"), /"1000001" iterations/],
  ["iterations that are no number", challenge.replace("4096", "4096e3"), /"4096e3" iterations/],
  ["an empty salt", challenge.replace("W22ZaJ0SNY7soEsUEjb6gQ==", ""), /salt/],
  ["a salt that is no base64", challenge.replace("W22ZaJ0SNY7soEsUEjb6gQ==", "*"), /salt/],
  ["an unknown extension", `m=ext,${challenge}`, /extension/],
  ["an error", "e=other-error", /"other-error"/],
];

for (const [name, message, wanted] of badChallenges) {
  test(`scram: a broker whose challenge is ${name} is refused, and gets no proof`, async () => {
    const { exchange, sent } = scripted([message]);
    await assert.rejects(
      scram("SHA-256", pencil, nonce).authenticate(exchange),
      (error) => error instanceof AuthenticationError && wanted.test(error.message),
    );
    assert.equal(sent.length, 1);
  });
}

for (
  const [name, last] of [["wrong", `v=${base64(new Uint8Array(32))}`], ["missing", "x=1"], ["cut short", "v=6rriTRBi"]]
) {
  test(`scram: a broker whose signature is ${name} is refused: it doesn't know the password`, async () => {
    const { exchange } = scripted([challenge, last!]);
    await assert.rejects(
      scram("SHA-256", pencil, nonce).authenticate(exchange),
      (error) => error instanceof AuthenticationError && /signature is wrong/.test(error.message),
    );
  });
}

test("scram: credentials from a function are fetched for each exchange", async () => {
  let calls = 0;
  const mechanism = scramSha512(() => Promise.resolve({ username: `user${++calls}`, password: "x" }));
  for (const name of ["user1", "user2"]) {
    const { exchange, sent } = scripted([new AuthenticationError("no")]);
    await assert.rejects(mechanism.authenticate(exchange), AuthenticationError);
    assert.match(sent[0]!, new RegExp(`n=${name},`));
  }
});

test("scram: PBKDF2 hash by hash is the runtime's own, for where that refuses so many iterations", async () => {
  const salt = new Uint8Array(24).map((_, index) => index);
  const result = await pbkdf2("SHA-512", encoder.encode("pässwörd"), salt, 50);
  assert.equal(
    base64(result),
    "5SIHvtXzMmWid/7eHMFy9nDLbKhQYnLjpyQ7nIFv6WquFtGo3fXbKBVCs5Ev2Cq8p+PXo53MuRxoYQxz4Hqeog==",
  );
});

for (
  const [name, credentials] of Object.entries<unknown>({
    "nothing": undefined,
    "null": null,
    "a text": "user:pencil",
    "an empty user name": { username: "", password: "s3cret" },
    "no password": { username: "user" },
    "a password of bytes": { username: "user", password: new Uint8Array(3) },
    "a misspelt field": { username: "user", password: "s3cret", pasword: "s3cret" },
    "a token flag of another type": { username: "user", password: "s3cret", delegationToken: "yes" },
  })
) {
  test(`scram: ${name} for credentials is a ConfigError that shows no secret`, () => {
    assert.throws(
      () => scramSha256(credentials as typeof pencil),
      (error) => error instanceof ConfigError && error.option === "sasl" && !/s3cret|pencil/.test(error.message),
    );
  });
}

test("scram: a mechanism shows its name and nothing else, however it is looked at", () => {
  const mechanism = scramSha256({ username: "user", password: "s3cret" });
  assert.equal(JSON.stringify(mechanism), `{"name":"SCRAM-SHA-256","messages":2}`);
  assert.deepEqual(Object.keys(mechanism), ["name", "messages", "authenticate"]);
});
