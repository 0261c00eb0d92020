/**
 * Certificates for tests, made on the spot: an authority and what it signs, in PEM. `node:crypto` makes keys and signatures;
 * what stands around them (X.509, RFC 5280) is written here, so that no machine needs openssl.
 *
 * @module
 */

import type { KeyObject } from "node:crypto";
import { readOptions, refuse } from "../call_options.ts";
import { ConfigError } from "../errors.ts";
import { builtinModule } from "../runtime/builtin.ts";
import { realRuntime } from "./cluster_runtime.ts";

/** What is to be signed. */
export interface CertificateOptions {
  /** Who it is for. */
  readonly name: string;
  /** Host names and IPv4 addresses that it is good for. @default ["localhost", "127.0.0.1"] */
  readonly hosts?: readonly string[] | undefined;
  /** From when on, in days from now. @default -30 */
  readonly fromDays?: number | undefined;
  /** Until when, in days from now; it may have expired already. @default 30 */
  readonly days?: number | undefined;
}

/** A certificate with its key, good for a server and for a client. */
export interface Certificate {
  /** In PEM. */
  readonly cert: string;
  /** In PEM. */
  readonly key: string;
}

/** An authority. */
export interface CertificateAuthority {
  /** What others trust, as `tls.ca`, in PEM. */
  readonly cert: string;
  /** Signs a certificate. @throws {ConfigError} for an option that is unknown or wrong */
  issue(options: CertificateOptions): Certificate;
}

const DAY_MS = 86_400_000;
const MAX_DAYS = 7_000;
const OPTIONS = ["name", "hosts", "fromDays", "days"] as const;

/** ASN.1 tags that certificates use. */
const [INTEGER, BIT_STRING, OCTET_STRING, OID, UTF8_STRING, UTC_TIME, SEQUENCE, SET] = [2, 3, 4, 6, 12, 23, 48, 49];
const BOOLEAN_TRUE = Uint8Array.of(1, 1, 0xff);
const VERSION_3 = 2;
const KEY_ID_BYTES = 20;
const SERIAL_BYTES = 15;

const OIDS = {
  commonName: "550403",
  subjectKeyIdentifier: "551d0e",
  keyUsage: "551d0f",
  subjectAltName: "551d11",
  authorityKeyIdentifier: "551d23",
  basicConstraints: "551d13",
  extendedKeyUsage: "551d25",
  serverAuth: "2b06010505070301",
  clientAuth: "2b06010505070302",
  ecdsaWithSha256: "2a8648ce3d040302",
} as const;

type Crypto = typeof import("node:crypto");

/**
 * Makes an authority for tests. On Node, Deno and Bun.
 *
 * @example
 * ```ts ignore
 * import { certificateAuthority, EmbeddedCluster } from "@sluice/kafka/testing";
 *
 * const ca = certificateAuthority();
 * const cluster = new EmbeddedCluster({ topics: { orders: 1 } });
 * const { brokers } = await cluster.listen({ tls: ca.issue({ name: "broker" }) });
 * // new Producer({ brokers, tls: { ca: ca.cert } })
 * ```
 *
 * @throws {ConfigError} where there is no `node:crypto`
 */
export function certificateAuthority(name: string = "Sluice test authority"): CertificateAuthority {
  if (typeof name !== "string" || name === "") refuse("name", "a text", name);
  const crypto = builtinModule<Crypto>("node:crypto");
  if (crypto?.generateKeyPairSync === undefined) {
    throw new ConfigError("certificateAuthority", "Make certificates on Node, Deno or Bun: this runtime can't.");
  }
  const own = newKey(crypto);
  const keyId = crypto.randomBytes(KEY_ID_BYTES);
  const extensions = [
    extension("basicConstraints", sequence(BOOLEAN_TRUE), true),
    extension("keyUsage", tlv(BIT_STRING, Uint8Array.of(1, 0b110)), true),
    extension("subjectKeyIdentifier", tlv(OCTET_STRING, keyId)),
  ];
  const sign = { crypto, issuer: name, signer: own.key };
  const period = { fromDays: -30, days: 30 };
  return {
    cert: certificate({ ...sign, ...period, subject: name, spki: own.spki, extensions }),
    issue(options) {
      const { subject, hosts, ...dates } = readCertificateOptions(options);
      const leaf = newKey(crypto);
      const more = [
        extension("keyUsage", tlv(BIT_STRING, Uint8Array.of(7, 0x80)), true),
        extension("authorityKeyIdentifier", sequence(tlv(0x80, keyId))),
        extension("extendedKeyUsage", sequence(oid(OIDS.serverAuth), oid(OIDS.clientAuth))),
        ...hosts.length === 0 ? [] : [extension("subjectAltName", sequence(...hosts.map(alternativeName)))],
      ];
      return {
        cert: certificate({ ...sign, ...dates, subject, spki: leaf.spki, extensions: more }),
        key: leaf.pem,
      };
    },
  };
}

