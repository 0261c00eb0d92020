/**
 * Bytes that nobody can guess, from the runtime's own source.
 *
 * @module
 */

/** So many bytes for a nonce. On workerd not at module level. */
export function randomBytes(count: number): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(count));
}
