/**
 * The part of `zlib` that the codecs use, on every runtime that has it.
 *
 * @module
 */

import { builtinModule } from "../runtime/builtin.ts";

const CHUNK_ROOM = 65_536;
const MAX_OUTPUT = 1 << 30;

/** What `zlib` takes as options, as far as it is used here. */
export interface ZlibOptions {
  /** Of gzip: 1 to 9. */
  readonly level?: number;
  /** Of zstd, by the number of the parameter. */
  readonly params?: Readonly<Record<number, number>>;
  /** Of zstd: the exact size of the input, which keeps the window and the tables small. */
  readonly pledgedSrcSize?: number;
  /** Decompressing fails when the output grows beyond it. */
  readonly maxOutputLength?: number;
  /** Of a stream: what each write ends with. */
  readonly flush?: number | undefined;
  /** Of a stream: how much comes out at a time, in bytes. */
  readonly chunkSize?: number;
  /** Of a stream: how much may lie there unread, in bytes. */
  readonly readableHighWaterMark?: number;
}

/** A stream of `zlib`. Each write calls back when all that it gives can be read. */
export interface ZlibStream {
  write(input: Uint8Array, callback: (error?: Error | null) => void): unknown;
  /** All that has come out. */
  read(): Uint8Array | null;
  on(event: "error", listener: (error: Error) => void): unknown;
  removeListener(event: "error", listener: (error: Error) => void): unknown;
  destroy(): unknown;
}

/** A function of `zlib` that works on a thread of the pool. */
export type ZlibFunction = (
  input: Uint8Array,
  options: ZlibOptions,
  callback: (error: Error | null, output: Uint8Array) => void,
) => void;

/** A function of `zlib` that works at once. */
export type ZlibSyncFunction = (input: Uint8Array, options: ZlibOptions) => Uint8Array;

/** `zlib`, as far as it is used here. Node before 22.15 has no zstd. */
export interface Zlib {
  readonly constants: { readonly ZSTD_c_compressionLevel?: number; readonly ZSTD_e_end?: number };
  /** Node before 20.15 lacks it, and so may others. */
  readonly crc32?: (bytes: Uint8Array) => number;
  readonly gzip: ZlibFunction;
  readonly gzipSync: ZlibSyncFunction;
  readonly gunzipSync: ZlibSyncFunction;
  readonly createZstdCompress?: (options: ZlibOptions) => ZlibStream;
  readonly zstdCompress?: ZlibFunction;
  readonly zstdCompressSync?: ZlibSyncFunction;
  readonly zstdDecompressSync?: ZlibSyncFunction;
}

/** `zlib`, or undefined on a runtime without it, such as workerd without `nodejs_compat`. */
export function nodeZlib(): Zlib | undefined {
  return builtinModule("zlib") as Zlib | undefined;
}

/** Runs a function of `zlib` here and now. */
export function atOnce(run: ZlibSyncFunction, input: Uint8Array, options: ZlibOptions): Uint8Array {
  return plain(run(input, options));
}

/**
 * The `maxOutputLength` for a limit. workerd wants room for one chunk more than it fills, so the exact limit is left
 * to the caller, and Node refuses values above its largest buffer.
 */
export function outputLimit(maxSize: number): number {
  return Math.min(maxSize, MAX_OUTPUT) + CHUNK_ROOM;
}

/** A `Buffer` differs from a `Uint8Array` in `slice()` and `toString()`, so none leaves the codecs. */
export function plain(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}