function readCertificateOptions(
  options: unknown,
): { subject: string; hosts: readonly string[]; fromDays: number; days: number } {
  const read: { readonly [N in (typeof OPTIONS)[number]]?: unknown } = readOptions("issue", options, OPTIONS);
  const { name, hosts = ["localhost", "127.0.0.1"], fromDays = -30, days = 30 } = read;
  if (typeof name !== "string" || name === "") refuse("name", "a text", name);
  if (!Array.isArray(hosts) || hosts.some((host) => typeof host !== "string")) {
    refuse("hosts", "a list of names", hosts);
  }
  for (const [option, value] of Object.entries({ fromDays, days })) {
    if (typeof value !== "number" || !(Math.abs(value) <= MAX_DAYS)) {
      refuse(option, `a number of days up to ${MAX_DAYS}`, value);
    }
  }
  return { subject: name, hosts: hosts as string[], fromDays: fromDays as number, days: days as number };
}

function newKey(crypto: Crypto): { key: KeyObject; pem: string; spki: Uint8Array } {
  const { privateKey, publicKey } = crypto.generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    key: privateKey,
    pem: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
    spki: publicKey.export({ type: "spki", format: "der" }),
  };
}

interface ToSign {
  readonly crypto: Crypto;
  readonly subject: string;
  readonly issuer: string;
  readonly spki: Uint8Array;
  readonly signer: KeyObject;
  readonly extensions: readonly Uint8Array[];
  readonly fromDays: number;
  readonly days: number;
}

function certificate({ crypto, subject, issuer, spki, signer, extensions, fromDays, days }: ToSign): string {
  const algorithm = sequence(oid(OIDS.ecdsaWithSha256));
  const signed = sequence(
    tlv(0xa0, tlv(INTEGER, Uint8Array.of(VERSION_3))),
    tlv(INTEGER, concat([Uint8Array.of(1), crypto.randomBytes(SERIAL_BYTES)])),
    algorithm,
    distinguishedName(issuer),
    sequence(time(fromDays), time(days)),
    distinguishedName(subject),
    spki,
    tlv(0xa3, sequence(...extensions)),
  );
  const signature = crypto.sign("sha256", signed, signer);
  const der = sequence(signed, algorithm, tlv(BIT_STRING, concat([Uint8Array.of(0), signature])));
  const base64 = btoa(Array.from(der, (byte) => String.fromCharCode(byte)).join(""));
  return `-----BEGIN CERTIFICATE-----\n${base64.replace(/.{64}/g, "$&\n").trimEnd()}\n-----END CERTIFICATE-----\n`;
}

function distinguishedName(commonName: string): Uint8Array {
  return sequence(tlv(SET, sequence(oid(OIDS.commonName), tlv(UTF8_STRING, new TextEncoder().encode(commonName)))));
}

function alternativeName(host: string): Uint8Array {
  const isAddress = /^\d+(\.\d+){3}$/.test(host);
  return isAddress
    ? tlv(0x87, Uint8Array.from(host.split(".").map(Number)))
    : tlv(0x82, new TextEncoder().encode(host));
}

function extension(name: keyof typeof OIDS, value: Uint8Array, critical = false): Uint8Array {
  return sequence(oid(OIDS[name]), ...critical ? [BOOLEAN_TRUE] : [], tlv(OCTET_STRING, value));
}

function time(inDays: number): Uint8Array {
  const text = new Date(realRuntime().wallNow() + inDays * DAY_MS).toISOString().replace(/^..|[-:T]|\.\d+/g, "");
  return tlv(UTC_TIME, new TextEncoder().encode(text));
}

function oid(hex: string): Uint8Array {
  return tlv(OID, Uint8Array.from(hex.match(/../g)!, (byte) => Number.parseInt(byte, 16)));
}

function sequence(...parts: readonly Uint8Array[]): Uint8Array {
  return tlv(SEQUENCE, concat(parts));
}

function tlv(tag: number, content: Uint8Array): Uint8Array {
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return concat([Uint8Array.of(tag, ...size), content]);
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
