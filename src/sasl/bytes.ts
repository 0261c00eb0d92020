/**
 * Text and bytes, keyed hashes: what the mechanisms share. On WebCrypto alone, which every runtime has.
 *
 * @module
 */

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** Bytes that WebCrypto takes. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** UTF-8 bytes of a text. */
export function utf8(text: string): Bytes {
  return encoder.encode(text) as Bytes;
}

/** The text of UTF-8 bytes; throws if they are none. */
export function textOf(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** Base64 with padding (RFC 4648, section 4). */
export function base64(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

/** Base64 for URLs, without padding (section 5). */
export function base64url(bytes: Uint8Array): string {
  return base64(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** The bytes of base64, of either alphabet; throws if it is none. */
export function fromBase64(text: string): Bytes {
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

/** Lower-case hexadecimal digits. */
export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Shorter ones would be found in every other word. */
const LEAST_SECRET = 4;

/** The words of somebody who was told secrets, without them: servers have been known to repeat what they refuse. */
export function withoutSecrets(text: string, secrets: readonly (string | undefined)[]): string {
  let rest = text;
  for (const secret of secrets) {
    if (secret === undefined || secret.length < LEAST_SECRET) continue;
    const inAddresses = encodeURIComponent(secret);
    const forms = [secret, JSON.stringify(secret).slice(1, -1), inAddresses, inAddresses.replaceAll("%20", "+")];
    for (const form of [...forms, base64(utf8(secret))]) rest = rest.replaceAll(form, "…");
  }
  return rest;
}

/** The hash functions that are used. */
export type Hash = "SHA-256" | "SHA-512";

/** The hash of some bytes. */
export async function digest(hash: Hash, bytes: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest(hash, bytes));
}

/** The keyed hash (RFC 2104) of some bytes. */
export async function hmac(hash: Hash, key: Bytes, bytes: Bytes): Promise<Bytes> {
  return await sign(await hmacKey(hash, key), bytes);
}

/** A key for several keyed hashes. */
export async function hmacKey(hash: Hash, key: Bytes): Promise<CryptoKey> {
  return await crypto.subtle.importKey("raw", key, { name: "HMAC", hash }, false, ["sign"]);
}

/** The keyed hash with a key that was made before. */
export async function sign(key: CryptoKey, bytes: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.sign("HMAC", key, bytes));
}
