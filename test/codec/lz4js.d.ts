declare module "lz4js" {
  /** Decompresses one frame. */
  export function decompress(input: Uint8Array, maxSize?: number): Uint8Array;
  /** Compresses into one frame, with linked blocks. */
  export function compress(input: Uint8Array): Uint8Array;
}
