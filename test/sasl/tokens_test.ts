import assert from "node:assert/strict";
import { AuthenticationError, ConfigError } from "../../src/errors.ts";
import { presign } from "../../src/sasl/aws.ts";
import { fromBase64, textOf } from "../../src/sasl/bytes.ts";
import { type FetchLike, googleToken, mskToken, oidc, type OidcOptions } from "../../src/sasl/mod.ts";
import { mskIamMessage } from "../../src/sasl/msk.ts";
import { test } from "../harness.ts";
import { scripted } from "./exchange.ts";

const credentials = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" };
const host = "b-1.demo.abc123.c2.kafka.eu-central-1.amazonaws.com";
const nowMs = Date.UTC(2026, 10, 29, 12, 34, 56);

test("aws: the presigned request of Amazon's documentation has their signature", async () => {
  const fields = await presign({
    host: "examplebucket.s3.amazonaws.com",
    path: "/test.txt",
    service: "s3",
    region: "us-east-1",
    credentials: { accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" },
    nowMs: Date.UTC(2013, 4, 24),
    expiresS: 86_400,
    query: {},
    payloadHash: "UNSIGNED-PAYLOAD",
  });
  assert.equal(fields["X-Amz-Signature"], "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
});

// Signed by botocore at the same moment.
const signatures = [
  [undefined, "cf22e5580aac8e596b8a9348730cffb92085b56f2f356618fc46f64fcf4a5fdb"],
  ["session/token+with=signs", "5555c22a2af244392665eceb3a41bba333544c2934c90b740e36d7e882a5e5f0"],
] as const;

for (const [sessionToken, signature] of signatures) {
  const withToken = sessionToken === undefined ? "" : " with a session token";
  const all = { ...credentials, ...(sessionToken === undefined ? {} : { sessionToken }) };
  test(`aws: AWS_MSK_IAM says what botocore signs${withToken}`, async () => {
    const message = JSON.parse(textOf(await mskIamMessage(host, { credentials: all }, nowMs)));
    assert.deepEqual(message, {
      "version": "2020_10_22",
      "host": host,
      "user-agent": "sluice-kafka",
      "action": "kafka-cluster:Connect",
      "x-amz-algorithm": "AWS4-HMAC-SHA256",
      "x-amz-credential": "AKIDEXAMPLE/20261129/eu-central-1/kafka-cluster/aws4_request",
      "x-amz-date": "20261129T123456Z",
      "x-amz-expires": "900",
      ...(sessionToken === undefined ? {} : { "x-amz-security-token": sessionToken }),
      "x-amz-signedheaders": "host",
      "x-amz-signature": signature,
    });
  });
}

test("aws: the token for OAUTHBEARER is the one of Amazon's own signer, but for the user agent", async () => {
  const { exchange } = scripted([], { host });
  const token = await mskToken({ credentials })(exchange);
  assert.ok(typeof token === "object");
  assert.equal(
    textOf(fromBase64(token.value)),
    "https://kafka.eu-central-1.amazonaws.com/?Action=kafka-cluster%3AConnect&X-Amz-Algorithm=AWS4-HMAC-SHA256" +
      "&X-Amz-Credential=AKIDEXAMPLE%2F20261129%2Feu-central-1%2Fkafka-cluster%2Faws4_request" +
      "&X-Amz-Date=20261129T123456Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host" +
      "&X-Amz-Signature=64c0d4655f2790b31b92433dc88719e26e78a1d38851666908f8ca632ea8815d&User-Agent=sluice-kafka",
  );
  assert.equal(token.expiresAtMs, nowMs + 900_000);
});

for (
  const [broker, region] of [
    ["b-1.demo.abc123.c2.kafka.us-gov-west-1.amazonaws.com", "us-gov-west-1"],
    ["boot-x1.c3.kafka-serverless.us-east-1.amazonaws.com", "us-east-1"],
    ["b-3.demo.abc.c4.kafka.cn-north-1.amazonaws.com.cn", "cn-north-1"],
    ["b-1.demo.abc.c2.kafka.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"],
  ] as const
) {
  test(`aws: the region of ${broker.split(".").slice(-5).join(".")} stands in its name`, async () => {
    const message = JSON.parse(textOf(await mskIamMessage(broker, { credentials, region: "xx-wrong-9" }, nowMs)));
    assert.equal(message["x-amz-credential"].split("/")[2], region);
  });
}

test("aws: a broker without a region in its name takes the option's, and without that the error says what to set", async () => {
  const message = JSON.parse(textOf(await mskIamMessage("proxy.example", { credentials, region: "eu-west-1" }, nowMs)));
  assert.match(message["x-amz-credential"], /\/eu-west-1\//);
});

test("aws: credentials of an SDK's provider are taken, with whatever else they hold", async () => {
  const provider = () => Promise.resolve({ ...credentials, expiration: new Date(0), accountId: "1" });
  const message = JSON.parse(textOf(await mskIamMessage(host, { credentials: provider }, nowMs)));
  assert.equal(message["x-amz-signature"], signatures[0][1]);
});

/** A token endpoint with a script. */
function endpoint(...answers: readonly (Error | readonly [status: number, body: string])[]): {
  fetch: FetchLike;
  asked: { url: string; headers: Record<string, string>; body: string | undefined }[];
} {
  const asked: { url: string; headers: Record<string, string>; body: string | undefined }[] = [];
  const left = [...answers];
  const fetch: FetchLike = (url, { headers, body }) => {
    asked.push({ url, headers, body });
    const answer = left.length > 1 ? left.shift()! : left[0]!;
    if (answer instanceof Error) return Promise.reject(answer);
    return Promise.resolve({ status: answer[0], text: () => Promise.resolve(answer[1]) });
  };
  return { fetch, asked };
}

const tokenEndpoint = "https://login.example/token";
const application = { tokenEndpoint, clientId: "app id", clientSecret: "s3cret:+" };
const good = [200, `{"access_token":"abc","expires_in":3600,"token_type":"Bearer"}`] as const;

test("oidc: the secret goes into the header, form-encoded, and the answer's life is the token's", async () => {
  const { fetch, asked } = endpoint(good);
  const { exchange } = scripted([]);
  const token = await oidc({ ...application, scope: "kafka x", audience: "broker", fetch })(exchange);
  assert.deepEqual(token, { value: "abc", expiresAtMs: nowMs + 3_600_000 });
  assert.equal(asked.length, 1);
  assert.equal(asked[0]!.headers.authorization, `Basic ${btoa("app+id:s3cret%3A%2B")}`);
  assert.equal(asked[0]!.body, "grant_type=client_credentials&scope=kafka+x&audience=broker");
});

test("oidc: the secret goes into the body where that is asked for, and a signed assertion in its place", async () => {
  const { fetch, asked } = endpoint(good);
  const { exchange } = scripted([]);
  await oidc({ ...application, authMethod: "post", fetch })(exchange);
  const { clientSecret: _, ...rest } = application;
  await oidc({ ...rest, assertion: () => Promise.resolve("signed.jwt.here"), fetch })(exchange);
  assert.equal(asked[0]!.body, "grant_type=client_credentials&client_id=app+id&client_secret=s3cret%3A%2B");
  assert.equal(asked[0]!.headers.authorization, undefined);
  assert.match(asked[1]!.body!, /client_assertion_type=urn%3Aietf.*jwt-bearer&client_assertion=signed\.jwt\.here$/);
});

test("oidc: an overloaded endpoint and one that can't be reached are asked again, with growing pauses", async () => {
  const { fetch, asked } = endpoint(new Error("refused"), [503, "busy"], [429, "{}"], good);
  const { exchange, clock } = scripted([]);
  assert.deepEqual(await oidc({ ...application, fetch })(exchange), {
    value: "abc",
    expiresAtMs: nowMs + 700 + 3_600_000,
  });
  assert.equal(asked.length, 4);
  assert.deepEqual(clock.sleptMs, [100, 200, 400]);
});

test("oidc: an answer that never ends is given up, and asked for again", async () => {
  let read = 0;
  let ended = 0;
  const body = {
    getReader: () => ({
      read: () => Promise.resolve({ done: false, value: new Uint8Array(256 << 10) }).finally(() => read++),
      cancel: () => Promise.reject(new Error("not even that")).finally(() => ended++),
    }),
  };
  const fetch = () => Promise.resolve({ status: 200, text: () => Promise.resolve("{}"), body });
  const { exchange } = scripted([]);
  await assert.rejects(Promise.resolve(oidc({ ...application, fetch })(exchange)), (error) => {
    assert.ok(error instanceof AuthenticationError);
    assert.match(error.message, /\(4 attempts\): it answered with more than 1048576 bytes\.$/);
    return true;
  });
  assert.deepEqual([read, ended], [20, 4]);
});

for (
  const [name, answer, attempts, retriable, wanted] of [
    [
      "refuses the client",
      [401, `{"error":"invalid_client","error_description":"no such app"}`],
      1,
      false,
      /invalid_client: no such app/,
    ],
    ["answers 400 with rubbish", [400, "<html>"], 1, false, /status 400/],
    ["answers 200 with rubbish", [200, "<html>"], 4, true, /no JSON object/],
    ["answers an array", [200, "[]"], 4, true, /no JSON object/],
    ["answers without a token", [200, `{"expires_in":1}`], 1, true, /no "access_token"/],
    ["is down", new Error("connect ECONNREFUSED"), 4, true, /can't be reached/],
    ["is broken", [500, ""], 4, true, /status 500/],
  ] as const
) {
  test(`oidc: an endpoint that ${name} is one clear error, after ${attempts} attempts`, async () => {
    const { fetch, asked } = endpoint(answer);
    const { exchange, clock } = scripted([]);
    await assert.rejects(Promise.resolve(oidc({ ...application, fetch })(exchange)), (error) => {
      assert.ok(error instanceof AuthenticationError);
      assert.equal(error.code, "TOKEN_UNAVAILABLE");
      assert.equal(error.retriable, retriable);
      assert.match(error.message, wanted);
      assert.doesNotMatch(error.message, /s3cret/);
      return true;
    });
    assert.equal(asked.length, attempts);
    assert.ok(clock.nowMs - nowMs < 2_000);
  });
}

test("oidc: a life that can't be right is none: the token serves once", async () => {
  for (const life of [0, -5, 1e12, `"soon"`, null]) {
    const { fetch } = endpoint([200, `{"access_token":"abc","expires_in":${life}}`]);
    assert.deepEqual(await oidc({ ...application, fetch })(scripted([]).exchange), { value: "abc" });
  }
});

for (
  const [name, options] of Object.entries<unknown>({
    "no address": { ...application, tokenEndpoint: undefined },
    "an address of another kind": { ...application, tokenEndpoint: "ftp://login.example" },
    "a secret in the address": { ...application, tokenEndpoint: "https://user:s3cret@login.example/" },
    "neither secret nor assertion": { tokenEndpoint, clientId: "app" },
    "both": { ...application, assertion: "jwt" },
    "a method that isn't known": { ...application, authMethod: "digest" },
    "no time": { ...application, timeoutMs: 0 },
    "an unknown field": { ...application, client_secret: "s3cret" },
  })
) {
  test(`oidc: ${name} is a ConfigError that shows no secret`, () => {
    assert.throws(
      () => oidc(options as OidcOptions),
      (error) => error instanceof ConfigError && !error.message.includes("s3cret"),
    );
  });
}

test("oidc: a millisecond is time enough, and what comes with it is no error of the options", () => {
  assert.equal(typeof oidc({ ...application, timeoutMs: 1 } as OidcOptions), "function");
});

test("google: header, claims and access token are put together as Google's brokers want them", async () => {
  const { exchange } = scripted([]);
  const access = () => ({ accessToken: "ya29.x", subject: "app@project.example", expiresAtMs: nowMs + 3_600_000 });
  const token = await googleToken({ access })(exchange);
  assert.ok(typeof token === "object");
  const [header, claims, rest] = token.value.split(".").map((part) => textOf(fromBase64(part)));
  assert.equal(header, `{"typ":"JWT","alg":"GOOG_OAUTH2_TOKEN"}`);
  assert.deepEqual(JSON.parse(claims!), {
    exp: nowMs / 1_000 + 3_600,
    iat: nowMs / 1_000,
    iss: "Google",
    scope: "kafka",
    sub: "app@project.example",
  });
  assert.equal(rest, "ya29.x");
});

test("google: without a function the metadata server is asked", async () => {
  const fetch: FetchLike = (url, { headers }) => {
    assert.equal(headers["metadata-flavor"], "Google");
    const body = url.endsWith("/token") ? good[1] : `{"email":"app@project.example"}`;
    return Promise.resolve({ status: 200, text: () => Promise.resolve(body) });
  };
  const token = await googleToken({ fetch })(scripted([]).exchange);
  assert.ok(typeof token === "object");
  assert.equal(token.expiresAtMs, nowMs + 3_600_000);
});

test("oidc: what is asked of fetch is what the fetch of this runtime takes, and a redirect is not followed", async () => {
  const asked: Request[] = [];
  const fetch: FetchLike = (url, init) => {
    // workerd throws for what it doesn't know.
    asked.push(new Request(url, init as RequestInit));
    return Promise.resolve(new Response(null, { status: 302, headers: { location: "https://evil.example/" } }));
  };
  const provider = oidc({
    tokenEndpoint: "https://login.example/token",
    clientId: "app",
    clientSecret: "s3cret",
    fetch,
  });
  await assert.rejects(async () => await provider(scripted([], { host }).exchange), (error) => {
    assert.ok(error instanceof AuthenticationError);
    assert.match(error.message, /it redirects \(status 302\), and the secret goes nowhere else\.$/);
    assert.equal(error.retriable, false);
    return true;
  });
  assert.deepEqual(asked.map(({ redirect, method }) => [redirect, method]), [["manual", "POST"]]);
});
