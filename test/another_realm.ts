/**
 * Bytes of another realm.
 *
 * @module
 */

/** What Jest's sandboxes and frames of a page hand over: bytes, though no instance of the class that is known here. */
export function ofAnotherRealm(content: Uint8Array): Uint8Array {
  const foreign = Object.create(
    Object.getPrototypeOf(Uint8Array.prototype) as object,
    Object.getOwnPropertyDescriptors(Uint8Array.prototype),
  ) as object;
  return Object.setPrototypeOf(content.slice(), foreign) as Uint8Array;
}
