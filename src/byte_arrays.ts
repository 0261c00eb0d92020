/**
 * Bytes that are not our own: looked at and copied without calling anything that they bring along.
 *
 * Callers hand over what their libraries give them: Node's `Buffer`, whose `slice` is a view and not a copy; subclasses
 * with a `length` of their own; memory that is shared, grows, or has gone to a worker. The built-in getters and `set`
 * tell the truth of all of them.
 *
 * @module
 */

const typedArray: object = Object.getPrototypeOf(Uint8Array.prototype);
const kindGetter = getterOf(Symbol.toStringTag);
const lengthGetter = getterOf("length");
const bufferGetter = getterOf("buffer");
const offsetGetter = getterOf("byteOffset");
const { includes } = Uint8Array.prototype;

function getterOf(name: PropertyKey): () => unknown {
  return Object.getOwnPropertyDescriptor(typedArray, name)!.get!;
}

/** True for a `Uint8Array` of this or another realm (Jest's, say), whatever its class; false for a proxy of one. */
export function isByteArray(value: unknown): value is Uint8Array {
  return kindGetter.call(value) === "Uint8Array";
}

/** How many bytes there are really; 0 for what is {@link isDetached}. @throws {TypeError} for what only looks like bytes */
export function lengthOf(bytes: Uint8Array): number {
  return lengthGetter.call(bytes) as number;
}

/** True if the memory under it is gone: transferred to a worker, or shrunk, or replaced when WebAssembly's grew. */
export function isDetached(bytes: Uint8Array): boolean {
  try {
    includes.call(bytes, 0);
    return false;
  } catch {
    return true;
  }
}

/** The same bytes as an instance of the class that is known here. */
export function ofThisRealm(bytes: Uint8Array): Uint8Array {
  return bytes instanceof Uint8Array ? bytes : startOf(bytes, lengthOf(bytes));
}

/** Below this a loop is faster than the call of `set` and the view that it may need. */
export const COPY_BY_LOOP = 32;

/** Copies the first `length` bytes to `target`, from `at` on. */
export function copyInto(target: Uint8Array, at: number, bytes: Uint8Array, length: number): void {
  if (length <= COPY_BY_LOOP) { for (let index = 0; index < length; index++) target[at + index] = bytes[index]!; }
  else target.set(lengthOf(bytes) === length ? bytes : startOf(bytes, length), at);
}

/** A copy of the first `length` bytes that nobody shares. */
export function copyOfBytes(bytes: Uint8Array, length: number = lengthOf(bytes)): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(length);
  copyInto(copy, 0, bytes, length);
  return copy;
}

/** A copy of the same class: a Buffer stays one, for those who read numbers from it. */
export function copyAlike<B extends Uint8Array>(bytes: B): B {
  const copy: unknown = copyOfBytes(bytes);
  const prototype: object = Object.getPrototypeOf(bytes);
  return (prototype === Uint8Array.prototype ? copy : Object.setPrototypeOf(copy, prototype)) as B;
}

/** What memory or view a value is, for a message, and how its bytes would be passed; undefined for anything else. */
export function kindOf(value: unknown): string | undefined {
  if (ArrayBuffer.isView(value)) {
    const kind = kindGetter.call(value) ?? "DataView";
    return `a view of type ${kind}, whose bytes are new Uint8Array(view.buffer, view.byteOffset, view.byteLength)`;
  }
  try {
    if (value instanceof Uint8Array) return "an object that only looks like a Uint8Array";
    if (value instanceof ArrayBuffer) return "an ArrayBuffer, whose bytes are new Uint8Array(buffer)";
    if (typeof SharedArrayBuffer !== "undefined" && value instanceof SharedArrayBuffer) {
      return "a SharedArrayBuffer, whose bytes are new Uint8Array(buffer)";
    }
  } catch {
    // A proxy may refuse to be looked at.
  }
  return undefined;
}

/** A view of the first bytes. `subarray` would ask the bytes' own class for it, and takes longer. */
function startOf(bytes: Uint8Array, length: number): Uint8Array {
  return new Uint8Array(bufferGetter.call(bytes) as ArrayBufferLike, offsetGetter.call(bytes) as number, length);
}
