/**
 * Modules as text: base64 in a source file is the one form that every runtime and every bundler takes.
 *
 * @module
 */

/** The bytes that a text in base64 stands for. */
export function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}
