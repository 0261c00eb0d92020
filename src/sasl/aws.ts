/**
 * Amazon's request signatures (Signature Version 4), in the query of an address, and where regions and credentials
 * come from.
 *
 * @module
 */

import { AuthenticationError, ConfigError } from "../errors.ts";
import { environmentVariable } from "../runtime/environment.ts";
import { digest, hex, hmac, utf8 } from "./bytes.ts";
import { checkFields, checkText, type Provided, provided } from "./mechanism.ts";

/** An identity at Amazon. */
export interface AwsCredentials {
  /** The access key's id. */
  readonly accessKeyId: string;
  /** The access key itself. */
  readonly secretAccessKey: string;
  /** Goes with keys of limited life. */
  readonly sessionToken?: string | undefined;
}

/** Which identity to use, and where. */
export interface AwsOptions {
  /**
   * The credentials, or a function that fetches them for each connection, such as that of an SDK's provider chain.
   * @default the environment variables AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN
   */
  readonly credentials?: Provided<AwsCredentials> | undefined;
  /** The cluster's region. @default the one in the broker's name, then AWS_REGION, then AWS_DEFAULT_REGION */
  readonly region?: string | undefined;
}

/** How long a signature is good for, in seconds. */
export const EXPIRES_S = 900;

/** A request whose signature goes into the query. */
export interface SignedRequest {
  readonly host: string;
  readonly path: string;
  readonly service: string;
  readonly region: string;
  readonly credentials: AwsCredentials;
  readonly nowMs: number;
  readonly expiresS: number;
  /** What the query holds beside the signature's own fields. */
  readonly query: Readonly<Record<string, string>>;
  /** @default the hash of no bytes */
  readonly payloadHash?: string;
}

/** The query's fields, the signature among them. */
export async function presign(request: SignedRequest): Promise<Record<string, string>> {
  const { host, path, service, region, credentials, nowMs, expiresS, query } = request;
  const { accessKeyId, secretAccessKey, sessionToken } = credentials;
  const date = new Date(nowMs).toISOString().replace(/[-:]|\.\d{3}/g, "");
  const scope = `${date.slice(0, 8)}/${region}/${service}/aws4_request`;
  const fields: Record<string, string> = {
    ...query,
    "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
    "X-Amz-Credential": `${accessKeyId}/${scope}`,
    "X-Amz-Date": date,
    "X-Amz-Expires": String(expiresS),
    ...(sessionToken === undefined ? {} : { "X-Amz-Security-Token": sessionToken }),
    "X-Amz-SignedHeaders": "host",
  };
  const payloadHash = request.payloadHash ?? hex(await digest("SHA-256", utf8("")));
  const canonical = ["GET", path, queryOf(fields), `host:${host}`, "", "host", payloadHash].join("\n");
  const toSign = ["AWS4-HMAC-SHA256", date, scope, hex(await digest("SHA-256", utf8(canonical)))].join("\n");
  let key = utf8(`AWS4${secretAccessKey}`);
  for (const part of scope.split("/")) key = await hmac("SHA-256", key, utf8(part));
  return { ...fields, "X-Amz-Signature": hex(await hmac("SHA-256", key, utf8(toSign))) };
}

/** Sorted, and escaped as Amazon wants it: a space is %20. */
export function queryOf(fields: Readonly<Record<string, string>>): string {
  const escape = (text: string): string =>
    encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  return Object.entries(fields).map(([name, value]) => `${escape(name)}=${escape(value)}`).sort().join("&");
}

/** Checks what can be checked when a producer is made. */
export function checkAws(what: string, options: AwsOptions): void {
  checkFields(what, options, ["credentials", "region"]);
  const { credentials, region } = options;
  if (region !== undefined) checkText("region", region, `a region, such as "eu-central-1"`);
  if (credentials !== undefined && typeof credentials !== "function") checkCredentials(what, credentials);
}

/** The credentials that were given, or those of the environment. */
export async function awsCredentials(what: string, { credentials }: AwsOptions): Promise<AwsCredentials> {
  if (credentials !== undefined) {
    const given = await provided(credentials);
    const { accessKeyId, secretAccessKey, sessionToken } = given ?? {};
    // An SDK's provider returns more than that.
    const taken = { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
    checkCredentials(what, taken);
    return taken;
  }
  const [accessKeyId, secretAccessKey, sessionToken] = ["ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"]
    .map((name) => environmentVariable(`AWS_${name}`));
  if (!accessKeyId || !secretAccessKey) {
    throw new AuthenticationError(
      `Give ${what} "credentials", or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and start Deno with ` +
        `--allow-env): there are neither.`,
      { code: "CREDENTIALS_MISSING" },
    );
  }
  return { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) };
}

function checkCredentials(what: string, credentials: AwsCredentials): void {
  checkFields(`"credentials" of ${what}`, credentials, ["accessKeyId", "secretAccessKey", "sessionToken"]);
  checkText("accessKeyId", credentials.accessKeyId);
  checkText("secretAccessKey", credentials.secretAccessKey);
  if (credentials.sessionToken !== undefined) checkText("sessionToken", credentials.sessionToken);
}

/**
 * The region in which a broker stands: by its name (`b-1.….kafka.eu-central-1.amazonaws.com`, in each of Amazon's
 * partitions), or as the options or the environment say.
 */
export function regionOf(host: string, { region }: AwsOptions): string {
  const inName = /\.kafka(?:-serverless)?\.([a-z]{2,4}(?:-[a-z]+)+-\d+)\.[a-z0-9.-]+$/i.exec(host)?.[1]?.toLowerCase();
  const found = inName ?? region ?? environmentVariable("AWS_REGION") ?? environmentVariable("AWS_DEFAULT_REGION");
  if (found) return found;
  throw new ConfigError(
    "sasl",
    `Set "region" of "sasl": the name of the broker has none in it, and neither AWS_REGION nor AWS_DEFAULT_REGION is set.`,
  );
}
