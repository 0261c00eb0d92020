/**
 * Amazon MSK: AWS_MSK_IAM, and tokens for OAUTHBEARER. Both are a signed request that nobody ever makes.
 *
 * @module
 */

import { AuthenticationError } from "../errors.ts";
import { awsCredentials, type AwsOptions, checkAws, EXPIRES_S, presign, queryOf, regionOf } from "./aws.ts";
import { base64url, utf8 } from "./bytes.ts";
import type { SaslMechanism } from "./mechanism.ts";
import type { TokenProvider } from "./token.ts";

const ACTION = "kafka-cluster:Connect";
const SERVICE = "kafka-cluster";
const USER_AGENT = "sluice-kafka";

/**
 * AWS_MSK_IAM: an identity of AWS signs in to Amazon MSK (port 9098).
 *
 * @throws {ConfigError} for options that can't be right
 * @example
 * ```ts
 * import { Producer } from "@sluice/kafka";
 * import { mskIam } from "@sluice/kafka/sasl";
 *
 * const sasl = mskIam({ credentials: { accessKeyId: "AKIA…", secretAccessKey: "secret" }, region: "eu-central-1" });
 * const producer = new Producer({ brokers: "b-1.example:9098", tls: true, sasl });
 * await producer.close();
 * ```
 */
export function mskIam(options: AwsOptions = {}): SaslMechanism {
  checkAws("mskIam()", options);
  return {
    name: "AWS_MSK_IAM",
    messages: 1,
    async authenticate({ host, port, send, wallNow }) {
      const answer = await send(await mskIamMessage(host, options, wallNow()));
      // The service answers a signature that it has checked with a version and a request id.
      if (answer.length === 0) {
        const broker = `${host}:${port}`;
        throw new AuthenticationError(
          `AWS_MSK_IAM with ${broker} failed: the broker's answer is empty. Is it a broker of Amazon MSK?`,
          { broker },
        );
      }
    },
  };
}

/** @internal The one message of AWS_MSK_IAM. */
export async function mskIamMessage(host: string, options: AwsOptions, nowMs: number): Promise<Uint8Array> {
  const fields = await presign({
    host,
    path: "/",
    service: SERVICE,
    region: regionOf(host, options),
    credentials: await awsCredentials("mskIam()", options),
    nowMs,
    expiresS: EXPIRES_S,
    query: { Action: ACTION },
  });
  const lowered = Object.entries(fields).map(([name, value]) => [name.toLowerCase(), value]);
  const message = { version: "2020_10_22", host, "user-agent": USER_AGENT, ...Object.fromEntries(lowered) };
  return utf8(JSON.stringify(message));
}

/**
 * A token provider for `oauthBearer` on Amazon MSK: the same signature as {@link mskIam}'s, in the form of a token.
 *
 * @throws {ConfigError} for options that can't be right
 * @example
 * ```ts
 * import { mskToken, oauthBearer } from "@sluice/kafka/sasl";
 *
 * console.assert(oauthBearer({ token: mskToken({ region: "eu-central-1" }) }).name === "OAUTHBEARER");
 * ```
 */
export function mskToken(options: AwsOptions = {}): TokenProvider {
  checkAws("mskToken()", options);
  return async ({ host: broker, wallNow }) => {
    const nowMs = wallNow();
    const region = regionOf(broker, options);
    const host = `kafka.${region}.amazonaws.com${region.startsWith("cn-") ? ".cn" : ""}`;
    const { "X-Amz-Signature": signature, ...fields } = await presign({
      host,
      path: "/",
      service: SERVICE,
      region,
      credentials: await awsCredentials("mskToken()", options),
      nowMs,
      expiresS: EXPIRES_S,
      query: { Action: ACTION },
    });
    // The last two are no part of what is signed.
    const unsigned = [{ "X-Amz-Signature": signature! }, { "User-Agent": USER_AGENT }];
    const url = `https://${host}/?${[fields, ...unsigned].map(queryOf).join("&")}`;
    return { value: base64url(utf8(url)), expiresAtMs: nowMs + EXPIRES_S * 1_000 };
  };
}
