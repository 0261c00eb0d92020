/**
 * What is used of `@bokuweb/zstd-wasm`, in a module of its own that is imported at the first use: a bundler leaves the
 * rest out.
 *
 * @module
 */

export { compressUsingDict, createCCtx, createDCtx, decompressUsingDict, init } from "@bokuweb/zstd-wasm";
