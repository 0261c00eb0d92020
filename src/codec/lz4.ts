/**
 * LZ4 frames: written as Kafka's Java reader wants them, read with every flag that the format has.
 *
 * Written are independent blocks of 64 KB, with neither content size nor checksums. Java refuses linked blocks.
 *
 * @module
 */

import { CompressionError } from "../errors.ts";
import type { Compressor } from "./codec.ts";
import { scratch } from "./scratch.ts";
import type { BlockCompressor } from "./wasm.ts";
import { xxhash32 } from "./xxhash32.ts";

const MAGIC = 0x184d2204;
const BLOCK_SIZE = 65_536;
/** Magic, `60` version 1 with independent blocks, `40` blocks of 64 KB, and the checksum of these two bytes. */
const FRAME_HEADER = Uint8Array.of(0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82);
const STORED = 0x8000_0000;

/** A match copies at least so many bytes. */
export const MIN_MATCH = 4;

/** The compressor that a kernel gives, or undefined without one. */
export function lz4Compressor(kernel: BlockCompressor | undefined): Compressor | undefined {
  return kernel && { name: "lz4", id: 3, compress: (input) => lz4Compress(input, kernel) };
}

/** Compresses into one LZ4 frame. The output never exceeds the input by more than 11 bytes and 4 a block. */
export function lz4Compress(input: Uint8Array, compressor: BlockCompressor): Uint8Array {
  const output = scratch(FRAME_HEADER.length + input.length + 4 * Math.ceil(input.length / BLOCK_SIZE) + 4);
  output.set(FRAME_HEADER);
  let at = FRAME_HEADER.length;
  for (let start = 0; start < input.length; start += BLOCK_SIZE) {
    const end = Math.min(start + BLOCK_SIZE, input.length);
    let size = compressor(input, start, end, output, at + 4);
    if (size === 0) {
      output.set(input.subarray(start, end), at + 4);
      size = end - start;
      writeWord(output, at, size | STORED);
    } else {
      writeWord(output, at, size);
    }
    at += 4 + size;
  }
  writeWord(output, at, 0);
  return output.slice(0, at + 4);
}

/**
 * Decompresses the first LZ4 frame of `input`. What follows its end mark is ignored, as Kafka does.
 *
 * The sizes of all blocks are added up first, so that neither a false content size nor a bomb is ever allocated.
 */
export function lz4Decompress(input: Uint8Array, maxSize: number): Uint8Array {
  const frame = readFrame(input, maxSize);
  const output = new Uint8Array(frame.size);
  let at = 0;
  for (const { start, end, stored } of frame.blocks) {
    if (stored) {
      output.set(input.subarray(start, end), at);
      at += end - start;
    } else {
      at = decompressBlock(input, start, end, output, at, frame.linked ? 0 : at);
    }
  }
  if (frame.contentChecksum !== undefined && xxhash32(output) !== frame.contentChecksum) {
    throw corrupt("the content checksum does not match");
  }
  return output;
}

function writeWord(output: Uint8Array, at: number, value: number): void {
  output[at] = value;
  output[at + 1] = value >>> 8;
  output[at + 2] = value >>> 16;
  output[at + 3] = value >>> 24;
}

interface Block {
  readonly start: number;
  readonly end: number;
  readonly stored: boolean;
}

interface Frame {
  readonly blocks: readonly Block[];
  readonly size: number;
  readonly linked: boolean;
  readonly contentChecksum: number | undefined;
}

