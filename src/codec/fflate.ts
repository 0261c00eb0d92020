/**
 * What is used of `fflate`, in a module of its own that is imported at the first use: a bundler leaves the rest out.
 *
 * @module
 */

export { Gunzip, gzipSync } from "fflate";
