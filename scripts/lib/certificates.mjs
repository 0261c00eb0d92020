/**
 * Certificates for tests, made on the spot: an authority and what it signs, in PEM. `node:crypto` makes keys and
 * signatures; what stands around them (X.509, RFC 5280) is written here, so that no machine needs openssl.
 */
import { createPrivateKey, generateKeyPairSync, randomBytes, sign } from "node:crypto";

const DAY_MS = 86_400_000;

/** ASN.1 tags that certificates use. */
const [INTEGER, BIT_STRING, OCTET_STRING, OID, UTF8_STRING, UTC_TIME, SEQUENCE, SET] = [2, 3, 4, 6, 12, 23, 48, 49];
const BOOLEAN_TRUE = Buffer.of(1, 1, 0xff);

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
};

/**
 * A certificate authority of its own: `cert` in PEM, and `issue({ name, hosts, fromDays, days })`, which returns `cert`
 * and `key` for a server and a client alike. `days` counts from today and may be negative: expired since.
 */
export function certificateAuthority(name = "Sluice test authority") {
  const own = newKey();
  const keyId = randomBytes(20);
  const extensions = [
    extension("basicConstraints", sequence(BOOLEAN_TRUE), true),
    extension("keyUsage", tlv(BIT_STRING, Buffer.of(1, 0b110)), true),
    extension("subjectKeyIdentifier", tlv(OCTET_STRING, keyId)),
  ];
  const cert = certificate({ subject: name, issuer: name, spki: own.spki, signer: own.key, extensions });
  return {
    cert,
    issue({ name: subject, hosts = ["localhost", "127.0.0.1"], fromDays = -30, days = 30 }) {
      const leaf = newKey();
      const signed = certificate({
        ...{ subject, issuer: name, spki: leaf.spki, signer: own.key, fromDays, days },
        extensions: [
          extension("keyUsage", tlv(BIT_STRING, Buffer.of(7, 0x80)), true),
          extension("authorityKeyIdentifier", sequence(tlv(0x80, keyId))),
          extension("extendedKeyUsage", sequence(oid(OIDS.serverAuth), oid(OIDS.clientAuth))),
          ...hosts.length === 0 ? [] : [extension("subjectAltName", sequence(...hosts.map(alternativeName)))],
        ],
      });
      return { cert: signed, key: leaf.pem };
    },
  };
}

/** A private key in PEM that only `passphrase` opens. */
export function encryptedKey(pem, passphrase) {
  return createPrivateKey(pem).export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase });
}

function newKey() {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    key: privateKey,
    pem: privateKey.export({ type: "pkcs8", format: "pem" }),
    spki: publicKey.export({ type: "spki", format: "der" }),
  };
}

function certificate({ subject, issuer, spki, signer, extensions, fromDays = -30, days = 30 }) {
  const algorithm = sequence(oid(OIDS.ecdsaWithSha256));
  const signed = sequence(
    tlv(0xa0, tlv(INTEGER, Buffer.of(2))),
    tlv(INTEGER, Buffer.concat([Buffer.of(1), randomBytes(15)])),
    algorithm,
    distinguishedName(issuer),
    sequence(time(fromDays), time(days)),
    distinguishedName(subject),
    spki,
    tlv(0xa3, sequence(...extensions)),
  );
  const signature = tlv(BIT_STRING, Buffer.concat([Buffer.of(0), sign("sha256", signed, signer)]));
  const base64 = sequence(signed, algorithm, signature).toString("base64");
  return `-----BEGIN CERTIFICATE-----\n${base64.replace(/.{64}/g, "$&\n").trimEnd()}\n-----END CERTIFICATE-----\n`;
}

function distinguishedName(commonName) {
  return sequence(tlv(SET, sequence(oid(OIDS.commonName), tlv(UTF8_STRING, Buffer.from(commonName)))));
}

function alternativeName(host) {
  const isAddress = /^\d+(\.\d+){3}$/.test(host);
  return isAddress ? tlv(0x87, Buffer.from(host.split(".").map(Number))) : tlv(0x82, Buffer.from(host, "latin1"));
}

function extension(name, value, critical = false) {
  return sequence(oid(OIDS[name]), ...critical ? [BOOLEAN_TRUE] : [], tlv(OCTET_STRING, value));
}

function time(inDays) {
  const text = new Date(Date.now() + inDays * DAY_MS).toISOString().replace(/^..|[-:T]|\.\d+/g, "");
  return tlv(UTC_TIME, Buffer.from(text, "latin1"));
}

function oid(hex) {
  return tlv(OID, Buffer.from(hex, "hex"));
}

function sequence(...parts) {
  return tlv(SEQUENCE, Buffer.concat(parts));
}

function tlv(tag, content) {
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...size), content]);
}