function readFrame(input: Uint8Array, maxSize: number): Frame {
  if (input.length < FRAME_HEADER.length || readWord(input, 0) !== MAGIC) throw corrupt("the frame's magic is missing");
  const flags = input[4]!;
  if (flags >>> 6 !== 1) throw corrupt(`the version is ${flags >>> 6}, wanted 1`);
  if (flags & 0x03) throw corrupt("the frame needs a dictionary or sets a reserved flag");
  const sizeCode = (input[5]! >>> 4) & 7;
  if (sizeCode < 4 || input[5]! & 0x8f) throw corrupt("the block descriptor is invalid");
  const maxBlockSize = 1 << (8 + 2 * sizeCode);
  const hasContentSize = (flags & 0x08) !== 0;
  const headerEnd = hasContentSize ? 14 : 6;
  if (headerEnd >= input.length) throw corrupt("the header is cut short");
  if ((xxhash32(input, 4, headerEnd) >>> 8 & 255) !== input[headerEnd]) {
    throw corrupt("the header checksum does not match");
  }

  const blocks: Block[] = [];
  let size = 0;
  let at = headerEnd + 1;
  for (;;) {
    const word = readWord(input, at);
    at += 4;
    if (word === 0) break;
    const length = word & ~STORED;
    const block: Block = { start: at, end: at + length, stored: word >= STORED };
    if (length > maxBlockSize || block.end > input.length) throw corrupt(`a block of ${length} bytes is out of bounds`);
    const blockSize = block.stored ? length : measureBlock(input, at, block.end);
    if (blockSize > maxBlockSize) throw corrupt(`a block holds ${blockSize} bytes, wanted at most ${maxBlockSize}`);
    size += blockSize;
    if (size > maxSize) throw new CompressionError(`Decompressing lz4 gives more than ${maxSize} bytes, the limit`);
    blocks.push(block);
    at = block.end;
    if (flags & 0x10) {
      if (readWord(input, at) !== xxhash32(input, block.start, block.end)) {
        throw corrupt("a block checksum does not match");
      }
      at += 4;
    }
  }
  if (hasContentSize && (readWord(input, 6) !== size || readWord(input, 10) !== 0)) {
    throw corrupt("the content size does not match");
  }
  return {
    blocks,
    size,
    linked: (flags & 0x20) === 0,
    contentChecksum: flags & 0x04 ? readWord(input, at) : undefined,
  };
}

/** How many bytes a compressed block decompresses to. Checks every bound but the offsets. */
function measureBlock(input: Uint8Array, start: number, end: number): number {
  let size = 0;
  let at = start;
  for (;;) {
    if (at >= end) throw corrupt("a block ends without its last literals");
    const token = input[at++]!;
    let literals = token >>> 4;
    if (literals === 15) {
      let more;
      do {
        if (at >= end) throw corrupt("a length is cut short");
        literals += more = input[at++]!;
      } while (more === 255);
    }
    at += literals;
    size += literals;
    if (at > end) throw corrupt("literals run over the end of their block");
    if (at === end) return size;
    at += 2;
    let match = (token & 15) + MIN_MATCH;
    if ((token & 15) === 15) {
      let more;
      do {
        if (at >= end) throw corrupt("a length is cut short");
        match += more = input[at++]!;
      } while (more === 255);
    }
    if (at > end) throw corrupt("an offset is cut short");
    size += match;
  }
}

/** Decompresses a block that {@link measureBlock} has found sound. Matches may reach back to `floor`. */
function decompressBlock(
  input: Uint8Array,
  start: number,
  end: number,
  output: Uint8Array,
  outputStart: number,
  floor: number,
): number {
  let out = outputStart;
  let at = start;
  for (;;) {
    const token = input[at++]!;
    let literals = token >>> 4;
    if (literals === 15) {
      let more;
      do literals += more = input[at++]!; while (more === 255);
    }
    if (literals > 64) {
      output.set(input.subarray(at, at + literals), out);
    } else {
      for (let k = 0; k < literals; k++) output[out + k] = input[at + k]!;
    }
    out += literals;
    at += literals;
    if (at === end) return out;
    const offset = input[at]! | (input[at + 1]! << 8);
    at += 2;
    let match = (token & 15) + MIN_MATCH;
    if (match === 15 + MIN_MATCH) {
      let more;
      do match += more = input[at++]!; while (more === 255);
    }
    if (offset === 0 || out - offset < floor) throw corrupt(`a match reaches ${offset} bytes back, before the start`);
    for (const stop = out + match; out < stop; out++) output[out] = output[out - offset]!;
  }
}

function readWord(input: Uint8Array, at: number): number {
  if (at + 4 > input.length) throw corrupt("the frame is cut short");
  return (input[at]! | (input[at + 1]! << 8) | (input[at + 2]! << 16) | (input[at + 3]! << 24)) >>> 0;
}

function corrupt(what: string): CompressionError {
  return new CompressionError(`Decompressing lz4 failed, ${what}`);
}
