import assert from "node:assert/strict";
import { ConfigError } from "../../src/errors.ts";
import { namedMechanism, type NamedSasl } from "../../src/sasl/named.ts";
import { test } from "../harness.ts";

for (
  const [wanted, sasl] of [
    ["PLAIN", { mechanism: "plain", username: "u", password: "p" }],
    ["SCRAM-SHA-256", { mechanism: "SCRAM-SHA-256", username: "u", password: "p" }],
    ["SCRAM-SHA-512", { mechanism: "scram-sha-512", username: "u", password: "p" }],
    ["OAUTHBEARER", { mechanism: "oauthbearer", token: () => "t" }],
    ["OAUTHBEARER", { mechanism: "oauthbearer", oauthBearerProvider: () => ({ value: "t" }) }],
    ["AWS_MSK_IAM", { mechanism: "AWS_MSK_IAM", region: "eu-west-1" }],
  ] as const
) {
  test(`sasl by name: ${sasl.mechanism} with ${Object.keys(sasl).slice(1).join(", ")} is ${wanted}`, () => {
    assert.equal(namedMechanism(sasl as NamedSasl).name, wanted);
  });
}

for (
  const [name, sasl, wanted] of [
    ["GSSAPI", { mechanism: "GSSAPI" }, /Kerberos/],
    ["KafkaJS's aws", { mechanism: "aws", accessKeyId: "s3cret" }, /AWS_MSK_IAM/],
    ["a name that isn't known", { mechanism: "digest", password: "s3cret" }, /one of PLAIN, SCRAM-SHA-256/],
    ["no name", { username: "u", password: "s3cret" }, /one of PLAIN/],
    ["a name of the prototype", { mechanism: "constructor" }, /one of PLAIN/],
    ["an unknown field", { mechanism: "plain", username: "u", password: "s3cret", user: "x" }, /Take "user" out/],
  ] as const
) {
  test(`sasl by name: ${name} is a ConfigError that says what is wanted and shows no secret`, () => {
    assert.throws(
      () => namedMechanism(sasl as unknown as NamedSasl),
      (error) => error instanceof ConfigError && wanted.test(error.message) && !error.message.includes("s3cret"),
    );
  });
}
