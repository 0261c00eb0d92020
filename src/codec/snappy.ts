/**
 * Snappy: written as one raw block, read raw or in the framing of Java's xerial library.
 *
 * @module
 */

import { CompressionError } from "../errors.ts";
import type { Compressor } from "./codec.ts";
import { scratch } from "./scratch.ts";
import type { BlockCompressor } from "./wasm.ts";

/** Matches are looked for within 64 KB, so that positions fit in 16 bits and the table in a CPU's first cache. */
const FRAGMENT_SIZE = 65_536;
/** No element of the format expands more than a copy of 64 bytes, which takes three. */
const MAX_RATIO = 22;

const XERIAL_MAGIC = Uint8Array.of(0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00);
const XERIAL_HEADER_SIZE = 16;

/** The compressor that a kernel gives, or undefined without one. */
export function snappyCompressor(kernel: BlockCompressor | undefined): Compressor | undefined {
  return kernel && { name: "snappy", id: 2, compress: (input) => snappyCompress(input, kernel) };
}

/** Compresses into one raw Snappy block. */
export function snappyCompress(input: Uint8Array, compressor: BlockCompressor): Uint8Array {
  const output = scratch(32 + input.length + Math.ceil(input.length / 6));
  let at = 0;
  let rest = input.length;
  for (; rest > 127; rest = Math.floor(rest / 128)) output[at++] = (rest & 127) | 128;
  output[at++] = rest;
  for (let start = 0; start < input.length; start += FRAGMENT_SIZE) {
    at += compressor(input, start, Math.min(start + FRAGMENT_SIZE, input.length), output, at);
  }
  return output.slice(0, at);
}

/**
 * Decompresses one raw Snappy block, or what Java writes: blocks in xerial framing.
 *
 * The declared lengths are checked against `maxSize` and against what so many bytes can expand to at all, before
 * anything is allocated.
 */
export function snappyDecompress(input: Uint8Array, maxSize: number): Uint8Array {
  if (!isXerial(input)) {
    const { size, start } = readBlockHeader(input, 0, input.length);
    checkSize(size, maxSize);
    const output = new Uint8Array(size);
    decompressBlock(input, start, input.length, output, 0, size);
    return output;
  }
  let total = 0;
  for (let at = XERIAL_HEADER_SIZE; at < input.length;) {
    const end = chunkEnd(input, at);
    total += readBlockHeader(input, at + 4, end).size;
    checkSize(total, maxSize);
    at = end;
  }
  const output = new Uint8Array(total);
  let out = 0;
  for (let at = XERIAL_HEADER_SIZE; at < input.length;) {
    const end = chunkEnd(input, at);
    const { size, start } = readBlockHeader(input, at + 4, end);
    decompressBlock(input, start, end, output, out, out + size);
    out += size;
    at = end;
  }
  return output;
}

function isXerial(input: Uint8Array): boolean {
  return input.length >= XERIAL_HEADER_SIZE && XERIAL_MAGIC.every((byte, i) => input[i] === byte);
}

function chunkEnd(input: Uint8Array, at: number): number {
  const length = at + 4 > input.length
    ? -1
    : (input[at]! << 24) | (input[at + 1]! << 16) | (input[at + 2]! << 8) | input[at + 3]!;
  if (length < 0 || at + 4 + length > input.length) throw corrupt("a chunk is cut short");
  return at + 4 + length;
}

function readBlockHeader(input: Uint8Array, from: number, end: number): { size: number; start: number } {
  let size = 0;
  let at = from;
  for (let scale = 1;; scale *= 128) {
    if (at >= end || scale > 2 ** 28) throw corrupt("the length of a block is cut short or too long");
    const byte = input[at++]!;
    size += (byte & 127) * scale;
    if (byte < 128) break;
  }
  if (size > (end - at) * MAX_RATIO) throw corrupt(`${end - at} bytes cannot hold ${size}, the declared length`);
  return { size, start: at };
}

function decompressBlock(
  input: Uint8Array,
  start: number,
  end: number,
  output: Uint8Array,
  floor: number,
  outputEnd: number,
): void {
  let at = start;
  let out = floor;
  while (at < end) {
    const tag = input[at++]!;
    let length = (tag >>> 2) + 1;
    if ((tag & 3) === 0) {
      if (length > 60) {
        const width = length - 60;
        if (at + width > end) throw corrupt("a length is cut short");
        length = readLittle(input, at, width) + 1;
        at += width;
      }
      if (at + length > end || out + length > outputEnd) throw corrupt("literals run over the end");
      if (length > 64) {
        output.set(input.subarray(at, at + length), out);
      } else {
        for (let k = 0; k < length; k++) output[out + k] = input[at + k]!;
      }
      at += length;
      out += length;
      continue;
    }
    let offset = 0;
    const width = (tag & 3) === 3 ? 4 : tag & 3;
    if (at + width > end) throw corrupt("an offset is cut short");
    if (width === 1) {
      length = (tag >>> 2 & 7) + 4;
      offset = ((tag >>> 5) << 8) | input[at]!;
    } else {
      offset = readLittle(input, at, width);
    }
    at += width;
    if (offset === 0 || out - offset < floor) throw corrupt(`a copy reaches ${offset} bytes back, before the start`);
    if (out + length > outputEnd) throw corrupt("a copy runs over the end");
    for (const stop = out + length; out < stop; out++) output[out] = output[out - offset]!;
  }
  if (out !== outputEnd) throw corrupt(`${outputEnd - out} bytes are missing`);
}

function readLittle(input: Uint8Array, at: number, width: number): number {
  let value = input[at]!;
  if (width > 1) value |= input[at + 1]! << 8;
  if (width > 2) value |= input[at + 2]! << 16;
  if (width > 3) value |= input[at + 3]! << 24;
  return value >>> 0;
}

function checkSize(size: number, maxSize: number): void {
  if (size > maxSize) throw new CompressionError(`Decompressing snappy gives more than ${maxSize} bytes, the limit`);
}

function corrupt(what: string): CompressionError {
  return new CompressionError(`Decompressing snappy failed, ${what}`);
}
